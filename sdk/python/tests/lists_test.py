"""List references: what they are put together from is asked for, a few pieces at a time, and makes the list in order."""
import json
import pathlib
import sys
import types
import unittest

HERE = pathlib.Path(__file__).resolve()

package = types.ModuleType("millrace_sdk")  # without what it does at import
package.__path__ = [str(HERE.parents[1] / "millrace_sdk")]
sys.modules["millrace_sdk"] = package

from millrace_sdk import lists  # noqa: E402
from millrace_sdk.hashes import hash128  # noqa: E402


class Stored:
    """Pieces by their keys, and the names that a list reference has for them."""

    def __init__(self):
        self.all = {}

    def put(self, text):
        key = hash128(text)
        self.all[key] = text
        return "%016x%016x" % key

    def items(self, *elements):
        text = json.dumps(elements, separators=(",", ":")).encode()
        return ["items", self.put(text), len(elements), len(text) - 2]

    def item(self, element):
        text = json.dumps(element, separators=(",", ":")).encode()
        return ["item", self.put(text), 1, len(text)]


def text(elements):
    inside = json.dumps(elements, separators=(",", ":"))[1:-1]
    return ["text", inside, len(elements), len(inside)]


def a_list(*pieces, **more):
    head = {"count": sum(p[2] for p in pieces), "failed": 0, "dropped": 0, "bytes": sum(p[3] + 1 for p in pieces),
            "pieces": list(pieces)}
    return lists.LIST + json.dumps({**head, **more}).encode()


def a_value(*pieces):
    return lists.VALUE + json.dumps({"bytes": 9, "pieces": list(pieces)}).encode()


class Lists(unittest.TestCase):
    def setUp(self):
        self.stored = Stored()

    def whole(self, reference):
        return lists.whole(reference, self.stored.all.get)

    def test_pieces_of_every_kind_make_the_list_in_order(self):
        reference = a_list(self.stored.items({"a": 1}, [2], "drei"), text([4, None]), self.stored.item({"six": 6}),
                           self.stored.items(7.5))
        self.assertTrue(lists.is_composed(reference))
        self.assertFalse(lists.is_composed(b"[1]"))
        self.assertEqual(self.whole(reference), [{"a": 1}, [2], "drei", 4, None, {"six": 6}, 7.5])

    def test_what_is_missing_is_asked_for_a_few_at_a_time_and_once(self):
        pieces = [self.stored.items(n) for n in range(40)]
        reference, here, asked = a_list(*pieces, self.stored.items(0)), {}, []
        while keys := lists.missing(reference, here.get):
            self.assertLessEqual(len(keys), lists.AT_ONCE)
            asked += keys
            here.update((key, self.stored.all[key]) for key in keys)
        self.assertEqual(len(asked), len(set(asked)))
        self.assertEqual(lists.whole(reference, here.get), [*range(40), 0])

    def test_an_object_may_hold_lists_that_are_fetched_before_their_pieces(self):
        inner = a_list(self.stored.items(1, 2), self.stored.item(3))
        name = self.stored.put(inner)
        reference = a_value(["text", '{"rows":', 0, 8], ["value", name, 0, 5], ["text", "}", 0, 1])
        here = {}
        rounds = []
        while keys := lists.missing(reference, here.get):
            rounds.append(len(keys))
            here.update((key, self.stored.all[key]) for key in keys)
        self.assertEqual(rounds, [1, 2])
        self.assertEqual(lists.whole(reference, here.get), {"rows": [1, 2, 3]})

    def test_one_that_is_too_large_is_refused_before_anything_is_fetched(self):
        reference = a_list(self.stored.items(1), bytes=lists.WHOLE_MAX + 1)
        self.assertEqual(lists.missing(reference, {}.get), [])
        with self.assertRaisesRegex(lists.ListError, "at most 268435456 are"):
            self.whole(reference)

    def test_what_is_damaged_is_an_error_that_says_so_and_asks_for_nothing(self):
        good = self.stored.items(1, 2)
        bad = [lists.LIST + b"{", lists.LIST + b"[]", b"#millrace list 2\n{}", a_list(good, count=3), a_list(good, pieces=7),
               a_list(["items", "../etc", 1, 1]), a_list(["value", good[1], 1, 1]), a_list(["items", good[1], 3, 5]),
               a_list(good, bytes="many"), a_value(["value", self.stored.put(a_value()), 0, 1])]
        for reference in bad:
            with self.subTest(reference), self.assertRaises(ValueError):
                lists.missing(reference, {}.get)
                self.whole(reference)


if __name__ == "__main__":
    unittest.main()
