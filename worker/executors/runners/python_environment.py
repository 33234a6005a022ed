"""Makes the virtual environment of one set of requirements, in a process of its own that the worker starts.

The order comes on standard input as JSON: `directory` (where it becomes), `key` (what it is made of, as text), `requirements`
(lines for pip), `find_links`, `no_index`, `environments_max` (beside each other). What pip says goes to standard output.
The environment is there when its mark is, which holds the key and is written last; a lock keeps the other workers of
this machine from making it too. Only wheels are installed: nothing of a package runs here.
Exit: 0 made, 1 it could not be made (the last line says why), 3 pip or venv is not there, 4 there are too many.
"""
import fcntl
import importlib.util
import json
import os
import shutil
import subprocess
import sys

MARK = ".millrace-ready"


def fail(code, why):
    print(why, flush=True)
    sys.exit(code)


def run(*words):
    return subprocess.run(words, stdin=subprocess.DEVNULL, stderr=subprocess.STDOUT).returncode


def pip_of_ours():
    """Whether the pip of this interpreter can install into another: since 22.3."""
    if importlib.util.find_spec("pip") is None:
        return False
    import pip
    try:
        return tuple(int(part) for part in pip.__version__.split(".")[:2]) >= (22, 3)
    except ValueError:
        return False


def pip_for(directory):
    python = os.path.join(directory, "bin", "python")
    if pip_of_ours():
        return [sys.executable, "-m", "pip", "--python", python]
    if importlib.util.find_spec("ensurepip") is None:
        fail(3, "this python has no pip: install the package python3-pip or python3-venv")
    if run(python, "-m", "ensurepip", "--default-pip") != 0:
        fail(3, "this python has no pip of its own to give (ensurepip failed)")
    return [python, "-m", "pip"]


def others(directory):
    parent, name = os.path.split(directory)
    return sum(entry != name and os.path.exists(os.path.join(parent, entry, MARK)) for entry in os.listdir(parent))


def install(order, directory):
    try:
        import venv
    except ImportError:
        fail(3, "this python has no venv: install the package python3-venv")
    venv.create(directory, with_pip=False, symlinks=True)
    wanted = os.path.join(directory, "requirements.txt")
    with open(wanted, "w", encoding="utf-8") as file:
        file.write("".join(line + "\n" for line in order["requirements"]))
    words = ["install", "--disable-pip-version-check", "--no-input", "--no-color", "--only-binary", ":all:", "-r", wanted]
    if order["no_index"]:
        words.append("--no-index")
    for place in order["find_links"]:
        words += ["--find-links", place]
    return run(*pip_for(directory), *words)


def main():
    order = json.load(sys.stdin)
    directory = order["directory"]
    os.umask(0o022)
    os.makedirs(os.path.dirname(directory), exist_ok=True)
    lock = os.open(directory + ".lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    mark = os.path.join(directory, MARK)
    if os.path.exists(mark):
        return 0
    if others(directory) >= order["environments_max"]:
        fail(4, "there are %d environments in %s already: remove those that nobody needs"
             % (order["environments_max"], os.path.dirname(directory)))
    shutil.rmtree(directory, ignore_errors=True)
    try:
        code = install(order, directory)
        if code == 0:
            with open(mark + ".new", "w", encoding="utf-8") as file:
                file.write(order["key"])
            os.rename(mark + ".new", mark)
    finally:
        if not os.path.exists(mark):
            shutil.rmtree(directory, ignore_errors=True)
    return 1 if code else 0


try:
    sys.exit(main())
except OSError as error:
    fail(1, str(error))
