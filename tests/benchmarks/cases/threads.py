"""How well two threads use two cores.

Two threads of one process share memory bandwidth, caches and a clock, as two processes
do: what two independent serial processes reach at once is the fair measure of what two
threads could reach. Efficiency is the ratio of both throughputs, in one run.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from ..measure import Settings, run_children_at_once
from ..problems import Size
from ..table import Row
from .evaluation import QUICK

SIZE = Size(T=400, J=50, I=1_000, K2=3)
EVALUATIONS = 30


def run(case: str, settings: Settings) -> list[Row]:
    """Count evaluations a second: one process, two threads, two processes."""
    size = QUICK if settings.quick else SIZE
    request = {
        "size": [size.T, size.J, size.I, size.K2],
        "evaluations": EVALUATIONS,
        "threads": None,
    }
    ways = {
        "one serial process": [request],
        "two threads": [request | {"threads": 2}],
        "two serial processes at once, sum": [request, request],
    }
    rates, rows = count_rates(case, settings, ways, note=f"{size}")
    one, threads, processes = rates.values()
    return [
        *rows,
        ratio_row(case, "efficiency, two threads : two processes", threads, processes),
        ratio_row(case, "speed-up, two threads : one process", threads, one),
    ]


def count_rates(
    case: str,
    settings: Settings,
    ways: Mapping[str, Sequence[Mapping[str, Any]]],
    *,
    note: str,
    task: str = "throughput",
) -> tuple[dict[str, list[float]], list[Row]]:
    """Count evaluations a second of ways to evaluate, in turns.

    Parameters
    ----------
    case, settings, note
        Of the rows.
    ways
        By name, what to ask of processes that measure at the same moment.
    task
        Of :mod:`tests.benchmarks.child`.
    """
    rates: dict[str, list[float]] = {name: [] for name in ways}
    busy: dict[str, list[float]] = {name: [] for name in ways}
    costs: dict[str, list[float]] = {name: [] for name in ways}
    for _ in settings.repeats(3):
        for name, requests in ways.items():
            answers = run_children_at_once(task, requests)
            rates[name].append(_rate(answers))
            busy[name].append(sum(a["cpu"] / a["wall"] for a in answers))
            cpu, count = (
                sum(a[key] for a in answers) for key in ("cpu", "evaluations")
            )
            costs[name].append(cpu / count)
    cores = len(os.sched_getaffinity(0))
    rows = [
        Row(
            case,
            name,
            "evaluations/s",
            blpdask=tuple(samples),
            note=f"{note}; {median(busy[name]):.2f} of {cores} cores had, "
            f"{median(costs[name]):.3g} s of CPU an evaluation",
        )
        for name, samples in rates.items()
    ]
    return rates, rows


def ratio_row(case: str, measure: str, above: list[float], below: list[float]) -> Row:
    """Make a row of the ratio of two rates, repeat by repeat."""
    samples = tuple(a / b for a, b in zip(above, below, strict=True))
    return Row(case, measure, "", blpdask=samples, digits=3)


def _rate(answers: list[dict[str, Any]]) -> float:
    """Add the evaluations a second of processes that measured at the same moment."""
    return float(sum(answer["evaluations"] / answer["wall"] for answer in answers))
