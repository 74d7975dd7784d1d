"""What it takes to estimate a mixed logit of choices that stay on disk.

A fresh process estimates on a store with two workers of 2 GiB: three normal
coefficients, 64 draws a person, from the conditional logit on to standard errors. The
stores are simulated panels of 10 alternatives, of two sizes, of which the driver must
not feel the difference; and, at full size, Ta Feng's grocery customers.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from ..choices import build_panel, build_ta_feng
from ..measure import Settings, Stopwatch, run_child
from ..ta_feng import FORMULA, RANDOM
from ..table import Row

R = 64
#: People, of 5 situations and 50 rows each.
SIZES, QUICK_SIZES = (2_000, 40_000), (200, 400)
PANEL: dict[str, Any] = {
    "formula": "0 + x0 + x1 + x2 + x3 + x4",
    "random": {"x0": "normal", "x1": "normal", "x2": "normal"},
    "R": R,
}
GROCERY: dict[str, Any] = {"formula": FORMULA, "random": RANDOM, "R": R}
MEBI = 2**20
#: Passes over the blocks, by their names.
_PASSES = (
    ("attributes_pass", "squares of characteristics, blocks read"),
    ("equal_chances_pass", "log-likelihood of chance, blocks read, draws made"),
    ("likelihood_pass", "all evaluations"),
)


def run(case: str, settings: Settings) -> list[Row]:
    """Measure peaks of driver and workers, and seconds."""
    small, large = QUICK_SIZES if settings.quick else SIZES
    data: dict[str, tuple[Callable[[Path], int], dict[str, Any]]] = {
        f"N={50 * size:.0e}": (partial(build_panel, n_people=size), PANEL)
        for size in (small, large)
    }
    if not settings.quick:
        data["Ta Feng"] = build_ta_feng, GROCERY
    samples: dict[str, list[dict[str, Any]]] = {name: [] for name in data}
    for _ in settings.repeats(1):
        for name, (build, request) in data.items():
            settings.say(f"  {name}")
            samples[name].append(_measure(build, request))
    rows = [row for name in data for row in _rows(case, name, samples[name])]
    ratios = tuple(
        after["driver"] / before["driver"]
        for before, after in zip(*list(samples.values())[:2], strict=True)
    )
    measure = f"driver, peaks at N={50 * large:.0e} : {50 * small:.0e}"
    return [*rows, Row(case, measure, "", blpdask=ratios)]


def _measure(build: Callable[[Path], int], request: dict[str, Any]) -> dict[str, Any]:
    """Build a store, estimate, and leave nothing behind."""
    with tempfile.TemporaryDirectory() as name:
        store = Path(name) / "store"
        watch = Stopwatch()
        size = build(store)
        built = watch.read().wall
        found = run_child("stored-choices", request | {"store": str(store)})[1]
    assert found["converged"]
    return found | {"disk": size, "built": built}


def _rows(case: str, name: str, samples: list[dict[str, Any]]) -> list[Row]:
    """Make the rows of one store."""
    first = samples[0]
    sizes = ", ".join(f"{key}={size:,}" for key, size in first["sizes"].items())

    def row(measure: str, unit: str, values: list[float], note: str = "") -> Row:
        return Row(case, f"{name}: {measure}", unit, blpdask=tuple(values), note=note)

    held = [
        row(title, "MiB", [s[key] / MEBI for s in samples])
        for key, title in (
            ("before", "driver, peak before the problem"),
            ("driver", "driver, peak"),
            ("worker", "peak of the larger worker"),
            ("held", "held by workers: blocks with draws"),
        )
    ]
    passes = [
        row(title, "s", [s["seconds"][key] for s in samples]) for key, title in _PASSES
    ]
    note = f"{first['evaluations']} evaluations after those of the logit"
    return [
        row("log-likelihood", "", [s["log_likelihood"] for s in samples], sizes),
        *held,
        *passes,
        row("search, wall", "s", [s["search"] for s in samples], note),
        row("all, wall", "s", [s["wall"] for s in samples], "cluster included"),
        row(
            "store built, wall",
            "s",
            [s["built"] for s in samples],
            f"{first['disk'] / MEBI:.0f} MiB on disk",
        ),
    ]
