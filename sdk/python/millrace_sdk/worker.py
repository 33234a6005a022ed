"""Worker: a process that offers Python functions as executors to Millrace's coordinators.

    from millrace_sdk import Worker

    worker = Worker()

    @worker.task("resize")
    def resize(task, width, height):
        ...
        return {"width": width}

    worker.run()

Promises: speaks the worker protocol as millrace-worker does: several coordinators from one address, credits, work given
back, reports resent until they are answered, heartbeats from a thread of their own, CURVE keys. Threads: run() is the
worker's; each task has one of its own. Fails: ConfigurationError at once for what is not well formed; Refused when a
coordinator refuses the worker for good; Unreachable when keys stand between it and every coordinator.
"""
import logging
import os
import queue
import secrets as random
import signal
import socket
import threading
import time
from collections import deque

import zmq

from . import wire
from .agent import NEVER, REASON_TIMEOUT, Agent, Effects, too_long_text
from .directory import Directory
from .fetches import Fetches
from .items import ItemRun
from .links import Beats, Curve, KeyError_, Link
from .rendering import Renderer, RenderError, Values, format_run
from .secret import Secrets
from .secret_file import SecretFile, SecretFileError
from .tasks import (REASON_INVALID_INPUT, REASON_INVALID_OUTPUT, REASON_REFUSED, Task, Threads, capture_output, failed,
                    killed)
from .uploads import Uploads

VERSION = "0.1.0"
MISSING_VALUE = 14
END_TASKS_MAX = 5.0
LOG_PIECE = 32 * 1024
ITEMS_AT_ONCE = 64
TASK_PROGRESS = 14  # EventType: see common/model/event.h
logger = logging.getLogger("millrace_sdk")


class ConfigurationError(ValueError):
    """The worker was not given what it needs; the message says what is expected."""


class Refused(RuntimeError):
    """A coordinator refuses this worker for good. `name`: id_in_use, version ..."""

    def __init__(self, name, message):
        super().__init__(f"{name}: {message}")
        self.name = name


class Unreachable(ConnectionError):
    """Keys stand between this worker and every coordinator."""


def _setting(given, variable, default):
    return given if given is not None else os.environ.get(variable, default)


def _list(value):
    values = value.split(",") if isinstance(value, str) else list(value)
    return [one.strip() for one in values if one.strip()]


