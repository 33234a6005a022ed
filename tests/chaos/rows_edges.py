"""Rows 35 to 46: wrong clocks, bad input, stalled readers, secrets, and logs that nobody takes."""
import json
import os
import random
import resource
import signal
import socket
import subprocess
import time

from harness.cluster import CANARY, Skip, free_port, until
from harness.matrix import elsewhere, row
from harness.zmtp import Dealer


def skewed(cluster_scratch, seconds):
    """Environment of a program whose wall clock is wrong."""
    library = cluster_scratch / "skew.so"
    if not library.exists():
        source = os.path.join(os.path.dirname(__file__), "skew.c")
        done = subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], capture_output=True,
                              check=False)
        if done.returncode:
            raise Skip("no gcc to build the wrong clock with: " + done.stderr.decode()[-200:])
    return {"LD_PRELOAD": str(library), "MILLRACE_SKEW": str(seconds)}


@row("35", "a clock two hours ahead or behind on one node")
def clocks(play):
    with play.cluster(coordinators=2) as cluster:
        cluster.await_balance()
        for hours in [2] if play.short else [2, -2]:
            work = play.workload(cluster, 16 if play.short else 40, pace=0.05).start()
            until(30, lambda: work.submitted() >= 4, "some runs are submitted")
            kept, cluster.env = cluster.env, skewed(cluster.scratch, hours * 3600)
            cluster.coordinators[0].kill()
            cluster.start_coordinator(0)
            cluster.workers["w1"].kill()
            cluster.start_worker("w1")
            cluster.env = kept
            play.fault(2)
            cluster.await_balance(30)
            time.sleep(1)
            cluster.coordinators[1].kill()  # what the wrong clock wrote is read by the right one, and back
            cluster.start_coordinator(1)
            play.fault()
            cluster.await_balance(30)
            play.play_out(cluster, work, clocks_agree=False)
        cluster.coordinators[0].kill()
        cluster.start_coordinator(0)
        cluster.await_balance(30)
        work = play.workload(cluster, 8).start()
        play.play_out(cluster, work, clocks_agree=False)


def address_space(megabytes):
    def limit():
        resource.setrlimit(resource.RLIMIT_AS, (megabytes << 20, megabytes << 20))
    return limit


@row("36", "payloads over the limits")
def too_large(play):
    with play.cluster(coordinators=1) as cluster:
        work = play.workload(cluster, 8).start()
        file = cluster.file("takes.yaml", "inputs: {v: string}\nnodes:\n  a: {executor: noop}\n"
                            "  b: {executor: python, script: \"output = 'x' * 300_000_000\"}\n")
        huge = cluster.scratch / "huge"
        with open(huge, "wb") as out:
            for _ in range(270):
                out.write(b"y" * (1 << 20))
        code, answer = cluster.json("submit", file, "-i", f"v=@{huge}", seconds=90)
        play.fault()
        play.expect(code == 2 and "larger than 256 MiB" in str(answer), "I8",
                    f"270 MiB of input ended with {code} {str(answer)[:300]}")
        code, answer = cluster.json("submit", file, "-i", "v=small", "--wait", seconds=90)
        play.fault()
        error = str((answer.get("nodes") or {}).get("b", {}).get("error"))
        play.expect(code == 1 and "limit" in error, "I8", f"an output of 300 MB ended with {code} {error[:300]}")
        big = cluster.file("big.yaml", "nodes:\n  a:\n    executor: python\n    script: |\n" +
                           "      # 0123456789012345678901234567890123456789012345678901234567890\n" * 150_000)
        code, answer = cluster.json("submit", big, seconds=60)
        play.expect(code == 2 and "8" in str(answer), "I8", f"a file of 10 MB ended with {code} {str(answer)[:200]}")
        play.fault()
        play.runs += 1
        for name in cluster.workers:  # it held the large output once
            cluster.workers[name].kill()
            cluster.start_worker(name)
        cluster.await_workers(2)
        play.play_out(cluster, work)


