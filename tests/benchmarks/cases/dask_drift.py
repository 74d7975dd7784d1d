"""Whether evaluation number 2000 is as fast and as small as the first ones.

Nevo's problem on two workers, at θ within 1.5 % of one another, every evaluation taken
as the optimiser's next step: memories are kept, become the anchor and are forgotten.
The driver grows by what it keeps of every evaluation on purpose, its sums, some kB, and
at first by the logs of Dask's scheduler, which are full after some hundred evaluations.
"""

from __future__ import annotations

from statistics import median
from typing import Any

from ..measure import Settings, run_child
from ..table import Row

EVALUATIONS, QUICK_EVALUATIONS = 2_000, 40
#: Parts of the evaluations whose times are compared, and after which memory is settled.
WINDOW, SETTLED = 4, 20


def run(case: str, settings: Settings) -> list[Row]:
    """Evaluate often in a fresh process."""
    count = QUICK_EVALUATIONS if settings.quick else EVALUATIONS
    window, settled = count // WINDOW, count // SETTLED
    request = {"evaluations": count, "looks": [settled, count]}
    answers = [run_child("drift", request)[1] for _ in settings.repeats(1)]
    first = [1e3 * median(answer["walls"][:window]) for answer in answers]
    last = [1e3 * median(answer["walls"][-window:]) for answer in answers]
    ratios = [b / a for a, b in zip(first, last, strict=True)]
    note = f"{count} evaluations of Nevo's problem, 2 workers, median"
    rows = [
        Row(case, f"evaluation, first {window}", "ms", (), tuple(first), note=note),
        Row(case, f"evaluation, last {window}", "ms", (), tuple(last)),
        Row(case, "last : first", "", (), tuple(ratios), digits=3),
    ]
    return rows + _held_rows(case, answers, settled, count)


def _held_rows(
    case: str, answers: list[dict[str, Any]], settled: int, count: int
) -> list[Row]:
    """Compare what is held once memory has settled with what is held at the end."""
    looks = [answer["looks"] for answer in answers]
    since = f"over the last {count - settled}"
    rows = [
        _growth(case, f"driver grew {since}", looks, "driver"),
        _growth(case, f"a worker grew {since}", looks, "workers"),
    ]
    for what, title in (("tasks", "tasks"), ("prefixes", "prefixes of tasks")):
        rows += [
            Row(
                case,
                f"{title} on the scheduler, after {number}",
                "",
                blpdask=tuple(float(pair[place][what]) for pair in looks),
            )
            for place, number in enumerate((settled, count))
        ]
    return rows


def _growth(
    case: str, measure: str, looks: list[list[dict[str, Any]]], who: str
) -> Row:
    """Give the growth of the process that grew most."""
    grown = tuple(
        max(b - a for a, b in zip(before[who], after[who], strict=True)) / 2**20
        for before, after in looks
    )
    held = median(max(after[who]) for _, after in looks) / 2**20
    most = ", of the one that grew most" if who == "workers" else ""
    note = f"resident memory{most}; {held:.0f} MiB at the end"
    return Row(case, measure, "MiB", (), grown, digits=3, note=note)
