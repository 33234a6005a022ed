"""Tasks: what a function sees of the task that it runs for, and the threads that functions run on."""
import asyncio
import contextvars
import ctypes
import inspect
import io
import json
import logging
import queue
import sys
import threading
import time
import traceback

from .agent import Outcome
from .attachments import Attachments
from .expressions import dump
from .secret import Mask, SecretError
from .syntax import INT_MAX, INT_MIN

REASON_ERROR, REASON_INVALID_OUTPUT, REASON_INVALID_INPUT, REASON_REFUSED = 1, 8, 9, 13
GIVEN_UP = (3, 6, 7)  # lost, cancelled: nobody wants what it has made
VALUE_MAX = 256 * 1024 * 1024
MESSAGE_MAX, TRACEBACK_MAX = 4 * 1024, 16 * 1024
PROGRESS_PAUSE = 0.05
LOG_RATE = 256 * 1024  # bytes a second and task, and as much at once; the rest is dropped, and a line says how much
LINE_MAX = 32 * 1024
KILL_GRACE = 2.0
logger = logging.getLogger("millrace_sdk")

_current = contextvars.ContextVar("millrace_task", default=None)


class Cancelled(BaseException):
    """Raised inside a function whose task was cancelled or timed out. Let it pass."""


class Task:
    """What a function sees. Its methods may be called from any thread of the task."""

    def __init__(self, assignment, values, run, arguments, events, secrets, keeps_artifacts, item=None, index=None):
        self.attempt_id = assignment.attempt
        self.node, self.workflow, self.trace_id = assignment.node, assignment.workflow, assignment.trace_id
        self.run, self.attempt = run, assignment.attempt.number
        self.arguments = arguments
        self.item, self.index = item, index  # of a node with `foreach`; None elsewhere
        self._values, self._events, self._secrets = values, events, secrets
        self._mask, self._lock = Mask(), threading.RLock()
        self._told, self._allowance, self._filled, self._dropped = 0.0, float(LOG_RATE), time.monotonic(), 0
        self._attachments, self._keeps_artifacts = Attachments(), keeps_artifacts
        self._cancelled, self._partial = threading.Event(), {}
        self._done = False

    @property
    def inputs(self):
        """The run's inputs."""
        return self._values.inputs

    def output(self, node):
        """The output of a node before this one; None where there is none."""
        return self._values.node(node)

    @property
    def cancelled(self):
        """Whether the task's result is not wanted any more."""
        return self._cancelled.is_set()

    def check(self):
        """Raises Cancelled when the task's result is not wanted any more."""
        if self.cancelled:
            raise Cancelled

    def secret(self, name):
        """A secret of this worker; from now on it is `***` in all that the task says."""
        value = self._secrets.find(name)
        with self._lock:
            self._mask.add(value)
        return value

    def log(self, *words):
        """A line of the task's log, at once."""
        self._write(False, " ".join(map(str, words)) + "\n")

    def progress(self, done, total=None, **more):
        """An event for whoever watches; at most one in 50 ms is sent."""
        data = {"done": done, **({} if total is None else {"total": total}), **more}
        with self._lock:
            now = time.monotonic()
            if self._done or now < self._told + PROGRESS_PAUSE:
                return
            self._told = now
            self._events("news", self.attempt_id, dump(self._mask.value(data)))

    def heartbeat(self):
        self.progress(None, heartbeat=True)

    def artifact(self, path_or_name, data=None, *, name=None, content_type=None):
        """Hands a file over, which is kept as long as the run: the file at a path, or `data` (text, bytes, or an open binary
        file) under a name. Later ones of a task take the place of earlier ones with the same name. ValueError says what
        is wrong with it."""
        with self._lock:
            if self._done:
                raise ValueError("the task has ended")
            if self.index is not None:
                raise ValueError("items of a mapped node cannot hand over artifacts: use a node of its own")
            if not self._keeps_artifacts():
                raise ValueError("its coordinator is of an earlier version and keeps no artifacts")
            self._attachments.add(path_or_name, data, name, content_type)

    def _write(self, stderr, text):
        """Whole lines are passed on; what is left of the last one waits for its end, or for much more."""
        with self._lock:
            if self._done:
                return
            text = self._partial.pop(stderr, "") + text
            whole = len(text) if len(text) > LINE_MAX else text.rfind("\n") + 1
            if whole < len(text):
                self._partial[stderr] = text[whole:]
            if whole:
                self._pass_on(stderr, text[:whole])

    def _pass_on(self, stderr, text):
        text = self._mask.stream(stderr, text) if self._mask.words else text
        text = self._admit(text.encode("utf-8", "replace").decode())
        if text:
            self._events("log", self.attempt_id, (stderr, text, self.index))

    def _admit(self, text):
        now = time.monotonic()
        self._allowance = min(LOG_RATE, self._allowance + (now - self._filled) * LOG_RATE)
        self._filled = now
        resumes = not self._dropped or self._allowance >= 16 * 1024
        taken = text[: max(0, int(self._allowance))] if resumes else ""
        self._allowance -= len(taken)
        before = self._dropped_line() if taken and self._dropped else ""
        self._dropped += len(text) - len(taken)
        return before + taken

    def _dropped_line(self):
        dropped, self._dropped = self._dropped, 0
        return f"\n[{dropped} bytes of log dropped: more than {LOG_RATE // 1024} KiB a second]\n"

    def _finish(self, outcome):
        """The last word: nothing is said after it, and no secret stands in it."""
        with self._lock:
            if self._done:
                return None
            for stderr, text in sorted(self._partial.items()):
                self._pass_on(stderr, text)
            rest = [(stderr, self._mask.flush(stderr)) for stderr in (False, True)]
            rest.append((False, self._dropped_line() if self._dropped else ""))
            for stderr, text in rest:
                if text:
                    self._events("log", self.attempt_id, (stderr, text, self.index))
            if self._mask.words:
                outcome.message, outcome.traceback = self._mask.text(outcome.message), self._mask.text(outcome.traceback)
                if outcome.output is not None:
                    outcome.output = self._mask.json(outcome.output.decode()).encode()
            if outcome.reason in GIVEN_UP:
                self._attachments.forget()
            outcome.artifacts = self._attachments.take()
            self._done = True
            return outcome


