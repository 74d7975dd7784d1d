"""Autocorrelated errors of a simulation, stationary from their first period on.

Drawn (ξ̃, ω̃) of variance Ω are innovations; errors follow row by row from those before,

    u_j = φ u_l(j) + ũ_j,

and in first periods u has the stationary variance, which solves the discrete Lyapunov
equation V = φ V φ' + Ω (Hamilton 1994, section 10.2); there

    u_j = chol(V) chol(Ω)⁻¹ ũ_j.

Draws, and their use, are PyBLP's.
"""

from __future__ import annotations

import numpy as np
import scipy.linalg

from ..errors import Faults
from ..moments.lags import Lags
from ..problem.lag_indices import followers
from ..records import Floats


def autocorrelate(errors: Floats, lags: Lags, phi: Floats, variances: Floats) -> Floats:
    """Make autocorrelated errors of innovations, ``(N, E)``.

    Parameters
    ----------
    errors
        ``(N, E)`` innovations.
    lags
        Which row each row follows.
    phi
        ``(E, E)``.
    variances
        ``(E, E)`` of the innovations.

    Raises
    ------
    InputError
        Where errors of that φ would grow without end, or variances are singular.

    Examples
    --------
    >>> lags = Lags(np.array([0, 0, 1]))
    >>> phi, variance = np.array([[0.5]]), np.array([[3.0]])
    >>> autocorrelate(np.array([[3.0], [1.0], [0.0]]), lags, phi, variance).T.round(4)
    array([[3.4641, 2.7321, 1.366 ]])
    """
    _check(phi, variances)
    found = errors.copy()
    first = ~lags.once
    found[first] = errors[first] @ _to_stationary(phi, variances).T
    after = followers(lags)
    now = after[first]
    now = now[now >= 0]
    while now.size:
        found[now] += found[lags.rows[now]] @ phi.T
        now = after[now]
        now = now[now >= 0]
    return found


def _to_stationary(phi: Floats, variances: Floats) -> Floats:
    """Give chol(V) chol(Ω)⁻¹, which makes innovations stationary errors, ``(E, E)``."""
    stationary = scipy.linalg.solve_discrete_lyapunov(phi, variances)
    root = scipy.linalg.cholesky(variances, lower=True)
    wide = scipy.linalg.cholesky(stationary, lower=True)
    return np.asarray(
        scipy.linalg.solve_triangular(root, wide.T, trans=1, lower=True)
    ).T


def _check(phi: Floats, variances: Floats) -> None:
    """Check that there is a stationary distribution, and of two errors."""
    faults = Faults("Simulation")
    radius = float(np.abs(np.linalg.eigvals(phi)).max())
    if radius >= 1:
        faults.add(
            f"phi of spectral radius {radius:.6g}",
            "one below 1: errors have no stationary distribution to start from",
            "correct phi, or pass xi and omega",
        )
    if np.linalg.eigvalsh(variances).min() <= 0:
        faults.add(
            "a singular variance of xi and omega, with phi",
            "variances above zero, and a correlation between -1 and 1",
            "correct xi_variance, omega_variance or correlation, or pass xi and omega",
        )
    faults.check()
