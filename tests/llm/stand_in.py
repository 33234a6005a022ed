#!/usr/bin/env python3
"""A stand-in for an OpenAI-compatible endpoint: it speaks as one, and thinks not at all. For tests and examples, offline.

    tests/llm/stand_in.py [--port 8089] [--key KEY] [--pause-ms 10]

POST /v1/chat/completions answers with the first sentences of what the user said, streamed word by word where that is
asked for, with usage; with a JSON schema, with the least that fits it. GET /v1/models lists the models it has. As a plain
web service, GET /get and POST /post answer with what they were asked, /status/N with that status, /slow after a second.
Models that misbehave on purpose, for tests:
    stand-in-429      the first request of each minute is told to come back in a second
    stand-in-500      fails
    stand-in-cut      breaks its stream off
    stand-in-drip     a byte a second
    stand-in-redirect sends the client to a metadata address
"""
import argparse
import json
import re
import threading
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

MODELS = ("stand-in", "stand-in-429", "stand-in-500", "stand-in-cut", "stand-in-drip", "stand-in-redirect")


def text_of(content):
    if isinstance(content, list):
        return " ".join(part.get("text", "") for part in content if isinstance(part, dict))
    return content or ""


def said_by_user(messages):
    return " ".join(text_of(m.get("content")) for m in messages if m.get("role") == "user").strip()


def answer(messages):
    sentences = re.split(r"(?<=[.!?])\s+", re.sub(r"\s+", " ", said_by_user(messages)))
    return "In short: " + " ".join(sentences[:2])[:400]


def least(schema):
    """The least value that fits a schema."""
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return schema["enum"][0]
    kind = schema.get("type", "object")
    kind = kind[0] if isinstance(kind, list) else kind
    if kind == "object":
        wanted = schema.get("required", list(schema.get("properties", {})))
        return {name: least(schema.get("properties", {}).get(name, {"type": "string"})) for name in wanted}
    if kind == "array":
        return [least(schema.get("items", {"type": "string"}))] * schema.get("minItems", 0)
    return {"string": "stand-in", "integer": schema.get("minimum", 0), "number": schema.get("minimum", 0),
            "boolean": True, "null": None}.get(kind, "stand-in")


def count(text):
    return len(text.split())


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    busy_until = {}  # address of a client -> when it may come back
    lock = threading.Lock()

    def log_message(self, *args):
        pass

    def reply(self, status, body, headers=()):
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def problem(self, status, message, headers=()):
        self.reply(status, {"error": {"message": message, "type": "stand_in"}}, headers)

    def echo(self, body=None):
        path = urllib.parse.urlsplit(self.path)
        answer = {"args": dict(urllib.parse.parse_qsl(path.query)), "headers": dict(self.headers)}
        if body is not None:
            try:
                answer["json"] = json.loads(body)
            except ValueError:
                answer["json"] = None
        return self.reply(200, answer)

    def do_GET(self):
        if self.path.startswith("/get"):
            return self.echo()
        if self.path.startswith("/slow"):
            time.sleep(1)
            return self.echo()
        if self.path.startswith("/status/"):
            return self.problem(int(self.path[8:]), "as you asked")
        if self.path.rstrip("/") != "/v1/models":
            return self.problem(404, "no such path: " + self.path)
        return self.reply(200, {"object": "list", "data": [{"id": name, "object": "model"} for name in MODELS]})

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path.startswith("/post"):
            return self.echo(body)
        if self.path != "/v1/chat/completions":
            return self.problem(404, "no such path: " + self.path)
        if self.server.key and self.headers.get("Authorization") != "Bearer " + self.server.key:
            return self.problem(401, "Incorrect API key provided: " + self.headers.get("Authorization", "none"))
        try:
            request = json.loads(body)
            model, messages = request["model"], request["messages"]
        except (ValueError, KeyError, TypeError):
            return self.problem(400, "a JSON object with 'model' and 'messages' is expected")
        if model not in MODELS:
            return self.problem(404, "the model '%s' does not exist" % model)
        if model == "stand-in-429" and self.is_too_soon():
            return self.problem(429, "too many requests", [("Retry-After", "1")])
        if model == "stand-in-500":
            return self.problem(500, "broken on purpose")
        if model == "stand-in-redirect":
            self.send_response(307)
            self.send_header("Location", "http://169.254.169.254/latest/meta-data/")
            self.send_header("Content-Length", "0")
            return self.end_headers()
        schema = (request.get("response_format") or {}).get("json_schema", {}).get("schema")
        text = json.dumps(least(schema)) if schema is not None else answer(messages)
        usage = {"prompt_tokens": sum(count(text_of(m.get("content"))) for m in messages), "completion_tokens": count(text)}
        usage["total_tokens"] = sum(usage.values())
        if request.get("stream"):
            return self.stream(model, text, usage)
        return self.reply(200, {"id": "stand-in", "object": "chat.completion", "model": model, "usage": usage, "choices": [
            {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}]})

    def is_too_soon(self):
        with self.lock:
            now = time.monotonic()
            until = self.busy_until.get(self.client_address[0])
            if until is not None and until <= now < until + 60:
                return False
            self.busy_until[self.client_address[0]] = now + 1
            return True

    def event(self, value):
        data = ("data: %s\n\n" % (value if isinstance(value, str) else json.dumps(value))).encode()
        if self.slow:
            for byte in data:
                self.wfile.write(bytes([byte]))
                self.wfile.flush()
                time.sleep(1)
        self.wfile.write(b"" if self.slow else data)
        self.wfile.flush()

    def stream(self, model, text, usage):
        self.slow = model == "stand-in-drip"
        self.close_connection = True
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        pieces = re.findall(r"\S+\s*", text)
        for number, piece in enumerate(pieces):
            if model == "stand-in-cut" and number == len(pieces) // 2:
                return
            self.event({"id": "stand-in", "object": "chat.completion.chunk", "model": model,
                        "choices": [{"index": 0, "delta": {"content": piece}, "finish_reason": None}]})
            time.sleep(self.server.pause)
        self.event({"model": model, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        self.event({"model": model, "choices": [], "usage": usage})
        self.event("[DONE]")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=8089, help="0: any that is free; printed either way")
    parser.add_argument("--key", default="", help="the key that requests must bear; default: any or none")
    parser.add_argument("--pause-ms", type=float, default=10, help="between two words of a stream")
    options = parser.parse_args()
    ThreadingHTTPServer.request_queue_size = 256
    server = ThreadingHTTPServer(("127.0.0.1", options.port), Handler)
    server.daemon_threads = True
    server.key = options.key
    server.pause = options.pause_ms / 1000
    print("http://127.0.0.1:%d/v1" % server.server_address[1], flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass


main()
