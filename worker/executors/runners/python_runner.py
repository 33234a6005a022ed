"""The python side of the `python` executor: a zygote, and the interpreters it forks.

The worker starts a zygote for tasks of isolation `process` (argument `confined`: it gives up its privileges at once, and
its children inherit that) and one for all others (`others`), and talks to each over a packet socket (descriptor 3):
    worker -> zygote   F id once, with uid, gid (who it becomes; -1: as we are) and place (a directory here; -1: none)
                                   + 3 descriptors (channel, stdout, stderr): fork an interpreter
                       R id        the interpreter is given up: reap it when it has died
    zygote -> worker   H           ready
                       C id pid    forked
                       E id errno  could not fork
                       X id status died (a wait status); its pid stays taken until R
An interpreter serves tasks from its channel, one after another, or a single one where `once` is set.
    request   u64 bytes after the next field, u64 parts, u64 length of each, then the parts:
              header (JSON; `confine`, `limits` and `jail` of a task with an interpreter of its own), script, inputs (JSON), one JSON a visible node in the order of header["ids"], one for each name of header["vars"]
    reply     u8 kind, u8 retire, u16 flags, u32 message, u32 traceback, u32 output (lengths), u64 microseconds that the task's own code took,
              then the three; before the end
              of a task also what it says by the module `millrace`: its progress (output: JSON), and the secrets that it
              asks for (message: the name), each answered by two parts: 1 and the secret, or 0 and what is wrong; and the
              files that it hands over, part by part (message: the name, traceback: the content type, output: the bytes;
              flags: 1 the first part, 2 the last), and the parts of list references that it reads (message: the name),
              each answered in the same way
When the worker dies the zygote reads the end of its socket, kills every interpreter with its process group, and exits.
"""
import atexit
import bisect
import collections.abc
import errno
import gc
import json
import keyword
import linecache
import math
import os
import resource
import select
import _signal
import signal
import site
import socket
import struct
import sys
import time
import traceback
import types

# What threading does after a fork costs a task a quarter of a millisecond, all for threads that the zygote has not.
thread_handler_due = "threading" not in sys.modules
if thread_handler_due:
    register_at_fork, os.register_at_fork = os.register_at_fork, lambda **handlers: None
    import threading
    os.register_at_fork = register_at_fork
else:
    import threading

try:
    import ctypes
    _libc = ctypes.CDLL(None, use_errno=True)
    _prctl = _libc.prctl
except (ImportError, OSError, AttributeError):
    _prctl = None

monotonic_ns = time.monotonic_ns  # a script may replace it
OK, ERROR, INVALID_OUTPUT, OUT_OF_MEMORY, PROGRESS, SECRET, ARTIFACT, PART = range(8)
ARTIFACT_PART = 1024 * 1024

CONTROL_FD = 3
RULESET_FD, FILTER_FD = 5, 6  # what confines: a landlock ruleset, and a filter of system calls (else /dev/null)
VALUE_MAX = 256 * 1024 * 1024
DEPTH_MAX = 190
INTEGER_MIN, INTEGER_MAX = -(2**63), 2**64 - 1
TRACEBACK_MAX = 15 * 1024
CODE_CACHE_MAX = 256
READ_SIZE = 64 * 1024
# Imported by the zygote when it has nothing to do. What many scripts use and costs little memory: every page of the
# zygote makes each fork slower (asyncio and ssl together add a millisecond to every task). Of `random` only what it
# imports: it would have to be seeded anew in each child, also where nobody asks for it.
WARM_MODULES = ("collections", "datetime", "functools", "hashlib", "itertools", "pathlib", "re", "subprocess", "textwrap",
                "time")
WARM_ROUNDS = 24
HOLES_BYTES_MAX = 128 * 1024  # filled for each size of object
SIGKILL, SIGCHLD, SIG_DFL = int(signal.SIGKILL), int(signal.SIGCHLD), int(signal.SIG_DFL)

OWN_VARIABLES = (b"MILLRACE_RUN", b"MILLRACE_NODE", b"MILLRACE_ATTEMPT")  # set for each task

CONTROL = struct.Struct("<cQqqqq")
REPLY = struct.Struct("<BBHIIIQ")
SCALARS = frozenset((str, bool, type(None)))



# ---- list references ------------------------------------------------------------------------------------------------

LIST_MARK = b"#millrace list 1\n"


class ListReference(collections.abc.Sequence):
    """The output of a large fan-out: a list whose parts come from the worker as they are read, and go again."""

    KEPT = 2  # parts
    __slots__ = ("bytes", "count_", "pieces", "firsts", "kept")
    __hash__ = None

    def __init__(self, text):
        head = json.loads(text[len(LIST_MARK):])
        self.bytes, self.count_, self.pieces, self.kept = head["bytes"], head["count"], head["pieces"], {}
        self.firsts, first = [], 0
        for piece in self.pieces:
            self.firsts.append(first)
            first += piece[2]

    def part(self, number):
        kind, name = self.pieces[number][:2]
        if kind == "text":  # short
            return json.loads("[%s]" % name)
        elements = self.kept.pop(number, None)
        if elements is None:
            elements = json.loads(line.part(name))
            if kind == "item":
                elements = [elements]
            if len(self.kept) >= self.KEPT:
                del self.kept[next(iter(self.kept))]
        self.kept[number] = elements
        return elements

    def __len__(self):
        return self.count_

    def __getitem__(self, at):
        if isinstance(at, slice):
            return [self[i] for i in range(*at.indices(self.count_))]
        index = at.__index__()
        index += self.count_ if index < 0 else 0
        if not 0 <= index < self.count_:
            raise IndexError("list index out of range")
        number = bisect.bisect_right(self.firsts, index) - 1
        return self.part(number)[index - self.firsts[number]]

    def __iter__(self):
        for number in range(len(self.pieces)):
            yield from self.part(number)

    def __eq__(self, other):
        if not isinstance(other, (list, ListReference)):
            return NotImplemented
        return len(self) == len(other) and all(a == b for a, b in zip(self, other))

    def __repr__(self):
        return "<a list of %d items, %d bytes of JSON>" % (self.count_, self.bytes)