@row("37", "malformed, truncated, oversized, wrong-version frames on the port")
def rubbish(play):
    rng = random.Random(play.rng.random())
    with play.cluster(coordinators=1) as cluster:
        work = play.workload(cluster, 16 if play.short else 40, pace=0.05).start()
        port = cluster.ports[0][0]
        for _ in range(60 if play.short else 600):
            play.fault()
            kind = rng.randrange(7)
            try:
                if kind == 0:  # not ZMTP at all
                    with socket.create_connection(("127.0.0.1", port), 2) as sock:
                        sock.sendall(rng.randbytes(rng.randint(1, 300)))
                    continue
                dealer = Dealer(port, 2)
                body = rng.randbytes(rng.choice([0, 1, 10, 200, 5000]))
                if kind == 1:
                    dealer.send(b"MR\x01" + bytes([rng.randint(0, 255)]), body)
                elif kind == 2:  # another version
                    dealer.send(b"MR" + bytes([rng.choice([0, 2, 99, 255])]) + b"\x03", body)
                elif kind == 3:
                    dealer.send(rng.randbytes(4), body)
                elif kind == 4:  # parts missing, or too many
                    dealer.send(*[b"MR\x01\x03"] * rng.choice([1, 3, 9]))
                elif kind == 5:  # says it is long, and ends
                    dealer.sock.sendall(b"\x02" + (1 << rng.randint(20, 62)).to_bytes(8, "big") + b"x" * 100)
                else:
                    for number in range(1, 7):
                        dealer.send(b"MR\x01" + bytes([number]), body)
                dealer.close()
            except (OSError, ConnectionError):
                pass
        dealer = Dealer(port, 5)
        dealer.send(b"MR\x02\x03", b"\x08\x01")
        try:
            answer = b" ".join(dealer.receive())
            play.expect(b"version" in answer, "I8", f"another protocol version was answered with {answer[:200]}")
        except (OSError, ConnectionError) as error:
            play.note(f"another protocol version is not answered: {error}")
        dealer.close()
        play.expect(cluster.coordinators[0].running(), "I8", "the coordinator died of rubbish: " +
                    cluster.coordinators[0].err()[-500:])
        lines = cluster.coordinators[0].err().count("\n")
        play.expect(lines < 2000, "I8", f"the coordinator logged {lines} lines of rubbish")
        play.play_out(cluster, work)


elsewhere("38", "wrong or unknown CURVE key, no CURVE", "process.Security*, process.SecurityOfPorts*, io.Zap*")


def events_in_order(text):
    events = [json.loads(line) for line in text.splitlines()]
    return [e["seq"] for e in events if e["seq"]], events


@row("39", "event subscriber stalled")
def stalled(play):
    with play.cluster(coordinators=1) as cluster:
        wide = cluster.file("wide.yaml", "nodes:\n" + "".join(
            f"  n{i}: {{executor: noop{', depends_on: [n%d]' % (i - 300) if i >= 300 else ''}}}\n" for i in range(3000)))
        gate = cluster.file("gated.yaml", f"""nodes:
  gate: {{executor: shell, script: "while [ ! -e {cluster.scratch}/open ]; do sleep 0.05; done"}}
""" + "".join(f"  n{i}: {{executor: noop, depends_on: [gate]}}\n" for i in range(2000)))
        _, answer = cluster.json("submit", gate)
        run = answer["run"]
        follower = cluster.start_cli(["events", run, "-f", "-o", "jsonl"], log=cluster.scratch / "follower")
        until(20, follower.out, "the follower follows")
        follower.stop()
        play.fault()
        (cluster.scratch / "open").touch()
        begun = time.monotonic()
        for _ in range(3 if play.short else 10):
            code, answer = cluster.json("submit", wide, "--wait", "--no-progress", seconds=60)
            play.runs += 1
            play.expect(code == 0, "I6", f"a run beside a stalled subscriber: {code} {str(answer)[:200]}")
        play.note(f"{3 if play.short else 10} runs of 3,000 tasks in {time.monotonic() - begun:.1f} s beside it")
        follower.go_on()
        play.expect(follower.wait(60) == 0, "I7", f"the follower did not end: {follower.err()[-300:]}")
        seqs, _ = events_in_order(follower.out())
        play.expect(seqs == list(range(1, 2001 + 2 + 1)), "I7", f"the follower saw {len(seqs)} events, {seqs[:3]} to {seqs[-3:]}")
        play.judge(cluster)


