"""List references: a value of which only what it is put together from is stored under its name. A port of
common/model/composed.h: the output of a large fan-out is pieces in order, each a stored array, a stored element, or a few
elements as text; an object may hold such lists. Keys are (high, low) of hashes; `find(key)` gives stored bytes or None.

Promises: whole() is a list whose length is what its name says. Fails: ListError, which says what is wrong.
"""
import re

from .filters import parse_json

MARK, LIST, VALUE = b"#millrace ", b"#millrace list 1\n", b"#millrace value 1\n"
PIECES_MAX = 256 * 1024
WHOLE_MAX = 256 * 1024 * 1024
AT_ONCE = 16  # pieces that are asked for at once: each of them is about a megabyte


class ListError(ValueError):
    pass


def is_composed(stored):
    return bytes(stored[:len(MARK)]) == MARK


def _key(name):
    if not re.fullmatch("[0-9a-f]{32}", name):
        raise ListError("a list reference names a piece that has no name")
    return int(name[:16], 16), int(name[16:], 16)


def read(stored):
    """(whether it is a list, how many elements, [(kind, key or text, how many elements)])."""
    is_list = stored.startswith(LIST)
    if not is_list and not stored.startswith(VALUE):
        raise ListError("a list reference is of a version that is not known here")
    try:
        head = parse_json(stored[len(LIST if is_list else VALUE):])
        pieces = [(kind, name if kind == "text" else _key(name), count) for kind, name, count, _ in head["pieces"]]
        count, size = head["count"] if is_list else 0, head["bytes"]
        good = all(kind in ("text", "items", "item") if is_list else kind in ("text", "value") for kind, _, _ in pieces)
        good = good and isinstance(size, int) and len(pieces) <= PIECES_MAX and sum(piece[2] for piece in pieces) == count
    except ListError:
        raise
    except (KeyError, TypeError, ValueError):
        good = False
    if not good:
        raise ListError("a list reference cannot be read: it is damaged")
    if size > WHOLE_MAX:
        raise ListError(f"a list is {size} bytes of JSON, and is read whole here: at most {WHOLE_MAX} are; let a node before "
                        "this one take from it what is needed (`value`, or a python node)")
    return is_list, count, pieces


def missing(stored, find, most=AT_ONCE):
    """Keys of pieces that have to be here first; some of them, where they are many. None of what cannot be read."""
    out = {}
    try:
        for kind, key, _ in read(stored)[2]:
            if len(out) >= most:
                break
            piece = None if kind == "text" else find(key)
            if kind != "text" and piece is None:
                out[key] = True
            elif kind == "value" and is_composed(piece):
                out.update(dict.fromkeys(missing(piece, find, most - len(out))))
    except ListError:
        return []  # whole() says it
    return list(out)


def _text(kind, piece):
    if kind != "items":
        return piece
    piece = piece.strip()
    if piece[:1] != b"[" or piece[-1:] != b"]":
        raise ListError("a piece of a list reference is no list")
    return piece[1:-1]


def _put_together(stored, find, inside=False):
    is_list, _, pieces = read(stored)
    if inside and not is_list:
        raise ListError("a list reference cannot be read: one stands where none may")
    out = []
    for kind, name, _ in pieces:
        piece = name.encode() if kind == "text" else find(name)
        if piece is None:
            raise ListError("a piece of a list reference is not here")
        if kind == "value" and is_composed(piece):
            piece = _put_together(piece, find, inside=True)
        out.append(_text(kind, piece))
    return b"[" + b",".join(out) + b"]" if is_list else b"".join(out)


def whole(stored, find):
    """What it stands for."""
    stored = bytes(stored)
    is_list, count, _ = read(stored)
    value = parse_json(_put_together(stored, find))
    if is_list and (not isinstance(value, list) or len(value) != count):
        raise ListError(f"a list reference names {count} elements, and its pieces have others")
    return value
