"""What tells the coefficients of characteristics apart: their spread within situations.

    V_x = Σ_s Σ_{j ∈ C_s} (x_sj - x̄_s)(x_sj - x̄_s)',

which is singular where a combination of characteristics is the same for all
alternatives of every situation: the likelihood does not know its coefficient.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..choice_records import ChoiceBlock
from ..records import Floats, Integers


@dataclass(frozen=True, slots=True, eq=False)
class AttributeSums:
    """What a block adds.

    Attributes
    ----------
    squares
        ``(K, K)`` V_x.
    differs
        ``(K,)`` situations in which a characteristic differs between alternatives.
    rows
        Alternatives, N.
    """

    squares: Floats
    differs: Integers
    rows: int


def attributes_pass(
    block: ChoiceBlock, state: None, memory: None
) -> tuple[AttributeSums, None]:
    """Sum squares and products of characteristics less averages of situations."""
    del state, memory
    X, firsts = block.X, block.situation_offsets[:-1]
    sizes = np.diff(block.situation_offsets)
    averages = np.add.reduceat(X, firsts, axis=0) / sizes[:, None]
    within = X - np.repeat(averages, sizes, axis=0)
    highest = np.maximum.reduceat(X, firsts, axis=0)
    differs = highest != np.minimum.reduceat(X, firsts, axis=0)
    found = AttributeSums(
        squares=within.T @ within, differs=differs.sum(axis=0), rows=len(X)
    )
    return found, None
