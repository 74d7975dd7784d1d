"""How time is taken: wall and CPU seconds of this process, or of a fresh one.

Where other programs use the machine, wall seconds measure them too and CPU seconds do
so less; ratios of what was measured in turns within one run are the least affected.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
CHILD = [sys.executable, "-m", "tests.benchmarks.child"]


@dataclass(frozen=True, slots=True)
class Span:
    """Wall and CPU seconds that something took."""

    wall: float
    cpu: float

    def __truediv__(self, count: float) -> Span:
        """Divide by the number of times that it was done."""
        return Span(self.wall / count, self.cpu / count)

    def __add__(self, other: Span) -> Span:
        """Add what came after."""
        return Span(self.wall + other.wall, self.cpu + other.cpu)


@dataclass(frozen=True, slots=True)
class Settings:
    """What the user asked for.

    Attributes
    ----------
    quick
        Whether problems are tiny and nothing is repeated.
    repeat
        Repeats of every measurement, each case's own number where None.
    say
        Told of progress.
    """

    quick: bool
    repeat: int | None
    say: Callable[[str], None]

    def repeats(self, usual: int) -> Iterator[int]:
        """Count repeats, saying which one begins where there are more."""
        count = self.repeat or (1 if self.quick else usual)
        for number in range(1, count + 1):
            self.say(f"  repeat {number} of {count}")
            yield number


class Stopwatch:
    """Wall and CPU seconds since it was made."""

    def __init__(self) -> None:
        self._wall = time.perf_counter()
        self._cpu = time.process_time()

    def read(self) -> Span:
        """Give the seconds since it was made, all threads of the process together."""
        wall = time.perf_counter() - self._wall
        return Span(wall, time.process_time() - self._cpu)


def mean_span(spans: Sequence[Span]) -> Span:
    """Average over evaluations."""
    return sum(spans, Span(0.0, 0.0)) / len(spans)


def time_process(
    command: Sequence[str], changes: Mapping[str, str] | None = None, text: str = ""
) -> tuple[Span, str]:
    """Run a process to its end; give its seconds and what it printed."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, **(changes or {})},
        input=text,
        capture_output=True,
        text=True,
        check=False,
    )
    wall = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr}")
    user, system = after.ru_utime - before.ru_utime, after.ru_stime - before.ru_stime
    return Span(wall, user + system), done.stdout


def run_child(
    task: str, request: Mapping[str, Any], changes: Mapping[str, str] | None = None
) -> tuple[Span, dict[str, Any]]:
    """Run a task of :mod:`tests.benchmarks.child` in a process of its own."""
    span, printed = time_process([*CHILD, task], changes, json.dumps(request) + "\n")
    return span, json.loads(printed.splitlines()[-1])


def run_children_at_once(
    task: str, requests: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Run a task in several processes that start measuring at the same moment.

    A child says "ready" when it has built its problem, and measures when told "go".
    """
    children = [
        subprocess.Popen(
            [*CHILD, task],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in requests
    ]
    try:
        for child, request in zip(children, requests, strict=True):
            _tell(child, json.dumps(request))
        for child in children:
            _hear(child)
        for child in children:
            _tell(child, "go")
        return [json.loads(_hear(child)) for child in children]
    finally:
        for child in children:
            child.communicate()


def _tell(child: subprocess.Popen[str], line: str) -> None:
    assert child.stdin is not None
    child.stdin.write(line + "\n")
    child.stdin.flush()


def _hear(child: subprocess.Popen[str]) -> str:
    assert child.stdout is not None
    line = child.stdout.readline()
    if not line:
        raise RuntimeError(f"a child ended early, with code {child.wait()}")
    return line
