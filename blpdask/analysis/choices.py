"""What people choose at given utilities, and which utilities make them choose the data.

    s(δ, x2),   P_ij(δ, x2),   δ: s(δ, x2) = S,

with the problem's agents, or with those that were put in their place.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from ..model.inversion import InversionMemory, Iterate, simulate_shares
from ..model.probabilities import choice_probabilities
from ..model.responses import RespondingMarkets
from ..moments.demand import DemandState, invert_block
from ..records import (
    JOINED,
    Floats,
    Integers,
    InversionControls,
    Tastes,
    TrialPrices,
)
from .economy import Economy


@dataclass(frozen=True, slots=True)
class ChoiceState:
    """θ, by which kernels choices are computed, and columns of probabilities."""

    tastes: Tastes
    backend: str
    width: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Chosen:
    """Of blocks, ``(N, …)``: shares, or probabilities of agents."""

    values: Floats = field(metadata=JOINED)


@dataclass(frozen=True, slots=True, eq=False)
class InvertedShares:
    """Mean utilities ``(N,)`` of blocks, and ``(T,)`` how each market ended."""

    delta: Floats = field(metadata=JOINED)
    status: Integers = field(metadata=JOINED)


def shares_at(economy: Economy, trial: TrialPrices) -> Floats:
    """Compute shares at utilities of the rows, ``(n,)``."""
    state = ChoiceState(economy.tastes, economy.backend)
    found: Chosen = economy.reduce(economy.blocks(trial), shares_pass, state)
    return found.values


def probabilities_at(economy: Economy, trial: TrialPrices) -> Floats:
    """Compute probabilities of agents at utilities of the rows.

    Parameters
    ----------
    economy
        At its parameters.
    trial
        Utilities of all rows.

    Returns
    -------
    array
        ``(n, max I)``, NaN beyond a market's agents.
    """
    width = int(economy.agent_counts.max())
    state = ChoiceState(economy.tastes, economy.backend, width)
    found: Chosen = economy.reduce(economy.blocks(trial), probabilities_pass, state)
    return found.values


def inverted_shares(
    economy: Economy, controls: InversionControls, iterate: Iterate | None
) -> InvertedShares:
    """Solve s(δ) = S from δ̂ on.

    Parameters
    ----------
    economy
        At its parameters.
    controls, iterate
        How to invert, and a routine from outside that does, or None.
    """
    state = DemandState(
        theta=np.empty(0),
        tastes=economy.tastes,
        controls=replace(controls, derivatives=False),
        backend=economy.backend,
        iterate=iterate,
        keep_factor=False,
    )
    blocks = economy.blocks(economy.at(None))
    found: InvertedShares = economy.reduce(blocks, inversion_pass, state)
    return found


def shares_pass(
    block: RespondingMarkets, state: ChoiceState, memory: None
) -> tuple[Chosen, None]:
    """Compute a block's shares: what an engine maps over blocks."""
    del memory
    markets, trial = block.markets, block.trial
    shares = simulate_shares(
        replace(markets, X2=trial.X2),
        state.tastes,
        markets.epsilon_scale * trial.delta,
        backend=state.backend,
    )
    return Chosen(shares), None


def probabilities_pass(
    block: RespondingMarkets, state: ChoiceState, memory: None
) -> tuple[Chosen, None]:
    """Compute probabilities of a block's agents: what an engine maps over blocks."""
    del memory
    markets = replace(block.markets, X2=block.trial.X2)
    found = np.full((markets.n_products, state.width), np.nan)
    own = choice_probabilities(markets, state.tastes, block.trial.delta)
    found[:, : own.shape[1]] = own
    return Chosen(found), None


def inversion_pass(
    block: RespondingMarkets, state: DemandState, memory: None
) -> tuple[InvertedShares, None]:
    """Invert a block's shares: what an engine maps over blocks."""
    del memory
    nothing = np.empty(0)
    start = InversionMemory(
        theta=None,
        delta=block.markets.epsilon_scale * block.trial.delta,
        delta_by_theta=np.empty((block.markets.n_products, 0)),
        factor=nothing,
    )
    found = invert_block(block.markets, state, start)
    return InvertedShares(found.delta, found.status), None
