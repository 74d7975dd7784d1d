"""Pricing pressure is its definition, and what mergers do where little is diverted.

Invariants: a textbook's closed forms; blocks of firms as papers write them; at savings
of cmcr nothing presses on prices, and none move; where nobody meets a partner prices
follow savings by pass-through; a step of Newton on conditions that are differentiated
numerically is the change of prices; that change errs by the square of what is diverted.
"""

from __future__ import annotations

import warnings
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

import blpdask
from blpdask import Formulation
from blpdask.analysis.substitution import slopes_of_shares
from blpdask.errors import InputError, NumericalWarning
from tests.api.test_economy_methods import linear, markets_of, own_rows, solved
from tests.references.specifications import distance, quietly

#: Squared and log prices, interactions, nests, a scale; no weights on others' profits.
SEEDS = (1, 2, 8, 101, 102, 105, 106, 107)
MERGER = {2: 1}


@pytest.fixture(autouse=True)
def quiet():
    with quietly():
        yield


def owners(results: Any) -> tuple[np.ndarray, np.ndarray]:
    """Give firms before and after the merger."""
    firms = results.product_data.firm_ids[:, 0]
    return firms, np.where(firms == 2, 1, firms)


@pytest.mark.parametrize("seed", SEEDS)
def test_blocks_of_firms_are_as_papers_write_them(seed: int) -> None:
    """With e_B in the partner's margin, as it would be after the merger."""
    results = solved(seed)
    e = np.random.default_rng(seed).uniform(0, 0.1, results.delta.size)
    found = results.compute_pricing_pressure(MERGER, efficiencies=e)
    firms, after = owners(results)
    p, c = results.product_data.prices[:, 0], results.compute_costs()[:, 0]
    slopes = results.compute_demand_jacobians()
    D = results.compute_diversion_ratios()
    met = 0
    for rows in own_rows(results):
        for firm, partner in ((1, 2), (2, 1)):
            A, B = (np.flatnonzero(firms[rows] == f) for f in (firm, partner))
            a, b = rows[A], rows[B]
            S = slopes[rows][:, : rows.size]
            upp = D[a][:, B] @ (p - c)[b]
            assert np.allclose(found.upp[a], upp - (e * c)[a], atol=1e-12)
            assert np.allclose(found.guppi[a], upp / p[a], atol=1e-12)
            pressed = S[np.ix_(B, A)].T @ (p - (1 - e) * c)[b]
            g = -np.linalg.solve(S[np.ix_(A, A)].T, pressed) - (e * c)[a]
            assert np.allclose(found.gepp[a], g, atol=1e-11)
            met += A.size * B.size
    assert met > 10
    merging = np.isin(firms, [1, 2])
    assert np.array_equal(found.merging, merging)
    after_costs = results.compute_costs(firm_ids=after)[:, 0]
    expected = ((c - after_costs) / c)[merging]
    assert np.allclose(found.cmcr[merging], expected, atol=1e-12)
    for name in ("upp", "guppi", "gepp", "cmcr"):
        assert np.isnan(getattr(found, name)[~merging]).all()
    assert np.array_equal(found.efficiencies, np.where(merging, e, 0))


