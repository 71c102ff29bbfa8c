"""The command line: Ctrl-C, ends from outside, a cluster of its own, usage."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import TEMPORARY, Job, eventually, processes

import mempack.ray
from mempack.ray import cli
from mempack.ray.options import BuildOptions, OptionError

HANGS: dict[str, Any] = {"do": "hang", "times": 9}


LOOPBACK = "0100007F"


def listens(pid: int) -> list[str]:
    """The addresses that a process listens on, as /proc writes them; those of IPv6 too."""
    sockets = {link.name for fd in Path(f"/proc/{pid}/fd").iterdir() if (link := fd.readlink()).name.startswith("socket:")}
    rows = [row.split() for file in ("tcp", "tcp6") for row in Path(f"/proc/net/{file}").read_text().splitlines()[1:]]
    # State 0A is listening.
    return [row[1].split(":")[0][-8:] for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in sockets]


def started(job: Job, *more: str) -> subprocess.Popen[str]:
    """The command in a process group of its own, as a shell starts it."""
    return subprocess.Popen(job.arguments(*more), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, process_group=0)


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    try:
        out, errors = process.communicate(timeout=240)
    finally:
        process.kill()
    return process.returncode, out, errors


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_ends_all_tasks_and_says_how_to_go_on(job: Job, cluster: str, number: signal.Signals) -> None:
    job.faults({"step": "shard 1", **HANGS}, {"step": "shard 2", **HANGS})
    process = started(job, "--address", cluster)
    eventually(lambda: len(job.alive()) == 2 and (job.work / "build.plan" / "shards" / "0003.shard").exists(), "two shards hang")
    process.send_signal(number)
    code, out, errors = ended(process)
    assert (code, out) == (130, ""), errors
    assert re.search(r"^mempack-ray: stopping \d tasks$", errors, re.MULTILINE) and "Traceback" not in errors, errors
    command = f"mempack-ray build {job.corpus} -o {job.folder / 'bank'} --shards 4 "
    assert f"interrupted; what was finished is in {job.work}, and the same command goes on from there:\n  {command}" in errors
    assert job.alive() == []
    # The same command goes on, when nothing hangs: of the corpus the size and the time are looked at.
    stat = job.corpus.stat()
    job.faults({"step": "shard 1", **HANGS, "times": 0}, {"step": "shard 2", **HANGS, "times": 0})
    assert job.corpus.stat().st_size == stat.st_size
    os.utime(job.corpus, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    code, out, errors = ended(started(job, "--address", cluster, "--json"))
    assert code == 0, errors
    assert json.loads(out)["complete_before"] == 2


def test_a_second_interruption_does_not_wait(job: Job, cluster: str) -> None:
    job.faults({"step": "shard 1", **HANGS, "stubborn": True})
    process = started(job, "--address", cluster)
    eventually(lambda: len(job.alive()) == 1 and (job.work / "build.plan" / "shards" / "0003.shard").exists(), "a shard hangs")
    process.send_signal(signal.SIGINT)
    line = ""
    assert process.stderr is not None
    while "mempack-ray: stopping " not in line:
        line = process.stderr.readline()
        assert line
    process.send_signal(signal.SIGINT)
    code, _, errors = ended(process)
    assert code == 130 and "Traceback" not in errors, errors
    eventually(lambda: job.alive() == [], "the program ends", 5)


def test_a_driver_that_is_killed_leaves_nothing(job: Job, cluster: str) -> None:
    job.faults({"step": "shard 1", **HANGS, "stubborn": True})
    process = started(job, "--address", cluster)
    eventually(lambda: len(job.alive()) == 1, "a shard hangs")
    process.kill()
    ended(process)
    eventually(lambda: job.alive() == [], "the program ends", 60)


def test_a_cluster_of_its_own(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C in a terminal reaches the whole group: the cluster too."""
    # It is of this machine alone by itself.
    monkeypatch.delenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER")
    job.faults({"step": "shard 1", **HANGS})
    sessions = set(Path(TEMPORARY).glob("ray/session_*"))
    process = started(job, "--address", "local", "--workers", "2")
    eventually(lambda: len(job.alive()) == 1 and (job.work / "build.plan" / "shards" / "0003.shard").exists(), "a shard hangs")
    (own,) = set(Path(TEMPORARY).glob("ray/session_2*")) - sessions
    assert any(str(own) in arguments for _, arguments in processes())
    listening = [pid for pid, arguments in processes() if str(own) in arguments for address in listens(pid) if address != LOOPBACK]
    os.killpg(process.pid, signal.SIGINT)
    assert listening == []
    code, _, errors = ended(process)
    assert code == 130 and "Traceback" not in errors, errors
    assert "shard 1 starts on 127.0.0.1\n" in errors
    assert errors.startswith("mempack-ray: building on a cluster of this machine, for 2 shards at a time\n"), errors
    assert job.alive() == []
    eventually(lambda: not any(str(own) in arguments for _, arguments in processes()), "the cluster ends", 30)


