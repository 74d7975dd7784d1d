"""Markups of every model of conduct against plain NumPy, and their derivatives.

- Bertrand, collusion, monopoly and Cournot markups solve the first-order conditions of
  a random coefficients logit whose share Jacobian is written out market by market.
- At the truth, Bertrand's are prices less the costs that made the market.
- Cournot's of a logit have a closed form, and a monopoly's are the same either way.
- Z'∂c̃/∂(θ, b) is the central difference of costs along δ(θ).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import blpdask
from blpdask import ConductModel, Formulation
from blpdask.analysis.conduct_demand import DemandPoint
from blpdask.analysis.conduct_markups import Computation, implied_costs
from blpdask.api.conduct_models import read_models
from blpdask.api.estimated_errors import estimated_layout
from blpdask.driver.choose import choose_engine
from blpdask.errors import Faults
from blpdask.model.inversion import solve_shares
from blpdask.model.parameters import tastes_at
from blpdask.moments.demand import plain_logit
from blpdask.partitions.cut import cut_markets
from blpdask.records import InversionControls, InversionStart

from .conduct_markets import COSTS, TESTED, draw_markets, estimate

AS_THEY_ARE = blpdask.Optimization("return")
HALF = ConductModel("collusion", kappa=0.5)
PAIR = ConductModel("collusion", firms=["a", "b"])
MODELS = ["bertrand", "monopoly", "cournot", HALF, PAIR]


@pytest.fixture(autouse=True, scope="module")
def quiet():
    blpdask.options.verbose, verbose = False, blpdask.options.verbose
    yield
    blpdask.options.verbose = verbose


@pytest.fixture(scope="module")
def data(quiet):
    return draw_markets(3, T=25)


def at(results, **changed):
    estimates = results.estimates
    point = DemandPoint(
        estimated_layout(estimates, results.problem.outline),
        estimates.theta,
        estimates.beta[:, 0],
        np.asarray(results.delta)[:, 0],
    )
    return replace(point, **changed)


def implied(results, model, point=None, Z=None, *, log=False, blocks=None, **how):
    demand = results.problem.demand
    faults = Faults("models")
    conduct, _ = read_models(
        [model, ConductModel("monopoly", name="-")], demand, faults
    )
    faults.check()
    Z = np.ones((demand.n_products, 1)) if Z is None else Z
    how = {"backend": "numba", **how}
    computation = Computation(choose_engine("serial"), **how, scratch_bytes=2**24)
    computation = replace(computation, n_blocks=blocks)
    return implied_costs(demand, point or at(results), conduct, Z, computation, log=log)


def jacobians(data, delta, sigma, alpha):
    """∂s_j/∂p_k of each market of a logit with one coefficient on x, by 5 nodes."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(5)
    weights = weights / weights.sum()
    for _, rows in data.groupby("market_ids").indices.items():
        x = data["x"].to_numpy()[rows]
        e = np.exp(delta[rows] + sigma * nodes[:, None] * x)
        P = e / (1 + e.sum(axis=1, keepdims=True))
        yield rows, alpha * (np.diag(weights @ P) - (P.T * weights) @ P)


def ownership(data, rows, kind):
    f = data["firm_ids"].to_numpy()[rows]
    same = (f[:, None] == f).astype(float)
    if kind is HALF:
        return np.where(same == 1, 1.0, 0.5)
    if kind is PAIR:
        inside = np.isin(f, ["a", "b"])
        return np.maximum(same, np.outer(inside, inside))
    return np.ones_like(same) if kind == "monopoly" else same


@pytest.mark.parametrize("model", MODELS, ids=str)
def test_markups_solve_first_order_conditions_written_out(data, model):
    results = estimate(data, optimization=AS_THEY_ARE)
    found = implied(results, model)
    s = data["shares"].to_numpy()
    expected = np.empty(len(data))
    delta, alpha = results.delta[:, 0], results.beta[1, 0]
    for rows, D in jacobians(data, delta, 1.0, alpha):
        H = ownership(data, rows, model)
        if model == "cournot":
            expected[rows] = -(H * np.linalg.inv(D).T) @ s[rows]
        else:
            expected[rows] = np.linalg.solve(-H * D.T, s[rows])
    np.testing.assert_allclose(found.eta, expected, rtol=1e-10)
    np.testing.assert_allclose(found.costs, data["prices"] - expected, rtol=1e-9)


@pytest.mark.parametrize("kappa", [None, lambda f, g: 1.0 if f == g else 0.5])
def test_the_true_model_gives_back_the_costs_that_made_the_markets(kappa):
    data = draw_markets(4, T=20, kappa=kappa)
    results = estimate(data, beta=[None, -1.5, None], optimization=AS_THEY_ARE)
    model = "bertrand" if kappa is None else ConductModel("collusion", kappa=kappa)
    np.testing.assert_allclose(implied(results, model).costs, data["costs"], atol=1e-9)


def test_cournot_of_a_logit_has_a_closed_form(data):
    single = data.assign(firm_ids=np.arange(len(data)))
    results = estimate(single, random=False)
    s = data["shares"].to_numpy()
    outside = 1 - data.groupby("market_ids")["shares"].transform("sum").to_numpy()
    alpha = results.beta[1, 0]
    found = implied(results, "cournot").eta
    np.testing.assert_allclose(found, -(1 + s / outside) / alpha, rtol=1e-12)
    bertrand = implied(results, "bertrand").eta
    np.testing.assert_allclose(bertrand, -1 / (alpha * (1 - s)), rtol=1e-12)