class Worker:
    """Settings that are not given are taken from the same variables as millrace-worker's: MILLRACE_COORDINATOR,
    MILLRACE_ID, MILLRACE_SLOTS, MILLRACE_CURVE_KEY, MILLRACE_CURVE_SERVER_KEY, MILLRACE_SECRETS_DIR,
    MILLRACE_SECRETS_FILE, MILLRACE_SECRETS_KEY_FILE, MILLRACE_QUEUE."""

    def __init__(self, coordinators=None, *, name=None, slots=None, labels=None, queues=None, resources=None,
                 curve_key=None, curve_server_key=None, secrets_dirs=None, secrets_file=None, secrets_key_file=None,
                 prefetch=1024, drain_grace=30.0, capture=True):
        self.coordinators = _list(_setting(coordinators, "MILLRACE_COORDINATOR", "tcp://127.0.0.1:5711"))
        if not self.coordinators:
            raise ConfigurationError("no coordinator to connect to; expected an address like tcp://host:5711")
        self.name = _setting(name, "MILLRACE_ID", "") or f"{socket.gethostname()}-{os.getpid()}"
        try:
            self.slots = int(_setting(slots, "MILLRACE_SLOTS", 0)) or os.cpu_count() or 1
        except ValueError:
            self.slots = 0
        if not 1 <= self.slots <= 4096:
            raise ConfigurationError("slots: expected 1 to 4096")
        self.labels = {str(k): str(v) for k, v in (labels or {}).items()}
        self.queues = _list(_setting(queues, "MILLRACE_QUEUE", "default"))
        self.resources = self._resources(resources or {})
        key, server = (_setting(curve_key, "MILLRACE_CURVE_KEY", ""),
                       _setting(curve_server_key, "MILLRACE_CURVE_SERVER_KEY", ""))
        if bool(key) != bool(server):
            raise ConfigurationError("curve_key and curve_server_key belong together")
        try:
            self.curve = Curve(key, server) if key else None
        except KeyError_ as e:
            raise ConfigurationError(str(e)) from None
        file = _setting(secrets_file, "MILLRACE_SECRETS_FILE", "")
        try:
            opened = SecretFile(file, _setting(secrets_key_file, "MILLRACE_SECRETS_KEY_FILE", "")) if file else None
        except SecretFileError as e:
            raise ConfigurationError(str(e)) from None
        self.secrets = Secrets(_list(_setting(secrets_dirs, "MILLRACE_SECRETS_DIR", "")), opened)
        self.prefetch_max, self.drain_grace, self.capture = prefetch, drain_grace, capture
        self.functions = {}
        self._events = queue.SimpleQueue()
        self._wake_read, self._wake_write = os.pipe()
        for fd in (self._wake_read, self._wake_write):
            os.set_blocking(fd, False)
        self._drains = 0

    @staticmethod
    def _resources(given):
        """In the units of the protocol: cores in thousandths, memory in bytes, tokens in whole numbers."""
        out = {}
        for name, amount in given.items():
            scaled = round(amount * 1000) if name == "cpu" else amount
            if not isinstance(scaled, int) or scaled <= 0:
                raise ConfigurationError(f"resource {name}: expected a number more than 0 (cpu: cores, memory: bytes)")
            out[name] = scaled
        return out

    def task(self, name):
        """Registers the decorated function as the executor `name`, which workflows declare under `executors`."""
        if not isinstance(name, str) or not name:
            raise ConfigurationError('write @worker.task("NAME")')

        def register(function):
            if name in self.functions:
                raise ConfigurationError(f"the executor {name} is registered twice")
            self.functions[name] = function
            return function
        return register

    def drain(self):
        """From any thread or signal handler: finish what runs, then return from run(). Again: kill what runs."""
        self._drains += 1
        self._wake()

    def _wake(self):
        try:
            os.write(self._wake_write, b"x")
        except BlockingIOError:
            pass  # full means that it is awake

    def _happened(self, kind, attempt, value):  # from any thread
        self._events.put((kind, attempt, value))
        self._wake()

    def run(self):
        """Works until drained (SIGTERM, Ctrl-C or drain())."""
        if not self.functions:
            raise ConfigurationError("no executor is registered; expected at least one @worker.task(\"NAME\")")
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, lambda *_: self.drain())
        if self.capture:
            capture_output()
        _Running(self).loop()

    def settings(self):
        return {"incarnation": random.randbits(64) | 1, "name": self.name, "version": "python-sdk/" + VERSION,
                "host": socket.gethostname(), "pid": os.getpid(), "slots": self.slots, "io_slots": 0,
                "labels": self.labels, "executors": sorted(self.functions), "queues": self.queues,
                "resources": self.resources}


