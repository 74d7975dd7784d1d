"""Minivans with supply and micro moments give the numbers that PyBLP gave.

Data of Petrin (2002) as PyBLP ships them: T = 13 years, N = 2407 models, 1,000 agents a
year; costs in logs, ten micro moments of one survey, W and standard errors clustered by
model. PyBLP 1.3.0 with Python 3.11, NumPy 2.4.6 and SciPy 1.17.1, BFGS to a gradient
of 1e-4; its inversions were to 1e-13.
"""

from __future__ import annotations

import warnings
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest

import blpdask
from tests.references.specifications import (
    FIXED,
    Specification,
    build_here,
    build_there,
    distance,
    needs_nevo_data,
    solve_here,
    solve_there,
)
from tests.references.test_nevo_stored import ERRORS, OBJECTIVE, WRITTEN

pytestmark = needs_nevo_data

UPDATED_GRADIENT = [
    *(10.4593575, 7.84992569, -29.2403807, -22.9971914, 36.8659986, 4.1418509),
    *(25.6038966, 5.13621747, -3.33629173, -27.1080939, 32.9702326, 41.0071216),
    0.313280895,
]
FIRST_VALUES = [
    *(0.762999115, 3.86293639, 0.691912448, 3.17585619, 0.684541304, 2.97854276),
    *(0.727941869, 3.44908239, 0.0801610857, 0.160449083),
]
FIRST_PI = [4.72100537, 14.2882617, 29.2674859]
FIRST_PI_SE = [0.474878004, 1.31882411, 3.17875399]
SIGMA = [
    *(0.0298018655, 0.115293951, -0.0917303351, -1.32733929),
    *(-0.164509197, 1.61939505),
]
SIGMA_SE = [
    *(0.532326927, 0.81143391, 0.609229553, 1.09177477),
    *(0.218788402, 0.368129716),
]
PI = [3.85572388, 12.0598126, 23.7929183, 0.423076984, 0.166461039, 0.10066837]
PI_SE = [0.358731478, 1.00556739, 2.40181029, 0.0519406022, 0.0415134433, 0.051676125]
BETA = [-8.91169079, 8.33824925, 4.89144006, 3.80742714, -0.135712891, -6.45406875]
BETA_SE = [1.41639816, 2.39639291, 1.61372834, 1.21945815, 0.316111383, 1.81246407]
GAMMA = [1.39546354, 0.876518605, 1.41217105, 0.122684221, 0.271721047]
GAMMA_SE = [0.136134524, 0.0488737999, 0.0798479992, 0.060306696, 0.023652577]


def minivans() -> Specification:
    """Specify the model."""
    shared = "hpwt + space + air + mpd + fwd + mi + sw + su + pv"
    incomes = "I(low / income) + I(mid / income) + I(high / income)"
    return Specification(
        pd.read_csv(blpdask.data.PETRIN_PRODUCTS_LOCATION),
        f"1 + {shared} + pgnp + trend + trend2",
        random=f"1 + I(-prices) + {shared}",
        agents=pd.read_csv(blpdask.data.PETRIN_AGENTS_LOCATION),
        demographics=f"1 + {incomes} + I(log(fs) * fv) + age + fs + mid + high",
        options={"costs_type": "log"},
        cost="1 + log(hpwt) + log(wt) + log(mpg) + air + fwd + trend * (jp + eu) "
        "+ log(q)",
    )


def survey(package: Any = None) -> list[Any]:
    """Declare the ten moments, as formulas or as functions of a package's tables."""
    values = pd.read_csv(blpdask.data.PETRIN_VALUES_LOCATION)["value"].tolist()
    dummies = ("mi", "sw", "su", "pv")
    pairs = [(x, dummy) for dummy in dummies for x in ("age", "fs")]
    if package is None:
        cex = blpdask.MicroDataset("CEX", 29125, "1")
        means = [
            blpdask.MicroMoment.mean(x, given=given, value=value, dataset=cex)
            for (x, given), value in zip(pairs, values[:8], strict=True)
        ]
        shares = [
            blpdask.MicroMoment.share("inside", given=given, value=value, dataset=cex)
            for given, value in zip(("mid", "high"), values[8:], strict=True)
        ]
        return [*means, *shares]
    cex = package.MicroDataset(
        "CEX", 29125, lambda t, p, a: np.ones((a.size, 1 + p.size))
    )

    def part(agent: int, choice: int | None) -> Any:
        def compute(t: Any, products: Any, agents: Any) -> Any:
            X2 = np.ones((1 + products.size, 1))
            if choice is not None:
                X2 = np.r_[0, products.X2[:, choice]][:, None]
            return np.outer(agents.demographics[:, agent], X2)

        return package.MicroPart(f"{agent} x {choice}", cex, compute)

    demographics = {"1": 0, "age": 5, "fs": 6, "mid": 7, "high": 8}
    places = {"mi": 7, "sw": 8, "su": 9, "pv": 10, "1": 0}
    below = {dummy: part(0, places[dummy]) for dummy in dummies}
    ratio = (lambda v: v[0] / v[1], lambda v: [1 / v[1], -v[0] / v[1] ** 2])
    moments = []
    for (x, dummy), value in zip(pairs, values[:8], strict=True):
        parts = [part(demographics[x], places[dummy]), below[dummy]]
        moments.append(package.MicroMoment(f"{x} {dummy}", value, parts, *ratio))
    for who, value in zip(("mid", "high"), values[8:], strict=True):
        parts = [part(demographics[who], 0), part(demographics[who], None)]
        moments.append(package.MicroMoment(who, value, parts, *ratio))
    return moments


