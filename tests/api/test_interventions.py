"""Diversion by experiments, and whose it is.

Invariants: what weights average over agents is diversion of removal and of every small
change; a change that shrinks is a small one, and one without bound is removal; a
change moves one product of a market alone; engines, backends, orders of rows and the
market that is asked for do not matter; what cannot be is said at once.
"""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import mpmath
import numpy as np
import pytest

import blpdask
from blpdask import Formulation
from blpdask.analysis.choices import probabilities_at, shares_at
from blpdask.errors import InputError, NumericalWarning
from blpdask.model.intervention_weights import intervention_weights
from blpdask.records import MarketBlock, Tastes, TrialPrices
from tests.api.test_economy_methods import linear, own_rows, solved
from tests.api.test_type_shares import POINT, problem_of
from tests.api.test_type_shares import at_truth as typed
from tests.references.specifications import distance, quietly

#: Squared prices, log prices and types, interactions, nests, both, a scale, one agent.
SEEDS = (1, 5, 8, 101, 102, 103, 105, 106)
EXPERIMENTS = ("removal", "price", "quality", "x1")


@pytest.fixture(autouse=True)
def quiet():
    with quietly():
        yield


def own_removal(results: Any) -> np.ndarray:
    """Compute where each agent goes when j is gone, ``(N, max J + 1, max I)``.

    The last of the second axis is the outside option; products are priced out.
    """
    whole = results.compute_probabilities()
    rows_of = own_rows(results)
    J = max(rows.size for rows in rows_of)
    found = np.full((len(whole), J + 1, whole.shape[1]), np.nan)
    for j in range(J):
        delta = results.delta.copy()
        moved = [rows[j] for rows in rows_of if rows.size > j]
        delta[moved] = -1000.0
        without = results.compute_probabilities(delta=delta)
        for rows in rows_of:
            if rows.size <= j:
                continue
            gains = without[rows] - whole[rows]
            gains[j] = 0.0
            outside = whole[rows].sum(axis=0) - without[rows].sum(axis=0)
            with np.errstate(invalid="ignore"):
                found[rows[j], : rows.size] = gains / whole[rows[j]]
                found[rows[j], J] = outside / whole[rows[j]]
    return found


def own_slopes(results: Any) -> np.ndarray:
    """Compute where each agent goes when x_j moves a little, likewise.

    That is -(∂P_k/∂V_j) / (∂P_j/∂V_j), in which α and ε cancel.
    """
    P = results.compute_probabilities()
    economy = results._ask("test").economy()
    tables, N = economy.demand.tables, len(P)
    nests, t = np.arange(N), np.ones(N)
    if tables.nests is not None:
        nests[economy.rows] = tables.nests
        t[economy.rows] = 1 / (1 - economy.tastes.rho[tables.nests])
    J = max(rows.size for rows in own_rows(results))
    found = np.full((N, J + 1, P.shape[1]), np.nan)
    for rows in own_rows(results):
        same = (nests[rows][:, None] == nests[rows]).astype(float)
        with np.errstate(invalid="ignore"):
            Q = P[rows] / (same @ P[rows])
        for j, row in enumerate(rows):
            own = t[row] - P[row] - (t[row] - 1) * Q[j]
            # P_k (P_j + τ Q_j) over P_j own, for Q_j is P_j over the nest's.
            with np.errstate(invalid="ignore"):
                within = (t[row] - 1) * same[j][:, None] * Q
            found[row, : rows.size] = (P[rows] + within) / own
            found[row, J] = (1 - P[rows].sum(axis=0)) / own
            found[row, j] = 0.0
    return found


def averaged(results: Any, weights: np.ndarray, own: np.ndarray) -> np.ndarray:
    """Average over agents, the outside option put on the diagonal, ``(N, max J)``."""
    counted = np.where(weights[:, None] == 0, 0.0, weights[:, None] * own)
    means = np.nansum(counted, axis=2)
    found = means[:, :-1]
    for rows in own_rows(results):
        found[rows, np.arange(rows.size)] = means[rows, -1]
        found[rows, rows.size :] = np.nan
    return found


@pytest.mark.parametrize("seed", SEEDS)
def test_weights_average_agents_into_ratios(seed: int) -> None:
    results = solved(seed)
    gone, slopes = own_removal(results), own_slopes(results)
    for experiment in EXPERIMENTS:
        weights = results.compute_diversion_weights(experiment)
        assert np.abs(np.nansum(weights, axis=1) - 1).max() < 1e-12
        found = averaged(results, weights, gone if experiment == "removal" else slopes)
        expected = results.compute_diversion_by_intervention(experiment)
        assert distance(found, expected) < 1e-10


