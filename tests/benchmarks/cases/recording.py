"""What it costs to record an estimation, and how long its replay takes.

Nevo's problem in two steps, without Hessians: not recorded, recorded in a new directory
(``resume=``), and once more with the same directory, where every sum is read and none
computed. All three are to give the same bits. Times are of whole solves, divided by the
optimiser's evaluations.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from blpdask.partitions.log_frames import SUM, read_frames
from blpdask.partitions.run_log import LOG
from blpdask.progress import EvaluationEvent, Event

from ..measure import Settings, Span, Stopwatch
from ..packages import build_problem
from ..problems import Data, nevo
from ..table import Row, time_rows

WAYS = ("not recorded", "recorded", "replayed")


@dataclass(frozen=True, slots=True)
class Estimation:
    """What a solve took and found; the optimiser's evaluations are counted."""

    span: Span
    evaluations: int
    results: Any


@dataclass(frozen=True, slots=True)
class Log:
    """How large the log of a solve became."""

    sums: int
    size: int


def run(case: str, settings: Settings) -> list[Row]:
    """Time solves."""
    data = nevo()
    problem = build_problem("blpdask", data)
    found: dict[str, list[Estimation]] = {way: [] for way in WAYS}
    logs: list[Log] = []
    _solve(problem, data, None)  # compiles
    for _ in settings.repeats(9):
        with tempfile.TemporaryDirectory() as name:
            for way, directory in zip(WAYS, (None, name, name), strict=True):
                found[way].append(_solve(problem, data, directory))
            logs.append(_measure_log(Path(name) / LOG))
    return [*_time_rows(case, found), *_log_rows(case, logs), _difference(case, found)]


def _solve(problem: Any, data: Data, directory: str | None) -> Estimation:
    """Estimate in two steps, recorded where a directory is given."""
    evaluations = 0

    def listen(event: Event) -> None:
        nonlocal evaluations
        evaluations += isinstance(event, EvaluationEvent)

    watch = Stopwatch()
    results = problem.solve(
        sigma=data.sigma,
        pi=data.pi,
        check_optimality="gradient",
        engine="serial",
        progress=listen,
        resume=directory,
    )
    return Estimation(watch.read(), evaluations, results)


def _measure_log(path: Path) -> Log:
    sums = sum(frame.kind == SUM for frame in read_frames(path))
    return Log(sums, path.stat().st_size)


def _time_rows(case: str, found: dict[str, list[Estimation]]) -> list[Row]:
    """Make rows of each way, and of what recording adds to an evaluation."""
    rows: list[Row] = []
    for way, solves in found.items():
        spans = [solve.span / solve.evaluations for solve in solves]
        note = f"{solves[0].evaluations} evaluations, no Hessian"
        measure = f"an evaluation, {way}"
        rows += time_rows(case, measure, [], spans, scale=1e3, unit="ms", note=note)
    pairs = list(zip(found["not recorded"], found["recorded"], strict=True))
    added = tuple(
        1e3 * (after.span.cpu - before.span.cpu) / before.evaluations
        for before, after in pairs
    )
    rows.append(Row(case, "added by recording, CPU", "ms", blpdask=added, digits=3))
    return rows


def _log_rows(case: str, logs: list[Log]) -> list[Row]:
    sums = tuple(float(log.sums) for log in logs)
    sizes = tuple(float(log.size) for log in logs)
    each = tuple(log.size / log.sums for log in logs)
    return [
        Row(case, "sums in the log", "", blpdask=sums),
        Row(case, "log", "bytes", blpdask=sizes),
        Row(case, "log, a sum", "bytes", blpdask=each),
    ]


def _difference(case: str, found: dict[str, list[Estimation]]) -> Row:
    """Count the arrays that recording or replaying changed a bit of."""
    names = ("objective", "sigma", "pi", "beta", "sigma_se", "pi_se", "delta")
    calm = [solve.results for solve in found["not recorded"]]
    changed = sum(
        not _same(getattr(one, name), getattr(other.results, name))
        for way in WAYS[1:]
        for one, other in zip(calm, found[way], strict=True)
        for name in names
    )
    note = f"of {', '.join(names)}"
    return Row(case, "results changed", "", blpdask=(float(changed),), note=note)


def _same(one: Any, other: Any) -> bool:
    """Compare arrays bit for bit, NaN with NaN."""
    return np.asarray(one).tobytes() == np.asarray(other).tobytes()
