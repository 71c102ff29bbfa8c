"""Banks by the real program, on a small corpus with a tiny model. `MEMPACK_PROGRAM` is the program (else `target/release/mempack`)."""

import json
import os
import signal
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest
from conftest import REQUIRED, ROOT, eventually, processes

import mempack.ray
from mempack.ray.progress import Progress

SHARDS = 4
TINY = ROOT / "tests" / "fixtures" / "tiny"
OPTIONS = ["--codec", "SQ8", "--any-language"]


@pytest.fixture(scope="module")
def program() -> str:
    path = Path(os.environ.get("MEMPACK_PROGRAM", ROOT / "target" / "release" / "mempack")).resolve()
    if path.exists():
        return str(path)
    if REQUIRED:
        pytest.fail(f"{path} does not exist; REQUIRE_RAY=1 asks for it")
    pytest.skip(f"{path} does not exist; set MEMPACK_PROGRAM")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Documents that are all different, of one reference each."""
    path = tmp_path_factory.mktemp("corpus") / "corpus.jsonl"
    words = [word for line in (ROOT / "kb-samples" / "legal" / "corpus.jsonl").read_text().splitlines() for word in json.loads(line)["text"].split()]
    texts = (" ".join(words[(7 * number + 31 * at) % len(words)] for at in range(12)) for number in range(160))
    path.write_text("".join(json.dumps({"id": f"d{number}", "title": f"Document {number}", "text": text}) + "\n" for number, text in enumerate(texts)))
    return path


@pytest.fixture(scope="module")
def by_hand(program: str, corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The id of the set that the three commands make."""
    folder = tmp_path_factory.mktemp("hand")
    plan = folder / "build.plan"

    def run(*arguments: object) -> dict[str, Any]:
        done = subprocess.run([program, *map(str, arguments), "--json"], capture_output=True, text=True, check=False, timeout=600)
        assert done.returncode == 0, done.stderr
        printed: dict[str, Any] = json.loads(done.stdout)
        return printed

    run("plan", corpus, "-o", plan, "--shards", SHARDS, "--packs", 2, "--model", TINY, *OPTIONS)
    for shard in reversed(range(SHARDS)):
        run("build", "--plan", plan, "--shard", shard, "--model", TINY)
    return str(run("merge", plan, "-o", folder / "bank")["id"])


def build(program: str, corpus: Path, folder: Path, **more: Any) -> mempack.ray.BuildReport:
    options = mempack.ray.BuildOptions(
        corpus=[corpus],
        target=str(folder / "bank"),
        shards=SHARDS,
        packs=2,
        model=TINY,
        options=OPTIONS,
        program=program,
        cpus_per_shard=1,
        pause_seconds=0.1,
        **more,
    )
    return mempack.ray.run(options, None, Progress(silent=True))


@pytest.mark.usefixtures("cluster")
@pytest.mark.parametrize("workers", [1, 2, 4])
def test_the_same_set_as_by_hand(program: str, corpus: Path, by_hand: str, tmp_path: Path, workers: int) -> None:
    report = build(program, corpus, tmp_path, workers=workers)
    assert (report.set_id, report.shards, report.packs, report.retries) == (by_hand, SHARDS, 2, {})
    assert all(seconds > 0 for seconds in (*report.seconds.values(), *report.cpu_seconds.values()))
    again = build(program, corpus, tmp_path, workers=workers)
    assert (again.set_id, again.complete_before) == (by_hand, SHARDS)


@pytest.mark.usefixtures("cluster")
def test_the_same_set_with_a_worker_that_is_killed_twice(program: str, corpus: Path, by_hand: str, tmp_path: Path) -> None:
    plan = str(tmp_path / "bank.work" / "build.plan")
    building = Path(plan) / "shards" / "0001.shard.building"
    killed: list[int] = []

    def running() -> int | None:
        found = (pid for pid, arguments in processes() if f"--plan={plan} --shard=1 " in arguments and "PR_SET_PDEATHSIG" not in arguments)
        return next((pid for pid in found if pid not in killed), None)

    def kill() -> None:
        for _ in range(2):
            pid = eventually(lambda: building.exists() and running(), "the shard is built", 120)
            # It is not complete before its worker is killed.
            os.kill(pid, signal.SIGSTOP)
            parent = int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
            os.kill(parent, signal.SIGKILL)
            killed.append(pid)
            eventually(lambda pid=pid: pid not in [other for other, _ in processes()], "the program ends with its worker", 10)

    killer = threading.Thread(target=kill)
    killer.start()
    report = build(program, corpus, tmp_path, workers=2)
    killer.join()
    assert report.set_id == by_hand and len(killed) == 2 and report.retries == {1: 2}


@pytest.mark.usefixtures("cluster")
def test_another_model_ends_the_job(program: str, corpus: Path, tmp_path: Path) -> None:
    """The program says what no retry mends."""
    build(program, corpus, tmp_path, workers=4)
    other = tmp_path / "other"
    other.mkdir()
    for file in TINY.iterdir():
        (other / file.name).write_bytes(file.read_bytes())
    config = json.loads((TINY / "config.json").read_text())
    assert config["memory"]["tokens_per_head"] == 8
    config["memory"]["tokens_per_head"] = 4
    (other / "config.json").write_text(json.dumps(config))
    for shard in (tmp_path / "bank.work" / "build.plan" / "shards").glob("*.shard"):
        shard.unlink()
    options = mempack.ray.BuildOptions(
        corpus=[], plan=tmp_path / "bank.work" / "build.plan", target=str(tmp_path / "bank"), model=other, program=program, cpus_per_shard=1
    )
    with pytest.raises(mempack.ray.BuildError, match="tokens per head") as raised:
        mempack.ray.run(options, None, Progress(silent=True))
    assert raised.value.code == 4 and raised.value.shard is not None
