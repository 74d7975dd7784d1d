"""Draws have a normal's moments, and each market's stream stands alone."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from scipy.stats import kstest
from scipy.stats.qmc import Sobol

from blpdask.errors import InputError
from blpdask.integration.halton import first_primes
from blpdask.integration.keyed import draw_market
from blpdask.integration.rules import SIMULATIONS, Rule, RuleOptions
from blpdask.integration.sobol import sobol, sobol_nodes


@pytest.mark.parametrize(
    ("specification", "bound"),
    [
        ("monte_carlo", 0.05),
        ("lhs", 0.05),
        ("mlhs", 0.05),
        ("halton", 0.01),
        ("sobol", 0.01),
    ],
)
def test_moments_are_those_of_a_normal(specification: str, bound: float) -> None:
    rule = Rule(specification, 4096, RuleOptions(seed=0)).build(3)
    assert rule.weights.sum() == pytest.approx(1, abs=1e-14)
    mean = rule.weights @ rule.nodes
    second = (rule.nodes * rule.weights[:, np.newaxis]).T @ rule.nodes
    np.testing.assert_allclose(mean, 0, atol=bound)
    np.testing.assert_allclose(second, np.eye(3), atol=bound)
    np.testing.assert_allclose(rule.weights @ rule.nodes**4, 3, atol=12 * bound)


@pytest.mark.parametrize("specification", SIMULATIONS)
def test_markets_pool_to_a_normal_sample(specification: str) -> None:
    pooled = Rule(specification, 8, RuleOptions(seed=1)).build_markets(2, 200).nodes
    assert np.isfinite(pooled).all()
    for column in pooled.T:
        assert kstest(column, "norm").pvalue > 1e-3
    assert abs(np.corrcoef(pooled.T)[0, 1]) < 0.08


@pytest.mark.parametrize("specification", SIMULATIONS)
def test_first_markets_do_not_depend_on_later_ones(specification: str) -> None:
    rule = Rule(specification, 6, RuleOptions(seed=2))
    few, many = rule.build_markets(3, 2), rule.build_markets(3, 70)
    np.testing.assert_array_equal(few.nodes, many.nodes[:12])
    np.testing.assert_array_equal(few.nodes[:6], rule.build(3).nodes)
    assert not np.array_equal(few.nodes[:6], few.nodes[6:])


def test_sobol_is_keyed_by_seed_and_market_alone() -> None:
    stacked = sobol(3, 16, n_markets=5, seed=9).nodes.reshape(5, 16, 3)
    for market in reversed(range(5)):
        np.testing.assert_array_equal(stacked[market], sobol_nodes(3, 16, 9, market))
    assert not np.array_equal(sobol_nodes(3, 16, 8, 0), stacked[0])


def test_sobol_is_a_net_in_base_two() -> None:
    from scipy.special import ndtr

    uniforms = ndtr(sobol_nodes(2, 64, 4, 0))
    for log_rows in range(7):
        rows, columns = 2**log_rows, 2 ** (6 - log_rows)
        boxes = np.floor(uniforms[:, 0] * rows) * columns
        boxes += np.floor(uniforms[:, 1] * columns)
        np.testing.assert_array_equal(np.sort(boxes), np.arange(64))


@pytest.mark.parametrize("size", [1, 2, 5, 16])
def test_sobol_takes_the_first_points_of_scipy(size: int) -> None:
    from scipy.special import ndtr

    key = np.random.SeedSequence(3, spawn_key=(2,))
    expected = Sobol(4, seed=np.random.default_rng(key)).random_base2(4)[:size]
    found = ndtr(sobol_nodes(4, size, 3, 2))
    np.testing.assert_allclose(found, expected, rtol=0, atol=2**-30)


def test_sobol_integrates_better_than_monte_carlo() -> None:
    def spread(specification: str) -> float:
        rule = Rule(specification, 256, RuleOptions(seed=5)).build_markets(2, 100)
        values = np.exp(0.5 * rule.nodes.sum(axis=1)).reshape(100, 256).mean(axis=1)
        return float(np.sqrt(np.mean((values - np.exp(0.25)) ** 2)))

    assert spread("sobol") < spread("monte_carlo") / 8


def test_lhs_has_one_point_in_each_stratum() -> None:
    from scipy.special import ndtr

    for specification in ("lhs", "mlhs"):
        rule = Rule(specification, 20, RuleOptions(seed=3)).build(2)
        strata = np.floor(ndtr(rule.nodes) * 20)
        np.testing.assert_array_equal(np.sort(strata, axis=0)[:, 0], np.arange(20))
        np.testing.assert_array_equal(np.sort(strata, axis=0)[:, 1], np.arange(20))


def test_a_seed_is_drawn_once_and_recorded() -> None:
    rule = Rule("monte_carlo", 4)
    assert not np.array_equal(rule.build(1).nodes, rule.build(1).nodes)
    seeded = rule.seeded()
    assert seeded.options.seed is not None
    assert seeded.seeded() is seeded
    np.testing.assert_array_equal(seeded.build(1).nodes, seeded.build(1).nodes)
    assert Rule("product", 4).seeded() == Rule("product", 4)


def test_a_rule_travels_between_processes() -> None:
    rule = Rule("halton", 4, RuleOptions(seed=1, discard=10))
    assert pickle.loads(pickle.dumps(rule)) == rule


@pytest.mark.parametrize("specification", SIMULATIONS)
def test_antithetic_draws_mirror_the_first_half(specification: str) -> None:
    options = RuleOptions(seed=4, antithetic=True)
    nodes = Rule(specification, 32, options).build_markets(3, 4).nodes
    nodes = nodes.reshape(4, 32, 3)
    np.testing.assert_array_equal(nodes[:, 16:], -nodes[:, :16])
    half = Rule(specification, 16, RuleOptions(seed=4)).build_markets(3, 4).nodes
    np.testing.assert_array_equal(nodes[:, :16].reshape(-1, 3), half)
    large = Rule(specification, 4096, options).build(2)
    np.testing.assert_array_equal(large.nodes.sum(axis=0).round(12), 0.0)
    second = large.nodes.T @ large.nodes / 4096
    np.testing.assert_allclose(second, np.eye(2), atol=0.07)
    np.testing.assert_allclose((large.nodes**3).mean(axis=0), 0.0, atol=1e-12)
    assert large.weights.sum() == pytest.approx(1.0, rel=1e-13)
    with pytest.raises(InputError, match="31 antithetic draws"):
        Rule(specification, 31, options)


def test_draws_around_modes_are_refused_where_there_are_none() -> None:
    rule = Rule("laplace", 8)
    assert rule.is_centred and not rule.is_simulation
    assert rule.seeded().options.seed is not None
    assert rule.base == Rule("sobol", 8)
    for build in (lambda: rule.build(2), lambda: draw_market(rule, 2, 0, 0)):
        with pytest.raises(InputError, match="shares have no modes"):
            build()


def test_an_unknown_rule_is_refused() -> None:
    with pytest.raises(InputError, match="specification 'monte carlo'"):
        Rule("monte carlo", 4)


def test_primes() -> None:
    primes = first_primes(168)
    assert primes[:6] == [2, 3, 5, 7, 11, 13]
    assert primes[-1] == 997
