"""Draw the nodes of some markets among many, without those of all others.

Those of :meth:`blpdask.integration.rules.Rule.build_markets`, to the last bit, so that
whoever has a few of the markets draws the nodes of these alone. Sobol's are keyed by
market, unscrambled Halton's count from discard + first I, and a quadrature's are the
same in all markets. The other rules have one stream that runs through the markets:
where it stands at a market is found once, by drawing what comes before it
(:func:`find_starts`), and is a few numbers that travel.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .halton import halton
from .latin_hypercube import latin_hypercube
from .monte_carlo import monte_carlo
from .nodes import MarketNodes, mirror_draws, repeat_rule, stack_draws
from .rules import Rule
from .sobol import sobol

#: Markets that are drawn at a time where only the stream's place is wanted.
AT_ONCE = 256


@dataclass(frozen=True, slots=True, eq=False)
class StreamState:
    """Where a Mersenne Twister stands between two markets.

    Attributes
    ----------
    key, position
        ``(624,)`` words of its state, and which one is next.
    has_normal, normal
        Whether a normal variate is left of the last pair, and which one.
    """

    key: np.ndarray[tuple[int], np.dtype[np.uint32]]
    position: int
    has_normal: int
    normal: float

    def open(self) -> np.random.RandomState:
        """Open a stream that stands there."""
        stream = np.random.RandomState(0)
        stream.set_state(
            ("MT19937", self.key, self.position, self.has_normal, self.normal)
        )
        return stream


def runs_on(rule: Rule) -> bool:
    """Tell whether a rule has a stream that runs on from market to market."""
    if rule.specification == "halton":
        return rule.options.scramble
    return rule.specification in ("monte_carlo", "lhs", "mlhs")


def build_range(
    rule: Rule,
    dimensions: int,
    first: int,
    stop: int,
    start: StreamState | None = None,
) -> MarketNodes:
    """Build the nodes of markets first to stop - 1 of many.

    Parameters
    ----------
    rule
        With a seed, where it is a simulation.
    dimensions
        Columns of nodes, K.
    first, stop
        Places of the markets.
    start
        Where the rule's stream stands at ``first``; found, by drawing the nodes of all
        markets before, where None and there is such a stream.

    Returns
    -------
    MarketNodes
        Rows of market ``first``, then of the next; markets are counted from 0.

    Examples
    --------
    >>> from .rules import RuleOptions
    >>> rule = Rule("mlhs", 4, RuleOptions(seed=0))
    >>> some = build_range(rule, 2, 3, 5).nodes
    >>> bool((some == rule.build_markets(2, 9).nodes[12:20]).all())
    True
    """
    stream = None
    if runs_on(rule):
        if start is None:
            (start,) = find_starts(rule, dimensions, [first])
        stream = start.open() if start is not None else None
    return _draw(rule, dimensions, first, stop, stream)


def find_starts(
    rule: Rule, dimensions: int, firsts: Sequence[int]
) -> tuple[StreamState | None, ...]:
    """Find where a rule's stream stands at some markets; None where none runs on.

    Parameters
    ----------
    rule, dimensions
        As in :func:`build_range`.
    firsts
        Ascending places of markets.
    """
    if not runs_on(rule):
        return (None,) * len(firsts)
    stream = np.random.RandomState(rule.options.seed)
    found = []
    for before, first in itertools.pairwise((0, *firsts)):
        for place in range(before, first, AT_ONCE):
            _draw(rule, dimensions, place, min(place + AT_ONCE, first), stream)
        found.append(_state_of(stream))
    return tuple(found)


def _state_of(stream: np.random.RandomState) -> StreamState:
    """Say where a stream stands."""
    state: Any = stream.get_state(legacy=False)
    return StreamState(
        key=state["state"]["key"],
        position=int(state["state"]["pos"]),
        has_normal=int(state["has_gauss"]),
        normal=float(state["gauss"]),
    )


def _draw(
    rule: Rule,
    dimensions: int,
    first: int,
    stop: int,
    stream: np.random.RandomState | None,
) -> MarketNodes:
    """Draw nodes of some markets from a stream that stands at the first."""
    if rule.options.antithetic:
        plain = replace(rule.options, antithetic=False)
        half = replace(rule, size=rule.size // 2, options=plain)
        nodes = _draw(half, dimensions, first, stop, stream).nodes
        nodes = mirror_draws(nodes.reshape(stop - first, half.size, dimensions))
        return stack_draws(nodes.reshape(-1, dimensions), stop - first)
    if not rule.is_simulation:
        return repeat_rule(rule.build(dimensions), stop - first)
    size, options, count = rule.size, rule.options, stop - first
    seed = options.seed or 0
    match rule.specification:
        case "monte_carlo":
            return monte_carlo(
                dimensions, size, n_markets=count, seed=seed, stream=stream
            )
        case "lhs" | "mlhs":
            return latin_hypercube(
                dimensions,
                size,
                n_markets=count,
                seed=seed,
                modified=rule.specification == "mlhs",
                stream=stream,
            )
        case "halton":
            return halton(
                dimensions,
                size,
                n_markets=count,
                seed=seed,
                discard=options.discard + first * size,
                scramble=options.scramble,
                stream=stream,
            )
        case _:
            return sobol(dimensions, size, n_markets=count, seed=seed, first=first)