def value_of(part):
    return ListReference(part) if part.startswith(LIST_MARK) else loads(part)


def plain(value):
    if isinstance(value, ListReference):
        return list(value)
    raise TypeError("not JSON")


encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, check_circular=False, separators=(",", ":"),
                          default=plain).encode


# ---- output -> JSON ---------------------------------------------------------------------------------------------

class NotJson(Exception):
    """Says what is wrong; `path` grows from the inside out while the exception climbs."""

    def __init__(self, problem):
        super().__init__(problem)
        self.problem = problem
        self.path = []


def kind_of(value):
    kind = type(value)
    name = kind.__qualname__ if kind.__module__ == "builtins" else kind.__module__ + "." + kind.__qualname__
    return ("an " if name[0] in "aeiouAEIOU" else "a ") + name


def check(value, depth=0):
    """Raises NotJson for what JSON cannot hold exactly; nothing is converted silently but tuples to lists."""
    if value is None or isinstance(value, (str, bool)):
        return
    if isinstance(value, int):
        if not INTEGER_MIN <= value <= INTEGER_MAX:
            raise NotJson("is an integer beyond 64 bits")
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise NotJson("is %r, which JSON cannot hold" % float(value))
    elif depth >= DEPTH_MAX:
        raise NotJson("is nested deeper than %d levels" % DEPTH_MAX)
    elif isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise NotJson("has the key %.80r, which is %s; keys must be strings" % (key, kind_of(key)))
            if type(item) not in SCALARS:
                check_at(item, "[%s]" % json.dumps(key, ensure_ascii=False), depth)
    elif isinstance(value, (list, tuple)):
        kinds = set(map(type, value))
        if kinds <= SCALARS or (kinds == {float} and all(map(math.isfinite, value))):
            return
        if kinds == {int} and INTEGER_MIN <= min(value) and max(value) <= INTEGER_MAX:
            return
        for index, item in enumerate(value):
            check_at(item, "[%d]" % index, depth)
    elif isinstance(value, ListReference):
        if value.bytes > VALUE_MAX:
            raise NotJson("is a list of %d bytes of JSON; the limit is %d" % (value.bytes, VALUE_MAX))
    else:
        raise NotJson("is %s, which JSON cannot hold" % kind_of(value))


def check_at(item, step, depth):
    try:
        check(item, depth + 1)
    except NotJson as problem:
        problem.path.append(step)
        raise


def to_json(value, root):
    """The bytes of `value` as JSON; raises NotJson with the path of the offending part in its text."""
    try:
        check(value)
        text = encode(value).encode("utf-8")
        if len(text) > VALUE_MAX:
            raise NotJson("is %d bytes of JSON; the limit is %d" % (len(text), VALUE_MAX))
        return text
    except NotJson as problem:
        where = "".join(reversed(problem.path))
        if len(where) > 400:
            where = where[:200] + " ... " + where[-200:]
        problem.args = ("%s%s %s" % (root, where, problem.problem),)
        raise
    except UnicodeEncodeError:
        raise NotJson("%s holds text with a lone surrogate, which is not UTF-8" % root) from None


# ---- confinement: see worker/executors/sandbox.h ------------------------------------------------------------------

LIMITS = {"memory": resource.RLIMIT_AS, "cpu": resource.RLIMIT_CPU, "processes": resource.RLIMIT_NPROC,
          "files": resource.RLIMIT_NOFILE, "file_size": resource.RLIMIT_FSIZE}


class Filter:
    """The filter of system calls, as the kernel wants it."""

    def __init__(self, descriptor):
        data = os.read(descriptor, 1 << 16)
        self.length = len(data) // 8
        if self.length > 0:
            self.code = ctypes.create_string_buffer(data, len(data))
            program = struct.pack("HxxxxxxP", self.length, ctypes.addressof(self.code))
            self.program = ctypes.create_string_buffer(program, len(program))
            self.argument = ctypes.c_void_p(ctypes.addressof(self.program))


CAPABILITIES_KEPT = 0b10011111011  # CHOWN, DAC_OVERRIDE, FOWNER, FSETID, KILL, SETGID, SETUID, NET_BIND_SERVICE


class Calls:
    """What confines, looked up and with its arguments made before the first fork: each object that a child makes or finds
    first costs it a copy of the page on which that stands."""

    def __init__(self):
        word = ctypes.c_ulong
        self.nothing, self.one, self.two = word(0), word(1), word(2)
        self.capget, self.capset, self.syscall = _libc.capget, _libc.capset, _libc.syscall
        self.restrict, self.unused = ctypes.c_long(446), ctypes.c_long(0)  # landlock_restrict_self
        self.ruleset = ctypes.c_long(RULESET_FD)
        self.header = ctypes.create_string_buffer(struct.pack("Ii", 0x20080522, 0), 8)
        self.sets = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable; low words, then high ones
        self.waitpid = _libc.waitpid
        self.has_ruleset = not os.path.samestat(os.fstat(RULESET_FD), os.stat("/dev/null"))


def must(result, what):
    if result != 0:
        raise OSError(ctypes.get_errno(), "cannot confine the task: " + what)