@pytest.mark.parametrize("seed", SEEDS)
def test_changes_of_prices_are_a_step_of_newton(seed: int) -> None:
    """On h(p), which is differentiated numerically, market by market."""
    results = solved(seed)
    e = np.where(np.arange(results.delta.size) % 2, 0.04, 0.0)
    found = results.compute_pricing_pressure(MERGER, efficiencies=e)
    economy = results._ask("test", engine="serial").economy()
    order, offsets = economy.rows, economy.offsets
    firms, after = (f[order] for f in owners(results))
    p = economy.values_of("prices")
    saved = found.costs[order] * (1 - found.efficiencies[order])
    place = np.concatenate([np.arange(n) for n in np.diff(offsets)])
    ends = np.concatenate([[0], np.cumsum(np.diff(offsets) ** 2)])

    def h(prices: np.ndarray) -> np.ndarray:
        moved = slopes_of_shares(economy, "prices", prices)
        given = np.empty_like(prices)
        given[order] = prices
        shares = results.compute_shares(given, engine="serial")[order, 0]
        values = np.empty_like(prices)
        for t, (first, stop) in enumerate(pairwise(offsets)):
            J, own = stop - first, slice(first, stop)
            St = moved[ends[t] : ends[t + 1]].reshape(J, J).T
            H, new = (f[own][:, None] == f[own] for f in (firms, after))
            F = shares[own] + (new * St) @ (prices - saved)[own]
            values[own] = -np.linalg.solve(H * St, F)
        return values

    J = int(place.max()) + 1
    by_price = np.zeros((p.size, J))
    for j in range(J):
        there = np.diff(offsets) > j
        price = np.repeat(
            p[np.where(there, offsets[:-1] + j, offsets[:-1])], np.diff(offsets)
        )
        changes = []  # by two steps: errors of the fourth order are left
        for step in (2e-3, 1e-3):
            moved = step * p * (place == j)
            changes.append((h(p + moved) - h(p - moved)) / (2 * step * price))
        by_price[:, j] = (4 * changes[1] - changes[0]) / 3
    g, expected = h(p), np.empty_like(p)
    for first, stop in pairwise(offsets):
        own = slice(first, stop)
        expected[own] = -np.linalg.solve(by_price[own, : stop - first], g[own])
    merging = found.merging[order]
    assert np.allclose(found.gepp[order][merging], g[merging], atol=1e-10)
    assert np.abs(g[~merging]).max(initial=0) < 1e-9
    assert distance(found.price_changes[order], expected) < 1e-7
    assert np.abs(found.price_changes).max() > 1e-3


@pytest.mark.parametrize("seed", SEEDS)
def test_savings_of_cmcr_leave_prices_where_they_are(seed: int) -> None:
    results = solved(seed)
    prices = results.product_data.prices
    found = results.compute_pricing_pressure(MERGER)
    cmcr = np.nan_to_num(found.cmcr)
    _, after = owners(results)
    merged = results.compute_prices(after, costs=found.costs, prices=1.02 * prices)
    assert distance(merged, prices) > 1e-3
    kept = results.compute_prices(
        after, costs=found.costs * (1 - cmcr), prices=1.02 * prices
    )
    assert distance(kept, prices) < 1e-9
    still = results.compute_pricing_pressure(MERGER, efficiencies=cmcr)
    assert np.nanmax(np.abs(still.gepp)) < 1e-10
    assert np.abs(still.price_changes).max() < 1e-9


def two_firms(intercept: float, *, random: bool = False, J: int = 2) -> Any:
    """Solve a market of firms with one product each; utility is linear in prices."""
    table = {
        "market_ids": np.zeros(J, int),
        "firm_ids": np.arange(J) + 1,
        "x": np.linspace(0.0, 1.0, J),
    }
    integration = blpdask.Integration("product", 7) if random else None
    return blpdask.Simulation(
        (
            Formulation("1 + prices + x"),
            Formulation("0 + prices") if random else None,
            Formulation("1 + x"),
        ),
        table,
        beta=[intercept, -2, 1.0],
        sigma=[[0.4]] if random else None,
        gamma=[1, 0.2],
        xi_variance=0,
        omega_variance=0,
        integration=integration,
    ).replace_endogenous()


def test_two_firms_of_a_textbook() -> None:
    """Logit: D_jk = s_k / (1 - s_j), markups 1 / α(1 - s_j), and 1 / α s_0 after."""
    results = two_firms(3.0)
    found = results.compute_pricing_pressure(MERGER, efficiencies=[0.02, 0.05])
    s, p = results.product_data.shares[:, 0], results.product_data.prices[:, 0]
    other, m = s[::-1], 1 / (2 * (1 - s))
    c, D = p - m, other / (1 - s)
    assert np.allclose(found.costs, c, rtol=1e-12)
    e = np.array([0.02, 0.05])
    assert np.allclose(found.upp, D * m[::-1] - e * c, rtol=1e-12)
    assert np.allclose(found.guppi, D * m[::-1] / p, rtol=1e-12)
    assert np.allclose(found.gepp, D * (m + e * c)[::-1] - e * c, rtol=1e-12)
    together = 1 / (2 * (1 - s.sum()))
    assert np.allclose(found.cmcr, (together - m) / c, rtol=1e-12)
    # Werden (1996), equation 6, by relative margins.
    r, both = m / p, D * D[::-1]
    formula = (r * both + r[::-1] * D * p[::-1] / p) / ((1 - r) * (1 - both))
    assert np.allclose(found.cmcr, formula, rtol=1e-12)


