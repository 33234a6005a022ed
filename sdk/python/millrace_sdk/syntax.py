"""The syntax of expressions: what stands between `{{` and `}}` becomes a tree of Node.

A port of common/expr; docs/expressions.md has the grammar, and its tables are run against this code
(tests/expressions_test.py). Promises: total and linear; what is wrong is an ExpressionError that names the place.
"""
import math
import re
import sys

DEPTH_MAX = 64
TEXT_MAX = 64 * 1024
INT_MIN, INT_MAX = -(2**63), 2**64 - 1

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_NUMBER = re.compile(r"[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_SYMBOLS = ("==", "!=", "<=", ">=", "//", *"()[]{},:.|=<>+-*/%")
_FOREIGN = {"&&": "write `and`", "!": "write `not`", "~": "write `+`, or put both in one text"}
_KEYWORDS = {"and", "or", "not", "in", "if", "else", "is"}
_CONSTANTS = {"true": True, "True": True, "false": False, "False": False, "null": None, "none": None, "None": None}
_ESCAPES = {"\\": "\\", "'": "'", '"': '"', "/": "/", "n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}


sys.setrecursionlimit(max(sys.getrecursionlimit(), 5000))  # DEPTH_MAX levels of a dozen calls each


class ExpressionError(ValueError):
    """An expression that cannot be compiled or evaluated. `limit` names the budget that was spent, if one was."""

    def __init__(self, message, limit=""):
        super().__init__(message)
        self.limit = limit


def fail(offset, message, expected="", hint=""):
    text = f"{message} at column {offset + 1}"
    raise ExpressionError("; ".join(filter(None, [text, expected and "expected " + expected, hint])))


class Node:
    """kind: literal, path, list, object, not, negate, and, or, compare, arithmetic, conditional, filtered."""

    __slots__ = ("kind", "begin", "end", "value", "root", "children", "ops", "keys", "segments", "filters")

    def __init__(self, kind, begin):
        self.kind, self.begin, self.end = kind, begin, begin
        self.value, self.root = None, ""
        self.children, self.ops, self.keys, self.segments, self.filters = [], [], [], [], []


class Segment:
    """One step of a path. kind: name (with `name`), index or slice (with `bounds`: from, to; None is open)."""

    __slots__ = ("kind", "begin", "end", "name", "bounds")

    def __init__(self, begin):
        self.kind, self.begin, self.end, self.name, self.bounds = "name", begin, begin, "", []


class FilterCall:
    __slots__ = ("filter", "end", "arguments")

    def __init__(self, filter_, end):
        self.filter, self.end, self.arguments = filter_, end, {}


def references(node, out):
    """Appends (root, head) of all that the tree reads; the head is "" where a root is read whole or by a computed key."""
    if node.kind == "path" and node.root:
        first = node.segments[0] if node.segments else None
        out.append((node.root, first.name if first and first.kind == "name" else ""))
    for child in node.children:
        references(child, out)
    for segment in node.segments:
        for bound in segment.bounds:
            if bound is not None:
                references(bound, out)
    for call in node.filters:
        for argument in call.arguments.values():
            references(argument, out)


class Parser:
    """Recursive descent, one method a level of precedence."""

    def __init__(self, text, offset, braces, filters):
        if len(text.encode()) > TEXT_MAX:
            fail(0, "the text is too long for an expression", f"at most {TEXT_MAX} bytes")
        self.text, self.at, self.braces, self.opened, self.filters = text, offset, braces, offset - 2, filters
        self.depth, self.last_end = 0, offset
        self.advance()

    def run(self):
        """(tree, where the text goes on)"""
        if self.at_end():
            fail(self.begin, "the expression is empty", "a value")
        root = self.expression()
        if not self.at_end():
            self.unexpected("an operator or the end of the expression")
        return root, self.begin + 2 if self.braces else len(self.text)

    # --- tokens: self.kind, self.token (as written), self.value, self.begin, self.end
    def advance(self):
        text = self.text
        self.last_end = getattr(self, "end", self.at)
        at = self.at
        while at < len(text) and text[at] in " \t\n\r":
            at += 1
        self.begin = at
        if at >= len(text):
            self.kind, self.token, self.end, self.at = "end", "", at, at
            return
        match = _NAME.match(text, at)
        if match:
            self.kind, self.token = "name", match.group()
        elif text[at] in "0123456789":
            self.number(at)
        elif text[at] in "'\"":
            self.string(at)
            return
        else:
            self.symbol_token(at)
        self.end = self.at = at + len(self.token)

    def symbol_token(self, at):
        text = self.text
        if text.startswith("||", at):
            fail(at, "`||` is not an operator", "", "write `or`")
        for symbol in _SYMBOLS:
            if text.startswith(symbol, at):
                self.kind, self.token = "symbol", symbol
                return
        for written, hint in _FOREIGN.items():
            if text.startswith(written, at):
                fail(at, f"`{written}` is not an operator", "", hint)
        fail(at, f"unexpected `{text[at]}`", "", "names with other characters are written ['like-this']")

    def number(self, at):
        match = _NUMBER.match(self.text, at)
        self.kind, self.token = "number", match.group()
        if _NAME.match(self.text, match.end()):
            fail(at, "a number runs into a name", "", "names that start with a digit are written ['1st']")
        if match.group(1) or match.group(2):
            self.value = float(self.token)
            if not math.isfinite(self.value):
                fail(at, "the number is out of range", "a number that a 64-bit float can hold")
        else:
            self.value = int(self.token) if len(self.token) <= 20 else INT_MAX + 1
            if self.value > INT_MAX:
                fail(at, "the integer is out of range", f"at most {INT_MAX}")

    def string(self, begin):
        text, quote, at, out = self.text, self.text[begin], begin + 1, []
        while at < len(text) and text[at] != quote:
            if text[at] == "\\":
                piece, at = self.escape(at)
                out.append(piece)
            else:
                out.append(text[at])
                at += 1
        if at >= len(text):
            if self.braces:
                self.never_closed()
            fail(begin, "the string is never closed", "a closing " + quote)
        self.kind, self.value, self.end = "string", "".join(out), at + 1
        self.token = text[begin : self.end]
        self.at = self.end

    def escape(self, begin):
        text = self.text
        c = text[begin + 1 : begin + 2]
        if c in _ESCAPES and c:
            return _ESCAPES[c], begin + 2
        if c != "u":
            fail(begin, "unknown escape in a string", r"one of \\ \' \" \/ \n \t \r \b \f \uXXXX",
                 "a backslash itself is written \\\\")
        code, at = self.hex4(begin + 2), begin + 6
        if code is not None and 0xD800 <= code <= 0xDBFF:
            low = self.hex4(at + 2) if text.startswith("\\u", at) else None
            code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00) if low and 0xDC00 <= low <= 0xDFFF else None
            at += 6
        elif code is not None and 0xDC00 <= code <= 0xDFFF:
            code = None
        if code is None:
            fail(begin, "\\u must name a character",
                 "four hex digits, or two such escapes that form a surrogate pair")
        return chr(code), at

    def hex4(self, at):
        digits = self.text[at : at + 4]
        return int(digits, 16) if re.fullmatch("[0-9a-fA-F]{4}", digits) else None

    def symbol(self, spelled):
        return self.kind == "symbol" and self.token == spelled

    def accept(self, spelled):
        if self.kind not in ("symbol", "name") or self.token != spelled:
            return False
        self.advance()
        return True

    def expect(self, spelled):
        if not self.accept(spelled):
            self.unexpected(f"`{spelled}`")

    def at_end(self):
        if not self.braces:
            return self.kind == "end"
        return self.symbol("}") and self.text.startswith("}", self.end)

    def never_closed(self):
        fail(self.opened, "`{{` is never closed", "`}}`", "two literal braces are written {{ '{{' }}")

    def unexpected(self, expected):
        if self.kind == "end":
            if self.braces:
                self.never_closed()
            fail(self.begin, "the expression ends too early", expected)
        hint = {"is": "compare with ==, for example `x == null`", "=": "write == to compare",
                "(": "there are no functions; filters are written `value | name(...)`",
                ".": "put what stands before the dot in parentheses"}.get(self.token, "")
        fail(self.begin, f"unexpected `{self.token[:64]}`", expected, hint)

    # --- grammar, from the loosest to the tightest
    def nested(self, parse):
        self.depth += 1
        if self.depth > DEPTH_MAX:
            fail(self.begin, "the expression is nested too deeply", f"at most {DEPTH_MAX} levels")
        node = parse()
        self.depth -= 1
        return node

    def close(self, node):
        node.end = self.last_end
        return node

    def expression(self):
        return self.nested(self.conditional)

    def conditional(self):
        value = self.disjunction()
        if not (self.kind == "name" and self.accept("if")):
            return value
        node = Node("conditional", value.begin)
        node.children = [self.disjunction(), value]
        if not (self.kind == "name" and self.accept("else")):
            self.unexpected("`else`")
        node.children.append(self.expression())
        return self.close(node)

    def chain(self, kind, operand, operators):
        """`operand (operator operand)*`; one operand alone is itself."""
        first = operand()
        operator = operators()
        if operator is None:
            return first
        node = Node(kind, first.begin)
        node.children.append(first)
        while operator is not None:
            node.ops.append(operator)
            node.children.append(operand())
            operator = operators()
        return self.close(node)

    def one_of(self, *spelled):
        def operators():
            for one in spelled:
                if self.accept(one):
                    return one
            return None
        return operators

    def disjunction(self):
        return self.chain("or", self.conjunction, self.one_of("or"))

    def conjunction(self):
        return self.chain("and", self.negation, self.one_of("and"))

    def negation(self):
        if not (self.kind == "name" and self.token == "not"):
            return self.comparison()

        def parse():
            node = Node("not", self.begin)
            self.advance()
            node.children.append(self.negation())
            return self.close(node)
        return self.nested(parse)

    def comparison(self):
        plain = self.one_of("==", "!=", "<=", "<", ">=", ">", "in")

        def operators():
            found = plain()
            if found is None and self.kind == "name" and self.accept("not"):
                if not self.accept("in"):
                    self.unexpected("`in` after `not`")
                found = "not in"
            return found
        return self.chain("compare", self.sum, operators)

    def sum(self):
        return self.chain("arithmetic", self.product, self.one_of("+", "-"))

    def product(self):
        return self.chain("arithmetic", self.filtered, self.one_of("*", "//", "/", "%"))

    def filtered(self):
        subject = self.unary()
        if not self.symbol("|"):
            return subject
        node = Node("filtered", subject.begin)
        node.children.append(subject)
        while self.accept("|"):
            node.filters.append(self.filter_call())
        return self.close(node)

    def unary(self):
        if not self.symbol("-"):
            return self.postfix()

        def parse():
            node = Node("negate", self.begin)
            self.advance()
            node.children.append(self.unary())
            return self.close(node)
        return self.nested(parse)

    def filter_call(self):
        if self.kind != "name":
            self.unexpected("the name of a filter")
        begin, found = self.begin, self.filters.get(self.token)
        if found is None:
            near = closest(self.token, self.filters)
            fail(begin, f"unknown filter `{self.token[:64]}`", "one of the filters",
                 f"did you mean `{near}`?" if near else "")
        self.advance()
        call = FilterCall(found, self.last_end)
        if self.accept("("):
            while not self.symbol(")"):
                self.argument(call)
                if not self.accept(","):
                    break
            self.expect(")")
        call.end = self.last_end
        for i in range(found.required):
            if i not in call.arguments:
                fail(begin, f"`{found.name}` needs its argument `{found.parameters[i]}`", found.signature())
        return call

    def argument(self, call):
        found, begin, place = call.filter, self.begin, len(call.arguments)
        rest = self.text[self.at :].lstrip(" \t\n\r")
        if self.kind == "name" and rest.startswith("=") and not rest.startswith("=="):
            if self.token not in found.parameters:
                fail(begin, f"`{found.name}` has no argument `{self.token[:64]}`", found.signature())
            place = found.parameters.index(self.token)
            self.advance()
            self.expect("=")
        elif call.arguments and list(call.arguments)[-1] + 1 != place:
            fail(begin, "a plain argument follows a named one", found.signature())
        if place >= len(found.parameters):
            fail(begin, "too many arguments", found.signature())
        if place in call.arguments:
            fail(begin, "an argument is given twice", found.signature())
        call.arguments[place] = self.expression()

    def postfix(self):
        base = self.primary()
        while self.symbol(".") or self.symbol("["):
            if base.kind != "path":
                path = Node("path", base.begin)
                path.children.append(base)
                base = path
            base.segments.append(self.segment())
            self.close(base)
        return base

    def segment(self):
        segment = Segment(self.begin)
        if self.accept("."):
            if self.kind != "name":
                self.unexpected("a name; other keys are written ['like-this'], indexes [0]")
            segment.name = self.token
            self.advance()
        else:
            self.expect("[")
            self.subscript(segment)
            self.expect("]")
        segment.end = self.last_end
        return segment

    def subscript(self, segment):
        first = None if self.symbol(":") else self.expression()
        if self.accept(":"):
            segment.kind = "slice"
            segment.bounds = [first, None if self.symbol("]") else self.expression()]
        elif first.kind == "literal" and isinstance(first.value, str):
            segment.name = first.value
        else:
            segment.kind, segment.bounds = "index", [first]

    def primary(self):
        if self.kind in ("number", "string"):
            return self.literal(self.value)
        if self.kind == "name":
            if self.token in _CONSTANTS:
                return self.literal(_CONSTANTS[self.token])
            if self.token not in _KEYWORDS:
                node = Node("path", self.begin)
                node.root = self.token
                self.advance()
                return self.close(node)
        elif self.symbol("("):
            begin = self.begin
            self.advance()
            inner = self.expression()
            self.expect(")")
            inner.begin, inner.end = begin, self.last_end
            return inner
        elif self.symbol("["):
            return self.list()
        elif self.symbol("{"):
            return self.object()
        self.unexpected("a value")

    def literal(self, value):
        node = Node("literal", self.begin)
        node.value = value
        self.advance()
        return self.close(node)

    def list(self):
        node = Node("list", self.begin)
        self.advance()
        while not self.symbol("]"):
            node.children.append(self.expression())
            if not self.accept(","):
                break
        self.expect("]")
        return self.close(node)

    def object(self):
        node = Node("object", self.begin)
        self.advance()
        while not self.symbol("}"):
            if self.kind != "string":
                self.unexpected("a key in quotes")
            if self.value in node.keys:
                fail(self.begin, "the key stands in the object twice")
            node.keys.append(self.value)
            self.advance()
            self.expect(":")
            node.children.append(self.expression())
            if not self.accept(","):
                break
        self.expect("}")
        return self.close(node)


def _distance(a, b):
    """Edit distance with neighbours swapped as one edit."""
    rows = [list(range(len(b) + 1))]
    for i in range(1, len(a) + 1):
        row = [i]
        for j in range(1, len(b) + 1):
            best = min(rows[-1][j] + 1, row[-1] + 1, rows[-1][j - 1] + (a[i - 1] != b[j - 1]))
            if i > 1 and j > 1 and a[i - 1] == b[j - 2] and a[i - 2] == b[j - 1]:
                best = min(best, rows[-2][j - 2] + 1)
            row.append(best)
        rows.append(row)
    return rows[-1][-1]


def closest(word, candidates):
    """The candidate that a slip of the fingers could have meant; None: none is close."""
    if len(word) > 32:
        return None
    ranked = sorted((_distance(word, one), one) for one in candidates)
    return ranked[0][1] if ranked and ranked[0][0] <= max(1, len(word) // 3) else None
