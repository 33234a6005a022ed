"""Messages of the worker protocol, between plain values and bytes: see proto/worker.proto and docs/sdk.md.

An attempt is the tuple (run, task, epoch, number). A payload is None (null), bytes of JSON, or a Reference. Columns are
explained in proto/common.proto. Reading trusts nothing: what is not sound is a WireError.
"""
from collections import namedtuple

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from .protocol import DESCRIPTORS

PROTOCOL_VERSION = 1
FRAME_MAX = 257 * 1024 * 1024
WORKER, COORDINATOR = 1, 2
ENVELOPE = b"MR" + bytes([PROTOCOL_VERSION, WORKER])
SPECS_MAX = 65_536

Attempt = namedtuple("Attempt", "run task epoch number")
Reference = namedtuple("Reference", "high low size")
Items = namedtuple("Items", "first count values budget_us")  # of a node with foreach: the payload is an array
Binding = namedtuple("Binding", "task version value name")
Report = namedtuple("Report", "attempt outcome rests_on")
Held = namedtuple("Held", "attempt started rests_on items")


class WireError(ValueError):
    """A message that is not what the protocol says. `unknown_spec`: it names what was never sent; say Hello again."""

    def __init__(self, message, unknown_spec=False):
        super().__init__(message)
        self.unknown_spec = unknown_spec


def _messages():
    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(DESCRIPTORS).file:
        pool.Add(file)
    found = {}
    for name in ("WorkerMessage", "CoordinatorMessage"):
        descriptor = pool.FindMessageTypeByName("millrace.wire." + name)
        if hasattr(message_factory, "GetMessageClass"):
            found[name] = message_factory.GetMessageClass(descriptor)
        else:
            found[name] = message_factory.MessageFactory(pool).GetPrototype(descriptor)
    return found


_CLASSES = _messages()
WorkerMessage, CoordinatorMessage = _CLASSES["WorkerMessage"], _CLASSES["CoordinatorMessage"]


# ---------------------------------------------------------------- columns and groups


def _signed(value):
    """Of 32 bits: differences are taken modulo 2^32."""
    value &= 0xFFFFFFFF
    return value - 2**32 if value >= 2**31 else value


def _write_column(field, values, default):
    if values and any(one != values[0] for one in values):
        field.extend(values)
    elif values and values[0] != default:
        field.append(values[0])


def _column(field, count, default):
    if len(field) == count:
        return list(field)
    if len(field) > 1:
        raise WireError("a column has the wrong length")
    return [field[0] if field else default] * count


def _stretches(items, attempt_of):
    """Neighbours of one run and epoch."""
    group = []
    for item in items:
        if group and attempt_of(group[0])[::2] != attempt_of(item)[::2]:
            yield group
            group = []
        group.append(item)
    if group:
        yield group


def _write_attempts(attempts, out):
    out.run, out.epoch = attempts[0].run, attempts[0].epoch
    previous = 0
    for one in attempts:
        out.task_deltas.append(_signed(one.task - previous))
        previous = one.task
    _write_column(out.numbers, [one.number for one in attempts], 1)


def _attempts(group):
    out, task = [], 0
    for delta, number in zip(group.task_deltas, _column(group.numbers, len(group.task_deltas), 1)):
        task = (task + delta) & 0xFFFFFFFF
        out.append(Attempt(group.run, task, group.epoch, number))
    return out


def _attempt_list(message):
    return [attempt for group in message.groups for attempt in _attempts(group)]


def _write_attempt_list(attempts, out):
    for group in _stretches(attempts, lambda one: one):
        _write_attempts(group, out.groups.add())


def _write_versions(tasks, lists, make):
    """`lists`: for each of `tasks` a list of (task, version)."""
    if not any(lists):
        return
    out = make()
    _write_column(out.counts, [len(one) for one in lists], 0)
    for task, one in zip(tasks, lists):
        out.task_deltas.extend(_signed(task - up) for up, _ in one)
    _write_column(out.versions, [version for one in lists for _, version in one], 0)


