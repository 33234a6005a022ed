"""SDK workers against a real coordinator and a real Redis: large results and files go in parts and come back as they were,
and secrets of the encrypted file are read when they are needed and stay unseen. Argument: where the programs are."""
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import unittest

HERE = pathlib.Path(__file__).resolve().parent
BIN = pathlib.Path(sys.argv.pop(1))
NODE = HERE.parents[1] / "sdk/node"

MAKE = """
executors: [make, count]
nodes:
  make: {executor: make, with: {size: 5000000}}
  count: {executor: count, with: {text: "{{ nodes.make.text }}"}}
outputs: {counted: "{{ nodes.count }}"}
"""
ROWS = """
executors: [order]
nodes:
  rows:
    foreach: {from: 0, to: 4000}
    executor: python
    isolation: none
    script: "output = {'n': index, 'text': 'x' * 1500}"
  seen: {executor: order, with: {rows: "{{ nodes.rows }}"}}
outputs: {seen: "{{ nodes.seen }}", length: "{{ nodes.rows | length }}"}
"""
KEY = """
executors: [measure_key]
nodes:
  m: {executor: measure_key, with: {key: "{{ secrets.API_KEY }}"}}
outputs: {m: "{{ nodes.m }}"}
"""


def interpreter():
    for python in (sys.executable, "/usr/bin/python3"):
        if subprocess.run([python, "-c", "import zmq, google.protobuf"], stderr=subprocess.DEVNULL).returncode == 0:
            return python
    return None


def free_port():
    with socket.socket() as any_socket:
        any_socket.bind(("127.0.0.1", 0))
        return any_socket.getsockname()[1]


class Values:
    def setUp(self):
        self.scratch = pathlib.Path(tempfile.mkdtemp(prefix="millrace-sdk-test-"))
        self.addCleanup(shutil.rmtree, self.scratch, ignore_errors=True)
        redis = self.scratch / "redis.sock"
        self.start("redis-server", "--port", "0", "--unixsocket", redis, "--save", "", "--appendonly", "no")
        self.wait_for(redis.exists)
        self.address = f"tcp://127.0.0.1:{free_port()}"
        self.start(BIN / "millrace-coordinator", "--redis", f"unix://{redis}", "--listen", self.address,
                   "--events", f"tcp://127.0.0.1:{free_port()}")

    def start(self, *words, **variables):
        log = open(self.scratch / f"{pathlib.Path(words[0]).name}.log", "ab")
        process = subprocess.Popen([str(word) for word in words], stdout=log, stderr=log,
                                   env={**os.environ, **variables})
        log.close()

        def end():
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.addCleanup(end)

    def wait_for(self, holds):
        until = time.monotonic() + 30
        while not holds():
            self.assertLess(time.monotonic(), until, "it does not come")
            time.sleep(0.02)

    def cli(self, *words, **more):
        done = subprocess.run([BIN / "millrace", *map(str, words)], capture_output=True, text=True,
                              env={**os.environ, "MILLRACE_COORDINATOR": self.address}, **more)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr + self.logs())
        return done.stdout

    def logs(self):
        return "\n".join(file.read_text(errors="replace") for file in self.scratch.glob("*.log"))

    def run_flow(self, text):
        file = self.scratch / "flow.yaml"
        file.write_text(text)
        ended = json.loads(self.cli("submit", file, "--wait", "-o", "json", "--no-progress"))
        return ended, ended["outputs"]

    def test_a_large_result_and_files_go_in_parts_and_come_back_as_they_were(self):
        self.start(*self.worker(), "p1", MILLRACE_COORDINATOR=self.address)
        _, outputs = self.run_flow(MAKE)
        self.assertEqual(outputs, {"counted": {"length": 5_000_000, "sevens": 500_000}})
        self.cli("artifacts", "@latest", "--download", self.scratch / "out")
        files = {file.name: file.read_bytes() for file in (self.scratch / "out/make").iterdir()}
        self.assertEqual(files, {"digits.bin": b"0123456789" * 500_000, "nothing": b"", "words.txt": b"a few words\n"})

    def test_the_large_output_of_a_fan_out_is_a_list_in_order(self):
        self.start(*self.worker(), "p1", MILLRACE_COORDINATOR=self.address)
        self.start(BIN / "millrace-worker", "--coordinator", self.address)
        _, outputs = self.run_flow(ROWS)
        self.assertEqual(outputs, {"length": 4000, "seen": {"count": 4000, "ordered": True, "last": 3999, "characters": 6_000_000,
                                                            "same": True}})

    def test_secrets_of_the_encrypted_file_are_read_when_they_are_needed_and_stay_unseen(self):
        secrets = self.scratch / "secrets"
        self.cli("secret", "init", "--secrets-file", secrets)
        seen = ""
        for value in ("hush-hush-12345", "another-one"):  # the second one while the worker runs
            self.cli("secret", "set", "API_KEY", "--secrets-file", secrets, input=value)
            if not seen:
                self.start(*self.worker(), "p1", MILLRACE_COORDINATOR=self.address, MILLRACE_SECRETS_FILE=str(secrets))
            ended, outputs = self.run_flow(KEY)
            self.assertEqual(outputs, {"m": {"length": len(value), "key": "***", "same": True}})
            seen += json.dumps(ended) + self.cli("logs", "@latest") + self.logs()
            self.assertNotIn(value, seen)
        self.assertIn("the key is ***", seen)


class Python(Values, unittest.TestCase):
    def worker(self):
        return interpreter(), HERE / "worker.py"


class Node(Values, unittest.TestCase):
    def worker(self):
        return "node", HERE / "worker.js"


if interpreter() is None:
    del Python
if shutil.which("node") is None or not (NODE / "node_modules/hash-wasm").exists():
    del Node

if __name__ == "__main__":
    unittest.main()