class _Router(io.TextIOBase):
    """Standard output and error: what a task prints is its log; what nobody's thread prints goes where it went before."""

    def __init__(self, before, stderr):
        self.before, self.stderr = before, stderr

    def write(self, text):
        task = _current.get()
        if task is None:
            return self.before.write(text)
        task._write(self.stderr, text)
        return len(text)

    def flush(self):
        self.before.flush()

    def writable(self):
        return True

    def fileno(self):
        return self.before.fileno()

    @property
    def encoding(self):
        return self.before.encoding


def capture_output():
    if not isinstance(sys.stdout, _Router):
        sys.stdout, sys.stderr = _Router(sys.stdout, False), _Router(sys.stderr, True)


def to_json(value):
    """The bytes of an output. ValueError says what is no JSON."""
    def check(v, path, depth):
        if depth > 190:
            raise ValueError(f"{path or 'the output'} is nested too deeply")
        if isinstance(v, int) and not isinstance(v, bool) and not INT_MIN <= v <= INT_MAX:
            raise ValueError(f"{path or 'the output'} is an integer of more than 64 bits")
        if isinstance(v, dict):
            for key, one in v.items():
                if not isinstance(key, str):
                    raise ValueError(f"{path or 'the output'} has a key that is no string: {key!r:.60}")
                check(one, f"{path}.{key}" if path else key, depth + 1)
        elif isinstance(v, (list, tuple)):
            for i, one in enumerate(v):
                check(one, f"{path}[{i}]", depth + 1)
        elif v is not None and not isinstance(v, (str, int, float)):
            raise ValueError(f"{path or 'the output'} is of type {type(v).__name__}, which is no JSON")
    check(value, "", 0)
    try:
        data = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:
        raise ValueError("a text holds a lone surrogate, which is no Unicode") from None
    except ValueError:
        raise ValueError("a number is not finite") from None
    if len(data) > VALUE_MAX:
        raise ValueError(f"the output is {len(data)} bytes of JSON; at most {VALUE_MAX} are kept")
    return data


def clip(text, most):
    data = text.encode("utf-8", "replace")
    return data.decode() if len(data) <= most else data[: most - 4].decode("utf-8", "ignore") + " ..."


def failed(reason, message, lines=""):
    return Outcome(False, reason, clip(message, MESSAGE_MAX), clip(lines, TRACEBACK_MAX))


