"""Autocorrelated errors are stationary, and nothing else than their recursion says."""

from __future__ import annotations

import numpy as np
import pytest

from blpdask.errors import InputError
from blpdask.moments.lags import Lags, innovations
from blpdask.simulation.autocorrelated_errors import autocorrelate

PHI = np.array([[0.7, 0.2], [-0.3, 0.5]])
VARIANCES = np.array([[1.0, 0.4], [0.4, 0.5]])


def chains(n: int, periods: int) -> Lags:
    """Let n products live for some periods each, in mixed order."""
    order = np.random.default_rng(3).permutation(n * periods).reshape(n, periods)
    rows = np.arange(n * periods)
    rows[order[:, 1:]] = order[:, :-1]
    return Lags(rows)


def test_innovations_are_those_that_were_drawn() -> None:
    lags = chains(50, 6)
    drawn = np.random.default_rng(0).normal(size=(300, 2))
    found = autocorrelate(drawn, lags, PHI, VARIANCES)
    back = innovations(found, lags, PHI)
    np.testing.assert_allclose(back[lags.once], drawn[lags.once], atol=1e-12)


def test_every_period_has_the_stationary_variance() -> None:
    """V = φ V φ' + Ω by iteration, and moments of 60,000 products within 5 errors."""
    V = VARIANCES.copy()
    for _ in range(500):
        V = PHI @ V @ PHI.T + VARIANCES
    n, periods = 60_000, 4
    rows = np.arange(n * periods).reshape(n, periods)
    lags = Lags(np.column_stack([rows[:, :1], rows[:, :-1]]).ravel())
    root = np.linalg.cholesky(VARIANCES)
    drawn = np.random.default_rng(1).normal(size=(n * periods, 2)) @ root.T
    found = autocorrelate(drawn, lags, PHI, VARIANCES).reshape(n, periods, 2)
    error = np.sqrt((V**2 + np.outer(V.diagonal(), V.diagonal())) / n)
    for period in range(periods):
        u = found[:, period]
        assert (np.abs(u.T @ u / n - V) <= 5 * error).all()
    between = found[:, 2].T @ found[:, 1] / n
    assert np.abs(between - PHI @ V).max() <= 0.03


@pytest.mark.parametrize(
    ("phi", "variances", "said"),
    [
        (np.eye(2), VARIANCES, "spectral radius 1"),
        (np.array([[0.9, 0.9], [0.9, 0.9]]), VARIANCES, "spectral radius 1.8"),
        (PHI, np.ones((2, 2)), "a singular variance"),
    ],
)
def test_what_has_no_stationary_distribution(phi, variances, said) -> None:
    with pytest.raises(InputError, match=said):
        autocorrelate(np.zeros((6, 2)), chains(2, 3), phi, variances)
