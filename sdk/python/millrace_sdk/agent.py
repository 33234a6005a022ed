"""Agent: what a worker decides, pure: told what coordinators say and what its tasks do, it asks for tasks to be started
and killed and for messages to be sent. A port of worker/core/agent.cc, which explains each rule; the same promises hold:

never more than `slots` attempts at once nor more than its resources are enough for; an attempt is started at most once;
every ended attempt is reported until it is answered; `refused` kills one that still runs; a repeated assignment is
ignored; every Hello names all that is held; assignments of an epoch lower than one heard of its partition are ignored.
Times are seconds of a clock that never goes back, handed in. Threads: none.
"""
import bisect
from collections import OrderedDict, deque
from dataclasses import dataclass, field

from . import wire
from .prefetch import Prefetch

REPORT_AGAIN = 1.0
REPORT_LARGE = 4 * 1024
REPORT_BYTES = 64 * 1024
STARTED_AFTER = 0.02
HELLO_EVERY = 0.1
NAME_FREE_AFTER, NAME_TRY_EVERY = 4.0, 0.5
SILENT_AFTER, RECONCILE_AFTER = 3.0, 10.0
LEAVE_AFTER_KILL = 10.0
HELD_MAX, RECENT_MAX = 65_536, 16_384
NEVER = float("inf")

QUEUED, RUNNING, ENDED = range(3)
RECORDED, DUPLICATE, REFUSED = range(3)
ANSWERED, GIVEN_BACK = range(2)
REASON_TIMEOUT, REASON_LOST, REASON_CANCELLED = 2, 3, 7


def too_long_text(timeout_us):
    text = ""
    for scale, unit in ((86_400_000_000, "d"), (3_600_000_000, "h"), (60_000_000, "m"), (1_000_000, "s"), (1000, "ms"),
                        (1, "us")):
        number, timeout_us = divmod(timeout_us, scale)
        text += f"{number}{unit}" if number else ""
    return f"timed out: an attempt may take {text} (timeout)"


@dataclass
class Outcome:
    success: bool = False
    reason: int = 0
    message: str = ""
    traceback: str = ""
    output: object = None  # bytes of JSON, or the Reference of what was sent ahead
    waited: float = 0.0
    ran: float = 0.0
    items: object = None  # of an attempt that has some: (count, done, [(offset, reason, message, traceback)])
    artifacts: list = field(default_factory=list)  # see attachments.py; they were sent ahead


@dataclass
class Holding:
    """An attempt, from its assignment to the answer to its report."""

    id: wire.Attempt
    link: int
    hellos: int
    arrived: float
    serial: int = 0
    phase: int = QUEUED
    killed: bool = False
    took_too_long: bool = False  # killed for that
    unwanted: bool = False
    reports: int = 0
    started: float = 0.0
    reported: float = 0.0
    report_again: float = NEVER
    times_out: float = NEVER
    rests_on: list = field(default_factory=list)
    items: int = 0
    spec: object = None
    assignment: object = None
    outcome: object = None

    def order(self):
        return (-self.assignment.priority, self.assignment.age, self.serial)


@dataclass
class Link:
    up: bool = False
    hello_due: bool = False
    welcome: bool = False
    welcomed: bool = False
    ever_welcome: bool = False
    drain_told: bool = False
    doubted: bool = False
    hellos: int = 0
    unanswered: int = 0
    demand: int = 0
    name: str = ""
    refusal: str = ""
    name_wanted_until: float = NEVER
    hello_at: float = -NEVER
    heard: float = -NEVER
    up_since: float = -NEVER
    credit: int = 0
    to_start_telling: list = field(default_factory=list)
    to_give_back: list = field(default_factory=list)
    to_report: list = field(default_factory=list)


def partition_of(attempt):
    return attempt.run >> 54


class Effects:
    def __init__(self):
        self.starts, self.kills, self.messages = [], [], []  # (assignment, link), (attempt, reason), (link, bytes)
        self.leave = False
        self.refusal = None  # (name, message): the worker must end


