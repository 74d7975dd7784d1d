"""The draw jackknife: halves as by hand, and a bias that is cut.

Invariants: parts are disjoint, cover all draws and have weights that sum to one; what
comes out is 2θ̂ less the mean of the halves; what is not a set of draws is refused.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

import blpdask
from blpdask.analysis.draw_jackknife import extrapolate, part_of_agents, split_draws
from blpdask.errors import BlpdaskError, InputError
from blpdask.simulation.markets import MarketDesign, simulate_markets
from tests.estimators.test_continuous_update import quiet

__all__ = ["quiet"]

SIGMA = [[1.5]]
SETTINGS: dict[str, Any] = {"method": "1s", "check_optimality": "gradient"}


@pytest.fixture(scope="module")
def data():
    design = MarketDesign(
        n_markets=100,
        n_products=8,
        n_agents=2000,
        pi=(),
        random_coefficients=("x1",),
        sigma=SIGMA,
    )
    return simulate_markets(design, seed=3)


def build(data, **agents: Any):
    formulas = data.formulations()
    return blpdask.Problem(
        (blpdask.Formulation(formulas.linear), blpdask.Formulation(formulas.nonlinear)),
        data.product_data,
        **agents,
    )


def drawn(data, size: int, seed: int = 0, rule: str = "monte_carlo"):
    rule_ = blpdask.Integration(rule, size, {"seed": seed} if rule != "product" else {})
    return build(data, integration=rule_)


def test_the_bias_of_few_draws_is_cut(data):
    """Over 40 sets of draws for one data set, against the estimate of a fine rule."""
    exact = drawn(data, 15, rule="product").solve(SIGMA, **SETTINGS).theta[0]
    biases = {}
    for size in (20, 50):
        found = []
        for seed in range(40):
            results = drawn(data, size, seed).solve(SIGMA, **SETTINGS)
            jackknife = results.draw_jackknife()
            assert all(jackknife.converged)
            found.append([jackknife.estimates[0], jackknife.parameters[0]])
        errors = np.array(found) - exact
        mean, noise = errors.mean(axis=0), errors.std(axis=0) / np.sqrt(40)
        biases[size] = mean[0]
        assert mean[0] > 4 * noise[0], "there is a bias to be cut"
        assert abs(mean[1]) < mean[0] / 3 and abs(mean[1]) < 3 * noise[1]
    # B/R: draws 2.5 times as many, a bias 2.5 times as small.
    assert 1.7 < biases[20] / biases[50] < 3.5


def test_halves_are_those_by_hand(data):
    """Halves of a rule's draws are its first and its second half in every market."""
    problem = drawn(data, 20, seed=7)
    results = problem.solve(SIGMA, method="2s")
    found = results.draw_jackknife()
    agents = pd.DataFrame(
        {
            "market_ids": problem.agents.market_ids[:, 0],
            "nodes0": problem.agents.nodes[:, 0],
            "place": np.tile(np.arange(20), problem.T),
        }
    )
    parts = []
    for low in (0, 10):
        half = agents[agents["place"].between(low, low + 9)]
        again = build(data, agent_data=half.assign(weights=0.1))
        parts.append(again.solve(results.sigma, W=results.W, **SETTINGS).parameters)
    np.testing.assert_allclose(found.parts, np.hstack(parts).T, rtol=1e-6)
    expected = 2 * results.parameters - (parts[0] + parts[1]) / 2
    np.testing.assert_allclose(found.parameters, expected[:, 0], rtol=1e-6)
    np.testing.assert_allclose(found.bias, (results.parameters - expected)[:, 0])
    np.testing.assert_array_equal(found.jackknifed.sigma[0, 0], found.parameters[0])
    np.testing.assert_array_equal(found.jackknifed.beta[:, 0], found.parameters[1:])
    table = found.to_frame()
    assert table["matrix"].tolist() == ["sigma", *["beta"] * 4]
    assert "2 Parts of 10 Draws" in str(found)


def test_agents_of_data_are_dealt_out_at_random(data):
    rng = np.random.default_rng(0)
    T = 100
    agents = pd.DataFrame(
        {
            "market_ids": np.repeat(np.unique(data.products["market_ids"]), 12),
            "weights": 1 / 12,
            "nodes0": np.sort(rng.normal(size=(T, 12)), axis=1).ravel(),
        }
    )
    results = build(data, agent_data=agents).solve(SIGMA, **SETTINGS)
    one, again, other = (
        results.draw_jackknife(parts=3, seed=seed, engine="serial")
        for seed in (0, 0, 1)
    )
    assert one.parts.shape == (3, 5) and one.n_draws == 4
    np.testing.assert_array_equal(one.parameters, again.parameters)
    assert not np.array_equal(one.parameters, other.parameters)
    expected = (3 * one.estimates - one.parts.mean(axis=0)) / 2
    np.testing.assert_allclose(one.parameters, expected, rtol=1e-14)


