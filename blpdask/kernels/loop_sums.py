"""Sums that keep the digits which cancellation would take.

Z'δ is large where Z'ξ = Z'(δ - Xβ̂) is small, and the weighting matrix magnifies what is
left: summed plainly, rounding reaches the objective at about 2e-13, enough to mislead a
line search. The product here is as accurate as if computed in twice the working
precision (Ogita, Rump and Oishi 2005, algorithm 5.3), columns side by side so that the
loop vectorises, and comes in the widest floats that the machine has.
"""

from __future__ import annotations

import numpy as np

from ..records import Floats
from .loop_kept import kept

#: 2**27 + 1 splits a float into two halves of 26 bits (Dekker 1971).
_SPLITTER = 134217729.0


def accurate_product(Z: Floats, values: Floats) -> Floats:
    """Compute Z' values, ``(M,)``, from ``Z`` ``(N, M)`` and ``values`` ``(N,)``."""
    sums = np.zeros((2, Z.shape[1]))
    _add_products(np.ascontiguousarray(Z), np.ascontiguousarray(values), *sums)
    return np.asarray(sums.astype(np.longdouble).sum(axis=0))


@kept(fills=2)
def _add_products(Z, values, sums, errors):
    """Add Σ_j z_jm v_j to ``sums`` (M,), and what rounding takes to ``errors`` (M,)."""
    n_columns = Z.shape[1]
    for j in range(Z.shape[0]):
        v = values[j]
        scaled = _SPLITTER * v
        v_high = scaled - (scaled - v)
        v_low = v - v_high
        for m in range(n_columns):
            z = Z[j, m]
            scaled_z = _SPLITTER * z
            z_high = scaled_z - (scaled_z - z)
            z_low = z - z_high
            product = z * v
            lost = (
                ((z_high * v_high - product) + z_high * v_low) + z_low * v_high
            ) + z_low * v_low
            total = sums[m] + product
            part = total - sums[m]
            lost += (sums[m] - (total - part)) + (product - part)
            sums[m] = total
            errors[m] += lost
