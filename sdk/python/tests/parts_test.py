"""Large values in parts: what comes is checked, what is sent arrives, and files that tasks hand over go with it."""
import pathlib
import sys
import types
import unittest

HERE = pathlib.Path(__file__).resolve()

package = types.ModuleType("millrace_sdk")  # without what it does at import
package.__path__ = [str(HERE.parents[1] / "millrace_sdk")]
sys.modules["millrace_sdk"] = package


class _Wire:  # its two messages, as plain values
    Reference = __import__("collections").namedtuple("Reference", "high low size")

    @staticmethod
    def value_request(reference, start, most):
        return "want", reference[:2], start, most

    @staticmethod
    def put_part(key, size, run, start, check, data):
        return "put", key, size, run, start, check, data


sys.modules["millrace_sdk.wire"] = package.wire = _Wire

from millrace_sdk import hashes  # noqa: E402
from millrace_sdk.attachments import Attachments  # noqa: E402
from millrace_sdk.fetches import FETCH_AGAIN, Fetches  # noqa: E402
from millrace_sdk.hashes import Sum128, hash64, hash128  # noqa: E402
from millrace_sdk.parts import PART_FIRST, part_check  # noqa: E402
from millrace_sdk.uploads import PART_AGAIN, Uploads  # noqa: E402

BIG = b'"' + bytes(range(35, 92)) * 20_000 + b'"'  # 1.1 MB
Attempt = __import__("collections").namedtuple("Attempt", "run task epoch number")
ONE = Attempt(7, 0, 1, 1)


class Outcome:
    def __init__(self, output=None, artifacts=()):
        self.success, self.reason, self.message, self.traceback, self.items = True, 0, "", "", None
        self.output, self.artifacts = output, list(artifacts)


class Store:
    """Takes parts as a coordinator does."""

    def __init__(self):
        self.come, self.kept = {}, {}

    def put(self, message, harm=False):
        _, key, size, _, start, check, data = message
        if harm:
            data = data[:-1] + bytes([data[-1] ^ 1])
        have = self.come.setdefault(key, b"")
        if key in self.kept:
            return key, size, True, False
        if check != part_check(key, start, data):
            return key, len(have), False, True
        if start == len(have):
            have = self.come[key] = have + data
        if len(have) == size and hash128(have) == key:
            self.kept[key] = have
        return key, len(have), key in self.kept, False


class Hashes(unittest.TestCase):
    def test_they_are_those_of_xxh3_with_the_package_and_with_the_library(self):
        makers = [hashes._by_library()] + ([hashes._by_package()] if hashes.xxhash else [])
        for sum128, hash64_ in makers:
            empty = sum128()
            self.assertEqual("%016x%016x" % empty.pair(), "99aa06d3014798d86001c324468d497f")
            self.assertEqual(hash64_(b"", 0), 0x2D06800538D394C2)
            parts = sum128()
            for i in range(0, len(BIG), 1000):
                parts.update(BIG[i : i + 1000])
            self.assertEqual(parts.pair(), hash128(BIG))
            self.assertNotEqual(hash64_(BIG, 1), hash64_(BIG, 2))


