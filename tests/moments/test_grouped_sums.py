"""Sums within groups are exact, so that no order and no cut of rows changes a bit."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

from blpdask.driver.ordered_sum import ordered_sum
from blpdask.model.inversion import InversionMemory
from blpdask.moments.grouped_sums import (
    GroupedSums,
    SumsState,
    SurveyState,
    columns_of,
    exact_sums,
    split_at,
    squares_pass,
    subtract_levels,
    sums_pass,
    survey_pass,
)
from blpdask.partitions.sealed import seal, unseal
from blpdask.records import (
    Equation,
    Floats,
    HeldRows,
    Integers,
    LinearRows,
    MarketBlock,
)

EPS = float(np.finfo(np.float64).eps)


def make_block(
    X1: Floats, ZD: Floats, effects: tuple[Integers, ...], index: int = 0
) -> MarketBlock:
    """Make a block of one market that knows nothing but its linear rows."""
    n = len(X1)
    return MarketBlock(
        index=index,
        first_market=index,
        product_offsets=np.array([0, n]),
        agent_offsets=np.array([0, 0]),
        X2=np.empty((0, n)),
        log_shares=np.zeros(n),
        logit_delta=np.zeros(n),
        draws=np.empty((0, 0)),
        weights=np.empty(0),
        ZD=ZD,
        linear=HeldRows(
            LinearRows(np.arange(n), (Equation(X1, ZD, effects),), clusters=None)
        ),
    )


def wide(rng: np.random.Generator, n: int) -> Floats:
    """Columns that float sums get wrong: wide, cancelling, constant, tiny, zero."""
    return np.column_stack(
        [
            rng.normal(size=n) * 10.0 ** rng.uniform(-9, 9, n),
            np.where(np.arange(n) % 2, -1.0, 1.0) * 1e8 + rng.normal(size=n),
            np.full(n, 1 / 3),
            rng.normal(size=n) * 1e-300,
            np.zeros(n),
        ]
    )


def splitters_of(values: Floats, codes: Integers) -> Floats:
    return split_at(np.abs(values).max(axis=0), int(np.bincount(codes).max()))


def total(folds: Floats) -> Floats:
    return GroupedSums(folds).total


@pytest.mark.parametrize("n_groups", [1, 7, 500, 5000])
def test_sums_have_the_same_bits_in_any_order_and_cut(n_groups: int) -> None:
    rng = np.random.default_rng(1)
    n = 5000
    values, codes = wide(rng, n), rng.integers(0, n_groups, n)
    splitters = splitters_of(values, codes)
    whole = exact_sums(values, [codes], [n_groups], splitters)
    for n_cuts in (0, 1, 16, 400):
        order = rng.permutation(n)
        edges = np.r_[0, np.sort(rng.integers(0, n, n_cuts)), n]
        records = [
            GroupedSums(exact_sums(values[rows], [codes[rows]], [n_groups], splitters))
            for rows in np.split(order, edges[1:-1])
        ]
        middle = len(records) // 2
        bundles = [records[:middle], records[middle:]]
        bundled = ordered_sum([ordered_sum(b) for b in bundles[::-1] if b])
        assert ordered_sum(records).folds.tobytes() == whole.tobytes()
        assert bundled.folds.tobytes() == whole.tobytes()
    assert whole.shape == (*splitters.shape, n_groups)
    assert GroupedSums.order_free


@pytest.mark.parametrize("n_groups", [1, 7, 500, 5000])
def test_sums_are_off_by_no_more_than_their_rounding(n_groups: int) -> None:
    rng = np.random.default_rng(2)
    n = 5000
    values, codes = wide(rng, n), rng.integers(0, n_groups, n)
    splitters = splitters_of(values, codes)
    found = total(exact_sums(values, [codes], [n_groups], splitters))
    largest = np.abs(values).max(axis=0)
    for group in range(n_groups):
        for k, column in enumerate(values[codes == group].T):
            exact = math.fsum(column)
            left_out = column.size * 2.0**-64 * 2 * largest[k]
            assert abs(found[group, k] - exact) <= EPS * abs(exact) + left_out


def test_a_million_rows() -> None:
    rng = np.random.default_rng(3)
    n = 1_000_000
    values = np.column_stack([rng.normal(size=n), rng.uniform(size=n) ** 9 * 1e6])
    codes = np.zeros(n, np.int64)
    splitters = splitters_of(values, codes)
    found = total(exact_sums(values, [codes], [1], splitters))
    order = rng.permutation(n)
    again = total(exact_sums(values[order], [codes], [1], splitters))
    naive = [np.bincount(codes, values[rows, 0])[0] for rows in (slice(None), order)]
    assert found.tobytes() == again.tobytes()
    assert naive[0] != naive[1]
    for k, column in enumerate(values.T):
        exact = math.fsum(column)
        assert abs(found[0, k] - exact) <= 1e-16 * n * np.abs(column).max()
        assert abs(found[0, k] - exact) <= EPS * abs(exact)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 255, 256, 257])
@pytest.mark.parametrize("bound", [1.0, 1 - EPS / 2, 1 + EPS, 3.7, 2.0**-1060, 5e-324])
def test_no_partial_sum_rounds_at_the_edge(count: int, bound: float) -> None:
    """Fill a group up with the largest value allowed, of one sign and of both."""
    rng = np.random.default_rng(count)
    same = np.full(count, bound)
    signs = bound * rng.choice([-1.0, 1.0], count)
    close = np.nextafter(bound, 0.0) * rng.choice([-1.0, 1.0], count)
    values = np.column_stack([same, signs, close, -same])
    splitters = split_at(np.full(4, bound), count)
    folds = exact_sums(values, [np.zeros(count, np.int64)], [1], splitters)[:, :, 0]
    for k, column in enumerate(values.T):
        exact = sum(map(Fraction, column.tolist()), Fraction(0))
        kept = sum(map(Fraction, folds[:, k].tolist()), Fraction(0))
        # Values have 53 bits and two folds hold more: nothing at all is left out.
        assert kept == exact


@pytest.mark.parametrize("largest", [3, 1000, 10**6, 10**8, 10**11])
def test_what_folds_leave_of_a_row_is_bounded(largest: int) -> None:
    rng = np.random.default_rng(4)
    values = rng.normal(size=(400, 1)) * 10.0 ** rng.uniform(-12, 0, (400, 1))
    bound = np.abs(values).max(axis=0)
    splitters = split_at(bound, largest)
    n_folds = len(splitters)
    folds = exact_sums(values, [np.arange(400)], [400], splitters)[:, 0]
    assert n_folds == (2 if largest <= 2**21 else 3 if largest <= 2**31 else 4)
    for row, value in enumerate(values[:, 0]):
        kept = sum(map(Fraction, folds[:, row].tolist()), Fraction(0))
        assert abs(kept - Fraction(value)) <= Fraction(2.0**-64 * 2 * bound[0])
        for fold in range(n_folds):
            # A grid that `largest` rows fill up without rounding.
            unit = math.ulp(splitters[fold, 0])
            part = Fraction(folds[fold, row]) / Fraction(unit)
            assert part.denominator == 1 and abs(part) * largest <= 2**53


def test_passes_sum_what_is_left_of_columns_by_several_effects() -> None:
    rng = np.random.default_rng(5)
    X1, ZD = rng.normal(size=(300, 2)), rng.normal(size=(300, 3))
    effects = tuple(rng.integers(0, n, 300) for n in (40, 9, 5))
    counts = (40, 9, 5)
    levels = rng.normal(size=(5, 3)), rng.normal(size=(40, 3))
    block = make_block(X1, ZD, effects)
    state = SumsState(
        columns="data",
        beta=None,
        first=1,
        stop=4,
        levels=levels,
        of=(2, 0),
        by=(2, 0),
        level_counts=counts,
        splitters=split_at(np.full(3, 20.0), 300),
    )
    values = np.hstack([X1, ZD])[:, 1:4]
    left = values - levels[0][effects[2]] - levels[1][effects[0]]
    dummies = np.hstack([np.eye(5)[effects[2]], np.eye(40)[effects[0]]])
    sums, memory = sums_pass(block, state, None)
    assert memory is None
    np.testing.assert_allclose(sums.total, dummies.T @ left, atol=1e-12)
    squares = squares_pass(block, state, None)[0].total
    expected = np.array([(values**2).sum(axis=0), (left**2).sum(axis=0)])
    np.testing.assert_allclose(squares, expected, rtol=1e-14)
    restored = unseal(seal(sums), "sums")
    assert restored.folds.tobytes() == sums.folds.tobytes()
    assert np.array_equal(subtract_levels(values, effects[::-2], levels), left)


@pytest.mark.parametrize("first", range(6))
@pytest.mark.parametrize("stop", range(6))
def test_columns_are_chosen_across_X1_and_ZD(first: int, stop: int) -> None:
    X1, ZD = np.arange(8.0).reshape(4, 2), np.arange(12.0).reshape(4, 3) + 50
    block = make_block(X1, ZD, ())
    data = SurveyState("data", None, ())
    found = columns_of(block, data, None, first, stop)
    assert np.array_equal(found, np.hstack([X1, ZD])[:, first:stop])
    assert np.array_equal(columns_of(block, data, None), np.hstack([X1, ZD]))


def test_an_error_has_the_same_bits_in_every_block() -> None:
    rng = np.random.default_rng(6)
    X1, delta, beta = rng.normal(size=(997, 7)), rng.normal(size=997), np.arange(7.0)

    def errors(rows: slice) -> Floats:
        block = make_block(X1[rows], X1[rows, :1], ())
        memory = InversionMemory(None, delta[rows], np.empty((0, 0)), np.empty(0))
        return columns_of(block, SurveyState("errors", beta, ()), memory)

    whole = errors(slice(None))
    pieces = [errors(slice(first, first + 13)) for first in range(0, 997, 13)]
    assert whole.shape == (997, 1)
    assert np.vstack(pieces).tobytes() == whole.tobytes()
    np.testing.assert_allclose(whole[:, 0], delta - X1 @ beta, atol=1e-13)


def test_a_survey_counts_rows_and_what_is_wrong_with_them() -> None:
    X1 = np.array([[1.0, -9.0], [np.nan, 2.0], [3.0, np.inf], [0.5, 0.0]])
    effects = np.array([0, 0, 2, 5]), np.array([1, 1, 1, -1])
    block = make_block(X1, X1[:, :1], effects)
    survey, _ = survey_pass(block, SurveyState("data", None, (4, 2)), None)
    assert survey.sizes.tolist() == [2, 0, 1, 0, 0, 3]
    assert survey.misplaced.tolist() == [1, 1]
    assert survey.not_finite == 2
    memory = InversionMemory(None, np.full(4, -7.0), np.empty((4, 0)), np.empty(0))
    state = SurveyState("errors", np.array([1.0, 0.0]), (6, 2))
    survey, _ = survey_pass(block, state, memory)
    assert survey.not_finite == 2
    rows = make_block(X1[[0, 3]], X1[[0, 3], :1], (effects[0][[0, 3]],))
    state = SurveyState("data", None, (6,))
    assert survey_pass(rows, state, None)[0].maxima.tolist() == [[1.0, 9.0, 1.0]]
    nobody = make_block(X1[:0], X1[:0, :1], (effects[0][:0],))
    assert survey_pass(nobody, state, None)[0].maxima.tolist() == [[0.0, 0.0, 0.0]]
