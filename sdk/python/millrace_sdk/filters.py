"""The filters of expressions, as docs/expressions.md lists them. A port of common/expr/filters_*.cc."""
import json
import math
import re

from .expressions import dump, is_integer, is_number, kind, render_text, truthy
from .syntax import INT_MAX, INT_MIN

FILTERS = {}
SPACE = " \t\r\n\f\v"


class Filter:
    def __init__(self, name, parameters, required, function):
        self.name, self.parameters, self.required, self.function = name, parameters, required, function

    def apply(self, machine, subject, *arguments):
        return self.function(Call(machine, self), subject, *arguments)

    def signature(self):
        if not self.parameters:
            return self.name + " without arguments"
        shown = [one if i < self.required else f"[{one}]" for i, one in enumerate(self.parameters)]
        return f"{self.name}({', '.join(shown)})"


class Call:
    """One call of a filter: the machine, and complaints in the filter's name."""

    def __init__(self, machine, filter_):
        self.m, self.filter = machine, filter_

    def wrong(self, expected, got):
        self.m.wrong(f"`{self.filter.name}`", expected, got)

    def wrong_argument(self, place, expected, got):
        self.m.wrong(f"argument `{self.filter.parameters[place]}` of `{self.filter.name}`", expected, got)

    def text_argument(self, place, got):
        if not isinstance(got, str):
            self.wrong_argument(place, "a string", got)

    def text(self, v):
        if not isinstance(v, str):
            self.wrong("a string", v)
        self.m.scan(len(v))

    def items(self, v):
        if not isinstance(v, list):
            self.wrong("an array", v)
        self.m.steps(len(v))

    def members(self, v):
        if not isinstance(v, dict):
            self.wrong("an object", v)
        self.m.steps(len(v))

    def orderable(self, values):
        numbers = bool(values) and is_number(values[0])
        for v in values:
            if is_number(v) if numbers else isinstance(v, str):
                continue
            self.wrong("numbers only" if numbers else "strings only" if isinstance(values[0], str)
                       else "all numbers or all strings", v)

    def at_path(self, element, path):
        subject = f"`{self.filter.name}`: an element"
        for name in path.split("."):
            key = int(name) if isinstance(element, list) and re.fullmatch("[0-9]{1,9}", name) else name
            element = self.m.index(element, key, subject)
        return element


def filter_(name, *parameters, required=0):
    def register(function):
        FILTERS[name] = Filter(name, list(parameters), required, function)
        return function
    return register


# ---------------------------------------------------------------- any value, numbers, conversions


@filter_("default", "value", required=1)
def _default(call, v, value):
    return value if v is None else v


@filter_("type")
def _type(call, v):
    return kind(v)


@filter_("int")
def _int(call, v):
    if is_integer(v):
        return v
    if isinstance(v, bool):
        return int(v)
    if isinstance(v, float):
        if not -9223372036854775808.0 <= math.trunc(v) < 18446744073709551616.0:
            call.m.fail("`int`: the number does not fit 64 bits")
        return math.trunc(v)
    if not isinstance(v, str):
        call.wrong("a number, a boolean or a string of digits", v)
    call.m.scan(len(v))
    text = v.strip(SPACE)
    if re.fullmatch(r"\+?[0-9]{1,4000}|-[0-9]{1,4000}", text) and INT_MIN <= int(text) <= INT_MAX:
        return int(text)
    call.m.fail("`int` expected a string that is an integer of 64 bits")


@filter_("float")
def _float(call, v):
    if isinstance(v, (int, float)):
        return float(v)
    if not isinstance(v, str):
        call.wrong("a number, a boolean or a string that is a number", v)
    call.m.scan(len(v))
    text = v.strip(SPACE)
    if re.fullmatch(r"(\+|-)?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", text) and math.isfinite(float(text)):
        return float(text)
    call.m.fail("`float` expected a string that is a finite number")


@filter_("string")
def _string(call, v):
    return v if isinstance(v, str) else call.m.pay(render_text(v))


@filter_("bool")
def _bool(call, v):
    if not isinstance(v, str):
        return truthy(v)
    word = v[:16].strip(SPACE).lower()
    if word in ("true", "yes", "on", "1"):
        return True
    if word in ("false", "no", "off", "0", ""):
        return False
    call.m.fail("`bool` expected true, false, yes, no, on, off, 1 or 0 in a string")


