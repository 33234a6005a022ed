"""Uploads: what attempts that have ended leave that is large, on its way to where values are kept: their output, and the
files that they have handed over. It goes in parts, each answered before the next, and only when all have come is the
attempt's end told, which names it. A port of worker/shell/uploads.cc, with its promises. Times are seconds, handed in.
Fails: as the attempt's outcome, where a value arrives damaged again and again.
"""
from . import wire
from .hashes import hash128
from .parts import PART_FIRST, Pace, part_check

UPLOAD_ABOVE = PART_FIRST  # smaller outputs travel within the report
AT_ONCE = 4
PART_AGAIN, PART_AGAIN_MAX = 2.0, 60.0
DAMAGES_MAX = 3
REASON_INVALID_OUTPUT = 8
NEVER = float("inf")


class _Upload:
    def __init__(self, attempt, outcome, large, link):
        self.attempt, self.outcome, self.link = attempt, outcome, link
        self.with_output, self.file = large, 0  # the output goes first; then the next of the files, or that goes now
        self.key, self.size, self.start = None, 0, 0
        self.sent, self.again, self.pause = 0.0, NEVER, PART_AGAIN
        self.resent = self.active = self.done = False
        self.damages, self.pace = 0, Pace()

    def read(self):
        if self.with_output:
            return self.outcome.output[self.start : self.start + self.pace.bytes]
        file = self.outcome.artifacts[self.file].file
        file.seek(self.start)
        return file.read(self.pace.bytes)


class Uploads:
    """`send(link, body)` sends a message."""

    def __init__(self, send):
        self.send, self.links, self.uploads = send, {}, []  # links: those that take parts, in the order they were found

    def takes_parts(self, link, takes):
        if takes:
            self.links[link] = True
        else:
            self.links.pop(link, None)

    def can_begin(self):  # from any thread
        return bool(self.links)

    def begin(self, now, attempt, outcome):
        """False: there is nothing to send ahead, or nobody to send it to; then the outcome has no artifacts."""
        large = outcome.items is None and isinstance(outcome.output, bytes) and len(outcome.output) > UPLOAD_ABOVE
        if not self.links or not (large or outcome.artifacts):
            _close(outcome)
            outcome.artifacts = []
            return False
        self.uploads.append(_Upload(attempt, outcome, large, next(iter(self.links))))
        self._start_next(now)
        return True

    def forget(self, attempt):
        """Whether it was here."""
        for upload in self.uploads:
            if upload.attempt == attempt:
                self.uploads.remove(upload)
                _close(upload.outcome)
                return True
        return False

    def _start_next(self, now):
        active = sum(upload.active for upload in self.uploads)
        for upload in self.uploads:
            if active >= AT_ONCE:
                return
            if not upload.active and not upload.done:
                upload.active = True
                self._next_value(now, upload)
                active += upload.active

    def _next_value(self, now, upload):
        upload.start = upload.damages = 0
        if upload.with_output:
            upload.key, upload.size = hash128(upload.outcome.output), len(upload.outcome.output)
        elif upload.file < len(upload.outcome.artifacts):
            artifact = upload.outcome.artifacts[upload.file]
            upload.key, upload.size = artifact.key, artifact.size
        else:
            return self._end(upload)
        self._send(now, upload)

    def _send(self, now, upload):
        data = upload.read()
        upload.sent, upload.again = now, now + upload.pause
        self.send(upload.link, wire.put_part(upload.key, upload.size, upload.attempt.run, upload.start,
                                             part_check(upload.key, upload.start, data), data))

    def taken(self, now, key, have, kept, damaged):
        for upload in self.uploads:
            if upload.active and upload.key == key:
                self._taken(now, upload, have, kept, damaged)
        self._start_next(now)

    def _taken(self, now, upload, have, kept, damaged):
        """What is told of a part may come late, and twice: only what is news leads to the next. Less than was told before is
        believed after a silence: what had come may have been lost meanwhile."""
        if kept:
            if upload.with_output:
                upload.outcome.output, upload.with_output = wire.Reference(*upload.key, upload.size), False
            else:
                upload.outcome.artifacts[upload.file].file.close()
                upload.file += 1
            return self._next_value(now, upload)
        if damaged:
            upload.damages += 1
            if upload.damages >= DAMAGES_MAX:
                what = "the output" if upload.with_output else "an artifact"
                _close(upload.outcome)
                upload.outcome.success, upload.outcome.reason, upload.outcome.output = False, REASON_INVALID_OUTPUT, None
                upload.outcome.artifacts, upload.outcome.traceback = [], ""
                upload.outcome.message = f"{what} of {upload.size} bytes could not be kept: it arrives damaged"
                return self._end(upload)
        back = have < upload.start and upload.resent
        if not damaged and have <= upload.start and not back:
            return
        upload.pace.came(now - upload.sent)
        upload.start, upload.pause, upload.resent = min(have, upload.size), PART_AGAIN, False
        self._send(now, upload)

    @staticmethod
    def _end(upload):
        upload.active, upload.done, upload.again = False, True, NEVER

    def pass_(self, now):
        for upload in self.uploads:
            if upload.again > now:
                continue
            upload.pause, upload.resent = min(upload.pause * 2, PART_AGAIN_MAX), True
            links = list(self.links)
            if links:  # of another, if there is one
                upload.link = links[(links.index(upload.link) + 1) % len(links)] if upload.link in self.links else links[0]
            self._send(now, upload)

    def next_deadline(self):
        return min((upload.again for upload in self.uploads), default=NEVER)

    def take_done(self):
        """[(attempt, outcome)] of those whose end is to be told."""
        done = [(upload.attempt, upload.outcome) for upload in self.uploads if upload.done]
        self.uploads = [upload for upload in self.uploads if not upload.done]
        return done


def _close(outcome):
    for artifact in outcome.artifacts:
        artifact.file.close()
