"""What situations answer at given coefficients; compiled when it is first used.

Equations are those of :mod:`blpdask.kernels.loop_choice_answers`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..records import Floats, Integers

#: What can be asked beside probabilities, in the order of the loop's codes.
QUESTIONS = ("probabilities", "slopes", "removals", "surpluses")
#: Utilities beyond which sums of their terms are not trusted to be numbers.
_HUGE = 1e290


@dataclass(frozen=True, slots=True, eq=False)
class Situations:
    """Alternatives of people's situations.

    Attributes
    ----------
    X
        ``(N, K)`` characteristics, alternatives in the order of situations, these in
        the order of people.
    situation_offsets, person_offsets
        ``(S + 1,)`` first row of each situation, then N; ``(I + 1,)`` first situation
        of each person, then S. People can be without any.
    slopes
        ``(N, K)`` ∂X/∂v by a variable; of no rows where none is asked about.
    """

    X: Floats
    situation_offsets: Integers
    person_offsets: Integers
    slopes: Floats

    @property
    def sizes(self) -> Integers:
        """Count the alternatives of each situation, ``(S,)``."""
        return np.diff(self.situation_offsets)


@dataclass(frozen=True, slots=True, eq=False)
class SituationAnswers:
    """What situations answer.

    Attributes
    ----------
    probabilities
        ``(N,)`` P.
    pairs
        ``(F,)`` row-major ``(J, J)`` of each situation, F = Σ J²: of slopes
        ∂P_j/∂v_k as [j, k]; of removals P_k(-j) - P_k as [j, k], zero where k is j. Of
        size zero where neither is asked for.
    surpluses
        ``(S,)`` CS, or of size zero.
    """

    probabilities: Floats
    pairs: Floats
    surpluses: Floats


def answer_situations(
    situations: Situations, beta: Floats, weights: Floats, question: str
) -> SituationAnswers:
    """Answer at coefficients of people.

    Parameters
    ----------
    situations
        Of I people.
    beta
        ``(I, R, K)``, or ``(1, R, K)`` where people share them.
    weights
        ``(I, R)`` or ``(1, R)`` of these draws, which sum to one.
    question
        One of :data:`QUESTIONS`.

    Returns
    -------
    SituationAnswers
        NaN for people whose coefficients are not numbers.
    """
    from .loop_choice_answers import compiled_answers

    sizes = situations.sizes
    pair_offsets = np.concatenate([[0], np.cumsum(sizes * sizes)])
    paired = question in ("slopes", "removals")
    found = SituationAnswers(
        probabilities=np.zeros(len(situations.X)),
        pairs=np.zeros(pair_offsets[-1] if paired else 0),
        surpluses=np.zeros(sizes.size if question == "surpluses" else 0),
    )
    if not sizes.size:
        return found
    compiled_answers()(
        situations.X,
        situations.situation_offsets,
        situations.person_offsets,
        beta,
        weights,
        situations.slopes,
        pair_offsets,
        np.array([QUESTIONS.index(question)]),
        found.probabilities,
        found.pairs,
        found.surpluses,
    )
    _mark_failed(situations, beta, weights, pair_offsets, found)
    return found


def _mark_failed(
    situations: Situations,
    beta: Floats,
    weights: Floats,
    pair_offsets: Integers,
    found: SituationAnswers,
) -> None:
    """Write NaN where coefficients or weights are not numbers or far too large."""
    widest = max(1.0, float(np.abs(situations.X).max(initial=0.0)))
    with np.errstate(over="ignore", invalid="ignore"):
        sums = np.abs(beta).sum(axis=2).max(axis=1) * widest
        bad = ~((sums < _HUGE) & np.isfinite(weights).all(axis=1))
    if not bad.any():
        return
    people = np.flatnonzero(np.broadcast_to(bad, situations.person_offsets.size - 1))
    for i in people.tolist():
        s = slice(*situations.person_offsets[i : i + 2].tolist())
        ends = [s.start, s.stop]
        found.probabilities[slice(*situations.situation_offsets[ends].tolist())] = (
            np.nan
        )
        if found.pairs.size:
            found.pairs[slice(*pair_offsets[ends].tolist())] = np.nan
        if found.surpluses.size:
            found.surpluses[s] = np.nan
