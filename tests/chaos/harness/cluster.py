"""Real programs in a private directory: a Redis, coordinators, workers, the command line.

Promises: everything ends with the `with` block, also when this process is killed (PDEATHSIG). What was killed starts
again under its name, address and data. Fails: Trouble, which says what did not happen.
"""
import ctypes
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time

from .resp import Redis, RedisError

CANARY = "canary-6f1d9a3e-swordfish"  # stands where secrets stand; must be nowhere else (I9)
_libc = ctypes.CDLL(None)


class Trouble(Exception):
    """The test could not be played: no verdict on the product, and yet no success."""


class Skip(Exception):
    """This machine or this build cannot play the row; the text says why."""


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def until(seconds, is_so, what, every=0.02):
    """Asks until it is so; what is_so returns."""
    deadline = time.monotonic() + seconds
    while True:
        got = is_so()
        if got:
            return got
        if time.monotonic() > deadline:
            raise Trouble(f"not within {seconds} s: {what() if callable(what) else what}")
        time.sleep(every)


def _with_parent():
    os.setsid()
    _libc.prctl(1, signal.SIGKILL)


class Program:
    def __init__(self, words, log, env=None):
        self.log = pathlib.Path(log)
        with open(f"{log}.out", "ab") as out, open(f"{log}.err", "ab") as err:
            self.process = subprocess.Popen([str(w) for w in words], stdin=subprocess.DEVNULL, stdout=out, stderr=err,
                                            env={**os.environ, **(env or {})}, preexec_fn=_with_parent)
        self.pid = self.process.pid

    def running(self):
        return self.process.poll() is None

    def signal(self, number):
        if self.running():
            os.kill(self.pid, number)

    def kill(self):
        self.signal(signal.SIGKILL)
        return self.process.wait(20)

    def stop(self):
        self.signal(signal.SIGSTOP)

    def go_on(self):
        self.signal(signal.SIGCONT)

    def is_stopped(self):
        try:
            return pathlib.Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "T"
        except OSError:
            return False

    def wait(self, seconds):
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def out(self):
        return pathlib.Path(f"{self.log}.out").read_text(errors="replace")

    def err(self):
        return pathlib.Path(f"{self.log}.err").read_text(errors="replace")

    def memory(self):
        """Resident bytes, 0 when it is gone."""
        try:
            return int(pathlib.Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * 4096
        except OSError:
            return 0


class RedisServer:
    def __init__(self, scratch, options=(), port=None, name="redis"):
        self.dir = pathlib.Path(scratch) / name
        self.dir.mkdir(exist_ok=True)
        self.path, self.port = str(self.dir / "redis.sock"), port
        self.options, self.program = list(options), None
        self.client = Redis(self.path)

    def start(self, check=True):
        words = ["redis-server", "--port", self.port or 0, "--unixsocket", self.path, "--dir", self.dir, "--save", "",
                 "--appendonly", "yes", "--daemonize", "no", *self.options]
        self.program = Program(words, self.dir / "log")
        if check:
            until(15, self.answers, lambda: f"redis answers: {self.program.out()[-800:]}")

    def answers(self):
        if not self.program.running():
            raise Trouble(f"redis has ended: {self.program.out()[-800:]}")
        try:
            return Redis(self.path, 2)("PING") == b"PONG"
        except (OSError, RedisError):
            return False

    def kill(self):
        self.client.close()
        self.program.kill()

    @property
    def url(self):
        return f"redis://127.0.0.1:{self.port}/0" if self.port else f"unix://{self.path}"


class Cluster:
    def __init__(self, bin_dir, *, coordinators=1, workers=2, slots=4, fsync="always", redis_options=(), redis_port=None,
                 coordinator_options=(), worker_options=(), via=None, env=None, redis_url=None, fault=None, ports=None):
        """`via`: {"advertise": [...], "events": [...], "redis": URL}: addresses of proxies that stand between.
        `fault`: MILLRACE_FAULT of the first coordinator."""
        self.bin, self.keep = pathlib.Path(bin_dir), lambda: False  # keep: whether the directory stays
        self.scratch = pathlib.Path(tempfile.mkdtemp(prefix="millrace-chaos-"))
        self.coordinator_options, self.worker_options = list(coordinator_options), list(worker_options)
        self.slots, self.via, self.env = slots, via or {}, env or {}
        self.redis = RedisServer(self.scratch, ["--appendfsync", fsync, *redis_options], redis_port)
        self.redis_url, self.fault, self.more = redis_url, fault, []  # more: programs that end with the others
        self.ports = ports or [(free_port(), free_port()) for _ in range(coordinators)]
        self.coordinators = [None] * coordinators
        self.workers, self.worker_names = {}, [f"w{i + 1}" for i in range(workers)]
        self.commands, self.faults = 0, 0

    def __enter__(self):
        try:
            self.start_store()
            for i in range(len(self.coordinators)):
                self.start_coordinator(i, fault=None if i else self.fault)
            for name in self.worker_names:
                self.start_worker(name)
            self.await_workers(len(self.worker_names))
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *error):
        self.close()
        if not self.keep() and error[0] in (None, Skip):
            shutil.rmtree(self.scratch, ignore_errors=True)

    def start_store(self):
        self.redis.start()

    def knows(self, words):
        """Whether the coordinator of this build speaks of something in its --help."""
        done = subprocess.run([self.bin / "millrace-coordinator", "--help"], capture_output=True, text=True, check=False)
        return words in done.stdout + done.stderr

    def close(self):
        for program in [*self.workers.values(), *self.coordinators, *self.more, self.redis.program]:
            if program is not None and program.running():
                program.kill()

    # ------------------------------------------------------------ daemons

    def address(self, which=0):
        advertised = self.via.get("advertise")
        return advertised[which] if advertised else f"tcp://127.0.0.1:{self.ports[which][0]}"

    def start_coordinator(self, which=0, fault=None, more=(), bin_dir=None):
        port, events = self.ports[which]
        words = [(bin_dir or self.bin) / "millrace-coordinator", "--listen", f"tcp://127.0.0.1:{port}", "--events",
                 f"tcp://127.0.0.1:{events}", "--redis", self.redis_url or self.via.get("redis", self.redis.url), "--id",
                 f"coordinator-{which + 1}", "--log-format", "json", *self.coordinator_options, *more]
        if self.via.get("advertise"):
            words += ["--advertise", self.via["advertise"][which]]
        if self.via.get("events"):
            words += ["--advertise-events", self.via["events"][which]]
        env = {**self.env, "MILLRACE_FAULT": fault or ""}
        self.coordinators[which] = Program(words, self.scratch / f"coordinator-{which + 1}", env)
        return self.coordinators[which]

    def start_worker(self, name, fault=None, more=(), at=None, bin_dir=None):
        words = [(bin_dir or self.bin) / "millrace-worker", "--coordinator", at or self.address(), "--id", name, "--slots",
                 self.slots, "--log-format", "json", "--task-user", "none", *self.worker_options, *more]
        env = {**self.env, "MILLRACE_FAULT": fault or ""}
        self.workers[name] = Program(words, self.scratch / name, env)
        return self.workers[name]

    def await_workers(self, count, seconds=25):
        until(seconds, lambda: self.workers_ready() >= count,
              lambda: f"{count} workers are known: {self.coordinators[0].err()[-1500:]}", every=0.1)

    def workers_ready(self):
        return sum(row["status"] == "ready" for row in self.rows("workers"))

    def await_balance(self, seconds=20):
        """Every coordinator owns its share."""
        def balanced():
            owners = [self.redis.client("HGET", f"mr:{{p{p}}}:owner", "owner") for p in range(16)]
            counts = [owners.count(f"coordinator-{i + 1}".encode()) for i in range(len(self.coordinators))]
            return sum(counts) == 16 and max(counts) - min(counts) <= 1
        until(seconds, balanced, "the partitions are shared evenly", every=0.1)

    def memory(self):
        return {p.log.name: p.memory() for p in [*self.coordinators, *self.workers.values()] if p is not None}

    # ------------------------------------------------------------ command line

    def addresses(self):
        return ",".join(self.address(i) for i in range(len(self.coordinators)))

    def start_cli(self, words, at=None, log=None):
        self.commands += 1
        env = {**self.env, "MILLRACE_COORDINATOR": at or self.addresses(), "NO_COLOR": "1", "MILLRACE_FAULT": ""}
        return Program([self.bin / "millrace", *words], log or self.scratch / f"cli-{self.commands}", env)

    def cli(self, *words, seconds=60, at=None):
        """(exit code or None, standard output, standard error)"""
        program = self.start_cli(words, at)
        code = program.wait(seconds)
        if code is None:
            program.kill()
        out, err = program.out(), program.err()
        for end in (".out", ".err"):
            os.unlink(f"{program.log}{end}")
        return code, out, err

    def rows(self, *words):
        code, out, _ = self.cli(*words, "-o", "jsonl", seconds=15)
        return [json.loads(line) for line in out.splitlines()] if code == 0 else []

    def json(self, *words, seconds=60, at=None):
        code, out, err = self.cli(*words, "-o", "json", seconds=seconds, at=at)
        try:
            return code, json.loads(out)
        except ValueError:
            return code, {"error": {"code": "none", "message": (out + err)[-400:]}}

    def file(self, name, text):
        path = self.scratch / name
        path.write_text(text)
        return path

    def logs(self):
        """What every program said, by its name."""
        return {p.name: p.read_text(errors="replace") for p in self.scratch.iterdir()
                if p.suffix in (".err", ".out") and p.is_file()}
