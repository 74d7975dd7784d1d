"""What two evaluations teach about the second-order part of the Hessian.

With s = θ₊ - θ, y = J₊'r₊ - J'r and y# = J₊'r₊ - J'r₊ ≈ (Σ_m r_m ∇²r_m) s, the update

    S₊ = τS + u w' + w u',   w = y / (y's),   u = y# - τSs - (s'(y# - τSs) / 2) w,

meets the structured secant equation S₊ s = y#; sizing by τ = min(1, |s'y#| / |s'Ss|)
lets S shrink where the residual does (J. E. Dennis, D. M. Gay and R. E. Welsch, 1981,
equations 2.9 to 2.11).
"""

from __future__ import annotations

import numpy as np

from ...records import Floats

_LEAST_COSINE = 1e-6


def structured_update(
    second: Floats, step: Floats, structured: Floats, change: Floats, scale: Floats
) -> Floats:
    """Update S by the sized structured secant.

    Parameters
    ----------
    second
        ``(P, P)`` S.
    step
        ``(P,)`` s.
    structured
        ``(P,)`` y#.
    change
        ``(P,)`` y, the change of J'r.
    scale
        ``(P,)`` d, so that the angle between s and y is taken in scaled coordinates.

    Returns
    -------
    Floats
        ``(P, P)`` S₊, symmetric. Where s and y are nearly orthogonal w is damped and
        the secant equation holds only in part.
    """
    curvature = float(step @ change)
    length = float(np.linalg.norm(scale * step) * np.linalg.norm(change / scale))
    if curvature == 0 or length == 0:
        return second
    damping = min(1.0, abs(curvature) / (_LEAST_COSINE * length))
    weight = damping * change / curvature
    along = float(step @ second @ step)
    size = min(1.0, abs(float(step @ structured)) / abs(along)) if along else 1.0
    missing = structured - size * (second @ step)
    update = np.outer(missing - float(step @ missing) / 2 * weight, weight)
    return np.asarray(size * second + update + update.T)
