"""Links: the sockets to coordinators. A Link carries messages; Beats sends the heartbeats from a thread of its own over
connections of their own, so that they never queue behind bulk data or wait for a task that keeps the interpreter."""
import logging
import os
import re
import secrets
import threading
import time

import zmq
from zmq.utils.monitor import parse_monitor_message

from . import wire

REOPEN_AFTER = 10.0  # without an answer to a Hello
BEAT_EVERY = 1.0
OUTBOX_MAX = 64 * 1024 * 1024
OUTBOX_LOGS_MAX = 4 * 1024 * 1024
FAILED = {"HANDSHAKE_FAILED_AUTH": "the coordinator does not let our key in",
          "HANDSHAKE_FAILED_PROTOCOL": "the coordinator speaks another security protocol, or its key is another",
          "HANDSHAKE_FAILED_NO_DETAIL": "the handshake failed"}
logger = logging.getLogger("millrace_sdk")


class KeyError_(ValueError):
    """A key file that is none."""


def read_keys(path):
    """(public, secret) of a file of `millrace keys generate`; the secret is None in a .pub file."""
    try:
        with open(path, encoding="utf-8") as file:
            words = dict(line.split(None, 1) for line in file.read(4096).splitlines()
                         if line.strip() and not line.startswith("#"))
    except (OSError, ValueError) as e:
        raise KeyError_(f"{path}: not a key file ({type(e).__name__}); expected one of `millrace keys generate`") from None
    if words.get("millrace-key", "").strip() != "1" or "public" not in words:
        raise KeyError_(f"{path}: not a key file; expected one of `millrace keys generate`")
    return words["public"].strip(), words["secret"].strip() if "secret" in words else None


class Curve:
    """Our keys, and that of the coordinators: a file or the key itself."""

    def __init__(self, key_file, server):
        self.public, self.secret = read_keys(key_file)
        if self.secret is None:
            raise KeyError_(f"{key_file}: it holds no secret key; expected the .key file, not the .pub file")
        is_key = re.fullmatch(r"[0-9a-zA-Z.\-:+=^!/*?&<>()\[\]{}@%$#]{40}", server) and not os.path.exists(server)
        self.server = server if is_key else read_keys(server)[0]

    def apply(self, socket):
        socket.curve_publickey, socket.curve_secretkey = self.public.encode(), self.secret.encode()
        socket.curve_serverkey = self.server.encode()


def _dealer(context, endpoint, curve, hwm):
    socket = context.socket(zmq.DEALER)
    socket.linger, socket.sndhwm, socket.rcvhwm = 500, hwm, 0
    socket.setsockopt(zmq.MAXMSGSIZE, wire.FRAME_MAX)
    socket.setsockopt(zmq.IDENTITY, b"s" + secrets.token_bytes(15))
    socket.setsockopt(zmq.TCP_KEEPALIVE, 1)
    if curve is not None:
        curve.apply(socket)
    return socket


