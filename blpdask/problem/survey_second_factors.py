"""Factors of a block's functions of first and second choices, each kept once.

What markets' arrays are (:mod:`.survey_squares`) decides what the block's is, the first
of these that all of them are:

    f_ijk = a_i b_j c_k,   u_ij c_k,   b_j v_ik,   u_ij v_ik,   a_i g_jk,   z_ijk,

where b and c are among the factors of choices, u and v among tables, that first choices
have (:mod:`.survey_factors`): columns of the data before rows of the array itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..records import Floats, Integers
from .survey_factors import (
    Cells,
    Factors,
    Pool,
    Split,
    find_pivots,
    lay_out_cells,
    row_factor,
)
from .survey_squares import (
    TOLERANCE,
    Bools,
    Proportional,
    Separable,
    Square,
    rank_one,
    separate,
)


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """An array's part for some agents of a market.

    Attributes
    ----------
    market
        Place of the market in the block.
    agents
        Which agents of the block.
    counts
        ``(1 + J, 1 + J)`` which pairs of choices count.
    square
        What it is.
    """

    market: int
    agents: slice
    counts: Bools
    square: Square


class SecondFactors:
    """Factors of a block's functions of both choices, beside those of first choices."""

    def __init__(
        self, factors: Factors, product_offsets: Integers, agent_offsets: Integers
    ) -> None:
        """Begin with none.

        Parameters
        ----------
        factors
            Factors of agents, of choices and of both, which are shared.
        product_offsets, agent_offsets
            ``(T + 1,)`` of the block.
        """
        self._factors = factors
        self._products, self._agents = product_offsets, agent_offsets
        self._sizes = np.diff(product_offsets) + 1
        people = np.diff(agent_offsets)
        self._pair_starts = np.concatenate([[0], np.cumsum(self._sizes**2)])
        self._triple_starts = np.concatenate([[0], np.cumsum(self._sizes**2 * people)])
        self._pairs = Pool(np.empty((0, int(self._pair_starts[-1]))))
        self._triples: list[Floats] = []

    @property
    def triple_bytes(self) -> int:
        """Count the bytes that an array needs that is no product."""
        return 8 * int(self._triple_starts[-1])

    def split(self, pieces: Sequence[Piece]) -> Split:
        """Find the factors of an array."""
        if all(isinstance(piece.square, Proportional) for piece in pieces):
            return self._of_pairs(pieces)
        parted = [_separated(piece) for piece in pieces]
        if all(isinstance(piece.square, Separable) for piece in parted):
            return self._of_tables(parted)
        return Split(triple=self._keep_triple(pieces))

    def arrays(self) -> tuple[Floats, Floats]:
        """Give pairs ``(FG, Σ (1 + J)²)`` and triples ``(FZ, Σ I (1 + J)²)``."""
        shape = len(self._triples), int(self._triple_starts[-1])
        return self._pairs.used(), np.array(self._triples).reshape(shape)

    def _of_pairs(self, pieces: Sequence[Piece]) -> Split:
        """Split a_i g_jk."""
        agent, pairs = np.ones(int(self._agents[-1])), np.zeros(self._pairs.size)
        there = np.zeros(agent.size, np.bool_)
        for piece in pieces:
            assert isinstance(piece.square, Proportional)
            agent[piece.agents], there[piece.agents] = piece.square.agent, True
            if piece.square.pair.any():
                pairs[self._own_pairs(piece.market)] = piece.square.pair.ravel()
        cells = self._pair_cells(pieces)
        outer = self._outer(pairs[cells.places], cells, pieces)
        if outer is None:
            pair, scale = self._use_pair(pairs, cells)
            split = Split(pair=pair)
        else:
            second, first = outer
            choice, scale = self._use_first(first, cells)
            split = Split(choice=choice, second_choice=second)
        agent *= np.repeat(scale, np.diff(self._agents))
        rows = np.flatnonzero(there)
        return replace(split, agent=self._factors.use_agent(agent, rows, TOLERANCE))

    def _outer(
        self, values: Floats, cells: Cells, pieces: Sequence[Piece]
    ) -> tuple[int, Floats] | None:
        """Split g_jk = b_j c_k: the place of c, and b ``(N + T,)``; or None."""
        pool, pivots = self._factors.choices, find_pivots(values, cells)
        for place, second in pool.candidates():
            first = row_factor(values, cells, pivots, second, pool.size, TOLERANCE)
            if first is not None:
                return pool.use(place), first
        own = np.zeros(pool.size)
        for piece in pieces:
            assert isinstance(piece.square, Proportional)
            if piece.square.pair.any():
                pair = np.where(piece.counts, piece.square.pair, 0.0)
                own[self._own_choices(piece.market)] = rank_one(pair[None])[1][0]
        first = row_factor(values, cells, pivots, own, pool.size, TOLERANCE)
        return None if first is None else (pool.add(own), first)

    def _use_first(self, first: Floats, cells: Cells) -> tuple[int, Floats]:
        """Use b, at any scale in each market: its place and those scales ``(T,)``."""
        pool, T = self._factors.choices, self._sizes.size
        own = _by_market(cells.rows, self._products + np.arange(T + 1))
        values = first[cells.rows]
        pivots = find_pivots(values, own)
        for place, other in pool.candidates():
            scale = row_factor(values, own, pivots, other, T, TOLERANCE)
            if scale is not None:
                return pool.use(place), scale
        kept = np.zeros(first.size)
        kept[cells.rows] = values
        return pool.add(kept), np.ones(T)

    def _use_pair(self, pairs: Floats, cells: Cells) -> tuple[int, Floats]:
        """Use g, at any scale in each market: its place and those scales ``(T,)``."""
        T = self._sizes.size
        own = _by_market(cells.places, self._pair_starts)
        values = pairs[cells.places]
        pivots = find_pivots(values, own)
        for place, other in self._pairs.candidates():
            scale = row_factor(values, own, pivots, other, T, TOLERANCE)
            if scale is not None:
                return self._pairs.use(place), scale
        return self._pairs.add(pairs), np.ones(T)

    def _of_tables(self, pieces: Sequence[Piece]) -> Split:
        """Split u_ij v_ik."""
        n_cells = int((self._sizes * np.diff(self._agents)).sum())
        first, second = np.zeros(n_cells), np.zeros(n_cells)
        starts = np.concatenate([[0], np.cumsum(self._sizes * np.diff(self._agents))])
        for piece in pieces:
            assert isinstance(piece.square, Separable)
            t, size = piece.market, self._sizes[piece.market]
            begin = starts[t] + (piece.agents.start - self._agents[t]) * size
            own = slice(begin, begin + piece.square.first.size)
            first[own] = piece.square.first.ravel()
            second[own] = piece.square.second.ravel()
        of_first, of_second = self._table_cells(pieces, 1), self._table_cells(pieces, 0)
        factors = self._factors
        found = factors.factor_out(second[of_second.places], of_second, TOLERANCE)
        if found is not None:
            left = first[of_first.places] * found[2][of_first.agents]
            split = factors.split(left, of_first, TOLERANCE)
            return replace(split, second_choice=found[0])
        found = factors.factor_out(first[of_first.places], of_first, TOLERANCE)
        if found is not None:
            left = second[of_second.places] * found[2][of_second.agents]
            return Split(
                choice=found[0], second_table=factors.keep_table(left, of_second)
            )
        return Split(
            table=factors.keep_table(first[of_first.places], of_first),
            second_table=factors.keep_table(second[of_second.places], of_second),
        )

    def _keep_triple(self, pieces: Sequence[Piece]) -> int:
        """Keep an array as it is, once."""
        triple = np.zeros(int(self._triple_starts[-1]))
        for piece in pieces:
            t, size = piece.market, int(self._sizes[piece.market]) ** 2
            begin = self._triple_starts[t]
            begin += (piece.agents.start - self._agents[t]) * size
            values = piece.square.expand().ravel()
            triple[begin : begin + values.size] = values
        for place, other in enumerate(self._triples):
            if np.array_equal(triple, other):
                return place
        self._triples.append(triple)
        return len(self._triples) - 1

    def _own_choices(self, t: int) -> slice:
        """Say where a market's choices are."""
        return slice(int(self._products[t]) + t, int(self._products[t + 1]) + t + 1)

    def _own_pairs(self, t: int) -> slice:
        """Say where a market's pairs of choices are."""
        return slice(int(self._pair_starts[t]), int(self._pair_starts[t + 1]))

    def _pair_cells(self, pieces: Sequence[Piece]) -> Cells:
        """Lay out pairs of choices that count, a row a first choice."""
        first, second, places = [], [], []
        for t, counts in {piece.market: piece.counts for piece in pieces}.items():
            j, k = np.nonzero(counts)
            before = self._own_choices(t).start
            first.append(before + j)
            second.append(before + k)
            places.append(self._pair_starts[t] + j * len(counts) + k)
        rows = np.concatenate([np.empty(0, np.int64), *first])
        own, starts, widths = np.unique(rows, return_index=True, return_counts=True)
        return Cells(
            agents=rows,
            choices=np.concatenate([np.empty(0, np.int64), *second]),
            places=np.concatenate([np.empty(0, np.int64), *places]),
            rows=own,
            starts=starts,
            widths=widths,
        )

    def _table_cells(self, pieces: Sequence[Piece], axis: int) -> Cells:
        """Lay out agents and those of their choices that count at all."""
        outside: list[bool | None] = [None] * self._sizes.size
        for piece in pieces:
            outside[piece.market] = bool(np.any(piece.counts, axis=axis)[0])
        return lay_out_cells(self._products, self._agents, outside)


def _separated(piece: Piece) -> Piece:
    """Write a piece as a product of two tables, if it is one."""
    if not isinstance(piece.square, Proportional):
        return piece
    return replace(piece, square=separate(piece.square, piece.counts))


def _by_market(places: Integers, starts: Integers) -> Cells:
    """Lay out some places among all markets', in order, a row a market."""
    markets = np.searchsorted(starts, places, side="right") - 1
    own, first, widths = np.unique(markets, return_index=True, return_counts=True)
    return Cells(
        agents=markets,
        choices=places,
        places=places,
        rows=own,
        starts=first,
        widths=widths,
    )
