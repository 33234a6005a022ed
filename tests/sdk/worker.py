"""The worker that tests/process/sdk_test.cc plays with: NAME, then settings by MILLRACE_* variables."""
import logging
import os
import pathlib
import shutil
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "sdk/python"))

from millrace_sdk import Cancelled, Worker  # noqa: E402

logging.basicConfig(level=logging.INFO)
worker = Worker(name=sys.argv[1], slots=2, drain_grace=20)


def mark(path, word):
    with open(path, "a", encoding="utf-8") as file:
        file.write(f"{word} {os.getpid()}\n")


@worker.task("twice")
def twice(n):
    return 2 * n


@worker.task("slow")
def slow(task, marks, seconds):
    mark(marks, "begun")
    try:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            time.sleep(0.02)
            task.progress(seconds - (until - time.monotonic()), seconds)
    except Cancelled:
        mark(marks, "cancelled")
        raise
    mark(marks, "done")
    return {"worker": worker.name, "attempt": task.attempt}


@worker.task("deaf")
def deaf(seconds):
    time.sleep(seconds)  # one call, which nothing interrupts


@worker.task("measure")
def measure(task, text, key):
    print("the key is", key)
    print("from", task.inputs.get("who"), file=sys.stderr)
    return {"length": len(text), "first": task.output("big")["stdout"][0], "key": key, "run": task.run}


@worker.task("each")
def each(task, n):
    print("item", task.index)
    if task.item == "slow":
        time.sleep(0.02)
        while True:
            time.sleep(0.02)
    if task.item == "bad":
        raise ValueError("no good: " + task.item)
    return {"n": n, "item": task.item, "index": task.index, "node": task.node}


@worker.task("make")
def make(task, size):
    path = pathlib.Path(tempfile.mkdtemp(prefix="millrace-sdk-")) / "words.txt"
    path.write_text("a few words\n")
    task.artifact(path)
    task.artifact("digits.bin", b"0123456789" * 500_000)
    task.artifact("nothing", "")
    shutil.rmtree(path.parent)
    return {"size": size, "text": ("0123456789" * (size // 10 + 1))[:size]}


@worker.task("count")
def count(text):
    return {"length": len(text), "sevens": text.count("7")}


@worker.task("order")
def order(task, rows):
    return {"count": len(rows), "ordered": [row["n"] for row in rows] == list(range(len(rows))), "last": rows[-1]["n"],
            "characters": sum(len(row["text"]) for row in rows), "same": task.output("rows") == rows}


@worker.task("file")
def file(task, name):
    task.artifact(name, "x", name=name)


@worker.task("measure_key")
def measure_key(task, key):
    task.log("the key is", key)
    return {"length": len(key), "key": key, "same": task.secret("API_KEY") == key}


@worker.task("broken")
def broken(how):
    if how == "nan":
        return {"a": [1.0, float("nan")]}
    raise ValueError("no good: " + how)


worker.run()
