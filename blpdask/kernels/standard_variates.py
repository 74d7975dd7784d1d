"""Standard variates of each kind as functions of standard normal ones, and back.

With n standard normal and u = Φ(n), the kinds of
:data:`blpdask.choice_records.KINDS` whose variate is not normal have

    uniform:     z = 2 u - 1,                              ∂z/∂n = 2 φ(n),
    triangular:  z = ±(1 - √(2 Φ(-|n|))),  of n's sign,    ∂z/∂n = φ(n) / √(2 Φ(-|n|)),
    exponential: z = -log(1 - u),                          ∂z/∂n = φ(n) / Φ(-n),

the first two of them on [-1, 1], the last of mean one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import ModuleType

import numpy as np

from ..records import Floats
from .array_batches import Array
from .drawn_coefficients import special_functions

_LOG_ROOT = 0.5 * math.log(2.0 * math.pi)


def variates_of_normals(
    normals: Array, kinds: Sequence[str], xp: ModuleType = np
) -> Array:
    """Compute z.

    Parameters
    ----------
    normals
        ``(..., D)`` n, on the device of ``xp``.
    kinds
        ``(D,)`` of the random coefficients.
    xp
        Namespace of arrays.

    Examples
    --------
    >>> kinds = ["normal", "uniform", "triangular", "exponential"]
    >>> variates_of_normals(np.zeros(4), kinds).round(6).tolist()
    [0.0, 0.0, 0.0, 0.693147]
    """
    z, special = normals.copy(), special_functions(xp)
    for d, kind in enumerate(kinds):
        n = normals[..., d]
        if kind == "uniform":
            z[..., d] = special.ndtr(n) - special.ndtr(-n)
        elif kind == "triangular":
            z[..., d] = xp.sign(n) * (1.0 - xp.sqrt(2.0 * special.ndtr(-xp.abs(n))))
        elif kind == "exponential":
            z[..., d] = -special.log_ndtr(-n)
    return z


def variate_slopes(normals: Array, kinds: Sequence[str], xp: ModuleType = np) -> Array:
    """Compute ∂z/∂n, like ``normals`` of :func:`variates_of_normals`."""
    slopes, special = xp.ones(normals.shape), special_functions(xp)
    for d, kind in enumerate(kinds):
        n = normals[..., d]
        log_density = -0.5 * n * n - _LOG_ROOT
        if kind == "uniform":
            slopes[..., d] = 2.0 * xp.exp(log_density)
        elif kind == "triangular":
            log_tail = math.log(2.0) + special.log_ndtr(-xp.abs(n))
            slopes[..., d] = xp.exp(log_density - 0.5 * log_tail)
        elif kind == "exponential":
            slopes[..., d] = xp.exp(log_density - special.log_ndtr(-n))
    return slopes


def uniforms_of_variates(z: Floats, kinds: Sequence[str]) -> Floats:
    """Compute u of variates ``(..., D)`` of kinds ``(D,)``.

    Examples
    --------
    >>> kinds = ["normal", "uniform", "triangular", "exponential"]
    >>> z = np.array([0.0, 0.5, -0.5, np.log(2.0)])
    >>> uniforms_of_variates(z, kinds).round(6).tolist()
    [0.5, 0.75, 0.125, 0.5]
    """
    from scipy.special import ndtr

    u = np.asarray(ndtr(z))
    for d, kind in enumerate(kinds):
        own = z[..., d]
        if kind == "uniform":
            u[..., d] = 0.5 * (own + 1.0)
        elif kind == "triangular":
            tail = 0.5 * (1.0 - np.abs(own)) ** 2
            u[..., d] = np.where(own <= 0.0, tail, 1.0 - tail)
        elif kind == "exponential":
            u[..., d] = -np.expm1(-own)
    return u
