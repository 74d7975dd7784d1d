"""What surveys ask of every block: functions evaluated once, as factors, in memory.

θ never enters the user's functions (:mod:`.survey_arrays`), so that they are called
once a market and problem; what they give is compressed (:mod:`.survey_factors`) and
travels with the block (:mod:`.survey_functions`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from ..errors import Faults, InputError
from ..moments.surveys import MicroTargets, SurveyLayout
from ..records import Floats, MarketBlock
from .survey_arrays import (
    Evaluator,
    Spread,
    SurveyDataset,
    SurveyLimits,
    SurveyPart,
    expressions_of,
)
from .survey_expressions import check_names
from .survey_factors import Cells, Factors, Split, lay_out_cells
from .survey_functions import survey_rows
from .survey_market import INSIDE, SurveyedMarket
from .survey_pieces import Evaluated, MarketPiece, cut_markets
from .survey_second_choices import SecondSurveys
from .survey_second_factors import SecondFactors

#: Gives a market by its place among all.
Markets = Callable[[int], SurveyedMarket]

#: Agents of a market, and weights of theirs.
Weighed = tuple[MarketPiece, Floats | None]


@dataclass(frozen=True, slots=True, eq=False)
class MicroSetup:
    """What an estimator is told of micro moments.

    Attributes
    ----------
    targets
        Which parts, which functions of them, and what was observed.
    sample_covariances
        ``(MM, MM)`` covariances of what was observed; the model's where None.
    """

    targets: MicroTargets
    sample_covariances: Floats | None


@dataclass(frozen=True, slots=True, eq=False)
class SurveyedBlocks:
    """Blocks with what surveys ask of them.

    Attributes
    ----------
    blocks
        The blocks.
    spreads
        ``(PM,)`` over what each part's values spread.
    """

    blocks: tuple[MarketBlock, ...]
    spreads: tuple[Spread, ...]


def survey_blocks(
    blocks: Sequence[MarketBlock],
    datasets: Sequence[SurveyDataset],
    parts: Sequence[SurveyPart],
    layout: SurveyLayout,
    markets: Markets,
    limits: SurveyLimits | None = None,
) -> SurveyedBlocks:
    """Evaluate the functions of surveys on blocks.

    Parameters
    ----------
    blocks
        All blocks, in order.
    datasets, parts
        The surveys and what is averaged of them.
    layout
        Of the parts.
    markets
        Gives the markets' tables.
    limits
        How much is evaluated and kept at once.

    Raises
    ------
    InputError
        With every fault of the functions, from the first error in one of them.
    """
    faults = Faults("micro_moments")
    _check_formulas(datasets, parts, markets(0), faults)
    faults.check()
    evaluator = Evaluator(faults, limits)
    sampled = np.zeros(len(datasets), np.bool_)
    spreads = [Spread()] * len(parts)
    found = []
    for block in blocks:
        found.append(
            _survey_block(
                block, datasets, parts, layout, markets, evaluator, spreads, sampled
            )
        )
    for dataset, has_some in zip(datasets, sampled, strict=True):
        if not has_some and not evaluator.has_failed(dataset.label):
            faults.add(
                f"weights of {dataset.label} that are all zero",
                "a positive weight somewhere",
                "correct compute_weights or market_ids",
            )
    try:
        faults.check()
    except InputError as error:
        raise error from evaluator.cause
    return SurveyedBlocks(tuple(found), tuple(spreads))


def _check_formulas(
    datasets: Sequence[SurveyDataset],
    parts: Sequence[SurveyPart],
    market: SurveyedMarket,
    faults: Faults,
) -> None:
    """Check that formulas name columns."""
    known = market.names()
    for label, expression in expressions_of(datasets, parts):
        check_names(expression, known, label, faults)


def _survey_block(
    block: MarketBlock,
    datasets: Sequence[SurveyDataset],
    parts: Sequence[SurveyPart],
    layout: SurveyLayout,
    markets: Markets,
    evaluator: Evaluator,
    spreads: list[Spread],
    sampled: np.ndarray[tuple[int, ...], np.dtype[np.bool_]],
) -> MarketBlock:
    """Evaluate what surveys ask of one block, one array at a time."""
    own = [markets(block.first_market + t) for t in range(block.n_markets)]
    n_cells = sum(market.n_agents * (1 + market.n_products) for market in own)
    factors = Factors(n_cells, *_columns(own))
    lay_out = partial(lay_out_cells, block.product_offsets, block.agent_offsets)
    both = SecondFactors(factors, block.product_offsets, block.agent_offsets)
    second = SecondSurveys(block, own, both, evaluator)
    weighted: list[Split] = []
    valued = [Split()] * len(parts)
    for d, dataset in enumerate(datasets):
        asked = {p: part for p, part in enumerate(parts) if layout.datasets[p] == d}
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
        sampled[d] |= some
        weighted.append(found)
        for p, split in values.items():
            valued[p] = split
    rows = survey_rows(
        layout, weighted, valued, factors.arrays(), second.rows(len(datasets))
    )
    return replace(block, surveys=rows)


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
