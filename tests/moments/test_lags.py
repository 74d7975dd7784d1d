"""Innovations and lagged instruments against plain loops over rows.

Invariants: v'(I - φL)u of lagged instruments is the sum of z times innovations, of any
type; T(φ) on sums of any cut of the rows gives the moments.
"""

from __future__ import annotations

import numpy as np
import pytest

from blpdask.moments.lags import (
    MOMENT_TYPES,
    Lags,
    carry_back,
    errors_by_type,
    innovations,
)
from blpdask.moments.quasi_differences import (
    QuasiDifferences,
    lagged_instruments,
    pseudo_equations,
    sums_to_moments,
)
from tests.references.drawn_lags import draw_chains

N = 80
STACKED = [
    (("levels", 2), ("innovations", 3), ("differenced_innovations", 2)),
    (("differenced_innovations", 2), ("innovations", 0), ("levels", 2)),
]


def drawn(n_equations: int) -> tuple[np.ndarray, Lags, np.ndarray]:
    rng = np.random.default_rng(n_equations)
    lags = Lags(draw_chains(rng, N))
    phi = rng.uniform(-0.8, 0.8, (n_equations, n_equations))
    return rng.normal(size=(N, n_equations)), lags, phi


def plain_errors(u: np.ndarray, lags: Lags, phi: np.ndarray, name: str) -> np.ndarray:
    """Compute what moments of a type are of, row by row."""
    found = np.zeros_like(u)
    follows = lags.rows.tolist()

    def new(j: int) -> np.ndarray:
        return u[j] - phi @ u[follows[j]]

    for j, before in enumerate(follows):
        if name == "levels":
            found[j] = u[j]
        elif before != j and name == "innovations":
            found[j] = new(j)
        elif before != j and follows[before] != before:
            found[j] = new(j) - new(before)
    return found


@pytest.mark.parametrize("n_equations", [1, 2])
@pytest.mark.parametrize("name", MOMENT_TYPES)
def test_errors_of_each_type(name: str, n_equations: int) -> None:
    u, lags, phi = drawn(n_equations)
    expected = plain_errors(u, lags, phi, name)
    np.testing.assert_allclose(errors_by_type(u, lags, phi)[name], expected, atol=1e-15)
    assert (expected == 0).all(axis=1).any() == (name != "levels")


def test_innovations_are_zero_in_first_periods() -> None:
    u, lags, phi = drawn(2)
    found = innovations(u, lags, phi)
    assert (found[~lags.once] == 0).all() and (found[lags.once] != 0).all()


def test_carrying_back_is_the_transpose_of_the_lag() -> None:
    u, lags, _ = drawn(2)
    L = np.zeros((N, N))
    L[np.flatnonzero(lags.once), lags.rows[lags.once]] = 1.0
    np.testing.assert_array_equal(carry_back(u, lags), L.T @ u)
    assert L.any() and not lags.once.all() and lags.twice.sum() < lags.once.sum()


@pytest.mark.parametrize("n_equations", [1, 2])
def test_sums_over_any_cut_become_moments(n_equations: int) -> None:
    """Z'y and Z'X of parts of the rows are added before anything knows of φ."""
    u, lags, phi = drawn(n_equations)
    rng = np.random.default_rng(7)
    types = STACKED[:n_equations]
    Z = [rng.normal(size=(N, sum(n for _, n in own))) for own in types]
    own = lagged_instruments(Z, types, lags)
    base, by_phi = sums_to_moments(types)
    parts, sources = pseudo_equations(Z, types)
    quasi = QuasiDifferences(
        base, by_phi, np.empty((base.shape[1], 0)), lags, parts, sources, None
    )
    halves = np.array_split(rng.permutation(N), 3)
    sums = sum(
        np.concatenate([own[e][rows].T @ u[rows, e] for e in range(n_equations)])
        for rows in halves
    )
    expected = [
        part.T @ plain_errors(u, lags, phi, name)[:, e]
        for part, (e, name) in zip(parts, sources, strict=True)
    ]
    np.testing.assert_allclose(
        quasi.at(phi) @ sums, np.concatenate(expected), atol=1e-12
    )
    assert quasi.moment_types == tuple(n for s in types for n, k in s for _ in range(k))
    counts = [part.shape[1] for part in parts]
    np.testing.assert_array_equal(
        quasi.pseudo_equations, np.repeat(np.arange(len(parts)), counts)
    )
