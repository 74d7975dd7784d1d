"""Structural errors of a block, given β and the levels of absorbed effects.

With α_e the levels of effect e, found over all blocks, and e(j) the group of row j,

    δ_j = x1_j'β + ξ_fe,j + ξ_j,     ξ_fe,j = Σ_e α_e[e(j)],
    ∂ξ_j/∂θ = (∂δ_j/∂θ, -x1_jk for every β_k in θ)        at given β and α

(Berry 1994; Nevo 2000, appendix). A block gathers what belongs to its rows: nothing as
long as the data leaves it, unless the rows themselves are asked for.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..model.inversion import InversionMemory
from ..records import Floats, HeldRows, Integers, LinearRows, MarketBlock
from .grouped_sums import columns_of, subtract_levels


@dataclass(frozen=True, slots=True, eq=False)
class ErrorState:
    """β and the absorbed levels, as sent to every block.

    Attributes
    ----------
    beta
        ``(K1,)``.
    levels
        For each absorbed effect, ``(G_e, 1)`` α_e.
    """

    beta: Floats
    levels: tuple[Floats, ...]


@dataclass(frozen=True, slots=True, eq=False)
class RowState:
    """What the rows of a block depend on: ξ's state, and the columns of β in θ.

    Attributes
    ----------
    errors
        β and the absorbed levels.
    beta_columns
        ``(P_β,)`` columns of X1 whose parameters are in θ, after those of Σ and Π.
    """

    errors: ErrorState
    beta_columns: Integers


@dataclass(frozen=True, slots=True, eq=False)
class BlockRows:
    """What is as long as the data, of one block.

    Attributes
    ----------
    rows
        ``(N,)`` places of the block's rows among the rows that the user gave.
    delta, xi, xi_fe
        ``(N, 1)``.
    xi_by_theta
        ``(N, P)`` ∂ξ/∂θ given β and α.
    """

    rows: Integers
    delta: Floats
    xi: Floats
    xi_fe: Floats
    xi_by_theta: Floats


@dataclass(frozen=True, slots=True, eq=False)
class BlockErrors:
    """ξ and ξ_fe of a block, ``(N, 1)`` each, with the linear rows they come from."""

    xi: Floats
    xi_fe: Floats
    linear: LinearRows


def rows_pass(
    block: MarketBlock, state: RowState, memory: InversionMemory
) -> tuple[BlockRows, None]:
    """Give a block's δ, ξ, ξ_fe and ∂ξ/∂θ at the evaluation that it remembers."""
    errors = block_errors(block, state.errors, memory)
    linear_slopes = -errors.linear.X1[:, state.beta_columns]
    record = BlockRows(
        rows=errors.linear.rows,
        delta=memory.delta[:, None],
        xi=errors.xi,
        xi_fe=errors.xi_fe,
        xi_by_theta=np.hstack([memory.delta_by_theta, linear_slopes]),
    )
    return record, None


def block_errors(
    block: MarketBlock, state: ErrorState, memory: InversionMemory
) -> BlockErrors:
    """Split δ - X1 β of a block into ξ and ξ_fe."""
    assert block.linear is not None
    linear = block.linear()
    # Rows at rest are read once.
    held = replace(block, linear=HeldRows(linear))
    # Where a search ended in failure, errors may be beyond range.
    with np.errstate(over="ignore", invalid="ignore"):
        both = columns_of(held, "errors", state.beta, memory)
        xi = subtract_levels(both, linear.effects, state.levels)
        return BlockErrors(xi, both - xi, linear)
