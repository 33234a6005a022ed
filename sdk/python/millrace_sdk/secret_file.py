"""SecretFile: the encrypted file of secrets that `millrace secret` writes, opened with its key file.

What is changed on disk counts from the next find() on; while it cannot be read, a warning is logged once and what was read
before counts. libsodium does the work: by PyNaCl where that is installed, else the machine's own library. Threads: any.
Fails: SecretFileError, which names the file and never what is in it.
"""
import base64
import binascii
import ctypes
import hashlib
import logging
import os
import stat
import threading

from .hashes import load

HEAD, KEY_HEAD, VERSION = "millrace-secrets", "millrace-secrets-key", "1"
KEY_BYTES, NONCE, TAG, PADDING = 32, 24, 16, 1024
KEY_TEXT_MAX, TEXT_MAX = 4096, 1024 * 1024 // 2 * 3
logger = logging.getLogger("millrace_sdk")


class SecretFileError(ValueError):
    pass


def _opener():
    """A function of (sealed, what is authenticated beside it, nonce, key) that gives the plain bytes, or None."""
    try:
        from nacl.bindings import crypto_aead_xchacha20poly1305_ietf_decrypt as decrypt
        from nacl.exceptions import CryptoError
    except ImportError:
        pass
    else:
        def by_package(sealed, head, nonce, key):
            try:
                return decrypt(sealed, head, nonce, key)
            except CryptoError:
                return None
        return by_package
    try:
        library = load("libsodium.so.23", "sodium")
        function = library.crypto_aead_xchacha20poly1305_ietf_decrypt
    except (OSError, AttributeError):
        raise SecretFileError("an encrypted file of secrets needs libsodium: pip install millrace-sdk[secrets] (PyNaCl), or "
                              "Debian's libsodium23") from None
    library.sodium_init()
    text, size = ctypes.c_char_p, ctypes.c_ulonglong
    function.argtypes = [text, ctypes.c_void_p, ctypes.c_void_p, text, size, text, size, text, text]

    def by_library(sealed, head, nonce, key):
        out = ctypes.create_string_buffer(max(1, len(sealed) - TAG))
        if function(out, None, None, sealed, len(sealed), head, len(head), nonce, key) != 0:
            return None
        return out.raw[: len(sealed) - TAG]
    return by_library


def _read(path, most):
    try:
        with open(path, "rb") as file:
            data = file.read(most + 1)
    except OSError as e:
        way = "; `millrace secret init` makes a file of secrets and its key" if isinstance(e, FileNotFoundError) else ""
        raise SecretFileError(f"{path}: {os.strerror(e.errno)}{way}") from None
    if len(data) > most:
        raise SecretFileError(f"{path}: larger than such a file can be")
    return data


def _base64(data):
    try:
        return base64.b64decode(b"".join(data.split()), validate=True)
    except (binascii.Error, ValueError):
        return None


def read_key(path):
    try:
        mode = os.stat(path).st_mode
    except OSError:
        mode = 0  # reading says what is wrong
    if mode & (stat.S_IRWXO | stat.S_IWGRP):
        raise SecretFileError(f"{path}: the key of secrets is open to others on this machine: chmod 600 {path}")
    lines = [line.split() for line in _read(path, KEY_TEXT_MAX).splitlines()]
    lines = [words for words in lines if words and not words[0].startswith(b"#")]
    is_key = len(lines) == 2 and all(len(words) == 2 for words in lines) and lines[1][0] == b"key" and \
        lines[0] == [KEY_HEAD.encode(), VERSION.encode()]
    key = _base64(lines[1][1]) if is_key else None
    if key is None or len(key) != KEY_BYTES:
        raise SecretFileError(f"{path}: not a key of secrets; expected a file of `millrace secret init`")
    return key


def key_id(key):
    return hashlib.blake2b(key, digest_size=32, key=KEY_HEAD.encode()).hexdigest()[:16]


def read_secrets(path, key_path, opener=None):
    """{name: value}"""
    key = read_key(key_path)
    head, _, rest = _read(path, TEXT_MAX).partition(b"\n")
    words = head.decode("utf-8", "replace").split()
    if len(words) != 3 or words[0] != HEAD:
        raise SecretFileError(f"{path}: not a file of secrets (`millrace secret init` makes one)")
    if words[1] != VERSION:
        raise SecretFileError(f"{path}: written by a version of Millrace whose files of secrets are not known here")
    if words[2] != key_id(key):
        raise SecretFileError(f"{path}: its secrets are encrypted with another key: not {key_id(key)}")
    sealed = _base64(rest)
    if sealed is None or len(sealed) < NONCE + TAG:
        raise SecretFileError(f"{path}: damaged: it is cut short or was changed by hand")
    plain = (opener or _opener())(sealed[NONCE:], head, sealed[:NONCE], key)
    if plain is None:
        raise SecretFileError(f"{path}: damaged: what it holds is not what was written")
    try:
        return _entries(plain)
    except (ValueError, IndexError):
        raise SecretFileError(f"{path}: damaged: it does not hold secrets") from None


def _entries(padded):
    """A number of entries; each: length and text of the name, when it was set, length and text of the value."""
    end = len(padded.rstrip(b"\0")) - 1
    if end < 0 or padded[end] != 0x80 or len(padded) % PADDING or len(padded) - end > PADDING:
        raise ValueError
    at, out = 4, {}

    def take(size):
        nonlocal at
        if size > end - at:
            raise ValueError
        at += size
        return padded[at - size : at]

    for _ in range(int.from_bytes(padded[:4], "little")):
        name = take(take(1)[0]).decode()
        take(8)
        out[name] = take(int.from_bytes(take(4), "little")).decode()
    if at != end:
        raise ValueError
    return out


class SecretFile:
    def __init__(self, path, key_path=""):
        """A key file that is not named stands beside the file, as PATH.key."""
        self.path, self.key_path = path, key_path or path + ".key"
        self._opener, self._lock = _opener(), threading.Lock()
        self._marks = self._look()
        self._secrets = read_secrets(self.path, self.key_path, self._opener)

    def _look(self):
        def mark(path):
            try:
                info = os.stat(path)
            except OSError:
                return None
            return info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns
        return mark(self.path), mark(self.key_path)

    def find(self, name):
        """None: it is not there."""
        with self._lock:
            marks = self._look()
            if marks != self._marks:
                self._marks = marks
                try:
                    self._secrets = read_secrets(self.path, self.key_path, self._opener)
                except SecretFileError as e:
                    logger.warning("the file of secrets cannot be read; what it held before counts: %s", e)
            return self._secrets.get(name)
