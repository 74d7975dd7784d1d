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
from ..model.inversion import simulate_shares
from ..problem.prepared import PreparedDemand
from ..records import JOINED, Floats, MarketBlock, Tastes

_DELTA = "delta at the estimates"


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


@dataclass(frozen=True, slots=True, eq=False)
class ShareErrorSums:
    """What a block adds to the errors of shares.

    Attributes
    ----------
    squares
        Σ_j e_j².
    largest
        ``(B,)`` max_j |e_j|, one a block.
    """

    squares: float
    largest: Floats = field(metadata=JOINED)


@dataclass(frozen=True, slots=True)
class ShareState:
    """θ̂ as the kernels read it, and by which backend shares are computed."""

    tastes: Tastes
    backend: str


def share_errors(
    problem: PreparedDemand,
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
        ``(N,)`` δ̂ in the order of markets.
    engine, backend
        Where and by what shares are computed.
    """
    placement = engine.place(problem.source)
    try:
        parts = np.split(delta, np.cumsum(problem.block_sizes)[:-1])
        placement.remember(_DELTA, parts)
        sums: ShareErrorSums = placement.reduce(
            share_errors_pass, ShareState(tastes, backend), anchor=_DELTA
        )
    finally:
        placement.close()
    return ShareErrors(
        largest=float(sums.largest.max()),
        root_mean_square=float(np.sqrt(sums.squares / problem.n_products)),
    )


def share_errors_pass(
    block: MarketBlock, state: ShareState, delta: Floats
) -> tuple[ShareErrorSums, None]:
    """Sum the errors of a block's shares at the mean utilities it remembers."""
    shares = simulate_shares(block, state.tastes, delta, backend=state.backend)
    errors = shares / np.exp(block.log_shares) - 1
    largest = np.abs(errors).max(keepdims=True)
    return ShareErrorSums(float(errors @ errors), largest), None
