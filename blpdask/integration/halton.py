"""How to spread draws evenly by writing their number in a prime base, backwards.

Dimension k has the k-th prime b. If n = Σ_d a_d b^d, the n-th point is

    u_n = Σ_d π_d(a_d) b^(-d-1),   ν_n = Φ⁻¹(u_n),   w = 1 / I,

where π_d is a fresh random permutation of the digits 0, ..., b - 1 (the identity where
the sequence is not scrambled). The sequence continues from market to market: market t
has the points from discard + t I on, with permutations of its own.

References
----------
Halton (1960); Owen (2017) for the random digit permutations; Train (2009, 9.3.3) for
discarding the first points, which are correlated across dimensions.
"""

from __future__ import annotations

import numpy as np

from ..records import Floats, Integers
from .nodes import MarketNodes, normal_quantiles, stack_draws

MARKETS_AT_ONCE = 64


def halton(
    dimensions: int,
    size: int,
    *,
    n_markets: int,
    seed: int,
    discard: int = 1000,
    scramble: bool = True,
    stream: np.random.RandomState | None = None,
) -> MarketNodes:
    """Build Halton nodes, one sequence through all markets.

    Parameters
    ----------
    dimensions
        Columns of nodes, K.
    size
        Points in each market, I.
    n_markets
        Number of markets, T.
    seed
        Seed of the digit permutations; without scrambling it changes nothing.
    discard
        Points skipped at the start of the sequence.
    scramble
        Whether digits are permuted at random.
    stream
        That of the permutations where those of earlier markets have been drawn; a new
        one where None.

    Returns
    -------
    MarketNodes
        ``(T I, K)`` nodes.

    Examples
    --------
    >>> rule = halton(1, 3, n_markets=1, seed=0, discard=1, scramble=False)
    >>> rule.nodes.ravel().round(4).tolist()
    [0.0, -0.6745, 0.6745]
    """
    state = np.random.RandomState(seed) if stream is None else stream
    bases = first_primes(dimensions)
    uniforms = np.empty((n_markets, size, dimensions))
    for first in range(0, n_markets, MARKETS_AT_ONCE):
        last = min(first + MARKETS_AT_ONCE, n_markets)
        permutations = _digit_permutations(state, bases, last - first, scramble)
        indices = np.arange(discard + first * size, discard + last * size)
        for column, base in enumerate(bases):
            uniforms[first:last, :, column] = radical_inverse(
                indices.reshape(-1, size), base, permutations[column]
            )
    nodes = normal_quantiles(uniforms.reshape(-1, dimensions))
    return stack_draws(nodes, n_markets)


def first_primes(count: int) -> list[int]:
    """List the first ``count`` primes.

    Examples
    --------
    >>> first_primes(5)
    [2, 3, 5, 7, 11]
    """
    primes: list[int] = []
    candidate = 2
    while len(primes) < count:
        if all(candidate % prime for prime in primes if prime * prime <= candidate):
            primes.append(candidate)
        candidate += 1
    return primes


def place_values(base: int) -> list[float]:
    """List b^-1, b^-2, ... as far as they change a double close to one."""
    values = []
    value = 1 / base
    while 1 - value < 1:
        values.append(value)
        value /= base
    return values


def _digit_permutations(
    state: np.random.RandomState, bases: list[int], n_markets: int, scramble: bool
) -> list[Integers]:
    """Draw ``(markets, digits, base)`` permutations: by market, dimension, digit."""
    shapes = [(n_markets, len(place_values(base)), base) for base in bases]
    if not scramble:
        return [
            np.broadcast_to(np.arange(base), (n_markets, digits, base))
            for n_markets, digits, base in shapes
        ]
    permutations = [np.empty(shape, dtype=np.int64) for shape in shapes]
    for market in range(n_markets):
        for permutation, (_, digits, base) in zip(permutations, shapes, strict=True):
            for digit in range(digits):
                permutation[market, digit] = state.permutation(base)
    return permutations


def radical_inverse(indices: Integers, base: int, permutations: Integers) -> Floats:
    """Mirror permuted digits of ascending ``(markets, I)`` indices at the point."""
    points = np.zeros(indices.shape)
    for digit, place_value in enumerate(place_values(base)):
        permutation = permutations[:, digit]
        if indices[-1, -1] == 0:
            points += place_value * permutation[:, :1]
            continue
        indices, digits = np.divmod(indices, base)
        points += place_value * np.take_along_axis(permutation, digits, axis=1)
    return points
