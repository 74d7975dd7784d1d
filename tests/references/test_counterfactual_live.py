"""Taxes and partial owners as the installed PyBLP finds them, told costs and weights.

PyBLP knows no taxes. Given c̃ = (1 + τ) c + t for costs and H̃ for ownership, written
out here market by market, its equilibrium is that of taxed firms, to 1e-8 in norm.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest

import blpdask
from tests.references.drawn_simulation import draw_simulation
from tests.references.specifications import distance, quietly
from tests.references.test_simulation_live import solved

pyblp = pytest.importorskip("pyblp")

TOLERANCE = 1e-8
#: Log and squared prices, nests, weights on profits, availability, quantities in costs.
SEEDS = (0, 1, 2, 3, 5, 8, 9, 11, 100, 101, 102, 103, 104, 105, 107, 110)


@pytest.fixture(autouse=True)
def quiet():
    with quietly(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def taxed_weights(data: Any, H: np.ndarray, tau: np.ndarray) -> np.ndarray:
    """Write H̃ out, row by row."""
    found, markets = np.full(H.shape, np.nan), data.market_ids[:, 0]
    for j in range(len(H)):
        rows = np.flatnonzero(markets == markets[j])
        found[j, : rows.size] = H[j, : rows.size] * (1 + tau[j]) / (1 + tau[rows])
    return found


def prices_there(there: Any, costs: np.ndarray, H: np.ndarray) -> np.ndarray:
    """Solve for prices with PyBLP, iterating plainly."""
    iteration = pyblp.Iteration("simple", {"atol": 1e-13, "max_evaluations": 5000})
    return there.compute_prices(ownership=H, costs=costs, iteration=iteration)[:, 0]


@pytest.mark.parametrize("seed", SEEDS)
def test_taxes(seed: int) -> None:
    here, there = solved(seed)
    data, rng = here.product_data, np.random.default_rng(seed)
    N = here.delta.size
    unit, tau = rng.uniform(-0.1, 0.2, N), rng.uniform(-0.2, 0.4, N)
    drawn = draw_simulation(seed).features
    H = data.ownership if "ownership" in drawn else blpdask.build_ownership(data)
    costs = there.compute_costs()[:, 0]
    weights = taxed_weights(data, H, tau)
    found = here.simulate_counterfactual(taxes=blpdask.Taxes(unit, tau))
    assert distance(found.costs, costs) <= TOLERANCE
    prices = prices_there(there, (1 + tau) * costs + unit, weights)
    assert distance(found.new_prices, prices) <= TOLERANCE
    shares = there.compute_shares(prices)[:, 0]
    assert distance(found.new_shares, shares) <= TOLERANCE
    profits = ((prices - unit) / (1 + tau) - costs) * shares
    assert distance(found.new_profits, profits) <= TOLERANCE
    # Taxes behind the prices of the data: costs that PyBLP finds with those weights.
    behind = there.compute_costs(ownership=weights)[:, 0]
    before = here.simulate_counterfactual(taxes_before=blpdask.Taxes(unit, tau))
    assert distance(before.costs, (behind - unit) / (1 + tau)) <= TOLERANCE


@pytest.mark.parametrize("seed", SEEDS)
def test_partial_owners(seed: int) -> None:
    here, there = solved(seed)
    data = here.product_data
    firms = sorted(set(data.firm_ids[:, 0].tolist()))
    stakes = np.random.default_rng(seed).dirichlet(np.ones(5), len(firms)).T
    kappa = blpdask.build_profit_weights(pd.DataFrame(stakes, columns=firms))
    found = here.simulate_counterfactual(ownership=blpdask.build_ownership(data, kappa))
    ids = {name: data[name] for name in ("market_ids", "firm_ids")}
    H = pyblp.build_ownership(ids, kappa)
    prices = prices_there(there, there.compute_costs()[:, 0], H)
    assert distance(found.new_prices, prices) <= TOLERANCE
