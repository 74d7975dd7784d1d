"""Solve the linear systems of markets, where these have a solution that means anything.

A market's system A x = b is regular where A is finite and its condition is less than
the reciprocal of the rounding error; else its solution is NaN.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..records import Floats


def solve_regular(A: Floats, b: Floats) -> tuple[Floats, NDArray[np.bool_]]:
    """Solve systems side by side.

    Parameters
    ----------
    A, b
        ``(B, J, J)`` and ``(B, J, K)``.

    Returns
    -------
    tuple
        ``(B, J, K)`` solutions, NaN where there is none, and which systems have one.

    Examples
    --------
    >>> A = np.array([[[2.0]], [[0.0]], [[np.nan]]])
    >>> x, regular = solve_regular(A, np.ones((3, 1, 1)))
    >>> x.ravel().tolist(), regular.tolist()
    ([0.5, nan, nan], [True, False, False])
    """
    regular: NDArray[np.bool_] = np.asarray(np.isfinite(A).all(axis=(1, 2)))
    places = np.flatnonzero(regular)
    with np.errstate(all="ignore"):
        regular[places] = np.linalg.cond(A[places]) < 1 / np.finfo(np.float64).eps
    found: Floats = np.full_like(b, np.nan)
    found[regular] = np.linalg.solve(A[regular], b[regular])
    return found, regular