class _Running:
    """What lives while run() does. All of it belongs to its thread, but for what Beats and Threads keep."""

    def __init__(self, worker):
        self.worker, self.now = worker, time.monotonic()
        settings = worker.settings()
        self.context = zmq.Context()
        self.agent = Agent(settings, worker.prefetch_max)
        self.directory = Directory(worker.coordinators)
        self.beats = Beats(self.context, worker.curve, settings["incarnation"], worker._wake)
        self.threads = Threads(worker._happened)
        self.renderer = Renderer(worker.secrets)
        self.links, self.welcomed = {}, {}
        self.specs = {}  # of attempts that run
        self.fetches, self.uploads = Fetches(self.send), Uploads(self.send)
        self.waiting = {}  # attempt -> (assignment, link, keys of what is missing)
        self.slots_kept = set()  # attempts that have ended, what they leave being on its way, whose function goes on
        self.item_runs, self.items_due = {}, {}  # by attempt; when the item that runs has taken too long
        self.to_begin = deque()  # of these, that have no item running
        self.out = Effects()
        self.drains_heeded, self.kill_at, self.look_at = 0, NEVER, 0.0
        self.poller = zmq.Poller()
        self.poller.register(worker._wake_read, zmq.POLLIN)

    def loop(self):
        self.change_links(self.directory.begin(self.now))
        self.beats.start()
        try:
            while True:
                self.now = time.monotonic()
                self.hear()
                self.heed_drains()
                if self.now >= self.agent.next_deadline():
                    self.agent.tick(self.now, self.out)
                self.take_in_events()
                self.pass_items()
                self.fetches.pass_(self.now, self.waiting)
                self.uploads.pass_(self.now)
                self.tell_uploaded()
                self.agent.flush(self.now, self.out)
                again = self.act()
                if self.out.refusal is not None:
                    raise Refused(*self.out.refusal)
                if self.out.leave:
                    logger.info("drained")
                    return
                self.look_at_faults()
                self.beats.running, self.beats.queued = self.agent.running, len(self.agent.waiting)
                if not again:
                    self.sleep()
        finally:
            self.end()

    def change_links(self, changes):
        for link, endpoint, opened in changes:
            if not opened:
                logger.info("coordinator left: %s", endpoint)
                self.agent.link_down(link)
                self.uploads.takes_parts(link, False)
                self.poller.unregister(self.links[link].socket)
                self.links.pop(link).close()
                self.beats.close(link)
                continue
            try:
                self.links[link] = Link(self.context, endpoint, self.worker.curve)
            except zmq.ZMQError as e:
                if endpoint in self.worker.coordinators:
                    raise ConfigurationError(f"{endpoint}: {e}; expected an address like tcp://host:5711") from None
                logger.warning("coordinator's address %s is no good: %s", endpoint, e)
                continue
            self.poller.register(self.links[link].socket, zmq.POLLIN)
            self.beats.open(link, endpoint)
            self.agent.link_up(self.now, link)

    def hear(self):
        for i in list(self.links):
            link = self.links.get(i)
            if link is None:
                continue
            for kind, value in link.receive():
                if kind == "value":
                    self.value_came(*value)
                elif kind == "part_taken":
                    self.uploads.taken(self.now, *value)
                elif kind == "welcome":
                    self.uploads.takes_parts(i, value["takes_parts"])
                    if self.welcomed.get(i) != value["coordinator"]:
                        self.welcomed[i] = value["coordinator"]
                        logger.info("connected to %s at %s with %d slots", value["coordinator"], link.endpoint,
                                    self.worker.slots)
                changes = self.directory.heard(self.now, i, kind, value)
                self.agent.said(self.now, i, kind, value, self.out)
                self.change_links(changes)
            if i not in self.links:
                continue  # what it said was that it is another's double
            if self.beats.take_hello(i):
                self.agent.said(self.now, i, "say_hello", None, self.out)
            before = link.socket
            if link.pass_(self.now):
                self.poller.unregister(before)
                self.poller.register(link.socket, zmq.POLLIN)
                self.beats.open(i, link.endpoint)
                self.agent.link_up(self.now, i)
        if self.now >= self.look_at:
            self.look_at = self.now + 1.0
            self.change_links(self.directory.pass_(self.now))

    def look_at_faults(self):
        faults = [link.fault for link in self.links.values()]
        if faults and all(faults):
            raise Unreachable(faults[0])

    def heed_drains(self):
        if self.worker._drains != self.drains_heeded:
            if self.drains_heeded == 0:
                logger.info("draining")
                self.agent.drain()
                self.kill_at = self.now + self.worker.drain_grace
            if self.worker._drains > 1:
                self.kill_at = self.now
            self.drains_heeded = self.worker._drains
        if self.now >= self.kill_at:
            self.kill_at = NEVER
            self.agent.kill_all(self.now, self.out)

    def events(self):
        """What has happened; pieces of log that follow each other are one."""
        last = None
        while True:
            try:
                kind, attempt, value = self.worker._events.get_nowait()
            except queue.Empty:
                break
            if last and kind == "log" == last[0] and attempt == last[1] and value[::2] == last[2][::2] \
                    and len(last[2][1]) < LOG_PIECE:
                last = (kind, attempt, (value[0], last[2][1] + value[1], value[2]))
                continue
            if last:
                yield last
            last = (kind, attempt, value)
        if last:
            yield last

    def take_in_events(self):
        for kind, attempt, value in self.events():
            if kind == "ended":
                outcome, free = value
                if attempt in self.item_runs:
                    self.item_ended(attempt, outcome, free)
                    continue
                if self.uploads.begin(self.now, attempt, outcome):
                    if not free:
                        self.slots_kept.add(attempt)
                    continue
                self.told(attempt, outcome, free)
            elif kind == "freed" and attempt in self.slots_kept:
                self.slots_kept.discard(attempt)  # its end is still to be told
            elif kind == "freed":
                self.agent.slot_freed(self.specs.pop(attempt))
            else:
                link = self.agent.link_of(attempt)
                if link is not None:
                    body = wire.log(attempt, *value) if kind == "log" else wire.news(attempt, TASK_PROGRESS, value)
                    self.send(link, body, may_drop=True)

    def act(self):
        """Starts, kills and says what the agent asked for. True: there is more to do at once."""
        starts, self.out.starts = self.out.starts, []
        for assignment, link in starts:
            self.start(assignment, link)
        kills, self.out.kills = self.out.kills, []
        for attempt, reason in kills:
            if attempt in self.item_runs:
                self.item_runs[attempt].killed = reason
            if self.waiting.pop(attempt, None) is not None:
                self.finish(attempt, killed(reason))
            elif self.uploads.forget(attempt):
                self.told(attempt, killed(reason), self.slot_is_free(attempt))
            else:
                self.threads.kill(attempt, reason)
        messages, self.out.messages = self.out.messages, []
        for link, body in messages:
            self.send(link, body)
        return bool(starts or kills or self.to_begin)

    def send(self, link, body, may_drop=False):
        to = self.links.get(link) or next(iter(self.links.values()), None)
        if to is not None:
            is_hello = body[:1] == b"\x0a"  # field 1 of the message
            to.send(self.now, body, is_hello, may_drop)

    # ---------------------------------------------------------------- tasks, the values they need and those they leave
    def told(self, attempt, outcome, free):
        if free:
            del self.specs[attempt]
        self.agent.ended(self.now, attempt, outcome, free)

    def slot_is_free(self, attempt):
        kept = attempt in self.slots_kept
        self.slots_kept.discard(attempt)
        return not kept

    def tell_uploaded(self):
        for attempt, outcome in self.uploads.take_done():
            self.told(attempt, outcome, self.slot_is_free(attempt))

    def start(self, assignment, link):
        self.specs[assignment.attempt] = assignment.spec
        self.await_values(assignment, link, self.renderer.references(assignment))

    def await_values(self, assignment, link, references):
        """Launches it when all have come, and all that lists among them are put together from."""
        references = references or self.renderer.pieces(assignment, self.fetches.cache.get)
        while references:
            missing = {reference[:2] for reference in references
                       if self.fetches.want(self.now, reference, link, assignment.attempt)}
            if missing:
                self.waiting[assignment.attempt] = (assignment, link, missing)
                return
            references = self.renderer.pieces(assignment, self.fetches.cache.get)
        self.launch(assignment)

    def launch(self, assignment):
        function = self.worker.functions.get(assignment.spec.executor.decode())
        if function is None:
            return self.finish(assignment.attempt, failed(REASON_REFUSED, "this worker has no executor `%s`"
                                                          % assignment.spec.executor.decode()))
        fetched = dict(self.fetches.cache)
        if assignment.items is None:
            try:
                self.begin(function, assignment, fetched)
            except (RenderError, ValueError) as e:
                self.finish(assignment.attempt, failed(REASON_INVALID_INPUT, str(e)))
            return
        try:
            values = Values(assignment, fetched).parse(assignment.items.values) or []
        except (RenderError, ValueError) as e:
            return self.finish(assignment.attempt, failed(REASON_INVALID_INPUT, str(e)))
        run = self.item_runs[assignment.attempt] = ItemRun(assignment, values, self.now)
        run.function, run.fetched = function, fetched
        self.to_begin.append(assignment.attempt)

    def begin(self, function, assignment, fetched, run=None):
        """`run`: of the item that is next."""
        values = Values(assignment, fetched)
        arguments, read = self.renderer.arguments(assignment, values, run)
        task = Task(assignment, values, format_run(assignment.attempt.run), arguments, self.worker._happened,
                    self.worker.secrets, self.uploads.can_begin, *(() if run is None else (run.item, run.index)))
        for secret in read:
            task._mask.add(secret)
        self.threads.start(function, task)

    def pass_items(self):
        """Begins those that are next, up to a number, and ends those that take too long."""
        for attempt in [a for a, due in self.items_due.items() if due <= self.now]:
            del self.items_due[attempt]
            self.item_runs[attempt].took_too_long = not self.item_runs[attempt].killed
            self.threads.kill(attempt, REASON_TIMEOUT)
        for _ in range(min(len(self.to_begin), ITEMS_AT_ONCE)):
            attempt = self.to_begin.popleft()
            run = self.item_runs[attempt]
            if run.is_over(self.now):
                del self.item_runs[attempt]
                self.finish(attempt, run.report(self.now))
                continue
            try:
                self.begin(run.function, run.assignment, run.fetched, run)
            except (RenderError, ValueError) as e:
                self.item_ended(attempt, failed(REASON_INVALID_INPUT, str(e)), True)
                continue
            if run.assignment.spec.timeout_us > 0:
                self.items_due[attempt] = self.now + run.assignment.spec.timeout_us / 1e6

    def item_ended(self, attempt, outcome, free):
        run = self.item_runs[attempt]
        self.items_due.pop(attempt, None)
        if run.took_too_long and outcome.reason == REASON_TIMEOUT:
            outcome.message = too_long_text(run.assignment.spec.timeout_us)
        run.took_too_long = False
        if outcome.success:
            try:
                outcome.output = self.renderer.collect(run, outcome.output)
            except RenderError as e:
                outcome = failed(REASON_INVALID_OUTPUT, str(e))
        run.ended(outcome)
        news = run.news(self.now)
        link = self.agent.link_of(attempt)
        if news is not None and link is not None:
            self.send(link, wire.news(attempt, TASK_PROGRESS, news), may_drop=True)
        if free:
            return self.to_begin.append(attempt)
        run.stuck = True  # "freed" follows when it does end
        del self.item_runs[attempt]
        self.agent.ended(self.now, attempt, run.report(self.now), False)

    def finish(self, attempt, outcome):
        self.specs.pop(attempt, None)
        self.agent.ended(self.now, attempt, outcome)

    def value_came(self, reference, json, place):
        came = self.fetches.came(self.now, reference, json, place)
        if came is None:
            return
        key, problem, wanted_by = came
        for attempt in wanted_by:
            if attempt not in self.waiting:
                continue
            assignment, link, missing = self.waiting[attempt]
            missing.discard(key)
            if problem:
                del self.waiting[attempt]
                self.finish(attempt, failed(MISSING_VALUE, f"the value {key[0]:016x}{key[1]:016x} {problem}"))
            elif not missing:
                del self.waiting[attempt]
                self.await_values(assignment, link, self.renderer.pieces(assignment, self.fetches.cache.get))

    def sleep(self):
        due = [self.agent.next_deadline(), self.kill_at, self.now + 1.0]
        due += [self.fetches.next_deadline(), self.uploads.next_deadline()]
        due += self.items_due.values()
        if any(link.outbox for link in self.links.values()):
            due.append(self.now + 0.005)
        self.poller.poll(max(0.0, min(due) - time.monotonic()) * 1000)
        try:
            os.read(self.worker._wake_read, 4096)
        except BlockingIOError:
            pass

    def end(self):
        """Nothing that was started is left without having been asked to end."""
        for attempt in list(self.threads.running):
            self.threads.kill(attempt, 3)
        until = time.monotonic() + END_TASKS_MAX
        while self.threads.count() and time.monotonic() < until and self.out.refusal is None:
            time.sleep(0.02)
        self.beats.stop()
        for link in self.links.values():
            link.close()
        self.context.term()
