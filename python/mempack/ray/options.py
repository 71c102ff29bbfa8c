"""What a build by a cluster is told, and the command lines that it becomes."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath

from .worker import PlanStep, Step

StrPath = str | os.PathLike[str]

URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
OWN = ("-o", "--output", "--shards", "--packs", "--threads", "--force", "--json")
"""Options of `mempack plan` that are set here."""
MODELS = ("--model", "--base", "--embedder", "--device")
"""Options that all shards need too."""
FROM_HERE = ("MEMPACK_MODEL", "MEMPACK_BASE", "MEMPACK_EMBEDDER")
"""Variables that a node takes from the driver unless it sets them itself."""
MAX_SHARDS = 100_000


class OptionError(ValueError):
    """An option that cannot be meant."""


@dataclass(frozen=True)
class BuildOptions:
    """What a build by a cluster is told. Paths are those of the nodes, and all of them see the same files there."""

    corpus: Sequence[StrPath]
    """Files and folders of the corpus; empty if `plan` names a plan."""
    target: str
    """The folder of the bank, or a URL that `mempack push` publishes to."""
    shards: int | None = None
    """Number of build shards; that of `plan`, if there is one."""
    packs: int | None = None
    """Number of search packs; if it is None, one for each million references."""
    model: StrPath | None = None
    embedder: StrPath | None = None
    options: Sequence[str] = ()
    """Further options of `mempack plan`."""
    plan: StrPath | None = None
    """A plan of `mempack plan` to build as it is."""
    work: StrPath | None = None
    """The folder of plan and shards; `TARGET.work`, if it is None."""
    name: str = "bank"
    """The name of the set."""
    cpus_per_shard: int = 4
    gpus_per_shard: float = 0.0
    resources: Mapping[str, float] = field(default_factory=dict)
    """Further resources of Ray that each task takes."""
    workers: int | None = None
    """Most shards at the same time; as many as the cluster has room for, if it is None."""
    max_retries: int = 5
    """How often a shard is tried again, after a worker died or the program failed for a reason that may pass."""
    merge_threads: int = 1
    """Packs that the merge writes at the same time."""
    replan: bool = False
    """Whether the plan is made again though there is one."""
    program: str = "mempack"
    """The program on the nodes."""
    busy_seconds: float = 3600.0
    """How long a shard waits for another process that builds it."""
    pause_seconds: float = 10.0
    """How long after a failure a shard is tried again."""

    def __post_init__(self) -> None:
        if not self.corpus and self.plan is None:
            raise OptionError("there is no corpus; name its files and folders, or a plan with --plan")
        if self.corpus and self.plan is not None:
            raise OptionError("--plan builds a plan as it is; leave out the corpus, or --plan")
        if self.plan is not None and (self.shards is not None or self.packs is not None or self.replan or split(self.options)[1]):
            raise OptionError(f"--plan builds a plan as it is: leave out --shards, --packs, --replan and all options of `mempack plan` but {', '.join(MODELS)}")
        if self.plan is None and self.shards is None:
            raise OptionError("--shards N is missing: the number of build shards, for example four times that of the nodes")
        if any(str(path) == "-" for path in self.corpus):
            raise OptionError("a corpus on standard input does not reach the nodes; name a file or folder that all of them see")
        if any(URL.match(str(path)) for path in self.corpus):
            raise OptionError("the corpus is a URL; name a file or folder that all nodes see")
        if URL.match(self.target) and self.work is None:
            raise OptionError(f"{self.target} is a URL; name a folder that all nodes see with --work: the bank is made there and then published")
        if not self.target:
            raise OptionError("the target is empty; name a folder or a URL")
        for name, found, least in (
            ("--shards", self.shards, 1),
            ("--packs", self.packs, 1),
            ("--cpus-per-shard", self.cpus_per_shard, 1),
            ("--workers", self.workers, 1),
            ("--max-retries", self.max_retries, 0),
            ("--merge-threads", self.merge_threads, 1),
        ):
            if found is not None and found < least:
                raise OptionError(f"{name} is {found}, expected at least {least}")
        if self.shards is not None and self.shards > MAX_SHARDS:
            raise OptionError(f"--shards is {self.shards}, expected at most {MAX_SHARDS}")
        if not 0 <= self.gpus_per_shard < 1e4:
            raise OptionError(f"--gpus-per-shard is {self.gpus_per_shard}, expected 0 or more")
        for option in self.options:
            if option.split("=")[0] in OWN or (option.startswith("-o") and not option.startswith("--")):
                raise OptionError(f"{option} does not go to `mempack plan` from here: it has an option before `--`, or is set already")

    @property
    def is_url(self) -> bool:
        """Whether the bank is published."""
        return URL.match(self.target) is not None

    @property
    def work_folder(self) -> str:
        """The folder of plan and shards."""
        if self.work is not None:
            return os.path.abspath(self.work)
        return os.path.abspath(self.target) + ".work"

    @property
    def plan_folder(self) -> str:
        """The folder of the plan."""
        return os.path.join(self.work_folder, "build.plan") if self.plan is None else os.path.abspath(self.plan)

    @property
    def bank(self) -> str:
        """The folder that the bank is merged into."""
        return os.path.join(self.work_folder, "bank") if self.is_url else os.path.abspath(self.target)

    def plan_step(self) -> PlanStep:
        """Makes the plan."""
        arguments = [f"--shards={self.shards}"]
        if self.packs is not None:
            arguments.append(f"--packs={self.packs}")
        arguments += [*self._model_arguments(), *split(self.options)[1]]
        corpus = [os.path.abspath(path) for path in self.corpus]
        command = ["plan", *arguments, f"--output={self.plan_folder}", f"--threads={self.cpus_per_shard}", "--json", *(["--force"] if self.replan else [])]
        return {
            **self._step("plan", [*command, "--", *corpus]),
            "plan": self.plan_folder,
            "work": self.work_folder,
            "corpus": corpus,
            "arguments": [*corpus, *arguments],
            "replan": self.replan,
        }

    def shard_step(self, shard: int) -> Step:
        """Builds a shard."""
        command = ["build", f"--plan={self.plan_folder}", f"--shard={shard}", f"--threads={self.cpus_per_shard}", "--json"]
        return self._step(f"shard {shard}", [*command, *self._model_arguments()], retry_failed=True)

    def merge_step(self) -> Step:
        """Makes the bank."""
        command = ["merge", f"--output={self.bank}", f"--name={self.name}", f"--threads={self.merge_threads}", "--json"]
        return self._step("merge", [*command, "--", self.plan_folder])

    def push_step(self) -> Step:
        """Publishes the bank."""
        return self._step("push", ["push", "--json", "--", self.bank, self.target])

    def _step(self, name: str, arguments: list[str], *, retry_failed: bool = False) -> Step:
        # A name without a slash is looked for on each node.
        program = self.program if PurePath(self.program).name == self.program else os.path.abspath(self.program)
        return {
            "name": name,
            "command": [program, *arguments],
            "environment": {name: os.path.abspath(os.environ[name]) for name in FROM_HERE if os.environ.get(name)},
            "folder": os.getcwd(),
            "retry_failed": retry_failed,
            "busy_seconds": self.busy_seconds,
            "pause_seconds": self.pause_seconds,
        }

    def _model_arguments(self) -> list[str]:
        """Which model and embedder, and on which device."""
        given = {name: os.path.abspath(path) for name, path in (("--model", self.model), ("--embedder", self.embedder)) if path is not None}
        models, _ = split(self.options)
        if self.gpus_per_shard > 0 and not any(word.startswith("--device") for word in models):
            given["--device"] = "cuda"
        return [*(f"{name}={value}" for name, value in given.items()), *models]


def split(options: Sequence[str]) -> tuple[list[str], list[str]]:
    """Parts options into those that all shards need too, and the others."""
    shared: list[str] = []
    others: list[str] = []
    words = iter(options)
    for word in words:
        name, is_joined, value = word.partition("=")
        if name not in MODELS:
            others.append(word)
            continue
        if not is_joined:
            value = next(words, "")
        shared.append(f"{name}={value if name == '--device' else os.path.abspath(value)}")
    return shared, others
