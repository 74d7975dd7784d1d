"""How long equilibrium prices take, by the same iteration to the same tolerance.

Both packages draw the same markets and iterate p = c + ζ(p) (Morrow and Skerlos 2011)
from costs until gradients of profits are below 1e-12, in one thread.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..measure import Settings, Span, Stopwatch
from ..packages import PACKAGES, Package, load
from ..problems import Size
from ..table import Row, time_rows

SIZE = Size(T=1_000, J=50, I=200, K2=3)
QUICK = Size(T=5, J=5, I=20, K2=3)
FIRMS = 10


#: How prices enter mean utilities, and their coefficients.
FORMULAS = {"prices": -3.0, "log(prices)": -4.0}


def run(case: str, settings: Settings) -> list[Row]:
    """Find the prices of simulated markets in both packages, in turns."""
    size = QUICK if settings.quick else SIZE
    return [row for formula in FORMULAS for row in _rows(case, settings, size, formula)]


def _rows(case: str, settings: Settings, size: Size, formula: str) -> list[Row]:
    """Time one way in which prices enter."""
    settings.say(f"  simulating {size} with {formula}")
    simulations = {package: _simulate(package, size, formula) for package in PACKAGES}
    _solve("blpdask", simulations["blpdask"])
    spans: dict[Package, list[Span]] = {package: [] for package in PACKAGES}
    for _ in settings.repeats(3):
        found = {}
        for package in PACKAGES:
            watch = Stopwatch()
            found[package] = _solve(package, simulations[package])
            spans[package].append(watch.read())
    theirs, ours = found["pyblp"], found["blpdask"]
    note = f"{int(ours.contraction_evaluations.sum())} evaluations of ζ"
    note += f"; PyBLP {int(theirs.contraction_evaluations.sum())}"
    measure = f"equilibrium with {formula}"
    prices = float(theirs.product_data.prices.mean())
    apart = np.abs(ours.product_data.prices / theirs.product_data.prices - 1).max()
    return [
        *time_rows(case, measure, spans["pyblp"], spans["blpdask"], note=note),
        Row(
            case,
            f"{measure}, mean price",
            "",
            (prices,),
            (float(ours.product_data.prices.mean()),),
            comparison="apart",
            digits=10,
            note=f"no price further apart than {apart:.0e}",
        ),
    ]


def _simulate(package: Package, size: Size, formula: str) -> Any:
    """Draw the markets: prices and a characteristic have random coefficients."""
    module = load(package)
    return module.Simulation(
        (
            module.Formulation(f"1 + {formula} + x"),
            module.Formulation(f"1 + {formula} + x"),
            module.Formulation("1 + x + w"),
        ),
        module.build_id_data(T=size.T, J=size.J, F=min(FIRMS, size.J)),
        beta=[1.0, FORMULAS[formula], 1.0],
        sigma=np.diag([0.5, 0.3, 0.8]),
        gamma=[2.0, 0.3, 0.5],
        integration=module.Integration("mlhs", size.I, {"seed": 0}),
        xi_variance=0.1,
        omega_variance=0.05,
        seed=0,
    )


def _solve(package: Package, simulation: Any) -> Any:
    """Find prices alone, on one thread."""
    options = {"engine": "serial"} if package == "blpdask" else {}
    return simulation.replace_endogenous(
        compute_gradients=False, compute_hessians=False, **options
    )
