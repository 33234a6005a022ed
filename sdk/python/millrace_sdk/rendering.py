"""What a task sees: its arguments rendered from the values that came with the assignment, inputs and upstream outputs.

Expressions see `inputs`, `nodes`, `run`, `secrets` and, where the node has a `foreach`, `item` and `index`, as
docs/workflow.md says. JSON is parsed only where it is read.
Fails: RenderError, whose message names the field and quotes the expression.
"""
from . import lists, wire
from .expressions import Scope, Template, dump
from .filters import parse_json
from .secret import SecretError
from .syntax import ExpressionError

COMPILED_MAX = 4096


class RenderError(ValueError):
    pass


def format_run(run):
    """The run's id as people see it: 13 characters of base32 over mixed bits (common/base/ids.cc)."""
    mask = 2**64 - 1
    bits = run * 0x9E3779B97F4A7C15 & mask
    bits = (bits ^ bits >> 32) * 0x9E3779B97F4A7C15 & mask
    return "".join("abcdefghijklmnopqrstuvwxyz234567"[bits >> (60 - 5 * i) & 31] for i in range(13))


class Values:
    """The JSON of one assignment, parsed when it is first read."""

    def __init__(self, assignment, fetched):
        self.payloads = {b.name: b.value for b in assignment.bindings}
        self.fetched, self.parsed = fetched, {}
        if assignment.bundle is not None:  # a join over very many: their outputs as one object by id
            self.parsed.update(self.parse(assignment.bundle))
        self._inputs, self.inputs_payload = None, assignment.inputs

    def parse(self, payload):
        if payload is None:
            return None
        text = self.fetched[payload[:2]] if isinstance(payload, wire.Reference) else payload
        return lists.whole(text, self.fetched.get) if lists.is_composed(text) else parse_json(text)

    def names(self):
        return list(dict.fromkeys([*self.payloads, *self.parsed]))

    def node(self, name):
        if name not in self.parsed:
            if name not in self.payloads:
                return None
            self.parsed[name] = self.parse(self.payloads[name])
        return self.parsed[name]

    @property
    def inputs(self):
        if self._inputs is None:
            self._inputs = self.parse(self.inputs_payload) or {}
        return self._inputs


# What comes beside the outputs: the failure that a node handles, and the run's variables.
BESIDE = ("error", "vars")


class TaskScope:
    """The names that expressions see. Secrets that were read are kept, to be masked."""

    def __init__(self, values, run, secrets, names=None):
        self.values, self.run, self.secrets, self.read = values, run, secrets, {}
        self.names = names or {}  # further ones: `item` and `index`

    def has_root(self, root):
        return root in ("inputs", "nodes", "run", "secrets", *BESIDE) or root in self.names

    def root(self, root):
        if root in self.names:
            return self.names[root]
        if root == "secrets":
            raise ExpressionError("`secrets` cannot be read whole: name one")
        if root == "nodes":
            return {name: self.values.node(name) for name in self.values.names() if name not in BESIDE}
        if root in BESIDE:  # elsewhere null
            return self.values.node(root)
        return self.run if root == "run" else self.values.inputs

    def member(self, root, head, machine, subject):
        if root == "secrets":
            try:
                self.read[head] = self.secrets.find(head)
            except SecretError as e:
                raise ExpressionError(e.args[0]) from None
            return self.read[head]
        if root == "nodes":
            return self.values.node(head)
        return machine.member(self.root(root), head, subject)


class Renderer:
    def __init__(self, secrets):
        self.secrets, self.compiled = secrets, {}

    def references(self, assignment):
        """The values that must be fetched before: code sees all of them."""
        return list({one[:2]: one for one in self.payloads(assignment) if isinstance(one, wire.Reference)}.values())

    def payloads(self, assignment):
        payloads = [assignment.inputs, assignment.bundle, *(b.value for b in assignment.bindings)]
        return payloads + ([assignment.items.values] if assignment.items else [])

    def pieces(self, assignment, find):
        """Of lists among them, what must be fetched next. `find(key)`: the bytes of what is here."""
        out = {}
        for payload in self.payloads(assignment):
            text = find(payload[:2]) if isinstance(payload, wire.Reference) else payload
            if text is not None and lists.is_composed(text):
                out.update((key, wire.Reference(*key, 0)) for key in lists.missing(bytes(text), find))
        return list(out.values())

    def arguments(self, assignment, values, item=None):
        """(what the node's `with` says, secrets that stand in it). `item`: the ItemRun whose next item it is for."""
        run = {"id": format_run(assignment.attempt.run), "attempt": assignment.attempt.number,
               "workflow": assignment.workflow, "trace_id": assignment.trace_id}
        names = {} if item is None else {"item": item.item, "index": item.index}
        scope = TaskScope(values, run, self.secrets, names)
        try:
            return self.template(assignment.spec).render(scope), list(scope.read.values())
        except ExpressionError as e:
            raise RenderError(f"field with: {e}") from None
        except lists.ListError as e:
            raise RenderError(str(e)) from None
        except ValueError as e:
            raise RenderError(f"a value is not JSON: {e}") from None

    def collect(self, run, output):
        """What is kept of an item's output (bytes or None), as the node's `collect` says: the same. `run`: its ItemRun."""
        spec = run.assignment.spec
        wanted = spec.foreach.collect_json
        if not wanted or wanted == b"true":
            return output
        if wanted == b"false":
            return None
        try:
            template = self.compiled_once((id(spec), "collect"), spec, lambda: Template(parse_json(wanted)))
            roots = {"output": parse_json(output) if output else None, "item": run.item, "index": run.index}
            return dump(template.render(Scope(roots))).encode()
        except (ExpressionError, ValueError) as e:
            raise RenderError(f"collect: {e}") from None

    def template(self, spec):
        def compiled():
            fields = parse_json(spec.fields_json) if spec.fields_json else None
            return Template((fields or {}).get("with"))
        return self.compiled_once(id(spec), spec, compiled)

    def compiled_once(self, key, spec, make):
        known = self.compiled.get(key)
        if known is None or known[0] is not spec:
            if len(self.compiled) >= COMPILED_MAX:
                self.compiled.clear()
            known = self.compiled[key] = (spec, make())
        return known[1]