class Fetching(unittest.TestCase):
    def setUp(self):
        self.asked = []
        self.fetches = Fetches(lambda link, body: self.asked.append(body))
        self.reference = _Wire.Reference(*hash128(BIG), len(BIG))

    def answer(self, now, text=BIG, start=None, harm=False):
        _, key, from_, most = self.asked[-1]
        start = from_ if start is None else start
        data = text[start : start + most]
        check = part_check(key, start, data)
        if harm:
            data = b"?" + data[1:]
        return self.fetches.came(now, self.reference, data, (start, len(text), check))

    def test_a_value_comes_in_parts_and_is_what_its_hash_says(self):
        self.assertTrue(self.fetches.want(0, self.reference, 1, ONE))
        came = None
        while came is None:
            came = self.answer(0)
        self.assertEqual(came, (self.reference[:2], "", [ONE]))
        self.assertEqual(self.fetches.cache[self.reference[:2]], BIG)
        self.assertEqual([from_ for _, _, from_, _ in self.asked], [0, PART_FIRST, 3 * PART_FIRST])
        self.assertFalse(self.fetches.want(1, self.reference, 1, ONE))

    def test_a_part_that_was_harmed_or_comes_twice_is_not_taken_and_asked_for_again(self):
        self.fetches.want(0, self.reference, 1, ONE)
        self.assertIsNone(self.answer(0, harm=True))
        self.assertEqual(len(self.asked), 1)
        self.fetches.pass_(FETCH_AGAIN, {ONE})
        self.assertEqual([from_ for _, _, from_, _ in self.asked], [0, 0])
        self.assertIsNone(self.answer(2))
        self.assertIsNone(self.answer(2, start=0))
        self.assertEqual([from_ for _, _, from_, _ in self.asked], [0, 0, PART_FIRST])

    def test_a_value_that_is_not_what_its_hash_says_is_fetched_once_more_and_then_refused(self):
        other = BIG[:-2] + b'!"'
        self.fetches.want(0, self.reference, 1, ONE)
        came, starts = None, 0
        while came is None:
            starts += self.asked[-1][2] == 0
            came = self.answer(0, text=other)
        self.assertEqual((came, starts), ((self.reference[:2], "is damaged", [ONE]), 2))
        self.assertNotIn(self.reference[:2], self.fetches.cache)

    def test_one_that_comes_whole_from_who_knows_no_parts_is_checked_as_well(self):
        self.fetches.want(0, self.reference, 1, ONE)
        self.assertIsNone(self.fetches.came(0, self.reference, BIG + b" ", None))
        self.assertEqual(self.fetches.came(0, self.reference, BIG, None), (self.reference[:2], "", [ONE]))

    def test_what_nobody_waits_for_any_more_is_forgotten(self):
        self.fetches.want(0, self.reference, 1, ONE)
        self.fetches.pass_(1, set())
        self.assertEqual((self.fetches.fetches, self.fetches.next_deadline()), ({}, float("inf")))


class Uploading(unittest.TestCase):
    def setUp(self):
        self.sent, self.store = [], Store()
        self.uploads = Uploads(lambda link, body: self.sent.append((link, body)))
        self.uploads.takes_parts(1, True)

    def play(self, now=0, harm=lambda n: False):
        for n in range(1000):
            if n >= len(self.sent):
                return self.uploads.take_done()
            self.uploads.taken(now, *self.store.put(self.sent[n][1], harm(n)))
        self.fail("it does not end")

    def test_an_output_and_the_files_of_a_task_arrive_before_its_end_is_told(self):
        attachments = Attachments()
        attachments.add("b.txt", "words", None, None)
        attachments.add("a.bin", BIG[:700_000], None, None)
        outcome = Outcome(BIG, attachments.take())
        self.assertTrue(self.uploads.begin(0, ONE, outcome))
        self.assertEqual(self.uploads.take_done(), [])
        self.assertEqual(self.play(), [(ONE, outcome)])
        self.assertEqual(self.store.kept, {hash128(x): x for x in (BIG, BIG[:700_000], b"words")})
        self.assertEqual(outcome.output, (*hash128(BIG), len(BIG)))
        self.assertEqual([(one.name, one.type, one.size) for one in outcome.artifacts],
                         [("a.bin", "application/octet-stream", 700_000), ("b.txt", "text/plain", 5)])
        self.assertTrue(all(len(body[6]) <= 1024 * 1024 for _, body in self.sent))

    def test_an_empty_file_is_handed_over_too(self):
        attachments = Attachments()
        attachments.add("nothing", b"", None, None)
        self.uploads.begin(0, ONE, Outcome(b"1", attachments.take()))
        self.assertEqual(len(self.play()), 1)
        self.assertEqual(self.store.kept, {hash128(b""): b""})

    def test_a_small_output_and_that_of_items_travel_in_the_report(self):
        self.assertFalse(self.uploads.begin(0, ONE, Outcome(b"1")))
        items = Outcome(BIG)
        items.items = (1, 1, [])
        self.assertFalse(self.uploads.begin(0, ONE, items))

    def test_where_no_coordinator_takes_parts_everything_is_told_at_once(self):
        self.uploads.takes_parts(1, False)
        self.assertFalse(self.uploads.can_begin())
        self.assertFalse(self.uploads.begin(0, ONE, Outcome(BIG)))

    def test_a_part_that_is_lost_is_sent_again_to_another_coordinator(self):
        self.uploads.takes_parts(2, True)
        self.uploads.begin(0, ONE, Outcome(BIG))
        self.uploads.pass_(PART_AGAIN / 2)
        self.assertEqual(len(self.sent), 1)
        self.uploads.pass_(PART_AGAIN)
        self.assertEqual([(link, body[4]) for link, body in self.sent], [(1, 0), (2, 0)])
        self.assertEqual(len(self.play()), 1)

    def test_one_that_arrives_damaged_again_and_again_is_the_tasks_failure(self):
        outcome = Outcome(BIG)
        self.uploads.begin(0, ONE, outcome)
        self.assertEqual(self.play(harm=lambda n: True), [(ONE, outcome)])
        self.assertEqual((outcome.success, outcome.reason, outcome.output), (False, 8, None))
        self.assertIn("arrives damaged", outcome.message)

    def test_one_that_arrives_damaged_once_is_sent_again(self):
        outcome = Outcome(BIG)
        self.uploads.begin(0, ONE, outcome)
        self.assertEqual(self.play(harm=lambda n: n == 1), [(ONE, outcome)])
        self.assertEqual(self.store.kept, {hash128(BIG): BIG})

    def test_what_was_lost_where_it_had_come_is_sent_from_there(self):
        self.uploads.begin(0, ONE, Outcome(BIG))
        self.uploads.taken(0, *self.store.put(self.sent[-1][1]))
        self.assertEqual(self.sent[-1][1][4], PART_FIRST)
        self.store.come.clear()
        self.uploads.taken(0, hash128(BIG), 0, False, False)  # an old answer: nothing is believed of it
        self.assertEqual(len(self.sent), 2)
        self.uploads.pass_(PART_AGAIN)
        self.uploads.taken(PART_AGAIN, *self.store.put(self.sent[-1][1]))
        self.assertEqual(self.sent[-1][1][4], 0)

    def test_a_few_go_at_a_time_and_one_that_is_forgotten_makes_room(self):
        attempts = [Attempt(7, i, 1, 1) for i in range(6)]
        for i, attempt in enumerate(attempts):
            self.uploads.begin(0, attempt, Outcome(BIG + b" " * i))
        self.assertEqual(len(self.sent), 4)
        self.assertTrue(self.uploads.forget(attempts[0]))
        self.assertFalse(self.uploads.forget(attempts[0]))
        self.assertEqual([attempt for attempt, _ in self.play()], attempts[1:])


