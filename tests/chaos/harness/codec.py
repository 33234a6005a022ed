"""Reads what Millrace keeps in Redis, from the documented format alone (docs/storage.md): a second, independent decoder.

Every stored blob wears an envelope: one byte of version, four of checksum, the body. The checksum is XXH3-64, seeded with
where the blob belongs, so a blob in a wrong place does not open. Fails: Damaged, which says what and why.
"""
import ctypes
import ctypes.util
import struct

MASK = (1 << 64) - 1

_xxhash = ctypes.CDLL(ctypes.util.find_library("xxhash") or "libxxhash.so.0")
_xxhash.XXH3_64bits_withSeed.restype = ctypes.c_uint64
_xxhash.XXH3_64bits_withSeed.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint64]


def hash64(data, seed=0):
    return _xxhash.XXH3_64bits_withSeed(data, len(data), seed)


class Damaged(Exception):
    pass


TASK_STATES = ["pending", "ready", "waiting", "retrying", "dispatched", "running", "succeeded", "failed", "skipped",
               "cancelled"]
RUN_STATES = ["accepted", "running", "paused", "failing", "cancelling", "succeeded", "degraded", "failed", "cancelled"]
TASK_ENDS = {"succeeded", "failed", "skipped", "cancelled"}
RUN_ENDS = {"succeeded", "degraded", "failed", "cancelled"}
REASONS = ["none", "error", "timeout", "lost", "poisoned", "upstream_failed", "fail_fast", "cancel_requested",
           "invalid_output", "invalid_input", "expression", "oom", "crashed", "refused", "missing_value", "no_worker", "label",
           "condition", "not_chosen", "upstream_skipped", "fallback", "timer", "signal", "approval", "rejected", "paused",
           "child", "shared", "node_timeout", "run_timeout", "deadline", "rounds", "cpu", "processes"]
EVENTS = ["run_accepted", "run_succeeded", "run_degraded", "run_failed", "run_cancelled", "task_succeeded", "task_failed",
          "task_retrying", "task_skipped", "task_cancelled", "task_waiting", "task_dispatched", "task_running",
          "owner_changed", "task_progress", "task_tokens", "run_paused", "run_resumed"]
EVENT_ENDS = {"run_succeeded", "run_degraded", "run_failed", "run_cancelled"}

# ---------------------------------------------------------------- ids

ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"
MIX = 0x9E3779B97F4A7C15
UNMIX = pow(MIX, -1, 1 << 64)


def run_text(value):
    bits = (value * MIX) & MASK
    bits ^= bits >> 32
    bits = (bits * MIX) & MASK
    return "".join(ALPHABET[(bits >> (5 * i)) & 31] for i in range(12, -1, -1))


def run_value(text):
    bits = 0
    for c in text:
        bits = bits << 5 | ALPHABET.index(c)
    bits = (bits * UNMIX) & MASK
    bits ^= bits >> 32
    return (bits * UNMIX) & MASK


def partition_of(run):
    return run >> 54


# ---------------------------------------------------------------- the envelope and what is in it


def place_of(a, b):
    mixed = ((a ^ ((b * MIX) & MASK)) * 0xFF51AFD7ED558CCD) & MASK
    return mixed ^ (mixed >> 32) ^ b


def unseal(latest, place, sealed, what):
    """A reader of what is sealed with a version up to the latest one; it knows that version."""
    if len(sealed) < 5:
        raise Damaged(f"{what}: {len(sealed)} bytes are no envelope")
    version = sealed[0]
    if not 1 <= version <= latest:
        raise Damaged(f"{what}: format version {version}, later than {latest}")
    body = sealed[5:]
    if struct.unpack("<I", sealed[1:5])[0] != hash64(body, place_of(place, version)) & 0xFFFFFFFF:
        raise Damaged(f"{what}: the checksum is wrong")
    return Reader(body, what, version)


class Reader:
    def __init__(self, data, what, version=1):
        self.data, self.at, self.what, self.version = data, 0, what, version

    def take(self, size):
        if size > len(self.data) - self.at:
            raise Damaged(f"{self.what}: ends too early")
        self.at += size
        return self.data[self.at - size:self.at]

    def byte(self):
        return self.take(1)[0]

    def number(self):
        value = shift = 0
        while True:
            part = self.byte()
            value |= (part & 0x7F) << shift
            if part < 0x80:
                return value
            shift += 7
            if shift > 63:
                raise Damaged(f"{self.what}: a number is too long")

    def difference(self, base=0):
        folded = self.number()
        return (base + ((folded >> 1) ^ (-(folded & 1)))) & MASK

    def signed(self, base=0):
        value = self.difference(base & MASK)
        return value - (1 << 64) if value >> 63 else value

    def fixed32(self):
        return struct.unpack("<I", self.take(4))[0]

    def fixed64(self):
        return struct.unpack("<Q", self.take(8))[0]

    def hash(self):
        return "%016x%016x" % (self.fixed64(), self.fixed64())

    def text(self):
        return self.take(self.number())

    def payload(self):
        kind = self.byte()
        if kind == 0:
            return None
        if kind == 1:
            return ("json", self.text())
        if kind == 2:
            return ("blob", self.hash(), self.number())
        raise Damaged(f"{self.what}: unknown kind of value {kind}")

    def done(self):
        if self.at != len(self.data):
            raise Damaged(f"{self.what}: {len(self.data) - self.at} bytes are left over")


