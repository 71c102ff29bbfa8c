"""What runs on the nodes of a cluster: the program, as a child of a Ray task.

This module is sent to the nodes by value, so that they need Ray and the program, and not this package. It therefore uses the standard library and Ray alone,
and what goes there and back is made of plain objects. Its types are texts, for what is sent by value does not include them.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import IO, Any, NamedTuple, TypedDict

# The program of a task ends with the process of the task, however that ends: the system kills it then. What it had finished stays on the disk.
SHIM = """
import ctypes, os, signal, sys
PR_SET_PDEATHSIG = 1
if ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0) != 0:
    sys.exit("this system does not end a process with its parent")
if os.getppid() != int(sys.argv[1]):
    sys.exit("the task has ended")
os.execv(sys.argv[2], sys.argv[2:])
"""

POLL_SECONDS = 0.2
"""How often a task looks whether it is cancelled."""
GRACE_SECONDS = 15.0
"""How long a program that is asked to end may take."""
LONGEST_PAUSE = 30.0
BOARD_SECONDS = 30.0
"""How long a task waits for a board that is lost."""
MESSAGE_LINES = 60
"""Lines of a program's message that are kept."""

FAILED, USAGE, DAMAGED, MISMATCH, OUTPUT, INTERRUPTED = 1, 2, 3, 4, 5, 130
"""The program's exit codes."""
NO_PROGRAM = 127
"""The exit code of a program that is not there."""
BUSY = "another process is writing it"
"""What the program says of a shard that another process builds."""

PROGRESS = re.compile(r"^(?P<stage>[a-z ]+): (?P<done>[\d,]+)(?: of (?P<total>[\d,]+))? (?:references|bytes)\b")

RECORD = "arguments.json"
"""What the plan in a work folder was made of."""


class Step(TypedDict):
    """One run of the program."""

    name: str
    command: list[str]
    environment: dict[str, str]
    """For variables that the node does not set itself."""
    folder: str
    """The folder that relative paths begin in, if the node has it."""
    retry_failed: bool
    """Whether exit code 1 may be an error of the node alone."""
    busy_seconds: float
    """How long to wait for another process that writes the same."""
    pause_seconds: float
    """Before a task fails that is retried."""


class PlanStep(Step):
    """The run that makes the plan."""

    plan: str
    work: str
    corpus: list[str]
    """Empty if the plan is to be taken as it is."""
    arguments: list[str]
    """What the plan depends on beside the corpus."""
    replan: bool


class Outcome(TypedDict):
    """How a step ended. A step that is retried ends with an exception instead."""

    name: str
    code: int
    output: dict[str, Any]
    """What the program printed."""
    message: str
    """What it said on standard error, if it failed."""
    seconds: float
    cpu_seconds: float
    node: str


class Event(TypedDict, total=False):
    """What a step reports while it runs."""

    name: str
    kind: str
    """`started`, `progress`, `waiting` or `failed`."""
    node: str
    stage: str
    done: int
    total: int | None
    text: str
    cpu_seconds: float


class Board:
    """An actor that holds what tasks report until the driver takes it."""

    def __init__(self) -> None:
        self._events: list[Event] = []

    def tell(self, event: Event) -> None:
        # Of the progress of a step the last one counts.
        if event["kind"] == "progress":
            self._events = [old for old in self._events if (old["name"], old["kind"]) != (event["name"], "progress")]
        self._events.append(event)

    def take(self) -> list[Event]:
        taken, self._events = self._events, []
        return taken


class Ended(NamedTuple):
    """A program that has ended."""

    code: int
    """Its exit code; minus the signal that ended it."""
    output: bytes
    message: str
    cpu_seconds: float


class Reporter:
    """Tells the board about one step. A board that does not answer does not stop the work."""

    def __init__(self, name: str, board: Any) -> None:
        from ray import util

        address: Callable[[], str] = util.get_node_ip_address
        self.name, self._board, self.node = name, board, address()

    def tell(self, kind: str, *, surely: bool = False, **what: Any) -> None:
        """Tells an event. What is told `surely` is told again while the board moves to another node."""
        import ray

        until = time.monotonic() + BOARD_SECONDS
        while True:
            try:
                told = self._board.tell.remote({"name": self.name, "kind": kind, "node": self.node, **what})
                if surely:
                    ray.get(told, timeout=10)
                return
            except (ray.exceptions.RayError, TimeoutError):
                if not surely or time.monotonic() > until:
                    return
                pause(0.5)

    def line(self, text: str) -> None:
        """Passes on a line of the program's standard error."""
        found = PROGRESS.match(text)
        if found is None:
            return
        done = int(found["done"].replace(",", ""))
        total = int(found["total"].replace(",", "")) if found["total"] else None
        self.tell("progress", stage=found["stage"], done=done, total=total, text=text)


