"""Simulated prices are endogenous, instruments are not, and a peer reads the data."""

from __future__ import annotations

import numpy as np
import pytest

from blpdask.simulation.markets import (
    MarketDesign,
    SimulatedMarkets,
    simulate_markets,
)

LOGIT = MarketDesign(
    n_markets=300,
    n_products=10,
    n_agents=1,
    random_coefficients=("x1",),
    sigma=((0.0,),),
    pi=(),
)


def instruments(simulated: SimulatedMarkets) -> np.ndarray:
    """Stack the columns of excluded instruments."""
    names = [name for name in simulated.products if name.startswith("demand_")]
    return np.stack([simulated.products[name] for name in names], axis=1)


def linear(simulated: SimulatedMarkets) -> tuple[np.ndarray, np.ndarray]:
    """Give X1 and the plain logit's mean utilities."""
    frame = simulated.product_data.assign(**{"1": 1.0})
    outside = 1 - frame.groupby("market_ids")["shares"].transform("sum")
    delta = np.log(frame["shares"]) - np.log(outside)
    return frame[list(simulated.design.linear)].to_numpy(), delta.to_numpy()


def test_prices_follow_unobserved_quality():
    simulated = simulate_markets(MarketDesign(n_markets=300, endogeneity=0.5), 1)
    prices, xi = simulated.products["prices"], simulated.truth.xi
    # Var(p) = ρ² σ_ξ² + 2 π_x² + 2 π_z² + π_u² = 0.0625 + 0.08 + 0.72 + 0.04
    assert np.corrcoef(prices, xi)[0, 1] == pytest.approx(0.25 / 0.95, abs=0.05)
    exogenous = simulate_markets(MarketDesign(n_markets=300, endogeneity=0.0), 1)
    correlation = np.corrcoef(exogenous.products["prices"], exogenous.truth.xi)[0, 1]
    assert abs(correlation) < 4 / np.sqrt(3600)


def test_least_squares_is_biased_and_two_stages_are_not():
    simulated = simulate_markets(LOGIT, 7)
    X, delta = linear(simulated)
    exogenous = np.delete(X, 1, axis=1)
    Z = np.hstack([exogenous, instruments(simulated)])
    ols = np.linalg.lstsq(X, delta, rcond=None)[0]
    fitted = Z @ np.linalg.lstsq(Z, X, rcond=None)[0]
    iv = np.linalg.solve(fitted.T @ X, fitted.T @ delta)
    error = delta - X @ iv
    se = np.sqrt(np.linalg.inv(fitted.T @ fitted).diagonal() * error.var())
    # plim of the bias: ρ σ_ξ² / Var(p | x) = 0.125 / 0.8225
    assert ols[1] + 2.5 == pytest.approx(0.125 / 0.8225, abs=0.05)
    assert np.all(np.abs(iv - LOGIT.beta) < 4 * se)
    assert se[1] < 0.02


def test_instruments_do_not_follow_unobserved_quality():
    simulated = simulate_markets(MarketDesign(n_markets=1000, n_agents=2), 3)
    Z = instruments(simulated)
    correlations = np.corrcoef(Z.T, simulated.truth.xi)[-1, :-1]
    assert np.all(np.abs(correlations) < 4 / np.sqrt(Z.shape[0]))
    assert np.linalg.matrix_rank((Z - Z.mean(0)) / Z.std(0)) == Z.shape[1]


def test_differentiation_instruments_are_sums_over_pairs():
    design = MarketDesign(n_markets=4, n_products=(3, 8), n_agents=2, n_firms=3)
    simulated = simulate_markets(design, 5)
    products = simulated.products
    expected = np.zeros((products["shares"].size, 2))
    for j in range(len(expected)):
        for k in range(len(expected)):
            if products["market_ids"][j] == products["market_ids"][k]:
                rival = products["firm_ids"][j] != products["firm_ids"][k]
                expected[j, int(rival)] += (products["x1"][k] - products["x1"][j]) ** 2
    built = instruments(simulated)[:, 2:4]
    np.testing.assert_allclose(built, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("sizes", "n_firms", "n_instruments"),
    [(4, 1, 2 + 3 + 2), (4, 2, 2 + 6 + 2), (4, 4, 2 + 3 + 2), (1, 1, 2 + 0 + 2)],
)
def test_instruments_that_cannot_vary_are_left_out(sizes, n_firms, n_instruments):
    design = MarketDesign(n_markets=50, n_products=sizes, n_agents=5, n_firms=n_firms)
    Z = instruments(simulate_markets(design, 0))
    assert Z.shape[1] == n_instruments
    assert np.all(Z.std(axis=0) > 0.1)


@pytest.mark.parametrize("n_products", [4, (2, 9)])
def test_a_random_constant_has_instruments_that_move_all_shares(n_products):
    design = MarketDesign(
        n_markets=60,
        n_products=n_products,
        n_agents=20,
        random_coefficients=("1", "prices"),
        sigma=((1.0, 0.0), (0.0, 0.3)),
        pi=((0.5,), (0.2,)),
    )
    Z = instruments(simulate_markets(design, 0))
    differences = 3 * (2 if np.max(n_products) > 4 else 1)
    assert Z.shape[1] == 2 + differences + 3 + int(n_products != 4) + 2
    assert np.linalg.matrix_rank((Z - Z.mean(0)) / Z.std(0)) == Z.shape[1]


def test_a_peer_inverts_the_shares_to_the_true_mean_utilities():
    pyblp = pytest.importorskip("pyblp")
    pyblp.options.verbose = False
    simulated = simulate_markets(MarketDesign(n_markets=12, n_agents=50), 9)
    formulas = simulated.formulations()
    problem = pyblp.Problem(
        (pyblp.Formulation(formulas.linear), pyblp.Formulation(formulas.nonlinear)),
        simulated.product_data,
        pyblp.Formulation(formulas.agent),
        simulated.agent_data,
    )
    results = problem.solve(
        sigma=simulated.truth.sigma,
        pi=simulated.truth.pi,
        method="1s",
        optimization=pyblp.Optimization("return"),
        iteration=pyblp.Iteration("squarem", {"atol": 1e-14}),
        check_optimality="gradient",
    )
    np.testing.assert_allclose(
        results.delta[:, 0], simulated.truth.delta, rtol=0, atol=1e-11
    )
    assert problem.products.ZD.shape[1] == 3 + 2 + 6 + 2
