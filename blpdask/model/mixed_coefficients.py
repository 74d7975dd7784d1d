"""From parameters to coefficients of people: b and L, then β = h(b + L z).

    β_ik = h_k(η_ik),   η_ik = b_k + Σ_d Λ_kd z_id,

with Λ the rows of L where coefficients vary and zero elsewhere. Of the kinds of
:data:`blpdask.choice_records.KINDS`, h is the identity but for

    lognormal e^η,   censored max(η, 0),   johnson 1 / (1 + e^-η)

(McFadden and Train 2000; Train 2009, 6.2 and 6.5).
"""

from __future__ import annotations

import numpy as np

from ..choice_records import MixedCoefficients, MixedTastes
from ..kernels.array_choices import shape_coefficients
from ..records import Floats

_IDENTITY, _EXPONENTIAL, _POSITIVE, _LOGISTIC = range(4)


def mixed_tastes(coefficients: MixedCoefficients, theta: Floats) -> MixedTastes:
    """Read θ as kernels do.

    Parameters
    ----------
    coefficients
        What varies and how.
    theta
        ``(P,)`` b, then the free entries of L row by row.

    Examples
    --------
    >>> mixed = MixedCoefficients(("price", "size"), ("fixed", "normal"))
    >>> mixed_tastes(mixed, np.array([-1.0, 2.0, 0.5])).loadings.tolist()
    [[0.0], [0.5]]
    """
    K, random = len(coefficients.labels), coefficients.random
    entries = np.array(coefficients.entries, np.int64).reshape(-1, 2)
    rows, columns = random[entries[:, 0]], entries[:, 1].copy()
    loadings = np.zeros((K, random.size))
    loadings[rows, columns] = theta[K:]
    return MixedTastes(
        b=np.array(theta[:K], np.float64),
        loadings=loadings,
        shapes=np.array([_shape(kind) for kind in coefficients.kinds], np.int64),
        rows=rows,
        columns=columns,
    )


def drawn_coefficients(tastes: MixedTastes, draws: Floats) -> tuple[Floats, Floats]:
    """Compute β and ∂β/∂η at draws.

    Parameters
    ----------
    tastes
        θ.
    draws
        ``(..., D)`` standard variates.

    Returns
    -------
    tuple of array
        ``(..., K)`` both.
    """
    eta = tastes.b + draws @ tastes.loadings.T
    beta, slopes = shape_coefficients(eta, tastes.shapes)
    return np.asarray(beta), np.asarray(slopes)


def _shape(kind: str) -> int:
    """Say which h a kind has."""
    named = {"lognormal": _EXPONENTIAL, "censored": _POSITIVE, "johnson": _LOGISTIC}
    return named.get(kind, _IDENTITY)