def pause(seconds: float) -> None:
    """Sleeps so that a cancellation is noticed."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        time.sleep(min(left, POLL_SECONDS))


def run_program(command: list[str], environment: dict[str, str], folder: str | None, line: Callable[[str], None]) -> Ended:
    """Runs a program in a process group of its own, which ends with this call, whatever ends it. `line` gets each line of standard error."""
    arguments = [sys.executable, "-I", "-S", "-c", SHIM, str(os.getpid()), *command]
    kept: deque[str] = deque(maxlen=MESSAGE_LINES)

    def keep(text: str) -> None:
        if text:
            kept.append(text)
            line(text)

    with tempfile.TemporaryFile() as output, _group(arguments, {**environment, **os.environ}, folder, output) as process:
        errors = process.stderr
        assert errors is not None
        os.set_blocking(errors.fileno(), False)
        rest = b""
        while True:
            # Before the last read: what a program wrote before it ended is there after.
            ended = _has_ended(process)
            if not ended:
                select.select([errors], [], [], POLL_SECONDS)
            while chunk := _read(errors):
                *lines, rest = (rest + chunk).split(b"\n")
                for whole in lines:
                    keep(whole.decode(errors="replace").strip())
            if ended:
                break
            if chunk == b"":
                # Standard error is closed, and the program goes on.
                pause(POLL_SECONDS)
        keep(rest.decode(errors="replace").strip())
        code, cpu_seconds = _reap(process)
        output.seek(0)
        return Ended(code, output.read(), message_of(kept), cpu_seconds)


def message_of(lines: deque[str]) -> str:
    """The program's message: what follows its progress."""
    said = [text for text in lines if not PROGRESS.match(text)]
    first = max((at for at, text in enumerate(said) if text.startswith("mempack: ")), default=0)
    return "\n".join(said[first:]).removeprefix("mempack: ")


