"""What surveys ask of one block: its functions, evaluated and compressed.

They need the block and its own markets' tables alone, wherever those lie. What they
give is split into factors (:mod:`.survey_factors`), of which functions are products
(:mod:`.survey_functions`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from ..moments.surveys import SurveyLayout
from ..records import Floats, MarketBlock
from .survey_arrays import (
    Evaluator,
    Spread,
    SurveyDataset,
    SurveyLimits,
    SurveyPart,
)
from .survey_collinearity import ValueFactor
from .survey_factors import Cells, Factors, Split, lay_out_cells
from .survey_functions import survey_rows
from .survey_market import INSIDE, SurveyedMarket
from .survey_pieces import Evaluated, MarketPiece, cut_markets
from .survey_second_choices import SecondSurveys
from .survey_second_factors import SecondFactors

#: Agents of a market, and weights of theirs.
Weighed = tuple[MarketPiece, Floats | None]

Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class SurveyQuestions:
    """What surveys ask.

    Attributes
    ----------
    datasets, parts
        The surveys and what is averaged of them.
    layout
        Of the parts.
    limits
        How much is evaluated and kept at once.
    """

    datasets: Sequence[SurveyDataset]
    parts: Sequence[SurveyPart]
    layout: SurveyLayout
    limits: SurveyLimits

    def parts_of(self, dataset: int) -> dict[int, SurveyPart]:
        """Give the parts of a dataset by their places."""
        of = self.layout.datasets
        return {p: part for p, part in enumerate(self.parts) if of[p] == dataset}


@dataclass(frozen=True, slots=True, eq=False)
class SurveyedBlock:
    """A block with what surveys ask of it.

    Attributes
    ----------
    block
        The block.
    spreads
        ``(PM,)`` over what each part's values spread there.
    sampled
        ``(D,)`` whether weights of a dataset are positive somewhere.
    factors
        Datasets with what is known of their parts' values; none where not wanted.
    """

    block: MarketBlock
    spreads: tuple[Spread, ...]
    sampled: Flags
    factors: tuple[tuple[int, ValueFactor], ...] = ()


def survey_block(
    block: MarketBlock,
    own: Sequence[SurveyedMarket],
    questions: SurveyQuestions,
    evaluator: Evaluator,
) -> SurveyedBlock:
    """Evaluate what surveys ask of one block, one array at a time.

    Parameters
    ----------
    block
        The block.
    own
        Its markets' tables, in order.
    questions
        What is asked.
    evaluator
        Calls functions, and has the faults that it finds.
    """
    parts, layout = questions.parts, questions.layout
    n_cells = sum(market.n_agents * (1 + market.n_products) for market in own)
    factors = Factors(n_cells, *_columns(own))
    lay_out = partial(lay_out_cells, block.product_offsets, block.agent_offsets)
    both = SecondFactors(factors, block.product_offsets, block.agent_offsets)
    second = SecondSurveys(block, own, both, evaluator)
    spreads = [Spread()] * len(parts)
    sampled = np.zeros(len(questions.datasets), np.bool_)
    weighted: list[Split] = []
    valued = [Split()] * len(parts)
    for d, dataset in enumerate(questions.datasets):
        asked = questions.parts_of(d)
        pieces = cut_markets(block, own, evaluator.limits, dataset, asked.values())
        weights = Evaluated(evaluator.weights(dataset, p.market) for p in pieces)
        if weights.n_axes == 3:
            each = zip(pieces, weights, strict=True)
            found, values, some = second.split(d, dataset, asked, each, spreads)
        else:
            weighed = list(zip(pieces, weights, strict=True))
            some = any(W is not None and W.any() for _, W in weighed)
            found = factors.split(_flat_weights(weighed), lay_out([True] * len(own)))
            cells = lay_out(_have_outside(weighed, len(own)))
            values = _split_parts(asked, weighed, evaluator, spreads, factors, cells)
        sampled[d] = some
        weighted.append(found)
        for p, split in values.items():
            valued[p] = split
        if evaluator.factors is not None:
            evaluator.factors.close(d, [part.label for part in asked.values()])
    rows = survey_rows(
        layout, weighted, valued, factors.arrays(), second.rows(len(questions.datasets))
    )
    known = () if evaluator.factors is None else evaluator.factors.take()
    return SurveyedBlock(replace(block, surveys=rows), tuple(spreads), sampled, known)


def _split_parts(
    parts: dict[int, SurveyPart],
    weighed: Sequence[Weighed],
    evaluator: Evaluator,
    spreads: list[Spread],
    factors: Factors,
    cells: Cells,
) -> dict[int, Split]:
    """Evaluate the values of parts by their places, and split those without faults."""
    found = {}
    for p, part in parts.items():
        values = _part_values(part, weighed, evaluator, spreads, p)
        if values is not None:
            found[p] = factors.split(values, cells)
    return found


def _part_values(
    part: SurveyPart,
    weighed: Sequence[Weighed],
    evaluator: Evaluator,
    spreads: list[Spread],
    place: int,
) -> Floats | None:
    """Evaluate a part's values where its survey is, side by side; None at a fault."""
    found = [np.empty(0)]
    for piece, W in weighed:
        if W is None:
            continue
        evaluated = evaluator.values(part, W, piece.market, spreads[place])
        if evaluated is None:
            return None
        values, spreads[place] = evaluated
        found.append(values.ravel())
    return np.concatenate(found)


def _have_outside(weighed: Sequence[Weighed], n_markets: int) -> list[bool | None]:
    """Tell whose weights begin with the outside option; None without any."""
    found: list[bool | None] = [None] * n_markets
    for piece, W in weighed:
        if W is not None:
            found[piece.place] = W.shape[1] > piece.market.n_products
    return found


def _flat_weights(weighed: Sequence[Weighed]) -> Floats:
    """Lay weights side by side, zero where nobody is surveyed, ``(V + A,)``."""
    found = [np.empty(0)]
    for piece, W in weighed:
        choices = 1 + piece.market.n_products
        whole = np.zeros((piece.market.n_agents, choices))
        if W is not None:
            whole[:, choices - W.shape[1] :] = W
        found.append(whole.ravel())
    return np.concatenate(found)


def _columns(markets: Sequence[SurveyedMarket]) -> tuple[Floats, Floats]:
    """List columns of the data that may be factors, ``(·, A)`` and ``(·, N + T)``."""
    agents = [_demographics(market) for market in markets]
    products = [_characteristics(market) for market in markets]
    return np.hstack(agents), np.hstack(products)


def _demographics(market: SurveyedMarket) -> Floats:
    """Give columns of agents that do not differ over products."""
    values = market.agents["demographics"]
    return np.asarray(values.T if values.ndim == 2 else np.empty((0, market.n_agents)))


def _characteristics(market: SurveyedMarket) -> Floats:
    """Give columns of products with zero for the outside option."""
    named = [market.column(name) for name in (INSIDE, *market.product_names)]
    X2 = np.asarray(market.products["X2"], dtype=np.float64).T
    return np.vstack([*named, np.hstack([np.zeros((len(X2), 1)), X2])])
