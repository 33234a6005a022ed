"""Value parts: a large value on its way in parts, each checked by itself, the whole by its content hash. A port of
common/model/value_parts.cc; `key` is (high, low) of the hash. Units: bytes, seconds.
"""
from .hashes import Sum128, hash64

PART_MIN, PART_FIRST, PART_MAX = 64 * 1024, 256 * 1024, 1024 * 1024
QUICK, SLOW = 0.15, 1.0
VALUE_MAX = 256 * 1024 * 1024

MORE, WHOLE, OTHER, DAMAGED = range(4)


def part_check(key, start, data):
    """Never zero."""
    return hash64(data, (key[1] ^ start) & 0xFFFFFFFFFFFFFFFF) or 1


class Pace:
    """How much to send or ask for at once: more where the last came quickly, less where it took long."""

    def __init__(self):
        self.bytes = PART_FIRST

    def came(self, took):
        if took < QUICK:
            self.bytes = min(self.bytes * 2, PART_MAX)
        elif took > SLOW:
            self.bytes = max(self.bytes // 2, PART_MIN)


class PartsIn:
    """What has come of one value."""

    def __init__(self, key):
        self.key = key
        self._begin()

    def _begin(self):
        self.sum, self.come, self.data = Sum128(), 0, []

    def _add(self, data):
        self.sum.update(data)
        self.come += len(data)
        self.data.append(data)

    def _end(self):
        if self.sum.pair() == self.key:
            return WHOLE
        self._begin()
        return DAMAGED

    def take(self, place, data):
        """MORE: ask for the next one. WHOLE: bytes() is what the hash says. OTHER: not the one that is wanted, or harmed on
        its way: ask again. DAMAGED: the whole is not what its hash says: everything is forgotten. `place`: (start, size of
        the whole, check), or None of who does not know parts and sends it whole."""
        if place is None:
            self._begin()
            self._add(data)
            return self._end()
        start, size, check = place
        if start != self.come or check != part_check(self.key, start, data):
            return OTHER
        if size > VALUE_MAX or len(data) > size - start:
            self._begin()
            return DAMAGED
        self._add(data)
        if self.come == size:
            return self._end()
        return MORE if data else OTHER

    def bytes(self):
        return b"".join(self.data)
