"""The driver: plan, shards, merge and publication as tasks of a Ray cluster."""

import contextlib
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

import ray as typed_ray
from ray import cloudpickle
from ray.exceptions import GetTimeoutError, RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from . import worker
from .options import BuildOptions
from .progress import Progress, Shards, duration, shard_of, thousands
from .worker import Event, Outcome, Step

# Its types have not all options of a task, and no calls of its own helpers.
ray: Any = typed_ray
pickling: Any = cloudpickle

POLL_SECONDS = 0.5
"""How often the driver asks what tasks report."""
END_SECONDS = worker.GRACE_SECONDS + 15
"""How long tasks that are cancelled may take."""
MAX_IN_FLIGHT = 1000
"""Most tasks that wait for room in the cluster. An autoscaler sees them."""


class BuildError(RuntimeError):
    """A build that ended with an error. What was finished stays, and the same build goes on from it."""

    def __init__(self, step: str, code: int, message: str, node: str | None = None) -> None:
        place = f" on {node}" if node else ""
        super().__init__(f"{step}{place}: {message}")
        self.step = step
        """`plan`, `shard 3`, `merge` or `push`."""
        self.shard = shard_of(step)
        """The number of the shard, if it was one."""
        self.code = code
        """The program's exit code; 1 if it did not come to one."""
        self.message = message
        self.node = node


@dataclass
class BuildReport:
    """A bank that was built."""

    set_id: str
    set_file: str
    """The set's file on the nodes."""
    target: str
    plan_id: str
    references: int
    shards: int
    packs: int
    bytes: int
    seconds: dict[str, float]
    """Of each stage, by the driver's clock: `plan`, `shards`, `merge`, `push`."""
    cpu_seconds: dict[str, float]
    """Of the program in each stage, without runs whose worker was killed."""
    retries: dict[int, int]
    """How often shards were started again, of those that were."""
    complete_before: int
    """Shards that were complete already."""
    pushed: dict[str, Any] | None = None
    """What `mempack push` printed."""

    def to_json(self) -> dict[str, Any]:
        """All fields, as values that JSON has."""
        return {**asdict(self), "retries": {str(shard): count for shard, count in sorted(self.retries.items())}}


class Needs(NamedTuple):
    """What a task takes of its node."""

    cpus: int
    gpus: float = 0.0


