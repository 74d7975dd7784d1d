"""How utilities and costs move with prices and shares, block by block.

Derivatives are those of finite differences, for every formula; at the data's prices and
shares nothing moves, to the bit.
"""

from __future__ import annotations

import warnings
from itertools import pairwise

import numpy as np
import pytest

import blpdask
from blpdask import Formulation
from blpdask.problem.pricing import PriceSetting, priced_markets

N, T = 40, 8
GAMMA = np.array([0.5, 0.3, 0.2])


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(1)
    return {
        "market_ids": rng.permutation(np.arange(N) % T),
        "firm_ids": rng.integers(0, 3, N),
        "shares": rng.uniform(0.02, 0.1, N),
        "prices": rng.uniform(1, 3, N),
        "x": rng.normal(size=N),
        "city": np.array(["a", "b"])[np.arange(N) % 2],
    }


@pytest.fixture(scope="module")
def demand(data):
    blpdask.options.verbose, verbose = False, blpdask.options.verbose
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        problem = blpdask.Problem(
            (
                Formulation("1 + log(prices) + prices:C(city) + I(prices**2 * x)"),
                Formulation("1 + I(-prices) + I(x / prices)"),
                Formulation("1 + x + I(shares**2)"),
            ),
            data,
            integration=blpdask.Integration("product", 2),
        )
    blpdask.options.verbose = verbose
    return problem.demand


def blocks(demand, data, log=False, gamma=GAMMA):
    beta = np.random.default_rng(2).normal(size=demand.products.X1.shape[1])
    setting = PriceSetting(
        firms=data["firm_ids"],
        ownership=None,
        costs=np.arange(1.0, N + 1),
        start=data["prices"] + 0.5,
        gamma=gamma,
        log_costs=log,
    )
    source = priced_markets(
        demand, data, setting, beta=beta, delta=np.arange(N) / 10, n_blocks=3
    )
    return beta, [source.load(index) for index in range(len(source))]


def test_nothing_moves_at_the_prices_of_the_data(demand, data):
    _, found = blocks(demand, data)
    first = 0
    for block in found:
        rows = demand.order[first : first + block.start.size]
        first += block.start.size
        at = block.utility(data["prices"][rows])
        np.testing.assert_array_equal(at.delta, rows / 10)
        np.testing.assert_array_equal(at.X2, demand.products.X2[rows].T)
        np.testing.assert_array_equal(block.costs_at(data["shares"][rows]), rows + 1.0)
        np.testing.assert_array_equal(block.start, data["prices"][rows] + 0.5)
        firms = data["firm_ids"][rows]
        owners, offsets = block.markets.supply.owners, block.markets.product_offsets
        for a, b in pairwise(offsets):
            same = firms[a:b, None] == firms[None, a:b]
            np.testing.assert_array_equal(owners[a:b, None] == owners[None, a:b], same)
    assert first == N


def test_derivatives_are_finite_differences(demand, data):
    _, found = blocks(demand, data)
    h = 1e-5
    for block in found:
        p = block.start
        at, up, down = (block.utility(p + move) for move in (0, h, -h))
        by_prices = (up.delta - down.delta) / (2 * h)
        np.testing.assert_allclose(at.alpha, by_prices, rtol=1e-7)
        for place, slope in zip(at.X2_priced, at.X2_by_prices, strict=True):
            difference = (up.X2[place] - down.X2[place]) / (2 * h)
            np.testing.assert_allclose(slope, difference, rtol=1e-7)
        curved, of_X2 = block.utility.curvature(p)
        np.testing.assert_allclose(curved, (up.alpha - down.alpha) / (2 * h), rtol=1e-7)
        difference = (up.X2_by_prices - down.X2_by_prices) / (2 * h)
        np.testing.assert_allclose(of_X2, difference, rtol=1e-6, atol=1e-9)
        assert at.X2_priced.tolist() == [1, 2]


def test_utilities_are_the_formulas(demand, data):
    beta, found = blocks(demand, data)
    block, rows = found[0], demand.order[: found[0].start.size]
    p, before = block.start, data["prices"][rows]
    x, city = data["x"][rows], data["city"][rows]
    names = [column.name for column in demand.products.X1_columns]
    of = dict(zip(names, beta, strict=True))
    change = of["log(prices)"] * np.log(p / before)
    change += of["prices**2*x"] * x * (p**2 - before**2)
    for level in "ab":
        b = of.get(f"city['{level}']*prices", of.get(f"prices*city['{level}']"))
        change += b * (city == level) * (p - before)
    np.testing.assert_allclose(block.utility(p).delta, rows / 10 + change, rtol=1e-12)
    np.testing.assert_allclose(block.utility(p).X2[2], x / p, rtol=1e-15)


def test_costs_follow_shares(demand, data):
    for log in (False, True):
        _, found = blocks(demand, data, log=log)
        block, rows = found[0], demand.order[: found[0].start.size]
        before = data["shares"][rows]
        change = GAMMA[2] * ((before + 0.1) ** 2 - before**2)
        expected = (rows + 1) * np.exp(change) if log else rows + 1 + change
        np.testing.assert_allclose(block.costs_at(before + 0.1), expected, rtol=1e-13)
    _, constant = blocks(demand, data, gamma=None)
    assert all(block.costs_at is None for block in constant)


def test_prices_are_held_in_the_blocks_they_are_in(demand, data):
    held = np.zeros(N, bool)
    held[demand.order[1]] = True
    setting = PriceSetting(
        firms=data["firm_ids"],
        ownership=None,
        costs=np.ones(N),
        start=data["prices"],
        fixed=held,
    )
    beta = np.zeros(demand.products.X1.shape[1])
    source = priced_markets(
        demand, data, setting, beta=beta, delta=np.zeros(N), n_blocks=3
    )
    found = [source.load(index).fixed for index in range(len(source))]
    assert np.flatnonzero(found[0]).tolist() == [1]
    assert found[1:] == [None] * (len(found) - 1)
