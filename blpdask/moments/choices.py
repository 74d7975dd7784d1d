"""What a simulated likelihood needs of blocks of people: log P_i and its derivatives.

    LL = Σ_i w_i log P_i(θ),   ∂LL/∂θ = Σ_i w_i ∂log P_i/∂θ,

with P_i the mean over draws of products of logit probabilities (Train 2009, 8.3). Each
block adds its own people's terms.

The logarithm of a mean of R independent draws is too small by half its relative
variance. With ω_ir = w_r p_ir / Σ_s w_s p_is, whose squares sum to c_i,

    log P_i + (R c_i - 1) / (2 (R - 1)),
    ∂c_i/∂θ = 2 Σ_r ω_ir² ∂log p_ir/∂θ - 2 c_i ∂log P_i/∂θ

takes that away to the order of 1 / R (Gourieroux and Monfort 1996, 3.1).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from ..choice_records import ChoiceBlock, MixedTastes, PersonLikelihoods
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
    corrected
        Whether the bias of the logarithm is taken away.
    summed
        Whether, where scores of people are wanted, sums of their outer products do.
    """

    tastes: MixedTastes
    backend: str
    derivatives: bool = True
    by_person: bool = False
    corrected: bool = False
    summed: bool = False


def _no_products() -> Floats:
    return np.empty((0, 0))


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
        ``(I,)`` w_i, and
    concentrations
        ``(I,)`` c_i; of no rows where neither scores nor their products are asked for.
    outer, information
        ``(P, P)`` with s_i = ∂log P_i/∂θ, Σ_i w_i² s_i s_i' and Σ_i w_i s_i s_i'; of no
        rows where not asked for.
    """

    log_likelihood: float
    score: Floats
    nonfinite: int
    people: int
    scores: Floats = field(metadata=JOINED)
    weights: Floats = field(metadata=JOINED)
    concentrations: Floats = field(metadata=JOINED)
    outer: Floats = field(default_factory=_no_products)
    information: Floats = field(default_factory=_no_products)

    @property
    def score_sizes(self) -> Floats:
        """Give (Σ_i w_i² s_ip²)^½, ``(P,)``, of sums with scores or their products."""
        if self.outer.size:
            return np.asarray(np.sqrt(np.diag(self.outer)))
        return np.asarray(np.sqrt((self.scores**2).sum(axis=0)))


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
    found = choice_probabilities(
        block,
        state.tastes,
        backend=state.backend,
        derivatives=state.derivatives,
        squares=state.corrected,
    )
    if state.corrected:
        found = correct_logarithms(found, block.draws.shape[1])
    sums = sum_people(
        found,
        block.weights,
        by_person=state.by_person and not state.summed,
        summed=state.by_person and state.summed,
    )
    return sums, None


def sum_people(
    found: PersonLikelihoods, weights: Floats, *, by_person: bool, summed: bool = False
) -> LikelihoodSums:
    """Sum log P_i and scores over a block's people, weighted by ``(I,)``."""
    bad = ~(np.isfinite(found.logs) & np.isfinite(found.scores).all(axis=1))
    weighted = weights[:, None] * found.scores
    kept = weights.size if by_person else 0
    known = weights.size if by_person or summed else 0
    return LikelihoodSums(
        log_likelihood=float(weights @ found.logs),
        score=weighted.sum(axis=0),
        nonfinite=int(bad.sum()),
        people=weights.size,
        scores=weighted[:kept],
        weights=weights[:known],
        concentrations=found.concentrations[:known],
        outer=weighted.T @ weighted if summed else _no_products(),
        information=found.scores.T @ weighted if summed else _no_products(),
    )


def correct_logarithms(found: PersonLikelihoods, R: int) -> PersonLikelihoods:
    """Take the bias of the logarithm of a mean of ``R`` draws away."""
    if R == 1:
        return found
    c = found.concentrations
    scores = found.scores
    if scores.shape[1]:
        slopes = 2.0 * (found.squared_scores - c[:, None] * scores)
        scores = scores + slopes * (R / (2.0 * (R - 1)))
    return replace(
        found, logs=found.logs + (R * c - 1.0) / (2.0 * (R - 1)), scores=scores
    )


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
