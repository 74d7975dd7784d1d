"""How long the automobiles of Berry, Levinsohn and Pakes (1995) take, supply included.

Both packages as a user would write it: an initial update of W, two steps, costs in logs
with a bound, W and standard errors clustered by model; PyBLP with L-BFGS-B until the
projected gradient is 1e-8, blpdask by its default until it is. Neither computes a
Hessian. A quick run evaluates twice and optimises nothing.
"""

from __future__ import annotations

import gc
from typing import Any

import numpy as np

from ..measure import Settings, Span, Stopwatch
from ..packages import PACKAGES, Package, load
from ..table import Row, time_rows

LINEAR = "1 + hpwt + air + mpd + space"
RANDOM = "1 + prices + hpwt + air + mpd + space"
SUPPLY = "1 + log(hpwt) + air + log(mpg) + log(space) + trend"
START: dict[str, Any] = {
    "sigma": np.diag([3.612, 0, 4.628, 1.818, 1.050, 2.056]),
    "pi": np.array([[0, -43.501, 0, 0, 0, 0]]).T,
    "costs_bounds": (0.001, None),
    "W_type": "clustered",
    "se_type": "clustered",
    "initial_update": True,
    "check_optimality": "gradient",
}


def run(case: str, settings: Settings) -> list[Row]:
    """Estimate with both packages, in turns."""
    problems = {package: _build(package) for package in PACKAGES}
    quick = {"optimization": ("return",), "method": "1s"} if settings.quick else {}
    _solve("blpdask", problems["blpdask"], {"optimization": ("return",)})  # compiles
    spans: dict[Package, list[Span]] = {package: [] for package in PACKAGES}
    found: dict[Package, Any] = {}
    for _ in settings.repeats(1):
        for package in PACKAGES:
            settings.say(f"  {package}")
            gc.collect()  # what was before is no part of either's time
            watch = Stopwatch()
            found[package] = _solve(package, problems[package], quick)
            spans[package].append(watch.read())
    counts = {
        package: float(np.sum(results.cumulative_objective_evaluations))
        for package, results in found.items()
    }
    theirs, ours = spans["pyblp"], spans["blpdask"]
    return [
        *time_rows(case, "two steps", theirs, ours),
        Row(case, "evaluations", "", (counts["pyblp"],), (counts["blpdask"],)),
        *time_rows(
            case,
            "two steps, an evaluation",
            [span / counts["pyblp"] for span in theirs],
            [span / counts["blpdask"] for span in ours],
            scale=1e3,
            unit="ms",
        ),
        Row(
            case,
            "objective at the estimate",
            "",
            (float(np.squeeze(found["pyblp"].objective)),),
            (float(found["blpdask"].objective),),
            comparison="apart",
            digits=10,
        ),
    ]


def _build(package: Package) -> Any:
    """Build the problem from the data that PyBLP ships."""
    import pandas as pd

    import blpdask

    module = load(package)
    formulas = [module.Formulation(formula) for formula in (LINEAR, RANDOM, SUPPLY)]
    return module.Problem(
        tuple(formulas),
        pd.read_csv(blpdask.data.BLP_PRODUCTS_LOCATION),
        module.Formulation("0 + I(1 / income)"),
        pd.read_csv(blpdask.data.BLP_AGENTS_LOCATION),
        costs_type="log",
    )


def _solve(package: Package, problem: Any, options: dict[str, Any]) -> Any:
    """Estimate, on one thread."""
    module, chosen = load(package), dict(START | options)
    if "optimization" in chosen:
        chosen["optimization"] = module.Optimization(*chosen["optimization"])
    if package == "blpdask":
        chosen["engine"] = "serial"
    return problem.solve(**chosen)