def test_prices_follow_savings_where_nobody_meets_a_partner() -> None:
    """Conditions are then those of before, whose pass-through says it all."""
    data = blpdask.build_id_data(T=8, J=5, F=5)
    table = {name: data[name][:, 0].astype(int) for name in ("market_ids", "firm_ids")}
    # Firm 1 is in even markets alone, as firm 2 then, and firm 3 in all of them.
    firms = np.where(table["firm_ids"] < 2, 1 + table["market_ids"] % 2, 3)
    results = blpdask.Simulation(
        (Formulation("1 + prices + x"), Formulation("prices"), Formulation("1")),
        table | {"firm_ids": firms},
        beta=[1, -3, 1],
        sigma=np.diag([0.5, 0.3]),
        gamma=[1],
        integration=blpdask.Integration("product", 4),
        xi_variance=0.2,
        omega_variance=0.05,
        seed=7,
    ).replace_endogenous()
    found = results.compute_pricing_pressure(MERGER, efficiencies=0.1)
    own = np.isin(firms, [1, 2])
    saved = np.where(own, 0.1 * results.compute_costs()[:, 0], 0)
    for name in ("upp", "gepp"):
        assert np.allclose(getattr(found, name)[own], -saved[own], atol=1e-13)
    assert np.all(found.guppi[own] == 0)
    assert np.abs(found.cmcr[own]).max() < 1e-12
    passthrough = results.compute_passthrough().reshape(8, 5, 5)
    expected = -(passthrough @ saved.reshape(8, 5, 1)).ravel()
    assert distance(found.price_changes, expected) < 1e-10


@pytest.mark.parametrize(("random", "order"), ((False, 3), (True, 2)))
def test_changes_of_prices_err_by_the_square_of_what_is_diverted(
    random: bool, order: int
) -> None:
    """Shares fall by e with the intercept, diversion with them, errors by e² or more.

    Conditions of one kind of agents bend only with shares, so that theirs fall by e³.
    """
    diverted, gaps, sizes = [], [], []
    for intercept in (-4.0, -5.0, -6.0):
        results = two_firms(intercept, random=random, J=3)
        found = results.compute_pricing_pressure(MERGER)
        after = np.where(found.firm_ids == 2, 1, found.firm_ids)
        merged = results.compute_prices(after)[:, 0]
        diverted.append(found.guppi[0])
        gaps.append(np.abs(merged - found.prices - found.price_changes).max())
        sizes.append(np.abs(merged - found.prices).max())
    steps = np.diff(np.log(diverted))
    assert np.abs(np.diff(np.log(sizes)) / steps - 1).max() < 0.05
    orders = np.diff(np.log(gaps)) / steps
    assert np.abs(orders - order).max() < 0.05, orders


def test_a_merger_of_nobody_presses_on_nothing() -> None:
    results = linear()
    found = results.compute_pricing_pressure({1: 1}, efficiencies=0.1)
    assert not found.merging.any()
    assert np.isnan(found.upp).all()
    assert np.array_equal(found.efficiencies, np.zeros(60))
    assert np.abs(found.price_changes).max() < 1e-12


def test_costs_that_are_given() -> None:
    """Margins are theirs, markups those of the conditions."""
    results = linear()
    own = results.compute_costs()
    found = results.compute_pricing_pressure(MERGER, costs=own)
    same = results.compute_pricing_pressure(MERGER)
    for name in ("upp", "guppi", "gepp", "cmcr", "price_changes"):
        assert distance(getattr(found, name), getattr(same, name)) < 1e-12
    given = 0.8 * own
    found = results.compute_pricing_pressure(MERGER, costs=given)
    assert np.array_equal(found.costs, given[:, 0])
    assert distance(found.cmcr, same.cmcr / 0.8) < 1e-12
    ratio = found.guppi / same.guppi
    assert np.nanmin(ratio) > 1