# ---------------------------------------------------------------- worker -> coordinator


class _Payloads:
    """Payloads of one message: 0 is null, i + 1 the i-th."""

    def __init__(self, field):
        self.field = field

    def number(self, payload):
        if payload is None or payload == b"null":
            return 0
        out = self.field.add()
        if isinstance(payload, Reference):
            out.hash_high, out.hash_low, out.size = payload
        else:
            out.json = payload
        return len(self.field)


def hello(settings, held, draining, epochs):
    message = WorkerMessage()
    out = message.hello
    for name in ("incarnation", "pid", "slots", "io_slots"):
        setattr(out, name, settings[name])
    for name in ("name", "version", "host"):
        setattr(out, name, settings[name].encode())
    out.executors.extend(name.encode() for name in settings["executors"])
    out.queues.extend(name.encode() for name in settings["queues"])
    for key, value in sorted(settings["labels"].items()):
        label = out.labels.add()
        label.key, label.value = key.encode(), value.encode()
    for name, amount in sorted(settings["resources"].items()):
        resource = out.resources.add()
        resource.name, resource.amount = name.encode(), amount
    for group in _stretches(held, lambda one: one.attempt):
        entry = out.held.add()
        _write_attempts([one.attempt for one in group], entry.attempts)
        _write_column(entry.started, [one.started for one in group], False)
        _write_versions([one.attempt.task for one in group], [one.rests_on for one in group], lambda: entry.rests_on)
        _write_column(entry.items, [one.items for one in group], 0)
    out.draining = draining
    for partition, epoch in epochs:
        entry = out.epochs.add()
        entry.partition, entry.epoch = partition, epoch
    return message.SerializeToString()


def beat(incarnation, running, queued):
    message = WorkerMessage()
    message.beat.incarnation, message.beat.running, message.beat.queued = incarnation, running, queued
    return message.SerializeToString()


def credit(cpu, io):
    message = WorkerMessage()
    message.credit.cpu, message.credit.io = cpu, io
    return message.SerializeToString()


def started(attempts):
    message = WorkerMessage()
    _write_attempt_list(attempts, message.started)
    return message.SerializeToString()


def reclaimed(attempts):
    message = WorkerMessage()
    _write_attempt_list(attempts, message.reclaimed)
    return message.SerializeToString()


def reports(all_reports):
    message = WorkerMessage()
    out = message.reports
    payloads = _Payloads(out.payloads)
    for group in _stretches(all_reports, lambda one: one.attempt):
        entry = out.groups.add()
        outcomes = [one.outcome for one in group]
        _write_attempts([one.attempt for one in group], entry.attempts)
        _write_column(entry.results, [2 * one.reason + one.success for one in outcomes], 0)
        _write_column(entry.waited_us, [int(one.waited * 1e6) for one in outcomes], 0)
        _write_column(entry.ran_us, [int(one.ran * 1e6) for one in outcomes], 0)
        _write_column(entry.outputs, [payloads.number(one.output) for one in outcomes], 0)
        _write_column(entry.has_error, [bool(one.message or one.traceback) for one in outcomes], False)
        for one in outcomes:
            if one.message or one.traceback:
                error = out.errors.add()
                error.message, error.traceback = one.message.encode(), one.traceback.encode()
        _write_versions([one.attempt.task for one in group], [one.rests_on for one in group], lambda: entry.rests_on)
        _write_column(entry.items, [_write_items(one.items, out.items) for one in outcomes], 0)
        _write_column(entry.artifacts, [len(one.artifacts) for one in outcomes], 0)
        for artifact in (artifact for one in outcomes for artifact in one.artifacts):
            written = out.artifacts.add()
            written.name, written.type, written.size = artifact.name.encode(), artifact.type.encode(), artifact.size
            written.high, written.low = artifact.key
    return message.SerializeToString()


