"""Minivans of Petrin (2002) in either package: supply, and ten micro moments.

PyBLP takes functions of a market's tables, blpdask formulas; values are the same.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

import blpdask
from blpdask.records import Floats

from .packages import Package, Path, follow_path, load
from .processes import peak_bytes

SHARED = "hpwt + space + air + mpd + fwd + mi + sw + su + pv"
LINEAR = f"1 + {SHARED} + pgnp + trend + trend2"
RANDOM = f"1 + I(-prices) + {SHARED}"
COSTS = "1 + log(hpwt) + log(wt) + log(mpg) + air + fwd + trend * (jp + eu) + log(q)"
INCOMES = "I(low / income) + I(mid / income) + I(high / income)"
AGENTS = f"1 + {INCOMES} + I(log(fs) * fv) + age + fs + mid + high"
#: Places of dummies in X2 and of demographics; whom moments are of, and what was found.
DUMMIES = {"mi": 7, "sw": 8, "su": 9, "pv": 10, "inside": 0}
PEOPLE = {"age": 5, "fs": 6, "mid": 7, "high": 8}
MEANS = {
    **{("age", "mi"): 0.783, ("fs", "mi"): 3.86, ("age", "sw"): 0.730},
    **{("fs", "sw"): 3.17, ("age", "su"): 0.740, ("fs", "su"): 2.97},
    **{("age", "pv"): 0.652, ("fs", "pv"): 3.47},
}
#: PyBLP's SQUAREM does not come to 1e-14 here, and would go on to its limit.
REACHED = 1e-13
TINY_YEARS, TINY_AGENTS = 2, 10
SHARES = {"mid": 0.0794, "high": 0.1581}


def build_minivans(package: Package, *, tiny: bool = False) -> Any:
    """Build the problem from the data that PyBLP ships, or from a little of them."""
    module = load(package)
    products = pd.read_csv(blpdask.data.PETRIN_PRODUCTS_LOCATION)
    agents = pd.read_csv(blpdask.data.PETRIN_AGENTS_LOCATION)
    if tiny:
        years = sorted(set(products["market_ids"]))[-TINY_YEARS:]
        products = products[products["market_ids"].isin(years)]
        agents = agents[agents["market_ids"].isin(years)]
        agents = agents.groupby("market_ids").head(TINY_AGENTS)
    return module.Problem(
        tuple(module.Formulation(formula) for formula in (LINEAR, RANDOM, COSTS)),
        products,
        module.Formulation(AGENTS),
        agents,
        costs_type="log",
    )


def declare_survey(package: Package) -> list[Any]:
    """Declare the micro moments."""
    if package == "pyblp":
        return _functions(load(package))
    survey = blpdask.MicroDataset("CEX", 29125, "1")
    means = [
        blpdask.MicroMoment.mean(x, given=given, value=value, dataset=survey)
        for (x, given), value in MEANS.items()
    ]
    shares = [
        blpdask.MicroMoment.share("inside", given=given, value=value, dataset=survey)
        for given, value in SHARES.items()
    ]
    return [*means, *shares]


def starting_point() -> tuple[Floats, Floats]:
    """Give Σ and Π."""
    pi = np.zeros((11, 9))
    pi[1, 1:4] = 7.52, 31.13, 34.49
    pi[[7, 8, 9, 10], 4] = 0.57, 0.28, 0.31, 0.42
    return np.diag([3.23, 0, 4.43, 0.46, 0.01, 2.58, 4.42, 0, 0, 0, 0]), pi


def evaluate_minivans(
    package: Package, problem: Any, factors: tuple[float, ...], W: Floats | None = None
) -> Path:
    """Evaluate objective and gradient at multiples of the starting values.

    Parameters
    ----------
    package, problem
        What is evaluated.
    factors
        By which the starting values are multiplied.
    W
        Weights, one for every moment where None.
    """
    module = load(package)
    sigma, pi = starting_point()
    theta = np.concatenate([sigma[sigma != 0], pi[pi != 0]])
    if W is None:
        W = np.eye(problem.MD + problem.MS + len(MEANS) + len(SHARES))
    options: dict[str, Any] = {"engine": "serial"}
    if package == "pyblp":
        options = {"iteration": module.Iteration("squarem", {"atol": REACHED})}

    def estimate(method: Any) -> None:
        problem.solve(
            sigma,
            pi,
            method="1s",
            W=W,
            optimization=module.Optimization(method),
            check_optimality="gradient",
            micro_moments=declare_survey(package),
            **options,
        )

    return follow_path(estimate, np.outer(factors, theta))


def measure_petrin_memory(request: Mapping[str, Any]) -> dict[str, float]:
    """Build and evaluate once; give peaks of resident memory in MiB.

    A little of the data comes first, so that what either package imports when it needs
    it, and code that was compiled before, are there.
    """
    package = request["package"]
    load(package)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        evaluate_minivans(package, build_minivans(package, tiny=True), (1.0,))
    before = peak_bytes()
    path = evaluate_minivans(package, build_minivans(package), (1.0,))
    return {
        "before": before / 2**20,
        "above": (peak_bytes() - before) / 2**20,
        "peak": peak_bytes() / 2**20,
        "objective": float(path.objectives[0]),
    }


def _functions(module: Any) -> list[Any]:
    """Declare the moments as functions."""
    survey = module.MicroDataset(
        "CEX", 29125, lambda t, p, a: np.ones((a.size, 1 + p.size))
    )

    def part(person: int | None, choice: int | None) -> Any:
        def values(t: Any, products: Any, agents: Any) -> Any:
            del t
            who = np.ones(agents.size) if person is None else None
            who = agents.demographics[:, person] if who is None else who
            what = np.ones(1 + products.size)
            if choice is not None:
                what = np.r_[0, products.X2[:, choice]]
            return np.outer(who, what)

        return module.MicroPart(f"{person} x {choice}", survey, values)

    below = {dummy: part(None, place) for dummy, place in DUMMIES.items()}
    ratio = (lambda v: v[0] / v[1], lambda v: [1 / v[1], -v[0] / v[1] ** 2])
    moments = []
    for (x, dummy), value in MEANS.items():
        parts = [part(PEOPLE[x], DUMMIES[dummy]), below[dummy]]
        moments.append(module.MicroMoment(f"{x} {dummy}", value, parts, *ratio))
    for who, value in SHARES.items():
        parts = [part(PEOPLE[who], DUMMIES["inside"]), part(PEOPLE[who], None)]
        moments.append(module.MicroMoment(who, value, parts, *ratio))
    return moments
