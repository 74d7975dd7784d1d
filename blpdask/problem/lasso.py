"""Which regressors are worth their penalty.

LASSO minimises, with Gram matrix G = X'X/n, c = X'y/n and a threshold a regressor,

    ½ β'Gβ - c'β + Σ_l τ_l |β_l|

(Tibshirani 1996; Friedman, Hastie and Tibshirani 2010 for coordinate descent). With
g = c - Gβ, β is a minimum if and only if the Karush-Kuhn-Tucker conditions hold,

    g_l = τ_l sign β_l where β_l ≠ 0,   |g_l| ≤ τ_l where β_l = 0.

Coordinates are moved one at a time to their minima until the signs of β stand; the
equations of the first condition then give β exactly, and all conditions are checked.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np

from ..errors import NumericalWarning
from ..records import Floats, Integers

#: Sweeps between attempts to solve for β at the signs found.
SWEEPS = 10


@dataclass(frozen=True, slots=True, eq=False)
class LassoMinimum:
    """Where the penalised least squares are least.

    Attributes
    ----------
    coefficients
        ``(P,)`` β, exactly zero where not selected.
    violation
        Largest violation of the conditions, regressors scaled to unit length, relative
        to the largest |c_l|.
    sweeps
        Sweeps over coordinates taken.
    converged
        Whether the violation is within the tolerance.
    """

    coefficients: Floats
    violation: float
    sweeps: int
    converged: bool


def minimise_lasso(
    gram: Floats,
    covariances: Floats,
    thresholds: Floats,
    *,
    start: Floats | None = None,
    tolerance: float = 1e-10,
    max_sweeps: int = 10_000,
) -> LassoMinimum:
    """Minimise least squares plus thresholds times absolute values.

    Parameters
    ----------
    gram
        ``(P, P)`` G; regressors whose diagonal is zero stay out.
    covariances
        ``(P,)`` c.
    thresholds
        ``(P,)`` τ, zero for least squares.
    start
        ``(P,)`` where to start; zeros by default.
    tolerance
        Bound on the violation of the conditions.
    max_sweeps
        Sweeps over coordinates allowed.

    Returns
    -------
    LassoMinimum
        The minimum and how well it meets the conditions.

    Warns
    -----
    NumericalWarning
        If the tolerance was not reached.

    Examples
    --------
    >>> minimise_lasso(np.eye(2), np.array([3.0, 0.5]), np.ones(2)).coefficients
    array([2., 0.])
    """
    lengths = np.sqrt(np.diag(gram))
    usable = lengths > 0
    lengths = np.where(usable, lengths, 1.0)
    G = gram / np.outer(lengths, lengths)
    c = np.where(usable, covariances / lengths, 0.0)
    tau = thresholds / lengths
    beta = np.zeros(c.size) if start is None else np.where(usable, start * lengths, 0.0)
    beta, sweeps = _descend(G, c, tau, beta, tolerance, max_sweeps)
    violation = kkt_violation(G, c, tau, beta)
    if not violation <= tolerance:
        warnings.warn(
            f"LASSO stopped after {sweeps} sweeps with its conditions violated by "
            f"{violation:.1e}, more than {tolerance:.1e}: drop candidates that are "
            "nearly collinear, or allow more sweeps",
            NumericalWarning,
            stacklevel=3,
        )
    return LassoMinimum(beta / lengths, violation, sweeps, violation <= tolerance)


def kkt_violation(G: Floats, c: Floats, tau: Floats, beta: Floats) -> float:
    """Measure by how much the conditions of a minimum fail, relative to max |c|."""
    gradient = c - G @ beta
    moved = np.abs(gradient - tau * np.sign(beta))
    still = np.maximum(np.abs(gradient) - tau, 0.0)
    scale = np.abs(c).max(initial=0.0) or 1.0
    return float(np.where(beta != 0, moved, still).max(initial=0.0) / scale)


def _descend(
    G: Floats, c: Floats, tau: Floats, beta: Floats, tolerance: float, most: int
) -> tuple[Floats, int]:
    """Sweep over coordinates that are in, or want in, until the conditions hold."""
    # What rounding makes of a condition that holds with equality is no reason to move.
    slack = 0.1 * tolerance * (np.abs(c).max(initial=0.0) or 1.0)
    for sweep in range(most):
        if sweep % SWEEPS == 0:
            for found in (_solve_at_signs(G, c, tau, beta), beta):
                if kkt_violation(G, c, tau, found) <= tolerance:
                    return found, sweep
        gradient = c - G @ beta
        moving = np.flatnonzero((beta != 0) | (np.abs(gradient) > tau + slack))
        beta = _sweep(G, tau, beta, gradient, moving, slack)
    return beta, most


def _sweep(
    G: Floats,
    tau: Floats,
    beta: Floats,
    gradient: Floats,
    moving: Integers,
    slack: float,
) -> Floats:
    """Move every coordinate to its minimum given the others, one after another."""
    beta, gradient = beta.copy(), gradient.copy()
    for place in moving:
        target = gradient[place] + beta[place]
        shrunk = abs(target) - tau[place]
        if shrunk <= slack and (shrunk <= 0.0 or beta[place] == 0.0):
            shrunk = 0.0
        new = shrunk if target > 0 else -shrunk
        gradient -= G[place] * (new - beta[place])
        beta[place] = new
    return beta


def _solve_at_signs(G: Floats, c: Floats, tau: Floats, beta: Floats) -> Floats:
    """Solve the conditions of the coordinates that are in, at the signs they have."""
    chosen = np.flatnonzero(beta)
    signs = np.sign(beta[chosen])
    try:
        found = np.linalg.solve(
            G[np.ix_(chosen, chosen)], c[chosen] - tau[chosen] * signs
        )
    except np.linalg.LinAlgError:
        return beta
    solved = np.zeros_like(beta)
    solved[chosen] = found
    return solved if np.array_equal(np.sign(found), signs) else beta
