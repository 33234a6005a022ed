"""Rows 10 to 20: workers that die, stand still or are drained at bad moments, and tasks that do harm."""
import os
import resource
import signal
import time

from harness.cluster import until
from harness.matrix import row


@row("10", "worker killed: before start, mid-task, after sending the result")
def killed(play):
    with play.cluster(workers=3) as cluster:
        points = ["task_before_start", "task_running", "result_sent"]
        work = play.workload(cluster, 24 if play.short else 80, pace=0.03).start()
        for i in range(3 if play.short else 9):
            name = f"w{i % 3 + 1}"
            cluster.workers[name].kill()
            cluster.start_worker(name, fault=f"{points[i % 3]}:kill@{play.rng.randint(1, 5)}")
        deaths = 3 if play.short else 9
        deadline = time.monotonic() + 30 + 5 * deaths
        while deaths and time.monotonic() < deadline and work.submitted() < 24 * 4:
            for name, worker in list(cluster.workers.items()):
                if not worker.running():
                    play.fault()
                    deaths -= 1
                    again = f"{play.rng.choice(points)}:kill@{play.rng.randint(1, 8)}" if deaths > 2 else ""
                    cluster.start_worker(name, fault=again)
            time.sleep(0.05)
        for name in cluster.workers:
            cluster.workers[name].kill()
            cluster.start_worker(name)
        play.play_out(cluster, work, bound=120)


@row("11", "worker stopped past its lease, then reports (zombie)")
def zombie(play):
    with play.cluster(workers=3) as cluster:
        work = play.workload(cluster, 20 if play.short else 60, pace=0.02).start()
        for _ in range(1 if play.short else 3):
            until(30, lambda: work.submitted() >= 5, "some runs are submitted")
            worker = cluster.workers["w1"]
            worker.stop()
            play.fault()
            until(20, lambda: cluster.workers_ready() == 2, "the stopped worker is given up", every=0.2)
            worker.go_on()
            cluster.await_workers(3)
        play.play_out(cluster, work)


LONG = """
name: long
nodes:
  long: {executor: shell, script: "sleep 4; echo done", retry: {max_losses: 9}}
  after: {executor: noop, depends_on: [long]}
"""


@row("14", "worker drained, its grace exceeded")
def drained(play):
    with play.cluster(workers=2, slots=2, worker_options=["--drain-grace", "1s"]) as cluster:
        work = play.workload(cluster, 12 if play.short else 40, pace=0.02).start()
        file = cluster.file("long.yaml", LONG)
        long = [cluster.json("submit", file)[1]["run"] for _ in range(4)]
        until(20, lambda: any(r["used"] for r in cluster.rows("workers") if r["worker"] == "w1"), "w1 works", every=0.1)
        worker = cluster.workers["w1"]
        worker.signal(signal.SIGTERM)
        play.fault()
        time.sleep(play.rng.uniform(0.2, 2.5))
        worker.kill()
        cluster.start_worker("w1")
        for run in long:
            code, answer = cluster.json("wait", run, "--timeout", "60s", seconds=80)
            play.expect(code == 0, "I6", f"run {run} after its worker was drained: {code} {str(answer)[:200]}")
        play.play_out(cluster, work)


@row("15", "stolen worker identity: two workers, one id")
def stolen(play):
    with play.cluster(workers=2) as cluster:
        work = play.workload(cluster, 12 if play.short else 40, pace=0.02).start()
        first = cluster.workers["w1"]
        for _ in range(2 if play.short else 6):
            second = cluster.start_worker("w1")
            play.fault()
            code = second.wait(20)
            play.expect(code == 6, "I2", f"a second worker of the name w1 ended with {code}: {second.err()[-300:]}")
            play.expect("id_in_use" in second.err(), "I2", "the second worker was not told id_in_use")
        cluster.workers["w1"] = first
        play.expect(first.running(), "I2", "the first holder of the name ended")
        play.play_out(cluster, work)


def expect_end(play, cluster, run, status, code, node):
    _, answer = cluster.json("wait", run, "--timeout", "60s", seconds=80)
    error = (answer.get("nodes") or {}).get(node, {}).get("error") or {}
    play.runs += 1
    play.expect(answer.get("status") == status and error.get("code") == code, "I1",
                f"run {run}: {answer.get('status')}, node {node} {error} instead of {status}, {code}")


