"""The chaos proxy: stands between two programs and does to their traffic what a bad network does, and worse.

`Proxy(port, zmtp=True)` knows enough of ZMTP 3 (NULL mechanism) to see whole ZeroMQ messages: it delays, drops, repeats
and overtakes them. With zmtp=False it carries bytes: delays, throttles, cuts. Knobs may be turned at any time; `heal()`
turns all of them back. All connections of all proxies live in one thread; all choices come from the seed.
"""
import asyncio
import random
import struct
import threading
import time

MORE, LONG, COMMAND = 1, 2, 4
GREETING = 64

_loop = None


def loop():
    global _loop
    if _loop is None:
        _loop = asyncio.new_event_loop()
        threading.Thread(target=_loop.run_forever, daemon=True).start()
    return _loop


class Knobs:
    """Of one direction. Chances are per message; delays in seconds, a range."""

    def __init__(self):
        self.delay = (0.0, 0.0)  # each message waits that long; order is kept
        self.duplicate = 0.0
        self.overtake = 0.0  # a message waits until others have passed it
        self.drop = 0.0
        self.bytes_per_second = 0  # 0: as fast as it goes
        self.frozen = False  # nothing passes, connections stay: a half-open link
        self.frozen_replicas = False  # likewise, on the links of Redis replicas alone


class Proxy:
    def __init__(self, to_port, zmtp=True, seed=0, port=0):
        self.to_port, self.zmtp, self.rng = to_port, zmtp, random.Random(seed)
        self.forth, self.back = Knobs(), Knobs()  # to the server, from the server
        self.refusing, self.links, self.done = False, set(), 0  # done: messages that were tampered with
        self.carried = 0
        self.server = self._call(asyncio.start_server(self._accept, "127.0.0.1", port))
        self.port = self.server.sockets[0].getsockname()[1]

    @staticmethod
    def _call(coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, loop()).result(10)

    # ------------------------------------------------------------ what a test does

    def freeze(self, forth=True, back=True):
        """A partition: nothing passes in these directions, nobody is told."""
        self.forth.frozen, self.back.frozen = forth, back
        self.done += 1

    def freeze_replicas(self):
        """What a Redis primary writes does not reach its replicas; everybody else goes on."""
        self.forth.frozen_replicas = self.back.frozen_replicas = True
        self.done += 1

    def reset_all(self):
        """Every connection is reset at once; new ones are welcome."""
        self._call(self._reset())
        self.done += 1

    def cut(self):
        """Every connection is reset and no new one succeeds until heal()."""
        self.refusing = True
        self.reset_all()

    def heal(self):
        self.refusing = False
        self.forth, self.back = Knobs(), Knobs()

    def both(self, **knobs):
        for side in (self.forth, self.back):
            for name, value in knobs.items():
                setattr(side, name, value)

    def close(self):
        loop().call_soon_threadsafe(self.server.close)
        try:
            self._call(self._reset())
        except (OSError, asyncio.TimeoutError):
            pass

    # ------------------------------------------------------------ the inside

    async def _reset(self):
        for writer in list(self.links):
            sock = writer.get_extra_info("socket")
            if sock is not None:
                sock.setsockopt(1, 13, struct.pack("ii", 1, 0))  # SO_LINGER 0: a reset, not an orderly end
            writer.transport.abort()

    async def _accept(self, reader, writer):
        if self.refusing:
            writer.transport.abort()
            return
        try:
            to_reader, to_writer = await asyncio.open_connection("127.0.0.1", self.to_port)
        except OSError:
            writer.transport.abort()
            return
        self.links |= {writer, to_writer}
        link = {"replica": False}
        try:
            await asyncio.wait([asyncio.ensure_future(self._carry(reader, to_writer, "forth", link)),
                                asyncio.ensure_future(self._carry(to_reader, writer, "back", link))],
                               return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.links -= {writer, to_writer}
            writer.transport.abort()
            to_writer.transport.abort()

    async def _carry(self, reader, writer, side, link):
        """Reads messages and schedules them; a second task writes them when they are due."""
        due, wake = [], asyncio.Event()
        sender = asyncio.ensure_future(self._send(writer, side, due, wake, link))
        try:
            if self.zmtp:
                left = GREETING  # each side waits for the other's first bytes: they pass as they come
                while left:
                    part = await reader.read(left)
                    if not part:
                        return
                    left -= len(part)
                    writer.write(part)
            last, sequence, ready = 0.0, 0, False
            while not sender.done():
                data, is_message = await self._read(reader)
                if not self.zmtp and side == "forth" and b"PSYNC" in data:
                    link["replica"] = True
                knobs, now = getattr(self, side), time.monotonic()
                copies = 1
                when = max(last, now + self.rng.uniform(*knobs.delay))
                if is_message and ready:
                    if self.rng.random() < knobs.drop:
                        self.done += 1
                        continue
                    if self.rng.random() < knobs.duplicate:
                        self.done += 1
                        copies = 2
                    if self.rng.random() < knobs.overtake:
                        self.done += 1
                        when = now + self.rng.uniform(0.005, 0.15)  # those behind it do not wait for it
                    else:
                        last = when
                else:
                    last = when
                ready = ready or is_message
                for _ in range(copies):
                    due.append((when, sequence, data))
                    sequence += 1
                due.sort()
                wake.set()
                while len(due) > 1000:
                    await asyncio.sleep(0.01)
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            sender.cancel()

    async def _read(self, reader):
        """One whole message (all its frames) or one command; without ZMTP whatever has come."""
        if not self.zmtp:
            data = await reader.read(65536)
            if not data:
                raise asyncio.IncompleteReadError(b"", None)
            return data, False
        parts = []
        while True:
            flags = (await reader.readexactly(1))[0]
            size = await reader.readexactly(8 if flags & LONG else 1)
            body = await reader.readexactly(int.from_bytes(size, "big"))
            parts += [bytes([flags]), size, body]
            if not flags & MORE:
                return b"".join(parts), not flags & COMMAND

    async def _send(self, writer, side, due, wake, link):
        try:
            while True:
                if not due:
                    wake.clear()
                    await wake.wait()
                    continue
                knobs = getattr(self, side)
                if knobs.frozen or knobs.frozen_replicas and link["replica"]:
                    await asyncio.sleep(0.01)
                    continue
                wait = due[0][0] - time.monotonic()
                if wait > 0:
                    wake.clear()
                    try:
                        await asyncio.wait_for(wake.wait(), wait)
                    except asyncio.TimeoutError:
                        pass
                    continue
                _, _, data = due.pop(0)
                self.carried += 1
                rate = getattr(self, side).bytes_per_second
                if rate:
                    for at in range(0, len(data), 4096):
                        part = data[at:at + 4096]
                        writer.write(part)
                        await asyncio.sleep(len(part) / rate)
                else:
                    writer.write(data)
                await writer.drain()
        except OSError:
            writer.transport.abort()