@row("40", "event subscriber dropped and resumed")
def resumed(play):
    with play.cluster(coordinators=2) as cluster:
        cluster.await_balance()
        chain = cluster.file("chain.yaml", "nodes:\n" + "".join(
            f"  n{i}: {{executor: noop, delay: 30ms{', depends_on: [n%d]' % (i - 1) if i else ''}}}\n" for i in range(120)))
        _, answer = cluster.json("submit", chain)
        run, seen, parts = answer["run"], [], 0
        while parts < 60:
            since = str(seen[-1]) if seen else "0"
            follower = cluster.start_cli(["events", run, "-f", "-o", "jsonl", "--since", since],
                                         log=cluster.scratch / f"part-{parts}")
            ended = follower.wait(play.rng.uniform(0.2, 0.8))
            follower.kill()
            play.fault()
            text = follower.out()
            seqs, events = events_in_order(text[:text.rfind("\n") + 1])
            seen += seqs
            parts += 1
            if parts == 3:
                cluster.coordinators[0].kill()
                cluster.start_coordinator(0)
            if events and events[-1]["type"].startswith("run_") and events[-1]["type"] != "run_accepted" or ended == 0:
                break
        play.expect(seen == list(range(1, 123)), "I7", f"put together, the follower saw {len(seen)} events: {seen[-5:]}")
        play.judge(cluster)
        play.runs += 1


elsewhere("40a", "SSE client dropped and resumed by Last-Event-ID", "later: HTTP for clients")


@row("41", "YAML bomb, depth 200,000, a million nodes, a cycle")
def yaml_bombs(play):
    scratch_cluster = play.cluster(coordinators=1, workers=1)
    with scratch_cluster as cluster:
        laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
            f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 12))
        bombs = {
            "aliases": "nodes:\n  n: {executor: noop}\n" + laughs,
            "aliases-inside": laughs + "nodes:\n  n: {value: *a11}\n",
            "depth": "nodes: {n: {value: " + "[" * 200_000 + "]" * 200_000 + "}}\n",
            "depth-maps": "nodes:\n  n:\n    value: " + "{a: " * 200_000 + "1" + "}" * 200_000 + "\n",
            "million": "nodes:\n" + "".join(f" n{i}: {{executor: noop}}\n" for i in range(1_000_000)),
            "half-million-short": "nodes: {" + ",".join(f"n{i}: {{value: 1}}" for i in range(400_000)) + "}\n",
            "cycle": "nodes:\n  a: {executor: noop, depends_on: [c]}\n  b: {executor: noop, depends_on: [a]}\n"
                     "  c: {executor: noop, depends_on: [b]}\n",
            "self": "nodes:\n  a: {executor: noop, depends_on: [a]}\n",
            "long-line": "nodes: {n: {value: '" + "{{ " * 100_000 + "'}}\n",
            "expression": "nodes: {n: {value: '{{ " + "(" * 20_000 + "1" + ")" * 20_000 + " }}'}}\n",
        }
        for name, text in bombs.items():
            file = cluster.file(f"{name}.yaml", text)
            for verb in ("validate", "submit"):
                begun = time.monotonic()
                program = subprocess.Popen([cluster.bin / "millrace", verb, file, "-o", "json"], stdout=subprocess.PIPE,
                                           stderr=subprocess.PIPE, preexec_fn=address_space(2048),
                                           env={**os.environ, "MILLRACE_COORDINATOR": cluster.address()})
                try:
                    out, err = program.communicate(timeout=30)
                except subprocess.TimeoutExpired:
                    program.kill()
                    out, err = program.communicate()
                took = time.monotonic() - begun
                play.fault()
                play.expect(program.returncode == 2 and took < 20, "I8",
                            f"{verb} of {name}: exit code {program.returncode} after {took:.1f} s: {(out + err)[-200:]}")
        play.expect(cluster.coordinators[0].running(), "I8", "the coordinator did not live through it")
        work = play.workload(cluster, 4).start()
        play.play_out(cluster, work)


@row("42", "cancel racing finish, retry, timeout")
def cancels(play):
    done = subprocess.run([play.bin / "millrace-sim", "--seeds", "1..60" if play.short else "1..1000"],
                          capture_output=True, text=True, check=False)
    play.expect(done.returncode == 0, "I1", f"the simulator: {done.stdout[-500:]}")
    with play.cluster(coordinators=2) as cluster:
        cluster.await_balance()
        work = play.workload(cluster, 30 if play.short else 150, kinds={"raced", "endless", "flaky", "late"}).start()
        play.fault(30 if play.short else 150)
        play.play_out(cluster, work)


elsewhere("43", "rolling upgrade with live runs", "process.Versions*")
elsewhere("44", "LLM: 429, cut stream, slow drip, redirect to a metadata address", "executors.Llm*, net.*")


