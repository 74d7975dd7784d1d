"""Two-step GMM finds the shares of types, with intervals that cover them.

Agents of two or three types differ in how they take prices and x, and agents of all
types are the same in all markets, so that only the mixture is to be found. Shares of
markets are exact for the agents that the estimator is given.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import blpdask
from tests.references.specifications import quietly

X1 = blpdask.Formulation("1 + prices + x")
X2 = blpdask.Formulation("0 + prices + x")
T, J = 100, 8
BETA = np.array([0.5, -3.0, 1.0])
SIGMA = np.diag([0.0, 0.6])
N_REPLICATIONS = 60


def agents_of(n_types: int) -> pd.DataFrame:
    """Give every market 20 agents of each type, with columns of dummies."""
    rng = np.random.default_rng(1)
    codes = np.tile(np.repeat(np.arange(n_types), 20), T)
    nodes = np.tile(rng.normal(size=(n_types * 20, 2)), (T, 1))
    dummies = {f"d{r}": (codes == r).astype(float) for r in range(1, n_types)}
    return pd.DataFrame(
        {
            "market_ids": np.repeat(np.arange(T), n_types * 20),
            "type_ids": codes,
            "weights": 1 / (n_types * 20),
            **{f"nodes{k}": nodes[:, k] for k in range(2)},
            **dummies,
        }
    )


def build(shares: np.ndarray, pi: np.ndarray, seed: int) -> blpdask.Problem:
    """Simulate a sample: ξ moves prices, and instruments do."""
    rng = np.random.default_rng([7, seed])
    R, N = shares.size, T * J
    agents = agents_of(R)
    x, xi = rng.uniform(-2, 2, size=N), 0.2 * rng.normal(size=N)
    cost = rng.uniform(size=(N, 3))
    prices = (
        0.5 + cost @ [0.6, 0.4, 0.3] + 0.4 * x + 0.5 * xi + 0.1 * rng.normal(size=N)
    )
    delta = BETA @ [np.ones(N), prices, x] + xi
    found = np.zeros(N)
    for t in range(T):
        rows = slice(t * J, (t + 1) * J)
        own = agents.iloc[: R * 20]
        coefficients = own[["nodes0", "nodes1"]].to_numpy() @ SIGMA.T
        dummies = own[[f"d{r}" for r in range(1, R)]].to_numpy()
        coefficients = coefficients + dummies @ pi.T
        u = delta[rows] + coefficients @ np.stack([prices[rows], x[rows]])
        odds = np.exp(u)
        P = odds / (1 + odds.sum(axis=1, keepdims=True))
        found[rows] = (shares / 20)[own["type_ids"]] @ P
    markets = np.repeat(np.arange(T), J)
    total = np.repeat(np.bincount(markets, x), J) - x
    squares = np.repeat(np.bincount(markets, x**2), J)
    near = J * x**2 - 2 * x * (total + x) + squares
    predicted = 0.5 + cost @ [0.6, 0.4, 0.3] + 0.4 * x
    summed = np.repeat(np.bincount(markets, predicted), J)
    away = J * predicted**2 - 2 * predicted * summed
    away = away + np.repeat(np.bincount(markets, predicted**2), J)
    Z = np.column_stack(
        [cost, cost**2, total, near, away, x * predicted, predicted**2, x**2]
    )
    products: dict[str, Any] = {
        "market_ids": markets,
        "shares": found,
        "prices": prices,
        "x": x,
        "demand_instruments": Z,
    }
    formula = "0 + " + " + ".join(f"d{r}" for r in range(1, R))
    with quietly():
        return blpdask.Problem((X1, X2), products, blpdask.Formulation(formula), agents)


def estimate(shares: np.ndarray, pi: np.ndarray, seed: int) -> Any:
    """Start from equal shares and half of Π."""
    problem = build(shares, pi, seed)
    with quietly():
        return problem.solve(
            SIGMA,
            pi / 2,
            sigma_bounds=(SIGMA, SIGMA),
            type_shares=np.full(shares.size, 1 / shares.size),
            check_optimality="gradient",
            engine="serial",
        )


SHARES, PI = np.array([0.35, 0.65]), np.array([[-1.0], [3.0]])


def test_one_sample_recovers_its_truth() -> None:
    found = estimate(SHARES, PI, 0)
    assert found.converged
    gaps = found.type_shares[:, 0] - SHARES, found.pi - PI
    errors = found.type_shares_se[:, 0], found.pi_se
    for gap, error in zip(gaps, errors, strict=True):
        assert (np.abs(gap) < 3 * error).all() and (error < 0.4).all()
    assert (found.type_shares_se < 0.1).all()


@pytest.mark.slow
def test_a_share_is_found_and_covered() -> None:
    shares, pi = SHARES, PI
    estimates, errors = [], []
    for seed in range(N_REPLICATIONS):
        found = estimate(shares, pi, seed)
        assert found.converged and (found.type_shares > 0).all()
        assert abs(found.type_shares.sum() - 1) <= 1e-15
        estimates.append([*found.type_shares[:, 0], *found.pi[:, 0]])
        errors.append([*found.type_shares_se[:, 0], *found.pi_se[:, 0]])
    values, claimed = np.array(estimates), np.array(errors)
    truth = np.array([*shares, *pi[:, 0]])
    noise = values.std(axis=0) / np.sqrt(N_REPLICATIONS)
    assert (np.abs(values.mean(axis=0) - truth) < 3.5 * noise).all()
    # Errors are as large as estimates vary, and 95 % intervals cover.
    ratio = claimed.mean(axis=0) / values.std(axis=0)
    assert ((ratio > 0.75) & (ratio < 1.3)).all(), ratio
    covered = (np.abs(values - truth) < 1.96 * claimed).mean(axis=0)
    assert (covered > 0.85).all(), covered
    np.testing.assert_allclose(claimed[:, 0], claimed[:, 1], rtol=1e-10)


@pytest.mark.slow
def test_three_shares_are_found_by_every_optimiser() -> None:
    shares = np.array([0.2, 0.3, 0.5])
    pi = np.array([[-4.0, 0.0], [0.0, 6.0]])
    problem = build(shares, pi, 0)
    found = {}
    for name in ("structured", "l-bfgs-b", "bfgs"):
        with quietly():
            found[name] = problem.solve(
                SIGMA,
                pi / 2,
                sigma_bounds=(SIGMA, SIGMA),
                type_shares=np.full(3, 1 / 3),
                method="1s",
                optimization=blpdask.Optimization(name),
                engine="serial",
            )
        assert found[name].converged, name
        assert (found[name].type_shares > 0).all(), name
    first = found["structured"]
    gap = np.abs(first.type_shares[:, 0] - shares)
    assert (gap < 3 * first.type_shares_se[:, 0]).all()
    for results in found.values():
        np.testing.assert_allclose(results.theta, first.theta, atol=2e-3)
        assert float(results.objective) < float(first.objective) * (1 + 1e-6)
