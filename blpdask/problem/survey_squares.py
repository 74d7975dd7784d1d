"""Functions of agents and pairs of choices in one market, as products where they are.

Weights and values of surveys that ask for second choices, f_ijk, are mostly products:

    f_ijk = a_i g_jk,     or else     f_ijk = u_ij v_ik     within 32 ε |f_ijk|,

wherever k remains once j's group is gone; elsewhere anything fits. In the first case
one agent's g serves, with a_i = f_i* / g_* at its largest cell. In the second a largest
cell (j*, k*) is given v_k* = 1, so that u_j = f_jk* and v_k = f_j*k / u_j* wherever
those cells count, from which follow the others, cell by cell; what no such chain
reaches begins another.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..records import Floats

#: Relative error of a product of a few numbers that were rounded themselves.
TOLERANCE = 32 * float(np.finfo(np.float64).eps)
#: Cells that are worked on at once.
_CELLS = 2**18

Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Proportional:
    """One table of pairs of choices, at each agent's scale.

    Attributes
    ----------
    agent
        ``(I,)`` a.
    pair
        ``(1 + J, 1 + J)`` g.
    """

    agent: Floats
    pair: Floats

    def expand(self) -> Floats:
        """Multiply out, ``(I, 1 + J, 1 + J)``."""
        return np.asarray(self.agent[:, None, None] * self.pair)


@dataclass(frozen=True, slots=True, eq=False)
class Separable:
    """A table of first choices times one of second choices.

    Attributes
    ----------
    first, second
        ``(I, 1 + J)`` u and v.
    """

    first: Floats
    second: Floats

    def expand(self) -> Floats:
        """Multiply out, ``(I, 1 + J, 1 + J)``."""
        return np.asarray(self.first[:, :, None] * self.second[:, None, :])


@dataclass(frozen=True, slots=True, eq=False)
class Whole:
    """No product.

    Attributes
    ----------
    values
        ``(I, 1 + J, 1 + J)`` f, zero where it does not count.
    """

    values: Floats

    def expand(self) -> Floats:
        """Give the values."""
        return self.values


Square: TypeAlias = Proportional | Separable | Whole


def compress(f: Floats, counts: Bools, pair: Floats | None) -> Square:
    """Write f as a product.

    Parameters
    ----------
    f
        ``(I, 1 + J, 1 + J)``.
    counts
        ``(1 + J, 1 + J)`` which pairs of choices count.
    pair
        ``(1 + J, 1 + J)`` that other agents of the market have, which is tried; or
        None.
    """
    f = np.where(counts, f, 0.0)
    return _proportional(f, pair) or _separable(f, counts) or Whole(f)


def separate(square: Proportional, counts: Bools) -> Square:
    """Write what is proportional as a product of two tables where it is one.

    Parameters
    ----------
    square
        What.
    counts
        ``(1 + J, 1 + J)`` which pairs of choices count.
    """
    pair = np.where(counts, square.pair, 0.0)[None]
    first, second = rank_one(pair)
    if not _near(pair, first[:, :, None] * second[:, None, :] * counts):
        return Whole(square.expand() * counts)
    agents = np.ones((square.agent.size, 1))
    return Separable(square.agent[:, None] * first, agents * second)


def rank_one(f: Floats) -> tuple[Floats, Floats]:
    """Find u and v ``(n, K)`` of each f_jk = u_j v_k where f ``(n, K, K)`` is not zero.

    What f does not tell, that of rows and of columns of zeros, is zero. Where f is no
    such product what is found is of no use.
    """
    size, every = np.abs(f), np.arange(len(f))
    first, second = np.zeros(f.shape[:2]), np.zeros(f.shape[:2])
    done_first = np.asarray((f == 0).all(axis=2))
    done_second = np.asarray((f == 0).all(axis=1))
    while True:
        new = ~done_first[:, :, None] & ~done_second[:, None, :]
        cells = np.where(new, size, 0.0).reshape(len(f), -1)
        places = cells.argmax(axis=1)
        begins = cells[every, places] > 0
        if not begins.any():
            return first, second
        second[every[begins], places[begins] % f.shape[2]] = 1.0
        done_second[every[begins], places[begins] % f.shape[2]] = True
        while _extend(f, first, done_first, second, done_second) or _extend(
            f.swapaxes(1, 2), second, done_second, first, done_first
        ):
            pass


def _extend(
    f: Floats, rows: Floats, done_rows: Bools, columns: Floats, done_columns: Bools
) -> bool:
    """Fill rows' factors, in place, from columns that are done; tell if any was."""
    usable = done_columns & (columns != 0)
    size = np.where(usable[:, None, :], np.abs(f), 0.0)
    best = size.argmax(axis=2)
    agents, choices = np.nonzero((size.max(axis=2) > 0) & ~done_rows)
    if not agents.size:
        return False
    at = best[agents, choices]
    rows[agents, choices] = f[agents, choices, at] / columns[agents, at]
    done_rows[agents, choices] = True
    return True


def _proportional(f: Floats, pair: Floats | None) -> Proportional | None:
    """Write f as a_i g_jk; None where it is not."""
    if pair is None or not pair.any():
        some = np.flatnonzero(f.any(axis=(1, 2)))
        if not some.size:
            return Proportional(np.zeros(len(f)), np.zeros(f.shape[1:]))
        pair = f[some[0]].copy()
    most = np.abs(pair).argmax()
    with np.errstate(all="ignore"):
        agent = f.reshape(len(f), -1)[:, most] / pair.ravel()[most]
        for rows in _slabs(f):
            if not _near(f[rows], agent[rows, None, None] * pair):
                return None
    return Proportional(agent, pair)


def _separable(f: Floats, counts: Bools) -> Separable | None:
    """Write f as u_ij v_ik; None where it is not."""
    first, second = np.zeros(f.shape[:2]), np.zeros(f.shape[:2])
    for rows in _slabs(f):
        with np.errstate(all="ignore"):
            u, v = rank_one(f[rows])
            if not _near(f[rows], u[:, :, None] * v[:, None, :] * counts):
                return None
        first[rows], second[rows] = u, v
    return Separable(first, second)


def _slabs(f: Floats) -> Iterator[slice]:
    """Cut agents, the first one alone."""
    step = max(1, _CELLS // f[0].size) if len(f) else 1
    yield slice(0, 1)
    for begin in range(1, len(f), step):
        yield slice(begin, begin + step)


def _near(given: Floats, found: Floats) -> bool:
    """Tell whether a product is what was given."""
    return bool((np.abs(given - found) <= TOLERANCE * np.abs(given)).all())
