"""The workload: many kinds of runs, sizes, failures, cancels and rates, all from one seed.

Each run has a kind, and with it the set of ends that are right for it whatever happens to the cluster. Tasks that note
their starts do so in a file of the run, so that what ran twice can be counted.
"""
import queue
import random
import threading
import time

from .checker import Acknowledged

RETRY = "retry: {max_attempts: 3, max_losses: 30, backoff: {initial: 50ms, max: 500ms}}"
LOSSES = "retry: {max_losses: 30}"


class Kind:
    def __init__(self, name, make, ends=("succeeded",), weight=1, cancel=False, priority=None):
        self.name, self.make, self.ends, self.weight, self.cancel = name, make, set(ends), weight, cancel


def graph(nodes):
    """YAML of {id: (upstream, extra)}; extra is flow-style text that begins with the executor."""
    lines = ["nodes:"]
    for node, (upstream, extra) in nodes.items():
        after = f", depends_on: [{', '.join(upstream)}]" if upstream else ""
        lines.append(f"  {node}: {{{extra}{after}}}")
    return "\n".join(lines) + "\n"


def a_task(rng, heavy=0.25):
    """Mostly no-ops, some that take a while, some processes."""
    roll = rng.random()
    if roll < heavy:
        return f'executor: shell, script: "sleep {rng.choice(["0.01", "0.05", "0.2"])}; echo ok", {LOSSES}'
    if roll < 0.6:
        return f"executor: noop, delay: {rng.choice([1, 5, 20, 60, 150])}ms, {LOSSES}"
    return f"executor: noop, {LOSSES}"


def chain(rng):
    return graph({f"n{i}": ([f"n{i - 1}"] if i else [], a_task(rng)) for i in range(rng.randint(2, 8))})


def fan(rng):
    width = rng.choice([3, 8, 20, 60])
    nodes = {"begin": ([], a_task(rng))}
    for i in range(width):
        nodes[f"n{i}"] = (["begin"], a_task(rng, heavy=0.1))
    nodes["end"] = ([f"n{i}" for i in range(width)], a_task(rng))
    return graph(nodes)


def layers(rng):
    nodes, above = {}, []
    for layer in range(rng.randint(2, 4)):
        names = [f"l{layer}n{i}" for i in range(rng.randint(1, 6))]
        for name in names:
            nodes[name] = (list(above), a_task(rng))
        above = names
    return graph(nodes)


def thicket(rng):
    nodes = {}
    for i in range(rng.randint(5, 25)):
        some = [f"n{j}" for j in range(i) if rng.random() < 0.25]
        nodes[f"n{i}"] = (some, a_task(rng))
    return graph(nodes)


def loose(rng):
    return graph({f"n{i}": ([], a_task(rng, heavy=0.05)) for i in range(rng.randint(1, 100))})


def values(rng):
    size = rng.choice([10, 2000, 90_000])  # the last is beyond what travels inline
    return f"""
nodes:
  make: {{executor: shell, script: "head -c {size} /dev/zero | tr '\\\\0' x", {LOSSES}}}
  measure: {{value: "{{{{ nodes.make.stdout | length }}}}"}}
  use: {{executor: shell, command: [echo, "{{{{ nodes.measure }}}}"], {LOSSES}}}
outputs: {{size: "{{{{ nodes.measure }}}}"}}
"""


def flaky(rng):
    return f"""
inputs: {{dir: {{type: string, required: true}}}}
nodes:
  before: {{executor: noop}}
  flaky:
    executor: shell
    depends_on: [before]
    env: {{DIR: "{{{{ inputs.dir }}}}", RUN: "{{{{ run.id }}}}"}}
    script: 'echo x >> "$DIR/$RUN.tries"; test "$(wc -l < "$DIR/$RUN.tries")" -ge {rng.randint(2, 3)}'
    {RETRY}
  after: {{executor: noop, depends_on: [flaky]}}
"""


def doomed(rng):
    nodes = {"ok": ([], a_task(rng)), "breaks": (["ok"], f'executor: shell, script: "exit 3", {LOSSES}'),
             "never": (["breaks"], "executor: noop"), "aside": ([], a_task(rng))}
    return f"fail_fast: {rng.choice(['true', 'false'])}\n" + graph(nodes)


def late(rng):
    return graph({"hangs": ([], f'executor: shell, script: "sleep 60", timeout: 300ms, {LOSSES}'),
                  "after": (["hangs"], "executor: noop")})


def endless(rng):
    nodes = {f"n{i}": ([], f'executor: shell, script: "sleep 600", {LOSSES}') for i in range(rng.randint(1, 2))}
    nodes["after"] = (list(nodes), "executor: noop")
    return graph(nodes)


def raced(rng):
    return graph({f"n{i}": ([f"n{i - 1}"] if i else [], f"executor: noop, delay: {rng.choice([5, 40, 120])}ms, {LOSSES}")
                  for i in range(rng.randint(1, 6))})


