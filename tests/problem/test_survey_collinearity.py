"""Collinear values are found without their rows: as by one factor of all of them."""

from __future__ import annotations

import numpy as np
import pytest

from blpdask.errors import DataWarning
from blpdask.problem.survey_collinearity import (
    ValueFactors,
    factor_values,
    join_factors,
    warn_of_collinear_parts,
)


def values(n: int = 200) -> np.ndarray:
    """Make a constant, two columns, their sum, and one that is nearly the second."""
    rng = np.random.default_rng(3)
    a, b = rng.normal(size=(2, n)) * 100
    near = a + 1e-10 * rng.normal(size=n)
    return np.column_stack([np.ones(n), a, b, a + b - 3, near])


@pytest.mark.parametrize("cuts", [[], [1], [2, 3, 150], list(range(1, 200))])
def test_factors_of_rows_in_parts_are_those_of_all(cuts: list[int]) -> None:
    V = values()
    parts = [(0, factor_values(part)) for part in np.split(V, cuts)]
    found = join_factors(parts)[0]
    assert found.n == 200
    R = np.linalg.qr(V, mode="r")
    np.testing.assert_allclose(
        np.abs(np.diag(found.R))[:3], np.abs(np.diag(R))[:3], rtol=1e-12
    )
    scale = np.abs(V.T @ V).max()
    np.testing.assert_allclose(found.R.T @ found.R / scale, V.T @ V / scale, atol=1e-14)
    for atol, rtol, expected in ((1e-10, 1e-10, [3, 4]), (1e-10, 1e-12, [3])):
        left = np.abs(np.diag(R))
        whole = np.flatnonzero(left < atol + rtol * V.std(axis=0)).tolist()
        assert found.collinear(atol, rtol) == whole == expected


def test_fewer_rows_than_parts_leave_some_that_are_explained() -> None:
    assert factor_values(values(2)).collinear(1e-10, 1e-10) == [2, 3, 4]


def test_parts_are_factored_by_dataset_where_all_were_evaluated() -> None:
    V, factors = values(), ValueFactors()
    for label, column in zip("abc", V.T, strict=False):
        factors.add(label, column[:120])
        factors.add(label, column[120:])
    factors.close(0, "abc")
    factors.add("d", V[:, 0])  # e is at fault
    factors.close(1, "de")
    factors.add("f", V[:, 0])  # alone
    factors.close(2, "f")
    ((dataset, factor),) = factors.take()
    assert dataset == 0 and factors.take() == ()
    np.testing.assert_allclose(factor.sums, V[:, :3].sum(axis=0), rtol=1e-12)
    np.testing.assert_allclose(factor.squares, (V[:, :3] ** 2).sum(axis=0), rtol=1e-12)


def test_parts_are_named() -> None:
    labels = ["one", "x", "y", "sum", "near"]
    with pytest.warns(DataWarning, match=r"\[sum, near\] .* micro dataset 'd'"):
        warn_of_collinear_parts(factor_values(values()), labels, "d", 1e-10, 1e-10)
