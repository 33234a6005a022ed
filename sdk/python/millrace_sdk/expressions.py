"""Expressions and templates: `Template(value).render(scope)` renders every string of a JSON value, at any depth.

A port of common/expr, held to the tables of docs/expressions.md. Values are JSON as Python has it: None, bool, int (in
64 bits), float (finite), str, list, dict. Promises: pure; ends within its budgets; messages name kinds and quote the
expression, never the values (they may be secrets). Fails: ExpressionError.
"""
import decimal
import json
import math
from json.encoder import encode_basestring

from .syntax import INT_MAX, INT_MIN, ExpressionError, Parser, references

STEPS_MAX = 1_000_000
RESULT_MAX = 64 * 1024 * 1024
DEPTH_RESULT_MAX = 200
QUOTE_MAX = 80


def is_integer(v):
    return isinstance(v, int) and not isinstance(v, bool)


def is_number(v):
    return is_integer(v) or isinstance(v, float)


def kind(v):
    if v is None:
        return "null"
    if isinstance(v, bool):
        return "boolean"
    if isinstance(v, int):
        return "integer"
    if isinstance(v, float):
        return "number"
    return "string" if isinstance(v, str) else "array" if isinstance(v, list) else "object"


def kind_phrase(v):
    name = kind(v)
    return name if name == "null" else ("an " if name[0] in "aeio" else "a ") + name


def _dump_float(d):
    """The shortest text that reads back as the same float: positional unless scientific is shorter."""
    if not math.isfinite(d):
        raise ValueError("not a finite number")
    sign, digits, exponent = decimal.Decimal(repr(d)).as_tuple()
    text = "".join(map(str, digits)).rstrip("0") or "0"
    exponent += len(digits) - len(text) if text != "0" else 0
    ten = len(text) - 1 + exponent
    scientific = text[0] + ("." + text[1:] if len(text) > 1 else "") + f"e{ten:+03d}"
    if text == "0":
        positional = "0"
    elif exponent >= 0:
        positional = text + "0" * exponent
    else:
        positional = text[:exponent] + "." + text[exponent:] if ten >= 0 else "0." + "0" * (-ten - 1) + text
    if len(positional) > len(scientific):
        positional = scientific
    elif exponent >= 0 and text != "0":
        positional = str(abs(int(d)))  # exact, as printf would
    return ("-" if sign else "") + positional + ("" if "." in positional or "e" in positional else ".0")


def dump(value, indent=0, at=0):
    """JSON, as the coordinators write it; compact unless indented. Fails with ValueError for what is no JSON."""
    if isinstance(value, float):
        return _dump_float(value)
    if isinstance(value, list) and value:
        parts, (opened, closed) = [dump(one, indent, at + indent) for one in value], "[]"
    elif isinstance(value, dict) and value:
        colon = ": " if indent else ":"
        parts = [encode_basestring(k) + colon + dump(v, indent, at + indent) for k, v in value.items()]
        opened, closed = "{}"
    else:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    if not indent:
        return opened + ",".join(parts) + closed
    return opened + ",".join("\n" + " " * (at + indent) + one for one in parts) + "\n" + " " * at + closed


def render_text(value):
    """As in mixed text."""
    return "" if value is None else value if isinstance(value, str) else dump(value)


def truthy(v):
    return bool(v)


def weight(v):
    if isinstance(v, str):
        return 32 + len(v)
    if isinstance(v, list):
        return 32 + sum(map(weight, v))
    if isinstance(v, dict):
        return 32 + sum(32 + len(k) + weight(m) for k, m in v.items())
    return 32


def deeper_than(v, levels):
    if not isinstance(v, (list, dict)):
        return False
    inner = v if isinstance(v, list) else v.values()
    return levels == 0 or any(deeper_than(one, levels - 1) for one in inner)


