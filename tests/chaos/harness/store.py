"""All that stands in a store, read with the second decoder (codec.py): what the checker judges."""
from . import codec
from .resp import pairs


class StoredRun:
    def __init__(self, run):
        self.id, self.name = run, codec.run_text(run)
        self.info = self.record = None
        self.segments = {}  # commit -> {task: record}
        self.damaged = []

    def tasks(self):
        """The highest version of each task."""
        latest = {}
        for commit in sorted(self.segments):
            for task, record in self.segments[commit].items():
                if task not in latest or record["version"] >= latest[task]["version"]:
                    latest[task] = record
        return latest


def read_run(redis, partition, name):
    run = StoredRun(codec.run_value(name))
    fields = pairs(redis("HGETALL", f"mr:{{p{partition}}}:r:{name}"))
    for field, read in ((".i", "info"), (".m", "record")):
        data = codec.joined(fields, field)
        try:
            if data is None:
                raise codec.Damaged(f"run {name}: field {field} is missing")
            setattr(run, read, getattr(codec, read + "_of")(run.id, data))
        except codec.Damaged as error:
            run.damaged.append(str(error))
    for field in fields:
        text = field.decode(errors="replace")
        if text.startswith(".") or "." in text:
            continue
        try:
            run.segments[int(text, 36)] = codec.segment_of(run.id, int(text, 36), codec.joined(fields, text))
        except codec.Damaged as error:
            run.damaged.append(str(error))
    return run


class Store:
    """A copy, taken while nothing writes (or with races that the caller knows how to judge)."""

    def __init__(self, redis):
        meta = pairs(redis("HGETALL", "mr:meta"))
        self.partitions = int(meta.get(b"partitions", b"0"))
        self.owners, self.events, self.listed, self.active, self.keys = {}, {}, {}, {}, {}
        self.runs, self.damaged, self.definitions = {}, [], {}
        for p in range(self.partitions):
            tag = f"mr:{{p{p}}}"
            self.owners[p] = {k.decode(): v.decode() for k, v in pairs(redis("HGETALL", tag + ":owner")).items()}
            self.events[p] = list(self._stream(redis, p))
            self.listed[p] = [x.decode() for x in redis("ZRANGE", tag + ":runs", 0, -1)]
            self.active[p] = [x.decode() for x in redis("ZRANGE", tag + ":active", 0, -1)]
            self.keys[p] = [x[:13].decode() for x in redis("HVALS", tag + ":keys")]
            for name in self.listed[p]:
                self.runs[codec.run_value(name)] = read_run(redis, p, name)
            self._read_definitions(redis, p)

    def _stream(self, redis, p):
        last = "-"
        while True:
            page = redis("XRANGE", f"mr:{{p{p}}}:events", last, "+", "COUNT", 500)
            for entry, fields in page:
                epoch, commit = (int(x) for x in entry.split(b"-"))
                try:
                    yield epoch, commit, codec.events_of(p, epoch, commit, fields[1])
                except codec.Damaged as error:
                    self.damaged.append(str(error))
            if len(page) < 500:
                return
            last = "(" + page[-1][0].decode()

    def _read_definitions(self, redis, p):
        for run in self.runs.values():
            if run.info is None or codec.partition_of(run.id) != p or run.info["definition"] in self.definitions:
                continue
            name = run.info["definition"]
            data = redis("GET", f"mr:{{p{p}}}:def:{name}")
            try:
                if data is None:
                    raise codec.Damaged(f"definition {name} of run {run.name} is missing")
                self.definitions[name] = codec.definition_of(name, data)
            except codec.Damaged as error:
                self.damaged.append(str(error))
