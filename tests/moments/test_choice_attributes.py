"""Sums over blocks know which characteristics situations tell apart."""

from __future__ import annotations

import itertools

import numpy as np

from blpdask.driver.ordered_sum import ordered_sum
from blpdask.errors import Faults
from blpdask.moments.choice_attributes import attributes_pass
from blpdask.problem.choice_checks import check_attributes, check_spread
from blpdask.problem.choice_table import subtract_averages
from tests.kernels.plain_choices import draw_people


def test_sums_are_of_rows_less_averages() -> None:
    blocks = [draw_people(n, 3, 1, 2, seed=n) for n in (4, 7)]
    for block in blocks:
        first = block.situation_offsets[:-1]
        block.X[:, 2] = np.repeat(block.X[first, 2], np.diff(block.situation_offsets))
    # A column that differs in one situation, of one block.
    blocks[1].X[0, 2] += 1.0
    sums = ordered_sum([attributes_pass(block, None, None)[0] for block in blocks])
    expected = np.zeros((3, 3))
    differs = np.zeros(3, int)
    for block in blocks:
        offsets = block.situation_offsets
        for first, stop in itertools.pairwise(offsets):
            X = block.X[first:stop]
            expected += (X - X.mean(axis=0)).T @ (X - X.mean(axis=0))
            differs += np.ptp(X, axis=0) > 0
    np.testing.assert_allclose(sums.squares, expected, rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(sums.differs, differs)
    assert differs[2] == 1
    assert sums.rows == sum(len(block.X) for block in blocks)


def test_the_same_columns_are_refused_by_sums_and_by_rows() -> None:
    block = draw_people(30, 5, 1, 2, seed=1, alternatives=(3, 4))
    X = block.X.copy()
    sizes = np.diff(block.situation_offsets)
    X[:, 1] = np.repeat(np.arange(sizes.size), sizes)
    X[:, 3] = 1e3 * X[:, 0] + 7.0 * X[:, 1]
    X[:, 4] = X[:, 0] + 1e-5 * X[:, 4]
    labels = list("abcde")
    within = subtract_averages(X, block.situation_offsets)
    by_rows, by_sums = Faults("x"), Faults("x")
    check_attributes(labels, X, within, block.situation_offsets, 1e-10, by_rows)
    differs = np.array([True, False, True, True, True])
    check_spread(labels, differs, within.T @ within, 1e-6, by_sums)
    assert list(by_rows) == list(by_sums)
    # Nearly the same is not the same.
    (shared, combined) = by_sums
    assert shared.found.startswith("'b' is the same")
    assert combined.found.startswith("columns [d] that")