class Machine:
    """What one evaluation spends, and how it fails: about `focus` of `text`."""

    def __init__(self, text=""):
        self.steps_left, self.bytes_left = STEPS_MAX, RESULT_MAX
        self.read(text)

    def read(self, text):
        self.text, self.focus = text, (0, len(text))

    def steps(self, count):
        self.steps_left -= count
        if self.steps_left < 0:
            self.fail(f"the evaluation takes more than {STEPS_MAX} steps", limit="steps_max")

    def scan(self, length):
        self.steps(1 + length // 256)

    def room(self, count):
        if count > self.bytes_left:
            self.fail(f"the evaluation builds more than {RESULT_MAX} bytes", limit="result_max")

    def pay(self, value):
        count = weight(value)
        self.room(count)
        self.bytes_left -= count
        return value

    def quote(self, begin, end):
        part = self.text[begin:end]
        return f"`{part}`" if len(part) <= QUOTE_MAX else f"`{part[:QUOTE_MAX]}...`"

    def fail(self, message, hint="", limit=""):
        if self.focus[0] < self.focus[1]:
            message = self.quote(*self.focus) + ": " + message
        raise ExpressionError(message + ("; " + hint if hint else ""), limit)

    def wrong(self, who, expected, got):
        self.fail(f"{who} expected {expected}, got {kind_phrase(got)}",
                  "`| default(...)` replaces null" if got is None else "")

    # --- operators
    def fit(self, i):
        if not INT_MIN <= i <= INT_MAX:
            self.fail("integer overflow")
        return i

    def finite(self, d):
        if not math.isfinite(d):
            self.fail("the result is not a finite number")
        return d

    def equal(self, a, b):
        self.steps(1)
        if is_number(a) and is_number(b):
            return a == b
        if kind(a) != kind(b):
            return False
        if isinstance(a, str):
            self.scan(len(a))
            return a == b
        if isinstance(a, list):
            return len(a) == len(b) and all(self.equal(x, y) for x, y in zip(a, b))
        if isinstance(a, dict):
            return len(a) == len(b) and all(k in b and self.equal(v, b[k]) for k, v in a.items())
        return a == b

    def compare(self, op, a, b):
        if op == "==":
            return self.equal(a, b)
        if op == "!=":
            return not self.equal(a, b)
        if op in ("in", "not in"):
            return self.contains(b, a, f"`{op}`") == (op == "in")
        strings = isinstance(a, str) and isinstance(b, str)
        if not strings and not (is_number(a) and is_number(b)):
            self.fail(f"`{op}` expected two numbers or two strings, got {kind_phrase(a)} and {kind_phrase(b)}",
                      "`| default(...)` replaces null" if a is None or b is None else "")
        if strings:
            self.scan(min(len(a), len(b)))
        return a < b if op == "<" else a > b if op == ">" else a <= b if op == "<=" else a >= b

    def contains(self, whole, part, who):
        if isinstance(whole, list):
            return any(self.equal(item, part) for item in whole)
        if isinstance(whole, dict):
            self.steps(1)
            return isinstance(part, str) and part in whole
        if not isinstance(whole, str):
            self.wrong(who, "an array, an object or a string to look in", whole)
        if not isinstance(part, str):
            self.wrong(who, "a string to look for in a string", part)
        self.scan(len(whole))
        return part in whole

    def arithmetic(self, op, a, b):
        self.steps(1)
        if is_number(a) and is_number(b):
            if is_integer(a) and is_integer(b) and op != "/":
                return self.integers(op, a, b)
            return self.floats(op, float(a), float(b))
        strings = isinstance(a, str) and isinstance(b, str)
        if op != "+" or not (strings or isinstance(a, list) and isinstance(b, list)):
            needs = "two numbers, two strings or two arrays" if op == "+" else "two numbers"
            hint = ""
            if a is None or b is None:
                hint = "`| default(...)` replaces null"
            elif op == "+" and (isinstance(a, str) or isinstance(b, str)):
                hint = "`| string` turns a value into text"
            self.fail(f"`{op}` expected {needs}, got {kind_phrase(a)} and {kind_phrase(b)}", hint)
        self.pay(a)
        self.pay(b)
        return a + b

    def integers(self, op, a, b):
        if op in "+-*":
            return self.fit(a + b if op == "+" else a - b if op == "-" else a * b)
        if b == 0:
            self.fail("division by zero")
        return self.fit(a % b if op == "%" else a // b)

    def floats(self, op, a, b):
        if op in "+-*":
            return self.finite(a + b if op == "+" else a - b if op == "-" else a * b)
        if b == 0:
            self.fail("division by zero")
        if op == "/":
            return self.finite(a / b)
        rest = math.fmod(a, b)
        if rest != 0 and (rest < 0) != (b < 0):
            rest += b
        return self.finite(rest if op == "%" else float(round((a - rest) / b)))

    def negate(self, a):
        if is_integer(a):
            return self.fit(-a)
        if not isinstance(a, float):
            self.wrong("unary `-`", "a number", a)
        return -a

    def member(self, whole, name, subject):
        if whole is None:
            return None
        if not isinstance(whole, dict):
            self.fail(f"{subject} is {kind_phrase(whole)} and has no member `{name}`")
        self.steps(1)
        return whole.get(name)

    def index(self, whole, at, subject):
        if whole is None:
            return None
        if isinstance(whole, dict) and isinstance(at, str):
            return self.member(whole, at, subject)
        if not isinstance(whole, list) or isinstance(at, str):  # a computed key is a value, which messages do not show
            self.fail(f"{subject} is {kind_phrase(whole)} and has no element to index with {kind_phrase(at)}")
        if not is_integer(at):
            self.wrong("an index of an array", "an integer", at)
        return whole[at] if -len(whole) <= at < len(whole) else None

    def slice(self, whole, begin, end, subject):
        if whole is None:
            return None
        for bound in (begin, end):
            if bound is not None and not is_integer(bound):
                self.wrong("a slice", "integers or nothing as bounds", bound)
        if not isinstance(whole, (list, str)):
            self.fail(f"{subject} is {kind_phrase(whole)} and cannot be sliced")
        part = whole[begin:end]
        self.steps(1 + len(part) // (256 if isinstance(whole, str) else 1))
        return self.pay(part)


class Scope:
    """What an expression sees: an object of roots. Others bring `has_root`, `root` and `member` of their own."""

    def __init__(self, roots):
        self.roots = roots

    def has_root(self, root):
        return root in self.roots

    def root(self, root):
        return self.roots[root]

    def member(self, root, head, machine, subject):
        return machine.member(self.roots[root], head, subject)


class Evaluator:
    def __init__(self, scope, machine):
        self.scope, self.m = scope, machine

    def run(self, node):
        self.m.focus = (node.begin, node.end)
        self.m.steps(1)
        return getattr(self, "on_" + {"not": "negation", "and": "logical", "or": "logical"}.get(node.kind, node.kind))(node)

    def on_literal(self, node):
        return node.value

    def on_list(self, node):
        return self.m.pay([self.run(child) for child in node.children])

    def on_object(self, node):
        return self.m.pay({key: self.run(child) for key, child in zip(node.keys, node.children)})

    def on_negation(self, node):
        return not truthy(self.run(node.children[0]))

    def on_negate(self, node):
        operand = self.run(node.children[0])
        self.m.focus = (node.begin, node.end)
        return self.m.negate(operand)

    def on_logical(self, node):
        operand = None
        for child in node.children:
            operand = self.run(child)
            if truthy(operand) == (node.kind == "or"):
                break
        return operand

    def on_compare(self, node):
        left = self.run(node.children[0])
        for i, op in enumerate(node.ops):
            right = self.run(node.children[i + 1])
            self.m.focus = (node.children[i].begin, node.children[i + 1].end)
            if not self.m.compare(op, left, right):
                return False
            left = right
        return True

    def on_arithmetic(self, node):
        left = self.run(node.children[0])
        for i, op in enumerate(node.ops):
            right = self.run(node.children[i + 1])
            self.m.focus = (node.children[0].begin, node.children[i + 1].end)
            left = self.m.arithmetic(op, left, right)
        return left

    def on_conditional(self, node):
        return self.run(node.children[1 if truthy(self.run(node.children[0])) else 2])

    def on_filtered(self, node):
        subject = self.run(node.children[0])
        for call in node.filters:
            arguments = [None] * len(call.filter.parameters)
            for place, argument in call.arguments.items():
                arguments[place] = self.run(argument)
            self.m.focus = (node.begin, call.end)
            self.m.steps(1)
            subject = call.filter.apply(self.m, subject, *arguments)
        return subject

    def on_path(self, node):
        start, at = 0, None
        if not node.root:
            at = self.run(node.children[0])
        else:
            name_end = node.segments[0].begin if node.segments else node.end
            if not self.scope.has_root(node.root):
                self.m.focus = (node.begin, name_end)
                self.m.fail("there is no such name here", "text in an expression is written in quotes")
            first = node.segments[0] if node.segments else None
            key = first.name if first and first.kind == "name" else None
            if first and first.kind == "index":
                key = self.run(first.bounds[0])
            if isinstance(key, str):
                self.m.focus = (node.begin, first.end)
                start, at = 1, self.scope.member(node.root, key, self.m, self.m.quote(node.begin, name_end))
            else:
                at = self.scope.root(node.root)
        for segment in node.segments[start:]:
            bounds = [None if bound is None else self.run(bound) for bound in segment.bounds]
            self.m.focus = (node.begin, segment.end)
            self.m.steps(1)
            subject = self.m.quote(node.begin, segment.begin)
            if segment.kind == "name":
                at = self.m.member(at, segment.name, subject)
            elif segment.kind == "index":
                at = self.m.index(at, bounds[0], subject)
            else:
                at = self.m.slice(at, bounds[0], bounds[1], subject)
        return at


def _finish(machine, value):
    if deeper_than(value, DEPTH_RESULT_MAX):
        machine.read("")
        machine.fail(f"the result is nested deeper than {DEPTH_RESULT_MAX} levels", limit="depth_max")
    return value


class Expression:
    """One expression without braces."""

    def __init__(self, text):
        from .filters import FILTERS
        self.text = text
        self.node, _ = Parser(text, 0, False, FILTERS).run()

    def evaluate(self, scope):
        machine = Machine(self.text)
        return _finish(machine, Evaluator(scope, machine).run(self.node))


class TextTemplate:
    """One string field: literal text, one expression (which keeps its type), or a mixture."""

    def __init__(self, text):
        from .filters import FILTERS
        self.text, self.pieces, at, words = text, [], 0, False
        while at < len(text):
            braces = text.find("{{", at)
            literal = text[at:] if braces < 0 else text[at:braces]
            if literal:
                words = words or bool(literal.strip(" \t\n\r"))
                self.pieces.append(literal)
            if braces < 0:
                break
            node, at = Parser(text, braces + 2, True, FILTERS).run()
            self.pieces.append(node)
        expressions = [piece for piece in self.pieces if not isinstance(piece, str)]
        self.single = expressions[0] if len(expressions) == 1 and not words else None

    def references(self):
        out = []
        for piece in self.pieces:
            if not isinstance(piece, str):
                references(piece, out)
        return out

    def render_with(self, scope, machine):
        machine.read(self.text)
        evaluator = Evaluator(scope, machine)
        if self.single is not None:
            return evaluator.run(self.single)
        out = []
        for piece in self.pieces:
            if not isinstance(piece, str):
                value = evaluator.run(piece)
                machine.focus = (piece.begin, piece.end)
                piece = render_text(value)
            out.append(machine.pay(piece))
        return "".join(out)

    def render(self, scope):
        machine = Machine()
        return _finish(machine, self.render_with(scope, machine))


class Template:
    """A JSON value with templates in its strings, at any depth. Keys are never templated."""

    def __init__(self, value):
        self.literal = True
        self._references = []
        self.tree = self._compile(value, "")

    def _compile(self, value, path):
        if isinstance(value, str) and "{{" in value:
            self.literal = False
            try:
                template = TextTemplate(value)
            except ExpressionError as e:
                raise ExpressionError(f"{path}: {e}" if path else str(e), e.limit) from None
            self._references += template.references()
            return template
        if isinstance(value, list):
            return [self._compile(one, f"{path}[{i}]") for i, one in enumerate(value)]
        if isinstance(value, dict):
            return {key: self._compile(one, f"{path}.{key}" if path else key) for key, one in value.items()}
        return value

    def references(self):
        return self._references

    def render(self, scope):
        machine = Machine()
        return _finish(machine, self._render(self.tree, "", scope, machine))

    def _render(self, tree, path, scope, machine):
        if isinstance(tree, TextTemplate):
            try:
                return tree.render_with(scope, machine)
            except ExpressionError as e:
                raise ExpressionError(f"{path}: {e}" if path else str(e), e.limit) from None
        if isinstance(tree, list):
            return [self._render(one, f"{path}[{i}]", scope, machine) for i, one in enumerate(tree)]
        if isinstance(tree, dict):
            return {k: self._render(v, f"{path}.{k}" if path else k, scope, machine) for k, v in tree.items()}
        return tree