def agent_weights(results: Any) -> np.ndarray:
    """Give w_i of the agents of each row's market, ``(N, max I)``."""
    economy = results._ask("test").economy()
    agents, rows_of = economy.demand.agents, own_rows(results)
    found = np.full((economy.rows.size, int(economy.agent_counts.max())), np.nan)
    for rows, first, stop in zip(
        rows_of, agents.offsets[:-1], agents.offsets[1:], strict=True
    ):
        found[rows, : stop - first] = agents.weights[first:stop]
    return found


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", ("quality", "price", "x1"))
def test_weights_are_how_far_agents_move(seed: int, name: str) -> None:
    """By differences of probabilities as the j-th product of each market moves."""
    results, step = solved(seed), 1e-5
    economy = results._ask("test").economy()
    variable = {"quality": None, "price": "prices"}.get(name, name)
    values = economy.values_of(variable)
    place = np.concatenate([np.arange(n) for n in np.diff(economy.offsets)])
    found = results.compute_diversion_weights(name)[economy.rows]
    weights = agent_weights(results)[economy.rows]
    for j in range(int(place.max()) + 1):
        up, down = (
            probabilities_at(
                economy, economy.at(variable, values + move * (place == j))
            )[place == j]
            for move in (step, -step)
        )
        counted = weights[place == j] * (up - down)
        expected = counted / np.nansum(counted, axis=1, keepdims=True)
        assert np.nanmax(np.abs(found[place == j] - expected)) < 1e-6


@pytest.mark.parametrize("seed", SEEDS)
def test_weights_of_levels(seed: int) -> None:
    results = solved(seed)
    P, w = results.compute_probabilities(), agent_weights(results)
    whole = {"removal": w * P, "ate": w + 0 * P, "atu": w * (1 - P)}
    for name, counted in whole.items():
        expected = counted / np.nansum(counted, axis=1, keepdims=True)
        assert distance(results.compute_diversion_weights(name), expected) < 1e-13


def test_weights_of_agents_who_are_all_but_sure() -> None:
    """What is left beside near certainty is a sum: nothing of it is rounded off."""
    market = MarketBlock(
        *(0, 0, np.array([0, 1]), np.array([0, 2]), np.ones((1, 1)), np.zeros(1)),
        *(np.zeros(1), np.array([[30.0], [35.0]]), np.array([0.5, 0.5])),
        np.empty((1, 0)),
    )
    tastes = Tastes(np.ones((1, 1)), *np.zeros((3, 1), np.int64))
    nothing = np.empty((0, 1)), np.empty(0, np.int64)
    trial = TrialPrices(np.zeros(1), np.zeros(1), np.ones(1), market.X2, *nothing)
    odds = np.exp([-30.0, -35.0]) / (1 + np.exp([-30.0, -35.0])) ** 2
    nested = replace(market, nests=np.zeros(1, np.int64))
    for rho in (None, 0.0, 0.7):
        own = tastes if rho is None else replace(tastes, rho=np.array([rho]))
        block = market if rho is None else nested
        found = intervention_weights(block, own, trial, "marginal")
        assert np.allclose(found, odds / odds.sum(), rtol=1e-13, atol=0)


