"""What the functions of surveys were found to be, block by block, brought together.

Blocks are asked where they lie (:mod:`.stored_surveys`). What a driver must know of all
of them is small: faults, over what values spread, who is recorded at all, and how large
the factors have become.
"""

from __future__ import annotations

import traceback
from dataclasses import dataclass, field

import numpy as np

from ..errors import Fault, Faults, InputError
from ..records import JOINED, Floats, Integers, SurveyRows
from .survey_arrays import Evaluator, Spread
from .survey_block import Flags, SurveyedBlock, SurveyQuestions
from .survey_collinearity import ValueFactor, join_factors
from .surveys import add_unsampled, merge_spreads


@dataclass(frozen=True, slots=True)
class FunctionFaults:
    """What is wrong with a function on a block.

    Attributes
    ----------
    label
        What it is a function of.
    faults
        Its faults.
    cause
        The error that it raised, with its traceback; empty where there is none.
    """

    label: str
    faults: tuple[Fault, ...]
    cause: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class SurveyFindings:
    """What the functions of surveys were found to be on blocks, which are joined.

    Attributes
    ----------
    low, high
        ``(B, PM)`` over what each part's values spread.
    sampled
        ``(B, D)`` whether weights of a dataset are positive somewhere.
    orders
        ``(B, D)`` 1 for weights of first choices, 2 of first and second ones; zero
        where there are none.
    sizes
        ``(B,)`` bytes of what surveys ask.
    n_asked
        Blocks on which functions were called.
    faults
        Found in blocks.
    factors
        Datasets with what is known of their parts' values, block after block.
    """

    low: Floats = field(metadata=JOINED)
    high: Floats = field(metadata=JOINED)
    sampled: Flags = field(metadata=JOINED)
    orders: Integers = field(metadata=JOINED)
    sizes: Integers = field(metadata=JOINED)
    n_asked: int
    faults: tuple[FunctionFaults, ...]
    factors: tuple[tuple[int, ValueFactor], ...]

    @property
    def spreads(self) -> tuple[Spread, ...]:
        """Give over what values of parts spread on all blocks, ``(PM,)``."""
        blocks = zip(self.low.tolist(), self.high.tolist(), strict=True)
        return merge_spreads(
            [[Spread(*ends) for ends in zip(*own, strict=True)] for own in blocks]
        )

    @property
    def value_factors(self) -> dict[int, ValueFactor]:
        """Give what is known of parts' values on all blocks, by dataset."""
        return join_factors(self.factors)

    def check(self, questions: SurveyQuestions) -> None:
        """Raise every fault of the functions, each function's first one.

        Parameters
        ----------
        questions
            What was asked.

        Raises
        ------
        InputError
            With the faults.
        """
        faults = Faults("micro_moments")
        firsts: dict[str, FunctionFaults] = {}
        for found in self.faults:
            firsts.setdefault(found.label, found)
        for found in firsts.values():
            for fault in found.faults:
                faults.add_fault(fault)
        self._add_mixed(questions, firsts, faults)
        if self.n_asked:
            add_unsampled(questions, np.any(self.sampled, axis=0), firsts, faults)
        raise_from(faults, [found.cause for found in firsts.values()])

    def _add_mixed(
        self,
        questions: SurveyQuestions,
        failed: dict[str, FunctionFaults],
        faults: Faults,
    ) -> None:
        """Add datasets of second choices in some blocks and not in others."""
        for dataset, orders in zip(questions.datasets, self.orders.T, strict=True):
            if len(set(orders.tolist()) - {0}) > 1 and dataset.label not in failed:
                faults.add(
                    f"weights of {dataset.label} of first choices in some markets, and "
                    "of first and second choices in others",
                    "second choices in all markets of a dataset or in none",
                    "make two datasets, or correct compute_weights",
                )


def findings_of(
    questions: SurveyQuestions, surveyed: SurveyedBlock | None, evaluator: Evaluator
) -> SurveyFindings:
    """Say what was found of one block.

    Parameters
    ----------
    questions
        What was asked.
    surveyed
        The block, None where formulas name no columns.
    evaluator
        Which called its functions.
    """
    PM, D, failed = len(questions.parts), len(questions.datasets), evaluator.failed
    causes = [trace_of(evaluator), *[""] * len(failed)]
    faults = tuple(map(FunctionFaults, failed, map(tuple, failed.values()), causes))
    orders = np.array([[evaluator.orders(d.label) for d in questions.datasets]])
    if surveyed is None:
        ends = np.full((1, PM), np.inf), np.full((1, PM), -np.inf)
        none = np.zeros((1, D), np.bool_)
        return SurveyFindings(*ends, none, orders, np.zeros(1, int), 0, faults, ())
    assert surveyed.block.surveys is not None
    return SurveyFindings(
        low=np.array([[spread.low for spread in surveyed.spreads]]),
        high=np.array([[spread.high for spread in surveyed.spreads]]),
        sampled=surveyed.sampled[None],
        orders=orders,
        sizes=np.array([survey_bytes(surveyed.block.surveys)]),
        n_asked=1,
        faults=faults,
        factors=surveyed.factors,
    )


def trace_of(evaluator: Evaluator) -> str:
    """Write the first error that a function raised, which may not travel itself."""
    if evaluator.cause is None:
        return ""
    return "".join(traceback.format_exception(evaluator.cause))


def survey_bytes(rows: SurveyRows) -> int:
    """Add up the bytes of what surveys ask of a block, each array once."""
    fields = [
        getattr(functions, name)
        for functions in (rows.functions, rows.squares)
        for name in functions.__dataclass_fields__
    ]
    return sum({id(a): a.nbytes for a in fields}.values())


def raise_from(faults: Faults, causes: list[str]) -> None:
    """Raise what faults there are, with the first error behind them.

    Parameters
    ----------
    faults
        The faults.
    causes
        Errors with their tracebacks, of which some may be empty.

    Raises
    ------
    InputError
        Where there are faults.
    """
    try:
        faults.check()
    except InputError as error:
        for cause in [text for text in causes if text][:1]:
            error.add_note(cause)
        raise
