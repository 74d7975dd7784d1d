"""Which random numbers belong to a market, whatever else is simulated.

Market t draws from the stream keyed by (seed, t) and from no other, in a fixed order:
its number of products, its market-wide draws, its products', its agents'. Its data are
therefore the same bits in any number of markets, in any slice of them and in any order.
Agents drawn afresh come from a stream of their own, keyed by (seed, t, 1).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..records import Floats, Integers
from .design import MarketDesign

_UNIT = 3.0**0.5  # a uniform variable on [-√3, √3] has variance one


@dataclass(frozen=True, slots=True)
class MarketDraws:
    """Standardised draws of some markets, N products and I agents each.

    Attributes
    ----------
    offsets
        ``(T + 1,)`` first product row of each market, then N.
    market_wide
        ``(T, 1 + D)`` normal: the shared part of ξ, then means of demographics.
    products
        ``(N, K + L + 1)`` uniform with variance one: characteristics, cost shifters,
        noise of the price.
    xi
        ``(N,)`` normal: the products' own part of ξ.
    agents
        ``(T, I, K2 + D)`` normal: tastes, then demographics around their means.
    """

    offsets: Integers
    market_wide: Floats
    products: Floats
    xi: Floats
    agents: Floats


def draw_markets(design: MarketDesign, seed: int, markets: range) -> MarketDraws:
    """Draw everything random about some markets, each from its own stream."""
    streams = [_stream(seed, market) for market in markets]
    offsets = _offsets(design, streams)
    n_columns = len(design.characteristics) + design.n_cost_shifters + 1
    n_tastes = len(design.random_coefficients) + len(design.demographics)
    market_wide = np.empty((len(markets), 1 + len(design.demographics)))
    products = np.empty((offsets[-1], n_columns))
    xi = np.empty(offsets[-1])
    agents = np.empty((len(markets), design.n_agents, n_tastes))
    for t, stream in enumerate(streams):
        rows = slice(offsets[t], offsets[t + 1])
        stream.standard_normal(out=market_wide[t])
        stream.random(out=products[rows])
        stream.standard_normal(out=xi[rows])
        stream.standard_normal(out=agents[t])
    products *= 2 * _UNIT
    products -= _UNIT
    return MarketDraws(offsets, market_wide, products, xi, agents)


def draw_fresh_agents(
    design: MarketDesign, seed: int, markets: range, n_agents: int
) -> Floats:
    """Draw ``(T, n_agents, K2 + D)`` agents who did not make the shares."""
    n_tastes = len(design.random_coefficients) + len(design.demographics)
    agents = np.empty((len(markets), n_agents, n_tastes))
    for t, market in enumerate(markets):
        _stream(seed, market, 1).standard_normal(out=agents[t])
    return agents


def _stream(seed: int, *key: int) -> np.random.Generator:
    """Open the stream of random numbers that a key names."""
    return np.random.Generator(
        np.random.PCG64(np.random.SeedSequence(seed, spawn_key=key))
    )


def _offsets(design: MarketDesign, streams: list[np.random.Generator]) -> Integers:
    """Give each market its number of products, as offsets of rows."""
    low, high = design.product_bounds
    sizes = np.full(len(streams), low, dtype=np.int64)
    if low < high:
        sizes[:] = [stream.integers(low, high, endpoint=True) for stream in streams]
    return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