def test_weights_of_agents_who_are_all_but_sure_within_a_nest() -> None:
    """Beside numbers of 60 digits, differentiated there."""
    utilities = np.array([[25.0, 0.0], [33.0, 1.0]])
    market = MarketBlock(
        *(0, 0, np.array([0, 2]), np.array([0, 2]), np.eye(2), np.zeros(2)),
        *(np.zeros(2), utilities, np.array([0.5, 0.5]), np.empty((2, 0))),
        nests=np.zeros(2, np.int64),
    )
    tastes = Tastes(np.eye(2), *np.zeros((3, 2), np.int64), rho=np.array([0.3]))
    nothing = np.empty((0, 2)), np.empty(0, np.int64)
    trial = TrialPrices(np.zeros(2), np.zeros(2), np.ones(2), market.X2, *nothing)
    with mpmath.workdps(60):
        rho = mpmath.mpf(0.3)

        def P(j: int, values: list[Any]) -> Any:
            E = [mpmath.exp(v / (1 - rho)) for v in values]
            M = sum(E) ** (1 - rho)
            return E[j] / sum(E) * M / (1 + M)

        def slope(j: int, own: np.ndarray) -> Any:
            def moved(v: Any) -> Any:
                return P(j, [v if k == j else mpmath.mpf(own[k]) for k in (0, 1)])

            return mpmath.diff(moved, mpmath.mpf(own[j]))

        exact = [[slope(j, own) for own in utilities] for j in (0, 1)]
        expected = [[float(one / sum(row)) for one in row] for row in exact]
    found = intervention_weights(market, tastes, trial, "marginal")
    assert np.allclose(found, expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_change_that_shrinks_is_a_small_one(seed: int) -> None:
    """Errors of differences to one side fall with their step, until digits run out."""
    results = solved(seed)
    for name in ("price", "quality", "x1"):
        limit = results.compute_diversion_by_intervention(name)
        gaps = [
            distance(results.compute_diversion_by_intervention(name, size), limit)
            for size in (1e-4, 1e-5)
        ]
        assert gaps[1] < 1e-4
        if gaps[0] > 1e-8:
            assert gaps[1] / gaps[0] == pytest.approx(0.1, rel=0.05)
    same = {
        "price": results.compute_diversion_ratios(),
        "prices": results.compute_diversion_ratios(),
        "quality": results.compute_diversion_ratios(None),
        "removal": results.compute_long_run_diversion_ratios(),
    }
    for name, expected in same.items():
        assert distance(results.compute_diversion_by_intervention(name), expected) == 0


@pytest.mark.parametrize("seed", SEEDS)
def test_a_change_without_bound_is_removal(seed: int) -> None:
    results = solved(seed)
    removal = results.compute_diversion_by_intervention("removal")
    for size in (-50.0, -1000.0):
        found = results.compute_diversion_by_intervention("quality", size)
        assert distance(found, removal) < 1e-12


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", ("price", "quality", "x1"))
def test_changes_are_those_of_shares_market_by_market(seed: int, name: str) -> None:
    results, size = solved(seed), -0.3
    data = results.product_data
    found = results.compute_diversion_by_intervention(name, size)
    economy = results._ask("test").economy()
    shares = results.compute_shares()[:, 0]
    for rows in own_rows(results)[:4]:
        for j, row in enumerate(rows):
            if name == "quality":
                delta = results.delta.copy()
                delta[row] += size
                moved = results.compute_shares(delta=delta)[rows, 0]
            elif name == "price":
                prices = data.prices.copy()
                prices[row] *= 1 + size
                moved = results.compute_shares(prices)[rows, 0]
            else:
                x = economy.values_of(name)
                x[economy.rows == row] *= 1 + size
                whole = shares_at(economy, economy.at(name, x))
                moved = economy.in_user_order(whole)[rows]
            changes = moved - shares[rows]
            expected = -changes / changes[j]
            expected[j] = changes.sum() / changes[j]
            assert np.abs(found[row, : rows.size] - expected).max() < 1e-10
        assert np.isnan(found[rows, rows.size :]).all()
    assert np.abs(np.nansum(found, axis=1) - 1).max() < 1e-12


def test_a_plain_logit_diverts_to_all_alike() -> None:
    """Everybody is one agent: no experiment differs from another, at any size."""
    data = blpdask.build_id_data(T=6, J=4, F=2)
    results = blpdask.Simulation(
        (Formulation("1 + prices"), None, Formulation("1")),
        data,
        beta=[1, -2],
        gamma=[1],
        seed=0,
    ).replace_endogenous()
    s = results.product_data.shares[:, 0].reshape(6, 4)
    expected = np.repeat(s[:, None], 4, axis=1) / (1 - s[:, :, None])
    expected[:, range(4), range(4)] = (1 - s.sum(axis=1))[:, None] / (1 - s)
    for name, size in (("price", 0.1), ("quality", 2.0), ("price", None)):
        found = results.compute_diversion_by_intervention(name, size)
        assert distance(found, expected.reshape(24, 4)) < 1e-12
        assert (results.compute_diversion_weights(name) == 1).all()


def test_agents_who_come_where_others_leave() -> None:
    """Tastes of both signs: weights keep their sign, and still average into ratios."""
    results = taste_of_both_signs()
    weights = results.compute_diversion_weights("x")
    assert (weights < 0).any()
    expected = results.compute_diversion_by_intervention("x")
    found = averaged(results, weights, own_slopes(results))
    assert distance(found, expected) < 1e-10


def taste_of_both_signs() -> Any:
    """Solve markets in which a seventh dislikes what the others like."""
    return blpdask.Simulation(
        (Formulation("1 + prices + x"), Formulation("0 + x"), Formulation("1")),
        blpdask.build_id_data(T=4, J=3, F=3),
        beta=[1, -2, 1],
        sigma=[[0.9]],
        gamma=[1],
        integration=blpdask.Integration("product", 7),
        seed=4,
    ).replace_endogenous()


def test_shares_of_types_are_in_the_weights() -> None:
    """As where weights were given with their type's share in them."""
    results, mixed = typed(), problem_of("mixed").solve(**POINT)
    P, ate = (
        results.compute_probabilities(),
        results.compute_diversion_weights("ate"),
    )
    assert distance((ate * P).sum(axis=1)[:, None], results.compute_shares()) < 1e-12
    for name in ("ate", "atu", *EXPERIMENTS[:3]):
        found = results.compute_diversion_weights(name)
        assert distance(found, mixed.compute_diversion_weights(name)) < 1e-11
    found, expected = (
        one.compute_diversion_by_intervention("price", 0.1) for one in (results, mixed)
    )
    assert distance(found, expected) < 1e-10


@pytest.mark.parametrize("seed", (1, 103))
def test_one_market_engines_and_backends(seed: int) -> None:
    results = solved(seed)
    ids = results.product_data.market_ids[:, 0]
    market = ids[0]
    rows = np.flatnonzero(ids == market)
    for arguments in ({"size": 0.2}, {"size": None}):
        whole = results.compute_diversion_by_intervention("price", **arguments)
        alone = results.compute_diversion_by_intervention(
            "price", market_id=market, **arguments
        )
        assert distance(alone, whole[rows, : rows.size]) < 1e-12
        for computing in ({"engine": "serial"}, {"threads": 2}, {"backend": "numpy"}):
            found = results.compute_diversion_by_intervention(
                "price", **arguments, **computing
            )
            assert distance(found, whole) < 1e-11
    weights = results.compute_diversion_weights("price")
    alone = results.compute_diversion_weights("price", market)
    assert distance(alone, weights[rows, : alone.shape[1]]) < 1e-13
    found = results.compute_diversion_weights("price", engine="serial")
    assert distance(found, weights) == 0


def test_products_that_a_change_does_not_move_are_named() -> None:
    results = zeros_in_x()
    for ask in (
        lambda: results.compute_diversion_by_intervention("x", 0.5),
        lambda: results.compute_diversion_by_intervention("unloved"),
        lambda: results.compute_diversion_weights("unloved"),
    ):
        with pytest.warns(NumericalWarning, match="shares of some products do not"):
            ask()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = results.compute_diversion_by_intervention("x", 0.5)
    missing = np.isnan(found[:, 0])
    assert np.array_equal(missing, results.product_data["x"][:, 0] == 0)
    assert missing.any() and not missing.all()


def zeros_in_x() -> Any:
    """Solve markets in which x is sometimes zero, and no utility has "unloved"."""
    data = blpdask.build_id_data(T=4, J=3, F=3)
    table = {name: data[name][:, 0] for name in data.dtype.names}
    table["x"] = (np.arange(12) % 5 > 0) * 1.0
    table["unloved"] = np.arange(12) + 1.0
    return blpdask.Simulation(
        (Formulation("1 + prices + x + unloved"), None, Formulation("1 + w")),
        table,
        beta=[1, -2, 1, 0],
        gamma=[1, 0.1],
        seed=4,
    ).replace_endogenous()


def test_experiments_that_cannot_be() -> None:
    results = linear()
    for arguments, sentence in (
        (("taxes",), "one of 'removal', 'price', 'quality', or a variable of X1"),
        (("ate",), "one of 'removal', 'price', 'quality', or a variable of X1"),
        (("removal", 0.1), "size=0.1 with intervention='removal'"),
        (("price", 0), "a finite number other than zero"),
        (("price", "much"), "a finite number other than zero"),
        (("price", True), "a finite number other than zero"),
        (("quality", np.inf), "a finite number other than zero"),
    ):
        with pytest.raises(InputError) as caught:
            results.compute_diversion_by_intervention(*arguments)
        assert sentence in str(caught.value)
    with pytest.raises(InputError, match="2 faults"):
        results.compute_diversion_by_intervention("removal", 0.1, "nowhere")
    with pytest.raises(InputError, match="'removal', 'price', 'quality', 'ate', 'atu'"):
        results.compute_diversion_weights("att")
    with pytest.raises(InputError, match="on which no utility depends"):
        zeros_in_x().compute_diversion_weights("w")


def test_a_word_that_is_a_variable_too() -> None:
    data = blpdask.build_id_data(T=3, J=2, F=2)
    table = {name: data[name][:, 0] for name in data.dtype.names}
    results = blpdask.Simulation(
        (Formulation("1 + prices + quality"), None, Formulation("1")),
        table,
        beta=[1, -2, 1],
        gamma=[1],
        seed=4,
    ).replace_endogenous()
    with pytest.raises(InputError, match="which is a variable of the formulas too"):
        results.compute_diversion_by_intervention("quality")
    with pytest.raises(InputError, match="rename the variable"):
        results.compute_diversion_weights("quality")
    assert results.compute_diversion_by_intervention("price").shape == (6, 2)
