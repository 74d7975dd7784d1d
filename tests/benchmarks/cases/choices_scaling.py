"""How well two workers, or two threads, use two cores on a mixed logit.

As in :mod:`.threads`, two independent serial processes at once are the fair measure of
what two workers could reach. Choices are those of electricity, 361 households' 4308
among 4 suppliers, all six coefficients normal, each household 24 times over, so that an
evaluation takes about 1.4 seconds of one core; R=1500 draws a household are made by
the workers that need them, before time is taken.
"""

from __future__ import annotations

from typing import Any

from ..measure import Settings
from ..table import Row
from .threads import count_rates, ratio_row

R, COPIES, EVALUATIONS = 1_500, 24, 8
#: Without copies choices are simulated.
QUICK = {"R": 50, "copies": 0, "evaluations": 2}


def run(case: str, settings: Settings) -> list[Row]:
    """Count evaluations a second: one process, two threads, two workers, two."""
    request: dict[str, Any] = {"R": R, "copies": COPIES, "evaluations": EVALUATIONS}
    if settings.quick:
        request = dict(QUICK)
    ways = {
        "one serial process": [request],
        "two threads": [request | {"threads": 2}],
        "Dask, two workers": [request | {"workers": 2}],
        "two serial processes at once, sum": [request, request],
    }
    note = f"electricity x {request['copies']}, R={request['R']}"
    rates, rows = count_rates(case, settings, ways, note=note, task="choices")
    one, threads, workers, processes = rates.values()
    return [
        *rows,
        ratio_row(case, "efficiency, two threads : two processes", threads, processes),
        ratio_row(case, "efficiency, two workers : two processes", workers, processes),
        ratio_row(case, "speed-up, two workers : one process", workers, one),
    ]
