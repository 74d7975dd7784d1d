"""Ask people about situations: row by row, or added up over alternatives a.

With w_s the weight of a situation's person, and J_s its alternatives,

    row by row:   P_j,  ∂P_j/∂v_k or P_k(-j) - P_k,  CS_s,
    added up:     Σ_s w_s,  Σ_s w_s P_sa,  Σ_s w_s c_sb m_sab,

where m are the situation's pairs and c is v_b or one. What is added up is as large as
alternatives are many, however many people there are.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ..kernels.choice_answers import SituationAnswers, Situations, answer_situations
from ..problem.asked_choices import AskedPeople
from ..records import JOINED, Floats, Integers
from .choice_probabilities import At


@dataclass(frozen=True, slots=True, eq=False)
class Query:
    """What is asked, and at which parameters: sent to all blocks.

    Attributes
    ----------
    at
        Parameters.
    question
        One of :data:`blpdask.kernels.choice_answers.QUESTIONS`.
    n_alternatives
        A, where answers are added up.
    scaled
        Whether pairs are multiplied by the variable, as elasticities need.
    """

    at: At
    question: str = "probabilities"
    n_alternatives: int = 0
    scaled: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class RowAnswers:
    """Answers row by row, as :class:`blpdask.kernels.choice_answers.SituationAnswers`.

    Attributes
    ----------
    weights
        ``(S,)`` of situations' people.
    """

    probabilities: Floats = field(metadata=JOINED)
    pairs: Floats = field(metadata=JOINED)
    surpluses: Floats = field(metadata=JOINED)
    weights: Floats = field(metadata=JOINED)


@dataclass(frozen=True, slots=True, eq=False)
class AlternativeSums:
    """Answers added up over situations.

    Attributes
    ----------
    weight
        Σ_s w_s.
    probabilities
        ``(A,)`` Σ_s w_s P_sa.
    pairs
        ``(A, A)`` Σ_s w_s c_sb m_sab, or of no rows where there are no pairs.
    """

    weight: float
    probabilities: Floats
    pairs: Floats


def rows_pass(
    people: AskedPeople, query: Query, memory: None
) -> tuple[RowAnswers, None]:
    """Answer row by row."""
    del memory
    found = _answer(people, query)
    return RowAnswers(
        probabilities=found.probabilities,
        pairs=found.pairs,
        surpluses=found.surpluses,
        weights=_situation_weights(people),
    ), None


def alternatives_pass(
    people: AskedPeople, query: Query, memory: None
) -> tuple[AlternativeSums, None]:
    """Add answers up over alternatives."""
    del memory
    found, of = _answer(people, query), people.asked
    A, sizes = query.n_alternatives, of.situations.sizes
    weights = _situation_weights(people)
    of_rows = np.repeat(weights, sizes)
    pairs = np.empty((0, 0))
    if query.question in ("slopes", "removals"):
        left, right = pair_rows(of.situations)
        amounts = found.pairs * of_rows[left]
        if query.scaled:
            amounts *= of.values[right]
        places = of.codes[left] * A + of.codes[right]
        pairs = sum_by_code(places, amounts, A * A).reshape(A, A)
    return AlternativeSums(
        weight=float(weights.sum()),
        probabilities=sum_by_code(of.codes, of_rows * found.probabilities, A),
        pairs=pairs,
    ), None


def pair_rows(situations: Situations) -> tuple[Integers, Integers]:
    """Give rows j and k of all pairs of situations, ``(F,)`` each, k fast.

    Examples
    --------
    >>> one = Situations(
    ...     np.ones((3, 1)), np.array([0, 1, 3]), np.array([0, 2]), np.empty((0, 1))
    ... )
    >>> [places.tolist() for places in pair_rows(one)]
    [[0, 1, 1, 2, 2], [0, 1, 2, 1, 2]]
    """
    sizes = situations.sizes
    of_rows = np.repeat(sizes, sizes)
    left = np.repeat(np.arange(of_rows.size), of_rows)
    firsts = np.repeat(situations.situation_offsets[:-1], sizes)
    begins = np.cumsum(of_rows) - of_rows
    right = np.arange(left.size) - np.repeat(begins - firsts, of_rows)
    return left, right


def sum_by_code(codes: Integers, values: Floats, n_codes: int) -> Floats:
    """Add values ``(N,)`` up by codes, ``(n_codes,)``."""
    return np.asarray(np.bincount(codes, values, minlength=n_codes), np.float64)


def _answer(people: AskedPeople, query: Query) -> SituationAnswers:
    """Answer at the draws of the people."""
    drawn = query.at.draws(people.block)
    return answer_situations(
        people.asked.situations, drawn.beta, drawn.weights, query.question
    )


def _situation_weights(people: AskedPeople) -> Floats:
    """Give each situation its person's weight, ``(S,)``."""
    counts = np.diff(people.asked.situations.person_offsets)
    return np.repeat(people.block.weights, counts)