def test_an_error_of_a_shard_is_the_command_s(job: Job, cluster: str) -> None:
    job.faults({"step": "shard 2", "do": "exit", "code": 4, "message": "the embedder is another one", "times": 9})
    code, out, errors = ended(started(job, "--address", cluster))
    assert (code, out) == (4, "")
    assert "\nmempack-ray: shard 2 on 127.0.0.1: the embedder is another one\nmempack-ray: finished shards stay in " in errors, errors


def test_a_cluster_that_is_not_there(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    code, _, errors = ended(started(job, "--address", "nonsense"))
    assert code == 1 and errors.startswith("mempack-ray: there is no cluster at nonsense: "), errors
    # One that is named is not replaced by a new one.
    monkeypatch.setenv("RAY_ADDRESS", "nonsense")
    code, _, errors = ended(started(job))
    assert code == 1 and "there is no cluster at nonsense: " in errors and "Traceback" not in errors, errors


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["-o", "bank", "--shards", "4"], "there is no corpus"),
        (["corpus", "-o", "bank"], "--shards N is missing"),
        (["corpus", "-o", "bank", "--shards", "0"], "--shards is 0, expected at least 1"),
        (["corpus", "-o", "bank", "--shards", "100001"], "expected at most 100000"),
        (["corpus", "-o", "bank", "--shards", "4", "--workers", "0"], "--workers is 0"),
        (["corpus", "-o", "bank", "--shards", "4", "--max-retries", "-1"], "--max-retries is -1"),
        (["corpus", "-o", "bank", "--shards", "4", "--gpus-per-shard", "-1"], "--gpus-per-shard is -1.0"),
        (["corpus", "-o", "s3://bucket/bank", "--shards", "4"], "s3://bucket/bank is a URL; name a folder"),
        (["s3://bucket/corpus", "-o", "bank", "--shards", "4"], "the corpus is a URL"),
        (["-", "-o", "bank", "--shards", "4"], "a corpus on standard input"),
        (["corpus", "-o", "bank", "--plan", "x.plan"], "--plan builds a plan as it is"),
        (["-o", "bank", "--plan", "x.plan", "--shards", "4"], "--plan builds a plan as it is"),
        (["-o", "bank", "--plan", "x.plan", "--", "--codec", "SQ8"], "--plan builds a plan as it is"),
        (["corpus", "-o", "bank", "--shards", "4", "--", "--threads", "4"], "--threads does not go to `mempack plan` from here"),
        (["corpus", "-o", "bank", "--shards", "4", "--", "--output=x"], "--output=x does not go to"),
        (["corpus", "-o", "bank", "--shards", "4", "--resource", "fast=1", "--address", "local"], "--resource fast: a cluster on this machine alone"),
    ],
)
def test_usage(tmp_path: Path, arguments: list[str], why: str) -> None:
    command = [sys.executable, "-m", "mempack.ray.cli", "build", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (2, "") and why in done.stderr, done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("words", [["fast"], ["=1"], ["fast=0"], ["fast=x"], ["CPU=1"], ["fast=nan"]])
def test_resources(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.parser().parse_args(["build", "corpus", "-o", "bank", "--resource", *words])
    assert "is no resource: expected NAME=N" in capsys.readouterr().err
    assert cli.resource("fast=0.5") == ("fast", 0.5)


def test_the_program_s_command_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MEMPACK_BASE", "bases/own")
    monkeypatch.delenv("MEMPACK_MODEL", raising=False)
    monkeypatch.delenv("MEMPACK_EMBEDDER", raising=False)
    more = ["--any-language", "--base", "base", "--codec", "SQ8", "--device=cuda:1"]
    options = BuildOptions(corpus=["corpus"], target="bank", shards=4, packs=2, model="model", options=more, cpus_per_shard=3, name="own")
    models = [f"--model={tmp_path}/model", f"--base={tmp_path}/base", "--device=cuda:1"]
    plan = options.plan_step()
    folder = f"{tmp_path}/bank.work/build.plan"
    fixed = ["--shards=4", "--packs=2", *models, "--any-language", "--codec", "SQ8"]
    assert plan["command"] == ["mempack", "plan", *fixed, f"--output={folder}", "--threads=3", "--json", "--", f"{tmp_path}/corpus"]
    assert plan["environment"] == {"MEMPACK_BASE": f"{tmp_path}/bases/own"} and plan["folder"] == str(tmp_path)
    assert options.shard_step(2)["command"] == ["mempack", "build", f"--plan={folder}", "--shard=2", "--threads=3", "--json", *models]
    assert options.merge_step()["command"] == ["mempack", "merge", f"--output={tmp_path}/bank", "--name=own", "--threads=1", "--json", "--", folder]
    on_gpus = BuildOptions(corpus=["corpus"], target="bank", shards=4, gpus_per_shard=0.5)
    assert "--device=cuda" in on_gpus.plan_step()["command"] and "--device=cuda" in on_gpus.shard_step(0)["command"]
    with pytest.raises(OptionError, match="the target is empty"):
        BuildOptions(corpus=["corpus"], target="", shards=4)
    assert mempack.ray.OptionError is OptionError
