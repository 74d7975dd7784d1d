"""How long responses of demand take at an estimate: elasticities, diversion, prices.

Elasticities and Jacobians of demand by prices, diversion in the long run (one product
gone at a time), and prices after a merger of two firms, in one thread. Both packages
give rows of all products, N x max J.
"""

from __future__ import annotations

import gc
from typing import Any

import numpy as np

from blpdask.records import Floats

from ..measure import Settings, Span, Stopwatch
from ..packages import PACKAGES, Package, load
from ..problems import Size
from ..table import Row, time_rows

SIZES = (Size(T=1_000, J=50, I=200, K2=3), Size(T=5_000, J=10, I=50, K2=3))
QUICK = (Size(T=5, J=6, I=20, K2=3),)
PRODUCTS_OF_A_FIRM = 2
SIGMA = np.diag([0.5, 0.3, 0.8])
BETA, GAMMA = [1.0, -3.0, 1.0], [2.0, 0.3, 0.5]
DEMAND, COSTS = "1 + prices + x", "1 + x + w"
MEASURES = ("elasticities", "demand Jacobians", "long-run diversion", "merger prices")


def run(case: str, settings: Settings) -> list[Row]:
    """Ask estimates of each size, in turns."""
    sizes = QUICK if settings.quick else SIZES
    return [row for size in sizes for row in _rows(case, settings, size)]


def _rows(case: str, settings: Settings, size: Size) -> list[Row]:
    """Time one size."""
    settings.say(f"  simulating {size}")
    data = _simulate(size)
    results = {}
    for package in PACKAGES:
        settings.say(f"  evaluating with {package}")
        results[package] = _estimate(package, data, size)
    given = {
        "costs": results["pyblp"].compute_costs(),
        "firm_ids": np.where(data["firm_ids"] == 1, 0, data["firm_ids"]),
    }
    for measure in MEASURES:
        _compute("blpdask", results["blpdask"], measure, given)
    spans: dict[tuple[Package, str], list[Span]] = {
        (package, measure): [] for package in PACKAGES for measure in MEASURES
    }
    for _ in settings.repeats(3):
        found = {}
        for measure in MEASURES:
            for package in PACKAGES:
                gc.collect()  # so that neither pays for the other's garbage
                watch = Stopwatch()
                found[package, measure] = _compute(
                    package, results[package], measure, given
                )
                spans[package, measure].append(watch.read())
    rows = []
    for measure in MEASURES:
        theirs, ours = (found[package, measure] for package in PACKAGES)
        gap = float(np.abs(ours / theirs - 1).max())
        named = f"{measure} T={size.T} J={size.J} I={size.I}"
        rows += [
            *time_rows(case, named, *(spans[package, measure] for package in PACKAGES)),
            Row(
                case,
                f"{named}, norm",
                "",
                (float(np.linalg.norm(theirs)),),
                (float(np.linalg.norm(ours)),),
                comparison="apart",
                digits=10,
                note=f"no element further apart than {gap:.0e}",
            ),
        ]
    return rows


def _simulate(size: Size) -> Any:
    """Draw markets in equilibrium, with excluded instruments."""
    blpdask = load("blpdask")
    simulation = blpdask.Simulation(
        tuple(blpdask.Formulation(formula) for formula in (DEMAND, DEMAND, COSTS)),
        blpdask.build_id_data(
            T=size.T, J=size.J, F=max(3, size.J // PRODUCTS_OF_A_FIRM)
        ),
        beta=BETA,
        sigma=SIGMA,
        gamma=GAMMA,
        integration=blpdask.Integration("mlhs", size.I, {"seed": 0}),
        xi_variance=0.1,
        omega_variance=0.05,
        seed=0,
    )
    data = simulation.replace_endogenous(
        compute_gradients=False, compute_hessians=False
    ).product_data
    names = ("market_ids", "firm_ids", "shares", "prices", "x", "w")
    found = {name: np.ravel(data[name]) for name in names}
    return found | {f"demand_instruments{m}": found["w"] ** (m + 1) for m in range(4)}


def _estimate(package: Package, data: Any, size: Size) -> Any:
    """Evaluate once at the truth, which stands in for estimates."""
    module = load(package)
    problem = module.Problem(
        (module.Formulation(DEMAND), module.Formulation(DEMAND)),
        data,
        integration=module.Integration("mlhs", size.I, {"seed": 0}),
    )
    return problem.solve(
        sigma=SIGMA,
        beta=[None, BETA[1], None],
        method="1s",
        optimization=module.Optimization("return"),
        check_optimality="gradient",
    )


def _compute(
    package: Package, results: Any, measure: str, given: dict[str, Any]
) -> Floats:
    """Ask for one thing, ``(N, max J)`` or ``(N, 1)``."""
    one = {} if package == "pyblp" else {"engine": "serial"}
    if measure == "elasticities":
        found = results.compute_elasticities(**one)
    elif measure == "demand Jacobians":
        found = results.compute_demand_jacobians(**one)
    elif measure == "long-run diversion":
        found = results.compute_long_run_diversion_ratios(**one)
    else:
        found = results.compute_prices(given["firm_ids"], costs=given["costs"], **one)
    return np.asarray(found)
