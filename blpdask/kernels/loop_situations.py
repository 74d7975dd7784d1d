"""Probabilities of a person's situations at 32 draws, in loops.

    P_ijt = e^{x̃_jt'β} / (1 + Σ_k e^{x̃_kt'β}),   ∂log P_it/∂β = -Σ_{j≠c} P_ijt x̃_jt,

with differences x̃ to the alternative c that was chosen. Situations are worked on some
at a time, as many as have :data:`HELD_ROWS` rows. Products of 1 / P_it are kept as a
mantissa in [1, 2) and an exponent of two, so that a logarithm is taken a draw and not a
situation.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from ..records import Floats, Integers
from .loop_compiler import exact, reorder
from .loop_market import exponentiate

#: Draws worked on at a time.
WIDTH = 32
#: Rows whose utilities are held at a time, or those of one situation.
HELD_ROWS = 128
#: Utilities up to this size are exponentiated as they are.
LARGE_UTILITY = 600.0
_MANTISSA = np.int64(0x000FFFFFFFFFFFFF)
_ONE = np.int64(0x3FF0000000000000)
_BIAS = np.int64(1023)


class DrawScratch(NamedTuple):
    """What is held of a person at ``WIDTH`` draws, the last axis of all arrays.

    ``z`` (D, WIDTH) draws; ``beta`` and ``plain`` (K, WIDTH) β and, where they are
    scaled, β before that; ``slopes`` (2 K, WIDTH) Σ_t ∂log P_it/∂β, then those by
    spreads of truncated coefficients, and ``shaped`` (2 K, WIDTH) h', then ∂h/∂s; K
    counts a scale that is no column's; ``U`` (rows, WIDTH) utilities, then
    probabilities;
    ``outside`` (situations, WIDTH) exponentiated utilities of what was chosen;
    ``highest``, ``total``, ``mantissas``, ``exponents``, ``logs`` and ``check``
    (WIDTH,), where what is not a number makes ``check`` NaN.
    """

    z: Floats
    beta: Floats
    plain: Floats
    shaped: Floats
    slopes: Floats
    U: Floats
    outside: Floats
    highest: Floats
    total: Floats
    mantissas: Floats
    exponents: Integers
    logs: Floats
    check: Floats


@exact
def make_scratch(situation_offsets, person_offsets, n_columns, K, D):
    """Make room for the largest person of a block, and for differences of columns."""
    largest = 0
    for i in range(person_offsets.size - 1):
        first, stop = person_offsets[i], person_offsets[i + 1]
        alternatives = situation_offsets[stop] - situation_offsets[first]
        largest = max(largest, alternatives - (stop - first))
    held = max(HELD_ROWS, np.diff(situation_offsets).max() - 1)
    scratch = DrawScratch(
        np.empty((D, WIDTH)),
        np.empty((K, WIDTH)),
        np.empty((K, WIDTH)),
        np.ones((2 * K, WIDTH)),
        np.zeros((2 * K, WIDTH)),
        np.empty((min(held, largest), WIDTH)),
        np.ones((np.diff(person_offsets).max(), WIDTH)),
        np.empty(WIDTH),
        np.empty(WIDTH),
        np.empty(WIDTH),
        np.empty(WIDTH, np.int64),
        np.empty(WIDTH),
        np.empty(WIDTH),
    )
    return scratch, np.empty((largest, n_columns))


@exact
def walk_situations(scratch, all_differences, starts, wanted):
    """Fill Σ_t log P_it, yet to be logarithms, and where ``wanted`` its slopes by β.

    ``starts`` (T + 1,) are the first rows of situations among ``all_differences``.
    """
    scratch.slopes[: scratch.beta.shape[0]] = 0.0
    scratch.logs[:] = 0.0
    scratch.mantissas[:] = 1.0
    scratch.exponents[:] = 0
    n_situations, room = starts.size - 1, scratch.U.shape[0]
    first = 0
    while first < n_situations:
        last = first + 1
        while last < n_situations and starts[last + 1] - starts[first] <= room:
            last += 1
        base, some = starts[first], starts[first : last + 1]
        differences = all_differences[base : starts[last]]
        U = scratch.U[: starts[last] - base]
        scratch.highest[:] = 0.0
        fill_utilities(differences, scratch.beta, U, scratch.highest)
        shifted = scratch.highest.max() > LARGE_UTILITY
        if shifted:
            shift_utilities(U, some, base, scratch.outside, scratch.logs)
        exponentiate(U.reshape(U.size))
        fill_probabilities(
            U,
            some,
            base,
            scratch.outside,
            scratch.total,
            scratch.mantissas,
            scratch.exponents,
            scratch.check,
        )
        if shifted:
            scratch.outside[:] = 1.0
        if wanted:
            add_slopes(differences, U, scratch.slopes)
        first = last


@reorder
def fill_utilities(differences, beta, U, highest):
    """Fill x̃'β ``(rows, WIDTH)`` and raise ``highest`` to the highest of each draw."""
    K = differences.shape[1]
    tripled = K - K % 3
    for n in range(differences.shape[0]):
        u, x = U[n], differences[n]
        for r in range(WIDTH):
            u[r] = 0.0
        for k in range(0, tripled, 3):
            b0, b1, b2 = beta[k], beta[k + 1], beta[k + 2]
            x0, x1, x2 = x[k], x[k + 1], x[k + 2]
            for r in range(WIDTH):
                u[r] += x0 * b0[r] + x1 * b1[r] + x2 * b2[r]
        for k in range(tripled, K):
            b0, x0 = beta[k], x[k]
            for r in range(WIDTH):
                u[r] += x0 * b0[r]
        for r in range(WIDTH):
            highest[r] = u[r] if u[r] > highest[r] else highest[r]