class Link:
    """The worker's thread owns it."""

    def __init__(self, context, endpoint, curve):
        self.context, self.endpoint, self.curve = context, endpoint, curve
        self.socket = self.monitor = None
        self.fault = None
        self.open()

    def open(self):
        self.close()
        self.socket = _dealer(self.context, self.endpoint, self.curve, 256)
        self.monitor = self.socket.get_monitor_socket(zmq.Event.HANDSHAKE_FAILED_AUTH | zmq.Event.HANDSHAKE_SUCCEEDED |
                                                      zmq.Event.HANDSHAKE_FAILED_PROTOCOL |
                                                      zmq.Event.HANDSHAKE_FAILED_NO_DETAIL)
        self.specs, self.outbox, self.outbox_bytes = wire.SpecCache(), [], 0
        self.out_of_step, self.hello_since = False, None
        self.socket.connect(self.endpoint)

    def close(self):
        if self.socket is not None:
            self.socket.disable_monitor()
            self.monitor.close(0)
            self.socket.close()
            self.socket = None

    def push(self, body):
        try:
            self.socket.send_multipart([wire.ENVELOPE, body], zmq.DONTWAIT)
            return True
        except zmq.Again:
            return False

    def send(self, now, body, is_hello=False, may_drop=False):
        if is_hello and self.hello_since is None:
            self.hello_since = now
        if len(body) > wire.FRAME_MAX:
            logger.error("message of %d bytes is too large to send to %s", len(body), self.endpoint)
            return
        if not self.outbox and self.push(body):
            return
        if self.outbox and self.outbox_bytes + len(body) > (OUTBOX_LOGS_MAX if may_drop else OUTBOX_MAX):
            self.out_of_step = self.out_of_step or not may_drop
            return
        self.outbox.append(body)
        self.outbox_bytes += len(body)

    def pass_(self, now):
        """True: it connects anew."""
        while self.outbox and self.push(self.outbox[0]):
            self.outbox_bytes -= len(self.outbox.pop(0))
        while self.monitor.poll(0):
            event = zmq.Event(parse_monitor_message(self.monitor.recv_multipart())["event"])
            fault = FAILED.get(event.name)
            if fault and fault != self.fault:
                logger.warning("%s: %s", self.endpoint, fault)
            self.fault = fault
        if self.hello_since is None or now < self.hello_since + REOPEN_AFTER:
            return False
        logger.warning("coordinator %s does not answer, connecting again", self.endpoint)
        self.open()
        return True

    def receive(self, most=256):
        """[(kind, value)]"""
        out = []
        for _ in range(most):
            try:
                parts = self.socket.recv_multipart(zmq.DONTWAIT)
            except zmq.Again:
                break
            self.hello_since = None
            try:
                out.append(wire.decode(wire.open_frame(parts), self.specs))
            except wire.WireError as e:
                self.out_of_step = self.out_of_step or e.unknown_spec
                if not e.unknown_spec:
                    logger.warning("message of %s not understood: %s", self.endpoint, e)
        if not self.outbox and self.out_of_step:
            self.out_of_step = False
            out.append(("say_hello", None))
        return out


class Beats:
    """`wake` is called, from its thread, when a coordinator wants a Hello."""

    def __init__(self, context, curve, incarnation, wake):
        self.context, self.curve, self.incarnation, self.wake = context, curve, incarnation, wake
        self.lock, self.wanted, self.hello_wanted, self.serial = threading.Lock(), {}, set(), 0
        self.running = self.queued = 0
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self._run, name="millrace-beats", daemon=True)

    def start(self):
        self.thread.start()

    def stop(self):
        self.stopping.set()
        self.thread.join(timeout=3)

    def open(self, link, endpoint):
        with self.lock:
            self.serial += 1
            self.wanted[link] = (endpoint, self.serial)

    def close(self, link):
        with self.lock:
            self.wanted.pop(link, None)

    def take_hello(self, link):
        with self.lock:
            if link not in self.hello_wanted:
                return False
            self.hello_wanted.discard(link)
            return True

    def _run(self):
        lines = {}  # link -> (wanted, socket)
        while not self.stopping.is_set():
            begun = time.monotonic()
            with self.lock:
                wanted = dict(self.wanted)
            for link in [link for link, (to, _) in lines.items() if wanted.get(link) != to]:
                lines.pop(link)[1].close(0)
            for link, to in wanted.items():
                if link not in lines:
                    socket = _dealer(self.context, to[0], self.curve, 4)
                    socket.connect(to[0])
                    lines[link] = (to, socket)
            body = wire.beat(self.incarnation, self.running, self.queued)
            for _, socket in lines.values():
                try:
                    socket.send_multipart([wire.ENVELOPE, body], zmq.DONTWAIT)
                except zmq.Again:
                    pass
            self._listen(lines, begun + BEAT_EVERY)
        for _, socket in lines.values():
            socket.close(0)

    def _listen(self, lines, until):
        poller = zmq.Poller()
        sockets = {socket: link for link, (_, socket) in lines.items()}
        for socket in sockets:
            poller.register(socket, zmq.POLLIN)
        while not self.stopping.is_set() and (left := until - time.monotonic()) > 0:
            for socket, _ in poller.poll(min(left, 0.2) * 1000):
                try:
                    kind, _ = wire.decode(wire.open_frame(socket.recv_multipart(zmq.DONTWAIT)), wire.SpecCache())
                except (zmq.Again, wire.WireError):
                    continue
                if kind in ("say_hello", "refused"):
                    with self.lock:
                        self.hello_wanted.add(sockets[socket])
                    self.wake()