@row("45", "canary secret in the store's password and the token of HTTP: nowhere in logs, events, metrics, errors")
def canary_everywhere(play):
    """Wherever a secret may stand, one stands; then everything is looked through (by judge, too)."""
    port = free_port()
    with play.cluster(coordinators=1, workers=1, coordinator_options=["--http", "127.0.0.1:0"], redis_port=port,
                      env={"MILLRACE_HTTP_TOKEN": CANARY}) as cluster:
        redis = cluster.redis
        redis.client("CONFIG", "SET", "requirepass", CANARY)
        cluster.coordinators[0].kill()
        cluster.redis_url = f"redis://:{CANARY}@127.0.0.1:{port}/0"
        program = cluster.start_coordinator(0)
        cluster.await_workers(1)
        work = play.workload(cluster, 10).start()
        work.join()
        play.fault()
        http = [line for line in program.err().splitlines() if "http listening" in line][-1]
        port = int(json.loads(http)["endpoint"].rsplit(":", 1)[1]) if "endpoint" in json.loads(http) else None
        texts = {}
        if port:
            for path, token in (("/metrics", CANARY), ("/v1/scale", CANARY), ("/metrics", "wrong"), ("/readyz", "")):
                texts[f"{path} {token[:5]}"] = http_get(port, path, token)
        for words in (["list", "-o", "json"], ["workers", "-o", "json"], ["coordinators", "-o", "json"],
                      ["events", work.acknowledged[0].run, "-o", "json"], ["status", work.acknowledged[0].run]):
            texts[" ".join(words)] = "".join(map(str, cluster.cli(*words)[1:]))
        redis.client("CONFIG", "SET", "requirepass", "another")  # errors of authentication, too
        redis.client("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        time.sleep(2)
        redis.client("CONFIG", "SET", "requirepass", CANARY)
        dump = subprocess.run([cluster.bin / "millrace-coordinator", "--print-config", "--redis", cluster.redis_url],
                              capture_output=True, text=True, timeout=20, check=False)
        texts["--print-config"] = dump.stdout + dump.stderr
        for name, text in texts.items():
            play.expect(CANARY not in text, "I9", f"the secret stands in the answer of {name}")
        for pid in (program.pid, cluster.workers["w1"].pid):
            with open(f"/proc/{pid}/environ", "rb") as file:
                play.expect(b"MILLRACE_HTTP_TOKEN=" + CANARY.encode() not in file.read(), "I9",
                            "the token can be read in the environment of a daemon")
        play.play_out(cluster, work)


def http_get(port, path, token):
    with socket.create_connection(("127.0.0.1", port), 5) as sock:
        sock.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
        data = b""
        while part := sock.recv(65536):
            data += part
    return data.decode(errors="replace")


@row("46", "log disk full, stderr blocked")
def no_log(play):
    with play.cluster(coordinators=1, workers=1) as cluster:
        cluster.coordinators[0].kill()  # others take their place, started below
        cluster.coordinators[0] = None
        cluster.workers.pop("w1").kill()
        read_end, write_end = os.pipe()  # nobody will ever read
        full = os.open("/dev/full", os.O_WRONLY)
        for kind, fd in (("blocked", write_end), ("full", full)):
            port, events = cluster.ports[0]
            common = dict(stdin=subprocess.DEVNULL, stdout=fd, stderr=fd, start_new_session=True)
            coordinator = subprocess.Popen(
                [cluster.bin / "millrace-coordinator", "--listen", f"tcp://127.0.0.1:{port}", "--events",
                 f"tcp://127.0.0.1:{events}", "--redis", cluster.redis.url, "--id", "coordinator-1", "--log-level", "debug"],
                **common)
            worker = subprocess.Popen([cluster.bin / "millrace-worker", "--coordinator", f"tcp://127.0.0.1:{port}", "--id", "w1",
                                       "--slots", "4", "--log-level", "debug", "--task-user", "none"], **common)
            try:
                until(25, lambda: cluster.workers_ready() >= 1, f"a worker is known with a {kind} log", every=0.2)
                work = play.workload(cluster, 60 if play.short else 200, threads=4).start()
                play.fault()
                play.play_out(cluster, work)
                play.expect(coordinator.poll() is None and worker.poll() is None, "I8", f"a {kind} log ended a daemon")
            finally:
                for process in (worker, coordinator):
                    process.send_signal(signal.SIGKILL)
                    process.wait()
        os.close(read_end)
        os.close(write_end)
        os.close(full)
