"""Covariance restrictions find the truth where they hold, and know how precisely.

Markets are simulated with ξ and ω that are uncorrelated, firms set prices in Bertrand
equilibrium, and E[ξω] = 0 by construction. The coefficient on prices is in θ; without a
cost shifter among the instruments it is found by the covariance moment alone, as MacKay
and Miller (2025) show. With one shifter more there are more moments than parameters, β
and γ ignore one of them, and standard errors must know.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

import blpdask
from tests.references.specifications import distance, quietly

TRUTH = {"beta": [1.0, -1.5, 1.2], "gamma": [1.5, 0.5]}
REPLICATIONS = 150


@cache
def estimates(kind: str, correlation: float) -> tuple[Any, ...]:
    """Estimate replications; ``exact`` and ``more`` say how many moments there are."""
    return tuple(solve(kind, seed, correlation) for seed in range(REPLICATIONS))


def simulate(seed: int, correlation: float) -> Any:
    """Simulate 60 markets of three firms with two products each."""
    rng = np.random.default_rng(seed)
    T, J = 60, 6
    data = {
        "market_ids": np.repeat(np.arange(T), J),
        "firm_ids": np.tile(np.arange(J) // 2, T),
        "x": rng.normal(size=T * J),
        "w": rng.normal(size=T * J),
    }
    simulation = blpdask.Simulation(
        (
            blpdask.Formulation("1 + prices + x"),
            None,
            blpdask.Formulation("1 + w"),
        ),
        data,
        **TRUTH,
        xi_variance=0.3,
        omega_variance=0.2,
        correlation=correlation,
        seed=seed,
    )
    return data, simulation.replace_endogenous(engine="serial").product_data


def solve(kind: str, seed: int, correlation: float, **settings: Any) -> Any:
    """Estimate one replication from the truth."""
    with quietly():
        data, solved = simulate(seed, correlation)
        table = {
            **data,
            "prices": solved["prices"][:, 0],
            "shares": solved["shares"][:, 0],
            "covariance_instruments0": np.ones(len(data["x"])),
        }
        if kind == "more":
            table["demand_instruments0"] = data["w"]
            table["covariance_instruments1"] = data["w"] ** 2
        problem = blpdask.Problem(
            (
                blpdask.Formulation("1 + prices + x"),
                None,
                blpdask.Formulation("1 + w"),
            ),
            table,
        )
        return problem.solve(
            beta=[None, TRUTH["beta"][1], None],
            beta_bounds=([-np.inf, -np.inf, -np.inf], [np.inf, -0.1, np.inf]),
            method="1s",
            check_optimality="gradient",
            engine="serial",
            covariance_moments_mean=correlation * np.sqrt(0.3 * 0.2),
            **settings,
        )


def summary(found: tuple[Any, ...]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Give t statistics at the truth, spread of estimates, mean standard errors."""
    truth = np.r_[TRUTH["beta"][1], TRUTH["beta"][0], TRUTH["beta"][2], TRUTH["gamma"]]
    values = np.array([r.parameters[:, 0] for r in found])
    errors = np.array(
        [np.sqrt(np.diag(r.parameter_covariances) / r.problem.N) for r in found]
    )
    return (values - truth) / errors, values.std(axis=0), errors.mean(axis=0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "correlation"), [("exact", 0.0), ("exact", 0.5), ("more", 0.0)]
)
def test_estimates_are_the_truth_with_the_spread_they_say(
    kind: str, correlation: float
) -> None:
    found = estimates(kind, correlation)
    assert all(r.converged for r in found)
    n_moments = found[0].problem.MC
    assert n_moments == (2 if kind == "more" else 1)
    t, spread, errors = summary(found)
    R = len(found)
    assert (np.abs(t.mean(axis=0)) < 4 / np.sqrt(R)).all(), t.mean(axis=0)
    assert (np.abs(t.std(axis=0) - 1) < 4 / np.sqrt(2 * R)).all(), t.std(axis=0)
    assert (np.abs(errors / spread - 1) < 4 / np.sqrt(2 * R)).all(), errors / spread


