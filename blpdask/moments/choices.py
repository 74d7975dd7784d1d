"""What a simulated likelihood needs of blocks of people: log P_i and its derivatives.

    LL = Σ_i w_i log P_i(θ),   ∂LL/∂θ = Σ_i w_i ∂log P_i/∂θ,

with P_i the mean over draws of products of logit probabilities (Train 2009, 8.3). Each
block adds its own people's terms.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ..choice_records import ChoiceBlock, MixedTastes
from ..kernels.choices import choice_probabilities
from ..records import JOINED, Floats


@dataclass(frozen=True, slots=True)
class LikelihoodState:
    """θ as sent to every block.

    Attributes
    ----------
    tastes
        θ as kernels read it.
    backend
        ``numba``, ``numpy`` or ``cupy``.
    derivatives
        Whether the score is wanted.
    by_person
        Whether scores of people are.
    """

    tastes: MixedTastes
    backend: str
    derivatives: bool = True
    by_person: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class LikelihoodSums:
    """What a block adds to a simulated likelihood.

    Attributes
    ----------
    log_likelihood
        Σ_i w_i log P_i.
    score
        ``(P,)`` its derivatives, or ``(0,)`` where not asked for.
    nonfinite
        People whose log P_i, or a derivative of it, is not finite.
    people
        All people.
    scores
        ``(I, P)`` w_i ∂log P_i/∂θ, people in the order of blocks, and
    weights
        ``(I,)`` w_i; of no rows where not asked for.
    """

    log_likelihood: float
    score: Floats
    nonfinite: int
    people: int
    scores: Floats = field(metadata=JOINED)
    weights: Floats = field(metadata=JOINED)


@dataclass(frozen=True, slots=True)
class EqualChances:
    """What a block adds to the likelihood of all alternatives alike.

    Attributes
    ----------
    log_likelihood
        -Σ_i w_i Σ_t log J_it.
    people, weight
        Number of people I and Σ_i w_i.
    """

    log_likelihood: float
    people: int
    weight: float


def likelihood_pass(
    block: ChoiceBlock, state: LikelihoodState, memory: None
) -> tuple[LikelihoodSums, None]:
    """Sum log P_i and its derivatives over people: what an engine maps over blocks."""
    del memory
    logs, scores = choice_probabilities(
        block, state.tastes, backend=state.backend, derivatives=state.derivatives
    )
    bad = ~(np.isfinite(logs) & np.isfinite(scores).all(axis=1))
    weighted = block.weights[:, None] * scores
    kept = block.n_people if state.by_person else 0
    sums = LikelihoodSums(
        log_likelihood=float(block.weights @ logs),
        score=weighted.sum(axis=0),
        nonfinite=int(bad.sum()),
        people=block.n_people,
        scores=weighted[:kept],
        weights=block.weights[:kept],
    )
    return sums, None


def equal_chances_pass(
    block: ChoiceBlock, state: None, memory: None
) -> tuple[EqualChances, None]:
    """Sum log-likelihoods where all alternatives are alike."""
    del state, memory
    logs = -np.log(np.diff(block.situation_offsets))
    own = np.add.reduceat(logs, block.person_offsets[:-1])
    found = EqualChances(
        log_likelihood=float(block.weights @ own),
        people=block.n_people,
        weight=float(block.weights.sum()),
    )
    return found, None


def warm_choice_kernels(backend: str) -> None:
    """Load or compile kernels by working on one person with one choice of two."""
    places = np.array([0, 1])
    block = ChoiceBlock(
        X=np.ones((2, 1)),
        chosen=places[:1],
        situation_offsets=2 * places,
        person_offsets=places,
        weights=np.ones(1),
        draws=np.ones((1, 1, 1)),
    )
    one, zero = np.ones(1), places[:1]
    tastes = MixedTastes(
        b=one, loadings=one[:, None], shapes=zero, rows=zero, columns=zero
    )
    likelihood_pass(block, LikelihoodState(tastes, backend), None)
