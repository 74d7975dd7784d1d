"""How well two workers of a Dask cluster use two cores, where evaluations are long.

As in :mod:`.threads`, two independent serial processes at once are the fair measure of
what two workers could reach. Data are on the workers, and kernels compiled, before time
is taken; the driver, its scheduler included, shares the two cores with the workers.
"""

from __future__ import annotations

from typing import Any

from ..measure import Settings
from ..problems import Size
from ..table import Row
from .evaluation import QUICK
from .threads import count_rates, ratio_row

#: An evaluation takes more than a second of one core.
SIZE = Size(T=4_000, J=50, I=1_000, K2=3)
EVALUATIONS = 10
WORKERS = 2


def run(case: str, settings: Settings) -> list[Row]:
    """Count evaluations a second: one process, two workers, two processes."""
    size = QUICK if settings.quick else SIZE
    request: dict[str, Any] = {
        "size": [size.T, size.J, size.I, size.K2],
        "evaluations": EVALUATIONS,
        "threads": None,
    }
    ways = {
        "one serial process": [request],
        "Dask, two workers": [request | {"workers": WORKERS}],
        "two serial processes at once, sum": [request, request],
    }
    rates, rows = count_rates(case, settings, ways, note=f"{size}")
    one, workers, processes = rates.values()
    return [
        *rows,
        ratio_row(case, "efficiency, two workers : two processes", workers, processes),
        ratio_row(case, "speed-up, two workers : one process", workers, one),
    ]
