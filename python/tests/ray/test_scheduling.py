"""Shards by a cluster: retries, workers that die, errors that end the job, resumption. The program computes nothing."""

import os
import re
import signal
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from conftest import Job, eventually

import mempack.ray
from mempack.ray import worker

pytestmark = pytest.mark.usefixtures("cluster")


def fault(step: str, do: str, **more: Any) -> dict[str, Any]:
    return {"step": step, "do": do, **more}


def test_a_bank_and_its_report(job: Job) -> None:
    report = job.build(packs=3)
    assert (report.references, report.shards, report.packs, report.retries, report.complete_before) == (90, 4, 3, {}, 0)
    assert Path(report.set_file) == job.folder / "bank" / "bank.mps" and len(report.set_id) == len(report.plan_id) == 64
    assert list(report.seconds) == list(report.cpu_seconds) == ["plan", "shards", "merge"]
    # Starting four programs takes some CPU time.
    assert report.cpu_seconds["shards"] > 0 and report.seconds["shards"] > 0
    assert report.to_json()["retries"] == {} and report.pushed is None
    assert len(job.runs("plan")) == len(job.runs("merge")) == 1 and all(len(job.runs(f"shard {shard}")) == 1 for shard in range(4))
    assert job.alive() == []


def test_the_same_set_for_any_number_of_workers(tmp_path: Path) -> None:
    # Of one corpus: the plan has its path in it.
    ids = set()
    corpus = Job(tmp_path).corpus
    for workers in (1, 2, 4):
        folder = tmp_path / str(workers)
        folder.mkdir()
        own = Job(folder)
        ids.add(own.build(corpus=[corpus], workers=workers).set_id)
    assert len(ids) == 1


def test_at_most_so_many_shards_at_a_time(job: Job) -> None:
    job.faults(*(fault(f"shard {shard}", "slow", seconds=0.5) for shard in range(4)))
    most, ended = 0, threading.Event()

    def count() -> None:
        nonlocal most
        while not ended.wait(0.05):
            most = max(most, len(job.alive()))

    counter = threading.Thread(target=count)
    counter.start()
    try:
        job.build(workers=2)
    finally:
        ended.set()
        counter.join()
    assert most == 2


@pytest.mark.parametrize(
    "what",
    [
        fault("shard 1", "exit", code=1, message="the disk is full", times=2),
        fault("shard 1", "exit", code=130, message="interrupted", times=2),
        fault("shard 1", "exit", code=5, message="standard output could not be written", times=2),
        fault("shard 1", "signal", signal=int(signal.SIGKILL), times=2),
        fault("shard 1", "signal", signal=int(signal.SIGSEGV), times=2),
    ],
    ids=lambda what: f"{what['do']}-{what.get('code', what.get('signal'))}",
)
def test_what_may_pass_is_tried_again(job: Job, what: dict[str, Any]) -> None:
    job.faults(what)
    report = job.build()
    assert report.retries == {1: 2} and len(job.runs("shard 1")) == 3 and len(job.runs("shard 0")) == 1
    assert sum("shard 1 failed on" in line for line in job.lines) == 2
    assert any("shard 1 starts again, retry 2 of 5," in line for line in job.lines)


def test_retries_end(job: Job) -> None:
    job.faults(fault("shard 2", "exit", code=1, message="the disk is full", times=9))
    with pytest.raises(mempack.ray.BuildError, match=r"shard 2: failed 3 times, the last time with exit code 1 on 127\.0\.0\.1: the disk is full") as raised:
        job.build(max_retries=2)
    assert (raised.value.shard, raised.value.code) == (2, 1)
    assert len(job.runs("shard 2")) == 3 and job.alive() == []


@pytest.mark.parametrize("code", [2, 3, 4])
def test_what_no_retry_mends_ends_the_job(job: Job, code: int) -> None:
    job.faults(
        fault("shard 2", "exit", code=code, message="this machine computes other numbers than the one that made the plan", times=9),
        fault("shard 1", "hang", times=9),
    )
    with pytest.raises(mempack.ray.BuildError, match=r"shard 2 on 127\.0\.0\.1: this machine computes other numbers") as raised:
        job.build()
    assert (raised.value.step, raised.value.shard, raised.value.code, raised.value.node) == ("shard 2", 2, code, "127.0.0.1")
    assert len(job.runs("shard 2")) == 1 and job.runs("merge") == []
    assert job.alive() == []


