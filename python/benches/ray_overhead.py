"""What a build by a Ray cluster costs beside one `mempack build`: CPU time of everything that runs, Ray included, and whether the set is the same.

    python python/benches/ray_overhead.py CORPUS.jsonl --program target/release/mempack --model tests/fixtures/tiny --embedder DIR \\
        [--shards 8] [--packs 4] [--workers 1 2 4] [--kill 2] [--lines N] [-- options of mempack plan]

For each number of workers a cluster is started on this machine, and ended. With `--kill N`, the last of these has the Ray worker of shard 1 killed N times.
CPU time is user and system time of the command and all that it started, also of what outlived its parent and is handed to this process, looked at ten times a
second. `--lines` takes the first lines of the corpus.
"""

import argparse
import contextlib
import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

PR_SET_CHILD_SUBREAPER = 36


def main() -> None:
    words = sys.argv[1:]
    at = words.index("--") if "--" in words else len(words)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--program", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--embedder", type=Path, required=True)
    parser.add_argument("--shards", type=int, default=8)
    parser.add_argument("--packs", type=int, default=4)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--kill", type=int, default=0, metavar="N")
    parser.add_argument("--lines", type=int, metavar="N")
    args = parser.parse_args(words[:at])
    options = words[at + 1 :]
    if ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        sys.exit("this system does not hand over processes whose parent has ended")

    with tempfile.TemporaryDirectory(prefix="mr", dir="/tmp") as temporary:
        folder = Path(temporary)
        # Sockets of Ray have short names, and its files go with the others.
        environment = {**os.environ, "RAY_TMPDIR": temporary, "HOME": temporary}
        corpus = args.corpus.resolve()
        if args.lines is not None:
            corpus = folder / "corpus.jsonl"
            with args.corpus.open() as lines:
                corpus.write_text("".join(line for _, line in zip(range(args.lines), lines, strict=False)))
        models = ["--model", str(args.model.resolve()), "--embedder", str(args.embedder.resolve())]
        program = str(args.program.resolve())

        single = [program, "build", str(corpus), "-o", str(folder / "single.mpk"), *models, "--threads", str(os.cpu_count()), "--json", *options]
        built, base, wall = measured(single, environment)
        print(f"mempack build: {built['references']:,} references, {base:.1f} s of CPU time in {wall:.1f} s", flush=True)
        (folder / "single.mpk").unlink()

        ids = set()
        for number, workers in enumerate(args.workers):
            target = folder / f"bank-{workers}"
            command = [
                sys.executable,
                "-m",
                "mempack.ray.cli",
                "build",
                str(corpus),
                "-o",
                str(target),
                "--shards",
                str(args.shards),
                "--packs",
                str(args.packs),
            ]
            command += ["--address", "local", "--workers", str(workers), "--cpus-per-shard", "1", "--program", program, *models, "--json", "--", *options]
            kills = args.kill if number + 1 == len(args.workers) else 0
            killer = threading.Thread(target=kill, args=(f"{target}.work/build.plan", kills), daemon=True)
            killer.start()
            report, cpu, wall = measured(command, environment)
            own = sum(report["cpu_seconds"].values())
            stages = ", ".join(f"{name} {seconds:.1f}" for name, seconds in report["cpu_seconds"].items())
            killed = f", shard 1 started again {report['retries'].get('1', 0)} times" if kills else ""
            print(
                f"mempack-ray, {workers} at a time{killed}: {cpu:.1f} s of CPU time in {wall:.1f} s, {cpu / base:.3f} of the build; "
                f"the program {own:.1f} ({stages}), Ray and what was lost {cpu - own:.1f}; id {report['set_id']}",
                flush=True,
            )
            ids.add(report["set_id"])
            shutil.rmtree(target)
            shutil.rmtree(f"{target}.work")
    print("the same set each time" if len(ids) == 1 else f"{len(ids)} different sets")
    sys.exit(len(ids) != 1)


def measured(command: Sequence[str], environment: dict[str, str]) -> tuple[dict[str, Any], float, float]:
    """What a command prints as JSON, the CPU seconds of all that ran, and the seconds that passed."""
    used: dict[tuple[str, str], int] = {}
    ended, started = threading.Event(), time.monotonic()
    sampler = threading.Thread(target=sample, args=(used, ended))
    sampler.start()
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    wall = time.monotonic() - started
    ended.set()
    sampler.join()
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr}")
    printed: dict[str, Any] = json.loads(done.stdout)
    return printed, sum(used.values()) / os.sysconf("SC_CLK_TCK"), wall


def sample(used: dict[tuple[str, str], int], ended: threading.Event) -> None:
    """Keeps the ticks of each process below this one, by number and start, until the end. Ray does not wait for its workers, so no parent has their times."""
    while not ended.wait(0.1):
        rows: dict[str, list[str]] = {}
        for folder in Path("/proc").iterdir():
            if folder.name.isdecimal():
                with contextlib.suppress(OSError):
                    rows[folder.name] = (folder / "stat").read_text().rsplit(")", 1)[1].split()
        below = {str(os.getpid())}
        while more := {pid for pid, row in rows.items() if row[1] in below} - below:
            below |= more
        for pid in below - {str(os.getpid())}:
            used[pid, rows[pid][19]] = int(rows[pid][11]) + int(rows[pid][12])


def kill(plan: str, times: int) -> None:
    """Kills the worker of shard 1 of a plan so often, each time when the shard has more than before."""
    records, size, dead = Path(plan) / "shards" / "0001.shard.building" / "records", 32, 0
    while times > 0:
        time.sleep(0.02)
        try:
            found = records.stat().st_size
        except OSError:
            continue
        program = running(f"--plan={plan} --shard=1 ")
        if found > size and program not in (None, dead):
            assert program is not None
            parent = int(Path(f"/proc/{program}/stat").read_text().rsplit(")", 1)[1].split()[1])
            os.kill(parent, signal.SIGKILL)
            size, dead, times = found, program, times - 1


def running(arguments: str) -> int | None:
    """The program with these arguments."""
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                found = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if arguments in found and "PR_SET_PDEATHSIG" not in found:
                return int(folder.name)
    return None


if __name__ == "__main__":
    main()
