"""The symmetric rank-k update of BLAS, callable from compiled loops.

Numba's ``np.dot`` computes all of P'P; BLAS's ``dsyrk`` computes half of it and adds to
what is there. Its address is SciPy's, registered under a name of its own, so that loops
kept on disk find it again in another process.
"""

from __future__ import annotations

import llvmlite.binding
import numba as nb
import numpy as np
from numba.core import types
from numba.extending import get_cython_function_address

_SYMBOL = "blpdask_dsyrk"
llvmlite.binding.add_symbol(
    _SYMBOL, get_cython_function_address("scipy.linalg.cython_blas", "dsyrk")
)
_POINTER = types.voidptr
_dsyrk = types.ExternalFunction(_SYMBOL, types.void(*[_POINTER] * 10))
_UPPER = ord("U")
_PLAIN = ord("N")


@nb.njit(nogil=True)
def add_gram_lower(rows, total):
    """Add the lower triangle of rows' rows to that of ``total``.

    Parameters
    ----------
    rows : (n, J)
        Contiguous.
    total : (J, J)
        Contiguous; what is above the diagonal is left as it is.

    Notes
    -----
    BLAS stores columns first: there, ``rows`` is its transpose (J, n), and the lower
    triangle is the upper one.
    """
    letters = np.array([_UPPER, _PLAIN], np.uint8)
    sizes = np.array([rows.shape[1], rows.shape[0]], np.int32)
    ones = np.ones(1)
    _dsyrk(
        letters[0:].ctypes,
        letters[1:].ctypes,
        sizes[0:].ctypes,
        sizes[1:].ctypes,
        ones.ctypes,
        rows.ctypes,
        sizes[0:].ctypes,
        ones.ctypes,
        total.ctypes,
        sizes[0:].ctypes,
    )
