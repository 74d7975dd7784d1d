"""Automobiles with supply give the numbers that PyBLP gave, as written down.

Data of Berry, Levinsohn and Pakes (1995) as PyBLP ships them: T = 20 years, N = 2217
models, 200 agents a year; costs in logs, W and standard errors clustered by model, an
initial update of W. PyBLP 1.3.0 with Python 3.11, NumPy 2.4.6 and SciPy 1.17.1; its
L-BFGS-B ends the first step as "abnormal", 3e-7 from a gradient of zero.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pandas as pd

import blpdask
from tests.references.specifications import (
    FIXED,
    Specification,
    build_here,
    distance,
    needs_nevo_data,
    solve_here,
)
from tests.references.test_nevo_stored import ERRORS, OBJECTIVE, WRITTEN

pytestmark = needs_nevo_data

START: dict[str, Any] = {
    "sigma": np.diag([3.612, 0, 4.628, 1.818, 1.050, 2.056]),
    "pi": np.array([[0, -43.501, 0, 0, 0, 0]]).T,
    "costs_bounds": (0.001, None),
    "W_type": "clustered",
    "se_type": "clustered",
}
START_GRADIENT = [
    11.9884312,
    14.3667573,
    16.4637223,
    426.511472,
    92.0937869,
    -9.69359912,
]
START_BETA = [-6.12233582, 3.29286053, 0.730955026, -0.245622644, 3.61385188]
START_BETA_SE = [2.48717359, 2.25040187, 1.44148666, 0.315220792, 0.806074987]
START_GAMMA = [
    *(2.31045285, 0.492396039, 0.616080279),
    *(-0.339375228, -0.000720255968, 0.0145048644),
]
START_GAMMA_SE = [
    *(0.20245724, 0.116992168, 0.121607117),
    *(0.0870263943, 0.19017495, 0.00257499082),
]
UPDATED_GRADIENT = [
    *(3.28101495, 1.39944771, -4.97201453),
    *(84.368966, 18.8632933, -0.519897929),
]
SIGMA = [2.02535358, 6.10035161, 3.95552986, 0.253510617, 1.90847018]
SIGMA_SE = [6.06591651, 2.20057989, 2.10978002, 0.548832303, 1.1080983]
BETA = [-7.28354075, 3.46020366, -0.998941066, 0.420729381, 4.17752808]
BETA_SE = [2.80699396, 1.41524011, 2.10060699, 0.249972542, 0.658175218]
GAMMA = [2.76026974, 0.896966636, 0.422811009, -0.524880997, -0.260678064, 0.0266035642]
GAMMA_SE = [
    *(0.115594223, 0.0721996312, 0.0865963368),
    *(0.0726085045, 0.21008327, 0.00308319712),
]


def automobiles() -> Specification:
    """Specify the model."""
    return Specification(
        pd.read_csv(blpdask.data.BLP_PRODUCTS_LOCATION),
        "1 + hpwt + air + mpd + space",
        random="1 + prices + hpwt + air + mpd + space",
        agents=pd.read_csv(blpdask.data.BLP_AGENTS_LOCATION),
        demographics="0 + I(1 / income)",
        options={"costs_type": "log"},
        cost="1 + log(hpwt) + air + log(mpg) + log(space) + trend",
    )


@cache
def problem() -> blpdask.Problem:
    """Build the problem once; weights that sum to 0.154 are its authors'."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return build_here(automobiles())


@cache
def two_steps() -> Any:
    """Estimate in two steps after an update of W."""
    return solve_here(problem(), **START, initial_update=True)


def close(found: Any, written: list[float], tolerance: float) -> bool:
    """Compare entry by entry."""
    return bool(np.allclose(np.ravel(found), written, rtol=tolerance, atol=0))


def test_dimensions() -> None:
    found = problem()
    assert (found.T, found.N, found.F, found.MD, found.MS) == (20, 2217, 26, 13, 18)
    assert (found.K1, found.K2, found.K3, found.D) == (5, 6, 6, 1)


def test_at_the_starting_values() -> None:
    found = solve_here(problem(), **START, method="1s", **FIXED)
    assert distance(found.objective, 833.827019238) <= 1e-11
    assert close(found.gradient, START_GRADIENT, WRITTEN)
    assert close(found.beta, START_BETA, WRITTEN)
    assert close(found.beta_se, START_BETA_SE, WRITTEN)
    assert close(found.gamma, START_GAMMA, 1e-7)
    assert close(found.gamma_se, START_GAMMA_SE, WRITTEN)
    assert distance((found.delta**2).sum(), 8025.937332) <= WRITTEN
    assert distance((found.xi**2).sum(), 4621.921502) <= WRITTEN


def test_after_the_update() -> None:
    found = solve_here(problem(), **START, method="1s", initial_update=True, **FIXED)
    # Permuting rows inside of PyBLP moves this W by 5e-8.
    assert distance(found.objective, 576.8606785275) <= 1e-8
    assert close(found.gradient, UPDATED_GRADIENT, 1e-5)


def test_estimates() -> None:
    found = two_steps()
    first = found.last_results
    assert found.converged and first.converged
    assert distance(first.objective, 537.431673373) <= OBJECTIVE
    assert distance(found.objective, 497.335661490) <= OBJECTIVE
    free = np.flatnonzero(np.diag(START["sigma"]))
    assert close(np.diag(found.sigma)[free], SIGMA, 1e-4)
    assert close(np.diag(found.sigma_se)[free], SIGMA_SE, ERRORS)
    assert close(found.pi[1], [-44.8429555], 1e-4)
    assert close(found.pi_se[1], [9.2171056], ERRORS)
    assert close(found.beta, BETA, 1e-4)
    assert close(found.beta_se, BETA_SE, ERRORS)
    assert close(found.gamma, GAMMA, 1e-4)
    assert close(found.gamma_se, GAMMA_SE, ERRORS)
    eigenvalues = found.reduced_hessian_eigenvalues
    assert close(
        [eigenvalues.min(), eigenvalues.max()], [0.485943331, 513.265694], 1e-2
    )


def test_the_printed_tables_have_costs() -> None:
    printed = str(two_steps())
    assert "Gamma Estimates (Robust SEs Adjusted for 999 Clusters in Parentheses)" in (
        printed
    )
    assert "log(mpg)" in printed
    frame = two_steps().to_frame()
    costs = frame[frame.matrix == "gamma"]
    assert costs.row.tolist()[:2] == ["1", "log(hpwt)"]
    assert set(costs.kind) == {"concentrated"}
