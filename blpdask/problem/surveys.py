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
    SurveyPart,
    expressions_of,
)
from .survey_expressions import check_names
from .survey_factors import Factors, Split, lay_out_cells
from .survey_functions import survey_rows
from .survey_market import INSIDE, SurveyedMarket

#: Gives a market by its place among all.
Markets = Callable[[int], SurveyedMarket]


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

    Raises
    ------
    InputError
        With every fault of the functions, from the first error in one of them.
    """
    faults = Faults("micro_moments")
    _check_formulas(datasets, parts, markets(0), faults)
    faults.check()
    evaluator = Evaluator(faults)
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
    every = lay_out([True] * len(own))
    weighted: list[Split] = []
    valued = [Split()] * len(parts)
    for d, dataset in enumerate(datasets):
        weights = [evaluator.weights(dataset, market) for market in own]
        sampled[d] |= any(W is not None and W.any() for W in weights)
        weighted.append(factors.split(_flat_weights(weights, own), every))
        cells = lay_out([_has_outside(W, m) for W, m in zip(weights, own, strict=True)])
        for p in np.flatnonzero(layout.datasets == d).tolist():
            values = _part_values(parts[p], weights, own, evaluator, spreads, p)
            if values is not None:
                valued[p] = factors.split(values, cells)
    rows = survey_rows(layout, weighted, valued, factors.arrays())
    return replace(block, surveys=rows)


def _part_values(
    part: SurveyPart,
    weights: Sequence[Floats | None],
    markets: Sequence[SurveyedMarket],
    evaluator: Evaluator,
    spreads: list[Spread],
    place: int,
) -> Floats | None:
    """Evaluate a part's values where its survey is, side by side; None at a fault."""
    found = [np.empty(0)]
    for W, market in zip(weights, markets, strict=True):
        if W is None:
            continue
        evaluated = evaluator.values(part, W, market, spreads[place])
        if evaluated is None:
            return None
        values, spreads[place] = evaluated
        found.append(values.ravel())
    return np.concatenate(found)


def _has_outside(weights: Floats | None, market: SurveyedMarket) -> bool | None:
    """Tell whether weights begin with the outside option; None without any."""
    return None if weights is None else weights.shape[1] > market.n_products


def _flat_weights(
    weights: Sequence[Floats | None], markets: Sequence[SurveyedMarket]
) -> Floats:
    """Lay weights side by side, zero where nobody is surveyed, ``(V + A,)``."""
    found = [np.empty(0)]
    for W, market in zip(weights, markets, strict=True):
        whole = np.zeros((market.n_agents, 1 + market.n_products))
        if W is not None:
            whole[:, 1 + market.n_products - W.shape[1] :] = W
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
