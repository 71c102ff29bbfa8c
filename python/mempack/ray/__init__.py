"""Banks that a Ray cluster builds.

```python
import mempack.ray

report = mempack.ray.build(["/data/corpus"], "/data/bank", shards=64, address="auto")
print(report.set_id, report.seconds, report.retries)
```

The work is that of `mempack plan`, `mempack build --plan` and `mempack merge`, as tasks of the cluster: a task is told the number of a shard, and runs the
program. The set is the same whatever happens: one worker or many, in any order, with any of them killed.

It needs Ray, which `pip install 'mempack[ray]'` brings, and the program on each node. `mempack-ray` is its command line.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, TextIO

from .cluster import ClusterError, connected
from .options import BuildOptions, OptionError, StrPath
from .progress import Progress

if TYPE_CHECKING:
    from .driver import BuildError, BuildReport

__all__ = ["BuildError", "BuildOptions", "BuildReport", "ClusterError", "OptionError", "build", "run"]


def build(
    corpus: Sequence[StrPath] | StrPath,
    target: StrPath,
    *,
    shards: int | None = None,
    packs: int | None = None,
    model: StrPath | None = None,
    embedder: StrPath | None = None,
    options: Sequence[str] = (),
    plan: StrPath | None = None,
    work: StrPath | None = None,
    name: str = "bank",
    address: str | None = None,
    cpus_per_shard: int = 4,
    gpus_per_shard: float = 0.0,
    resources: Mapping[str, float] | None = None,
    workers: int | None = None,
    max_retries: int = 5,
    merge_threads: int = 1,
    replan: bool = False,
    program: str = "mempack",
    stream: TextIO | None = None,
    silent: bool = False,
) -> "BuildReport":
    """Builds a bank on a Ray cluster. The arguments are fields of [`BuildOptions`], and:

    - `address`: where the cluster is. `auto` is the one that runs on this machine or that RAY_ADDRESS names, `local` a new one on this machine, `None` is
      `auto` if there is one, else `local`. A cluster that Ray is connected to already is used.
    - `stream`: where progress goes, standard error if it is None, unless it is `silent`.

    Raises `OptionError`, `ClusterError`, or `BuildError` with the step and the program's exit code and message. The same call goes on with what was finished.
    """
    several = [corpus] if isinstance(corpus, str) or not isinstance(corpus, Sequence) else list(corpus)
    told = BuildOptions(
        corpus=several,
        target=str(target),
        shards=shards,
        packs=packs,
        model=model,
        embedder=embedder,
        options=list(options),
        plan=plan,
        work=work,
        name=name,
        cpus_per_shard=cpus_per_shard,
        gpus_per_shard=gpus_per_shard,
        resources=dict(resources or {}),
        workers=workers,
        max_retries=max_retries,
        merge_threads=merge_threads,
        replan=replan,
        program=program,
    )
    return run(told, address, Progress(stream, silent=silent))


def run(options: BuildOptions, address: str | None, progress: Progress, ready: Callable[[], None] = lambda: None) -> "BuildReport":
    """As [`build`]. `ready` is called when there is a cluster: connecting to one replaces handlers of signals."""
    with connected(address, options) as cluster:
        from .driver import Driver

        ready()

        progress.say(f"building on {cluster}")
        return Driver(options, progress).run()


def __getattr__(name: str) -> object:
    # They need Ray, which is not imported before there is something to build.
    if name in ("BuildError", "BuildReport"):
        from . import driver

        return getattr(driver, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
