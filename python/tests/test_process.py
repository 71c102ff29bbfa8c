"""Threads, forks, signals and exits: nothing of these ends the interpreter."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import golden
import numpy as np
import pytest

from mempack import Pack

QUERIES = np.array([golden.embedding(reference) for reference in range(golden.REFERENCES)], np.float32)


def python(code: str, *arguments: object, timeout: float = 120) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, timeout=timeout, check=False)


def test_64_threads(pack: Pack) -> None:
    expected = pack.search(QUERIES, 5)[0]
    keys = pack.memory(range(24)).keys

    def work(number: int) -> bool:
        for _ in range(5):
            if not ((pack.search(QUERIES, 5, threads=2)[0] == expected).all() and (pack.memory(range(24)).keys == keys).all()):
                return False
        return pack.text(number % 24) == golden.text(number % 24)

    with ThreadPoolExecutor(64) as threads:
        assert all(threads.map(work, range(64)))


def test_others_run_while_memories_are_decoded(pack: Pack) -> None:
    """The GIL is free: another thread counts on."""
    counted, ended = 0, threading.Event()

    def count() -> None:
        nonlocal counted
        while not ended.is_set():
            counted += 1

    counter = threading.Thread(target=count)
    many = np.tile(QUERIES, (4000, 1))
    counter.start()
    before = counted
    pack.search(many, 5, exact=True, threads=1)
    ended.set()
    counter.join()
    assert counted > before + 100


def test_a_fork_after_opening(pack: Pack) -> None:
    """The child maps the pack again, also if a thread of the parent was reading."""
    ended = threading.Event()

    def read() -> None:
        while not ended.is_set():
            pack.search(QUERIES, 3)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for _ in range(20):
            child = os.fork()
            if child == 0:
                code = 1
                try:
                    code = 0 if pack.text(5) == golden.text(5) and pack.memory([1]).keys.shape[0] == 1 and pack.search(QUERIES, 1)[0].shape == (24, 1) else 2
                finally:
                    os._exit(code)
            deadline = time.monotonic() + 30
            while (ended_child := os.waitpid(child, os.WNOHANG)) == (0, 0) and time.monotonic() < deadline:
                time.sleep(0.01)
            if ended_child == (0, 0):
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
            assert ended_child == (child, 0), "the child reads and ends"
    finally:
        ended.set()
        reader.join()


@pytest.mark.parametrize("threads", [1, 4])
def test_ctrl_c_ends_a_search(threads: int) -> None:
    code = f"""
import signal, sys, numpy as np
from mempack import Pack
# A program in the background of a script may ignore the signal, and hands that on.
signal.signal(signal.SIGINT, signal.default_int_handler)
pack = Pack(sys.argv[1])
many = np.tile(pack.embeddings(range(24)), (500_000, 1))
print("ready", flush=True)
try:
    pack.search(many, 5, exact=True, threads={threads})
    print("finished")
except KeyboardInterrupt:
    print("interrupted", len(pack.text(0)) > 0)
"""
    with subprocess.Popen([sys.executable, "-c", code, str(golden.path("v1.5"))], stdout=subprocess.PIPE, text=True) as child:
        try:
            assert child.stdout is not None and child.stdout.readline() == "ready\n"
            time.sleep(0.5)
            child.send_signal(signal.SIGINT)
            out, _ = child.communicate(timeout=60)
        finally:
            child.kill()
    assert (child.returncode, out) == (0, "interrupted True\n")


def test_an_exit_while_threads_read() -> None:
    code = """
import sys, threading
from mempack import Pack
pack = Pack(sys.argv[1])
vectors = pack.embeddings(range(24))
def read():
    while True:
        pack.search(vectors, 3, threads=2)
        pack.memory(range(24))
for _ in range(8):
    threading.Thread(target=read, daemon=True).start()
import time; time.sleep(0.3)
"""
    for _ in range(5):
        done = python(code, golden.path("v1.5"))
        assert (done.returncode, done.stderr) == (0, "")


def test_a_file_that_is_cut_short_while_others_read_it(copy: Path) -> None:
    code = """
import os, sys, threading
import mempack
pack = mempack.Pack(sys.argv[1])
vectors, whole, kinds = pack.embeddings(range(24)), threading.Barrier(5), set()
def read():
    whole.wait()
    for _ in range(2000):
        try:
            pack.search(vectors, 3, threads=1)
            pack.memory(range(24), threads=1)
        except mempack.DamageError as error:
            kinds.add(type(error).__name__)
            return
threads = [threading.Thread(target=read) for _ in range(4)]
for thread in threads: thread.start()
whole.wait()
os.truncate(sys.argv[1], 8192)
for thread in threads: thread.join()
print(kinds)
"""
    done = python(code, copy)
    assert (done.returncode, done.stdout.strip()) == (0, "{'DamageError'}"), done.stderr


def test_the_command_line() -> None:
    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "-m", "mempack", *map(str, arguments)], capture_output=True, text=True, check=False)

    whole = run("verify", golden.path("v1.5"), "--json")
    assert whole.returncode == 0 and json.loads(whole.stdout)["whole"] is True
    assert run("verify", __file__).returncode == 3
    assert run("nonsense").returncode == 2 and run("--help").returncode == 0 and run("--version").stdout.startswith("mempack ")
