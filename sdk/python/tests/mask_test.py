"""Masks: no letter of base64 that a secret has a part in is shown, wherever it stands and however a stream is cut."""
import base64
import pathlib
import sys
import types
import unittest

HERE = pathlib.Path(__file__).resolve()

package = types.ModuleType("millrace_sdk")  # without what it does at import
package.__path__ = [str(HERE.parents[1] / "millrace_sdk")]
sys.modules["millrace_sdk"] = package

from millrace_sdk.secret import Mask  # noqa: E402


def streamed(mask, text):
    return "".join(mask.stream("out", c) for c in text) + mask.flush("out")


class MaskTest(unittest.TestCase):
    def test_a_secret_is_masked_as_it_is_and_across_pieces(self):
        mask = Mask()
        mask.add("hunter2")
        mask.add("a b")
        self.assertEqual(mask.text("hunter2, hunter2hunter2; a%20b"), "***, ******; ***")
        self.assertEqual(streamed(mask, "my hunter2 is hunted"), "my *** is hunted")

    def test_base64_shows_no_letter_that_a_secret_has_a_part_in(self):
        for secret in ("s3cret/key", "s3cret/key+", "s3cret/key+1", "\u00ff~~?>\u00fb"):
            mask = Mask()
            mask.add(secret)
            for encode in (base64.b64encode, base64.urlsafe_b64encode):
                for before in (b"", b"u", b"us", b"ada", b"ada:"):
                    for after in (b"", b"@", b"@h", b"@host"):
                        encoded = encode(before + secret.encode() + after).decode()
                        end = (len(before + secret.encode()) * 8 + 5) // 6
                        expected = encoded[:len(before) * 8 // 6] + "***" + encoded[end:]
                        self.assertEqual(mask.text(encoded), expected)
                        self.assertEqual(streamed(mask, encoded), expected)

    def test_base64_that_is_broken_before_its_last_letter_is_masked_up_to_there(self):
        mask = Mask()
        mask.add("s3cret/key")
        encoded = base64.b64encode(b"s3cret/key").decode()
        self.assertEqual(mask.text(encoded[:-3] + "\n" + encoded[-3:]), "***\n" + encoded[-3:])


unittest.main()