def drop_capabilities():
    """Of root's, most; with no_new_privs no exec brings them back."""
    sets = calls.sets
    must(calls.capget(calls.header, sets), "capabilities")
    sets[0] &= CAPABILITIES_KEPT
    sets[1] &= CAPABILITIES_KEPT
    sets[2] = sets[3] = sets[4] = sets[5] = 0
    must(calls.capset(calls.header, sets), "capabilities")


def give_up_privileges():
    nothing = calls.nothing
    drop_capabilities()
    must(_prctl(38, calls.one, nothing, nothing, nothing), "no_new_privs")  # PR_SET_NO_NEW_PRIVS


def filter_calls():
    if task_filter.length > 0:
        must(_prctl(22, calls.two, task_filter.argument, calls.nothing, calls.nothing), "seccomp")  # PR_SET_SECCOMP


def confine_zygote():
    """What is the same for all tasks, and inherited: then no child has to compile a filter. Its ruleset each child takes
    itself, since tasks with one in common could signal and trace each other."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    give_up_privileges()
    filter_calls()


def confine(task):
    """For good. The ruleset and the filter come from the worker."""
    for name, value in task.limits.items():
        most = resource.getrlimit(LIMITS[name])[1]
        value = value if most == resource.RLIM_INFINITY else min(value, most)
        # SIGXCPU says what it was; the SIGKILL of the hard limit would not.
        resource.setrlimit(LIMITS[name], (value, value + 1 if name == "cpu" and value != most else value))
    if not confined:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if task.confine:
            give_up_privileges()
    if task.confine and task.jail is None and calls.has_ruleset:
        must(calls.syscall(calls.restrict, calls.ruleset, calls.unused), "landlock")
    if task.confine:
        os.close(RULESET_FD)
    if task.confine and not confined:
        filter_calls()


# ---- namespaces: see worker/executors/jail.h ------------------------------------------------------------------------

MOUNT, CLONE, ATTACH, READ_ONLY, MAKE_DIRECTORY, MAKE_FILE, LINK, LOOPBACK = range(8)
MAY_BE_MISSING = (errno.ENOENT, errno.ENOTDIR, errno.EACCES)


def checked(result):
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def call(number, *arguments):
    return checked(_libc.syscall(ctypes.c_long(number), *[ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]))


def raise_loopback():
    import fcntl
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, 0x8914, struct.pack("16sH22x", b"lo", 0x41))  # SIOCSIFFLAGS: up, running


def take_step(operation, a, b, c, n, slots):
    path = a.encode()
    if operation == MOUNT:
        source = c.encode() if not b and n & 4096 else b"millrace"
        data = None if not c or (not b and n & 4096) else c.encode()
        checked(_libc.mount(source, path, b.encode() or None, ctypes.c_ulong(n), data))
    elif operation == CLONE:
        slots[n] = call(428, -100, path, 1 | 0x8000 | os.O_CLOEXEC)
    elif operation == ATTACH:
        if n in slots:
            call(429, slots[n], b"", -100, path, 4)
    elif operation == READ_ONLY:
        call(442, -100, path, 0x8000 if n else 0, ctypes.create_string_buffer(struct.pack("4Q", 3, 0, 0, 0), 32), 32)
    elif operation == MAKE_DIRECTORY:
        try:
            os.mkdir(a, n)
        except FileExistsError:
            pass
    elif operation == MAKE_FILE:
        os.close(os.open(a, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, n))
    elif operation == LINK:
        os.symlink(b, a)
    elif operation == LOOPBACK:
        raise_loopback()


def close_all_but(descriptor):
    os.closerange(0, descriptor)
    os.closerange(descriptor + 1, 4096)


def stand_outside(first, ends):
    """Ends as the task ends; what signals do to the task is what counts."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    close_all_but(ends)
    told = os.read(ends, 4)
    status = os.waitpid(first, 0)[1]
    if len(told) == 4:
        status = struct.unpack("i", told)[0]
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        if number != signal.SIGKILL:
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    os._exit(os.WEXITSTATUS(status) if os.WIFEXITED(status) else 70)


def be_first_inside(task, tell):
    """Everything inside ends with us, and we with the task."""
    close_all_but(tell)
    while True:
        pid, status = os.wait()
        if pid == task:
            os.write(tell, struct.pack("i", status))
            os._exit(0)


def enter_jail(jail):
    word = ctypes.c_ulong
    if _libc.unshare(ctypes.c_int(jail["flags"])) != 0:
        number = ctypes.get_errno()
        raise OSError(number, "namespaces cannot be made: " + os.strerror(number))
    _prctl(4, word(1), word(0), word(0), word(0))  # PR_SET_DUMPABLE: else our files in /proc are root's
    for file, text in (("setgroups", "deny"), ("uid_map", "%d %d 1" % (jail["uid"], jail["uid"])),
                       ("gid_map", "%d %d 1" % (jail["gid"], jail["gid"]))):
        descriptor = os.open("/proc/self/" + file, os.O_WRONLY)
        os.write(descriptor, text.encode())
        os.close(descriptor)
    _prctl(4, word(0), word(0), word(0), word(0))
    ends, tell = os.pipe()
    first = os.fork()
    if first != 0:
        stand_outside(first, ends)
    os.close(ends)
    line.pid = os.getpid()  # should a step fail, it is us who say so
    _prctl(1, word(signal.SIGKILL), word(0), word(0), word(0))  # PR_SET_PDEATHSIG
    slots = {}
    for operation, a, b, c, n, optional in jail["steps"]:
        try:
            take_step(operation, a, b, c, n, slots)
        except OSError as error:
            if not optional or error.errno not in MAY_BE_MISSING:
                raise OSError(error.errno, "%s at %s cannot be had in namespaces: %s" % (
                    b or "a place", a, os.strerror(error.errno))) from None
    for slot in slots.values():
        os.close(slot)
    task = os.fork()
    if task != 0:
        be_first_inside(task, tell)
    os.close(tell)
    line.pid = os.getpid()
    os.environ["TMPDIR"] = "/tmp"