def test_engines_and_backends() -> None:
    results = solved(101)
    expected = results.compute_pricing_pressure(MERGER)
    for computing in ({"engine": "serial"}, {"threads": 2}, {"backend": "numpy"}):
        found = results.compute_pricing_pressure(MERGER, **computing)
        for name in ("upp", "guppi", "gepp", "cmcr", "price_changes"):
            assert distance(getattr(found, name), getattr(expected, name)) < 1e-10


def test_it_is_listed_and_printed() -> None:
    results = linear()
    found = results.compute_pricing_pressure(MERGER, efficiencies=0.01)
    frame, by_firm = found.to_frame(), found.by_firm()
    assert np.array_equal(frame["market_ids"], markets_of(results))
    assert np.array_equal(frame["gepp"], found.gepp, equal_nan=True)
    assert list(by_firm.index) == ["1", "2", "merging", "other"]
    own, s = found.merging, found.shares
    assert by_firm.loc["merging", "products"] == own.sum()
    assert by_firm.loc["merging", "upp"] == pytest.approx(
        s[own] @ found.upp[own] / s[own].sum(), rel=1e-14
    )
    other = s[~own] @ found.price_changes[~own] / s[~own].sum()
    assert by_firm.loc["other", "price_changes"] == pytest.approx(other, rel=1e-14)
    assert np.isnan(by_firm.loc["other", "cmcr"])
    lines = str(found).splitlines()
    assert lines[0] == "Pricing pressure of a merger:"
    assert lines[3].split()[:2] == ["Firm", "Products"]
    cmcr = 100 * by_firm.loc["merging", "cmcr"]
    assert f"{cmcr:+.6E}" in lines[7] and repr(found) == str(found)
    assert "merging" in found._repr_html_()


def test_markets_without_costs_are_named() -> None:
    """A share that is nothing to its price has no markup."""
    results = without_slopes()
    with pytest.warns(NumericalWarning, match="compute_pricing_pressure: in 1 markets"):
        found = results.compute_pricing_pressure(MERGER)
    lost = markets_of(results) == 1
    for name in ("upp", "gepp", "cmcr"):
        values = getattr(found, name)[found.merging]
        assert np.isnan(values[lost[found.merging]]).any()
        assert np.isfinite(values[~lost[found.merging]]).all()
    assert np.isnan(found.price_changes[lost]).all()
    assert np.isfinite(found.price_changes[~lost]).all()


def without_slopes() -> Any:
    """Give markets of which the second has a product that prices do not matter to."""
    results = linear()
    data = results.product_data
    table = {n: data[n][:, 0] for n in ("market_ids", "firm_ids", "prices", "shares")}
    table["minded"] = np.where(np.arange(60) == 6, 0.0, 1.0)
    table["demand_instruments0"] = np.random.default_rng(1).normal(size=60)
    problem = blpdask.Problem(Formulation("0 + prices:minded"), table)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        solution = problem.solve(method="1s")
    solution.product_data = data
    return solution


def test_passthrough_of_markets_without_markups_is_nan_with_a_warning() -> None:
    results = without_slopes()
    markets = results.problem.products.market_ids[:, 0]
    with pytest.warns(NumericalWarning, match="second-order conditions"):
        found = results.compute_passthrough()
    lost = np.isnan(found).all(axis=1)
    np.testing.assert_array_equal(lost, markets == markets[6])


def test_what_cannot_be_is_said_at_once() -> None:
    results = linear()
    with pytest.raises(InputError) as caught:
        results.compute_pricing_pressure({7: 1}, costs=[1], efficiencies=[0.1, 2.0])
    said = str(caught.value)
    assert "compute_pricing_pressure: 3 faults" in said
    for sentence in ("firms that own nothing (7)", "costs of size 1", "of size 2, 1"):
        assert sentence in said
    for given in ("much", 1.0, np.nan):
        with pytest.raises(InputError, match="shares of costs, one number or 60"):
            results.compute_pricing_pressure(MERGER, efficiencies=given)
    with pytest.raises(InputError, match="what becomes of other weights") as caught:
        solved(5).compute_pricing_pressure({9: 1})
    assert "2 faults" in str(caught.value)
