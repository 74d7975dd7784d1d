"""Which nodes belong to a market, whoever draws them and whatever else is drawn.

A market's nodes are a function of (seed, market, replicate) alone,

    stream = PCG64(SeedSequence(seed, spawn_key=(NODES, replicate, market))),

so that a worker rebuilds them without being sent them, and a resample is the same rule
with another replicate. The constant NODES keeps nodes apart from all else that a seed
may be used for: keys of simulated markets (:mod:`blpdask.simulation.streams`) are one
number or two and never three. The rules are those of :mod:`blpdask.integration.rules`;
what differs is that no stream runs on from one market to the next:

- ``"halton"`` takes the same points of the sequence in every market, their digits
  permuted by the market's own stream, or, not scrambled, shifted by one uniform vector
  modulo one (Cranley and Patterson 1976);
- quadratures draw nothing: their nodes are the same in all markets and replicates.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from ..records import Floats, Integers
from .halton import first_primes, place_values, radical_inverse
from .nodes import (
    MarketNodes,
    Nodes,
    mirror_draws,
    normal_quantiles,
    repeat_rule,
    stack_draws,
)
from .rules import Rule
from .sobol import sobol_uniforms

#: First number of every key, the letters of "node"; no other stream's begins with it.
NODES = int.from_bytes(b"node", "big")


def draw_market(
    rule: Rule, dimensions: int, seed: int, market: int, replicate: int = 0
) -> Nodes:
    """Build the nodes of one market.

    Parameters
    ----------
    rule
        Which rule, of what size; its own seed is not used.
    dimensions
        Columns of nodes, K.
    seed, market, replicate
        The key: any whole numbers of at least zero. ``market`` is the market's place
        among all markets, sorted.

    Returns
    -------
    Nodes
        ``(I, K)`` nodes and ``(I,)`` weights.

    Examples
    --------
    >>> rule = Rule("monte_carlo", 3)
    >>> one = draw_market(rule, 2, seed=0, market=7).nodes
    >>> bool((one == draw_markets(rule, 2, 0, [6, 7]).nodes[3:]).all())
    True
    """
    if not rule.is_simulation:
        return rule.build(dimensions)
    (nodes,) = _draw(rule, dimensions, [(seed, replicate, market)])
    return Nodes(nodes=nodes, weights=np.full(len(nodes), 1.0 / len(nodes)))


def draw_markets(
    rule: Rule, dimensions: int, seed: int, markets: Iterable[int], replicate: int = 0
) -> MarketNodes:
    """Build the nodes of several markets, stacked; the same bits as one by one.

    Parameters
    ----------
    rule, dimensions, seed, replicate
        As in :func:`draw_market`.
    markets
        Places of the markets; at least one.
    """
    places = list(markets)
    if not rule.is_simulation:
        return repeat_rule(rule.build(dimensions), len(places))
    nodes = _draw(rule, dimensions, [(seed, replicate, place) for place in places])
    return stack_draws(nodes.reshape(-1, dimensions), len(places))


def count_nodes(rule: Rule, dimensions: int) -> int:
    """Count the nodes of a market, I."""
    return rule.size if rule.is_simulation else rule.build(dimensions).weights.size


def _draw(rule: Rule, dimensions: int, keys: Sequence[tuple[int, int, int]]) -> Floats:
    """Draw ``(T, I, K)`` nodes, each market's from the stream of its key."""
    if rule.options.antithetic:
        options = replace(rule.options, antithetic=False)
        half = replace(rule, size=rule.size // 2, options=options)
        return mirror_draws(_draw(half, dimensions, keys))
    streams = [_stream(*key) for key in keys]
    size = rule.size
    if rule.specification == "monte_carlo":
        nodes = np.empty((len(keys), size, dimensions))
        for stream, out in zip(streams, nodes, strict=True):
            stream.standard_normal(out=out)
        return nodes
    if rule.specification == "halton":
        return normal_quantiles(_halton(rule, dimensions, streams))
    if rule.specification == "sobol":
        points = [sobol_uniforms(dimensions, size, stream) for stream in streams]
        return normal_quantiles(np.stack(points))
    strata = np.arange(size)[:, None]
    shifts = 1 if rule.specification == "mlhs" else size
    shifted = [
        stream.permuted(strata + stream.random((shifts, dimensions)), axis=0)
        for stream in streams
    ]
    return normal_quantiles(np.stack(shifted) / size)


def _stream(seed: int, replicate: int, market: int) -> np.random.Generator:
    """Open the stream of a key."""
    key = np.random.SeedSequence(seed, spawn_key=(NODES, replicate, market))
    return np.random.Generator(np.random.PCG64(key))


def _halton(
    rule: Rule, dimensions: int, streams: Sequence[np.random.Generator]
) -> Floats:
    """Randomise the first points of a Halton sequence, ``(T, I, K)`` in [0, 1)."""
    scramble, discard = rule.options.scramble, rule.options.discard
    indices = np.arange(discard, discard + rule.size)
    indices = np.broadcast_to(indices, (len(streams), rule.size))
    points = np.empty((*indices.shape, dimensions))
    for column, base in enumerate(first_primes(dimensions)):
        permutations = np.stack([_permute(base, s, scramble) for s in streams])
        points[:, :, column] = radical_inverse(indices, base, permutations)
    if not scramble:
        shifts = np.stack([stream.random(dimensions) for stream in streams])
        points = (points + shifts[:, None, :]) % 1.0
    return points


def _permute(base: int, stream: np.random.Generator, scramble: bool) -> Integers:
    """Permute the digits of a base, each place of its own, ``(digits, base)``."""
    digits = len(place_values(base))
    plain = np.broadcast_to(np.arange(base, dtype=np.int64), (digits, base))
    return stream.permuted(plain, axis=1) if scramble else plain
