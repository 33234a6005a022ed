"""Rows 21 to 29: a Redis that dies, loses its tail, is damaged, full, slow, or without its functions."""
import os
import pathlib
import shutil
import subprocess
import time

from harness.checker import Memory
from harness.cluster import RedisServer, Skip, until
from harness.codec import RUN_ENDS
from harness.matrix import row
from harness.resp import RedisError
from harness.store import Store


def redis_killed(play, fsync):
    with play.cluster(coordinators=2, fsync=fsync) as cluster:
        cluster.await_balance()
        memory = Memory()
        kills = []
        work = play.workload(cluster, 24 if play.short else 70, pace=0.05).start()
        for _ in range(2 if play.short else 5):
            time.sleep(play.rng.uniform(0.3, 1.0))
            memory.look(cluster.redis.client, 16)
            kills.append(time.monotonic())
            cluster.redis.kill()
            play.fault()
            time.sleep(play.rng.choice([0.0, 0.5, 2.0]))
            forgotten = play.rng.random() < 0.4  # the memory of the owners goes, too
            if forgotten:
                cluster.coordinators[0].kill()
                cluster.coordinators[1].kill()
            cluster.redis.start()
            if forgotten:  # without a store they would not start; that is for who supervises them
                cluster.start_coordinator(0)
                cluster.start_coordinator(1)
        # Redis flushes every second, and says that a flush may take another one.
        within = lambda known: any(kill - 2 <= known.at <= kill + 0.1 for kill in kills)
        lose_some(play, cluster, work, within if fsync != "always" else False)
        play.play_out(cluster, work, memory=memory, lost_allowed=within if fsync != "always" else False)


def lose_some(play, cluster, work, allowed):
    """Runs that may be lost and are, are told of to nobody as running: who asks is told that there is no such run."""
    if not allowed:
        return
    work.join()
    for known in {a.run: a for a in work.acknowledged}.values():
        code, answer = cluster.json("status", known.run, seconds=20)
        if code == 3 and allowed(known):
            work.acknowledged = [a for a in work.acknowledged if a.run != known.run]
            play.note(f"run {known.run} was lost, as everysec may: acknowledged less than 2 s before a kill")


@row("21", "Redis killed, AOF always")
def killed_always(play):
    redis_killed(play, "always")


@row("21a", "Redis killed, AOF everysec: loss within the declared window only")
def killed_everysec(play):
    redis_killed(play, "everysec")


def aof_of(cluster):
    """The file that grows."""
    files = sorted((cluster.redis.dir / "appendonlydir").glob("*.incr.aof"))
    return files[-1]


def stored_numbers(cluster):
    """The numbers of commits that a Redis finds that starts on what there is now: on a copy."""
    peek = RedisServer(cluster.scratch, name="peek")
    shutil.copytree(cluster.redis.dir / "appendonlydir", peek.dir / "appendonlydir", dirs_exist_ok=True)
    peek.start()
    numbers = [int(peek.client("HGET", f"mr:{{p{p}}}:owner", "n") or 0) for p in range(16)]
    peek.kill()
    shutil.rmtree(peek.dir)
    return numbers