def _write_items(items, table):
    """0: none, else 1 + its place in the table."""
    if items is None:
        return 0
    out = table.add()
    out.count, out.done, failures = items
    for offset, reason, text, traceback in failures:
        failure = out.failures.add()
        failure.offset, failure.reason = offset, reason
        failure.error.message, failure.error.traceback = text.encode(), traceback.encode()
    return len(table)


def _of_attempt(out, attempt):
    out.run, out.task, out.epoch, out.number = attempt


def log(attempt, stderr, text, item=None):
    message = WorkerMessage()
    _of_attempt(message.log, attempt)
    message.log.item = 0 if item is None else item + 1
    message.log.stderr_stream, message.log.text = stderr, text.encode()
    return message.SerializeToString()


def news(attempt, type_, json_text):
    message = WorkerMessage()
    _of_attempt(message.news, attempt)
    message.news.type, message.news.json = type_, json_text.encode()
    return message.SerializeToString()


def value_request(reference, start, most):
    """A part of a value, from its byte `start` on."""
    message = WorkerMessage()
    wanted = message.value_request
    wanted.high, wanted.low = reference.high, reference.low
    setattr(wanted, "from", start)
    wanted.max = most
    return message.SerializeToString()


def put_part(key, size, run, start, check, data):
    message = WorkerMessage()
    out = message.put_part
    out.high, out.low = key
    out.size, out.run, out.check, out.part = size, run, check, data
    setattr(out, "from", start)
    return message.SerializeToString()


def draining():
    message = WorkerMessage()
    message.draining = True
    return message.SerializeToString()


def bye():
    message = WorkerMessage()
    message.bye = True
    return message.SerializeToString()


# ---------------------------------------------------------------- coordinator -> worker


class Assignment:
    """One attempt with all that it needs. `spec` is the NodeSpec as it came, shared by all attempts of its node."""

    __slots__ = ("attempt", "spec", "node", "workflow", "trace_id", "inputs", "priority", "age", "bindings", "bundle",
                 "items")


class SpecCache:
    """What a coordinator has sent of node definitions, each once a connection."""

    def __init__(self):
        self.specs = {}


def _text(data):
    return data.decode("utf-8", "replace")


def _payload_table(field):
    table = [None]
    for one in field:
        table.append(Reference(one.hash_high, one.hash_low, one.size) if one.hash_high or one.hash_low else one.json)
    return table


def _at(table, i):
    if i >= len(table):
        raise WireError("an index is out of range")
    return table[i]


def _trace(entry):
    if not (entry.trace_high or entry.trace_low):
        return _text(entry.trace_other)
    return f"{entry.trace_high:016x}{entry.trace_low:016x}"


def _assignments(batch, cache):
    if batch.forget_specs:
        cache.specs.clear()
    if len(cache.specs) + len(batch.specs) > SPECS_MAX:
        raise WireError("more node specs than agreed")
    for entry in batch.specs:
        definition = _at(batch.definitions, entry.definition)
        cache.specs[definition.high, definition.low, entry.spec] = entry.node_spec
    payloads = _payload_table(batch.payloads)
    out = []
    for group in batch.groups:
        out += _group(group, _at(batch.contexts, group.context), batch.definitions, payloads, cache)
    return out