KINDS = [
    Kind("chain", chain, weight=3), Kind("fan", fan, weight=3), Kind("layers", layers, weight=3),
    Kind("thicket", thicket, weight=3), Kind("loose", loose, weight=2), Kind("values", values, weight=2),
    Kind("flaky", flaky, weight=2), Kind("doomed", doomed, ends=("failed",), weight=2),
    Kind("late", late, ends=("failed",)), Kind("endless", endless, ends=("cancelled",), cancel=True),
    Kind("raced", raced, ends=("succeeded", "cancelled"), cancel=True, weight=2),
]


class Workload:
    """Submits `runs` runs from a few threads while the caller does harm; then waits for all of them.

    Every submission has a key; one in five is made twice. What was acknowledged is in `acknowledged`; submissions that
    were refused or never answered are in `unanswered`, and must be told as such by an exit code other than 0.
    """

    def __init__(self, cluster, seed, runs, kinds=None, pace=0.0, threads=3, at=None):
        self.cluster, self.rng, self.pace, self.at = cluster, random.Random(seed), pace, at
        self.acknowledged, self.unanswered, self.uncancelled, self.problems = [], [], [], []
        self.lock, self.todo = threading.Lock(), queue.Queue()
        chosen = [k for k in KINDS if kinds is None or k.name in kinds]
        marks = cluster.scratch / "marks"
        marks.mkdir(exist_ok=True)
        self.marks = marks
        for i in range(runs):
            kind = self.rng.choices(chosen, [k.weight for k in chosen])[0]
            file = cluster.file(f"{kind.name}-{seed}-{i}.yaml", f"name: {kind.name}\n" + kind.make(self.rng))
            self.todo.put((f"key-{seed}-{i}", kind, file, self.rng.random() < 0.2, self.rng.random()))
        self.threads = [threading.Thread(target=self._submit_all, daemon=True) for _ in range(threads)]

    def start(self):
        for thread in self.threads:
            thread.start()
        return self

    def submitted(self):
        with self.lock:
            return len(self.acknowledged) + len(self.unanswered)

    def _submit_all(self):
        while True:
            try:
                key, kind, file, twice, luck = self.todo.get_nowait()
            except queue.Empty:
                return
            if self.pace:
                time.sleep(self.pace * 2 * luck)
            runs = [self._submit(key, kind, file) for _ in range(2 if twice else 1)]
            known = {run for run in runs if run}
            if len(known) > 1:
                self._problem(f"I1 key {key} gave the runs {sorted(known)}")
            for run in sorted(known)[:1]:
                if kind.cancel:
                    time.sleep(luck * 0.3)
                    self._cancel(run)

    def _cancel(self, run):
        code, _, _ = self.cluster.cli("cancel", run, seconds=90, at=self.at)
        if code not in (0, 7):
            with self.lock:
                self.uncancelled.append(run)

    def _submit(self, key, kind, file):
        words = ["submit", file, "--idempotency-key", key]
        if kind.name == "flaky":
            words += ["-i", f"dir={self.marks}"]
        code, answer = self.cluster.json(*words, seconds=90, at=self.at)
        with self.lock:
            if code == 0:
                self.acknowledged.append(Acknowledged(answer["run"], key))
                self.acknowledged[-1].kind = kind
                return answer["run"]
            self.unanswered.append((key, kind, file, code, answer))
            return None

    def _problem(self, text):
        with self.lock:
            self.problems.append(text)

    def join(self, seconds=120):
        deadline = time.monotonic() + seconds
        for thread in self.threads:
            thread.join(max(0.1, deadline - time.monotonic()))
            if thread.is_alive():
                self._problem("I6 a submission did not come to an end")

    def resubmit(self, seconds=20):
        """Whoever got no answer asks again under the same key, as a client must: there is one run in the end."""
        deadline = time.monotonic() + seconds
        while (self.unanswered or self.uncancelled) and time.monotonic() < deadline:
            again, self.unanswered = self.unanswered, []
            for key, kind, file, _, _ in again:
                run = self._submit(key, kind, file)
                if run and kind.cancel:
                    self._cancel(run)
            again, self.uncancelled = self.uncancelled, []
            for run in again:
                self._cancel(run)
            if self.unanswered or self.uncancelled:
                time.sleep(0.5)
        self.problems += [f"I6 run {run} could not be cancelled" for run in self.uncancelled]

    def await_ends(self, seconds):
        """Every run ends within the bound, and every client is told (I6)."""
        deadline = time.monotonic() + seconds
        for known in {a.run: a for a in self.acknowledged}.values():
            left = max(1.0, deadline - time.monotonic())
            code, answer = self.cluster.json("wait", known.run, "--no-progress", "--timeout", f"{int(left) + 1}s",
                                             seconds=left + 15, at=self.at)
            state = answer.get("status")
            if state is None or code in (4, None):
                self._problem(f"I6 run {known.run} ({known.kind.name}) has not ended in {seconds} s: exit code {code}, "
                              f"{str(answer)[:300]}")
            elif state not in known.kind.ends:
                self._problem(f"I1 run {known.run} ({known.kind.name}) ended as {state}: {str(answer.get('error'))[:300]}")
            else:
                known.state = state
        return self.problems