class Agent:
    def __init__(self, settings, prefetch_max=1024):
        self.settings = settings  # of the Hello
        self.prefetch = Prefetch(settings["slots"], prefetch_max)
        self.links, self.held, self.recent, self.routes = {}, {}, OrderedDict(), {}
        self.waiting = []  # (order, holding), ascending
        self.running = self.serials = 0
        self.free = dict(settings["resources"])
        self.to_be_long, self.timeouts, self.to_repeat = deque(), {}, {}
        self.draining = self.left = False
        self.leave_by = NEVER

    # ---------------------------------------------------------------- inputs
    def link_up(self, now, link):
        old = self.links.get(link)
        fresh = self.links[link] = Link(up=True, hello_due=True, up_since=now)
        if old is not None:
            fresh.ever_welcome, fresh.unanswered = old.ever_welcome, old.unanswered

    def link_down(self, link):
        self.link(link).up = False

    def link(self, link):
        return self.links.setdefault(link, Link())

    def said(self, now, link, kind, value, out):
        speaker = self.link(link)
        speaker.heard, speaker.doubted = now, False
        if kind == "welcome":
            speaker.welcome = speaker.welcomed = speaker.ever_welcome = True
            speaker.name_wanted_until, speaker.name = NEVER, value["coordinator"]
            self.told(link, value["owned"], value["members"], value["demand"])
        elif kind == "news":
            self.told(link, value["owned"], value["members"], value["demand"])
        elif kind == "refused":
            self.refused(now, link, *value, out)
        elif kind == "assign":
            for assignment in value:
                self.assigned(now, link, assignment)
        elif kind == "cancel":
            for attempt, reason in value:
                self.cancelled(now, link, attempt, reason, out)
        elif kind == "answers":
            for attempt, answer in value:
                self.answered(now, link, attempt, answer, out)
        elif kind == "reclaim":
            for attempt in value:
                self.reclaim(link, attempt)
        elif kind == "drain":
            self.drain()
        elif kind == "say_hello":
            speaker.hello_due = True

    def refused(self, now, link, name, message, out):
        """A worker that was killed and started again finds its name in use until its silence is noticed."""
        l = self.link(link)
        if name != "id_in_use" or l.ever_welcome:
            return self.give_up(link, name, message, out)
        if l.name_wanted_until == NEVER:
            l.name_wanted_until = now + NAME_FREE_AFTER
        l.refusal, l.hello_due, l.hello_at = message, True, now + NAME_TRY_EVERY - HELLO_EVERY

    def give_up(self, link, name, message, out):
        self.link(link).name_wanted_until = NEVER
        out.refusal = (name, message)
        out.messages += [(other, wire.bye()) for other, l in self.links.items() if l.up and other != link]

    def speaks_for(self, link, attempt):
        owner, epoch = self.routes.get(partition_of(attempt), (link, 0))
        return epoch == 0 or owner == link

    def told(self, link, owned, members, demand):
        """What is held of partitions that have a new owner is its from now on: reports go there."""
        speaker = self.link(link)
        speaker.demand = demand
        names = {name for name, _ in members}
        for other in self.links.values():
            if members and other.name and other.name != speaker.name:
                other.doubted = other.name not in names
        moved = set()
        for partition, epoch in owned:
            owner, known = self.routes.get(partition, (None, 0))
            if epoch == 0 or epoch < known or (owner, known) == (link, epoch):
                continue
            self.routes[partition] = (link, epoch)
            moved.add(partition)
        for attempt in sorted(a for a, h in self.held.items() if partition_of(a) in moved and h.link != link):
            h = self.held[attempt]
            if h.phase == ENDED:
                self.link(h.link).unanswered -= 1
                speaker.unanswered += 1
                speaker.to_report.append(attempt)
            h.link, h.hellos = link, 0

    def assigned(self, now, link, assignment):
        attempt = assignment.attempt
        owner, epoch = self.routes.get(partition_of(attempt), (None, 0))
        if attempt.epoch < epoch:
            return
        if (owner, epoch) != (link, attempt.epoch):
            self.told(link, [(partition_of(attempt), attempt.epoch)], [], self.link(link).demand)
        fate = self.recent.get(attempt)
        if fate is not None:
            if fate == GIVEN_BACK:
                self.give_back(link, attempt)
            return
        known = self.held.get(attempt)
        if known is not None:
            if known.phase == ENDED:
                self.link(known.link).to_report.append(attempt)
            return
        if self.draining or len(self.held) >= HELD_MAX or not self.has(assignment.spec):
            return self.give_back(link, attempt)
        self.serials += 1
        h = Holding(attempt, link, self.link(link).hellos, now, self.serials, spec=assignment.spec,
                    rests_on=[(b.task, b.version) for b in assignment.bindings], assignment=assignment,
                    items=assignment.items.count if assignment.items else 0)
        self.held[attempt] = h
        bisect.insort(self.waiting, (h.order(), h), key=lambda entry: entry[0])

    def unqueue(self, h):
        at = bisect.bisect_left(self.waiting, h.order(), key=lambda entry: entry[0])
        del self.waiting[at]

    def cancelled(self, now, link, attempt, reason, out):
        """What is queued, or never came, ends here; what runs is killed."""
        if not self.speaks_for(link, attempt):
            return
        h = self.held.get(attempt)
        if h is not None and h.phase == RUNNING:
            return self.kill(h, reason, out)
        if h is None:
            if attempt in self.recent or len(self.held) >= HELD_MAX:
                return
            h = self.held[attempt] = Holding(attempt, link, self.link(link).hellos, now)
        elif h.phase == QUEUED:
            self.unqueue(h)
        else:
            return
        self.end(h, Outcome(reason=reason, message="cancelled before it started", waited=now - h.arrived))

    def answered(self, now, link, attempt, answer, out):
        h = self.held.get(attempt)
        if h is None or (answer == REFUSED and not self.speaks_for(link, attempt)):
            return
        if h.phase == ENDED:
            if h.reports == 1:
                self.prefetch.answered(now - h.reported)
            self.forget(h, ANSWERED)
        elif answer == REFUSED and h.phase == QUEUED:
            self.forget(h, ANSWERED)
        elif answer == REFUSED:
            h.unwanted = True
            self.kill(h, REASON_CANCELLED, out)

    def reclaim(self, link, attempt):
        if not self.speaks_for(link, attempt):
            return
        h = self.held.get(attempt)
        if h is not None:
            if h.phase == RUNNING:
                self.link(link).to_start_telling.append(attempt)
            if h.phase != QUEUED:
                return
            self.forget(h, GIVEN_BACK)
        elif self.recent.get(attempt) == ANSWERED:
            return
        self.give_back(link, attempt)

    # ---------------------------------------------------------------- what tasks do
    def ended(self, now, attempt, outcome, slot_free=True):
        """Exactly once per start. `slot_free`: false while something of the task still runs; slot_freed() follows."""
        h = self.held.get(attempt)
        if h is None or h.phase != RUNNING:
            return
        if slot_free:
            self.slot_freed(h.spec)
        self.timeouts.pop(attempt, None)
        if not h.killed:
            self.prefetch.ran(outcome.ran or now - h.started)
        if h.unwanted:
            return self.forget(h, ANSWERED)
        if h.took_too_long and outcome.reason == REASON_TIMEOUT:
            outcome.message = too_long_text(h.spec.timeout_us)
        outcome.waited = h.started - h.arrived
        self.end(h, outcome)

    def slot_freed(self, spec):
        self.running -= 1
        for one in spec.resources:
            self.free[one.name.decode()] += one.amount

    def end(self, h, outcome):
        h.phase, h.outcome, h.assignment = ENDED, outcome, None
        l = self.link(h.link)
        l.unanswered += 1
        l.to_report.append(h.id)

    def forget(self, h, fate):
        if h.phase == QUEUED:
            self.unqueue(h)
        if h.phase == ENDED:
            self.link(h.link).unanswered -= 1
        self.remember(h.id, fate)
        self.held.pop(h.id, None)
        self.to_repeat.pop(h.id, None)

    def remember(self, attempt, fate):
        self.recent[attempt] = fate
        while len(self.recent) > RECENT_MAX:
            self.recent.popitem(last=False)

    def give_back(self, link, attempt):
        self.remember(attempt, GIVEN_BACK)
        self.link(link).to_give_back.append(attempt)

    def kill(self, h, reason, out):
        if not h.killed:
            h.killed = True
            out.kills.append((h.id, reason))

    def link_of(self, attempt):
        """Where what a running task says goes; None: nowhere."""
        h = self.held.get(attempt)
        return None if h is None or h.unwanted or not self.link(h.link).up else h.link

    # ---------------------------------------------------------------- starting, draining, time
    def has(self, spec):
        """Whether it could ever run here."""
        all_ = self.settings["resources"]
        return all(one.amount <= all_.get(one.name.decode(), 0) for one in spec.resources)

    def start(self, now, out):
        wanted, kept = set(), 0
        while self.running < self.settings["slots"] and kept < len(self.waiting):
            h = self.waiting[kept][1]
            needs = [(one.name.decode(), one.amount) for one in h.spec.resources]
            lacks = {name for name, amount in needs if amount > self.free[name]}
            if lacks or any(name in wanted for name, _ in needs):  # who waits for a resource lets none pass
                wanted |= lacks
                kept += 1
                continue
            del self.waiting[kept]
            for name, amount in needs:
                self.free[name] -= amount
            self.running += 1
            h.phase, h.started = RUNNING, now
            if h.spec.timeout_us > 0 and h.items == 0:  # of items each has its own, which is the worker's to keep
                h.times_out = self.timeouts[h.id] = now + h.spec.timeout_us / 1e6
            self.to_be_long.append((now + STARTED_AFTER, h.id))
            out.starts.append((h.assignment, h.link))

    def drain(self):
        if self.draining:
            return
        self.draining = True
        for _, h in list(self.waiting):
            self.forget(h, GIVEN_BACK)
            self.give_back(h.link, h.id)

    def kill_all(self, now, out):
        self.drain()
        self.leave_by = min(self.leave_by, now + LEAVE_AFTER_KILL)
        for h in sorted((h for h in self.held.values() if h.phase == RUNNING), key=lambda h: h.serial):
            self.kill(h, REASON_LOST, out)

    def tick(self, now, out):
        while self.to_be_long and self.to_be_long[0][0] <= now:
            h = self.held.get(self.to_be_long.popleft()[1])
            if h is not None and h.phase == RUNNING:
                self.prefetch.ran(now - h.started)
                self.link(h.link).to_start_telling.append(h.id)
        for attempt in [a for a, due in self.to_repeat.items() if due <= now]:
            del self.to_repeat[attempt]
            self.link(self.held[attempt].link).to_report.append(attempt)
        for attempt in [a for a, due in self.timeouts.items() if due <= now]:
            del self.timeouts[attempt]
            self.held[attempt].took_too_long = not self.held[attempt].killed
            self.kill(self.held[attempt], REASON_TIMEOUT, out)
        for link, l in list(self.links.items()):
            if l.up and now >= self.silence_ends(l):
                l.hello_due = True
            if now >= l.name_wanted_until:
                self.give_up(link, "id_in_use", l.refusal, out)

    def next_deadline(self):
        if self.left:
            return NEVER
        due = [self.leave_by]
        due += [self.to_be_long[0][0]] if self.to_be_long else []
        due += list(self.to_repeat.values()) + list(self.timeouts.values())
        for l in self.links.values():
            due.append(l.name_wanted_until)
            if l.up:
                due.append(l.hello_at + HELLO_EVERY if l.hello_due else self.silence_ends(l))
        return min(due)

    # ---------------------------------------------------------------- what is said at the end of a round
    @staticmethod
    def silence_ends(l):
        patience = SILENT_AFTER if not l.welcome or l.unanswered > 0 else RECONCILE_AFTER
        return max(l.hello_at, l.heard) + patience

    def flush(self, now, out):
        self.start(now, out)
        if self.left:
            return
        self.prefetch.next()
        weights = sum(l.demand + 1 for l in self.links.values() if self.counts(now, l))
        for link, l in self.links.items():
            if not l.up:  # the next Hello tells all there is to tell
                l.to_start_telling, l.to_report = [], []
                continue
            if l.hello_due and now >= l.hello_at + HELLO_EVERY:
                self.say_hello(now, link, l, out)
            if self.draining and not l.drain_told:
                l.drain_told = True
                out.messages.append((link, wire.draining()))
            if l.to_give_back:
                out.messages.append((link, wire.reclaimed(l.to_give_back)))
                l.to_give_back = []
            begun = [a for a in l.to_start_telling if a in self.held and self.held[a].phase == RUNNING]
            if begun:
                out.messages.append((link, wire.started(begun)))
            l.to_start_telling = []
            self.say_reports(now, link, l, out)
            if not self.draining:
                self.say_credit(now, link, l, weights, out)
        if self.draining and (not self.held or now >= self.leave_by):
            self.left = out.leave = True
            out.messages += [(link, wire.bye()) for link, l in self.links.items() if l.up]

    def say_hello(self, now, link, l, out):
        held, l.to_report = [], []
        for attempt, h in sorted(self.held.items()):
            if h.unwanted:
                continue
            held.append(wire.Held(attempt, h.phase != QUEUED, h.rests_on, h.items))
            if h.phase == ENDED and h.link == link:
                l.to_report.append(attempt)
        epochs = sorted((partition, epoch) for partition, (_, epoch) in self.routes.items())
        l.hello_due = l.welcome = False
        l.hello_at, l.credit = now, 0
        l.hellos += 1
        out.messages.append((link, wire.hello(self.settings, held, self.draining, epochs)))

    def say_reports(self, now, link, l, out):
        batch, size = [], 0
        for attempt in dict.fromkeys(l.to_report):
            h = self.held.get(attempt)
            if h is None or h.phase != ENDED:
                continue
            bytes_ = 64 + len(h.outcome.output or b"") + len(h.outcome.message) + len(h.outcome.traceback) + \
                320 * len(h.outcome.artifacts)
            if batch and size + bytes_ > REPORT_BYTES:
                out.messages.append((link, wire.reports(batch)))
                batch, size = [], 0
            h.reports += 1
            if h.reports == 1:
                h.reported = now
            wait = REPORT_AGAIN * (2 ** min(h.reports + 1, 5) if bytes_ > REPORT_LARGE else 1)
            self.to_repeat[attempt] = now + wait
            rests_on = h.rests_on if h.hellos != self.link(h.link).hellos else []
            batch.append(wire.Report(attempt, h.outcome, rests_on))
            size += bytes_
        l.to_report = []
        if batch:
            out.messages.append((link, wire.reports(batch)))

    @staticmethod
    def counts(now, l):
        """A coordinator that does not answer is no reason to keep slots from the others."""
        if not l.up or l.doubted:
            return False
        return now < (l.heard + RECONCILE_AFTER + SILENT_AFTER if l.welcomed else l.up_since + SILENT_AFTER)

    def say_credit(self, now, link, l, weights, out):
        """All there is, divided by what each coordinator has to run; at least one each."""
        if l.hellos == 0:
            return
        all_, counted = self.settings["slots"] + self.prefetch.current, self.counts(now, l)
        weight = l.demand + 1 if counted else 1
        cpu = 1 if not counted and weights > 0 else min(max(all_ * weight // max(weights, weight), 1), all_)
        if l.credit and abs(l.credit - cpu) * 4 <= l.credit:
            return
        l.credit = cpu
        out.messages.append((link, wire.credit(cpu, 0)))