@row("17", "a task that crashes its interpreter, and one whose worker dies, every time")
def poison(play):
    with play.cluster(workers=2, slots=2) as cluster:
        crash = cluster.file("crash.yaml", "nodes:\n  crash:\n    executor: python\n    script: |\n      import os\n"
                             "      os.kill(os.getpid(), 9)\n    retry: {max_attempts: 3, backoff: {initial: 50ms}}\n")
        deadly = cluster.file("deadly.yaml", "nodes:\n  deadly:\n    executor: shell\n    script: 'sleep 60'\n"
                              "    retry: {max_losses: 2}\n")
        work = play.workload(cluster, 10 if play.short else 40, kinds={"chain", "fan", "loose", "values"}, pace=0.02).start()
        _, crashed = cluster.json("submit", crash)
        expect_end(play, cluster, crashed["run"], "failed", "crashed", "crash")
        play.fault(3)
        _, answer = cluster.json("submit", deadly)
        run, deaths = answer["run"], 0

        def where():
            """The worker that has it and the attempt, once it runs there: a worker that comes back under its name may get
            it again. "ended" when the run has."""
            _, status = cluster.json("status", run)
            node = (status.get("nodes") or {}).get("deadly", {})
            if status.get("status") == "failed":
                return "ended"
            return node.get("status") == "running" and (node.get("worker"), node.get("attempts"))

        while (place := until(40, where, "the deadly task runs or has ended", every=0.1)) != "ended" and deaths < 5:
            name, _ = place
            cluster.workers[name].kill()
            deaths += 1
            play.fault()
            cluster.start_worker(name)
            until(20, lambda: where() != place, "its worker is given up", every=0.1)
        play.expect(deaths <= 3, "I8", f"a task took {deaths} workers with it, its max_losses is 2")
        expect_end(play, cluster, run, "failed", "poisoned", "deadly")
        play.play_out(cluster, work)


@row("16", "a task runs out of memory")
def out_of_memory(play):
    with play.cluster(workers=1, slots=2) as cluster:
        hungry = cluster.file("hungry.yaml", "nodes:\n  hungry:\n    executor: python\n    limits: {memory: 256MiB}\n"
                              "    script: |\n      kept = []\n      while True:\n        kept.append(bytearray(1 << 20))\n")
        work = play.workload(cluster, 10, kinds={"chain", "fan", "loose", "values"}, pace=0.02).start()
        for _ in range(2 if play.short else 8):
            _, run = cluster.json("submit", hungry)
            expect_end(play, cluster, run["run"], "failed", "oom", "hungry")
            play.fault()
        play.play_out(cluster, work)


BOMBS = {
    "descriptors": ("limits: {files: 64}", "import os\n      kept = []\n      while True:\n"
                    "        kept.append(os.open('/dev/null', 0))"),
    "unlimited descriptors": ("timeout: 60s", "import os\n      kept = []\n      while True:\n"
                              "        kept.append(os.open('/dev/null', 0))"),
    "disk": ("limits: {file_size: 1MiB}", "import tempfile\n      f = tempfile.TemporaryFile()\n      while True:\n"
             "        f.write(b'x' * 65536); f.flush()"),
    "processor": ("limits: {cpu: 1s}", "while True:\n        pass"),
}


@row("18", "tasks that open every file, fill the disk, burn the processor; fork bombs need a user of their own")
def bombs(play):
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(512, before[1]), before[1]))  # the children of this process
    try:
        with play.cluster(workers=1, slots=2) as cluster:
            work = play.workload(cluster, 10, kinds={"chain", "fan", "loose", "values"}, pace=0.02).start()
            for _ in range(1 if play.short else 4):
                for name, (limits, script) in BOMBS.items():
                    file = cluster.file("bomb.yaml", "nodes:\n  bomb:\n    executor: python\n"
                                        f"    {limits}\n    script: |\n      {script}\n")
                    code, answer = cluster.json("submit", file, "--wait", "--no-progress", seconds=90)
                    error = str((answer.get("nodes") or {}).get("bomb", {}).get("error"))
                    play.expect(code == 1 and answer["status"] == "failed", "I1", f"a bomb of {name}: {code} {error[:300]}")
                    play.runs += 1
                    play.fault()
            play.play_out(cluster, work)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


@row("19", "a task that ignores SIGTERM")
def stubborn(play):
    with play.cluster(workers=1, slots=2) as cluster:
        mark = cluster.scratch / "stubborn"
        file = cluster.file("stubborn.yaml", f"""nodes:
  stubborn:
    executor: shell
    script: 'trap "" TERM INT HUP; echo $$ >> {mark}; while :; do sleep 0.1; done'
    timeout: 400ms
""")
        work = play.workload(cluster, 10, kinds={"chain", "loose"}, pace=0.02).start()
        for _ in range(3 if play.short else 10):
            _, run = cluster.json("submit", file)
            expect_end(play, cluster, run["run"], "failed", "timeout", "stubborn")
            play.fault()
        for pid in mark.read_text().split():
            until(10, lambda: not os.path.exists(f"/proc/{pid}"), f"the task's process {pid} is gone")
        play.play_out(cluster, work)


@row("20", "slow worker: stopped and continued in turn")
def slow(play):
    with play.cluster(workers=3) as cluster:
        work = play.workload(cluster, 20 if play.short else 60, pace=0.1).start()
        before = cluster.rows("workers")
        joined = {r["worker"]: r["joined"] for r in before}
        end = time.monotonic() + (8 if play.short else 30)
        while time.monotonic() < end:
            cluster.workers["w1"].stop()
            time.sleep(1.2)
            cluster.workers["w1"].go_on()
            play.fault()
            time.sleep(0.4)
        after = {r["worker"]: r["joined"] for r in cluster.rows("workers")}
        play.expect(joined == after, "I6", f"a slow worker was given up: {joined} became {after}")
        lost = [line for line in cluster.coordinators[0].err().splitlines() if "is lost" in line]
        play.expect(not lost, "I6", f"a slow worker was declared dead: {lost[:2]}")
        play.play_out(cluster, work)
