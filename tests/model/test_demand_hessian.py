"""Second derivatives of shares, against differences of first ones.

What must hold:

1. ∂²s_j/∂x_k∂x_l is the finite difference of ∂s_j/∂x_k by x_l, for δ, for what enters
   utilities linearly and for what does not, whatever the features of a market.
2. It is that of the logit, in closed form, where agents are alike.
3. Agents at a time do not matter, and types count by their shares.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from blpdask.kernels import loop_backend
from blpdask.model import demand_hessian as module
from blpdask.model.agent_types import weigh_types
from blpdask.model.demand_hessian import demand_hessian
from blpdask.model.inversion import one_market
from blpdask.records import Floats, MarketBlock, Tastes, TrialPrices
from tests.kernels import reference
from tests.kernels.test_responses import NAMES, Case, case_of, of_delta

SKIPPED = {"large", "one-product", "extreme-utilities"}


def market_of(case: Case, t: int) -> tuple[MarketBlock, TrialPrices]:
    """Cut one market out, and where it is."""
    rows, trial = list(reference.markets(case.block))[t][0], case.trial
    own = TrialPrices(
        prices=trial.prices[rows],
        delta=trial.delta[rows],
        alpha=trial.alpha[rows],
        X2=trial.X2[:, rows],
        X2_by_prices=trial.X2_by_prices[:, rows],
        X2_priced=trial.X2_priced,
    )
    return one_market(case.block, t), own


def moved(
    trial: TrialPrices, curvature: tuple[Floats, Floats], k: int, h: float
) -> TrialPrices:
    """Move x_k by h: utilities are quadratic in x."""
    delta, alpha = trial.delta.copy(), trial.alpha.copy()
    X2, slopes = trial.X2.copy(), trial.X2_by_prices.copy()
    delta[k] += h * trial.alpha[k] + h**2 / 2 * curvature[0][k]
    alpha[k] += h * curvature[0][k]
    at = trial.X2_priced
    X2[at, k] += h * trial.X2_by_prices[:, k] + h**2 / 2 * curvature[1][:, k]
    slopes[:, k] += h * curvature[1][:, k]
    return replace(trial, delta=delta, alpha=alpha, X2=X2, X2_by_prices=slopes)


def differences(
    market: MarketBlock,
    tastes: Tastes,
    trial: TrialPrices,
    curvature: tuple[Floats, Floats],
) -> Floats:
    """Differentiate kernels' ∂s_j/∂x_k by every x_l, to fourth order."""
    n, h = market.n_products, 1e-4

    def jacobian(k: int, step: float) -> Floats:
        there = moved(trial, curvature, k, step)
        return loop_backend.jacobians(market, tastes, there, 0)[0].reshape(n, n)

    found = np.empty((n, n, n))
    for k in range(n):
        near = jacobian(k, h) - jacobian(k, -h)
        far = jacobian(k, 2 * h) - jacobian(k, -2 * h)
        found[:, :, k] = (8 * near - far) / (12 * h)
    return found


@pytest.mark.parametrize("how", ["delta", "linear", "curved"])
@pytest.mark.parametrize("name", [name for name in NAMES if name not in SKIPPED])
def test_second_derivatives_are_differences_of_first_ones(name, how):
    case = case_of(name)
    if how == "delta":
        case = replace(case, trial=of_delta(case.trial))
    rng = np.random.default_rng(6)
    for t in range(case.block.n_markets):
        market, trial = market_of(case, t)
        curvature = 0 * trial.alpha, 0 * trial.X2_by_prices
        if how == "curved":
            curvature = (
                rng.normal(size=trial.alpha.shape),
                rng.normal(size=trial.X2_by_prices.shape),
            )
        found = demand_hessian(market, case.tastes, trial, curvature)
        expected = differences(market, case.tastes, trial, curvature)
        scale = max(1e-3, np.abs(expected).max())
        assert np.abs(found - expected).max() < 1e-7 * scale
        np.testing.assert_allclose(
            found, found.transpose(0, 2, 1), rtol=0, atol=1e-14 * (1 + scale)
        )


def test_alike_agents_have_the_logits():
    case = case_of("unbalanced")
    market, trial = market_of(case, 2)
    tastes = replace(case.tastes, loadings=0 * case.tastes.loadings)
    trial = replace(
        of_delta(trial), alpha=np.full(market.n_products, -2.0), X2=0 * trial.X2
    )
    nothing = np.zeros(market.n_products), np.zeros((0, market.n_products))
    found = demand_hessian(market, tastes, trial, nothing)
    e = np.exp(trial.delta)
    s, eye = e / (1 + e.sum()), np.eye(e.size)
    own = eye - s
    expected = 4 * s[:, None, None] * own[:, :, None] * own[:, None, :]
    expected -= 4 * s[:, None, None] * (s * own.T).T[None]
    np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-16)


@pytest.mark.parametrize("name", ["large", "nests, all", "nests, by nest"])
def test_agents_at_a_time_do_not_matter(name, monkeypatch):
    case = case_of(name)
    market, trial = market_of(case, case.block.n_markets - 1)
    curvature = 0 * trial.alpha, 0 * trial.X2_by_prices
    whole = demand_hessian(market, case.tastes, trial, curvature)
    monkeypatch.setattr(module, "HELD", 7 * market.n_products**2)
    parts = demand_hessian(market, case.tastes, trial, curvature)
    np.testing.assert_allclose(parts, whole, rtol=0, atol=1e-13)
    assert np.abs(whole).max() > 1e-3


def test_types_count_by_their_shares():
    case = case_of("nests, by nest")
    market, trial = market_of(case, 3)
    market = replace(market, agent_types=np.arange(market.weights.size) % 2)
    tastes = replace(case.tastes, type_shares=np.array([0.9, 0.1]))
    curvature = 0 * trial.alpha, 0 * trial.X2_by_prices
    found = demand_hessian(market, tastes, trial, curvature)
    expected = demand_hessian(weigh_types(market, tastes), tastes, trial, curvature)
    np.testing.assert_array_equal(found, expected)
    other = demand_hessian(market, case.tastes, trial, curvature)
    assert np.abs(found - other).max() > 1e-6
