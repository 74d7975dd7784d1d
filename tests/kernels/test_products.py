"""Sums of products of rows, in fours, against a product of matrices."""

from __future__ import annotations

import numpy as np
import pytest

from blpdask.kernels.loop_products import add_products, in_fours


@pytest.mark.parametrize("n", [0, 1, 7, 8, 33])
def test_products_are_added_to_what_was_there(n: int) -> None:
    rng = np.random.default_rng(n)
    rows, others = rng.normal(size=(8, 40)), rng.normal(size=(12, 40))
    sums = rng.normal(size=(8, 12))
    expected = sums + rows[:, :n] @ others[:, :n].T
    add_products(rows, others, n, sums)
    np.testing.assert_allclose(sums, expected, rtol=1e-13, atol=1e-13)


def test_counts_are_rounded_up_to_fours() -> None:
    assert [in_fours(n) for n in (0, 1, 4, 5, 51)] == [0, 4, 4, 8, 52]