@filter_("tojson", "indent")
def _tojson(call, v, indent):
    if indent is not None and not (is_integer(indent) and 0 <= indent <= 8):
        call.wrong_argument(0, "an integer from 0 to 8", indent)
    call.m.pay(v)
    return call.m.pay(dump(v, indent or 0))


def _no_constant(word):
    raise ValueError(word)


def parse_json(text):
    """JSON that fits a Value: integers in 64 bits, finite numbers. Fails with ValueError."""
    def integer(digits):
        value = int(digits) if len(digits) <= 20 else INT_MAX + 1
        if not INT_MIN <= value <= INT_MAX:
            raise ValueError("a number that is out of range")
        return value

    def number(digits):
        value = float(digits)
        if not math.isfinite(value):
            raise ValueError("a number that is out of range")
        return value
    return json.loads(text, parse_int=integer, parse_float=number, parse_constant=_no_constant)


@filter_("fromjson")
def _fromjson(call, v):
    if not isinstance(v, str):
        call.wrong("a string of JSON", v)
    call.m.scan(len(v))
    try:
        return call.m.pay(parse_json(v))
    except (json.JSONDecodeError, RecursionError):
        call.m.fail("`fromjson`: not JSON")
    except ValueError as e:
        if hasattr(e, "limit"):
            raise
        call.m.fail("`fromjson`: JSON holds a number that is out of range or not finite")


@filter_("abs")
def _abs(call, v):
    if not is_number(v):
        call.wrong("a number", v)
    return abs(v)


@filter_("round", "digits")
def _round(call, v, digits):
    if not is_number(v):
        call.wrong("a number", v)
    if digits is not None and not (is_integer(digits) and 0 <= digits <= 15):
        call.wrong_argument(0, "an integer from 0 to 15", digits)
    if is_integer(v):
        return v
    if digits is not None:
        return round(v, digits)
    if not INT_MIN <= round(v) <= INT_MAX:
        call.m.fail("`round`: the number does not fit 64 bits", "`round(0)` keeps a float")
    return round(v)


# ---------------------------------------------------------------- strings


def _lower(c):
    return chr(ord(c) + 32) if "A" <= c <= "Z" else c


def _upper(c):
    return chr(ord(c) - 32) if "a" <= c <= "z" else c


def _in_word(c):
    return "a" <= _lower(c) <= "z" or "0" <= c <= "9" or c == "'" or ord(c) >= 0x80


@filter_("lower")
def _f_lower(call, v):
    call.text(v)
    return call.m.pay("".join(map(_lower, v)))


@filter_("upper")
def _f_upper(call, v):
    call.text(v)
    return call.m.pay("".join(map(_upper, v)))


@filter_("title")
def _title(call, v):
    call.text(v)
    inside, out = False, []
    for c in v:
        out.append(_lower(c) if inside else _upper(c))
        inside = _in_word(c)
    return call.m.pay("".join(out))


@filter_("capitalize")
def _capitalize(call, v):
    call.text(v)
    return call.m.pay("".join(map(_upper, v[:1])) + "".join(map(_lower, v[1:])))


@filter_("trim")
def _trim(call, v):
    call.text(v)
    return call.m.pay(v.strip(SPACE))


@filter_("split", "separator")
def _split(call, v, separator):
    call.text(v)
    if separator is None:
        parts = [part for part in re.split("[" + SPACE + "]+", v) if part]
    else:
        call.text_argument(0, separator)
        if not separator:
            call.m.fail("`split` expected a separator that is not empty")
        parts = v.split(separator)
    call.m.steps(len(parts))
    return call.m.pay(parts)


@filter_("replace", "old", "new", required=2)
def _replace(call, v, old, new):
    call.text(v)
    call.text_argument(0, old)
    call.text_argument(1, new)
    if not old:
        call.m.fail("`replace` expected a text to replace that is not empty")
    count = v.count(old)
    call.m.steps(count)
    call.m.room(len(v) + count * (len(new) - len(old)))  # before it is built
    return call.m.pay(v.replace(old, new))


@filter_("startswith", "prefix", required=1)
def _startswith(call, v, prefix):
    call.text(v)
    call.text_argument(0, prefix)
    return v.startswith(prefix)


@filter_("endswith", "suffix", required=1)
def _endswith(call, v, suffix):
    call.text(v)
    call.text_argument(0, suffix)
    return v.endswith(suffix)


# ---------------------------------------------------------------- arrays and objects


