"""A merger's effects are those of the methods they are made of, printed and drawn."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

import blpdask
from blpdask.errors import InputError


@cache
def solved() -> Any:
    """Simulate three firms' economy."""
    blpdask.options.verbose = False
    try:
        simulation = blpdask.Simulation(
            (
                blpdask.Formulation("1 + prices + x"),
                blpdask.Formulation("1 + prices"),
                blpdask.Formulation("1 + x + w"),
            ),
            blpdask.build_id_data(T=6, J=6, F=3),
            beta=[1.0, -2.0, 1.5],
            sigma=np.diag([0.5, 0.3]),
            gamma=[1.0, 0.4, 0.3],
            integration=blpdask.Integration("product", 4),
            xi_variance=0.2,
            omega_variance=0.1,
            seed=0,
        )
        return simulation.replace_endogenous()
    finally:
        blpdask.options.verbose = True


def test_effects_are_those_of_a_simulation_with_other_owners() -> None:
    before = solved()
    effects = before.simulate_merger({2: 1})
    own = before.simulation
    data = {name: before.product_data[name] for name in ("market_ids", "x", "w")}
    firms = before.product_data["firm_ids"][:, 0]
    np.testing.assert_array_equal(effects.firm_ids, firms)
    data["firm_ids"] = np.where(firms == 2, 1, firms)
    np.testing.assert_array_equal(effects.new_firm_ids, data["firm_ids"])
    after = blpdask.Simulation(
        own.product_formulations,
        data,
        beta=own.beta,
        sigma=own.sigma,
        gamma=own.gamma,
        xi=own.xi,
        omega=own.omega,
        integration=blpdask.Integration("product", 4),
    ).replace_endogenous()
    for name, values in (
        ("prices", effects.new_prices),
        ("shares", effects.new_shares),
    ):
        np.testing.assert_allclose(values, after.product_data[name][:, 0], atol=1e-11)
    costs = before.costs[:, 0]
    np.testing.assert_allclose(effects.costs, costs, atol=1e-10)
    surpluses = after.compute_consumer_surpluses()[:, 0]
    np.testing.assert_allclose(effects.new_surpluses, surpluses, atol=1e-11)
    np.testing.assert_allclose(effects.new_hhi, after.compute_hhi()[:, 0], rtol=1e-11)
    profits = effects.new_profits
    np.testing.assert_allclose(profits, after.compute_profits()[:, 0], atol=1e-10)


def test_the_sums_of_a_merger() -> None:
    effects = solved().simulate_merger({2: 1})
    np.testing.assert_array_equal(effects.merging, np.isin(effects.firm_ids, [1, 2]))
    summary = effects.summary()
    rows = effects.merging
    weights = effects.shares[rows] / effects.shares[rows].sum()
    before, after = summary["Prices of merging firms"]
    assert before == pytest.approx(weights @ effects.prices[rows], rel=1e-14)
    assert after == pytest.approx(weights @ effects.new_prices[rows], rel=1e-14)
    assert after > before
    assert summary["HHI"][1] > summary["HHI"][0]
    assert summary["Consumer surplus"][1] < summary["Consumer surplus"][0]
    by_firm = effects.profits_by_firm()
    assert list(by_firm.index) == [0, 1]
    total = (
        summary["Profits of merging firms"][1] + summary["Profits of other firms"][1]
    )
    assert by_firm["after"].sum() == pytest.approx(total, rel=1e-14)
    frame = effects.to_frame()
    np.testing.assert_array_equal(frame["new_prices"], effects.new_prices)
    assert len(effects.markets_frame()) == 6
    assert "Merger: 24 of 36 products, 6 markets" in str(effects)
    assert "Consumer surplus" in effects._repr_html_()


def test_nobody_merges_with_himself() -> None:
    effects = solved().simulate_merger({1: 1})
    np.testing.assert_allclose(effects.new_prices, effects.prices, atol=1e-10)
    assert not effects.merging.any()


def test_mergers_of_firms_that_are_not_there() -> None:
    with pytest.raises(InputError) as caught:
        solved().simulate_merger({7: 1, "2": 0})
    assert "mergers of firms that own nothing (7, 2)" in str(caught.value)
    with pytest.raises(InputError, match="a dict of which firms become which"):
        solved().simulate_merger({})


def test_pictures() -> None:
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    results = solved()
    try:
        shown = results.plot_elasticities(0).images[0].get_array()
        expected = results.compute_elasticities(market_id=0)
        off = ~np.eye(6, dtype=bool)
        np.testing.assert_array_equal(np.asarray(shown)[off], expected[off])
        assert np.ma.getmaskarray(np.ma.masked_invalid(shown))[~off].all()
        for long_run in (False, True):
            found = results.plot_diversion_ratios(0, long_run).images[0].get_array()
            np.testing.assert_allclose(np.asarray(found).sum(axis=1), 1, atol=1e-12)
        bars = results.plot_markups().patches
        assert sum(bar.get_height() for bar in bars) == 36
        bars = results.plot_costs().patches
        assert sum(bar.get_height() for bar in bars) == 36
        axes = results.plot_merger(results.simulate_merger({2: 1}))
        assert sum(bar.get_height() for bar in axes.patches) == 36
    finally:
        plt.close("all")
