"""How much the firm that prices product j cares about the profit of product k.

With f(j) the firm of product j and κ(f, g) the weight that firm f puts on the profit of
firm g, the ownership matrix of a market is

    H_jk = κ(f(j), f(k)),   κ(f, g) = 1(f = g) by default

(Nevo 2001; O'Brien and Salop 2000 for κ between nought and one). Pairs of products come
from :func:`market_pairs`, which lists those of many small markets, or of a few rows of
a large one, at a time, so that scratch is bounded whatever J.

References
----------
Nevo (2001), "Measuring Market Power in the Ready-to-Eat Cereal Industry"; O'Brien and
Salop (2000), "Competitive Effects of Partial Ownership".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import Faults
from ..records import Floats, Integers

#: Pairs of products listed at a time: arrays that stay in a core's cache.
PAIRS = 2**14


@dataclass(frozen=True, slots=True, eq=False)
class MarketRows:
    """Rows with those of a market side by side.

    Attributes
    ----------
    order
        ``(N,)`` places of the sorted rows among the rows given, whose order holds
        within a market.
    starts
        ``(N,)`` for each sorted row, where the rows of its market start.
    sizes
        ``(N,)`` for each sorted row, the number of products J of its market.
    """

    order: Integers
    starts: Integers
    sizes: Integers


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """Pairs (j, k) of sorted rows of a market, j = k among them.

    Attributes
    ----------
    first, stop
        The sorted rows j that the pairs are of, ``first``..``stop - 1``.
    begins
        ``(stop - first,)`` where the pairs of each j begin.
    left, right
        ``(M,)`` j and k, those of one j side by side.
    """

    first: int
    stop: int
    begins: Integers
    left: Integers
    right: Integers


@dataclass(frozen=True, slots=True, eq=False)
class Kappa:
    """Weights on others' profits, for pairs of firms that meet in a market.

    Attributes
    ----------
    n_firms
        F.
    keys
        ``(M,)`` sorted keys F f + g of pairs of firms.
    weights
        ``(M,)`` κ(f, g).
    """

    n_firms: int
    keys: Integers
    weights: Floats

    def between(self, f: Integers, g: Integers) -> Floats:
        """Look up κ(f, g) of codes of firms, arrays of one shape."""
        wanted = f * self.n_firms + g
        places = np.searchsorted(self.keys, wanted)
        places = np.minimum(places, self.keys.size - 1)
        if not np.array_equal(self.keys[places], wanted):
            faults = Faults("ownership")
            faults.add(
                "a market in which firms meet that met in none before",
                "the markets that kappa was evaluated for",
                "evaluate kappa for all markets together",
            )
            faults.check()
        return self.weights[places]


def ownership_of_market(firms: Integers, kappa: Kappa | None = None) -> Floats:
    """Build the ownership matrix of one market.

    Parameters
    ----------
    firms
        ``(J,)`` codes of firms; all equal under monopoly, all different if every
        product is a firm of its own.
    kappa
        Weights on others' profits; None for 1(f = g).

    Returns
    -------
    Floats
        ``(J, J)`` H.

    Examples
    --------
    >>> ownership_of_market(np.array([0, 0, 1]))
    array([[1., 1., 0.],
           [1., 1., 0.],
           [0., 0., 1.]])
    """
    f, g = np.broadcast_arrays(firms[:, None], firms[None, :])
    return _weights(f, g, kappa)


def stacked_ownership(
    markets: Integers, firms: Integers, kappa: Kappa | None = None
) -> Floats:
    """Stack the ownership matrices of all markets, each row at its product's place.

    Parameters
    ----------
    markets, firms
        ``(N,)`` codes.
    kappa
        Weights on others' profits; None for 1(f = g).

    Returns
    -------
    Floats
        ``(N, max J)``, NaN in columns beyond a market's J.
    """
    rows = market_rows(markets)
    stacked = np.full((markets.size, int(rows.sizes.max(initial=0))), np.nan)
    firms = firms[rows.order]
    for pairs in market_pairs(rows):
        columns = pairs.right - rows.starts[pairs.left]
        weights = _weights(firms[pairs.left], firms[pairs.right], kappa)
        stacked[rows.order[pairs.left], columns] = weights
    return stacked


def evaluate_kappa(
    function: Callable[[Any, Any], Any],
    firm_ids: Sequence[Any],
    markets: Integers,
    firms: Integers,
) -> Kappa:
    """Call κ once for every pair of firms that meet in a market.

    Parameters
    ----------
    function
        ``function(f, g)`` gives the weight that firm f puts on the profit of firm g.
    firm_ids
        What the codes of firms stand for, which is what the function is given.
    markets, firms
        ``(N,)`` codes.

    Raises
    ------
    InputError
        If the function gives something else than finite numbers.
    """
    n_firms = len(firm_ids)
    present = np.unique(markets * n_firms + firms)
    markets, firms = present // n_firms, present % n_firms
    keys = np.empty(0, dtype=np.int64)
    for pairs in market_pairs(market_rows(markets)):
        met = np.unique(firms[pairs.left] * n_firms + firms[pairs.right])
        keys = np.union1d(keys, met)
    faults = Faults("kappa_specification")
    weights = np.empty(keys.size)
    for place, key in enumerate(keys.tolist()):
        f, g = firm_ids[key // n_firms], firm_ids[key % n_firms]
        weights[place] = _number(function(f, g), f, g, faults)
    faults.check()
    return Kappa(n_firms, keys, weights)


def market_rows(markets: Integers) -> MarketRows:
    """Put the rows of every market, ``(N,)`` codes, side by side."""
    order = np.argsort(markets, kind="stable")
    codes = markets[order]
    begins = np.flatnonzero(np.diff(codes, prepend=-1))
    sizes = np.diff(begins, append=codes.size)
    return MarketRows(order, np.repeat(begins, sizes), np.repeat(sizes, sizes))


def market_pairs(rows: MarketRows, most: int = PAIRS) -> Iterator[Pairs]:
    """List all pairs of products that share a market, whole rows j at a time.

    Parameters
    ----------
    rows
        Of :func:`market_rows`.
    most
        Pairs listed at a time, or those of one row where it has more.
    """
    ends = np.cumsum(rows.sizes)
    first, listed = 0, 0
    while first < ends.size:
        stop = int(np.searchsorted(ends, listed + most, side="right"))
        stop = max(stop, first + 1)
        sizes = rows.sizes[first:stop]
        begins = ends[first:stop] - sizes - listed
        left = np.repeat(np.arange(first, stop), sizes)
        shifts = np.repeat(rows.starts[first:stop] - begins, sizes)
        yield Pairs(first, stop, begins, left, np.arange(left.size) + shifts)
        first, listed = stop, int(ends[stop - 1])


def _weights(f: Integers, g: Integers, kappa: Kappa | None) -> Floats:
    """Give κ(f, g), of the shape of the codes."""
    return (f == g).astype(np.float64) if kappa is None else kappa.between(f, g)


def _number(value: Any, f: Any, g: Any, faults: Faults) -> float:
    """Convert what κ gave to a number; a fault where it is none."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = float("nan")
    if not np.isfinite(number):
        faults.add(
            f"kappa({f!r}, {g!r}) = {value!r}",
            "a finite number",
            "make the function give a weight for this pair of firms",
        )
    return number
