"""Coefficients at draws and their derivatives, in arrays of NumPy and CuPy.

    β_k = h_k(η_k),   η_k = m_k + Σ_l Λ_kl z_l,   and, scaled, λ h_k(η_k),

with h the identity, e^η, max(η, 0), 1 / (1 + e^-η), or, of a normal given that it is
positive with s its own entry of Λ and c = Φ(-z) Φ(m / s),

    β = m + s ζ,   ζ = -Φ⁻¹(c),   ∂ζ/∂a = -Φ(-z) φ(a) / φ(ζ),   a = m / s,
    ∂β/∂m = 1 + ∂ζ/∂a,   ∂β/∂s = ζ - a ∂ζ/∂a.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from types import ModuleType

import numpy as np

from ..choice_records import MixedTastes
from .array_batches import Array

#: Places of h among shapes.
EXPONENTIAL, POSITIVE, LOGISTIC, TRUNCATED = 1, 2, 3, 4


@dataclass(frozen=True, slots=True)
class DrawnCoefficients:
    """Coefficients before they are scaled.

    Attributes
    ----------
    beta
        ``(..., K)`` h(η).
    slopes
        ``(..., K)`` ∂h/∂m, which is ∂h/∂η but where h depends on s too.
    by_spread
        Of truncated coefficients by their places, ``(...,)`` ∂h/∂s.
    """

    beta: Array
    slopes: Array
    by_spread: dict[int, Array]


def shape_coefficients(
    means: Array, z: Array, tastes: MixedTastes, xp: ModuleType = np
) -> DrawnCoefficients:
    """Compute h(η) and its derivatives, coefficients along the last axis.

    Parameters
    ----------
    means
        ``(..., K)`` m, on the device of ``xp`` as z is.
    z
        ``(..., D)``.
    tastes
        Λ and which h.
    xp
        Namespace of arrays.
    """
    beta = means + z @ xp.asarray(tastes.loadings).T
    slopes, by_spread = xp.ones(beta.shape), {}
    for k, shape in enumerate(tastes.shapes.tolist()):
        own = beta[..., k]
        if shape == EXPONENTIAL:
            beta[..., k] = slopes[..., k] = xp.exp(own)
        elif shape == POSITIVE:
            slopes[..., k] = xp.where(own > 0.0, 1.0, 0.0)
            beta[..., k] = xp.where(own < 0.0, 0.0, own)
        elif shape == LOGISTIC:
            logistic = 1.0 / (1.0 + xp.exp(-own))
            beta[..., k] = logistic
            slopes[..., k] = logistic * (1.0 - logistic)
        elif shape == TRUNCATED:
            e = tastes.rows.tolist().index(k)
            column = int(tastes.columns[e])
            truncated = _truncate(
                means[..., k], z[..., column], float(tastes.loadings[k, column]), xp
            )
            beta[..., k], slopes[..., k], by_spread[k] = truncated
    return DrawnCoefficients(beta, slopes, by_spread)


def scale_coefficients(beta: Array, tastes: MixedTastes) -> Array:
    """Multiply coefficients ``(..., K)`` by the one that scales; keep X's columns'."""
    if tastes.scale < 0:
        return beta
    scale = beta[..., tastes.scale]
    scaled = beta * scale[..., None]
    scaled[..., tastes.scale] = scale
    return scaled[..., : tastes.n_columns]


def parameter_slopes(
    slopes: Array,
    drawn: DrawnCoefficients,
    z: Array,
    tastes: MixedTastes,
    xp: ModuleType = np,
) -> tuple[Array, Array]:
    """Turn derivatives by coefficients of X into those by b and by Λ's entries.

    Parameters
    ----------
    slopes
        Derivatives of anything by the coefficients of X's columns, the last axis.
    drawn, z
        Coefficients before they are scaled, and their draws; other axes as those of
        ``slopes``.
    tastes
        θ.
    xp
        Namespace of arrays.

    Returns
    -------
    tuple
        ``(..., K)`` by b, and ``(..., E)`` by entries of Λ.
    """
    if tastes.scale >= 0:
        slopes = _unscale(slopes, drawn.beta, tastes, xp)
    by_mean = slopes * drawn.slopes
    rows = tastes.rows.tolist()
    own, of = xp.asarray(tastes.rows), xp.asarray(tastes.columns)
    by_entry = by_mean[..., own] * z[..., of]
    for k, by_spread in drawn.by_spread.items():
        by_entry[..., rows.index(k)] = slopes[..., k] * by_spread
    return by_mean, by_entry


def _unscale(slopes: Array, beta: Array, tastes: MixedTastes, xp: ModuleType) -> Array:
    """Turn derivatives by coefficients of X into those by h, ``(..., K)``."""
    s = tastes.scale
    if tastes.own_scale:
        slopes = xp.concatenate([slopes, 0.0 * slopes[..., :1]], axis=-1)
    by_scale = slopes[..., s] + (slopes * beta).sum(axis=-1)
    by_scale = by_scale - slopes[..., s] * beta[..., s]
    found = slopes * beta[..., s][..., None]
    found[..., s] = by_scale
    return found


def _truncate(
    m: Array, z: Array, signed: float, xp: ModuleType
) -> tuple[Array, Array, Array]:
    """Compute a truncated normal and its derivatives by m and s, all like z."""
    special = special_functions(xp)
    s = abs(signed)
    if s == 0.0:
        positive = xp.where(m + 0.0 * z > 0.0, 1.0, 0.0)
        return positive * m, positive, positive * z
    a, upper = m / s, special.ndtr(-z)
    zeta = -special.ndtri(upper * special.ndtr(a))
    by_a = -upper * xp.exp(0.5 * (zeta * zeta - a * a))
    return m + s * zeta, 1.0 + by_a, (zeta - a * by_a) * np.sign(signed)


def special_functions(xp: ModuleType) -> ModuleType:
    """Import Φ and its inverse for arrays of ``xp``."""
    name = "cupyx.scipy.special" if xp.__name__ == "cupy" else "scipy.special"
    return importlib.import_module(name)
