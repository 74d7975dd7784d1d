"""What surveys ask of every block: functions evaluated once, as factors.

θ never enters the user's functions (:mod:`.survey_arrays`), so that they are called
once a market and problem; what they give is compressed (:mod:`.survey_factors`) and
travels with the block (:mod:`.survey_block`). Here all blocks are in memory; those of
a store are asked where they are loaded (:mod:`.stored_surveys`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np

from ..errors import Faults, InputError
from ..moments.surveys import MicroTargets
from ..records import Floats, MarketBlock
from .survey_arrays import Evaluator, Spread, expressions_of
from .survey_block import Flags, SurveyQuestions, survey_block
from .survey_collinearity import ValueFactor, join_factors
from .survey_expressions import check_names
from .survey_market import SurveyedMarket

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
    factors
        By dataset, what is known of its parts' values; none where not wanted.
    """

    blocks: tuple[MarketBlock, ...]
    spreads: tuple[Spread, ...]
    factors: dict[int, ValueFactor]


def survey_blocks(
    blocks: Sequence[MarketBlock], questions: SurveyQuestions, markets: Markets
) -> SurveyedBlocks:
    """Evaluate the functions of surveys on blocks in memory.

    Parameters
    ----------
    blocks
        All blocks, in order.
    questions
        What is asked.
    markets
        Gives the markets' tables.

    Raises
    ------
    InputError
        With every fault of the functions, from the first error in one of them.
    """
    faults = Faults("micro_moments")
    evaluator = Evaluator(faults, questions.limits)
    check_formulas(questions, markets(0), evaluator)
    faults.check()
    found = []
    for block in blocks:
        own = [markets(block.first_market + t) for t in range(block.n_markets)]
        found.append(survey_block(block, own, questions, evaluator))
    sampled = np.any([one.sampled for one in found], axis=0)
    add_unsampled(questions, sampled, evaluator.failed, faults)
    try:
        faults.check()
    except InputError as error:
        raise error from evaluator.cause
    return SurveyedBlocks(
        blocks=tuple(one.block for one in found),
        spreads=merge_spreads([one.spreads for one in found]),
        factors=join_factors(pair for one in found for pair in one.factors),
    )


def check_formulas(
    questions: SurveyQuestions, market: SurveyedMarket, evaluator: Evaluator
) -> None:
    """Check that formulas name columns, which are those of any market."""
    known = market.names()
    for label, expression in expressions_of(questions.datasets, questions.parts):
        faults = Faults(label)
        check_names(expression, known, label, faults)
        for fault in faults:
            evaluator.fail(label, fault.found, fault.expected, fault.remedy)


def add_unsampled(
    questions: SurveyQuestions,
    sampled: Flags,
    failed: Collection[str],
    faults: Faults,
) -> None:
    """Add a fault for every dataset that records nobody anywhere.

    Parameters
    ----------
    questions
        What was asked.
    sampled
        ``(D,)`` whether weights are positive somewhere.
    failed
        Labels of what was found at fault already.
    faults
        What faults are added to.
    """
    for dataset, has_some in zip(questions.datasets, sampled, strict=True):
        if not has_some and dataset.label not in failed:
            faults.add(
                f"weights of {dataset.label} that are all zero",
                "a positive weight somewhere",
                "correct compute_weights or market_ids",
            )


def merge_spreads(found: Sequence[Sequence[Spread]]) -> tuple[Spread, ...]:
    """Give the spreads of parts over all blocks."""
    return tuple(reduce(Spread.merged, own) for own in zip(*found, strict=True))