@contextlib.contextmanager
def _group(arguments: list[str], environment: dict[str, str], folder: str | None, output: IO[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.PIPE, process_group=0, env=environment, cwd=folder)
    try:
        yield process
    finally:
        try:
            if process.returncode is None and not _has_ended(process):
                _signal(process, signal.SIGTERM)
                until = time.monotonic() + GRACE_SECONDS
                while not _has_ended(process) and time.monotonic() < until:
                    time.sleep(POLL_SECONDS)
        finally:
            if process.returncode is None:
                _signal(process, signal.SIGKILL)
                _reap(process)
            if process.stderr is not None:
                process.stderr.close()


def _read(errors: IO[bytes]) -> bytes | None:
    """What is there; nothing at the end, `None` if there may be more later."""
    try:
        return os.read(errors.fileno(), 1 << 16)
    except BlockingIOError:
        return None


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    # The process stays, and with it its number.
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def _reap(process: subprocess.Popen[bytes]) -> tuple[int, float]:
    """The exit code and the CPU seconds of a program that ends, and the end of what it may have started."""
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    _signal(process, signal.SIGKILL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, usage.ru_utime + usage.ru_stime


def is_retried(code: int, step: Step) -> bool:
    """Whether a run that ended so may succeed elsewhere or later: it was ended from outside, or something of the node failed."""
    return code < 0 or code in (OUTPUT, INTERRUPTED) or (code == FAILED and step["retry_failed"])


def outcome_of(
    step: Step, reporter: Reporter, started: float, code: int, message: str, cpu_seconds: float = 0.0, output: dict[str, Any] | None = None
) -> Outcome:
    """How a step that started at `started` of the monotonic clock ended."""
    return {
        "name": step["name"],
        "code": code,
        "output": output or {},
        "message": message,
        "seconds": time.monotonic() - started,
        "cpu_seconds": cpu_seconds,
        "node": reporter.node,
    }


def run_step(step: Step, board: Any) -> Outcome:
    """Runs the program of a step.

    Raises ChildProcessError if it is worth a retry."""
    return _run(step, Reporter(step["name"], board))


def _run(step: Step, reporter: Reporter, *, is_told: bool = False) -> Outcome:
    started = time.monotonic()
    if not is_told:
        reporter.tell("started", surely=True)

    def outcome(code: int, message: str, cpu_seconds: float, output: dict[str, Any] | None = None) -> Outcome:
        return outcome_of(step, reporter, started, code, message, cpu_seconds, output)

    program = shutil.which(step["command"][0])
    if program is None:
        return outcome(NO_PROGRAM, f"there is no program {step['command'][0]!r}; install mempack on every node, or name it with --program", 0.0)
    folder = step["folder"] if os.path.isdir(step["folder"]) else None
    cpu_seconds, waited, wait = 0.0, 0.0, max(POLL_SECONDS, step["pause_seconds"])
    while True:
        ended = run_program([program, *step["command"][1:]], step["environment"], folder, reporter.line)
        cpu_seconds += ended.cpu_seconds
        if ended.code != FAILED or BUSY not in ended.message:
            break
        # Another task, of this job or another one, builds the same. It goes on, and this one looks for what it leaves.
        if waited >= step["busy_seconds"]:
            return outcome(FAILED, f"{ended.message} (waited for {waited:.0f} s)", cpu_seconds)
        reporter.tell("waiting", text=ended.message)
        pause(wait)
        waited, wait = waited + wait, min(2 * wait, LONGEST_PAUSE)
    if ended.code == 0:
        try:
            return outcome(0, "", cpu_seconds, json.loads(ended.output))
        except ValueError:
            text = ended.output[:200].decode(errors="replace")
            return outcome(MISMATCH, f"{program} printed {text!r}, expected JSON; is it another program, or another version?", cpu_seconds)
    message = ended.message or (f"ended by {signal.Signals(-ended.code).name}" if ended.code < 0 else "it said nothing")
    if is_retried(ended.code, step):
        reporter.tell("failed", surely=True, text=message, cpu_seconds=cpu_seconds)
        pause(step["pause_seconds"])
        raise ChildProcessError(f"exit code {ended.code} on {reporter.node}: {message}")
    return outcome(ended.code, message, cpu_seconds)


def run_plan(step: PlanStep, board: Any) -> Outcome:
    """Makes the plan, or goes on with the one that is there if it was made of the same. The output then has `kept`."""
    reporter = Reporter(step["name"], board)
    reporter.tell("started", surely=True)
    started = time.monotonic()

    def refused(code: int, message: str) -> Outcome:
        return outcome_of(step, reporter, started, code, message)

    def kept() -> Outcome:
        try:
            return outcome_of(step, reporter, started, 0, "", output=summary(step["plan"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            return refused(FAILED, f"{step['plan']}: this is no plan that can be read ({error}); name the folder that `mempack plan` wrote")

    if not step["corpus"]:
        return kept()
    try:
        os.makedirs(step["work"], exist_ok=True)
        record_path = os.path.join(step["work"], RECORD)
        with _locked(os.path.join(step["work"], "plan.lock"), reporter):
            record = {"arguments": step["arguments"], "corpus": fingerprint(step["corpus"])}
            is_there = os.path.exists(os.path.join(step["plan"], "plan.json"))
            if is_there and not step["replan"]:
                why = difference(record_path, record)
                return kept() if why is None else refused(USAGE, f"{step['plan']}: {why}")
            if not is_there:
                _write(record_path, record)
            outcome = _run(step, reporter, is_told=True)
            if outcome["code"] == 0:
                # Of a plan that was replaced the record is that of the old one until now.
                _write(record_path, record)
                outcome["output"] = {**outcome["output"], **summary(step["plan"]), "kept": False}
            return outcome
    except ChildProcessError:
        raise
    except OSError as error:
        return refused(FAILED, f"{error.filename or step['work']}: {error.strerror}")


def summary(plan: str) -> dict[str, Any]:
    """What the driver has to know of a plan."""
    with open(os.path.join(plan, "plan.json"), encoding="utf-8") as file:
        manifest = json.load(file)
    return {
        "references": int(manifest["references"]),
        "shard_references": [int(shard["references"]) for shard in manifest["shards"]],
        "packs": int(manifest["packs"]),
        "kept": True,
    }


def difference(path: str, record: dict[str, Any]) -> str | None:
    """Why a plan is not that of the record; `None` if it is."""
    ways = "name another folder with --work, or make the plan again with --replan, which throws its shards away unless it stays the same"
    try:
        with open(path, encoding="utf-8") as file:
            there = json.load(file)
    except FileNotFoundError:
        return f"there is a plan that mempack-ray did not make; build it as it is with --plan, or {ways}"
    if there == record:
        return None
    before, now = there.get("arguments"), record["arguments"]
    if before != now:
        return f"the plan was made with other arguments: then {' '.join(map(str, before or []))}; now {' '.join(now)}; {ways}"
    before, now = there.get("corpus", {}), record["corpus"]

    def size(of: dict[str, Any]) -> str:
        return f"{of.get('files')} {'file' if of.get('files') == 1 else 'files'} with {of.get('bytes')} bytes"

    return f"the corpus changed since the plan was made: then {size(before)}, now {size(now)}; {ways}"


def fingerprint(corpus: list[str]) -> dict[str, Any]:
    """Names, sizes and times of the files of a corpus. Their contents are the plan's."""
    digest, files, size = hashlib.sha256(), 0, 0
    for path in _files(corpus):
        data = os.stat(path)
        files, size = files + 1, size + data.st_size
        digest.update(json.dumps([path, data.st_size, data.st_mtime_ns]).encode())
    return {"files": files, "bytes": size, "digest": digest.hexdigest()}


def _files(corpus: list[str]) -> Iterator[str]:
    for path in corpus:
        if not os.path.isdir(path):
            yield path
            continue
        for folder, folders, names in os.walk(path):
            folders.sort()
            # A link may lead nowhere.
            yield from (file for name in sorted(names) if os.path.exists(file := os.path.join(folder, name)))


@contextlib.contextmanager
def _locked(path: str, reporter: Reporter) -> Iterator[None]:
    with open(path, "a", encoding="utf-8") as file:
        is_told = False
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if not is_told:
                    reporter.tell("waiting", text=f"{path}: another job makes the plan")
                    is_told = True
                pause(1.0)
        yield


def _write(path: str, record: dict[str, Any]) -> None:
    with open(path + ".new", "w", encoding="utf-8") as file:
        json.dump(record, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    os.replace(path + ".new", path)
