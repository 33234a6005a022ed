"""One row of the fault matrix as it is played: what it counts, and how it is judged at the end."""
import random
import time

from . import checker
from .cluster import CANARY, Cluster, Trouble, until
from .resp import Redis, RedisError
from .store import Store
from .workload import Workload

MEMORY_MAX = 400 * 1024 * 1024  # of one daemon under these small workloads (I8)


class Play:
    def __init__(self, number, seed, bin_dir, short):
        self.number, self.seed, self.bin, self.short = number, seed, bin_dir, short
        self.rng = random.Random(f"{number}-{seed}")
        self.faults, self.runs, self.violations, self.notes = 0, 0, [], []
        self.scratch = None

    def fault(self, count=1):
        self.faults += count

    def blame(self, invariant, text):
        self.violations.append(f"{invariant} {text}")

    def expect(self, is_so, invariant, text):
        if not is_so:
            self.blame(invariant, text)
        return is_so

    def note(self, text):
        self.notes.append(text)

    def cluster(self, **options):
        cluster = Cluster(self.bin, **options)
        cluster.keep = lambda: bool(self.violations)
        self.scratch = cluster.scratch
        return cluster

    def workload(self, cluster, runs, **options):
        return Workload(cluster, self.rng.randrange(1 << 30), runs, **options)

    def play_out(self, cluster, *workloads, bound=90, **judged):
        """The faults are over: everything is submitted, ends within the bound, and is judged."""
        for workload in workloads:
            workload.join()
            workload.resubmit()
            for key, kind, _, code, answer in workload.unanswered:
                self.blame("I6", f"submission {key} ({kind.name}) after the fault: exit code {code}, {str(answer)[:300]}")
        for workload in workloads:
            workload.await_ends(bound)
        self.judge(cluster, *workloads, **judged)

    def judge(self, cluster, *workloads, memory=None, **judged):
        """By the store and the stream alone, and by what clients were told."""
        known = [a for workload in workloads for a in workload.acknowledged]
        self.violations += [problem for workload in workloads for problem in workload.problems]
        self.runs += len({a.run for a in known})
        self.violations += checker.check(settled_store(cluster.redis.client), known, **judged)
        if memory is not None:
            memory.look(cluster.redis.client, 16)
            self.violations += [v for v in memory.compare(cluster.redis.client)
                                if not (judged.get("lost_allowed") and v.startswith("I4"))]
        for name, size in cluster.memory().items():
            self.expect(size < MEMORY_MAX, "I8", f"{name} holds {size >> 20} MiB")
        for name, text in cluster.logs().items():
            if CANARY in text:
                self.blame("I9", f"the secret stands in {name}")
        for program in [*cluster.coordinators, *cluster.workers.values()]:
            if program is not None and not program.running():
                self.blame("I8", f"{program.log.name} has ended with {program.process.returncode}: {program.err()[-400:]}")
            if program is not None and "Assertion" in program.err():
                self.blame("assert", f"{program.log.name}: {program.err()[program.err().index('Assertion') - 200:][:500]}")


def settled_store(redis, seconds=10):
    """A copy during which nothing was committed: coordinators may still write a last commit after a run's end."""
    deadline = time.monotonic() + seconds
    while True:
        before = numbers(redis)
        store = Store(redis)
        if numbers(redis) == before or time.monotonic() > deadline:
            return store


def numbers(redis):
    return [redis("HGET", f"mr:{{p{p}}}:owner", "n") for p in range(16)]


__all__ = ["Play", "Redis", "RedisError", "Trouble", "until", "settled_store"]
