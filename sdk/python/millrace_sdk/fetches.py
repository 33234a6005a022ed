"""Fetches: values held by reference. They are asked for part by part, a part again (FETCH_AGAIN, doubling) until it comes,
and kept a while. Times are seconds of a clock that never goes back, handed in. Threads: none of its own.

Promises: what `cache` holds is what its hash says. Fails: a value that is gone, or has come damaged twice, is told as
(key, why) to those who wait for it.
"""
from collections import OrderedDict

from . import wire
from .parts import DAMAGED, MORE, OTHER, Pace, PartsIn

FETCH_AGAIN, FETCH_AGAIN_MAX = 2.0, 60.0
CACHE_BYTES = 128 * 1024 * 1024


class _Fetch:
    def __init__(self, link, reference):
        self.link, self.reference, self.pause, self.wanted_by = link, reference, FETCH_AGAIN, []
        self.parts, self.pace, self.damaged = PartsIn(reference[:2]), Pace(), False
        self.asked = self.again = 0.0


class Fetches:
    """`send(link, body)` sends a message. A value is known by its key, (high, low) of its hash."""

    def __init__(self, send):
        self.send, self.fetches = send, {}
        self.cache, self.cache_bytes = OrderedDict(), 0

    def want(self, now, reference, link, attempt):
        """False: it is here already."""
        key = reference[:2]
        if key in self.cache:
            self.cache.move_to_end(key)
            return False
        fetch = self.fetches.get(key)
        if fetch is None:
            fetch = self.fetches[key] = _Fetch(link, reference)
            self._ask(now, fetch)
        fetch.wanted_by.append(attempt)
        return True

    def _ask(self, now, fetch):
        fetch.asked, fetch.again = now, now + fetch.pause
        self.send(fetch.link, wire.value_request(fetch.reference, fetch.parts.come, fetch.pace.bytes))

    def came(self, now, reference, json, place):
        """None: more of it is to come, or nobody waits. Else (key, "" or what is wrong with it, who waits for it)."""
        key = reference[:2]
        fetch = self.fetches.get(key)
        if fetch is None:
            return None
        if json is None:
            return self._end(key, fetch, "is gone")
        took = fetch.parts.take(place, json)
        if took == OTHER:
            return None  # it is asked for again in time
        if took == DAMAGED:
            if fetch.damaged:
                return self._end(key, fetch, "is damaged")
            fetch.damaged = True
            return self._ask(now, fetch)
        if took == MORE:
            fetch.pace.came(now - fetch.asked)
            fetch.pause = FETCH_AGAIN
            return self._ask(now, fetch)
        self.cache[key] = fetch.parts.bytes()
        self.cache_bytes += len(self.cache[key])
        return self._end(key, fetch, "")

    def _end(self, key, fetch, problem):
        del self.fetches[key]
        return key, problem, fetch.wanted_by

    def pass_(self, now, waiting):
        """`waiting`: the attempts that wait for values; what nobody of them wants is forgotten."""
        for key, fetch in list(self.fetches.items()):
            fetch.wanted_by = [attempt for attempt in fetch.wanted_by if attempt in waiting]
            if not fetch.wanted_by:
                del self.fetches[key]
            elif fetch.again <= now:
                fetch.pause = min(fetch.pause * 2, FETCH_AGAIN_MAX)
                self._ask(now, fetch)
        while self.cache_bytes > CACHE_BYTES and len(self.cache) > 1 and not waiting:
            self.cache_bytes -= len(self.cache.popitem(last=False)[1])

    def next_deadline(self):
        return min((fetch.again for fetch in self.fetches.values()), default=float("inf"))
