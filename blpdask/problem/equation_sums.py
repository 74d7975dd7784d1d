"""Z'X of all equations side by side: Z_D'X1 and Z_S'X3 on the diagonal.

Instruments of one equation say nothing of the other's linear parameters, so that the
blocks off the diagonal are zero. Sums are as accurate as in twice the precision (see
:mod:`blpdask.kernels.loop_sums`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..kernels.sums import accurate_product
from ..records import Floats


def stacked_ZtX(sides: Sequence[tuple[Floats, Floats]]) -> Floats:
    """Compute Z'X of all equations, ``(M, K)`` long doubles.

    Parameters
    ----------
    sides
        For each equation Z ``(N, M_e)`` and X ``(N, K_e)``.

    Examples
    --------
    >>> one, two = np.ones((3, 1)), np.full((3, 1), 2.0)
    >>> stacked_ZtX([(one, one), (two, two)]).astype(float).tolist()
    [[3.0, 0.0], [0.0, 12.0]]
    """
    blocks = [_accurate_products(Z, X) for Z, X in sides]
    shape = sum(len(block) for block in blocks), sum(b.shape[1] for b in blocks)
    found = np.zeros(shape, blocks[0].dtype)
    row = column = 0
    for block in blocks:
        found[row : row + len(block), column : column + block.shape[1]] = block
        row, column = row + len(block), column + block.shape[1]
    return found


def _accurate_products(Z: Floats, X: Floats) -> Floats:
    """Compute Z'X, ``(M, K)`` long doubles."""
    if X.shape[1] == 0:
        return np.zeros((Z.shape[1], 0), np.longdouble)
    return np.column_stack([accurate_product(Z, x) for x in X.T])
