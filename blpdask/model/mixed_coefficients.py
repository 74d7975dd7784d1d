"""From parameters to coefficients of people: b, Π and L, then β = h(b + Π d + L z).

    β_ik = h_k(η_ik),   η_ik = b_k + Σ_m Π_km d_im + Σ_l Λ_kl z_il,

with Λ the rows of L where coefficients vary and zero elsewhere. Of the kinds of
:data:`blpdask.choice_records.KINDS`, h is the identity but for

    lognormal e^η,   censored max(η, 0),   johnson 1 / (1 + e^-η),
    truncated  m + s ζ,   ζ = -Φ⁻¹(Φ(-z) Φ(m / s)),   m = b + Π d,  s its entry of L

(McFadden and Train 2000; Train 2009, 6.2 and 6.5), the last being N(m, s²) given that
it is positive. Where a coefficient scales, all others are multiplied by it; one that is
no column's is e^(τ z - τ²/2), whose b is -τ²/2.
"""

from __future__ import annotations

import numpy as np

from ..choice_records import MixedCoefficients, MixedTastes
from ..kernels.drawn_coefficients import scale_coefficients, shape_coefficients
from ..records import Floats

_IDENTITY, _EXPONENTIAL, _POSITIVE, _LOGISTIC, _TRUNCATED = range(5)


def mixed_tastes(coefficients: MixedCoefficients, theta: Floats) -> MixedTastes:
    """Read θ as kernels do.

    Parameters
    ----------
    coefficients
        What varies and how.
    theta
        ``(P,)`` the free b, then the free entries of Π and of L row by row.

    Examples
    --------
    >>> mixed = MixedCoefficients(("price", "size"), ("fixed", "normal"))
    >>> mixed_tastes(mixed, np.array([-1.0, 2.0, 0.5])).loadings.tolist()
    [[0.0], [0.5]]
    """
    kinds, random, free = (
        coefficients.all_kinds,
        coefficients.random,
        coefficients.free,
    )
    theta = np.asarray(theta, np.float64)
    places = np.array(coefficients.entries, np.int64).reshape(-1, 2)
    rows, columns = random[places[:, 0]], places[:, 1].copy()
    shifted = np.array(coefficients.shifted, np.int64).reshape(-1, 2)
    b, shifts, entries = np.split(theta, [free.size, free.size + len(shifted)])
    means = np.zeros(len(kinds))
    means[free] = b
    if coefficients.random_scale:
        means[-1] = -0.5 * entries[-1] ** 2
    loadings = np.zeros((len(kinds), random.size))
    loadings[rows, columns] = entries
    Pi = np.zeros((len(kinds), len(coefficients.demographics)))
    Pi[shifted[:, 0], shifted[:, 1]] = shifts
    return MixedTastes(
        b=means,
        loadings=loadings,
        shapes=np.array([_shape(kind) for kind in kinds], np.int64),
        rows=rows,
        columns=columns,
        shifts=Pi,
        shift_rows=shifted[:, 0].copy(),
        shift_columns=shifted[:, 1].copy(),
        scale=coefficients.scaling,
        own_scale=coefficients.random_scale,
        jacobian=_jacobian(coefficients, theta),
    )


def drawn_coefficients(
    tastes: MixedTastes, draws: Floats, demographics: Floats | None = None
) -> Floats:
    """Compute β at draws.

    Parameters
    ----------
    tastes
        θ.
    draws
        ``(..., D)`` standard variates.
    demographics
        ``(..., M)`` d of whom the draws belong to; None where there are none.

    Returns
    -------
    Floats
        ``(..., K)`` coefficients of the columns of X.
    """
    means = tastes.b
    if demographics is not None and demographics.size:
        means = means + demographics @ tastes.shifts.T
    drawn = shape_coefficients(means, draws, tastes)
    return np.asarray(scale_coefficients(drawn.beta, tastes))


def _jacobian(coefficients: MixedCoefficients, theta: Floats) -> Floats | None:
    """Differentiate b and entries by θ; None where θ is these."""
    K, P = len(coefficients.all_kinds), coefficients.size
    free = coefficients.free
    if free.size == K:
        return None
    found = np.zeros((K + P - free.size, P))
    found[free, np.arange(free.size)] = 1.0
    found[np.arange(K, len(found)), np.arange(free.size, P)] = 1.0
    if coefficients.random_scale:
        found[K - 1, -1] = -theta[-1]
    return found


def _shape(kind: str) -> int:
    """Say which h a kind has."""
    named = {
        "lognormal": _EXPONENTIAL,
        "censored": _POSITIVE,
        "johnson": _LOGISTIC,
        "truncated": _TRUNCATED,
    }
    return named.get(kind, _IDENTITY)