@pytest.mark.parametrize("seed", [None, 0])
def test_parts_are_disjoint_and_whole(data, seed):
    agents = drawn(data, 12).demand.agents
    rng = None if seed is None else np.random.default_rng(seed)
    rows = split_draws(agents.offsets, 3, rng)
    np.testing.assert_array_equal(np.sort(np.concatenate(rows)), np.arange(1200))
    for own in rows:
        part = part_of_agents(agents, own, 3)
        assert np.diff(part.offsets).tolist() == [4] * 100
        sums = np.bincount(part.market_codes, weights=part.weights)
        np.testing.assert_allclose(sums, 1)
        np.testing.assert_array_equal(part.nodes, agents.nodes[own])


def test_parts_keep_their_own_distances(data):
    """Demographics that differ over products, and availability, follow their agents."""
    agents = drawn(data, 4).demand.agents
    both = np.random.default_rng(1).uniform(size=(3, 400, 8))
    whole = replace(agents, product_demographics=both[:2], availability=both[2])
    rows = split_draws(whole.offsets, 2, np.random.default_rng(0))[1]
    part = part_of_agents(whole, rows, 2)
    np.testing.assert_array_equal(part.product_demographics, both[:2, rows])
    np.testing.assert_array_equal(part.availability, both[2, rows])


def test_a_bias_of_first_order_is_taken_out_exactly():
    B, truth = np.array([0.3, -2.0]), np.array([1.0, 4.0])
    for K in (2, 3, 5):
        parts = np.tile(truth + K * B, (K, 1))
        np.testing.assert_allclose(extrapolate(truth + B, parts), truth, rtol=1e-14)


def test_what_is_no_set_of_draws_is_refused(data):
    quadrature = drawn(data, 5, rule="product").solve(SIGMA, **SETTINGS)
    with pytest.raises(InputError, match="'product', which draws nothing"):
        quadrature.draw_jackknife()
    problem = drawn(data, 5, rule="product")
    table = pd.DataFrame(
        {
            "market_ids": problem.agents.market_ids[:, 0],
            "weights": problem.agents.weights[:, 0],
            "nodes0": problem.agents.nodes[:, 0],
        }
    )
    weighted = build(data, agent_data=table).solve(SIGMA, **SETTINGS)
    with pytest.raises(InputError, match="draws of equal weight"):
        weighted.draw_jackknife()
    uneven = drawn(data, 7).solve(SIGMA, **SETTINGS)
    with pytest.raises(InputError, match="no multiples of 2 in 100 markets"):
        uneven.draw_jackknife()
    with pytest.raises(InputError, match=r"(?s)parts=1.*seed=-1.*arguments W, method"):
        uneven.draw_jackknife(parts=1, seed=-1, W=None, method="2s")
    logit = blpdask.Problem(
        blpdask.Formulation(data.formulations().linear), data.product_data
    )
    with pytest.raises(InputError, match="a problem without agents"):
        logit.solve(method="1s").draw_jackknife()


def test_continuously_updated_estimates_are_refused(data):
    results = drawn(data, 20).solve(SIGMA, method="cue", check_optimality="gradient")
    with pytest.raises(InputError, match="of method 'cue'"):
        results.draw_jackknife()
    assert results.last_results.draw_jackknife().parts.shape == (2, 5)


def test_results_without_a_problem_or_rows_are_refused(data, tmp_path):
    results = drawn(data, 20).solve(SIGMA, **SETTINGS)
    results.save(tmp_path / "saved")
    with pytest.raises(BlpdaskError, match="without their problem"):
        blpdask.read_results(tmp_path / "saved").draw_jackknife()
    store = blpdask.build_store(tmp_path / "store", data.product_data)
    formulas = data.formulations()
    stored = blpdask.Problem(
        (blpdask.Formulation(formulas.linear), blpdask.Formulation(formulas.nonlinear)),
        store,
        integration=blpdask.Integration("monte_carlo", 20, {"seed": 0}),
    )
    with pytest.raises(BlpdaskError, match="store"):
        stored.solve(SIGMA, **SETTINGS).draw_jackknife()
