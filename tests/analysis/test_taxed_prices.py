"""Owners under taxes weigh by H̃, written out; costs and prices go there and back."""

from __future__ import annotations

import numpy as np
import pytest

from blpdask.analysis.economy import Owners
from blpdask.analysis.taxed_prices import TaxRates, taxed_owners
from tests.api.test_economy_methods import own_rows, solved


def sorted_rates(economy, rates):
    """Give rates in the user's order to an economy."""
    return TaxRates(np.zeros(rates.size), rates[economy.rows])


@pytest.mark.parametrize("weighted", [True, False])
def test_weights_are_scaled(weighted: bool) -> None:
    results = solved(5)  # markets of several sizes, in mixed order
    economy = results._ask("test", engine="serial").economy()
    rng = np.random.default_rng(0)
    tau = rng.uniform(-0.3, 0.5, results.delta.size)
    firms = np.array(results.product_data.firm_ids[:, 0], np.int64)
    widest = max(rows.size for rows in own_rows(results))
    weights = rng.uniform(size=(tau.size, widest + 2)) if weighted else None
    found = taxed_owners(economy, Owners(firms, weights), sorted_rates(economy, tau))
    assert found.ownership.shape == (tau.size, widest)
    assert not found.firms.any()
    for rows in own_rows(results):
        for place, j in enumerate(rows):
            for column, k in enumerate(rows):
                H = weights[j, column] if weighted else float(firms[j] == firms[k])
                expected = H * (1 + tau[j]) / (1 + tau[k])
                assert found.ownership[j, column] == pytest.approx(expected, rel=1e-15)
            assert place < widest


def test_weights_stay_where_rates_do_not_differ() -> None:
    results = solved(5)
    economy = results._ask("test", engine="serial").economy()
    firms = np.array(results.product_data.firm_ids[:, 0], np.int64)
    codes = economy.demand.products.market_codes
    owners = Owners(firms, None)
    by_owner = sorted_rates(economy, 0.1 * firms + 0.01 * codes)
    assert taxed_owners(economy, owners, by_owner) is owners
    weighted = Owners(firms, np.ones((firms.size, 8)))
    assert taxed_owners(economy, weighted, by_owner) is not weighted
    by_market = sorted_rates(economy, 0.01 * codes)
    assert taxed_owners(economy, weighted, by_market) is weighted


def test_taxes_come_off_as_they_went_on() -> None:
    rates = TaxRates(np.array([0.0, 0.5, -1.0]), np.array([0.0, 0.2, -0.5]))
    r = np.array([1.0, 2.0, 3.0])
    np.testing.assert_allclose(rates.consumer(r), [1.0, 2.9, 0.5], rtol=1e-15)
    np.testing.assert_allclose(rates.producer(rates.consumer(r)), r, rtol=1e-15)