class Files(unittest.TestCase):
    def test_names_types_and_numbers_are_bounded_with_a_reason(self):
        attachments = Attachments()
        for name, why in (("", "1 to 200"), ("..", "cannot be named"), ("a/b", "without a path"), ("a\n", "control"),
                          ("x" * 201, "1 to 200"), ("\ud800", "UTF-8")):
            with self.assertRaisesRegex(ValueError, why):
                attachments.add("f", b"", name, None)
        with self.assertRaisesRegex(ValueError, "ASCII"):
            attachments.add("f", b"", None, "text/\u00e4")
        for i in range(64):
            attachments.add("f%d" % i, b"", None, None)
        attachments.add("f1", b"again", None, None)
        with self.assertRaisesRegex(ValueError, "at most 64"):
            attachments.add("one more", b"", None, None)
        taken = attachments.take()
        for one in taken:
            one.file.close()
        self.assertEqual({one.name: one.size for one in taken}["f1"], 5)

    def test_one_that_breaks_off_leaves_what_was_there_before(self):
        class Broken:
            def __init__(self):
                self.pieces = [b"abc"]

            def read(self, _):
                if self.pieces:
                    return self.pieces.pop()
                raise OSError("gone")

        attachments = Attachments()
        attachments.add("f", b"before", None, None)
        with self.assertRaises(OSError):
            attachments.add("f", Broken(), None, None)
        (kept,) = attachments.take()
        kept.file.close()
        self.assertEqual((kept.size, kept.key), (6, hash128(b"before")))

    def test_a_check_is_never_zero_and_depends_on_the_place(self):
        self.assertNotEqual(part_check((1, 2), 0, b"x"), part_check((1, 2), 1, b"x"))
        self.assertEqual(part_check((1, 2), 0, b"x"), hash64(b"x", 2))
        self.assertEqual(Sum128().pair(), hash128(b""))


if __name__ == "__main__":
    unittest.main()
