"""How shares of a block's markets respond: to a characteristic, or to a product's end.

With x a characteristic, prices, or δ itself, the responses of a market are

    ∂s_j/∂x_k = Σ_i w_i ∂P_ij/∂V_ik ∂u_ik/∂x_k,

and where j is gone they are what each k gains, Σ_i w_i (P_ik^-j - P_ik), the outside
option's gain being on the diagonal (:mod:`blpdask.kernels.contract`). Elasticities
are ∂s_j/∂x_k x_k / s_j, diversion ratios -∂s_k/∂x_j / ∂s_j/∂x_j, and long-run ones
shares of s_j that k gains (Conlon and Mortimer 2021).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from ..records import (
    JOINED,
    Floats,
    InversionControls,
    MarketBlock,
    Tastes,
    TrialPrices,
)
from .agent_types import weigh_types
from .inversion import choose_backend


@dataclass(frozen=True, slots=True, eq=False)
class RespondingMarkets:
    """A block of markets, and where and to what they respond: what an engine places.

    Attributes
    ----------
    markets
        With their agents.
    trial
        δ and X2 there, over the scale of the extreme-value errors, and how utilities
        move with x. Its prices are not used; for δ itself alpha is one and no column of
        X2 moves.
    room
        ``(F,)`` where responses are put, an array of who asks in this process; None
        where the record has them.
    """

    markets: MarketBlock
    trial: TrialPrices
    room: Floats | None = None


@dataclass(frozen=True, slots=True)
class ResponseState:
    """What is sent to every block.

    Attributes
    ----------
    tastes
        θ.
    removed
        Whether products are removed, one at a time; else x is moved.
    backend
        ``numba``, ``numpy`` or ``cupy``.
    scratch_bytes
        Bound on the cache of probabilities.
    """

    tastes: Tastes
    removed: bool = False
    backend: str = "numba"
    scratch_bytes: int = InversionControls().scratch_bytes


@dataclass(frozen=True, slots=True, eq=False)
class Responses:
    """Responses of blocks, in market order.

    Attributes
    ----------
    values
        ``(F,)`` ∂s_j/∂x_k, or what k gains where j is gone, as [j, k], row-major,
        market after market (F = Σ J_t²); none where the block had room for them.
    shares
        ``(N,)`` s.
    """

    values: Floats = field(metadata=JOINED)
    shares: Floats = field(metadata=JOINED)


def responses_pass(
    block: RespondingMarkets, state: ResponseState, memory: None = None
) -> tuple[Responses, None]:
    """Compute how a block's shares respond: what an engine maps over blocks.

    Examples
    --------
    Two products with shares of a quarter each, one agent who minds nothing else:

    >>> import numpy as np
    >>> none, one, two = np.empty((2, 0)), np.array([0, 1]), np.array([0, 2])
    >>> delta = np.log([0.5, 0.5])
    >>> market = MarketBlock(
    ...     0, 0, two, one, none.T, delta, delta, none[:1], np.ones(1), none
    ... )
    >>> tastes = Tastes(np.empty((0, 0)), *np.empty((3, 0), np.int64))
    >>> trial = TrialPrices(delta, delta, np.ones(2), none.T, none.T, np.arange(0))
    >>> gone = ResponseState(tastes, removed=True, backend="numpy")
    >>> found, _ = responses_pass(RespondingMarkets(market, trial), gone)
    >>> found.values.reshape(2, 2).round(4).tolist(), found.shares.tolist()
    ([[0.1667, 0.0833], [0.0833, 0.1667]], [0.25, 0.25])
    """
    del memory
    kernels, tastes, trial = choose_backend(state.backend), state.tastes, block.trial
    markets = weigh_types(block.markets, tastes)
    if trial.X2 is not markets.X2:
        markets = replace(markets, X2=trial.X2)
    if state.removed:
        values, shares = kernels.removals(
            markets, tastes, trial.delta, state.scratch_bytes, block.room
        )
    else:
        values, shares = kernels.jacobians(
            markets, tastes, trial, state.scratch_bytes, block.room
        )
    return Responses(values if block.room is None else values[:0], shares), None
