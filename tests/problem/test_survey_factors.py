"""Arrays as products of factors: what comes back is what was given, to 1e-15.

Invariants: factors multiplied out are the array; their zeros are the array's; the same
factor is kept once whatever the scale; what is no product is a table, bit by bit.
"""

from __future__ import annotations

import numpy as np
import pytest

from blpdask.problem.survey_factors import NONE, Factors, Split, lay_out_cells

PRODUCTS = np.array([0, 3, 8])
AGENTS = np.array([0, 4, 6])
SIZES = [(4, 4), (2, 6)]
FULL = lay_out_cells(PRODUCTS, AGENTS, [True, True])
INSIDE = lay_out_cells(PRODUCTS, AGENTS, [False, False])
N_CELLS = 4 * 4 + 2 * 6


def factors(agents: object = (), choices: object = ()) -> Factors:
    return Factors(
        N_CELLS,
        np.array(agents).reshape(-1, 6),
        np.array(choices).reshape(-1, 10),
    )


def flat(agent: np.ndarray, choice: np.ndarray) -> np.ndarray:
    """Multiply a ``(A,)`` and c ``(N + T,)`` out, market by market."""
    parts = [np.outer(agent[:4], choice[:4]), np.outer(agent[4:], choice[4:])]
    return np.concatenate([part.ravel() for part in parts])


def again(found: Factors, split: Split, cells: object = FULL) -> np.ndarray:
    agents, choices, tables = found.arrays()
    values = np.ones(cells.agents.size)  # type: ignore[attr-defined]
    if split.agent != NONE:
        values *= agents[split.agent, cells.agents]  # type: ignore[attr-defined]
    if split.choice != NONE:
        values *= choices[split.choice, cells.choices]  # type: ignore[attr-defined]
    if split.table != NONE:
        values *= tables[split.table, cells.places]  # type: ignore[attr-defined]
    return values


def test_cells_are_laid_out_market_by_market() -> None:
    mixed = lay_out_cells(PRODUCTS, AGENTS, [False, None])
    np.testing.assert_array_equal(mixed.agents, np.repeat([0, 1, 2, 3], 3))
    np.testing.assert_array_equal(mixed.choices, np.tile([1, 2, 3], 4))
    np.testing.assert_array_equal(
        mixed.places, [*range(1, 4), *range(5, 8), 9, 10, 11, 13, 14, 15]
    )
    np.testing.assert_array_equal(mixed.starts, [0, 3, 6, 9])
    np.testing.assert_array_equal(FULL.places, np.arange(N_CELLS))


@pytest.mark.parametrize("seed", range(20))
def test_outer_products_come_back(seed: int) -> None:
    rng = np.random.default_rng(seed)
    agent, choice = rng.lognormal(0, 5, 6), rng.normal(0, 1e3, 10)
    agent[rng.integers(6)] = 0.0
    choice[rng.integers(10)] = 0.0
    values = flat(agent, choice)
    found = factors()
    split = found.split(values, FULL)
    assert split == Split(agent=0, choice=0)
    back = again(found, split)
    np.testing.assert_allclose(back, values, rtol=1e-15, atol=0)
    np.testing.assert_array_equal(back == 0, values == 0)


def test_one_choice_factor_serves_at_any_scale() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=10)
    found = factors()
    splits = [found.split(flat(rng.lognormal(0, 3, 6), x), FULL) for _ in range(8)]
    assert {split.choice for split in splits} == {0}
    assert found.arrays()[1].shape == (1, 10)


def test_columns_of_the_data_are_factors_bit_by_bit() -> None:
    rng = np.random.default_rng(1)
    d, x = rng.normal(size=(2, 6)), rng.normal(size=(3, 10))
    found = factors(d, x)
    splits = [found.split(flat(d[a], x[c]), FULL) for a in (1, 0) for c in (2, 0)]
    agents, choices, tables = found.arrays()
    np.testing.assert_array_equal(agents, d[[1, 0]])
    np.testing.assert_array_equal(choices, x[[2, 0]])
    assert tables.shape == (0, N_CELLS)
    assert [(s.agent, s.choice) for s in splits] == [(0, 0), (0, 1), (1, 0), (1, 1)]


