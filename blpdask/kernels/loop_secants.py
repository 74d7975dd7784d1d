"""Prices that a fixed-point iteration tries next, in one market.

With g(p) = c + ζ(p), f_n = g(p_n) - p_n, and the last few differences of f and of g in
the rows of ΔF and ΔG,

    p_{n+1} = g(p_n) - γ ΔG,   γ = argmin |f_n - γ ΔF|

(Anderson 1965; Walker and Ni 2011). When a market goes back, waits or starts again is
said, with the same limits, in :mod:`blpdask.model.price_acceleration`, which does the
same for all markets of a block.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from ..records import Floats, Integers
from .loop_compiler import exact, reorder
from .loop_numeric import dot, solve_general, sup_norm
from .loop_secant_limits import (
    BOLDNESS,
    DEPTH,
    GROWTH,
    PATIENCE,
    RIDGE,
    TRIALS,
)

#: Places in ``counts``.
PROPOSED, PLACE, WAIT, PATIENT, KNOWN, PLAIN = range(6)


class SecantPast(NamedTuple):
    """What a market remembers of its iterations.

    ``F`` and ``G`` (DEPTH, J) differences of f and g, ``f`` and ``g`` (J,) the last
    ones, ``start`` (J,) prices, ``best`` (J,) the g of the smallest f. ``smallest``
    (1,) is that f's sup norm; ``counts`` are proposals, the next row of F, steps to
    wait, steps that are waited next time, and whether f and g are known and steps plain
    for good.
    """

    F: Floats
    G: Floats
    f: Floats
    g: Floats
    start: Floats
    best: Floats
    smallest: Floats
    counts: Integers


@exact
def new_past(start):
    """Remember where iteration starts."""
    n = start.size
    counts = np.zeros(6, np.int64)
    counts[PATIENT] = PATIENCE
    return SecantPast(
        np.zeros((DEPTH, n)),
        np.zeros((DEPTH, n)),
        np.zeros(n),
        np.zeros(n),
        start.copy(),
        np.zeros(n),
        np.full(1, math.inf),
        counts,
    )


@exact
def can_retry(past):
    """Tell whether the market goes elsewhere from where it fails."""
    return math.isfinite(past.smallest[0]) and past.counts[PLAIN] == 0


@exact
def bound_of(past):
    """Give the sup norm of f above which the market goes back."""
    if past.counts[WAIT] > 0 or past.counts[PLAIN] > 0:
        return math.inf
    return GROWTH * past.smallest[0]


@exact
def propose(past, before, moved, size, ahead):
    """Fill the prices to try next, ``(J,)``.

    ``before`` and ``moved`` (J,) are p_n and g(p_n), and ``size`` the sup norm of f_n,
    NaN where p_n was no good.
    """
    counts = past.counts
    counts[PROPOSED] += 1
    lost = math.isnan(size) and counts[WAIT] > 0
    anew = counts[PLAIN] == 0 and (lost or counts[PROPOSED] >= TRIALS)
    if anew:
        counts[PLAIN] = 1
    back = not size <= bound_of(past)
    if size < past.smallest[0]:
        past.smallest[0] = size
        past.best[:] = moved
    learn(past, before, moved, back)
    if back:
        counts[WAIT] = counts[PATIENT]
        counts[PATIENT] *= 2
    else:
        counts[WAIT] = max(counts[WAIT] - 1, 0)
    if anew:
        ahead[:] = past.start
    elif back:
        ahead[:] = past.best
    elif counts[WAIT] > 0 or counts[PLAIN] > 0:
        ahead[:] = moved
    else:
        fill_secant(past, before, moved, size, ahead)


@exact
def learn(past, before, moved, back):
    """Take the newest differences in; forget them where the market goes back."""
    fresh = past.counts[KNOWN] > 0 and not back
    place = past.counts[PLACE]
    if back:
        past.F[:] = 0.0
        past.G[:] = 0.0
    for j in range(before.size):
        f = moved[j] - before[j]
        past.F[place, j] = f - past.f[j] if fresh else 0.0
        past.G[place, j] = moved[j] - past.g[j] if fresh else 0.0
        past.f[j] = f
        past.g[j] = moved[j]
    past.counts[PLACE] = (place + 1) % DEPTH
    past.counts[KNOWN] = 0 if back else 1


@exact
def fill_secant(past, before, moved, size, ahead):
    """Fill g(p_n) - γ ΔG, cut where it is bold, or g(p_n) where it goes back on f_n."""
    gamma = secant_weights(past.F, past.f)
    combine_rows(gamma[0], past.G, ahead)
    length, most = sup_norm(ahead), BOLDNESS * size
    scale = most / length if length > most else 1.0
    along = 0.0
    for j in range(ahead.size):
        ahead[j] = moved[j] - scale * ahead[j]
        along += (ahead[j] - before[j]) * past.f[j]
    if not along > 0.0:
        ahead[:] = moved


@exact
def secant_weights(F, f):
    """Compute γ ``(1, DEPTH)``; rows that are not there are zero, and so is their γ."""
    A, length = np.empty((DEPTH, DEPTH)), np.empty(DEPTH)
    gamma = np.empty((1, DEPTH))
    for i in range(DEPTH):
        gamma[0, i] = dot(F[i], f)
        for j in range(i + 1):
            A[i, j] = A[j, i] = dot(F[i], F[j])
        length[i] = math.sqrt(A[i, i]) if A[i, i] > 0.0 else 1.0
    total = 0.0
    for i in range(DEPTH):
        gamma[0, i] /= length[i]
        total += gamma[0, i]
        for j in range(DEPTH):
            A[i, j] /= length[i] * length[j]
            total += A[i, j]
    for i in range(DEPTH):
        A[i, i] += 1.0 if A[i, i] == 0.0 else RIDGE
    if not math.isfinite(total) or not solve_general(A, gamma):
        gamma[:] = 0.0
    for i in range(DEPTH):
        gamma[0, i] /= length[i]
    return gamma


@reorder
def combine_rows(gamma, G, found):
    """Fill γ ΔG ``(J,)``."""
    for j in range(found.size):
        total = 0.0
        for i in range(gamma.size):
            total += gamma[i] * G[i, j]
        found[j] = total
