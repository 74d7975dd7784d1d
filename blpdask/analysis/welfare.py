"""What markets are worth to consumers, and how concentrated they are.

Where utility is linear in prices, with the same slope α_i for all products, surplus is

    CS_i = ε log(1 + Σ_h e^{I_ih / ε}) / -α_i,       CS = Σ_i w_i CS_i

(Small and Rosen 1981), with ε the scale of the extreme-value errors, and without nests
log(1 + Σ_j e^{V_ij / ε}). α_i is that of each market's first product. Concentration is

    HHI = 10,000 Σ_f (Σ_{j∈f} s_j / Σ_j s_j)²,

of shares in what is sold, so that it is 10,000 where one firm sells everything.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..model.agent_types import weigh_types
from ..model.price_slopes import first_slopes
from ..model.responses import RespondingMarkets
from ..model.surplus import inclusive_values
from ..partitions.source import HeldBlocks
from ..records import JOINED, Floats, Integers, Tastes, TrialPrices
from .economy import Economy

#: How far slopes of one market's products may differ by rounding alone.
_ROUNDING = 1e-10


@dataclass(frozen=True, slots=True, eq=False)
class PricedChoices:
    """A block of markets where surplus is asked for: what an engine places.

    Attributes
    ----------
    at
        The markets, and utilities and their slopes by prices.
    eliminated
        ``(N,)`` whether a product is gone, or None.
    """

    at: RespondingMarkets
    eliminated: NDArray[np.bool_] | None


@dataclass(frozen=True, slots=True, eq=False)
class Surpluses:
    """Surpluses of blocks: ``(A,)`` CS_i of agents, and ``(T,)`` Σ_i w_i CS_i."""

    of_agents: Floats = field(metadata=JOINED)
    of_markets: Floats = field(metadata=JOINED)


def consumer_surpluses(
    economy: Economy, trial: TrialPrices, eliminated: NDArray[np.bool_] | None
) -> Surpluses:
    """Compute surpluses of agents of each market, and their means.

    Parameters
    ----------
    economy
        At its parameters.
    trial
        Utilities of all rows.
    eliminated
        ``(n,)`` whether a product is gone, or None.
    """
    source = economy.blocks(trial)
    blocks, stop = [], 0
    for index in range(len(source)):
        block = source.load(index)
        first, stop = stop, stop + block.markets.n_products
        gone = None if eliminated is None else eliminated[first:stop]
        blocks.append(PricedChoices(block, gone))
    found: Surpluses = economy.reduce(HeldBlocks(blocks), surplus_pass, economy.tastes)
    return found


def surplus_pass(
    block: PricedChoices, tastes: Tastes, memory: None
) -> tuple[Surpluses, None]:
    """Compute surpluses of a block: what an engine maps over blocks."""
    del memory
    trial = block.at.trial
    markets = weigh_types(block.at.markets, tastes)
    logs = inclusive_values(markets, tastes, trial.delta, trial.X2, block.eliminated)
    with np.errstate(divide="ignore", invalid="ignore"):
        surpluses = logs / -first_slopes(markets, tastes, trial)
    means = np.add.reduceat(markets.weights * surpluses, markets.agent_offsets[:-1])
    return Surpluses(surpluses, means), None


def uneven_markets(economy: Economy, trial: TrialPrices) -> Integers:
    """List the places of markets in which products differ in slopes of utility."""
    slopes = np.vstack([trial.alpha, trial.X2_by_prices])
    starts = economy.offsets[:-1]
    low, high = (
        which.reduceat(slopes, starts, axis=1) for which in (np.minimum, np.maximum)
    )
    size = np.maximum(np.abs(low), np.abs(high))
    uneven = (high - low > _ROUNDING * size).any(axis=0)
    if economy.demand.tables.product_columns:
        columns = np.array(economy.demand.tables.product_columns)
        moved = economy.tastes.loadings[trial.X2_priced[:, None], columns]
        uneven |= (moved != 0).any() & (np.diff(economy.offsets) > 1)
    return np.flatnonzero(uneven)


def concentration(economy: Economy, firms: Integers, shares: Floats) -> Floats:
    """Compute HHI of each market, ``(T,)``.

    Parameters
    ----------
    economy
        The markets.
    firms, shares
        ``(n,)`` codes of firms, and shares.
    """
    offsets = economy.offsets
    T = offsets.size - 1
    markets = np.repeat(np.arange(T), np.diff(offsets))
    pairs = markets * (int(firms.max(initial=0)) + 1) + firms
    unique, places = np.unique(pairs, return_inverse=True)
    of_firms = np.bincount(places, weights=shares)
    of_market = np.bincount(markets, weights=shares)
    owners = unique // (int(firms.max(initial=0)) + 1)
    squares = (of_firms / of_market[owners]) ** 2
    return np.asarray(1e4 * np.bincount(owners, weights=squares, minlength=T))
