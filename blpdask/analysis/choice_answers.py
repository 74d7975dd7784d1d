"""Ask people about situations: row by row, or added up over alternatives a.

With w_s the weight of a situation's person, and J_s its alternatives,

    row by row:   P_j,  ∂P_j/∂v_k or P_k(-j) - P_k,  CS_s,
    added up:     Σ_s w_s,  Σ_s w_s P_sa,  Σ_s w_s c_sb m_sab,

where m are the situation's pairs and c is v_b or one. What is added up is as large as
alternatives are many, however many people there are.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

import numpy as np

from ..kernels.choice_answers import SituationAnswers, Situations, answer_situations
from ..problem.asked_choices import AskedPeople, AskedSituations
from ..records import JOINED, Floats, Integers
from .choice_probabilities import At

#: Pairs of rows that are worked on at a time where they are added up.
PAIRS_HELD = 2**20


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
    drawn, of = query.at.draws(people.block), people.asked
    found = answer_situations(of.situations, drawn.beta, drawn.weights, query.question)
    return RowAnswers(
        probabilities=found.probabilities,
        pairs=found.pairs,
        surpluses=found.surpluses,
        weights=_situation_weights(of, people.block.weights),
    ), None


def alternatives_pass(
    people: AskedPeople, query: Query, memory: None
) -> tuple[AlternativeSums, None]:
    """Add answers up over alternatives, some people at a time."""
    del memory
    drawn, n_people = query.at.draws(people.block), people.block.n_people
    found: list[AlternativeSums] = []
    for first, stop in _some_people(people.asked.situations):
        asked = people.asked.of_people(first, stop)
        beta, draw_weights = (
            of[first:stop] if len(of) == n_people else of
            for of in (drawn.beta, drawn.weights)
        )
        answers = answer_situations(
            asked.situations, beta, draw_weights, query.question
        )
        weights = people.block.weights[first:stop]
        found.append(_sum_answers(answers, asked, weights, query))
    pairs = found[0].pairs
    for own in found[1:]:
        pairs = pairs + own.pairs
    return AlternativeSums(
        weight=sum(own.weight for own in found),
        probabilities=np.sum([own.probabilities for own in found], axis=0),
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


def _some_people(situations: Situations) -> list[tuple[int, int]]:
    """Cut people into runs that have about :data:`PAIRS_HELD` pairs of rows."""
    ends = np.concatenate([[0], np.cumsum(situations.sizes**2)])
    run = ends[situations.person_offsets[:-1]] // PAIRS_HELD
    edges = [0, *(np.flatnonzero(np.diff(run)) + 1).tolist(), run.size]
    return list(itertools.pairwise(edges))


def _sum_answers(
    found: SituationAnswers, of: AskedSituations, weights: Floats, query: Query
) -> AlternativeSums:
    """Add answers of people with ``(I,)`` weights up over alternatives."""
    A, sizes = query.n_alternatives, of.situations.sizes
    of_situations = _situation_weights(of, weights)
    of_rows = np.repeat(of_situations, sizes)
    pairs = np.empty((0, 0))
    if query.question in ("slopes", "removals"):
        left, right = pair_rows(of.situations)
        amounts = found.pairs * of_rows[left]
        if query.scaled:
            amounts *= of.values[right]
        places = of.codes[left] * A + of.codes[right]
        pairs = sum_by_code(places, amounts, A * A).reshape(A, A)
    return AlternativeSums(
        weight=float(of_situations.sum()),
        probabilities=sum_by_code(of.codes, of_rows * found.probabilities, A),
        pairs=pairs,
    )


def _situation_weights(asked: AskedSituations, weights: Floats) -> Floats:
    """Give each situation its person's weight, ``(S,)``."""
    return np.repeat(weights, np.diff(asked.situations.person_offsets))
