"""Functions of datasets of second choices on a block, evaluated and compressed.

A market's arrays have I (1 + J)² numbers, which are not kept: each is compressed
(:mod:`.survey_squares`) as soon as it is evaluated, for all agents of a market or for
some at a time, and what is no product may need no more than a bound.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from ..records import Floats, Integers, MarketBlock
from .survey_arrays import Evaluator, Spread, SurveyDataset, SurveyPart
from .survey_factors import NONE, Split
from .survey_functions import SecondChoices
from .survey_market import SurveyedMarket
from .survey_pieces import MarketPiece
from .survey_removals import apart, nest_clashes, removal_codes
from .survey_second_factors import Piece, SecondFactors
from .survey_squares import Bools, Proportional, Square, Whole, compress


class SecondSurveys:
    """Evaluates and compresses a block's datasets of second choices."""

    def __init__(
        self,
        block: MarketBlock,
        markets: Sequence[SurveyedMarket],
        factors: SecondFactors,
        evaluator: Evaluator,
    ) -> None:
        """Begin with none.

        Parameters
        ----------
        block, markets
            The block, and its markets' tables.
        factors
            What splits arrays.
        evaluator
            Calls functions, and counts what was kept whole.
        """
        self._block, self._markets = block, markets
        self._factors, self._evaluator = factors, evaluator
        self._groups: dict[int | None, list[Integers]] = {}
        self._removals: dict[int, int] = {}

    def split(
        self,
        d: int,
        dataset: SurveyDataset,
        parts: dict[int, SurveyPart],
        weighed: Iterable[tuple[MarketPiece, Floats | None]],
        spreads: list[Spread],
    ) -> tuple[Split, dict[int, Split], bool]:
        """Split a dataset's weights, and its parts' values.

        Parameters
        ----------
        d, dataset
            The dataset and its place.
        parts
            Its parts by their places.
        weighed
            Agents, and weights of theirs that were asked for; None where none were.
        spreads
            Of all parts, which are brought up to date.

        Returns
        -------
        tuple
            Factors of weights, of values by places of parts, and whether any weight is
            positive.
        """
        codes = self._codes(d, dataset)
        weights = _Collected(dataset.label, self._factors, self._evaluator)
        values = {
            p: _Collected(part.label, self._factors, self._evaluator)
            for p, part in parts.items()
        }
        positive = False
        for piece, given in weighed:
            counts = apart(codes[piece.place])
            if given is None:
                weights.add(piece, counts, _zeros(piece))
                continue
            own = _part(counts, given)
            W = np.where(own, given, 0.0)
            positive |= bool(W.any())
            weights.add_array(piece, counts, W)
            asked = np.zeros_like(counts)
            _part(asked, given)[:] = own
            for p, part in parts.items():
                found = self._evaluator.values(part, W, piece.market, spreads[p])
                if found is not None:
                    spreads[p] = found[1]
                    values[p].add_array(piece, asked, found[0])
        return weights.split(), {p: v.split() for p, v in values.items()}, positive

    def rows(self, n_datasets: int) -> SecondChoices | None:
        """Give what functions need beside factors of one choice; None without any.

        Parameters
        ----------
        n_datasets
            How many datasets there are.
        """
        if not self._removals:
            return None
        pairs, triples = self._factors.arrays()
        return SecondChoices(
            removals=np.array([self._removals.get(d, NONE) for d in range(n_datasets)]),
            groups=np.array([np.concatenate(own) for own in self._groups.values()]),
            pairs=pairs,
            triples=triples,
        )

    def _codes(self, d: int, dataset: SurveyDataset) -> list[Integers]:
        """Code the groups of every market, once, and check them against nests."""
        index, block = dataset.removal, self._block
        if index not in self._groups:
            self._groups[index] = [removal_codes(m, index) for m in self._markets]
        codes = self._groups[index]
        self._removals[d] = list(self._groups).index(index)
        for t, market in enumerate(self._markets):
            if index is None or block.nests is None:
                break
            if not dataset.is_in(market.market_id):
                continue
            own = slice(block.product_offsets[t], block.product_offsets[t + 1])
            clashes = nest_clashes(codes[t], block.nests[own])
            if clashes and not self._evaluator.has_failed(dataset.label):
                self._evaluator.fail(
                    dataset.label,
                    f"{len(clashes)} groups of products of {dataset.label}, removed "
                    f"together, that overlap nests in market {market.market_id}",
                    "groups each within one nest, or each a union of whole nests",
                    "correct that column of product_ids or nesting_ids, or leave "
                    "eliminated_product_ids_index out",
                )
        return codes


class _Collected:
    """An array's pieces, until they are all there."""

    def __init__(
        self, label: str, factors: SecondFactors, evaluator: Evaluator
    ) -> None:
        self._label, self._factors, self._evaluator = label, factors, evaluator
        self._pieces: list[Piece] = []
        self._pairs: dict[int, Floats] = {}
        self._whole = False

    def add_array(self, piece: MarketPiece, counts: Bools, given: Floats) -> None:
        """Compress an array for some agents of a market, and add it."""
        if self._evaluator.has_failed(self._label):
            return
        f = given
        if given.shape[1:] != counts.shape:
            f = np.zeros((len(given), *counts.shape))
            f[:, -given.shape[1] :, -given.shape[2] :] = given
        square = compress(f, counts, self._pairs.get(piece.place))
        if isinstance(square, Proportional) and square.pair.any():
            self._pairs.setdefault(piece.place, square.pair)
        if isinstance(square, Whole) and not self._whole:
            self._whole = True
            self._evaluator.keep_whole(self._label, self._factors.triple_bytes)
        self.add(piece, counts, square)

    def add(self, piece: MarketPiece, counts: Bools, square: Square) -> None:
        """Add what is compressed."""
        self._pieces.append(Piece(piece.place, piece.agents, counts, square))

    def split(self) -> Split:
        """Find the factors of all."""
        if self._evaluator.has_failed(self._label):
            return Split()
        return self._factors.split(self._pieces)


def _zeros(piece: MarketPiece) -> Proportional:
    """Give weights of zero."""
    n, choices = piece.market.n_agents, 1 + piece.market.n_products
    return Proportional(np.zeros(n), np.zeros((choices, choices)))


def _part(square: Bools, given: Floats) -> Bools:
    """Take the part of ``(1 + J, 1 + J)`` that an array ``(I, ·, ·)`` has."""
    return square[-given.shape[1] :, -given.shape[2] :]
