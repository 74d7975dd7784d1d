"""Simulated scores of choices without the bias of a logarithm of a mean of draws.

The score of a person is ∂P_i/∂θ · 1/P_i. The first factor is a mean over draws; the
second is estimated of other draws, without bias (Train 2009, 10.5): since 1/P = Σ_k
(1 - P)^k over k >= 0,

    1/P̂ = 1 + Σ_{k=1..n} Π_{l<=k} (1 - p_l) / (1 - q)^k,

with p_l the probability at draw l, and n drawn once: Pr(n >= k) = (1 - q)^k. Where
1 - p_l is replaced by whether a uniform u_l exceeds p_l, this counts draws until the
choice is made again: accept-reject. Variances are finite where q is less than about
P; sums take 1/P draws or more. This is for people who choose once.

Of panels P is tiny, and scores are averages over the posterior of draws (Fisher's
identity),

    ∂log P_i/∂θ = E[∂log p_i(z)/∂θ | y_i],

which sweeps of iterated importance sampling approach, geometrically in their number:
of fresh draws and the one at hand one is kept, with chances ω ∝ p_i(z), and averages
are over all of them (Andrieu, Lee and Vihola 2018). What is random is drawn once.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from ..choice_records import ChoiceBlock, MixedTastes
from ..kernels.choices import choice_probabilities
from ..records import JOINED, Floats, Integers
from .choice_moments import MomentSums

#: What stands for zero in logarithms of weights and of chances to go on.
_NOTHING, _NEVER = 1e-300, 1e-22
#: Trials of one row of a block of trials.
TRIALS = 32


@dataclass(frozen=True, slots=True)
class ScoreState:
    """θ as sent to every block, and the backend of kernels."""

    tastes: MixedTastes
    backend: str


@dataclass(frozen=True, slots=True, eq=False)
class Chances:
    """Simulated probabilities of what people chose, ``(I,)``."""

    P: Floats = field(metadata=JOINED)


@dataclass(frozen=True, slots=True, eq=False)
class RouletteBlock:
    """People who choose once, and what 1/P is estimated of.

    Attributes
    ----------
    choices
        People with the draws of ∂P/∂θ.
    trials
        People again, each as often as trials take, :data:`TRIALS` draws a time.
    trial_places
        ``(L,)`` places of trials among those draws, row by row: those beyond a
        person's last are left out.
    starts
        ``(G,)`` first trial of each roulette that has any.
    people
        ``(G,)`` whose they are.
    steps
        ``(L,)`` k of each trial in its roulette times -log(1 - q_i).
    uniforms
        ``(L,)`` of accept-reject; of no rows otherwise.
    roulettes
        How many a person has, those of no trials too.
    """

    choices: ChoiceBlock
    trials: ChoiceBlock
    trial_places: Integers
    starts: Integers
    people: Integers
    steps: Floats
    uniforms: Floats
    roulettes: int


@dataclass(frozen=True, slots=True, eq=False)
class SweepBlock:
    """People of panels, and what their posteriors are approached with.

    Attributes
    ----------
    choices
        People with draws of all sweeps, one after another.
    uniforms
        ``(I, sweeps)`` that choose which draw is kept.
    """

    choices: ChoiceBlock
    uniforms: Floats


def chances_pass(
    block: ChoiceBlock, state: ScoreState, memory: None
) -> tuple[Chances, None]:
    """Compute probabilities of what people chose."""
    del memory
    found = choice_probabilities(
        block, state.tastes, backend=state.backend, derivatives=False
    )
    return Chances(np.exp(found.logs)), None


def roulette_pass(
    block: RouletteBlock, state: ScoreState, memory: None
) -> tuple[MomentSums, None]:
    """Sum scores of people who choose once."""
    del memory
    found = choice_probabilities(block.choices, state.tastes, backend=state.backend)
    inverses = inverse_probabilities(block, state)
    factors = np.exp(found.logs) * inverses
    return _sum(factors[:, None] * found.scores, block.choices.weights), None


def inverse_probabilities(block: RouletteBlock, state: ScoreState) -> Floats:
    """Estimate 1/P of people, ``(I,)``."""
    own = choice_probabilities(
        block.trials,
        state.tastes,
        backend=state.backend,
        derivatives=False,
        by_draw=True,
    )
    logs = own.draw_logs.ravel()[block.trial_places]
    if block.uniforms.size:
        kept = (block.uniforms > np.exp(logs)).astype(np.float64)
        survivals = np.log(np.maximum(kept, _NEVER))
    else:
        survivals = np.log(np.maximum(-np.expm1(logs), _NEVER))
    sums = np.cumsum(survivals)
    before = np.append(0.0, sums)[block.starts]
    sizes = np.diff(np.append(block.starts, sums.size))
    terms = np.exp(sums - np.repeat(before, sizes) + block.steps)
    n_people = block.choices.n_people
    owners = np.repeat(block.people, sizes)
    total = np.bincount(owners, weights=terms, minlength=n_people)
    return np.asarray(1.0 + total / block.roulettes)


def sweeps_pass(
    block: SweepBlock, state: ScoreState, memory: None
) -> tuple[MomentSums, None]:
    """Sum scores of people who choose several times."""
    del memory
    logs = choice_probabilities(
        block.choices,
        state.tastes,
        backend=state.backend,
        derivatives=False,
        by_draw=True,
    ).draw_logs
    weights = posterior_weights(logs, block.uniforms)
    weighed = np.log(np.maximum(weights, _NOTHING)) - logs
    found = choice_probabilities(
        replace(block.choices, log_weights=weighed),
        state.tastes,
        backend=state.backend,
    )
    return _sum(found.scores, block.choices.weights), None


def posterior_weights(logs: Floats, uniforms: Floats) -> Floats:
    """Weigh draws by iterated importance sampling.

    Parameters
    ----------
    logs
        ``(I, S R)`` log p_i of the draws of S sweeps.
    uniforms
        ``(I, S)``.

    Returns
    -------
    Floats
        ``(I, S R)``, of each person summing to one; those of the first half of sweeps
        count only for the draws that were kept.
    """
    n_people, S = uniforms.shape
    R = logs.shape[1] // S
    people = np.arange(n_people)
    weights = np.zeros(logs.shape)
    kept = np.zeros(n_people, np.int64)
    for s in range(S):
        fresh = np.broadcast_to(np.arange(s * R, (s + 1) * R), (n_people, R))
        places = fresh if s == 0 else np.column_stack([kept, fresh])
        own = logs[people[:, None], places]
        omega = np.exp(own - own.max(axis=1, keepdims=True))
        omega /= omega.sum(axis=1, keepdims=True)
        if s >= S // 2:
            weights[people[:, None], places] += omega / (S - S // 2)
        passed = omega.cumsum(axis=1) < uniforms[:, s][:, None]
        chosen = np.minimum(passed.sum(axis=1), omega.shape[1] - 1)
        kept = places[people, chosen]
    return weights


def _sum(scores: Floats, w: Floats) -> MomentSums:
    """Sum scores ``(I, P)`` of people of weights ``(I,)``."""
    weighted = w[:, None] * scores
    nothing = np.empty((scores.shape[1], 0))
    return MomentSums(
        moments=weighted.sum(axis=0),
        jacobian=nothing,
        simulation=nothing.T,
        nonfinite=int((~np.isfinite(weighted)).any(axis=1).sum()),
        people=w.size,
        by_person=weighted,
    )