def word(words, number, what):
    if number >= len(words):
        raise Damaged(f"{what}: unknown number {number}")
    return words[number]


def joined(fields, name):
    """A value that may have been cut into NAME, NAME.1, NAME.2 ..."""
    name = name.encode()
    if name not in fields:
        return None
    data, piece = fields[name], 1
    while name + b".%d" % piece in fields:
        data += fields[name + b".%d" % piece]
        piece += 1
    return data


def sized(data, what):
    """Bytes behind their own length; pieces of an older, longer value may be left over."""
    if len(data) < 4 or struct.unpack("<I", data[:4])[0] > len(data) - 4:
        raise Damaged(f"{what}: shorter than it says")
    return data[4:4 + struct.unpack("<I", data[:4])[0]]


# ---------------------------------------------------------------- events


def events_of(partition, epoch, commit, data):
    what = f"events of partition {partition}, entry {epoch}-{commit}"
    reader = unseal(1, place_of(place_of(partition, epoch), commit), data, what)
    time = reader.difference()
    runs = [reader.fixed64() for _ in range(reader.number())]
    seqs = [0] * len(runs)
    events, task = [], 0
    for _ in range(reader.number()):
        head, index = reader.byte(), reader.number()
        if index >= len(runs):
            raise Damaged(f"{what}: names a run that is not there")
        seqs[index] = reader.difference(seqs[index] + 1)
        time = reader.difference(time)
        event = {"type": word(EVENTS, head & 0x1F, what), "run": runs[index], "seq": seqs[index], "time": time,
                 "reason": "none", "task": None, "attempt": 0, "epoch": epoch, "commit": commit}
        if head & 0x20:
            event["reason"] = word(REASONS, reader.byte(), what)
        if head & 0x40:
            task = event["task"] = reader.difference(task + 1)
        if head & 0x80:
            event["attempt"] = reader.number()
        events.append(event)
    reader.done()
    return events


# ---------------------------------------------------------------- a run


def info_of(run, data):
    what = f"run {run_text(run)}, field .i"
    reader = unseal(3, place_of(run, 1), sized(data, what), what)
    info = {"epoch": reader.number(), "commit": reader.number(), "tenant": reader.text().decode(),
            "workflow": reader.text().decode(), "definition": reader.hash()}
    info["labels"] = {reader.text().decode(): reader.text().decode() for _ in range(reader.number())}
    info["key"] = reader.text().decode()
    return info


def record_of(run, data):
    what = f"run {run_text(run)}, field .m"
    reader = unseal(3, place_of(run, 2), sized(data, what), what)
    record = {"records_live": reader.fixed32(), "state": word(RUN_STATES, reader.byte(), what),
              "reason": word(REASONS, reader.byte(), what), "version": reader.number(), "seq": reader.number(),
              "records_sum": reader.fixed64(), "started": reader.signed()}
    record["ended"] = reader.signed(record["started"])
    record["outputs"] = reader.payload()
    record["error"] = None
    if reader.byte():
        record["error"] = {"code": reader.text(), "message": reader.text(), "node": reader.text(),
                           "attempt": reader.number(), "traceback": reader.text()}
    record.update(tasks_total=reader.number(), tasks_done=reader.number(), epoch=reader.number(), commit=reader.number())
    if reader.version >= 2:
        record["signals"] = [reader.fixed64() for _ in range(reader.number())]
    if reader.version >= 3:
        record["why"] = reader.text().decode()
    reader.done()
    return record


