"""Secrets: where they are found, and how they are kept out of what a task says."""
import base64
import os
import re
import urllib.parse

from .expressions import dump
from .filters import parse_json

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
SECRET_MAX = 64 * 1024
PREFIX = "MILLRACE_SECRET_"


class SecretError(LookupError):
    pass


class Secrets:
    """From the variable MILLRACE_SECRET_<NAME>, else a file <NAME> of one of the directories, else the encrypted file;
    read anew each time."""

    def __init__(self, directories=(), file=None):
        self.directories, self.file = list(directories), file  # file: a SecretFile

    def find(self, name):
        if not NAME.fullmatch(name):
            raise SecretError(f"the secret '{name[:64]}' has a name that no secret can have")
        value, looked = os.environ.get(PREFIX + name), [PREFIX + name]
        for directory in self.directories if value is None else []:
            path = os.path.join(directory, name)
            looked.append(path)
            try:
                with open(path, "rb") as file:
                    value = file.read(SECRET_MAX + 2).decode()
            except (FileNotFoundError, NotADirectoryError):
                continue
            except (OSError, UnicodeDecodeError) as e:
                raise SecretError(f"the secret '{name}' cannot be read from {path}: {type(e).__name__}") from None
            value = value[:-1] if value.endswith("\n") else value
            break
        if value is None and self.file is not None:
            looked.append(self.file.path)
            value = self.file.find(name)
        if value is None:
            raise SecretError(f"the secret '{name}' is not known to this worker (looked for: {', '.join(looked)})")
        if not value or len(value) > SECRET_MAX or "\0" in value:
            raise SecretError(f"the secret '{name}' is empty, too long or no text")
        return value


LETTERS = {c: i for i, c in enumerate("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")} | {"-": 62, "_": 63}


class Word:
    """Base64 shares its first and last letter with what stands before and after a secret: only some bits of them are its;
    the free ones may be anything."""

    def __init__(self, text, head_bits=0, tail_bits=0):
        self.text, self.head_bits, self.tail_bits = text, head_bits, tail_bits
        self.core = text[head_bits > 0:len(text) - (tail_bits > 0)]

    def fits(self, at, letter):
        bits = 0x3F
        if at == 0:
            bits &= 0x3F >> self.head_bits
        if at == len(self.text) - 1:
            bits &= 0x3F << self.tail_bits
        if bits == 0x3F:
            return self.text[at] == letter
        return letter in LETTERS and not (LETTERS[self.text[at]] ^ LETTERS[letter]) & bits

    def begins_at_end_of(self, text, length):
        return all(self.fits(at, letter) for at, letter in enumerate(text[len(text) - length:]))


class Mask:
    """Every occurrence of a secret, as it is, JSON-quoted, percent-encoded or base64-encoded, becomes `***`. A stream is
    masked across the borders of its pieces: what may begin a secret is held back until the next piece or flush()."""

    def __init__(self):
        self.words, self.held = [], {}

    def add(self, secret):
        raw = secret.encode()
        forms = {secret, dump(secret)[1:-1], urllib.parse.quote(secret, safe=""), urllib.parse.quote_plus(secret)}
        words = {(form, 0, 0) for form in forms if form} | {(w.text, w.head_bits, w.tail_bits) for w in self.words}
        if len(raw) >= 6:  # of a longer text, base64 shows a secret in three ways
            for encode in (base64.b64encode, base64.urlsafe_b64encode):
                for shift in range(3):
                    encoded = encode(b"x" * shift + raw).decode().rstrip("=")
                    words.add((encoded[shift:], 2 * shift, (0, 4, 2)[(shift + len(raw)) % 3]))
        self.words = [Word(*word) for word in sorted(words, key=lambda w: (-len(w[0]), w))]

    def text(self, text, more=False):
        """`more`: may come, and with it the letter that a word shares with what follows."""
        for word in self.words:
            at = text.find(word.core)
            while at >= 0:
                end = at + len(word.core)
                if more and word.tail_bits and end == len(text):
                    break
                if word.tail_bits and end < len(text) and word.fits(len(word.text) - 1, text[end]):
                    end += 1
                if word.head_bits and at > 0 and word.fits(0, text[at - 1]):
                    at -= 1
                text = text[:at] + "***" + text[end:]
                at = text.find(word.core, at + 3)
        return text

    def value(self, value):
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list):
            return [self.value(one) for one in value]
        if isinstance(value, dict):
            return {self.text(k): self.value(v) for k, v in value.items()}
        if value is None or isinstance(value, bool):
            return value
        shown = dump(value)
        return value if self.text(shown) == shown else "***"

    def json(self, text):
        return dump(self.value(parse_json(text)))

    def stream(self, which, piece):
        text = self.text(self.held.pop(which, "") + piece, more=True)
        keep = 0
        for word in self.words:
            for length in range(min(len(word.text) - 1, len(text)), keep, -1):
                if word.begins_at_end_of(text, length):
                    keep = length
                    break
        if keep:
            self.held[which] = text[-keep:]
        return text[: len(text) - keep]

    def flush(self, which):
        return self.text(self.held.pop(which, ""))
