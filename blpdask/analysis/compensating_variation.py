"""What other prices are worth to consumers whose utility need not be linear in prices.

    E CV_i = ∫_0^∞ P(CV_i > m) dm - ∫_{-∞}^0 P(CV_i <= m) dm,     CV = Σ_i w_i E CV_i,

the money that makes agents as well off at new prices as they were at old ones
(:mod:`blpdask.model.compensation` says how, and from whom). With utility linear in
prices it is what :mod:`blpdask.analysis.welfare` calls surplus, before less after.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ..kernels.array_batches import CACHE_BYTES, prepare
from ..kernels.array_shares import move_tastes
from ..model.agent_types import weigh_types
from ..model.compensation import (
    Flags,
    UtilityRows,
    change_prices,
    expected_compensation,
)
from ..partitions.source import HeldBlocks
from ..records import JOINED, Floats, Integers, MarketBlock, Tastes
from .compensation_range import CompensationRange
from .economy import Economy


@dataclass(frozen=True, slots=True, eq=False)
class CompensatedMarkets:
    """A block of markets whose prices change: what an engine places.

    Attributes
    ----------
    markets
        The markets.
    utility
        Of their rows.
    before, after
        ``(N,)`` p and p'.
    outside_prices
        ``(T,)`` q.
    ranges
        Of the markets.
    """

    markets: MarketBlock
    utility: UtilityRows
    before: Floats
    after: Floats
    outside_prices: Floats
    ranges: CompensationRange


@dataclass(frozen=True, slots=True)
class CompensationState:
    """What is sent to every block: θ, and a bound on memory."""

    tastes: Tastes
    scratch_bytes: int


@dataclass(frozen=True, slots=True, eq=False)
class Compensations:
    """Compensating variation of blocks.

    Attributes
    ----------
    of_agents, of_markets
        ``(A,)`` E CV_i and ``(T,)`` Σ_i w_i E CV_i, NaN where an agent's is.
    rising, undefined, unfinished
        ``(T,)`` whether utility of some agents rises with prices, is not finite at
        prices that compensation leads to, and whether their integral did not settle.
    """

    of_agents: Floats = field(metadata=JOINED)
    of_markets: Floats = field(metadata=JOINED)
    rising: Flags = field(metadata=JOINED)
    undefined: Flags = field(metadata=JOINED)
    unfinished: Flags = field(metadata=JOINED)


def compensating_variations(
    economy: Economy,
    ranges: CompensationRange,
    *,
    before: Floats,
    after: Floats,
    outside_prices: Floats,
) -> Compensations:
    """Compute compensating variation of agents of each market, and their means.

    Parameters
    ----------
    economy
        At its parameters.
    ranges
        Where integrals go.
    before, after
        ``(n,)`` p and p'.
    outside_prices
        ``(T,)`` q.
    """
    utility, offsets = economy.utility("prices"), economy.offsets
    source = economy.blocks(economy.at("prices", before))
    blocks, last = [], 0
    for index in range(len(source)):
        markets = source.load(index).markets
        first, last = last, last + markets.n_markets
        rows, own = slice(offsets[first], offsets[last]), slice(first, last)
        blocks.append(
            CompensatedMarkets(
                markets=markets,
                utility=utility.take(np.arange(rows.start, rows.stop)),
                before=before[rows],
                after=after[rows],
                outside_prices=outside_prices[own],
                ranges=CompensationRange(ranges.breaks[own], ranges.beyond[own]),
            )
        )
    state = CompensationState(economy.tastes, economy.scratch_bytes)
    found: Compensations = economy.reduce(HeldBlocks(blocks), compensation_pass, state)
    return found


def compensation_pass(
    block: CompensatedMarkets, state: CompensationState, memory: None = None
) -> tuple[Compensations, None]:
    """Compute a block's compensating variation: what an engine maps over blocks."""
    del memory
    markets = weigh_types(block.markets, state.tastes)
    tastes = move_tastes(state.tastes, np)
    mean = np.empty(markets.weights.size)
    flags = np.zeros((3, mean.size), np.bool_)
    for batch in prepare(markets).batches(state.scratch_bytes):
        change = change_prices(
            batch,
            tastes,
            block.utility,
            before=block.before,
            after=block.after,
            outside_prices=block.outside_prices,
        )
        ranges, own = block.ranges, batch.markets
        firsts = markets.agent_offsets[:-1][own]
        sizes = np.diff(markets.agent_offsets)[own]
        for some in _tiles(batch.shape, state.scratch_bytes):
            with np.errstate(all="ignore"):
                found = expected_compensation(
                    change, ranges.breaks[own], ranges.beyond[own], some
                )
            places, inside = _places(firsts, sizes, some)
            mean[places] = found.mean[inside]
            wrong = (found.rising, found.undefined, found.unfinished)
            flags[:, places] = [flag[inside] for flag in wrong]
    return _add_up(markets, mean, flags), None


def _tiles(shape: tuple[int, int, int], scratch_bytes: int) -> list[slice]:
    """Cut the agents of a batch so that utilities of some stay in cache."""
    n_markets, n_agents, n_products = shape
    fitting = min(CACHE_BYTES, scratch_bytes) // (8 * n_markets * (1 + n_products))
    step = max(1, fitting)
    return [
        slice(first, min(first + step, n_agents)) for first in range(0, n_agents, step)
    ]


def _places(firsts: Integers, sizes: Integers, some: slice) -> tuple[Integers, Flags]:
    """Place agents of markets among all; say which of ``(B, i)`` are no padding."""
    agents = np.arange(some.start, some.stop)
    inside = agents < sizes[:, None]
    return (firsts[:, None] + agents)[inside], inside


def _add_up(markets: MarketBlock, mean: Floats, flags: Flags) -> Compensations:
    """Weigh agents, and gather what is wrong with those of each market."""
    starts = markets.agent_offsets[:-1]
    parts = np.where(markets.weights == 0.0, 0.0, markets.weights * mean)
    rising, undefined, unfinished = np.logical_or.reduceat(flags, starts, axis=1)
    totals = np.add.reduceat(parts, starts)
    return Compensations(mean, totals, rising, undefined, unfinished)