def start() -> dict[str, Any]:
    """Give the starting values."""
    pi = np.zeros((11, 9))
    pi[1, 1:4] = 7.52, 31.13, 34.49
    pi[[7, 8, 9, 10], 4] = 0.57, 0.28, 0.31, 0.42
    return {
        "sigma": np.diag([3.23, 0, 4.43, 0.46, 0.01, 2.58, 4.42, 0, 0, 0, 0]),
        "pi": pi,
        "W_type": "clustered",
        "se_type": "clustered",
    }


@cache
def problem() -> blpdask.Problem:
    """Build the problem once."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return build_here(minivans())


@cache
def two_steps() -> Any:
    """Estimate in two steps after an update of W, which micro moments ask for."""
    return solve_here(problem(), **start(), micro_moments=survey())


def close(found: Any, written: list[float], tolerance: float) -> bool:
    """Compare entry by entry."""
    return bool(np.allclose(np.ravel(found), written, rtol=tolerance, atol=0))


def test_dimensions() -> None:
    found = problem()
    assert (found.T, found.N, found.K1, found.K2) == (13, 2407, 13, 11)
    assert (found.K3, found.D) == (12, 9)


def test_at_the_starting_values() -> None:
    """Formulas, and functions of tables, give the same numbers."""
    for package in (None, blpdask):
        found = solve_here(
            problem(),
            **start(),
            micro_moments=survey(package),
            method="1s",
            **FIXED,
        )
        before = found.last_results
        assert distance(before.objective, 3992.18040260) <= 2 * WRITTEN
        assert distance(found.objective, 308.2940470653) <= 2 * WRITTEN
        # W has a condition number of 4e11; at one W, below, all agree to 1e-8.
        assert close(found.gradient, UPDATED_GRADIENT, 1e-5)


def test_at_one_theta_and_one_W() -> None:
    """Live, so that rounding in W does not matter."""
    pyblp = pytest.importorskip("pyblp")
    here = solve_here(
        problem(), **start(), micro_moments=survey(), method="1s", **FIXED
    )
    arguments = {
        **start(),
        **FIXED,
        "method": "1s",
        "W": here.W,
        "initial_update": False,
        "check_optimality": "gradient",
    }
    again = solve_here(problem(), **arguments, micro_moments=survey())
    built = build_there(minivans())
    there = solve_there(built, **arguments, micro_moments=survey(package=pyblp))
    assert distance(again.gradient, accurate_gradient(built, there)) <= 1e-10
    for name in (
        *("objective", "delta", "xi", "tilde_costs", "omega"),
        *("micro_values", "micro_by_theta_jacobian", "micro_covariances"),
        *("moments", "moments_jacobian", "moments_covariances", "beta", "gamma"),
    ):
        gap = distance(getattr(again, name), getattr(there, name))
        assert gap <= 1e-8, (name, gap)


def accurate_gradient(built: Any, there: Any) -> np.ndarray[Any, Any]:
    """Compute the gradient of what PyBLP sums, rounding less.

    Its normal equations lose half of the digits of β and γ to a W of condition 4e11: on
    some processors its own gradient is 1e-7 away. Least squares of roots lose none.
    """
    X1, X3, ZD, ZS = (
        np.asarray(getattr(built.products, name), dtype=np.longdouble)
        for name in ("X1", "X3", "ZD", "ZS")
    )
    ZtX = np.zeros((ZD.shape[1] + ZS.shape[1], X1.shape[1] + X3.shape[1]), X1.dtype)
    ZtX[: ZD.shape[1], : X1.shape[1]] = ZD.T @ X1
    ZtX[ZD.shape[1] :, X1.shape[1] :] = ZS.T @ X3
    Zty = np.vstack([ZD.T @ there.delta, ZS.T @ there.tilde_costs])
    M, N, root = len(ZtX), built.N, np.linalg.cholesky(there.W)
    b = np.linalg.lstsq(
        root[:M, :M].T @ ZtX.astype(np.float64),
        root[:M, :M].T @ Zty.astype(np.float64),
        rcond=None,
    )[0]
    linear = ((Zty - ZtX @ b) / N).astype(np.float64)[:, 0]
    moments = np.concatenate([linear, np.ravel(there.moments)[M:]])
    by_theta = there.moments_jacobian[:, : there.theta.size]
    gradient = 2 * N * (root.T @ by_theta).T @ (root.T @ moments)
    return np.asarray(gradient[:, None])


def test_estimates() -> None:
    found = two_steps()
    first = found.last_results
    assert found.converged and first.converged
    assert distance(first.objective, 129.756770884) <= OBJECTIVE
    assert distance(found.objective, 182.719527351) <= OBJECTIVE
    assert close(first.micro_values, FIRST_VALUES, 1e-5)
    assert close(first.pi[1, 1:4], FIRST_PI, 1e-4)
    assert close(first.pi_se[1, 1:4], FIRST_PI_SE, ERRORS)
    diagonal = [0, 2, 3, 4, 5, 6]
    assert distance(found.sigma[diagonal, diagonal], SIGMA) <= 1e-4
    assert close(found.sigma_se[diagonal, diagonal], SIGMA_SE, ERRORS)
    pi = [*found.pi[1, 1:4], *found.pi[7:10, 4]]
    assert close(pi, PI, 1e-4)
    assert close([*found.pi_se[1, 1:4], *found.pi_se[7:10, 4]], PI_SE, ERRORS)
    assert close(found.beta[:6], BETA, 1e-4)
    assert close(found.beta_se[:6], BETA_SE, ERRORS)
    assert close(found.gamma[:5], GAMMA, 1e-4)
    assert close(found.gamma_se[:5], GAMMA_SE, ERRORS)


def test_the_printed_tables_compare_moments() -> None:
    printed = str(two_steps())
    assert "Estimated Micro Moments" in printed
    assert "E[age | mi]" in printed and "29125" in printed
