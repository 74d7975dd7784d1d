"""How much memory one evaluation with its gradient needs at its peak.

Each package has a process of its own, which makes the data, builds the problem and
evaluates once; the peak is that of the whole process, Python and data included.
"""

from __future__ import annotations

from typing import Any

from ..measure import Settings, run_child
from ..problems import Size
from ..table import Row
from .evaluation import QUICK

SIZE = Size(T=2_000, J=50, I=1_000, K2=3)
#: Too little for one market's exponentiated utilities, 400 kB at this size.
SMALL_SCRATCH = 64 * 2**10


def run(case: str, settings: Settings) -> list[Row]:
    """Measure peaks of resident memory."""
    size = QUICK if settings.quick else SIZE
    request = {"size": [size.T, size.J, size.I, size.K2]}
    theirs: list[dict[str, Any]] = []
    ours: list[dict[str, Any]] = []
    small: list[dict[str, Any]] = []
    for _ in settings.repeats(1):
        for found, options in (
            (theirs, {"package": "pyblp", "scratch_bytes": None}),
            (ours, {"package": "blpdask", "scratch_bytes": None}),
            (small, {"package": "blpdask", "scratch_bytes": SMALL_SCRATCH}),
        ):
            found.append(run_child("memory", request | options)[1])
    return [
        _row(case, "before the problem is built", "before", theirs, ours, "with data"),
        _row(case, "peak of one evaluation", "peak", theirs, ours, f"{size}"),
        _row(
            case,
            f"peak, scratch_bytes={SMALL_SCRATCH}",
            "peak",
            theirs,
            small,
            f"evaluation {_slower(ours, small):.2f} x as long",
        ),
        Row(
            case,
            "objective",
            "",
            tuple(answer["objective"] for answer in theirs),
            tuple(answer["objective"] for answer in ours),
            comparison="apart",
            digits=10,
        ),
    ]


def _row(
    case: str,
    measure: str,
    key: str,
    theirs: list[dict[str, Any]],
    ours: list[dict[str, Any]],
    note: str,
) -> Row:
    return Row(
        case,
        measure,
        "GiB",
        tuple(answer[key] for answer in theirs),
        tuple(answer[key] for answer in ours),
        digits=3,
        note=note,
    )


def _slower(usual: list[dict[str, Any]], small: list[dict[str, Any]]) -> float:
    return float(small[0]["cpu"] / usual[0]["cpu"])