# ---- one task -----------------------------------------------------------------------------------------------------

scan = json.JSONDecoder().scan_once


def loads(data):
    """Of JSON that is known to be whole."""
    text = str(data, "utf-8", "surrogatepass")
    return scan(text, 0)[0] if text[:1] not in " \t\r\n" else json.loads(text)


class Task:
    def __init__(self, parts):
        header = loads(parts[0])
        self.node = header["node"]
        self.sources = header.get("sources")  # that came with the workflow: by their paths, relative to root
        self.path = header.get("file", "")  # of the script, as the workflow names it
        self.root = self.path.rpartition("/")[0]
        self.file = self.path or "<%s>" % header["node"]
        self.run = {"id": header["run"], "workflow": header["workflow"], "attempt": header["attempt"]}
        self.env = header["env"]
        self.cwd = header["cwd"]
        self.confine = header.get("confine")  # None: the interpreter is shared
        self.limits = header.get("limits")
        self.jail = header.get("jail")  # namespaces of its own: see worker/executors/jail.h
        self.function = header.get("function")  # module:name, instead of a script
        self.script = parts[1]
        self.inputs = loads(parts[2])
        self.nodes = {name: value_of(part) for name, part in zip(header["ids"], parts[3:])}
        names = header.get("vars", ())  # `item` and `index` of a mapped node
        self.vars = {name: loads(part) for name, part in zip(names, parts[3 + len(header["ids"]):])}


class Packed:
    """Finds modules among the sources that came with the task; one task's at a time."""

    def __init__(self):
        self.sources, self.root, self.files = {}, "", []

    def open(self, sources, root):
        from importlib.machinery import ModuleSpec  # not while it is asked for a module
        self.spec = ModuleSpec
        self.sources, self.root = sources, root
        sys.meta_path.insert(0, self)

    def close(self):
        if not self.sources:
            return
        self.sources = {}
        sys.meta_path.remove(self)
        for name in [name for name, module in list(sys.modules.items()) if getattr(module, "__loader__", None) is self]:
            del sys.modules[name]
        for file in self.files:
            linecache.cache.pop(file, None)
        self.files.clear()

    def place(self, path):
        return self.root + "/" + path if self.root and self.root != "/" else self.root + path

    def path_of(self, name):
        base = name.replace(".", "/")
        for path in (base + "/__init__.py", base + ".py"):
            if path in self.sources:
                return path
        return None

    def find_spec(self, name, path=None, target=None):
        found, folder = self.path_of(name), name.replace(".", "/")
        package = found is None or found.endswith("/__init__.py")
        if found is None and not any(source.startswith(folder + "/") for source in self.sources):
            return None
        spec = self.spec(name, self, origin=self.place(found or folder), is_package=package)
        spec.has_location = found is not None
        if package:
            spec.submodule_search_locations = [self.place(folder)]
        return spec

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        path = self.path_of(module.__name__)
        if path is None:  # a folder without __init__.py
            return
        text, file = self.sources[path], self.place(path)
        linecache.cache[file] = (len(text), None, text.splitlines(True), file)
        self.files.append(file)
        exec(compile(text, file, "exec", dont_inherit=True), module.__dict__)

    def get_source(self, name):
        return self.sources.get(self.path_of(name))

    def is_package(self, name):
        return (self.path_of(name) or "/__init__.py").endswith("/__init__.py")

    def get_data(self, path):
        """For pkgutil.get_data(): what lies beside a module."""
        start = self.place("")
        if path.startswith(start) and path[len(start):] in self.sources:
            return self.sources[path[len(start):]].encode("utf-8")
        raise FileNotFoundError(errno.ENOENT, "it did not come with the workflow", path)


packed = Packed()
code_cache = {}    # (file, script) -> code
script_cache = {}  # script -> (code, source as linecache keeps it): many nodes of a packed workflow share one script


def compiled(task):
    key = (task.file, task.script)
    code = code_cache.get(key)
    if code is not None and code.co_filename in linecache.cache:
        return code
    known = script_cache.get(task.script)
    if known is None:
        if len(script_cache) >= CODE_CACHE_MAX:
            script_cache.clear()
        text = task.script.decode("utf-8")
        source = (len(text), None, text.splitlines(True), task.file)
        linecache.cache[task.file] = source  # before it is compiled: a syntax error shows its line
        known = script_cache[task.script] = (compile(text, task.file, "exec", dont_inherit=True), source)
    if len(code_cache) >= CODE_CACHE_MAX:
        for file, _ in code_cache:
            linecache.cache.pop(file, None)
        code_cache.clear()
    code = code_cache[key] = renamed(known[0], task.file)
    linecache.cache[task.file] = known[1][:3] + (task.file,)
    return code


def renamed(code, file):
    """The same code as that of another file, with all that is inside it."""
    if code.co_filename == file:
        return code
    constants = tuple(renamed(c, file) if isinstance(c, types.CodeType) else c for c in code.co_consts)
    return code.replace(co_filename=file, co_consts=constants)


