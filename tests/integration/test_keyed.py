"""Keyed nodes depend on (seed, market, replicate) alone and have the right moments."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import ndtr

from blpdask.integration.keyed import NODES, count_nodes, draw_market, draw_markets
from blpdask.integration.rules import SIMULATIONS, SPECIFICATIONS, Rule, RuleOptions
from blpdask.simulation.design import MarketDesign
from blpdask.simulation.streams import draw_fresh_agents

UNSCRAMBLED = RuleOptions(scramble=False)


def rules():
    sizes = {name: 64 if name in SIMULATIONS else 3 for name in SPECIFICATIONS}
    sizes["trapezoid"] = 12
    found = [Rule(name, size) for name, size in sizes.items()]
    mirrored = [Rule(name, 64, RuleOptions(antithetic=True)) for name in SIMULATIONS]
    return [*found, *mirrored, Rule("halton", 64, UNSCRAMBLED)]


@pytest.mark.parametrize("rule", rules(), ids=str)
def test_a_market_is_the_same_in_any_company(rule):
    together = draw_markets(rule, 3, 5, [9, 2, 4], replicate=1)
    size = count_nodes(rule, 3)
    assert together.market_index.tolist() == np.repeat([0, 1, 2], size).tolist()
    for place, market in enumerate([9, 2, 4]):
        alone = draw_market(rule, 3, seed=5, market=market, replicate=1)
        rows = slice(place * size, (place + 1) * size)
        assert alone.nodes.tobytes() == together.nodes[rows].tobytes()
        assert alone.weights.tobytes() == together.weights[rows].tobytes()


@pytest.mark.parametrize("rule", rules(), ids=str)
def test_every_part_of_the_key_matters_to_draws_and_none_to_quadratures(rule):
    first = draw_market(rule, 2, seed=5, market=0, replicate=1).nodes
    # Neither a sum nor a permutation of the parts is the key.
    for key in ((6, 0, 1), (5, 1, 1), (5, 0, 2), (5, 1, 0), (0, 5, 1)):
        other = draw_market(rule, 2, key[0], key[1], key[2]).nodes
        assert (other == first).all() == (not rule.is_simulation)


@pytest.mark.parametrize("rule", rules(), ids=str)
def test_nodes_have_the_moments_of_a_standard_normal(rule):
    built = draw_markets(rule, 2, 0, range(200))
    weights = built.weights / 200
    mean = weights @ built.nodes
    second = built.nodes.T @ (weights[:, None] * built.nodes)
    # 12,800 draws: four standard errors of a mean are 0.035, of a variance 0.05.
    np.testing.assert_allclose(mean, 0, atol=0.036)
    np.testing.assert_allclose(second, np.eye(2), atol=0.051)


def test_strata_of_latin_hypercubes_hold_one_point_each():
    for name in ("lhs", "mlhs"):
        points = ndtr(draw_market(Rule(name, 50), 2, seed=1, market=3).nodes) * 50
        assert (np.sort(np.floor(points), axis=0) == np.arange(50)[:, None]).all()
    spread = np.sort(points, axis=0) - np.arange(50)[:, None]
    np.testing.assert_allclose(spread, spread[:1].repeat(50, axis=0), atol=1e-10)


def test_scrambled_halton_points_keep_one_in_each_interval_of_a_base():
    points = ndtr(draw_market(Rule("halton", 27 * 8), 2, seed=1, market=3).nodes)
    for column, intervals in ((0, 8), (1, 27)):
        counts = np.bincount((points[:, column] * intervals).astype(int))
        assert (counts == 27 * 8 / intervals).all()


def test_a_number_is_what_it_was():
    # PCG64 and SeedSequence are among the streams that NumPy promises to keep.
    found = draw_market(Rule("monte_carlo", 2), 1, seed=1, market=2, replicate=3).nodes
    key = np.random.SeedSequence(1, spawn_key=(NODES, 3, 2))
    expected = np.random.Generator(np.random.PCG64(key)).standard_normal((2, 1))
    assert found.tobytes() == expected.tobytes()


def test_no_nodes_are_the_fresh_agents_of_a_simulated_market():
    # Without a constant of their own, nodes of the replicate m in market 1 would be
    # the agents drawn afresh for market m.
    design = MarketDesign(n_markets=4)
    fresh = draw_fresh_agents(design, 7, range(4), 50)
    rule = Rule("monte_carlo", 50)
    found = [
        draw_market(rule, fresh.shape[2], 7, market, replicate).nodes
        for market in range(4)
        for replicate in range(4)
    ]
    kept = {agents.tobytes() for agents in (*found, *fresh)}
    assert len(kept) == len(found) + len(fresh)