def test_constants_need_no_factor() -> None:
    rng = np.random.default_rng(2)
    agent, choice = rng.normal(size=6), rng.normal(size=10)
    found = factors()
    assert found.split(np.ones(N_CELLS), FULL) == Split()
    assert found.split(flat(agent, np.ones(10)), FULL) == Split(agent=0)
    assert found.split(flat(np.ones(6), choice), FULL) == Split(choice=0)
    np.testing.assert_array_equal(found.arrays()[0], agent[None])
    np.testing.assert_array_equal(found.arrays()[1], choice[None])


def test_an_indicator_of_agents_leaves_products_exact() -> None:
    rng = np.random.default_rng(3)
    choice = rng.normal(size=10)
    found = factors()
    split = found.split(flat(np.array([0, 1, 0, 1, 0, 1.0]), choice), FULL)
    np.testing.assert_array_equal(found.arrays()[1][split.choice], choice)
    np.testing.assert_array_equal(again(found, split)[4:8], choice[:4])


def test_what_is_no_product_is_a_table_kept_once() -> None:
    rng = np.random.default_rng(4)
    values = rng.normal(size=N_CELLS)
    found = factors()
    first, second = found.split(values, FULL), found.split(values.copy(), FULL)
    assert first == second == Split(table=0)
    np.testing.assert_array_equal(again(found, first), values)
    inside = rng.normal(size=INSIDE.agents.size)
    other = found.split(inside, INSIDE)
    assert other == Split(table=1)
    np.testing.assert_array_equal(again(found, other, INSIDE), inside)
    outside = np.setdiff1d(np.arange(N_CELLS), INSIDE.places)
    assert not found.arrays()[2][1, outside].any()


@pytest.mark.parametrize("size", [1e-14, 1e-9, 1e-3])
def test_nearly_a_product_is_not_one(size: float) -> None:
    rng = np.random.default_rng(5)
    values = flat(rng.lognormal(size=6), rng.lognormal(size=10))
    values[17] *= 1 + size
    found = factors()
    assert found.split(values, FULL) == Split(table=0)
    np.testing.assert_array_equal(again(found, Split(table=0)), values)


def test_a_zero_out_of_place_is_not_lost() -> None:
    values = flat(np.arange(1.0, 7), np.arange(1.0, 11))
    values[3] = 0.0
    assert factors().split(values, FULL).table == 0


@pytest.mark.parametrize("scale", [1e-300, 1e-200, 1e200])
def test_extreme_scales_are_no_wrong_numbers(scale: float) -> None:
    rng = np.random.default_rng(6)
    values = flat(rng.lognormal(0, 4, 6), scale * rng.lognormal(0, 4, 10))
    found = factors()
    split = found.split(values, FULL)
    np.testing.assert_allclose(again(found, split), values, rtol=1e-15, atol=0)


def test_what_is_not_asked_for_matches_anything() -> None:
    """Prices of one market, without the outside option, are still those prices."""
    rng = np.random.default_rng(7)
    x, d = rng.normal(size=10), rng.normal(size=6)
    found = factors(choices=x)
    here = lay_out_cells(PRODUCTS, AGENTS, [False, None])
    split = found.split(np.outer(d[:4], x[1:4]).ravel(), here)
    assert found.split(flat(d, x), FULL).choice == split.choice == 0
    np.testing.assert_array_equal(found.arrays()[1], x[None])
    nowhere = lay_out_cells(PRODUCTS, AGENTS, [None, None])
    assert found.split(np.empty(0), nowhere) == Split()
    assert found.split(np.ones(INSIDE.agents.size), INSIDE) == Split()


def test_arrays_of_zeros() -> None:
    found = factors()
    split = found.split(np.zeros(N_CELLS), FULL)
    np.testing.assert_array_equal(again(found, split), 0.0)