def parameters(main):
    """(name, kind, default or NOTHING) of each parameter that has a name, in order; and whether there is a **rest."""
    if type(main) is types.FunctionType and not main.__dict__:  # inspect says the same, and is large
        code, defaults, named = main.__code__, main.__defaults__ or (), main.__kwdefaults__ or {}
        count, names = code.co_argcount, code.co_varnames
        first = count - len(defaults)
        out = [(names[at], False, NOTHING if at < first else defaults[at - first]) for at in range(count)]
        for name in names[count:count + code.co_kwonlyargcount]:
            out.append((name, True, named.get(name, NOTHING)))
        return out, bool(code.co_flags & 8)  # CO_VARKEYWORDS
    import inspect
    found, rest = [], False
    for name, one in inspect.signature(main).parameters.items():
        if one.kind is one.VAR_KEYWORD:
            rest = True
        elif one.kind is not one.VAR_POSITIONAL:
            default = NOTHING if one.default is one.empty else one.default
            found.append((name, one.kind is one.KEYWORD_ONLY, default))
    return found, rest


NOTHING = object()


def arguments(main, task):
    """Positional and named arguments for main(), filled by name: node, input, default."""
    offered = {"inputs": task.inputs, "nodes": task.nodes, "run": task.run, **task.inputs, **task.nodes, **task.vars}
    positional, named, taken = [], {}, set()
    found, takes_rest = parameters(main)
    for name, only_named, value in found:
        taken.add(name)
        if name in offered:
            value = offered[name]
        elif value is NOTHING:
            raise TypeError("main() has the parameter '%s', but there is no node or input of that name" % name)
        if only_named:
            named[name] = value
        else:
            positional.append(value)
    if takes_rest:
        named.update((k, v) for k, v in {**task.inputs, **task.nodes, **task.vars}.items() if k not in taken)
    return positional, named


def function_named(function):
    import importlib
    module, _, name = function.partition(":")
    found = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    return found


def evaluate(task, space):
    """Runs the script and gives (value, what to call it)."""
    code = None if task.function else compiled(task)
    try:
        if task.function:
            main = function_named(task.function)
        else:
            exec(code, space)
            main = space.get("main")
        if callable(main):
            positional, named = arguments(main, task)
            value = main(*positional, **named)
            if isinstance(value, types.CoroutineType):
                import asyncio
                value = asyncio.run(value)
            return value, "main()"
    except SystemExit as end:
        if end.code not in (None, 0):
            raise
    for name in ("output", "result"):
        if name in space:
            return space[name], name
    return None, "output"