def test_a_worker_is_killed_twice(job: Job) -> None:
    job.faults(fault("shard 1", "hang", times=2))
    killed = []

    def kill() -> None:
        for run in range(2):
            found = eventually(lambda number=run: job.runs("shard 1")[number:], "the shard runs")[0]
            # The Ray worker, whose child the program is.
            os.kill(found["parent"], signal.SIGKILL)
            killed.append(found["pid"])
            eventually(lambda pid=found["pid"]: pid not in job.alive(), "the program ends with its worker", 10)

    killer = threading.Thread(target=kill)
    killer.start()
    report = job.build()
    killer.join()
    assert report.retries == {1: 2} and len(killed) == 2 and len(job.runs("shard 1")) == 3
    assert {path.name for path in (job.work / "build.plan" / "shards").glob("*.shard")} == {f"{shard:04}.shard" for shard in range(4)}


def test_a_worker_that_always_dies(job: Job) -> None:
    job.faults(fault("shard 0", "hang", times=9))
    ended = threading.Event()

    def kill() -> None:
        dead: set[int] = set()
        while not ended.wait(0.05):
            for run in job.runs("shard 0"):
                if run["parent"] not in dead and run["pid"] in job.alive():
                    dead.add(run["parent"])
                    os.kill(run["parent"], signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        with pytest.raises(mempack.ray.BuildError, match="shard 0: its worker or node was lost 2 times: WorkerCrashedError"):
            job.build(max_retries=1)
    finally:
        ended.set()
        killer.join()


def test_the_worker_of_the_plan_and_of_the_merge_die(job: Job) -> None:
    job.faults(fault("plan", "signal", signal=int(signal.SIGKILL)), fault("merge", "signal", signal=int(signal.SIGKILL)))
    job.build()
    assert len(job.runs("plan")) == len(job.runs("merge")) == 2
    # But an error of theirs is not of the node.
    job.faults(fault("merge", "exit", code=1, message="no room", times=9))
    with pytest.raises(mempack.ray.BuildError, match=r"merge on 127\.0\.0\.1: no room"):
        job.build(target=str(job.folder / "other"))


def test_the_same_build_goes_on(job: Job) -> None:
    job.faults(fault("shard 3", "exit", code=4, message="other model", times=1))
    with pytest.raises(mempack.ray.BuildError, match="other model"):
        job.build(workers=1)
    report = job.build()
    assert report.complete_before == 3 and len(job.runs("plan")) == 1 and len(job.runs("shard 0")) == 1
    assert any("the plan of before" in line for line in job.lines)
    again = job.build()
    assert (again.set_id, again.complete_before) == (report.set_id, 4)
    assert any(line.startswith("mempack-ray: shard 3 was complete already: ") for line in job.lines)


def test_a_plan_of_something_else_is_refused(job: Job) -> None:
    first = job.build()
    with pytest.raises(mempack.ray.BuildError, match=r"the plan was made with other arguments: then .*--shards=4.* now .*--shards=5.*--replan") as raised:
        job.build(shards=5)
    assert raised.value.code == 2
    with pytest.raises(mempack.ray.BuildError, match="with other arguments"):
        job.build(options=["--codec", "SQ8"])
    job.faults(references=91)
    with pytest.raises(mempack.ray.BuildError, match=r"the corpus changed since the plan was made: then 1 file with .* bytes, now"):
        job.build()
    for shard in (job.work / "build.plan" / "shards").glob("*.shard"):
        shard.unlink()
    report = job.build(replan=True)
    assert report.references == 91 and report.set_id != first.set_id and job.build().set_id == report.set_id
    (job.work / worker.RECORD).unlink()
    with pytest.raises(mempack.ray.BuildError, match="a plan that mempack-ray did not make; build it as it is with --plan"):
        job.build()


def test_a_plan_that_is_there_is_built_as_it_is(job: Job) -> None:
    first = job.build()
    shards = job.work / "build.plan" / "shards"
    (shards / "0002.shard").unlink()
    report = job.build(corpus=[], shards=None, plan=job.work / "build.plan", target=str(job.folder / "other"))
    assert (report.set_id, report.complete_before) == (first.set_id, 3)
    with pytest.raises(mempack.ray.BuildError, match="this is no plan that can be read"):
        job.build(corpus=[], shards=None, plan=job.folder / "nothing")


def test_two_tasks_on_one_shard(job: Job) -> None:
    """Another process builds a shard of the same plan. The task waits, and takes what it leaves."""
    go = job.folder / "go"
    job.faults(fault("shard 0", "wait", file=str(go)))
    plan = job.options().plan_step()["command"]
    subprocess.run(plan, check=True, capture_output=True)
    other = subprocess.Popen(job.options().shard_step(0)["command"], stdout=subprocess.DEVNULL)
    eventually(lambda: job.runs("shard 0"), "the other process runs")
    with ThreadPoolExecutor(1) as threads:
        building = threads.submit(job.build, corpus=[], shards=None, plan=job.work / "build.plan")
        try:
            eventually(lambda: "shard 0 waits" in job.stream.getvalue(), "the task waits")
        finally:
            go.touch()
        report = building.result(120)
    assert other.wait(30) == 0
    assert (report.complete_before, report.retries, len(job.runs("shard 0"))) == (1, {}, 1)
    assert any("shard 0 waits on 127.0.0.1: cannot write" in line and "another process is writing it" in line for line in job.lines)


def test_a_shard_that_another_process_never_ends(job: Job) -> None:
    job.faults(fault("shard 0", "hang", stubborn=True))
    subprocess.run(job.options().plan_step()["command"], check=True, capture_output=True)
    other = subprocess.Popen(job.options().shard_step(0)["command"], stdout=subprocess.DEVNULL)
    try:
        eventually(lambda: job.runs("shard 0"), "the other process runs")
        with pytest.raises(mempack.ray.BuildError, match=r"shard 0 on .*: cannot write .* another process is writing it, .* \(waited for \d+ s\)"):
            job.build(corpus=[], shards=None, plan=job.work / "build.plan", busy_seconds=0.5)
    finally:
        other.kill()
        other.wait()


def test_two_jobs_at_once(job: Job, tmp_path: Path) -> None:
    """Of two jobs on one plan, each shard is built by one."""
    job.faults(fault("plan", "slow", seconds=1), *(fault(f"shard {shard}", "slow", seconds=0.5) for shard in range(4)))
    ids: list[str] = []
    other = subprocess.Popen(job.arguments("--address", os.environ["TEST_ADDRESS"], "--json"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    eventually(lambda: job.runs("plan"), "the other job plans")
    ids.append(job.build().set_id)
    out, errors = other.communicate(timeout=120)
    assert other.returncode == 0, errors
    assert f'"set_id": "{ids[0]}"' in out
    assert len(job.runs("plan")) == 1 and all(len(job.runs(f"shard {shard}")) == 1 for shard in range(4))


def test_published(job: Job) -> None:
    report = job.build(target="s3://bucket/bank", work=job.work)
    assert report.pushed == {"name": "bank", "url": "s3://bucket/bank", "id": report.set_id}
    assert list(report.seconds) == ["plan", "shards", "merge", "push"] and Path(report.set_file) == job.work / "bank" / "bank.mps"


def test_a_program_that_is_not_there(job: Job) -> None:
    with pytest.raises(mempack.ray.BuildError, match="there is no program 'no-such-mempack'; install mempack on every node"):
        job.build(program="no-such-mempack")
    other = job.folder / "other"
    other.write_text("#!/bin/sh\necho hello\n")
    other.chmod(0o755)
    with pytest.raises(mempack.ray.BuildError, match=r"printed 'hello\\n', expected JSON"):
        job.build(program=str(other))


def test_progress_tells_every_change(job: Job) -> None:
    job.build()
    text = job.stream.getvalue()
    assert text.startswith("mempack-ray: building on the cluster that is connected\nmempack-ray: plan starts on 127.0.0.1\n")
    done = re.findall(r"shard \d is complete: (\d) of 4 shards done, (\d) running; ([\d,]+) of 90 references", text)
    assert [int(done) for done, _, _ in done] == [1, 2, 3, 4] and done[-1] == ("4", "0", "90")
    assert "\x1b" not in text and "\r" not in text


def test_room_that_is_not_there_is_told(job: Job) -> None:
    done: list[Any] = []
    progress = job.stream

    def build() -> None:
        with pytest.raises(KeyboardInterrupt):
            job.build(cpus_per_shard=64)
        done.append(True)

    # A wait for a node ends with Ctrl-C.
    timer = threading.Timer(3, lambda: signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT))
    timer.start()
    build()
    timer.join()
    assert done and "plan: no node of the cluster has 64 CPU; waiting for one that has" in progress.getvalue()