def _group(group, context, definitions, payloads, cache):
    definition = _at(definitions, context.definition)
    n = len(group.task_deltas)
    numbers, specs = _column(group.numbers, n, 1), _column(group.specs, n, 0)
    priorities, ages = _column(group.priorities, n, 0), _column(group.ages_us, n, 0)
    nodes, bundles = _column(group.nodes, n, None), _column(group.bundles, n, 0)
    counts = _column(group.bindings.counts, n, 0)
    total = sum(counts)
    if total != len(group.bindings.task_deltas):
        raise WireError("a list has the wrong length")
    versions = _column(group.bindings.versions, total, 0)
    values, names = _column(group.binding_values, total, 0), _column(group.binding_names, total, None)
    items = _column(group.items, n, 0)
    assigned = [None, *(Items(one.first, one.count, _at(payloads, one.values), one.budget_us)
                        for one in group.assigned_items)]
    task, at = 0, 0
    for i in range(n):
        task = (task + group.task_deltas[i]) & 0xFFFFFFFF
        one = Assignment()
        one.attempt = Attempt(context.run, task, context.epoch, numbers[i])
        one.spec = cache.specs.get((definition.high, definition.low, specs[i]))
        if one.spec is None:
            raise WireError(f"spec {specs[i]} was never received", unknown_spec=True)
        one.node = f"n{task}" if nodes[i] is None else _text(nodes[i])
        one.workflow, one.trace_id = _text(definition.workflow), _trace(context)
        one.inputs, one.bundle = _at(payloads, context.inputs), _at(payloads, bundles[i])
        one.priority, one.age, one.bindings, one.items = priorities[i], ages[i], [], _at(assigned, items[i])
        for b in range(at, at + counts[i]):
            up = (task - group.bindings.task_deltas[b]) & 0xFFFFFFFF
            name = f"n{up}" if names[b] is None else _text(names[b])
            one.bindings.append(Binding(up, versions[b], _at(payloads, values[b]), name))
        at += counts[i]
        yield one


def _news(message):
    return {"members": [(_text(m.name), _text(m.endpoint)) for m in message.members],
            "owned": [(o.partition, o.epoch) for o in message.owned], "demand": message.demand}


def decode(body, cache):
    """(kind, value): welcome {coordinator, takes_parts, members, owned, demand}, refused (name, message), assign
    [Assignment], cancel [(attempt, reason)], answers [(attempt, answer)], reclaim [attempt], value (Reference, bytes or
    None, its place as (start, size of the whole, check) or None), part_taken ((high, low), have, kept, damaged), drain,
    say_hello, news."""
    message = CoordinatorMessage()
    try:
        message.ParseFromString(body)
    except DecodeError:
        raise WireError("malformed") from None
    kind = message.WhichOneof("kind")
    if kind == "welcome":
        return kind, dict(_news(message.welcome.news), coordinator=_text(message.welcome.coordinator),
                          takes_parts=message.welcome.takes_parts)
    if kind == "refused":
        return kind, (_text(message.refused.name), _text(message.refused.message))
    if kind == "assign":
        return kind, list(_assignments(message.assign, cache))
    if kind == "cancel":
        return kind, [pair for group in message.cancel.groups
                      for pair in zip(_attempts(group.attempts),
                                      _column(group.reasons, len(group.attempts.task_deltas), 0))]
    if kind == "answers":
        return kind, [pair for group in message.answers.groups
                      for pair in zip(_attempts(group.attempts),
                                      _column(group.answers, len(group.attempts.task_deltas), 0))]
    if kind == "reclaim":
        return kind, _attempt_list(message.reclaim)
    if kind == "value":
        reply = message.value
        place = (getattr(reply, "from"), reply.size, reply.check) if reply.check else None  # older ones give all at once
        return kind, (Reference(reply.hash_high, reply.hash_low, 0), reply.json if reply.found else None, place)
    if kind == "part_taken":
        taken = message.part_taken
        return kind, ((taken.high, taken.low), taken.have, taken.kept, taken.damaged)
    if kind == "news":
        return kind, _news(message.news)
    if kind in ("drain", "say_hello"):
        return kind, None
    raise WireError("unknown message")


def open_frame(parts):
    """The body of a received message."""
    if len(parts) != 2 or len(parts[0]) != 4 or parts[0][:2] != b"MR":
        raise WireError("not a Millrace message")
    if parts[0][2] != PROTOCOL_VERSION:
        raise WireError(f"the coordinator speaks protocol version {parts[0][2]}, this side speaks {PROTOCOL_VERSION}")
    if parts[0][3] != COORDINATOR:
        raise WireError("not a message for workers")
    return parts[1]
