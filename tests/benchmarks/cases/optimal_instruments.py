"""How long optimal instruments of demand and supply take, computed at estimates.

Both packages find prices of equilibrium where errors are zero, by the same iteration to
the same tolerance, and differentiate ξ and ω there, in one thread.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..measure import Settings, Span, Stopwatch
from ..packages import PACKAGES, Package, load
from ..problems import Size
from ..table import Row, time_rows
from .equilibrium import QUICK, SIZE

PRODUCTS_OF_A_FIRM = 5
SIGMA = np.diag([0.5, 0.3, 0.8])
BETA, GAMMA = [1.0, -3.0, 1.0], [2.0, 0.3, 0.5]
DEMAND, COSTS = "1 + prices + x", "1 + x + w"


def run(case: str, settings: Settings) -> list[Row]:
    """Compute optimal instruments of one simulated economy, in turns."""
    size = QUICK if settings.quick else SIZE
    settings.say(f"  simulating {size} with supply")
    data = _simulate(size)
    results = {}
    for package in PACKAGES:
        settings.say(f"  evaluating with {package}")
        results[package] = _estimate(package, data, size)
    _compute("blpdask", results["blpdask"])
    spans: dict[Package, list[Span]] = {package: [] for package in PACKAGES}
    for _ in settings.repeats(3):
        found = {}
        for package in PACKAGES:
            watch = Stopwatch()
            found[package] = _compute(package, results[package])
            spans[package].append(watch.read())
    theirs, ours = found["pyblp"], found["blpdask"]
    gap = max(
        np.linalg.norm(a - b) / np.linalg.norm(b)
        for a, b in (
            (ours.demand_instruments, theirs.demand_instruments),
            (ours.supply_instruments, theirs.supply_instruments),
        )
    )
    note = f"{ours.demand_instruments.shape[1]} parameters"
    note += f"; {int(ours.contraction_evaluations.sum())} evaluations of ζ"
    measure = "optimal instruments, approximate"
    return [
        *time_rows(case, measure, spans["pyblp"], spans["blpdask"], note=note),
        Row(
            case,
            "norm of Z_D",
            "",
            (float(np.linalg.norm(theirs.demand_instruments)),),
            (float(np.linalg.norm(ours.demand_instruments)),),
            comparison="apart",
            digits=10,
            note=f"neither Z_D nor Z_S further apart than {gap:.0e} of its norm",
        ),
    ]


def _simulate(size: Size) -> Any:
    """Draw markets in equilibrium, with their excluded instruments."""
    blpdask = load("blpdask")
    formulas = (DEMAND, DEMAND, COSTS)
    simulation = blpdask.Simulation(
        tuple(blpdask.Formulation(formula) for formula in formulas),
        blpdask.build_id_data(
            T=size.T, J=size.J, F=max(2, size.J // PRODUCTS_OF_A_FIRM)
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
    sums = blpdask.build_blp_instruments(blpdask.Formulation("0 + x + w"), data)
    found |= {f"demand_instruments{m}": column for m, column in enumerate(sums.T)}
    found |= {f"supply_instruments{m}": column for m, column in enumerate(sums.T)}
    found["demand_instruments4"] = found["w"]
    return found


def _estimate(package: Package, data: Any, size: Size) -> Any:
    """Evaluate once at the truth, which stands in for estimates."""
    module = load(package)
    problem = module.Problem(
        tuple(module.Formulation(formula) for formula in (DEMAND, DEMAND, COSTS)),
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


def _compute(package: Package, results: Any) -> Any:
    """Compute optimal instruments on one thread."""
    options = {"engine": "serial"} if package == "blpdask" else {}
    return results.compute_optimal_instruments(**options)
