"""Attachments: the files that one task hands over, until they are sent away. Their bytes stand in files without a name in
the temporary directory, not in memory. A port of worker/shell/attachments.cc. Threads: those of its task, which keeps a
lock. Fails: ValueError that says what is wrong, for the task's author; the file it is about is forgotten.
"""
import io
import mimetypes
import os
import tempfile

from .hashes import Sum128

ARTIFACTS_MAX, ARTIFACT_MAX, TOGETHER_MAX = 64, 256 * 1024 * 1024, 1024 * 1024 * 1024
NAME_MAX, TYPE_MAX = 200, 100
PIECE = 1024 * 1024


class Artifact:
    """`key`: (high, low) of its content hash."""

    def __init__(self, name, type_, file, key, size):
        self.name, self.type, self.file, self.key, self.size = name, type_, file, key, size


def name_problem(name):
    data = name.encode("utf-8", "surrogatepass")
    if not 0 < len(data) <= NAME_MAX:
        return f"the name of an artifact has 1 to {NAME_MAX} bytes"
    if name in (".", ".."):
        return f'an artifact cannot be named "{name}"'
    if "/" in name or "\\" in name:
        return "the name of an artifact is that of a file, without a path"
    if any(byte < 0x20 or byte == 0x7F for byte in data):
        return "the name of an artifact has no control characters"
    return "the name of an artifact is UTF-8" if data != name.encode("utf-8", "replace") else ""


def type_problem(type_):
    if len(type_) > TYPE_MAX:
        return f"the content type of an artifact has at most {TYPE_MAX} bytes"
    return "" if all(0x20 <= ord(c) <= 0x7E for c in type_) else "the content type of an artifact is ASCII, like text/plain"


class Attachments:
    def __init__(self):
        self.held = {}  # by name

    def add(self, path_or_name, data, name, content_type):
        """The file at a path, or `data` (text, bytes or an open binary file) under a name."""
        path = os.fspath(path_or_name)
        name = os.path.basename(path) if name is None else str(name)
        if content_type is None:
            content_type = mimetypes.guess_type(name)[0] or ("text/plain" if isinstance(data, str) else "")
        problem = name_problem(name) or type_problem(content_type)
        if problem:
            raise ValueError(problem)
        if name not in self.held and len(self.held) >= ARTIFACTS_MAX:
            raise ValueError(f"a task hands over at most {ARTIFACTS_MAX} artifacts")
        if data is None:
            with open(path, "rb") as file:
                return self._keep(name, content_type, file.read)
        if isinstance(data, str):
            data = data.encode("utf-8")
        return self._keep(name, content_type, data.read if hasattr(data, "read") else io.BytesIO(data).read)

    def _keep(self, name, content_type, read):
        others = sum(one.size for one in self.held.values() if one.name != name)
        size, sum_, file = 0, Sum128(), tempfile.TemporaryFile(prefix="millrace-artifact-")
        try:
            while piece := read(PIECE):
                size += len(piece)
                if size > ARTIFACT_MAX:
                    raise ValueError(f"the artifact '{name}' is larger than {ARTIFACT_MAX >> 20} MiB")
                if others + size > TOGETHER_MAX:
                    raise ValueError(f"the artifacts of the task are larger than {TOGETHER_MAX >> 20} MiB together")
                file.write(piece)
                sum_.update(piece)
            file.flush()
        except BaseException:
            file.close()
            raise
        if name in self.held:
            self.held[name].file.close()
        self.held[name] = Artifact(name, content_type, file, sum_.pair(), size)

    def take(self):
        """By name; they are the caller's now."""
        taken, self.held = [self.held[name] for name in sorted(self.held, key=str.encode)], {}
        return taken

    def forget(self):
        for one in self.take():
            one.file.close()
