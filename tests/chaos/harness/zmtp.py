"""A ZMTP 3 client of our own (NULL mechanism, DEALER): it can say what no proper client would."""
import os
import socket

MORE, LONG, COMMAND = 1, 2, 4


class Dealer:
    def __init__(self, port, timeout=5.0):
        self.sock = socket.create_connection(("127.0.0.1", port), timeout)
        self.sock.settimeout(timeout)
        self.reader = self.sock.makefile("rb")
        self.sock.sendall(b"\xff" + b"\0" * 7 + b"\x01\x7f" + b"\x03\x00" + b"NULL".ljust(20, b"\0") + b"\0" * 32)
        if len(self.reader.read(64)) != 64:
            raise ConnectionError("no greeting")
        ready = b"\x05READY" + self._property(b"Socket-Type", b"DEALER") + self._property(b"Identity", os.urandom(8))
        self.frame(ready, COMMAND)
        flags, _ = self.read_frame()
        if not flags & COMMAND:
            raise ConnectionError("no READY")

    @staticmethod
    def _property(name, value):
        return bytes([len(name)]) + name + len(value).to_bytes(4, "big") + value

    def frame(self, body, flags=0):
        size = len(body).to_bytes(8, "big") if len(body) > 255 else bytes([len(body)])
        self.sock.sendall(bytes([flags | (LONG if len(body) > 255 else 0)]) + size + body)

    def send(self, *parts):
        for i, part in enumerate(parts):
            self.frame(part, MORE if i + 1 < len(parts) else 0)

    def read_frame(self):
        head = self.reader.read(1)
        if not head:
            raise ConnectionError("closed")
        size = self.reader.read(8 if head[0] & LONG else 1)
        return head[0], self.reader.read(int.from_bytes(size, "big"))

    def receive(self):
        """The parts of the next message; commands between are skipped."""
        parts = []
        while True:
            flags, body = self.read_frame()
            if flags & COMMAND:
                continue
            parts.append(body)
            if not flags & MORE:
                return parts

    def close(self):
        self.reader.close()
        self.sock.close()