def test_a_monopoly_is_the_same_whether_it_sets_prices_or_quantities(data):
    results = estimate(data, optimization=AS_THEY_ARE)
    all_of_it = blpdask.build_ownership(data, "monopoly")
    quantities = implied(results, ConductModel("cournot", ownership=all_of_it))
    prices = implied(results, "monopoly")
    np.testing.assert_allclose(quantities.eta, prices.eta, rtol=1e-11)
    np.testing.assert_allclose(quantities.ZtC, prices.ZtC, rtol=1e-9)


def test_cournot_by_weights_is_cournot_by_firms(data):
    results = estimate(data, optimization=AS_THEY_ARE)
    weights = ConductModel("cournot", ownership=blpdask.build_ownership(data))
    by_weights, by_firms = implied(results, weights), implied(results, "cournot")
    np.testing.assert_allclose(by_weights.eta, by_firms.eta, rtol=1e-11)
    np.testing.assert_allclose(by_weights.ZtC, by_firms.ZtC, rtol=1e-9)


def test_blocks_and_backends_do_not_matter(data):
    results = estimate(data, optimization=AS_THEY_ARE)
    rng = np.random.default_rng(0)
    Z = rng.normal(size=(len(data), 2))
    one = implied(results, "cournot", Z=Z, blocks=1)
    for other in (
        implied(results, "cournot", Z=Z, blocks=7),
        implied(results, "cournot", Z=Z, backend="numpy"),
    ):
        np.testing.assert_allclose(other.eta, one.eta, rtol=1e-11)
        np.testing.assert_allclose(other.ZtC, one.ZtC, rtol=1e-9)


def moved(demand, point, place, step):
    """Estimates with one of (θ, b) moved, δ with it where shares ask for it."""
    parameters = point.parameters
    theta, beta = point.theta.copy(), point.beta.copy()
    P = parameters.size
    if place >= P:
        row = np.flatnonzero(parameters.concentrated)[place - P]
        if row < beta.size:
            beta[row] += step
        return replace(point, beta=beta)
    theta[place] += step
    entry = parameters.free[place]
    if entry.matrix == "beta":
        beta[entry.row] += step
        return replace(point, theta=theta, beta=beta)
    tastes = tastes_at(parameters, theta)
    block = cut_markets(demand.tables, 0, 0, demand.n_markets)
    start = InversionStart(point.delta[demand.order], np.empty(0))
    controls = InversionControls(method="newton", atol=1e-14)
    if block.X2.shape[0]:
        found = solve_shares(block, tastes, start, controls, backend="numba")
    else:
        found = plain_logit(block, tastes)
    delta = np.empty_like(point.delta)
    delta[demand.order] = found.delta
    return replace(point, theta=theta, delta=delta)


PROBLEMS = {
    "random": {},
    "with supply": {"supply": True},
    "nests": {"random": False, "rho": 0.3},
    "random in nests": {"rho": 0.3},
    "price squared": {"linear": Formulation("1 + prices + I(prices**2) + x")},
}


@pytest.mark.parametrize("model", MODELS, ids=str)
@pytest.mark.parametrize("name", PROBLEMS)
@pytest.mark.parametrize("log", [False, True])
def test_derivatives_of_costs_are_central_differences(name, model, log):
    settings = dict(PROBLEMS[name])
    rho = settings.get("rho")
    data = draw_markets(5, T=12, rho=rho)
    # Prices high enough for logarithms of costs under all models.
    data["prices"] += 5.0
    results = estimate(data, optimization=AS_THEY_ARE, **settings)
    beta = results.beta[:, 0].copy()
    beta[1] = -1.5
    if name == "price squared":
        beta[2] = 0.01
    Z = np.random.default_rng(1).normal(size=(len(data), 3))
    point, demand = at(results, beta=beta), results.problem.demand
    found = implied(results, model, point, Z, log=log)
    assert np.isfinite(found.costs).all()
    step = 1e-5
    for place in range(point.concentrated_and_theta):
        up, down = (
            implied(results, model, moved(demand, point, place, h), Z, log=log).costs
            for h in (step, -step)
        )
        difference = Z.T @ (up - down) / (2 * step)
        np.testing.assert_allclose(
            found.ZtC[:, place], difference, rtol=1e-6, atol=1e-6
        )
    assert np.abs(found.ZtC).max() > 0.1


def test_the_scale_of_errors_is_a_unit_of_utility(data):
    plain = estimate(data, optimization=AS_THEY_ARE)
    scaled = blpdask.Problem(
        (Formulation("1 + prices + x"), Formulation("0 + x")),
        data,
        integration=blpdask.Integration("product", 5),
        epsilon_scale=2.0,
    ).solve(sigma=[[2.0]], method="1s", engine="serial", optimization=AS_THEY_ARE)
    Z = data[TESTED].to_numpy()
    for model in MODELS:
        one, two = implied(plain, model, Z=Z), implied(scaled, model, Z=Z)
        np.testing.assert_allclose(two.eta, one.eta, rtol=1e-9)
        np.testing.assert_allclose(two.ZtC, one.ZtC / 2, rtol=1e-8, atol=1e-10)


def test_costs_of_models_without_markups_do_not_move(data):
    results = estimate(data, optimization=AS_THEY_ARE)
    found = implied(results, "perfect_competition")
    assert not found.eta.any() and not found.ZtC.any()
    given = implied(results, ConductModel("given", markups=0.5 * data["prices"]))
    np.testing.assert_array_equal(given.costs, 0.5 * data["prices"])
    assert COSTS.formula == "1 + x + w"
