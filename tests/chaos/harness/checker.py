"""The independent checker: judges I1 to I10 (docs/ARCHITECTURE.md) by the durable event stream and the store alone.

It knows nothing of the coordinator but the format of what it stores, and of the workload only what clients were told:
which runs were acknowledged, and how they were said to have ended. `check` returns violations, each a line that begins
with its invariant.
"""
import time

from . import codec

LIMIT = 20  # violations that are told of one kind


class Acknowledged:
    """What a client was told: I4 holds the store to it."""

    def __init__(self, run, key=None, state=None):
        self.run, self.key, self.state, self.at = run, key, state, time.monotonic()


def check(store, acknowledged=(), finished=True, lost_allowed=False, clocks_agree=True):
    """`finished`: every run must have ended (I6). `lost_allowed`: the declared durability may lose a suffix (I4); a
    function says of which acknowledgements. `clocks_agree`: the times that different owners wrote can be compared."""
    found = []
    found += [f"I2 {what}" for what in store.damaged]
    for p in range(store.partitions):
        found += check_commits(store, p)
        found += check_listing(store, p)
    events = by_run(store)
    for run in store.runs.values():
        found += check_run(store, run, events.get(run.id, []), finished, clocks_agree)
    for run in set(events) - set(store.runs):
        found.append(f"I4 run {codec.run_text(run)} has events and is not stored")
    found += check_acknowledged(store, acknowledged, lost_allowed)
    return found


def by_run(store):
    events = {}
    for p in range(store.partitions):
        for _, _, entry in store.events[p]:
            for event in entry:
                events.setdefault(event["run"], []).append(event)
    return events


def check_commits(store, p):
    """I5: commits grow by number, epochs never go back, and the owner's number covers all that was written."""
    last_epoch = last_commit = 0
    for epoch, commit, _ in store.events[p]:
        if epoch < last_epoch:
            yield f"I5 partition {p}: epoch {epoch} wrote after epoch {last_epoch}"
        if commit <= last_commit:
            yield f"I5 partition {p}: commit {commit} of epoch {epoch} after commit {last_commit} of epoch {last_epoch}"
        last_epoch, last_commit = epoch, commit
    owner = store.owners[p]
    number, epoch = int(owner.get("n", 0)), int(owner.get("epoch", 0))
    for run in store.runs.values():
        if codec.partition_of(run.id) == p and run.record:
            last_commit = max([last_commit, run.record["commit"], *run.segments])
            last_epoch = max(last_epoch, run.record["epoch"])
    if number < last_commit:
        yield f"I5 partition {p}: the owner's record is at commit {number}, commit {last_commit} was written"
    if epoch < last_epoch:
        yield f"I5 partition {p}: the owner's record is of epoch {epoch}, epoch {last_epoch} has written"


def check_listing(store, p):
    """I10: what is listed as live is what has not ended; every run has its key."""
    live = {run.name for run in store.runs.values()
            if codec.partition_of(run.id) == p and run.record and run.record["state"] not in codec.RUN_ENDS}
    if live != set(store.active[p]):
        yield f"I10 partition {p}: live are {sorted(live)[:5]}, listed as live are {sorted(store.active[p])[:5]}"
    if len(store.listed[p]) != len(set(store.listed[p])):
        yield f"I10 partition {p}: a run is listed twice"
    for name in set(store.listed[p]) - set(store.keys[p]):
        yield f"I10 partition {p}: run {name} has no idempotency key"


def check_run(store, run, events, finished, clocks_agree):
    if run.damaged:
        return [f"I2 {what}" for what in run.damaged]
    found = [*check_events(run, events), *check_records(run, events), *check_order(store, run, events, clocks_agree)]
    if finished and run.record["state"] not in codec.RUN_ENDS:
        found.append(f"I6 run {run.name} ({run.info['workflow']}) is still {run.record['state']}")
    return found[:LIMIT]


def check_events(run, events):
    """I1, I7: 1, 2, 3 ..., accepted first, one end and that last, nothing of a task after its end."""
    ends, ended = 0, {}
    for place, event in enumerate(events, 1):
        if event["seq"] != place:
            yield f"I7 run {run.name}: event {event['seq']} at place {place}"
            return
        if (event["type"] == "run_accepted") != (place == 1):
            yield f"I7 run {run.name}: {event['type']} at place {place}"
        if ends:
            yield f"I1 run {run.name}: {event['type']} after its end"
        ends += event["type"] in codec.EVENT_ENDS
        if event["task"] is not None:
            if event["task"] in ended:
                yield f"I2 run {run.name}: {event['type']} of task {event['task']} after {ended[event['task']]}"
            if event["type"][5:] in codec.TASK_ENDS:
                ended[event["task"]] = event["type"]
    if len(events) != run.record["seq"]:
        yield f"I7 run {run.name}: {len(events)} events, the header says {run.record['seq']}"
    over = run.record["state"] in codec.RUN_ENDS
    if over != (ends == 1):
        yield f"I1 run {run.name} is {run.record['state']} and has {ends} ends"
    if over and events and events[-1]["type"] != "run_" + run.record["state"]:
        yield f"I1 run {run.name} is {run.record['state']}, its last event is {events[-1]['type']}"