@filter_("length")
@filter_("count")
def _length(call, v):
    if not isinstance(v, (str, list, dict)):
        call.wrong("a string, an array or an object", v)
    if isinstance(v, str):
        call.m.scan(len(v))
    return len(v)


@filter_("first")
def _first(call, v):
    if not isinstance(v, list):
        call.wrong("an array", v)
    return v[0] if v else None


@filter_("last")
def _last(call, v):
    if not isinstance(v, list):
        call.wrong("an array", v)
    return v[-1] if v else None


@filter_("join", "separator")
def _join(call, v, separator):
    call.items(v)
    if separator is not None:
        call.text_argument(0, separator)
    call.m.room(len(separator or "") * len(v))
    return call.m.pay((separator or "").join(map(render_text, v)))


@filter_("sort", "attribute", "reverse")
def _sort(call, v, attribute, reverse):
    call.items(v)
    if attribute is not None:
        call.text_argument(0, attribute)
    if reverse is not None and not isinstance(reverse, bool):
        call.wrong_argument(1, "a boolean", reverse)
    keys = [item if attribute is None else call.at_path(item, attribute) for item in v]
    call.orderable(keys)
    call.m.steps(len(v) * len(v).bit_length())
    order = sorted(range(len(v)), key=keys.__getitem__, reverse=bool(reverse))
    return call.m.pay([v[i] for i in order])


def _hashed(v):
    """Equal values have equal hashes."""
    if isinstance(v, list):
        return hash(tuple(map(_hashed, v)))
    if isinstance(v, dict):
        return hash(frozenset((k, _hashed(m)) for k, m in v.items()))
    return hash((isinstance(v, bool), v))


@filter_("unique")
def _unique(call, v):
    call.items(v)
    seen, kept = {}, []
    for item in v:
        alike = seen.setdefault(_hashed(item), [])
        if not any(call.m.equal(one, item) for one in alike):
            alike.append(item)
            kept.append(item)
    return call.m.pay(kept)


@filter_("reverse")
def _reverse(call, v):
    if not isinstance(v, (str, list)):
        call.wrong("an array or a string", v)
    call.m.steps(len(v))
    return call.m.pay(v[::-1])


@filter_("sum")
def _sum(call, v):
    call.items(v)
    total = 0
    for item in v:
        if not is_number(item):
            call.wrong("numbers only", item)
        total = call.m.arithmetic("+", total, item)
    return total


def _extreme(call, v, choose):
    call.items(v)
    call.orderable(v)
    return choose(v) if v else None


@filter_("min")
def _min(call, v):
    return _extreme(call, v, min)


@filter_("max")
def _max(call, v):
    return _extreme(call, v, max)


@filter_("slice", "start", "end")
def _slice(call, v, start, end):
    if not isinstance(v, (str, list)):
        call.wrong("an array or a string", v)
    for place, bound in enumerate((start, end)):
        if bound is not None and not is_integer(bound):
            call.wrong_argument(place, "an integer", bound)
    return call.m.slice(v, start, end, "")


@filter_("map", "attribute", required=1)
def _map(call, v, attribute):
    call.items(v)
    call.text_argument(0, attribute)
    return call.m.pay([call.at_path(item, attribute) for item in v])


@filter_("contains", "value", required=1)
def _contains(call, v, value):
    return call.m.contains(v, value, "`contains`")


@filter_("range", "end")
def _range(call, v, end):
    if not is_integer(v):
        call.wrong("an integer", v)
    if end is not None and not is_integer(end):
        call.wrong_argument(0, "an integer", end)
    begin, end = (0, v) if end is None else (v, end)
    call.m.steps(max(0, end - begin))
    return list(range(begin, end))


@filter_("flatten", "levels")
def _flatten(call, v, levels):
    call.items(v)
    if levels is not None and not (is_integer(levels) and levels >= 0):
        call.wrong_argument(0, "an integer that is not negative", levels)
    out = []

    def into(item, left):
        call.m.steps(1)
        if left == 0 or not isinstance(item, list):
            out.append(item)
        else:
            for inner in item:
                into(inner, left - 1)
    for item in v:
        into(item, 1 if levels is None else levels)
    return call.m.pay(out)


@filter_("keys")
def _keys(call, v):
    call.members(v)
    return call.m.pay(list(v))


@filter_("values")
def _values(call, v):
    call.members(v)
    return call.m.pay(list(v.values()))


@filter_("entries")
@filter_("items")
def _entries(call, v):
    call.members(v)
    return call.m.pay([{"key": key, "value": value} for key, value in v.items()])
