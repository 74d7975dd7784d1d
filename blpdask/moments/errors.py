"""Structural errors of a block, given b and the levels of absorbed effects.

With α_e the levels of effect e, found over all blocks, and e(j) the group of row j, the
equations of demand and, where there is one, of supply are

    δ_j = x1_j'β + ξ_fe,j + ξ_j,     c̃_j = x3_j'γ + ω_fe,j + ω_j,
    ξ_fe,j = Σ_e α_e[e(j)],          ω_fe,j likewise,
    ∂u_j/∂θ = ∂y_j/∂θ - (x_jk for every b_k in θ)      at given b and α

(Berry 1994; Berry, Levinsohn and Pakes 1995; Nevo 2000, appendix). A block gathers what
belongs to its rows: nothing as long as the data leaves it, unless the rows themselves
are asked for.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..model.inversion import InversionMemory
from ..model.linear_places import LinearPlaces
from ..records import Equation, Floats, Integers, LinearRows, MarketBlock
from .grouped_sums import errors_of, subtract_levels


@dataclass(frozen=True, slots=True, eq=False)
class EquationState:
    """b and the absorbed levels of one equation.

    Attributes
    ----------
    b
        ``(K,)`` β or γ.
    levels
        For each absorbed effect, ``(G_e, 1)`` α_e.
    """

    b: Floats
    levels: tuple[Floats, ...]


@dataclass(frozen=True, slots=True, eq=False)
class ErrorState:
    """What all equations' errors depend on, as sent to every block."""

    equations: tuple[EquationState, ...]


@dataclass(frozen=True, slots=True, eq=False)
class RowState:
    """What the rows of a block depend on: errors' state, and where b is in θ."""

    errors: ErrorState
    places: LinearPlaces


@dataclass(frozen=True, slots=True, eq=False)
class EquationRows:
    """What is as long as the data, of one equation in a block.

    Attributes
    ----------
    y, u, effects
        ``(N, 1)`` with y = X b + effects + u.
    u_by_theta
        ``(N, P)`` ∂u/∂θ given b and α.
    clipped
        ``(N, 1)`` whether y was set to a bound.
    """

    y: Floats
    u: Floats
    effects: Floats
    u_by_theta: Floats
    clipped: NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class BlockRows:
    """A block's rows.

    Attributes
    ----------
    rows
        ``(N,)`` places of the block's rows among the rows that the user gave.
    equations
        Demand's, with y = δ and u = ξ, then supply's, with y = c̃ and u = ω.
    """

    rows: Integers
    equations: tuple[EquationRows, ...]


@dataclass(frozen=True, slots=True, eq=False)
class EquationErrors:
    """y, u and fixed effects of one equation in a block, ``(N, 1)`` each."""

    y: Floats
    u: Floats
    effects: Floats


@dataclass(frozen=True, slots=True, eq=False)
class BlockErrors:
    """Errors of all equations, with the linear rows they come from."""

    equations: tuple[EquationErrors, ...]
    linear: LinearRows


def rows_pass(
    block: MarketBlock, state: RowState, memory: InversionMemory
) -> tuple[BlockRows, None]:
    """Give a block's y, u, effects and ∂u/∂θ at the evaluation that it remembers."""
    errors = block_errors(block, state.errors, memory)
    by_theta = (memory.delta_by_theta, memory.costs_by_theta)
    slopes = state.places.spread(by_theta[: len(errors.equations)])
    rows = []
    for e, (found, y_by_theta) in enumerate(zip(errors.equations, slopes, strict=True)):
        clipped = np.zeros(block.n_products, np.bool_)
        if e and memory.clipped is not None:
            clipped = memory.clipped
        columns = state.places.columns_of(e, errors.linear.equations[e].X)
        rows.append(
            EquationRows(
                y=found.y,
                u=found.u,
                effects=found.effects,
                u_by_theta=y_by_theta - columns,
                clipped=clipped[:, None],
            )
        )
    return BlockRows(errors.linear.rows, tuple(rows)), None


def block_errors(
    block: MarketBlock, state: ErrorState, memory: InversionMemory
) -> BlockErrors:
    """Split y - X b of a block's equations into u and fixed effects."""
    assert block.linear is not None
    # Rows at rest are read once.
    linear = block.linear()
    ys = (memory.delta, memory.costs)[: len(linear.equations)]
    return BlockErrors(
        tuple(
            _errors(y, equation, one)
            for y, equation, one in zip(
                ys, linear.equations, state.equations, strict=True
            )
        ),
        linear,
    )


def _errors(
    y: Floats | None, equation: Equation, state: EquationState
) -> EquationErrors:
    """Split y - X b of one equation."""
    assert y is not None
    # Where a search ended in failure, errors may be beyond range.
    with np.errstate(over="ignore", invalid="ignore"):
        both = errors_of(y, equation, state.b)
        u = subtract_levels(both, equation.effects, state.levels)
        return EquationErrors(y[:, None], u, both - u)
