"""Small numerical kernels in plain loops: exponential, Cholesky, triangular solves.

The exponential is e^x = 2^k e^r with k = round(x / log 2) and |r| <= log(2) / 2, the
remainder by Cody and Waite's (1980) two-part log 2 and e^r by its Taylor polynomial of
degree 13 (truncation below 1e-17). Written in plain arithmetic, LLVM vectorises it,
which it does not do with the C library's scalar ``exp``.
"""

from __future__ import annotations

import math

import numpy as np

from .loop_blas import factor_in_place, solve_rows
from .loop_compiler import exact, fused, reorder

_LOG2_HIGH = 6.93147180369123816490e-01
_LOG2_LOW = 1.90821492927058770002e-10
_INVERSE_LOG2 = 1.4426950408889634
#: Adding and subtracting 1.5 * 2**52 rounds to the nearest integer, and leaves that
#: integer in the low bits of the sum.
_ROUND = 6755399441055744.0
#: Size from which LAPACK's factorisation beats plain loops.
LAPACK_SIZE = 16
_LOWEST = -708.0
_HIGHEST = 709.0


@fused
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


@fused
def power_of_two(x):
    """Compute 2^x to one unit in the last place, for |x| <= 1020.

    2^x = 2^k 2^r with k = round(x), and 2^r by the polynomial of degree 11 whose
    largest relative error where |r| <= 1/2 is the smallest, 3.6e-18.
    """
    shifted = x + _ROUND
    r = x - (shifted - _ROUND)
    p = 4.4362991643248826e-10
    p = p * r + 7.073582034082531e-09
    p = p * r + 1.0178184699874108e-07
    p = p * r + 1.3215436594911127e-06
    p = p * r + 1.5252733546724749e-05
    p = p * r + 0.00015403530454091444
    p = p * r + 0.0013333558146686293
    p = p * r + 0.009618129107596967
    p = p * r + 0.05550410866482074
    p = p * r + 0.24022650695910122
    p = p * r + 0.6931471805599453
    p = p * r + 1.0
    bits = np.float64(p).view(np.int64) + (np.float64(shifted).view(np.int64) << 52)
    return np.int64(bits).view(np.float64)


@exact
def cholesky(a, lower):
    """Factor a = L L' into ``lower``; False where a is not positive definite.

    Parameters
    ----------
    a, lower : (J, J)
        Symmetric matrix, of which the lower triangle is read, and its factor, zero
        above the diagonal.
    """
    n = a.shape[0]
    for i in range(n):
        for j in range(n):
            lower[i, j] = a[i, j] if j <= i else 0.0
    if n >= LAPACK_SIZE:
        return factor_in_place(lower)
    return factor_in_loops(lower)


@reorder
def factor_in_loops(lower):
    """Overwrite the lower triangle of a small matrix by its Cholesky factor."""
    for i in range(lower.shape[0]):
        for j in range(i + 1):
            rest = lower[i, j]
            for k in range(j):
                rest -= lower[i, k] * lower[j, k]
            if i == j:
                if not rest > 0.0:
                    return False
                lower[i, i] = math.sqrt(rest)
            else:
                lower[i, j] = rest / lower[j, j]
    return True


@exact
def solve_cholesky_rows(lower, rows):
    """Overwrite each row x of rows (M, J) by (L L')⁻¹ x."""
    if lower.shape[0] >= LAPACK_SIZE:
        solve_rows(lower, rows)
    else:
        for m in range(rows.shape[0]):
            solve_cholesky(lower, rows[m])


@reorder
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


@exact
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


@exact
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


@reorder
def factor_general(a, swaps):
    """Overwrite a (J, J) by its factors L and U, with partial pivoting.

    Fills ``swaps`` (J,) with the row that each row changed places with; False where a
    pivot is zero or not a number.
    """
    n = a.shape[0]
    for c in range(n):
        pivot = c
        for i in range(c + 1, n):
            if abs(a[i, c]) > abs(a[pivot, c]):
                pivot = i
        if not abs(a[pivot, c]) > 0.0:
            return False
        swaps[c] = pivot
        for k in range(n):
            a[c, k], a[pivot, k] = a[pivot, k], a[c, k]
        top = a[c]
        for i in range(c + 1, n):
            row = a[i]
            multiple = row[c] / top[c]
            row[c] = multiple
            for k in range(c + 1, n):
                row[k] -= multiple * top[k]
    return True


@reorder
def solve_factored(a, swaps, x):
    """Overwrite x (J,) by the solution, of what :func:`factor_general` left."""
    n = x.size
    for c in range(n):
        x[c], x[swaps[c]] = x[swaps[c]], x[c]
    for i in range(n):
        row, found = a[i], 0.0
        for k in range(i):
            found += row[k] * x[k]
        x[i] -= found
    for i in range(n - 1, -1, -1):
        row, found = a[i], 0.0
        for k in range(i + 1, n):
            found += row[k] * x[k]
        x[i] = (x[i] - found) / row[i]


@reorder
def add_multiple(y, a, x):
    """Add a x to y, all of one length."""
    for j in range(y.size):
        y[j] += a * x[j]


@reorder
def multiply(y, a):
    """Multiply y by the number a."""
    for j in range(y.size):
        y[j] *= a


@reorder
def dot(x, y):
    """Compute x'y."""
    found = 0.0
    for j in range(x.size):
        found += x[j] * y[j]
    return found


@reorder
def total(x):
    """Sum the elements of x."""
    found = 0.0
    for j in range(x.size):
        found += x[j]
    return found