def check_records(run, events):
    """I2: one final record a task, that of the event that told of it; the header's sum fits."""
    finals = {}
    for commit, records in sorted(run.segments.items()):
        for task, record in records.items():
            if task in finals:
                yield f"I2 run {run.name}: task {task} was written by commit {commit} after its end in {finals[task][0]}"
            if record["state"] in codec.TASK_ENDS:
                finals[task] = (commit, record)
    told = {e["task"]: e for e in events if e["task"] is not None and e["type"][5:] in codec.TASK_ENDS}
    for task in finals.keys() | told.keys():
        if task not in told or task not in finals:
            yield f"I2 run {run.name}: task {task} has a final {'event' if task in told else 'record'} alone"
            continue
        commit, record = finals[task]
        event = told[task]
        if event["type"] != "task_" + record["state"] or event["commit"] != commit:
            yield f"I2 run {run.name}: task {task} is {record['state']} by commit {commit}, its event says {event}"
        if event["attempt"] and event["attempt"] != record["tries"]:
            yield f"I2 run {run.name}: task {task} ended with try {record['tries']}, its event says {event['attempt']}"
    tasks = run.tasks()
    total = sum(codec.checksum(task, record) for task, record in tasks.items()) & codec.MASK
    if len(tasks) != run.record["records_live"] or total != run.record["records_sum"]:
        yield f"I2 run {run.name}: {len(tasks)} records, {run.record['records_live']} by the header, or the sum differs"
    done = sum(record["state"] in codec.TASK_ENDS for record in tasks.values())
    if done != run.record["tasks_done"]:
        yield f"I10 run {run.name}: {done} tasks have ended, the header says {run.record['tasks_done']}"
    if run.record["state"] in codec.RUN_ENDS and done != run.record["tasks_total"]:
        yield f"I1 run {run.name} has ended and {run.record['tasks_total'] - done} tasks have not"


def check_order(store, run, events, clocks_agree):
    """I3: what a task depends on ended, well, before it: in the order of events, and by the clock of one epoch (an adopted
    attempt keeps the epoch that dispatched it, and its end has the time of who adopted it)."""
    definition = store.definitions.get(run.info["definition"])
    if definition is None:
        return
    ended, tasks = {}, run.tasks()
    for event in events:
        task = event["task"]
        if task is None or task >= len(definition["upstream"]):
            continue
        if event["type"] in ("task_succeeded", "task_retrying") or event["type"] == "task_failed" and event["attempt"]:
            for up in definition["upstream"][task]:
                if ended.get(up) != "task_succeeded":
                    yield (f"I3 run {run.name}: {event['type']} of {definition['ids'][task]} and "
                           f"{definition['ids'][up]} is {ended.get(up, 'open')}")
        if event["type"][5:] in codec.TASK_ENDS:
            ended[task] = event["type"]
    for task, record in tasks.items():
        if not clocks_agree or not record["dispatched"] or task >= len(definition["upstream"]):
            continue
        for up in definition["upstream"][task]:
            before = tasks.get(up)
            if before and before["epoch"] == record["epoch"] and before["ended"] > record["dispatched"]:
                yield (f"I3 run {run.name}: {definition['ids'][task]} was dispatched "
                       f"{before['ended'] - record['dispatched']} us before {definition['ids'][up]} ended")


def check_acknowledged(store, acknowledged, lost_allowed):
    """I4, and one run a key."""
    by_key = {}
    for known in acknowledged:
        run = store.runs.get(codec.run_value(known.run))
        if run is None:
            if not (lost_allowed(known) if callable(lost_allowed) else lost_allowed):
                yield f"I4 run {known.run} was acknowledged and is not stored"
            continue
        if known.key is not None and by_key.setdefault(known.key, known.run) != known.run:
            yield f"I1 key {known.key} has the runs {by_key[known.key]} and {known.run}"
        if known.state and run.record and run.record["state"] != known.state and not lost_allowed:
            yield f"I4 run {known.run} was told to be {known.state} and is {run.record['state']}"


class Memory:
    """What was once seen in the streams: nothing of it may change or go, unless a loss is allowed."""

    def __init__(self):
        self.seen = {}  # (partition, entry) -> events
        self.epochs = {}  # partition -> {epoch counter: nonce}

    def look(self, redis, partitions):
        streams = [f"mr:{{p{p}}}:events" for p in range(partitions)]
        last = getattr(self, "last", {})
        for p, name in enumerate(streams):
            page = redis("XRANGE", name, "(" + last[p] if p in last else "-", "+", "COUNT", 500)
            for entry, fields in page:
                self.seen[(p, entry.decode())] = fields[1]
                last[p] = entry.decode()
            owner = redis("HMGET", f"mr:{{p{p}}}:owner", "epoch", "nonce")
            if owner[0]:
                self.epochs.setdefault(p, {}).setdefault(int(owner[0]), set()).add(owner[1])
        self.last = last

    def compare(self, redis):
        gone = 0
        for (p, entry), data in self.seen.items():
            now = redis("XRANGE", f"mr:{{p{p}}}:events", entry, entry)
            if not now:
                gone += 1
            elif now[0][1][1] != data:
                yield f"I2 partition {p}: entry {entry} of the stream has changed"
        if gone:
            yield f"I4 {gone} entries of the streams have gone"
        for p, epochs in self.epochs.items():
            for epoch, nonces in epochs.items():
                if len(nonces) > 1:
                    yield f"I5 partition {p}: epoch {epoch} was held by {len(nonces)} processes"