@row("22", "the tail of the AOF is cut off")
def truncated(play):
    """Owners live on and know what was acknowledged: what the store has lost is put back, and said."""
    with play.cluster(coordinators=2) as cluster:
        cluster.await_balance()
        work, lost = play.workload(cluster, 16 if play.short else 40, pace=0.05).start(), False
        for _ in range(1 if play.short else 3):
            before = work.submitted()
            until(30, lambda: work.submitted() > before + 5, "some runs are submitted")
            numbers = [int(cluster.redis.client("HGET", f"mr:{{p{p}}}:owner", "n")) for p in range(16)]
            cluster.redis.kill()
            file = aof_of(cluster)
            size = file.stat().st_size
            os.truncate(file, size - min(play.rng.randint(2000, 12_000), size // 3))
            lost |= any(left < before for left, before in zip(stored_numbers(cluster), numbers))
            play.fault()
            cluster.redis.start()
            cluster.await_balance(30)
        play.play_out(cluster, work)
        said = "".join(c.err() for c in cluster.coordinators)
        play.expect(not lost or "the store had lost commits" in said, "I4", "a tail that was cut off was not noticed")
        play.expect("cannot be brought back" not in said, "I4", "owners that live could not put back what was lost")


@row("23", "bytes overwritten in the middle of the AOF")
def overwritten(play):
    with play.cluster(coordinators=1) as cluster:
        work = play.workload(cluster, 12, kinds={"chain", "fan", "layers"}).start()
        work.join()
        work.await_ends(60)
        victims = play.rng.sample(sorted({a.run for a in work.acknowledged}), 2)
        cluster.coordinators[0].kill()
        cluster.redis.kill()
        data = bytearray(aof_of(cluster).read_bytes())
        hurt = set()
        for run in victims:
            at = data.rfind(b":r:" + run.encode() + b"\r\n")  # its last write
            field = data.find(b"$2\r\n.m\r\n", at)
            begin = data.find(b"\r\n", field + 8) + 2
            for i in range(begin + 12, begin + 16):
                data[i] ^= 0x5A
            hurt.add(run)
            play.fault()
        aof_of(cluster).write_bytes(bytes(data))
        cluster.redis.start()
        cluster.start_coordinator(0)
        cluster.await_workers(2)
        damaged = {run.name for run in Store(cluster.redis.client).runs.values() if run.damaged}
        play.expect(damaged == hurt, "I2", f"the decoder sees damage in {sorted(damaged)}, {sorted(hurt)} were hurt")
        for known in {a.run: a for a in work.acknowledged}.values():
            code, answer = cluster.json("status", known.run, seconds=20)
            if known.run in hurt:
                play.expect(code not in (0, None), "I2", f"damaged run {known.run} is served: {str(answer)[:200]}")
                play.expect("checksum" in str(answer) or "damaged" in str(answer), "I2",
                            f"damaged run {known.run} is refused without the reason: {code} {str(answer)[:200]}")
            else:
                play.expect(code == 0 and answer["status"] in RUN_ENDS, "I4",
                            f"run {known.run} beside a damaged one: {code} {str(answer)[:200]}")
        play.runs += len(work.acknowledged)
        play.violations += work.problems
        after = play.workload(cluster, 4, kinds={"chain"}).start()
        after.join()
        play.violations += after.await_ends(60)


def refused_well(play, work, names):
    """Whatever was refused meanwhile was refused by name, at once or after the client's patience."""
    for key, kind, _, code, answer in work.unanswered:
        text = str(answer)
        play.expect(code in (5, 6) and any(name in text for name in names), "I4",
                    f"submission {key} ({kind.name}) was refused with {code} {text[:300]}")


@row("24", "Redis out of memory")
def no_memory(play):
    with play.cluster(coordinators=1) as cluster:
        work = play.workload(cluster, 30 if play.short else 80, pace=0.05, threads=2).start()
        until(30, lambda: work.submitted() >= 5, "some runs are submitted")
        used = dict(line.split(b":", 1) for line in cluster.redis.client("INFO", "memory").split(b"\r\n") if b":" in line)
        cluster.redis.client("CONFIG", "SET", "maxmemory", int(used[b"used_memory"]) // 2)
        play.fault()
        time.sleep(3 if play.short else 8)
        epochs = [cluster.redis.client("HGET", f"mr:{{p{p}}}:owner", "epoch") for p in range(16)]
        cluster.redis.client("CONFIG", "SET", "maxmemory", 0)
        now = [cluster.redis.client("HGET", f"mr:{{p{p}}}:owner", "epoch") for p in range(16)]
        play.expect(epochs == now, "I5", "owners changed while the store was full")
        work.join(150)
        refused_well(play, work, ["store", "unavailable", "unreachable", "not_serving", "queue_full", "did not answer"])
        play.note(f"{len(work.unanswered)} submissions were refused meanwhile")
        play.play_out(cluster, work)


@row("25", "disk full under Redis")
def no_disk(play):
    """Redis in a mount namespace of its own, its directory 3 MiB of tmpfs; a file takes what is left."""
    if subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode:
        raise Skip("no mount namespaces (unshare -m is refused)")
    with play.cluster(coordinators=1, fsync="everysec") as cluster:
        redis = cluster.redis
        for program in [*cluster.workers.values(), *cluster.coordinators]:
            program.kill()
        redis.kill()
        small = cluster.scratch / "small"
        small.mkdir()
        inner = ["redis-server", "--port", 0, "--unixsocket", redis.path, "--dir", small, "--save", "", "--appendonly", "yes",
                 "--appendfsync", "everysec", "--daemonize", "no", "--auto-aof-rewrite-percentage", 0]
        from harness.cluster import Program
        redis.program = Program(["unshare", "-m", "--propagation", "private", "sh", "-c",
                                 f"mount -t tmpfs -o size=3m none {small} && exec " + " ".join(map(str, inner))],
                                redis.dir / "small")
        until(15, redis.answers, "redis answers on the small disk")
        cluster.start_coordinator(0)
        for name in cluster.worker_names:
            cluster.start_worker(name)
        cluster.await_workers(2)
        work = play.workload(cluster, 24, pace=0.1, threads=2).start()
        until(40, lambda: work.submitted() >= 4, "some runs are submitted")
        ballast = pathlib.Path(f"/proc/{redis.program.pid}/root{small}/ballast")
        try:
            with open(ballast, "wb") as file:
                while True:
                    file.write(b"x" * 65536)
                    file.flush()
        except OSError:
            play.fault()
        time.sleep(4)
        until(20, lambda: b"aof_last_write_status:err" in redis.client("INFO", "persistence"), "redis sees the full disk")
        time.sleep(2)
        ballast.unlink()
        work.join(150)
        refused_well(play, work, ["store", "unavailable", "unreachable", "not_serving", "queue_full", "did not answer"])
        play.play_out(cluster, work)


@row("28", "Redis slow: no owner changes")
def slow(play):
    with play.cluster(coordinators=2) as cluster:
        cluster.await_balance()
        epochs = [cluster.redis.client("HGET", f"mr:{{p{p}}}:owner", "epoch") for p in range(16)]
        work = play.workload(cluster, 20 if play.short else 60, pace=0.1).start()
        for pause in [3000, 1000] if play.short else [3000, 1000, 6000, 300, 300, 4000]:
            cluster.redis.client("CLIENT", "PAUSE", pause, play.rng.choice(["ALL", "WRITE"]))
            play.fault()
            time.sleep(pause / 1000 + 0.5)
        now = [cluster.redis.client("HGET", f"mr:{{p{p}}}:owner", "epoch") for p in range(16)]
        play.expect(epochs == now, "I5", f"owners changed while the store was slow: {epochs} became {now}")
        play.play_out(cluster, work)


@row("29", "Redis function missing")
def no_function(play):
    with play.cluster(coordinators=2) as cluster:
        cluster.await_balance()
        work = play.workload(cluster, 20 if play.short else 60, pace=0.05).start()
        for _ in range(3 if play.short else 12):
            try:
                cluster.redis.client("FUNCTION", "FLUSH", play.rng.choice(["SYNC", "ASYNC"]))
            except RedisError:
                pass
            play.fault()
            time.sleep(play.rng.uniform(0.1, 1.0))
        play.play_out(cluster, work)



