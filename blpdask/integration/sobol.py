"""How to spread draws evenly in base two, with a stream of their own in each market.

    ν_i = Φ⁻¹(u_i),   w_i = 1 / I,

with u the first I points of a Sobol sequence, scrambled by a random linear matrix and
a digital shift. The scramble of market t is keyed by (seed, t) and by nothing else, so
a market's nodes do not depend on how many markets there are or who computes them. A
sequence is balanced after 1, 2, 4, 8, ... points; its error then falls almost as I^-1
and faster where the integrand is smooth.

References
----------
Sobol (1967); Matousek (1998) for the scramble; Joe and Kuo (2008) for the direction
numbers; Owen (1998).
"""

from __future__ import annotations

import numpy as np

from ..records import Floats
from .nodes import MarketNodes, normal_quantiles, stack_draws

BITS = 30


def sobol(
    dimensions: int, size: int, *, n_markets: int, seed: int, first: int = 0
) -> MarketNodes:
    """Build scrambled Sobol nodes with an independent scramble in every market.

    Parameters
    ----------
    dimensions
        Columns of nodes, K, at most 21201.
    size
        Points in each market, I, best a power of two.
    n_markets
        Number of markets, T.
    seed
        With a market's place, the key of its scramble.
    first
        Place of the first market.

    Returns
    -------
    MarketNodes
        ``(T I, K)`` nodes.

    Examples
    --------
    >>> one, two = (sobol(2, 8, n_markets=n, seed=0).nodes for n in (1, 2))
    >>> bool((one == two[:8]).all())
    True
    """
    nodes = [
        sobol_nodes(dimensions, size, seed, market)
        for market in range(first, first + n_markets)
    ]
    return stack_draws(np.concatenate(nodes), n_markets)


def sobol_nodes(dimensions: int, size: int, seed: int, market: int) -> Floats:
    """Build the ``(I, K)`` nodes of the market at one place among the markets."""
    key = np.random.SeedSequence(seed, spawn_key=(market,))
    stream = np.random.default_rng(key)
    return normal_quantiles(sobol_uniforms(dimensions, size, stream))


def sobol_uniforms(dimensions: int, size: int, stream: np.random.Generator) -> Floats:
    """Build ``(I, K)`` points inside the unit cube, scrambled by a stream."""
    from scipy.stats.qmc import Sobol

    sequence = Sobol(dimensions, bits=BITS, seed=stream)
    uniforms = sequence.random_base2((size - 1).bit_length())[:size]
    # The middle of a cell is never 0 or 1.
    return np.asarray(uniforms + 2.0 ** -(BITS + 1))
