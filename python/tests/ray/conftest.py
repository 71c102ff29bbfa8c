"""A Ray cluster on this machine, and corpora for a program that computes nothing (`fake.py`)."""

import io
import json
import os
import shlex
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

# Before Ray is imported: everything that it opens is for this machine alone, and what it writes is gone at the end.
TEMPORARY = tempfile.mkdtemp(prefix="mr", dir="/tmp")
os.environ |= {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_USAGE_STATS_ENABLED": "0", "RAY_TMPDIR": TEMPORARY, "HOME": TEMPORARY}
os.environ.pop("RAY_ADDRESS", None)
REQUIRED = os.environ.get("REQUIRE_RAY") == "1"

try:
    import ray
except ImportError as error:
    if REQUIRED:
        raise
    pytest.skip(f"ray is not installed ({error}); install mempack[ray]", allow_module_level=True)

import mempack.ray  # noqa: E402
from mempack.ray.progress import Progress  # noqa: E402

ROOT = Path(__file__).parents[3]
CPUS = 4


@pytest.fixture(scope="session")
def cluster() -> Iterator[str]:
    """A cluster with four CPUs, to which this process is connected. Gives its address."""
    ray.init(address="local", num_cpus=CPUS, include_dashboard=False, object_store_memory=100 << 20, log_to_driver=False)
    context = ray.get_runtime_context()
    assert context.gcs_address.startswith("127.0.0.1:")
    os.environ["TEST_ADDRESS"] = context.gcs_address
    yield context.gcs_address
    ray.shutdown()


@pytest.fixture(scope="session", autouse=True)
def nothing_stays() -> Iterator[None]:
    """After the last test nothing of Ray or of the programs runs on."""
    yield
    ray.shutdown()
    until = time.monotonic() + 30
    while (left := [args for _, args in processes() if TEMPORARY in args or "fake.py" in args]) and time.monotonic() < until:
        time.sleep(0.2)
    shutil.rmtree(TEMPORARY, ignore_errors=True)
    assert left == []


def processes() -> list[tuple[int, str]]:
    """All processes of this machine, but those that have ended, with their arguments."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal() and int(folder.name) != os.getpid():
            try:
                arguments = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            found.append((int(folder.name), arguments))
    return found


def eventually(true: Callable[[], Any], what: str, seconds: float = 180) -> Any:
    """Waits until something is true, and gives it."""
    until = time.monotonic() + seconds
    while not (value := true()):
        assert time.monotonic() < until, f"{what}: not after {seconds} s"
        time.sleep(0.05)
    return value


@dataclass
class Job:
    """A build by the program that computes nothing."""

    folder: Path
    shards: int = 4
    stream: io.StringIO = field(default_factory=io.StringIO)

    def __post_init__(self) -> None:
        self.program = self.folder / "mempack"
        self.program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -I -S {shlex.quote(str(Path(__file__).with_name("fake.py")))} "$@"\n')
        self.program.chmod(0o755)
        self.corpus = self.folder / "corpus.json"
        self.faults()

    def faults(self, *faults: dict[str, Any], references: int = 90) -> None:
        """Says what goes wrong. It is part of the corpus."""
        self.corpus.write_text(json.dumps({"references": references, "faults": faults}))

    def options(self, **more: Any) -> mempack.ray.BuildOptions:
        told = {"corpus": [self.corpus], "shards": self.shards, "program": str(self.program), "cpus_per_shard": 1, "pause_seconds": 0.1}
        return mempack.ray.BuildOptions(**{"target": str(self.folder / "bank"), **told, **more})

    def build(self, **more: Any) -> mempack.ray.BuildReport:
        """Builds on the cluster that is connected."""
        return mempack.ray.run(self.options(**more), None, Progress(self.stream))

    def arguments(self, *more: str) -> list[str]:
        """The command line of the same."""
        own = ["--shards", str(self.shards), "--program", str(self.program), "--cpus-per-shard", "1"]
        return [sys.executable, "-m", "mempack.ray.cli", "build", str(self.corpus), "-o", str(self.folder / "bank"), *own, *more]

    @property
    def work(self) -> Path:
        return self.folder / "bank.work"

    def runs(self, step: str) -> list[dict[str, Any]]:
        """The runs of a step, in order."""
        files = sorted((path for path in (self.work / "runs").glob(f"{step}.*") if path.suffix != ".new"), key=lambda path: int(path.suffix[1:]))
        return [json.loads(path.read_text()) for path in files]

    def alive(self) -> list[int]:
        """Processes of the program that still run."""
        files = (path for path in (self.work / "runs").glob("*") if path.suffix != ".new")
        pids = {json.loads(path.read_text())["pid"] for path in files}
        return [pid for pid, arguments in processes() if pid in pids and "fake.py" in arguments]

    @property
    def lines(self) -> list[str]:
        return self.stream.getvalue().splitlines()


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(tmp_path)