@dataclass
class Driver:
    """One build."""

    options: BuildOptions
    progress: Progress
    starts: dict[str, int] = field(default_factory=dict)
    """How often each step was started."""
    seconds: dict[str, float] = field(default_factory=dict)
    cpu_seconds: dict[str, float] = field(default_factory=dict)
    stage: str = ""
    board: Any = None

    def run(self) -> BuildReport:
        """Builds the bank."""
        options = self.options
        with _by_value(), self._boarded():
            with self._stage("plan"):
                planned = self._run_one(options.plan_step(), worker.run_plan, self._shard_needs())
            references: list[int] = planned["shard_references"]
            of = f"{thousands(planned['references'])} references in {len(references)} shards, for {planned['packs']} search packs"
            self.progress.say(f"the plan {'of before, with' if planned['kept'] else 'has'} {of}, is in {options.plan_folder}")
            plan_id, complete_before = self._build_shards(references)
            with self._stage("merge"):
                merged = self._run_one(options.merge_step(), worker.run_step, Needs(options.merge_threads))
            pushed = None
            if options.is_url:
                with self._stage("push"):
                    pushed = self._run_one(options.push_step(), worker.run_step, Needs(1))
        retries = {shard: starts - 1 for name, starts in self.starts.items() if (shard := shard_of(name)) is not None and starts > 1}
        return BuildReport(
            set_id=str(merged["id"]),
            set_file=str(merged["set"]),
            target=options.target,
            plan_id=plan_id,
            references=int(merged["references"]),
            shards=len(references),
            packs=len(merged["packs"]),
            bytes=int(merged["bytes"]),
            seconds=self.seconds,
            cpu_seconds=self.cpu_seconds,
            retries=retries,
            complete_before=complete_before,
            pushed=pushed,
        )

    def _build_shards(self, references: list[int]) -> tuple[str, int]:
        """Builds all shards. Gives the plan's id, and how many were complete before."""
        options, plan_id, complete_before = self.options, "", 0

        def complete(outcome: Outcome) -> None:
            nonlocal plan_id, complete_before
            output, shard = outcome["output"], shard_of(outcome["name"])
            assert shard is not None
            was_complete = bool(output.get("was_complete"))
            complete_before += was_complete
            plan_id = str(output.get("plan_id", ""))
            self.progress.finished(shard, was_complete=was_complete)

        with self._stage("shards"):
            self.progress.shards = Shards(references, time.monotonic())
            steps = [options.shard_step(shard) for shard in range(len(references))]
            self._run(steps, worker.run_step, self._shard_needs(), options.workers or MAX_IN_FLIGHT, complete)
            self.progress.end()
        return plan_id, complete_before

    @contextlib.contextmanager
    def _boarded(self) -> Iterator[None]:
        """While tasks have a board to report to. It begins empty again if its node is lost, and is on that of the driver if it can be."""
        near = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
        self.board = ray.remote(num_cpus=0, max_restarts=-1, scheduling_strategy=near)(worker.Board).remote()
        try:
            yield
        finally:
            ray.kill(self.board)

    @contextlib.contextmanager
    def _stage(self, name: str) -> Iterator[None]:
        self.stage, started = name, time.monotonic()
        self.cpu_seconds[name] = 0.0
        try:
            yield
        finally:
            self.seconds[name] = time.monotonic() - started
            self.progress.end()
        self.progress.say(f"{name}: done in {duration(self.seconds[name])}")

    def _task(self, run: Callable[..., Outcome], needs: Needs) -> Any:
        # Errors of Ray, such as a node that left, are retried by Ray; so is what a task says is worth it.
        return ray.remote(
            num_cpus=needs.cpus,
            num_gpus=needs.gpus,
            resources=dict(self.options.resources),
            max_retries=self.options.max_retries,
            retry_exceptions=[ChildProcessError],
            scheduling_strategy="SPREAD",
        )(run)

    def _run_one(self, step: Step, run: Callable[..., Outcome], needs: Needs) -> dict[str, Any]:
        outcomes: list[Outcome] = []
        self._run([step], run, needs, 1, outcomes.append)
        return outcomes[0]["output"]

    def _run(self, steps: Sequence[Step], run: Callable[..., Outcome], needs: Needs, limit: int, done: Callable[[Outcome], None]) -> None:
        """Runs steps, at most `limit` at a time. `done` gets what they come to, in the order of their ends. An error of one ends all."""
        task, waiting, running = self._task(run, needs), deque(steps), dict[Any, Step]()
        self._warn_of_room(needs)
        try:
            while waiting or running:
                while waiting and len(running) < min(limit, MAX_IN_FLIGHT):
                    step = waiting.popleft()
                    running[task.options(name=f"mempack {step['name']}").remote(step, self.board)] = step
                ready, _ = ray.wait(list(running), num_returns=1, timeout=POLL_SECONDS)
                self._hear()
                for reference in ready:
                    outcome = self._outcome(reference, running[reference])
                    del running[reference]
                    done(outcome)
                self.progress.tick()
        finally:
            # With an error, or Ctrl-C.
            if running:
                self.progress.end()
                self._cancel(list(running))

    def _outcome(self, reference: Any, step: Step) -> Outcome:
        name = step["name"]
        try:
            outcome: Outcome = ray.get(reference)
        except RayTaskError as error:
            cause = error.cause if isinstance(error.cause, ChildProcessError) else error
            raise BuildError(name, worker.FAILED, f"failed {self._tries(name)}, the last time with {cause}") from None
        except RayError as error:
            reason = str(error).strip().splitlines() or [type(error).__name__]
            raise BuildError(name, worker.FAILED, f"its worker or node was lost {self._tries(name)}: {type(error).__name__}: {reason[0]}") from error
        if outcome["code"] != 0:
            raise BuildError(name, outcome["code"], outcome["message"], outcome["node"])
        self.cpu_seconds[self.stage] += outcome["cpu_seconds"]
        return outcome

    def _tries(self, name: str) -> str:
        times = self.starts.get(name, 1)
        return "once" if times == 1 else f"{times} times"

    def _hear(self) -> None:
        """Takes what tasks have reported. A board that does not answer now does later."""
        try:
            events: list[Event] = ray.get(self.board.take.remote(), timeout=10)
        except (RayError, GetTimeoutError):
            return
        for event in events:
            name = event["name"]
            if event["kind"] == "started":
                self.starts[name] = self.starts.get(name, 0) + 1
            if event["kind"] == "failed":
                self.cpu_seconds[self.stage] += event["cpu_seconds"]
            self.progress.hear(event, self.starts.get(name, 1) - 1, self.options.max_retries)

    def _shard_needs(self) -> Needs:
        return Needs(self.options.cpus_per_shard, self.options.gpus_per_shard)

    def _warn_of_room(self, needs: Needs) -> None:
        """Says if no node has what a task takes: Ray waits until one comes."""
        needed = {"CPU": float(needs.cpus), "GPU": needs.gpus, **self.options.resources}
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        if not any(all(node.get(name, 0.0) >= amount for name, amount in needed.items()) for node in nodes):
            words = ", ".join(f"{amount:g} {name}" for name, amount in needed.items() if amount > 0)
            self.progress.say(f"{self.stage}: no node of the cluster has {words}; waiting for one that has")

    def _cancel(self, references: list[Any]) -> None:
        """Ends tasks, with their programs. A second Ctrl-C ends them at once."""
        self.progress.say(f"stopping {len(references)} {'task' if len(references) == 1 else 'tasks'}")
        try:
            _cancel(references, END_SECONDS, force=False)
        finally:
            _cancel(references, END_SECONDS, force=True)


def _cancel(references: list[Any], seconds: float, *, force: bool) -> None:
    _, left = ray.wait(references, num_returns=len(references), timeout=0)
    for reference in left:
        ray.cancel(reference, force=force)
    if left:
        ray.wait(left, num_returns=len(left), timeout=seconds)


@contextlib.contextmanager
def _by_value() -> Iterator[None]:
    """While Ray sends what runs on the nodes, instead of its name."""
    pickling.register_pickle_by_value(worker)
    try:
        yield
    finally:
        pickling.unregister_pickle_by_value(worker)
