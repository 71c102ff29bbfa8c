"""The command line: `mempack-ray build CORPUS... -o TARGET --shards N`."""

import argparse
import json
import math
import shlex
import signal
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from . import BuildOptions, ClusterError, OptionError, run
from .options import StrPath
from .progress import Progress, thousands
from .worker import FAILED, INTERRUPTED, USAGE

DESCRIPTION = """
Builds a bank on a Ray cluster: `mempack plan`, `mempack build --plan` for each shard, `mempack merge`, and `mempack push` if TARGET is a URL, as tasks of the
cluster. The nodes need Ray and the program, of one version; corpus, models, TARGET and the work folder have the same paths on all of them. Options of
`mempack plan` stand after `--`. The same command goes on with what was finished.
"""


def parser() -> argparse.ArgumentParser:
    """The parser of the arguments before `--`."""
    top = argparse.ArgumentParser(prog="mempack-ray", description="Banks that a Ray cluster builds.")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    build = commands.add_parser(
        "build", help="build a bank", description=DESCRIPTION, usage="%(prog)s CORPUS... -o TARGET --shards N [options] [-- options of mempack plan]"
    )
    build.add_argument("corpus", nargs="*", metavar="CORPUS", help="files and folders of the corpus")
    build.add_argument("-o", "--output", required=True, metavar="TARGET", help="the folder of the bank, or a URL such as s3://bucket/bank")
    build.add_argument("--shards", type=int, metavar="N", help="number of build shards")
    build.add_argument("--packs", type=int, metavar="P", help="number of search packs [default: one for each million references]")
    build.add_argument("--model", metavar="DIR", help="as for mempack plan")
    build.add_argument("--embedder", metavar="DIR", help="as for mempack plan")
    build.add_argument("--plan", metavar="PLAN", help="build this plan of mempack plan as it is, instead of a corpus")
    build.add_argument("--work", metavar="FOLDER", help="the folder of plan and shards, which all nodes see [default: TARGET.work]")
    build.add_argument("--name", default="bank", help="the name of the set [default: bank]")
    build.add_argument(
        "--address",
        metavar="ADDRESS",
        help="auto, ray://HOST:PORT, HOST:PORT, or local for a cluster of this machine [default: auto if there is one, else local]",
    )
    build.add_argument("--cpus-per-shard", type=int, default=4, metavar="N", help="CPUs, and threads, of a shard [default: 4]")
    build.add_argument("--gpus-per-shard", type=float, default=0.0, metavar="N", help="GPUs of the plan and of a shard; --device is then cuda [default: 0]")
    build.add_argument("--resource", type=resource, action="append", default=[], metavar="NAME=N", help="a further resource of Ray that each task takes")
    build.add_argument("--workers", type=int, metavar="N", help="most shards at the same time [default: as many as there is room for]")
    build.add_argument("--max-retries", type=int, default=5, metavar="N", help="how often a shard is tried again [default: 5]")
    build.add_argument("--merge-threads", type=int, default=1, metavar="N", help="packs that the merge writes at the same time [default: 1]")
    build.add_argument("--replan", action="store_true", help="make the plan again; shards stay if it stays the same")
    build.add_argument("--program", default="mempack", metavar="MEMPACK", help="the program on the nodes [default: mempack]")
    build.add_argument("--json", action="store_true", help="print a report as one JSON object")
    return top


def resource(word: str) -> tuple[str, float]:
    """`NAME=N`."""
    name, _, amount = word.partition("=")
    try:
        found = float(amount)
    except ValueError:
        found = -1.0
    if not name or not 0 < found < math.inf or name in ("CPU", "GPU", "memory"):
        raise argparse.ArgumentTypeError(f"{word} is no resource: expected NAME=N, with N above 0; CPUs and GPUs have options of their own")
    return name, found


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line. Gives the exit code: that of the program if it failed, 2 for usage, 130 if interrupted."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    at = words.index("--") if "--" in words else len(words)
    args = parser().parse_args(words[:at])
    corpus: list[StrPath] = list(args.corpus)
    progress = Progress()
    _catch()
    try:
        options = BuildOptions(
            corpus=corpus,
            target=args.output,
            shards=args.shards,
            packs=args.packs,
            model=args.model,
            embedder=args.embedder,
            options=words[at + 1 :],
            plan=args.plan,
            work=args.work,
            name=args.name,
            cpus_per_shard=args.cpus_per_shard,
            gpus_per_shard=args.gpus_per_shard,
            resources=dict(args.resource),
            workers=args.workers,
            max_retries=args.max_retries,
            merge_threads=args.merge_threads,
            replan=args.replan,
            program=args.program,
        )
        report = run(options, args.address, progress, ready=_catch)
    except OptionError as error:
        return _failed(str(error), USAGE)
    except ClusterError as error:
        return _failed(str(error), FAILED)
    except KeyboardInterrupt:
        progress.end()
        again = shlex.join(["mempack-ray", *words])
        return _failed(f"interrupted; what was finished is in {options.work_folder}, and the same command goes on from there:\n  {again}", INTERRUPTED)
    except RuntimeError as error:
        progress.end()
        code: Any = getattr(error, "code", None)
        if code is None:
            raise
        kept = f"finished shards stay in {options.plan_folder}; the same command goes on from there"
        return _failed(f"{error}\nmempack-ray: {kept}", code if 0 < code < 256 else FAILED)
    if args.json:
        print(json.dumps(report.to_json()))
    else:
        packs = f"{thousands(report.references)} references in {report.packs} {'pack' if report.packs == 1 else 'packs'}"
        print(f"{report.target}: {packs}, {sum(report.seconds.values()):.1f} s, {sum(report.cpu_seconds.values()):.1f} s of CPU time, id {report.set_id}")
    return 0


def _catch() -> None:
    # What ends a container or a job of a cluster ends the build as Ctrl-C does, which a shell has its background jobs ignore.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _interrupt)


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def _failed(message: str, code: int) -> int:
    print(f"mempack-ray: {message}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
