"""A Redis client: RESP2 over TCP or a unix socket, blocking, standard library only.

Fails: RedisError for an error reply, OSError where the connection broke; the caller connects again.
"""
import socket


class RedisError(Exception):
    pass


class Redis:
    def __init__(self, address, timeout=10.0):
        """`address`: a path, or (host, port)."""
        self.address, self.timeout = address, timeout
        self.sock, self.reader = None, None

    def connect(self):
        family = socket.AF_UNIX if isinstance(self.address, str) else socket.AF_INET
        self.sock = socket.socket(family, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.address)
        self.reader = self.sock.makefile("rb")

    def close(self):
        if self.reader:
            self.reader.close()
        if self.sock:
            self.sock.close()
        self.sock = self.reader = None

    def __call__(self, *words):
        """One command; the reply as int, bytes, None, or a list of these. A connection that was closed meanwhile (as a
        server does that changes its role) is made again, once."""
        try:
            return self._once(words)
        except ConnectionError:
            return self._once(words)

    def _once(self, words):
        try:
            if self.sock is None:
                self.connect()
            self._write(words)
            return self._read()
        except OSError:
            self.close()
            raise

    def _write(self, words):
        out = [b"*%d\r\n" % len(words)]
        for word in words:
            word = word if isinstance(word, bytes) else str(word).encode()
            out.append(b"$%d\r\n%s\r\n" % (len(word), word))
        self.sock.sendall(b"".join(out))

    def _line(self):
        line = self.reader.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionError("redis closed the connection")
        return line[:-2]

    def _read(self):
        line = self._line()
        kind, rest = line[:1], line[1:]
        if kind == b"+":
            return rest
        if kind == b"-":
            raise RedisError(rest.decode(errors="replace"))
        if kind == b":":
            return int(rest)
        if kind == b"$":
            size = int(rest)
            if size < 0:
                return None
            data = self.reader.read(size + 2)
            if len(data) != size + 2:
                raise ConnectionError("redis closed the connection")
            return data[:-2]
        if kind == b"*":
            count = int(rest)
            if count < 0:
                return None
            items = []
            for _ in range(count):  # an error within an array is a value of it
                try:
                    items.append(self._read())
                except RedisError as error:
                    items.append(error)
            return items
        raise ConnectionError(f"not RESP: {line[:40]!r}")


def pairs(flat):
    return dict(zip(flat[::2], flat[1::2]))