@pytest.mark.slow
def test_hansens_statistic_is_chi_squared_where_moments_are_ignored() -> None:
    found = estimates("more", 0.0)
    tests = [r.run_hansen_test() for r in found]
    assert tests[0].dof == 2
    J = np.array([float(test) for test in tests])
    assert abs(J.mean() - 2) < 4 * 2 / np.sqrt(J.size)
    rejected = np.mean([test.p_value < 0.05 for test in tests])
    assert rejected < 0.05 + 4 * np.sqrt(0.05 * 0.95 / J.size)


def test_the_sensitivity_is_how_estimates_move_with_the_mean() -> None:
    """As many moments as parameters: dψ̂/dm = -Λ_C times the mean of Z_C, exactly."""
    found, step = solve("exact", 0, 0.0), 1e-5
    assert found.moments.size == found.parameters.size
    exact = {"optimization": blpdask.Optimization("structured", {"gtol": 1e-13})}
    with quietly():
        problem = found.problem
        ends = [
            problem.solve(
                beta=[None, float(found.theta[0]), None],
                method="1s",
                check_optimality="gradient",
                covariance_moments_mean=move,
                **exact,
            ).parameters[:, 0]
            for move in (step, -step)
        ]
    moved = (ends[0] - ends[1]) / (2 * step)
    expected = -found.parameter_sensitivity[:, -1]
    assert distance(moved, expected) < 1e-5


def test_recovered_effects_are_dummies() -> None:
    """Up to what taking effects out of ω does to its products with ξ, O(1/√N)."""
    with quietly():
        data, solved = simulate(0, 0.0)
        table = {
            **data,
            **{name: solved[name][:, 0] for name in ("prices", "shares")},
            "demand_instruments0": data["w"],
            "covariance_instruments0": np.ones(len(data["x"])),
            "covariance_instruments1": data["w"] ** 2,
        }
        linear = blpdask.Formulation("1 + prices + x")
        absorbed, dummies = (
            blpdask.Problem((linear, None, formula), table).solve(
                beta=[None, TRUTH["beta"][1], None],
                method="1s",
                optimization=blpdask.Optimization("return"),
            )
            for formula in (
                blpdask.Formulation("0 + w", absorb="C(firm_ids)"),
                blpdask.Formulation("0 + w + C(firm_ids)"),
            )
        )
        found = absorbed.recover_effects("firm_ids", side="supply")
    assert distance(absorbed.objective, dummies.objective) < 1e-10
    assert distance(found.values, dummies.gamma[1:, 0]) < 1e-10
    assert distance(found.standard_errors, dummies.gamma_se[1:, 0]) < 1e-2
    assert distance(absorbed.gamma_se[0], dummies.gamma_se[0]) < 1e-4


@pytest.mark.slow
def test_pyblp_says_less_of_how_uncertain_beta_is() -> None:
    """The other package's standard errors of β are far from the spread of estimates."""
    pyblp = pytest.importorskip("pyblp")
    found = estimates("exact", 0.0)
    _, spread, _ = summary(found)
    problem = found[0].problem
    with quietly():
        table = {
            **{n: np.asarray(problem.products[n])[:, 0] for n in ("x", "w", "prices")},
            **{n: problem.products[n][:, 0] for n in ("market_ids", "firm_ids")},
            "shares": problem.products["shares"][:, 0],
            "covariance_instruments0": np.ones(problem.N),
        }
        formulas = [pyblp.Formulation(f) for f in ("1 + prices + x", "1 + w")]
        there = pyblp.Problem((formulas[0], None, formulas[1]), table).solve(
            beta=[None, float(found[0].theta[0]), None],
            method="1s",
            optimization=pyblp.Optimization("return"),
        )
    assert distance(there.omega, found[0].omega) < 1e-10
    np.testing.assert_allclose(there.beta_se[1], found[0].beta_se[1], rtol=1e-6)
    assert there.beta_se[0, 0] < 0.5 * spread[1] < found[0].beta_se[0, 0]
