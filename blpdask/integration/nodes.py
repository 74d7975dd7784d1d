"""What an integration rule returns: nodes, weights, and the market each belongs to.

An integral over tastes ν ~ N(0, I_K) becomes the sum Σ_i w_i f(ν_i).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..records import Floats, Integers


@dataclass(frozen=True, slots=True)
class Nodes:
    """Nodes and weights of one market.

    Attributes
    ----------
    nodes
        ``(I, K)`` points ν_i, one column a dimension.
    weights
        ``(I,)`` w_i, which sum to one; quadrature weights can be negative.
    """

    nodes: Floats
    weights: Floats


@dataclass(frozen=True, slots=True)
class MarketNodes:
    """Nodes and weights of several markets, stacked in the order of the markets.

    Attributes
    ----------
    market_index
        ``(A,)`` place of each row's market among the markets, 0 to T - 1.
    nodes
        ``(A, K)`` points ν_i.
    weights
        ``(A,)`` w_i, which sum to one in each market.
    """

    market_index: Integers
    nodes: Floats
    weights: Floats


def normal_quantiles(uniforms: Floats) -> Floats:
    """Turn points of the unit cube into normal nodes, Φ⁻¹(u)."""
    from scipy.special import ndtri

    return np.asarray(ndtri(uniforms))


def stack_draws(nodes: Floats, n_markets: int) -> MarketNodes:
    """Give equal weights to draws, ``(A, K)``, of as many rows in every market."""
    size = nodes.shape[0] // n_markets
    return MarketNodes(
        market_index=np.repeat(np.arange(n_markets, dtype=np.int64), size),
        nodes=nodes,
        weights=np.full(nodes.shape[0], 1.0 / size),
    )


def mirror_draws(draws: Floats) -> Floats:
    """Add to draws ``(T, I, K)`` of markets their mirror images, ``(T, 2 I, K)``."""
    return np.concatenate([draws, -draws], axis=1)


def repeat_rule(rule: Nodes, n_markets: int) -> MarketNodes:
    """Use the same nodes and weights in every market."""
    return MarketNodes(
        market_index=np.repeat(np.arange(n_markets, dtype=np.int64), rule.weights.size),
        nodes=np.tile(rule.nodes, (n_markets, 1)),
        weights=np.tile(rule.weights, n_markets),
    )
