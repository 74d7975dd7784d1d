"""Matrices of markets are stacked, transposed and scaled as loops would do it."""

from __future__ import annotations

import numpy as np
import pytest

from blpdask.analysis.stacked_matrices import (
    SOME,
    diagonals_of,
    of_each_size,
    pad_rows,
    row_sums,
    scale_stacked,
    stack_matrices,
    transpose_matrices,
)

#: Alike, unlike, alone, and more of them than are moved at a time.
SIZES = [(3, 3, 3), (1, 4, 2, 4, 1), (5,), (9,) * (SOME // 81 + 2)]


@pytest.mark.parametrize("sizes", SIZES)
def test_as_loops_do_it(sizes: tuple[int, ...]) -> None:
    rng = np.random.default_rng(sum(sizes))
    matrices = [rng.normal(size=(J, J)) for J in sizes]
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    values = np.concatenate([matrix.ravel() for matrix in matrices])
    stacked = stack_matrices(values.copy(), offsets)
    turned = values.copy()
    transpose_matrices(turned, offsets)
    turned = stack_matrices(turned, offsets)
    sums = row_sums(values, offsets)
    rows, columns = rng.normal(size=(2, offsets[-1]))
    scaled = stacked.copy()
    scale_stacked(scaled, offsets, rows=rows, columns=columns)
    assert stacked.shape == (sum(sizes), max(sizes))
    diagonals = diagonals_of(stacked, offsets)
    for t, matrix in enumerate(matrices):
        J, own = len(matrix), slice(offsets[t], offsets[t + 1])
        assert np.array_equal(stacked[own, :J], matrix)
        assert np.isnan(stacked[own, J:]).all()
        assert np.array_equal(turned[own, :J], matrix.T)
        assert np.array_equal(diagonals[own], matrix.diagonal())
        assert np.allclose(sums[own], matrix.sum(axis=1), rtol=1e-13, atol=1e-14)
        expected = matrix * columns[own] * rows[own][:, None]
        assert np.allclose(scaled[own, :J], expected, rtol=1e-15, atol=0)


def test_markets_of_each_size() -> None:
    offsets = np.array([0, 1, 5, 6])
    values = np.arange(18.0)
    found = {m.shape[1]: (t.tolist(), p) for t, p, m in of_each_size(values, offsets)}
    assert found[1][0] == [0, 2] and found[4][0] == [1]
    assert found[1][1].ravel().tolist() == [0, 17]
    assert found[4][1].ravel().tolist() == list(range(1, 17))


def test_padding() -> None:
    found = pad_rows(np.arange(3.0), np.array([2, 1]))
    assert np.array_equal(found, [[0, 1], [2, np.nan]], equal_nan=True)
