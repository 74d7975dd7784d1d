"""Sensitivity to moments is how estimates move when moments do, sign and scale.

Andrews, Gentzkow and Shapiro (2017): ψ̂ - ψ ≈ Λ ḡ, Λ = -(G'WG)⁻¹G'W. In the plain logit
this is exact: mean utilities δ + v instead of δ move ḡ by Z'v / N, and ψ̂ by Λ Z'v / N.
"""

from __future__ import annotations

import numpy as np

import blpdask
from tests.analysis.drawn_markets import draw_markets
from tests.references.specifications import quietly


def test_estimates_move_by_sensitivity_times_moments() -> None:
    data = draw_markets(3)
    with quietly():
        problem = blpdask.Problem(blpdask.Formulation("1 + prices + x"), data)
        W = problem.solve(method="1s").updated_W
        before = problem.solve(method="1s", W=W)
    v = 0.3 * np.random.default_rng(0).normal(size=len(data))
    markets = data["market_ids"]
    odds = data["shares"] / (1 - data.groupby(markets)["shares"].transform("sum"))
    odds = odds * np.exp(v)
    moved = odds / (1 + odds.groupby(markets).transform("sum"))
    with quietly():
        after = blpdask.Problem(
            blpdask.Formulation("1 + prices + x"), data.assign(shares=moved)
        ).solve(method="1s", W=W)
    change = problem.demand.products.ZD.T @ v / len(data)
    predicted = before.parameter_sensitivity @ change
    found = (after.parameters - before.parameters)[:, 0]
    np.testing.assert_allclose(found, predicted, rtol=1e-8)
    assert np.abs(found).min() > 1e-3
