"""Small numerical kernels in plain loops: exponential, Cholesky, triangular solves.

The exponential is e^x = 2^k e^r with k = round(x / log 2) and |r| <= log(2) / 2, the
remainder by Cody and Waite's (1980) two-part log 2 and e^r by its Taylor polynomial of
degree 13 (truncation below 1e-17). Written in plain arithmetic, LLVM vectorises it,
which it does not do with the C library's scalar ``exp``.
"""

from __future__ import annotations

import math

import numba as nb
import numpy as np

#: Sums may be reordered and fused so that loops vectorise; NaN and infinity keep
#: their meaning, because a kernel reports them.
REORDER = {"contract", "reassoc", "nsz", "arcp"}
#: The same where what a loop says of NaN does not matter.
FINITE = {*REORDER, "nnan"}

_LOG2_HIGH = 6.93147180369123816490e-01
_LOG2_LOW = 1.90821492927058770002e-10
_INVERSE_LOG2 = 1.4426950408889634
#: Adding and subtracting 1.5 * 2**52 rounds to the nearest integer, and leaves that
#: integer in the low bits of the sum.
_ROUND = 6755399441055744.0
_LOWEST = -708.0
_HIGHEST = 709.0


@nb.njit(fastmath={"contract"}, nogil=True)
def exponential(x):
    """Compute e^x to one unit in the last place; below -708 it stays at e^-708."""
    x = min(max(x, _LOWEST), _HIGHEST)
    shifted = x * _INVERSE_LOG2 + _ROUND
    k = shifted - _ROUND
    r = (x - k * _LOG2_HIGH) - k * _LOG2_LOW
    p = 1.6059043836821613e-10
    p = p * r + 2.0876756987868099e-09
    p = p * r + 2.5052108385441719e-08
    p = p * r + 2.7557319223985891e-07
    p = p * r + 2.7557319223985893e-06
    p = p * r + 2.4801587301587302e-05
    p = p * r + 1.9841269841269841e-04
    p = p * r + 1.3888888888888889e-03
    p = p * r + 8.3333333333333332e-03
    p = p * r + 4.1666666666666664e-02
    p = p * r + 1.6666666666666666e-01
    p = p * r + 0.5
    p = p * r + 1.0
    p = p * r + 1.0
    bits = np.float64(p).view(np.int64) + (np.float64(shifted).view(np.int64) << 52)
    return np.int64(bits).view(np.float64)


@nb.njit(fastmath=REORDER, nogil=True)
def cholesky(a, lower):
    """Factor a = L L' row by row into ``lower``; False where a pivot is not positive.

    Parameters
    ----------
    a, lower : (J, J)
        Symmetric matrix, of which the lower triangle is read, and its factor.
    """
    n = a.shape[0]
    for i in range(n):
        for j in range(i + 1):
            dot = 0.0
            for k in range(j):
                dot += lower[i, k] * lower[j, k]
            rest = a[i, j] - dot
            if i == j:
                if not rest > 0.0:
                    return False
                lower[i, i] = math.sqrt(rest)
            else:
                lower[i, j] = rest / lower[j, j]
        for j in range(i + 1, n):
            lower[i, j] = 0.0
    return True


@nb.njit(fastmath=REORDER, nogil=True)
def solve_cholesky(lower, x):
    """Overwrite x by (L L')⁻¹ x.

    Parameters
    ----------
    lower : (J, J)
        Lower Cholesky factor.
    x : (J,)
        Right-hand side, then solution.
    """
    n = x.size
    for i in range(n):
        dot = 0.0
        for k in range(i):
            dot += lower[i, k] * x[k]
        x[i] = (x[i] - dot) / lower[i, i]
    for i in range(n - 1, -1, -1):
        x[i] /= lower[i, i]
        xi = x[i]
        for k in range(i):
            x[k] -= xi * lower[i, k]


@nb.njit(nogil=True)
def sup_norm(x):
    """Compute max_j |x_j|, which is NaN where any element is."""
    largest = 0.0
    for j in range(x.size):
        size = abs(x[j])
        if not size <= largest:
            largest = size
            if math.isnan(size):
                return size
    return largest


@nb.njit(nogil=True)
def solve_general(a, x):
    """Overwrite the rows of x by a⁻¹ x, by elimination with partial pivoting.

    Parameters
    ----------
    a : (J, J)
        Matrix, destroyed.
    x : (M, J)
        Right-hand sides, one a row, then solutions.

    Returns
    -------
    bool
        False where a pivot is zero or not finite.
    """
    n = a.shape[0]
    for c in range(n):
        pivot = c
        for i in range(c + 1, n):
            if abs(a[i, c]) > abs(a[pivot, c]):
                pivot = i
        if not abs(a[pivot, c]) > 0.0:
            return False
        for k in range(n):
            a[c, k], a[pivot, k] = a[pivot, k], a[c, k]
        for m in range(x.shape[0]):
            x[m, c], x[m, pivot] = x[m, pivot], x[m, c]
        for i in range(c + 1, n):
            multiple = a[i, c] / a[c, c]
            for k in range(c, n):
                a[i, k] -= multiple * a[c, k]
            for m in range(x.shape[0]):
                x[m, i] -= multiple * x[m, c]
    for i in range(n - 1, -1, -1):
        for m in range(x.shape[0]):
            dot = x[m, i]
            for k in range(i + 1, n):
                dot -= a[i, k] * x[m, k]
            x[m, i] = dot / a[i, i]
    return True
