"""The progress of a build on standard error: a line that changes on a terminal, a line for each change otherwise."""

import shutil
import sys
import time
from dataclasses import dataclass, field
from typing import TextIO

from .worker import Event

INTERVAL = 10.0
"""Seconds between lines that tell nothing but how far the work is, where there is no terminal."""


def thousands(number: int) -> str:
    """`1234567` as `1,234,567`."""
    return f"{number:,}"


def duration(seconds: float) -> str:
    """Seconds in a unit that fits."""
    whole = int(seconds)
    if whole < 100:
        return f"{whole} s"
    return f"{whole // 60} min" if whole < 6000 else f"{whole // 3600} h {whole % 3600 // 60} min"


@dataclass
class Shards:
    """How far the shards are."""

    references: list[int]
    """Of each shard."""
    started: float
    """The time when the first one started."""
    done: set[int] = field(default_factory=set)
    running: dict[int, int] = field(default_factory=dict)
    """References of each running shard that are done."""
    kept: int = 0
    """References of shards that were complete before."""

    def finish(self, shard: int, *, was_complete: bool) -> None:
        """A shard is complete."""
        self.running.pop(shard, None)
        self.done.add(shard)
        self.kept += self.references[shard] if was_complete else 0

    def line(self, now: float) -> str:
        """How far all of them are."""
        total = sum(self.references)
        done = sum(self.references[shard] for shard in self.done) + sum(
            min(count, self.references[shard]) for shard, count in self.running.items() if shard not in self.done
        )
        line = f"{len(self.done)} of {len(self.references)} shards done, {len(self.running)} running; {thousands(done)} of {thousands(total)} references"
        rate = (done - self.kept) / max(now - self.started, 1e-3)
        if rate > 0 and len(self.done) < len(self.references):
            line += f", {thousands(int(rate)) if rate >= 100 else format(rate, '.1f')}/s, {duration((total - done) / rate)} left"
        return line


class Progress:
    """Says what the cluster does."""

    def __init__(self, stream: TextIO | None = None, *, silent: bool = False) -> None:
        self._stream = stream or sys.stderr
        self._silent = silent
        self._terminal = not silent and self._stream.isatty()
        self._line, self._printed = "", 0.0
        self.shards: Shards | None = None

    def say(self, text: str) -> None:
        """Prints a line that stays."""
        if not self._silent:
            self._write(f"{self._erased()}mempack-ray: {text}\n")
            self._show(self._line)

    def hear(self, event: Event, retry: int, retries: int) -> None:
        """Says what a step reports. `retry` is 0 at its first start."""
        name, kind, shard = event["name"], event["kind"], shard_of(event["name"])
        if kind == "started":
            if self.shards is not None and shard is not None:
                self.shards.running[shard] = 0
            again = f" again, retry {retry} of {retries}," if retry > 0 else ""
            self.say(f"{name} starts{again} on {event['node']}")
        elif kind == "waiting":
            self.say(f"{name} waits on {event['node']}: {event['text']}")
        elif kind == "failed":
            self.say(f"{name} failed on {event['node']}: {event['text']}")
        elif kind == "progress":
            if self.shards is not None and shard is not None:
                if event["stage"] == "writing memories" and shard in self.shards.running:
                    self.shards.running[shard] = event["done"]
                self.tick()
            else:
                self._update(f"{name}: {event['text']}")

    def finished(self, shard: int, *, was_complete: bool) -> None:
        """A shard is complete."""
        if self.shards is not None:
            self.shards.finish(shard, was_complete=was_complete)
            self._line = self.shards.line(time.monotonic())
            self.say(f"shard {shard} {'was complete already' if was_complete else 'is complete'}: {self._line}")

    def tick(self) -> None:
        """Shows how far the shards are."""
        if self.shards is not None:
            self._update(self.shards.line(time.monotonic()))

    def end(self) -> None:
        """Removes the line that changes."""
        if not self._silent:
            self._write(self._erased())
        self._line, self.shards = "", None

    def _update(self, line: str) -> None:
        if line == self._line or self._silent:
            return
        if self._terminal:
            self._write(self._erased())
            self._show(line)
        elif time.monotonic() - self._printed >= INTERVAL:
            self._write(f"mempack-ray: {line}\n")
        else:
            return
        self._line = line

    def _show(self, line: str) -> None:
        if self._terminal and line:
            # A line that wraps could not be erased.
            self._write(line[: shutil.get_terminal_size().columns - 1])

    def _erased(self) -> str:
        return "\r\x1b[K" if self._terminal else ""

    def _write(self, text: str) -> None:
        if text:
            self._printed = time.monotonic()
            # The work goes on though nobody reads.
            try:
                self._stream.write(text)
                self._stream.flush()
            except (OSError, ValueError):
                self._silent = True


def shard_of(name: str) -> int | None:
    """The shard of a step of this name."""
    word, _, number = name.partition(" ")
    return int(number) if word == "shard" else None
