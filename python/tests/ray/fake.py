"""Behaves like `mempack plan`, `build --plan`, `merge` and `push` in what a scheduler sees: files, locks, progress, JSON, exit codes. It computes nothing.

The corpus is a JSON file: `{"references": 90, "faults": [...]}`. A fault is `{"step": "shard 1", "times": 2, "do": ..., ...}`: the first runs of the step

- `exit` with `code` and `message`,
- are ended by `signal`,
- `hang` until they are killed; with `stubborn`, they do not end when they are asked to,
- take `seconds`,
- `wait` until there is a `file`.

Each run leaves `runs/STEP.N` beside the plan, with its process and its parent.
"""

import argparse
import fcntl
import hashlib
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any, NoReturn


def fail(message: str, code: int = 1) -> NoReturn:
    print(f"mempack: {message}", file=sys.stderr, flush=True)
    sys.exit(code)


def asked_to_end(*_: object) -> NoReturn:
    fail("interrupted; earlier work is kept", 130)


def begin(folder: Path, step: str, faults: list[dict[str, Any]]) -> None:
    """Notes the run, and does what is wrong with it."""
    runs = folder / "runs"
    runs.mkdir(parents=True, exist_ok=True)
    number = 0
    while True:
        try:
            with open(runs / f"{step}.{number}.new", "x", encoding="utf-8") as file:
                json.dump({"pid": os.getpid(), "parent": os.getppid(), "arguments": sys.argv[1:]}, file)
            break
        except FileExistsError:
            number += 1
    os.link(runs / f"{step}.{number}.new", runs / f"{step}.{number}")
    passed = 0
    for fault in faults:
        if fault["step"] != step:
            continue
        if passed <= number < passed + fault.get("times", 1):
            misbehave(fault)
        passed += fault.get("times", 1)


def misbehave(fault: dict[str, Any]) -> None:
    match fault["do"]:
        case "exit":
            fail(fault["message"], fault["code"])
        case "signal":
            os.kill(os.getpid(), fault["signal"])
        case "hang":
            if fault.get("stubborn"):
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
            while True:
                time.sleep(0.05)
        case "slow":
            time.sleep(fault["seconds"])
        case "wait":
            while not Path(fault["file"]).exists():
                time.sleep(0.05)
        case other:
            fail(f"no fault {other}", 2)


def locked(target: Path) -> Any:
    """The lock of what is written, which is held until the file is closed."""
    folder = target.with_name(target.name + ".building")
    folder.mkdir(parents=True, exist_ok=True)
    file = open(folder / "lock", "a", encoding="utf-8")  # noqa: SIM115
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        fail(f"cannot write {target}: another process is writing it, with its files in {folder}; wait until it is done, or end it")
    return file


def plan(args: argparse.Namespace) -> dict[str, Any]:
    target = Path(args.output)
    (source,) = args.corpus
    corpus = json.loads(Path(source).read_text())
    begin(target.parent, "plan", corpus.get("faults", []))
    if (target / "plan.json").exists() and not args.force:
        fail(f"{target}: there is a plan already, maybe with shards", 2)
    count, shards = corpus["references"], args.shards
    sizes = [count * (shard + 1) // shards - count * shard // shards for shard in range(shards)]
    manifest = {
        "references": count,
        "shards": [{"references": size} for size in sizes],
        "packs": args.packs or 1,
        "source": source,
        "words": [args.model, args.codec],
    }
    (target / "shards").mkdir(parents=True, exist_ok=True)
    (target / "plan.json").write_text(json.dumps(manifest))
    print(f"reading: {count} references, 9.0/s in 0.1 s", file=sys.stderr)
    return {"id": digest(target / "plan.json")}


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def opened(folder: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    if not (folder / "plan.json").exists():
        fail(f"{folder}: this is no plan: it has no file plan.json")
    manifest = json.loads((folder / "plan.json").read_text())
    return manifest, json.loads(Path(manifest["source"]).read_text()).get("faults", [])


def build(args: argparse.Namespace) -> dict[str, Any]:
    folder, shard = Path(args.plan), args.shard
    manifest, faults = opened(folder)
    target = folder / "shards" / f"{shard:04}.shard"
    if target.exists():
        return {"shard": shard, "plan_id": digest(folder / "plan.json"), "was_complete": True}
    lock = locked(target)
    begin(folder.parent, f"shard {shard}", faults)
    size = manifest["shards"][shard]["references"]
    print(f"writing memories: {size // 2} of {size} references, 99.0/s, 1 s left", file=sys.stderr, flush=True)
    part = target.with_suffix(".new")
    part.write_text(f"{digest(folder / 'plan.json')} {shard} {args.model}")
    part.rename(target)
    print(f"writing memories: {size} references, 99.0/s in 0.1 s", file=sys.stderr)
    lock.close()
    return {"shard": shard, "plan_id": digest(folder / "plan.json"), "was_complete": False}


def merge(args: argparse.Namespace) -> dict[str, Any]:
    folder, target = Path(args.planned), Path(args.output)
    manifest, faults = opened(folder)
    begin(folder.parent, "merge", faults)
    files = [folder / "shards" / f"{shard:04}.shard" for shard in range(len(manifest["shards"]))]
    if missing := [file.name for file in files if not file.exists()]:
        fail(f"{len(missing)} of the plan's {len(files)} shards cannot be merged: {missing}")
    target.mkdir(parents=True, exist_ok=True)
    own = target / f"{args.name}.mps"
    own.write_text("".join(file.read_text() for file in files))
    packs = [{"file": f"{args.name}-{number:04}.mpk"} for number in range(manifest["packs"])]
    return {"set": str(own), "id": digest(own), "packs": packs, "references": manifest["references"], "bytes": own.stat().st_size}


def push(args: argparse.Namespace) -> dict[str, Any]:
    begin(Path(args.bank).parent, "push", [])
    return {"name": "bank", "url": args.url, "id": digest(Path(args.bank) / "bank.mps")}


def main() -> None:
    signal.signal(signal.SIGTERM, asked_to_end)
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(dest="command", required=True)
    for name, run in (("plan", plan), ("build", build), ("merge", merge), ("push", push)):
        command = commands.add_parser(name)
        command.set_defaults(run=run)
        command.add_argument("--json", action="store_true", required=True)
        if name in ("plan", "build"):
            command.add_argument("--threads", type=int, required=True)
            for option in ("--model", "--embedder", "--base", "--device"):
                command.add_argument(option)
        if name == "plan":
            command.add_argument("corpus", nargs="+")
            command.add_argument("--output", required=True)
            command.add_argument("--shards", type=int, required=True)
            command.add_argument("--packs", type=int)
            command.add_argument("--codec")
            command.add_argument("--force", action="store_true")
        if name == "build":
            command.add_argument("--plan", required=True)
            command.add_argument("--shard", type=int, required=True)
        if name == "merge":
            command.add_argument("planned")
            command.add_argument("--output", required=True)
            command.add_argument("--name", required=True)
            command.add_argument("--threads", type=int, required=True)
        if name == "push":
            command.add_argument("bank")
            command.add_argument("url")
    args = parser.parse_args()
    print(json.dumps(args.run(args)))


if __name__ == "__main__":
    main()
