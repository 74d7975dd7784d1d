"""Say how much of an estimate is integration error.

Shares are integrals over tastes; a rule with I nodes gives s(δ, θ; nodes) instead of
s(δ, θ). At an estimate (θ̂, δ̂), whose shares equal the data's under the rule that was
used, another rule gives other shares and, with δ inverted again, another objective:

    e_j = s_j(δ̂, θ̂; other nodes) / S_j - 1,        q(θ̂; other nodes) - q(θ̂).

With fresh nodes of the same rule they show the rule's own noise, with a finer rule its
error (Judd and Skrainka 2011). An objective that moves by more than the fall that the
optimiser still looks for says that its minimum is one of the draws, not of the model.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ..driver.engine import Engine
from ..model.inversion import choose_backend
from ..partitions.cut import cut_blocks
from ..problem.demand_problem import DemandProblem
from ..records import JOINED, Floats, MarketBlock, Tastes


@dataclass(frozen=True, slots=True)
class ShareErrors:
    """Relative errors of shares under another rule.

    Attributes
    ----------
    largest, root_mean_square
        max_j |e_j| and the root of the mean of e_j².
    """

    largest: float
    root_mean_square: float


@dataclass(frozen=True, slots=True)
class Shares:
    """Shares of all blocks, joined in market order, ``(N,)``."""

    values: Floats = field(metadata=JOINED)


@dataclass(frozen=True, slots=True)
class ShareState:
    """θ, δ of all products in market order, and where each block's δ begins."""

    tastes: Tastes
    delta: Floats
    firsts: tuple[int, ...]
    backend: str


def share_errors(
    problem: DemandProblem,
    tastes: Tastes,
    delta: Floats,
    engine: Engine,
    backend: str = "numba",
) -> ShareErrors:
    """Compute e_j = s_j(δ, θ) / S_j - 1 under a problem's own agents.

    Parameters
    ----------
    problem
        Products with the agents of the other rule.
    tastes
        θ̂ as the kernels read it.
    delta
        ``(N,)`` δ̂ in the user's order.
    engine, backend
        Where and by what shares are computed.
    """
    blocks = cut_blocks(problem.tables)
    sizes = np.cumsum([0, *[block.n_products for block in blocks]])
    state = ShareState(tastes, delta[problem.order], tuple(sizes.tolist()), backend)
    placement = engine.place(blocks)
    try:
        shares: Shares = placement.reduce(shares_pass, state)
    finally:
        placement.close()
    errors = shares.values / np.exp(problem.tables.log_shares) - 1
    return ShareErrors(
        largest=float(np.abs(errors).max()),
        root_mean_square=float(np.sqrt(np.mean(errors**2))),
    )


def shares_pass(
    block: MarketBlock, state: ShareState, memory: object
) -> tuple[Shares, None]:
    """Compute a block's shares at given mean utilities."""
    del memory
    first = state.firsts[block.index]
    delta = state.delta[first : first + block.n_products]
    backend = choose_backend(state.backend)
    return Shares(backend.shares(block, state.tastes, delta)), None
