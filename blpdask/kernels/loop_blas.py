"""Routines of BLAS and LAPACK, callable from compiled loops.

Numba's own linear algebra allocates, raises, and computes both halves of P'P. These are
the routines themselves: their addresses are SciPy's, registered under names of their
own, so that loops kept on disk find them again in another process.

LAPACK stores columns first. A contiguous matrix here is its transpose there: the lower
triangle is LAPACK's upper one, and right-hand sides are rows.
"""

from __future__ import annotations

import llvmlite.binding
import numpy as np
from numba.core import types
from numba.extending import get_cython_function_address

from .loop_compiler import exact


def _routine(module: str, name: str, n_arguments: int) -> types.ExternalFunction:
    """Register a routine of SciPy's under a name and declare it; all are pointers."""
    symbol = f"blpdask_{name}"
    address = get_cython_function_address(f"scipy.linalg.{module}", name)
    llvmlite.binding.add_symbol(symbol, address)
    return types.ExternalFunction(symbol, types.void(*[types.voidptr] * n_arguments))


_dsyrk = _routine("cython_blas", "dsyrk", 10)
_dpotrf = _routine("cython_lapack", "dpotrf", 5)
_dpotrs = _routine("cython_lapack", "dpotrs", 8)
_UPPER = ord("U")
_PLAIN = ord("N")


@exact
def add_gram_lower(rows, total):
    """Add the lower triangle of rows' rows to that of ``total``.

    ``rows`` (n, J) and ``total`` (J, J) are contiguous; what is above the diagonal of
    ``total`` is left as it is.
    """
    letters = np.array([_UPPER, _PLAIN], np.uint8)
    sizes = np.array([rows.shape[1], rows.shape[0]], np.int32)
    ones = np.ones(1)
    _dsyrk(
        letters.ctypes,
        letters[1:].ctypes,
        sizes.ctypes,
        sizes[1:].ctypes,
        ones.ctypes,
        rows.ctypes,
        sizes.ctypes,
        ones.ctypes,
        total.ctypes,
        sizes.ctypes,
    )


@exact
def factor_in_place(a):
    """Overwrite the lower triangle of a (J, J) by its Cholesky factor.

    False where it is not positive definite. What is above the diagonal stays.
    """
    letter = np.array([_UPPER], np.uint8)
    sizes = np.array([a.shape[0], 0], np.int32)
    _dpotrf(letter.ctypes, sizes.ctypes, a.ctypes, sizes.ctypes, sizes[1:].ctypes)
    return sizes[1] == 0


@exact
def solve_rows(lower, rows):
    """Overwrite each row x of rows (M, J) by (L L')⁻¹ x."""
    letter = np.array([_UPPER], np.uint8)
    sizes = np.array([lower.shape[0], rows.shape[0], 0], np.int32)
    _dpotrs(
        letter.ctypes,
        sizes.ctypes,
        sizes[1:].ctypes,
        lower.ctypes,
        sizes.ctypes,
        rows.ctypes,
        sizes.ctypes,
        sizes[2:].ctypes,
    )