def call(function, task):
    """The function's parameters are the members of `with` by name; `task` is the Task. A `with` that is no mapping is
    the only parameter's."""
    parameters = inspect.signature(function).parameters
    given = {"task": task} if "task" in parameters else {}
    if isinstance(task.arguments, dict):
        result = function(**task.arguments, **given)
    elif task.arguments is None:
        result = function(**given)
    else:
        result = function(task.arguments, **given)
    return asyncio.run(result) if inspect.isawaitable(result) else result


def run(function, task):
    """The outcome of one call, whatever happens."""
    begun = time.monotonic()
    try:
        outcome = Outcome(True, output=None)
        value = call(function, task)
        try:
            outcome.output = to_json(value)
        except (ValueError, RecursionError) as e:
            outcome = failed(REASON_INVALID_OUTPUT, str(e))
    except Cancelled:
        outcome = failed(REASON_ERROR, "cancelled")
    except SecretError as e:
        outcome = failed(REASON_INVALID_INPUT, str(e.args[0]))
    except BaseException as e:  # one task's SystemExit ends no worker
        frames = e.__traceback__
        while frames is not None and frames.tb_frame.f_code.co_filename == __file__:
            frames = frames.tb_next
        lines = "".join(traceback.format_exception(type(e), e, frames))
        outcome = failed(REASON_ERROR, f"{type(e).__name__}: {e}", lines)
    outcome.ran = time.monotonic() - begun
    return outcome


class Threads:
    """Runs functions, each task on a thread of its own. `events(kind, attempt, value)` is called from any thread: "log",
    "news", "ended" (outcome, whether nothing of it runs any more) and, for one that was given up before, "freed"."""

    def __init__(self, events):
        self.events, self.lock = events, threading.Lock()
        self.idle, self.running = queue.SimpleQueue(), {}  # attempt -> _Running
        self.idle_count = 0

    def start(self, function, task):
        job = _Running(function, task)
        with self.lock:
            self.running[task.attempt_id] = job
            fresh = self.idle_count == 0
            self.idle_count -= 0 if fresh else 1
        if fresh:
            threading.Thread(target=self._work, args=(job,), name="millrace-task", daemon=True).start()
        else:
            self.idle.put(job)

    def kill(self, attempt, reason):
        """Asks the function to end, and gives it up when it does not within KILL_GRACE."""
        with self.lock:
            job = self.running.get(attempt)
            if job is None or job.reason:
                return
            job.reason = reason
            job.task._cancelled.set()
            if job.thread is not None:
                ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(job.thread), ctypes.py_object(Cancelled))
        timer = threading.Timer(KILL_GRACE, self._give_up, (attempt, job))
        timer.daemon = True
        timer.start()

    def count(self):
        return len(self.running)

    def _give_up(self, attempt, job):
        with self.lock:
            if self.running.get(attempt) is not job or job.given_up:  # the next item has the same attempt
                return
            job.given_up = True
        logger.warning("the function of node %s does not end: its slot stays taken until it does", job.task.node)
        outcome = job.task._finish(killed(job.reason, time.monotonic() - job.begun))
        self.events("ended", attempt, (outcome, False))

    def _work(self, job):
        while True:
            self._run(job)
            job = None
            job = self.idle.get()

    def _run(self, job):
        token, outcome = _current.set(job.task), None
        try:
            with self.lock:
                job.thread = threading.get_ident()
            outcome = run(job.function, job.task)
        except Cancelled:  # it came while run() was leaving
            pass
        while True:
            try:
                with self.lock:
                    job.thread = None  # from here on kill() raises nothing in this thread
                ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(threading.get_ident()), None)
                break
            except Cancelled:
                continue
        _current.reset(token)
        self._end(job, outcome)

    def _end(self, job, outcome):
        with self.lock:
            del self.running[job.task.attempt_id]
            self.idle_count += 1
            given_up = job.given_up
        if given_up:
            return self.events("freed", job.task.attempt_id, None)
        ran = time.monotonic() - job.begun
        if outcome is None or (job.reason and not outcome.success):
            outcome = killed(job.reason, ran)
        outcome.ran = ran
        self.events("ended", job.task.attempt_id, (job.task._finish(outcome), True))


class _Running:
    def __init__(self, function, task):
        self.function, self.task, self.begun = function, task, time.monotonic()
        self.thread, self.reason, self.given_up = None, 0, False


def killed(reason, ran=0.0):
    text = {2: "timed out", 3: "lost", 6: "cancelled: another node failed"}.get(reason, "cancelled")
    outcome = failed(reason or 7, text)
    outcome.ran = ran
    return outcome