def describe(error, file):
    """(one line, traceback from the first frame of the script on) of an exception."""
    kind = type(error)
    name = kind.__qualname__ if kind.__module__ in ("builtins", "__main__") else kind.__module__ + "." + kind.__qualname__
    try:
        text = str(error)
    except Exception:
        text = "<its text cannot be printed>"
    if isinstance(error, SyntaxError) and error.lineno is not None:
        text = "%s (line %d)" % (error.msg, error.lineno)
    first_line = text.strip().split("\n", 1)[0]
    message = "%s: %s" % (name, first_line) if first_line else name
    frame = error.__traceback__
    while frame is not None and frame.tb_frame.f_code.co_filename != file:
        frame = frame.tb_next
    if frame is None:  # not of the script, but of what it names
        frame = error.__traceback__
        while frame is not None and frame.tb_frame.f_code.co_filename == "<millrace>":
            frame = frame.tb_next
    try:
        lines = "".join(traceback.format_exception(kind, error, frame))
    except Exception:
        lines = message + "\n"
    if len(lines) > TRACEBACK_MAX:
        lines = lines[:TRACEBACK_MAX // 3] + "\n  ... [cut] ...\n" + lines[-2 * TRACEBACK_MAX // 3:]
    return message, lines


def flush_streams():
    for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
        try:
            stream.flush()
        except Exception:
            pass


packages_count = not sys.flags.no_site


def let_packages_count():
    """Of an environment that somebody asked for: its .pth files are code, and run here."""
    global packages_count
    if packages_count:
        return
    packages_count = True
    site.main()


def prepare(task):
    if task.jail is not None:
        enter_jail(task.jail)
        os.chdir(task.jail["home"])
        if "processes" in task.limits:
            task.limits["processes"] += 2  # ours
    if task.confine is not None:
        confine(task)
    let_packages_count()
    known = os.environb._data  # one way for all, and short
    for name, value in task.env.items():
        name, value = os.fsencode(name), os.fsencode(value)
        if known.get(name) != value:
            os.putenv(name, value)
            known[name] = value
    if task.cwd:
        os.chdir(task.cwd)
        sys.path.append(task.cwd)
    if task.sources:
        packed.open(task.sources, task.root)
    sys.argv = [task.node]


def run_task(parts, once, prepare=prepare):
    """Runs one request; gives (kind, message, traceback, output, microseconds), all text as bytes."""
    task = Task(parts)
    module = types.ModuleType("__main__")
    space = module.__dict__
    for name, value in task.nodes.items():
        if name.isidentifier() and not keyword.iskeyword(name) and not name.startswith("__"):
            space[name] = value
    space.update(inputs=task.inputs, nodes=task.nodes, run=task.run, **task.vars)
    if task.path:
        space["__file__"] = task.path
    sys.modules["__main__"] = module
    kind, message, lines, output = OK, "", "", b""
    begun = 0
    try:
        prepare(task)
        begun = monotonic_ns()
        value, root = evaluate(task, space)
        output = to_json(value, root)
        value = None
    except NotJson as error:
        kind, message = INVALID_OUTPUT, str(error)
    except BaseException as error:
        kind = OUT_OF_MEMORY if isinstance(error, MemoryError) else ERROR
        message, lines = describe(error, task.file)
    if once:
        atexit._run_exitfuncs()
    flush_streams()
    if not once:
        packed.close()
    space.clear()  # closes, and so flushes, files that the script left open
    ran = (monotonic_ns() - begun) // 1000 if begun else 0
    return kind, message.encode("utf-8", "replace"), lines.encode("utf-8", "replace"), output, ran


# ---- the module `millrace` ----------------------------------------------------------------------------------------

class Line:
    """From the running task to the worker. Threads of the task may speak, its children may not."""

    PAUSE = 0.05  # seconds between two reports of progress; those that come sooner are left out

    def __init__(self):
        self.lock = threading.Lock()
        self.channel = None
        self.pid = None
        self.told = 0.0

    def open(self, channel):
        self.channel, self.pid, self.told = channel, os.getpid(), 0.0

    def close(self):
        with self.lock:
            self.channel = None

    def say(self, kind, message=b"", output=b"", more=b"", flags=0):
        if self.channel is None or os.getpid() != self.pid:
            raise RuntimeError("only the process of a running task may call millrace")
        header = REPLY.pack(kind, 0, flags, len(message), len(more), len(output), 0)
        write_all(self.channel, b"".join((header, message, more, output)))

    def answer(self):
        """(whether it is good, its text) of what was asked."""
        good, text = self.answer_bytes()
        return good, text.decode("utf-8")

    def answer_bytes(self):
        parts = read_request(self.channel)
        if parts is None:
            raise RuntimeError("the worker has gone")
        return parts[0] == b"1", parts[1]

    def part(self, name):
        """The bytes of a part of a list reference."""
        with self.lock:
            self.say(PART, message=name.encode("utf-8"))
            good, text = self.answer_bytes()
        if not good:
            raise LookupError(text.decode("utf-8"))
        return text

    def progress(self, done, total=None, **more):
        """Tells how far the task is: an event of type task_progress with {done, total, ...} as its data."""
        now = time.monotonic()
        if now < self.told + self.PAUSE and done != total:
            return
        self.told = now
        data = to_json({"done": done, "total": total, **more}, "progress")
        with self.lock:
            self.say(PROGRESS, output=data)

    def heartbeat(self):
        """Tells that the task lives: an event of type task_progress with {heartbeat: true} as its data."""
        now = time.monotonic()
        if now >= self.told + self.PAUSE:
            self.told = now
            with self.lock:
                self.say(PROGRESS, output=b'{"heartbeat":true}')

    def secret(self, name):
        """A secret that the worker knows. It is masked in all that the task says from now on."""
        with self.lock:
            self.say(SECRET, message=str(name).encode("utf-8"))
            good, text = self.answer()
        if not good:
            raise LookupError(text)
        return text

    def artifact(self, path_or_name, data=None, *, name=None, content_type=None):
        """Hands a file over, which is kept as long as the run: the file at a path, or `data` (text, bytes, or an open
        binary file) under a name. Later ones of a task take the place of earlier ones with the same name."""
        path = os.fspath(path_or_name)
        name = os.path.basename(path) if name is None else str(name)
        if content_type is None:
            content_type = guess_type(name) or ("text/plain" if isinstance(data, str) else "")
        if data is None:
            with open(path, "rb") as file:
                return self.send_artifact(name, content_type, file.read)
        if isinstance(data, str):
            data = data.encode("utf-8")
        if hasattr(data, "read"):
            return self.send_artifact(name, content_type, data.read)
        import io
        return self.send_artifact(name, content_type, io.BytesIO(data).read)

    def send_artifact(self, name, content_type, read):
        part, flags = read(ARTIFACT_PART), 1
        with self.lock:
            while not flags & 2:
                following = read(ARTIFACT_PART) if part else b""
                if not following:
                    flags |= 2
                self.say(ARTIFACT, message=name.encode("utf-8"), more=content_type.encode("utf-8"), output=part, flags=flags)
                good, text = self.answer()
                if not good:
                    raise ValueError(text)
                part, flags = following, flags & 2


def guess_type(name):
    import mimetypes
    if not mimetypes.inited:
        mimetypes.init(())  # what python knows itself: the same on all machines, and nothing is read
    return mimetypes.guess_type(name)[0]


def log(*values, sep=" "):
    """Writes a line to the task's log at once."""
    print(*values, sep=sep, flush=True)


line = Line()


def make_module():
    module = types.ModuleType("millrace", "What a task can say to the worker that runs it.")
    module.log, module.progress, module.heartbeat, module.secret = log, line.progress, line.heartbeat, line.secret
    module.artifact = line.artifact
    module.__all__ = ["artifact", "log", "progress", "heartbeat", "secret"]
    sys.modules["millrace"] = module


# ---- an interpreter -----------------------------------------------------------------------------------------------

def read_request(channel):
    """The parts of the next request; None at the end. The worker sends the next one only after a reply."""
    data = os.read(channel, READ_SIZE)
    while data and len(data) < 16:
        more = os.read(channel, READ_SIZE)
        data = data + more if more else b""
    if not data:
        return None
    size, count = struct.unpack_from("<QQ", data)
    size += 16
    if len(data) < size:
        whole = bytearray(size)
        whole[:len(data)] = data
        view, at = memoryview(whole), len(data)
        while at < size:
            got = os.readv(channel, [view[at:]])
            if got == 0:
                return None
            at += got
        data = whole
    at = 16 + 8 * count
    parts = []
    for length in struct.unpack_from("<%dQ" % count, data, 16):
        parts.append(bytes(data[at:at + length]))
        at += length
    return parts


def write_all(fd, data):
    written = os.write(fd, data)
    if written < len(data):
        view = memoryview(data)
        while written < len(data):
            written += os.write(fd, view[written:])


def left_something_behind():
    """Whether a task left a thread or a child process: then its interpreter is not fit for another task."""
    if threading.active_count() > 1:
        return True
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        return True
    except ChildProcessError:
        return False


def end_children():
    """What the task has left behind comes to us, and ends."""
    if not adopts or calls.waitpid(-1, None, os.WNOHANG) < 0:  # an exception would cost more than the rest
        return
    for _ in range(1000):
        try:
            while os.waitpid(-1, os.WNOHANG)[0] != 0:
                pass
        except ChildProcessError:
            return
        kill_children(())
        time.sleep(0.001)


def kill_children(spared):
    try:
        with open("/proc/self/task/%d/children" % os.getpid()) as file:
            pids = [int(word) for word in file.read().split()]
    except OSError:
        return
    for pid in pids:
        if pid not in spared:
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                pass


class Surroundings:
    """What a task can change in its process and the next one must not see."""

    def __init__(self):
        self.cwd = os.getcwd()
        self.env = dict(os.environb)
        self.path = list(sys.path)
        self.recursion_limit = sys.getrecursionlimit()
        self.streams = (sys.stdin, sys.stdout, sys.stderr)

    def restore(self):
        sys.stdin, sys.stdout, sys.stderr = self.streams
        sys.settrace(None)
        sys.setprofile(None)
        sys.setrecursionlimit(self.recursion_limit)
        signal.setitimer(signal.ITIMER_REAL, 0)
        if signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if sys.path != self.path:
            sys.path[:] = self.path
        self.restore_environment()
        try:
            moved = os.getcwd() != self.cwd
        except OSError:
            moved = True
        if moved:
            os.chdir(self.cwd)


    def restore_environment(self):
        """Only what differs: to set forty variables anew takes longer than a small task."""
        now = os.environb._data
        for name in OWN_VARIABLES:  # the next task brings its own
            if name in now:
                self.env[name] = now[name]
        if now == self.env:
            return
        for name in [name for name in now if name not in self.env]:
            del os.environb[name]
        for name, value in self.env.items():
            if now.get(name) != value:
                os.environb[name] = value


def serve(channel, once):
    surroundings = None if once else Surroundings()
    while True:
        parts = read_request(channel)
        if parts is None:
            return
        line.open(channel)
        kind, message, lines, output, ran = run_task(parts, once)
        if os.getpid() != line.pid:  # the script forked, and this is the copy
            os.write(2, lines)
            return
        line.close()
        if once:
            end_children()
        retire = once or left_something_behind()
        if not retire:
            surroundings.restore()
        header = REPLY.pack(kind, retire, 0, len(message), len(lines), len(output), ran)
        write_all(channel, b"".join((header, message, lines, output)))
        if once:
            return


def become(uid, gid, place):
    if place >= 0:
        os.chdir(str(place))
    if uid < 0:
        return
    os.umask(0o077)
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    if _prctl is not None:
        _prctl(4, 1, 0, 0, 0)  # PR_SET_DUMPABLE: its own files in /proc are its own
    os.environ["HOME"] = os.environ["TMPDIR"] = os.getcwd() if place >= 0 else os.path.join(os.getcwd(), "shared")
    if place < 0 and os.path.isdir("shared"):
        os.chdir("shared")


def become_interpreter(zygote_pid, descriptors, once, uid, gid, place):
    global adopts
    threading.main_thread()._set_native_id()
    if thread_handler_due:
        os.register_at_fork(after_in_child=threading._after_fork)  # for forks of the task's own
    become(uid, gid, place)
    if _prctl is not None:
        _prctl(1, SIGKILL, 0, 0, 0)  # PR_SET_PDEATHSIG
        adopts = _prctl(36, 1, 0, 0, 0) == 0  # PR_SET_CHILD_SUBREAPER
    if os.getppid() != zygote_pid:
        return
    _signal.set_wakeup_fd(-1)
    _signal.signal(SIGCHLD, SIG_DFL)  # what the module signal puts around it costs more than the call
    if not once:
        os.close(RULESET_FD)
    channel, out, err = descriptors
    os.dup2(out, 1)
    os.dup2(err, 2)
    os.close(out)
    os.close(err)
    serve(channel, once)


# ---- the zygote ---------------------------------------------------------------------------------------------------

adopts = False  # an interpreter: it gets the orphans of its task


def warm_up():
    """What every task runs has run before the first fork: its code is settled, what it looks up is found, and a child has
    fewer pages to write to, each of which is copied for it."""
    header = b'{"node":"warm","run":"","workflow":"","attempt":1,"cwd":"","env":{},"ids":["up"],"vars":[]}'
    scripts = (b"def main(up, **inputs):\n    return {'up': [up, 2.5, None, True]}\n", b"output = [up, 'text', {'n': 1}]\n")
    ours, theirs = socket.socketpair()
    channel, main = theirs.fileno(), sys.modules["__main__"]
    for i in range(WARM_ROUNDS):
        parts = (header, scripts[i % 2], b'{"n":1}', b"[1]")
        body = struct.pack("<%dQ" % len(parts), *map(len, parts)) + b"".join(parts)
        ours.sendall(struct.pack("<QQ", len(body), len(parts)) + body)
        line.open(channel)
        kind, message, lines, output, ran = run_task(read_request(channel), False, prepare=lambda task: None)
        line.close()
        header_of = REPLY.pack(kind, 0, 0, len(message), len(lines), len(output), ran)
        write_all(channel, b"".join((header_of, message, lines, output)))
        ours.recv(READ_SIZE)
        code_cache.clear()
        script_cache.clear()
    linecache.cache.clear()
    sys.modules["__main__"] = main
    ours.close()
    theirs.close()


def fill_holes():
    """Small objects where the allocator has room between others: a child would be handed these places first, and each
    is on another page that is copied for it. After this what a child makes stands side by side, in fresh pools (16 KB, a
    header of 48 bytes, blocks of one size). With another allocator it only takes some memory (4 MB at most)."""
    fillers = []
    for size in range(16, 512 + 1, 16):
        last, in_a_row = 0, 0
        for number in range(HOLES_BYTES_MAX // size):
            filler = object() if size == 16 else 1000 + number if size == 32 else bytes(size - 33)
            fillers.append(filler)
            place = id(filler)
            in_a_row = in_a_row + 1 if in_a_row and place == last + size else int(place % 16384 == 48)
            if in_a_row == 4:  # a fresh pool has begun
                break
            last = place
    return fillers


class Zygote:
    def __init__(self):
        self.control = socket.socket(fileno=CONTROL_FD)
        self.control.set_inheritable(False)
        self.pid = os.getpid()
        self.living = {}      # id -> pid
        self.dead = {}        # id -> pid: died, not given up yet
        self.given_up = set()
        self.wake_read, self.wake_write = os.pipe()
        os.set_blocking(self.wake_read, False)
        os.set_blocking(self.wake_write, False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        signal.set_wakeup_fd(self.wake_write, warn_on_full_buffer=False)
        self.poll = select.poll()
        self.poll.register(self.control.fileno(), select.POLLIN)
        self.poll.register(self.wake_read, select.POLLIN)

    def say(self, what, runner=0, value=0):
        self.control.send(CONTROL.pack(what, runner, value, -1, -1, -1))

    def fork(self, runner, descriptors, once, uid, gid, place):
        try:
            pid = os.fork()
        except OSError as error:
            self.say(b"E", runner, error.errno)
            return
        if pid == 0:
            status = 70
            try:
                os.close(CONTROL_FD)
                os.close(self.wake_read)
                os.close(self.wake_write)
                become_interpreter(self.pid, descriptors, once, uid, gid, place)
                status = 0
            except BaseException:
                traceback.print_exc(file=sys.__stderr__)
            finally:
                os._exit(status)
        try:
            os.setpgid(pid, pid)  # here, so that the group exists before its id is announced
        except OSError:
            pass
        self.living[runner] = pid
        self.say(b"C", runner, pid)

    def give_up(self, runner):
        if runner in self.dead:
            os.waitpid(self.dead.pop(runner), 0)
        elif runner in self.living:
            self.given_up.add(runner)

    def notice_deaths(self):
        unclean = bool(self.given_up)
        for runner, pid in list(self.living.items()):
            info = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if info is None:
                continue
            del self.living[runner]
            unclean = unclean or info.si_code != os.CLD_EXITED or info.si_status != 0
            if runner in self.given_up:
                self.given_up.discard(runner)
                os.waitpid(pid, 0)
            else:
                status = info.si_status << 8 if info.si_code == os.CLD_EXITED else info.si_status
                self.dead[runner] = pid
                self.say(b"X", runner, status)
        ours = set(self.dead.values()) | set(self.living.values())
        while True:  # orphans of interpreters that have died were handed to us
            try:
                info = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if info is None or info.si_pid in ours:
                break
            os.waitpid(info.si_pid, 0)
        if unclean:
            kill_children(ours)

    def take_order(self):
        """Whether the worker is still there."""
        data, ancillary, _, _ = self.control.recvmsg(CONTROL.size, socket.CMSG_SPACE(3 * 4))
        if not data:
            return False
        what, runner, once, uid, gid, place = CONTROL.unpack(data)
        if what == b"F":
            descriptors = struct.unpack("3i", ancillary[0][2][:12])
            try:
                self.fork(runner, descriptors, bool(once), uid, gid, place)
            finally:
                for fd in descriptors:
                    os.close(fd)
        elif what == b"R":
            self.give_up(runner)
        return True

    def turn(self, wait):
        """Does what there is to do. None: nothing; False: the worker has gone."""
        ready = self.poll.poll(wait)
        if not ready:
            return None
        for fd, _ in ready:
            if fd == self.wake_read:
                os.read(self.wake_read, 4096)
                self.notice_deaths()
            elif not self.take_order():
                return False
        return True

    def run(self):
        self.say(b"H")
        for name in WARM_MODULES:
            while True:
                did = self.turn(0)
                if did is False:
                    return
                if did is None:
                    break
            try:
                __import__(name)
            except Exception:
                pass
        warm_up()
        gc.collect()
        self.fillers = fill_holes()
        gc.freeze()
        while self.turn(None) is not False:
            pass

    def end(self):
        kill_children(())
        for pid in list(self.living.values()) + list(self.dead.values()):
            for kill in (os.killpg, os.kill):
                try:
                    kill(pid, signal.SIGKILL)
                except OSError:
                    pass


def start():
    sys.path[:] = [entry for entry in sys.path if entry]  # not from whatever directory this is
    sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)
    sys.stderr.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)
    make_module()
    global task_filter, calls, confined
    task_filter = Filter(FILTER_FD)
    calls = Calls() if _prctl is not None else None
    os.close(FILTER_FD)
    confined = sys.argv[1:] == ["confined"]
    if confined:
        confine_zygote()
    os.set_inheritable(RULESET_FD, False)
    zygote = Zygote()
    try:
        zygote.run()
    except (BrokenPipeError, ConnectionResetError):
        pass  # the worker has gone
    except BaseException:
        traceback.print_exc()
    finally:
        if os.getpid() == zygote.pid:
            zygote.end()
            os._exit(0)


start()