@exact
def shift_utilities(U, starts, base, outside, logs):
    """Subtract each situation's highest utility m, at least that chosen, which is 0.

    e^-m of the chosen goes into ``outside`` ``(situations, WIDTH)``, -m is added to
    ``logs`` ``(WIDTH,)``.
    """
    for t in range(starts.size - 1):
        for r in range(WIDTH):
            highest = 0.0
            for n in range(starts[t] - base, starts[t + 1] - base):
                highest = U[n, r] if U[n, r] > highest else highest
            for n in range(starts[t] - base, starts[t + 1] - base):
                U[n, r] -= highest
            outside[t, r] = math.exp(-highest)
            logs[r] -= highest


@reorder
def fill_probabilities(U, starts, base, outside, total, mantissas, exponents, check):
    """Overwrite exponentiated utilities by P_ijt and multiply up 1 / P_it.

    A product is a mantissa in [1, 2) times two to an exponent, ``(WIDTH,)`` each. What
    is not a number is told by ``check``, which it makes NaN.
    """
    for t in range(starts.size - 1):
        first, stop = starts[t] - base, starts[t + 1] - base
        o = outside[t]
        for r in range(WIDTH):
            total[r] = o[r]
        for n in range(first, stop):
            e = U[n]
            for r in range(WIDTH):
                total[r] += e[r]
        for r in range(WIDTH):
            product = mantissas[r] * total[r]
            bits = np.float64(product).view(np.int64)
            exponents[r] += (bits >> 52) - _BIAS
            mantissas[r] = np.int64((bits & _MANTISSA) | _ONE).view(np.float64)
            total[r] = 1.0 / total[r]
            check[r] += 0.0 * total[r]
        for n in range(first, stop):
            e = U[n]
            for r in range(WIDTH):
                e[r] *= total[r]


@reorder
def add_slopes(differences, P, slopes):
    """Subtract Σ_n P_nr x̃_nk from ``slopes`` ``(K, WIDTH)``."""
    rows = differences.shape[0]
    fours = rows - rows % 4
    for k in range(differences.shape[1]):
        g = slopes[k]
        for n in range(0, fours, 4):
            p0, p1, p2, p3 = P[n], P[n + 1], P[n + 2], P[n + 3]
            x0, x1 = differences[n, k], differences[n + 1, k]
            x2, x3 = differences[n + 2, k], differences[n + 3, k]
            for r in range(WIDTH):
                g[r] -= x0 * p0[r] + x1 * p1[r] + x2 * p2[r] + x3 * p3[r]
        for n in range(fours, rows):
            p0, x0 = P[n], differences[n, k]
            for r in range(WIDTH):
                g[r] -= x0 * p0[r]
