"""Factors of a general matrix, kept for several right-hand sides."""

from __future__ import annotations

import numpy as np
import pytest

from blpdask.kernels.loop_numeric import factor_general, solve_factored


@pytest.mark.parametrize("size", [1, 2, 7, 40])
def test_solutions_are_numpys(size: int) -> None:
    rng = np.random.default_rng(size)
    a = rng.standard_normal((size, size))
    a[0, 0] = 0.0 if size > 1 else a[0, 0]  # only a swap of rows goes on from here
    x = rng.standard_normal((3, size))
    expected = np.linalg.solve(a, x.T).T
    factors, swaps = a.copy(), np.empty(size, np.int64)
    assert factor_general(factors, swaps)
    for row in x:
        solve_factored(factors, swaps, row)
    np.testing.assert_allclose(x, expected, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_a_pivot_that_is_none_is_told(value: float) -> None:
    a = np.array([[1.0, 2.0], [2.0, 4.0 + value]])
    assert not factor_general(a, np.empty(2, np.int64))
