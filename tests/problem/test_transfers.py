"""A transfer is one more column of X2, with a demographic and a Π of one for it."""

from __future__ import annotations

import numpy as np

from blpdask.model.parameters import tastes_at
from blpdask.problem.at_prices import at_prices
from blpdask.problem.transfers import free_name, with_coefficient, with_transfer
from tests.api.test_economy_methods import solved


def test_tables_are_those_of_a_problem_with_the_column() -> None:
    """Seed 115 has a scale, seed 105 rows in mixed order."""
    for seed in (105, 115):
        economy = solved(seed).estimated_economy("test")
        demand, rng = economy.demand, np.random.default_rng(seed)
        eligible = rng.uniform(size=demand.n_products) < 0.5
        worth = rng.normal(size=demand.agents.weights.size)
        name = free_name(demand.products)
        assert name == "transfers0"
        found = with_transfer(demand, name, eligible, worth)
        assert free_name(found.products) == "transfers1"
        column = found.tables.X2[:, -1] * demand.epsilon_scale
        np.testing.assert_allclose(column, eligible[demand.order], rtol=1e-15)
        np.testing.assert_array_equal(found.tables.X2[:, :-1], demand.tables.X2)
        np.testing.assert_array_equal(found.tables.draws[:, :-1], demand.tables.draws)
        np.testing.assert_array_equal(found.tables.draws[:, -1], worth)
        products = found.products
        data = {**products.variables, "shares": products.shares}
        prices = np.asarray(products.ids["prices"], float)[:, 0]
        again = at_prices(found, data, prices, products.shares)
        np.testing.assert_array_equal(again.tables.X2, found.tables.X2)


def test_loadings_are_bordered() -> None:
    economy = solved(105).estimated_economy("test")
    before = tastes_at(economy.parameters, economy.theta)
    parameters = with_coefficient(economy.parameters, "transfers0")
    after = tastes_at(parameters, economy.theta)
    K2, L = before.loadings.shape
    expected = np.zeros((K2 + 1, L + 1))
    expected[:-1, :-1], expected[-1, -1] = before.loadings, 1.0
    np.testing.assert_array_equal(after.loadings, expected)
    np.testing.assert_array_equal(after.types, [*before.types, 0])
    np.testing.assert_array_equal(after.rows, before.rows)
    np.testing.assert_array_equal(after.columns, before.columns)
    np.testing.assert_array_equal(after.rho, before.rho)
    assert parameters.labels == economy.parameters.labels