def task_record(reader, base_time, base_epoch, names):
    what = reader.what
    state, fields = word(TASK_STATES, reader.byte(), what), reader.number()
    near = base_time

    def time(bit):
        nonlocal near
        if not fields & bit:
            return 0
        near = reader.signed(near)
        return near

    r = {"state": state, "reason": "none", "worker": None}
    if fields & 1:
        r["reason"] = word(REASONS, reader.byte(), what)
    if fields & 2:
        r["worker"] = names[reader.number()]
    r["ended"], r["dispatched"], r["ready"] = time(4), time(8), time(16)
    r["queued"] = reader.signed() if fields & 32 else 0
    r["ran"] = reader.signed() if fields & 64 else 0
    r["output"] = reader.payload() if fields & 128 else None
    r["error"] = (reader.text(), reader.text()) if fields & 256 else None
    r["failures"], r["losses"] = (reader.number(), reader.number()) if fields & 512 else (0, 0)
    r["tries"] = reader.number() if fields & 1024 else 1
    r["epoch"] = reader.number() if fields & 2048 else base_epoch
    r["due"] = time(4096)
    r["version"] = reader.number() if fields & 8192 else 1
    known = {1: 0x3FFF, 2: 0xBFFF, 3: 0x1BFFF, 4: 0x3BFFF, 5: 0x7BFFF, 6: 0xFBFFF}[reader.version]
    if fields & ~known:
        raise Damaged(f"{what}: fields that version {reader.version} does not have: {fields & ~known:x}")
    r["items"], r["items_failed"] = (reader.number(), reader.number()) if fields & 0x8000 else (0, 0)
    r["cause"] = word(REASONS, reader.byte(), what) if fields & 0x10000 else "none"
    r["lost"] = []
    for _ in range(reader.number() if fields & 0x20000 else 0):
        lost = {"attempt": reader.number(), "worker": reader.text().decode(), "dispatched": reader.signed(base_time)}
        lost["lost"] = reader.signed(lost["dispatched"])
        lost["how"] = reader.text().decode()
        r["lost"].append(lost)
    r["claim"] = None
    if fields & 0x80000:
        r["claim"] = (reader.hash(), reader.byte())
        if r["claim"][1]:
            reader.payload()
    r["artifacts"] = []
    for _ in range(reader.number() if fields & 0x40000 else 0):
        r["artifacts"].append({"name": reader.text().decode(), "type": reader.text().decode(), "hash": reader.hash(),
                               "size": reader.number()})
    return r


def segment_of(run, commit, data):
    """{task: record} of one commit."""
    what = f"segment of run {run_text(run)}, commit {commit}"
    reader = unseal(6, place_of(run, commit), data, what)
    base_time, base_epoch = reader.signed(), reader.number()
    names = [reader.text().decode() for _ in range(reader.number())]
    records, following = {}, 0
    for _ in range(reader.number()):
        task = following + reader.number()
        following = task + 1
        records[task] = task_record(reader, base_time, base_epoch, names)
    reader.done()
    return records


def checksum(task, r):
    """Of one record: a run's header holds their sum, so that missing or stale ones show."""

    def mixed(total, value):
        total ^= (value + MIX + (total << 6) + (total >> 2)) & MASK
        total = (total & MASK) * 0xFF51AFD7ED558CCD & MASK
        return total ^ (total >> 33)

    if r["version"] == 0:
        return 0
    total = mixed(task, r["version"])
    total = mixed(total, TASK_STATES.index(r["state"]) << 8 | REASONS.index(r["reason"]))
    total = mixed(total, r["tries"] << 32 | r["failures"] << 16 | r["losses"])
    total = mixed(total, r["epoch"])
    total = mixed(total, r["ended"] & MASK)
    if r["output"] is not None:
        if r["output"][0] == "blob":
            total = mixed(mixed(total, int(r["output"][1][:16], 16)), int(r["output"][1][16:], 16))
        else:
            total = mixed(total, hash64(r["output"][1]))
    if r["error"] is not None:
        total = mixed(total, hash64(r["error"][0]))
    for one in r["artifacts"]:
        total = mixed(mixed(total, int(one["hash"][:16], 16)), int(one["hash"][16:], 16))
    if r["claim"] is not None:
        key, has_old = r["claim"]
        total = mixed(mixed(total, int(key[:16], 16)), int(key[16:], 16) + has_old & MASK)
    return total


# ---------------------------------------------------------------- definitions


def protobuf_fields(data):
    """(field number, value) of a message: int for varints and fixed, bytes for the rest."""
    reader = Reader(data, "a definition")
    while reader.at < len(data):
        tag = reader.number()
        kind = tag & 7
        if kind == 0:
            yield tag >> 3, reader.number()
        elif kind == 1:
            yield tag >> 3, reader.fixed64()
        elif kind == 2:
            yield tag >> 3, reader.text()
        elif kind == 5:
            yield tag >> 3, reader.fixed32()
        else:
            raise Damaged(f"a definition: wire type {kind}")


def definition_of(name, data):
    """{"ids": [...], "upstream": [[task, ...], ...]} of a stored definition."""
    high, low = int(name[:16], 16), int(name[16:], 16)
    body = unseal(1, place_of(high, low), data, f"definition {name}").data
    ids, nodes, rows, workflow = [], 0, b"", ""
    for field, value in protobuf_fields(body):
        if field == 1:
            workflow = value.decode()
        elif field == 5:
            ids.append(value.decode())
        elif field == 7:
            nodes = value
        elif field == 9:
            rows = value
    reader, upstream = Reader(rows, f"definition {name}, rows"), []
    for node in range(nodes):
        row, count = [], reader.number()
        for i in range(count):
            if i == 0:
                row.append(node - reader.signed())
            else:
                row.append(row[-1] + 1 + reader.number())
        upstream.append(row)
    return {"name": workflow, "ids": ids or [f"n{i}" for i in range(nodes)], "upstream": upstream}
