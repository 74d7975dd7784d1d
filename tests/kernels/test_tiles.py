"""Tiles of agents against sums that are written out.

What must hold:

1. Powers of two are right to a unit in the last place, and what is not a number stays
   so.
2. Exponentiated utilities, their sums and what they are worth by owner are those of
   NumPy's exponential, whether utilities are known to be small or not.
3. Rows start where lines of a cache do.
"""

from __future__ import annotations

from decimal import Decimal, localcontext

import numpy as np
import pytest

from blpdask.kernels import loop_tiles
from blpdask.kernels.loop_numeric import power_of_two


def test_powers_of_two_are_right_to_the_last_place():
    x = np.concatenate(
        [np.random.default_rng(0).uniform(-1020, 1020, 2000), [0.0, 0.5, -0.5]]
    )
    found = [float(power_of_two(value)) for value in x]
    with localcontext() as context:
        context.prec = 60
        log_two = Decimal(2).ln()
        for value, power in zip(x, found, strict=True):
            exact = (Decimal(float(value)) * log_two).exp()
            gap = abs(Decimal(power) - exact) / Decimal(float(np.spacing(power)))
            assert gap < 1
    whole = np.arange(-1020.0, 1021.0)
    powers = [power_of_two(value) for value in whole]
    np.testing.assert_array_equal(powers, 2.0**whole)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_no_number_stays_so(value):
    assert not np.isfinite(power_of_two(value))


@pytest.mark.parametrize("n_random", [0, 1, 3, 4])
@pytest.mark.parametrize("small", [True, False])
def test_tiles_are_what_numpy_says(n_random, small):
    rng = np.random.default_rng(n_random)
    J, agents, first, n = 7, 50, 10, 33
    X2, delta = rng.normal(size=(n_random, J)), rng.normal(size=J)
    draws, types = rng.normal(size=(agents, n_random)), np.arange(n_random) % 3
    loadings = 0.4 * np.tril(rng.normal(size=(n_random, n_random)))
    margins, owners = rng.uniform(size=J), np.array([0, 0, 1, 2, 1, 0, 2])
    raw = draws @ loadings.T
    kinds = [lambda c: c, np.exp, lambda c: 1 / (1 + np.exp(-c))]
    taste = np.array([kinds[k % 3](raw[:, k]) for k in range(n_random)])
    E = np.exp(delta[:, None] + X2.T @ taste.reshape(n_random, agents))
    E = E[:, first : first + n]
    characteristics = loop_tiles.characteristics_of(X2, delta)
    coefficients = np.empty((characteristics.shape[1] - 1, agents))
    loop_tiles.fill_coefficients(draws, loadings, types, coefficients)
    filled, inverse, worth = np.empty((J, n)), np.empty(n), np.empty((3, n))
    loop_tiles.fill_tile(
        characteristics,
        coefficients,
        first,
        n,
        small,
        margins,
        owners,
        filled,
        inverse,
        worth,
    )
    np.testing.assert_allclose(filled, E, rtol=1e-13)
    np.testing.assert_allclose(inverse, 1 / (1 + E.sum(axis=0)), rtol=1e-13)
    expected = [margins[owners == f] @ E[owners == f] for f in range(3)]
    np.testing.assert_allclose(worth, expected, rtol=1e-13)
    chosen, total = np.empty((J, n)), np.empty(n)
    loop_tiles.fill_choices(
        characteristics, coefficients, first, n, small, chosen, total
    )
    np.testing.assert_allclose(chosen, E, rtol=1e-13)
    np.testing.assert_allclose(total, 1 + E.sum(axis=0), rtol=1e-13)


def test_choices_of_large_utilities_are_over_the_highest():
    """E and o_i + Σ_j E_ji, over 2^h, where e^v would be no number."""
    delta = np.array([900.0, 899.0, 300.0])
    characteristics = loop_tiles.characteristics_of(np.empty((0, 3)), delta)
    coefficients = np.zeros((characteristics.shape[1] - 1, 2))
    E, total = np.empty((3, 2)), np.empty(2)
    loop_tiles.fill_choices(characteristics, coefficients, 0, 2, False, E, total)
    expected = np.exp(delta - 900)
    np.testing.assert_allclose(E, np.column_stack([expected] * 2), rtol=1e-12)
    np.testing.assert_allclose(total, expected.sum(), rtol=1e-13)


@pytest.mark.parametrize("n", [1, 8, 33])
def test_rows_start_where_lines_do(n):
    for n_rows in (1, 3, 50):
        rows = loop_tiles.rows_of_lines(n_rows, n)
        assert rows.shape[0] == n_rows and n <= rows.shape[1] < n + 8
        assert all(row.ctypes.data % 64 == 0 for row in rows)
