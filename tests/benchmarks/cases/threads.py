"""How well two threads use two cores.

Two threads of one process share memory bandwidth, caches and a clock, as two processes
do: what two independent serial processes reach at once is the fair measure of what two
threads could reach. Efficiency is the ratio of both throughputs, in one run.
"""

from __future__ import annotations

import os
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
    rates: dict[str, list[float]] = {name: [] for name in ways}
    busy: dict[str, list[float]] = {name: [] for name in ways}
    for _ in settings.repeats(3):
        for name, requests in ways.items():
            answers = run_children_at_once("throughput", requests)
            rates[name].append(_rate(answers))
            busy[name].append(sum(a["cpu"] / a["wall"] for a in answers))
    cores = len(os.sched_getaffinity(0))
    measured = [
        Row(
            case,
            name,
            "evaluations/s",
            blpdask=tuple(samples),
            note=f"{size}; {median(busy[name]):.2f} of {cores} cores had",
        )
        for name, samples in rates.items()
    ]
    one, threads, processes = rates.values()
    return [
        *measured,
        _ratio(case, "efficiency, two threads : two processes", threads, processes),
        _ratio(case, "speed-up, two threads : one process", threads, one),
    ]


def _rate(answers: list[dict[str, Any]]) -> float:
    """Add the evaluations a second of processes that measured at the same moment."""
    return float(sum(answer["evaluations"] / answer["wall"] for answer in answers))


def _ratio(case: str, measure: str, above: list[float], below: list[float]) -> Row:
    samples = tuple(a / b for a, b in zip(above, below, strict=True))
    return Row(case, measure, "", blpdask=samples, digits=3)
