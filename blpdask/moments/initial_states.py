"""The likelihood of choices where first states are the model's own doing.

A first state k_i depends on tastes as later choices do. At draw r the model's chance of
it is π_ir(k_i), by recursion over the situations before
(:mod:`blpdask.model.choice_states`), and

    log P_i = log (1/R) Σ_r w_r π_ir(k_i) Π_t P_it(y_it | y_i,t-1; β_ir),
    ∂log P_i/∂θ = Σ_r ω_ir (∂log π_ir/∂θ + Σ_t ∂log P_it/∂θ),

with ω_ir the share of r in that sum (Heckman 1981). Chances of first states are weights
of draws to the kernels of choices.

References
----------
Heckman (1981), "The Incidental Parameters Problem and the Problem of Initial
Conditions in Estimating a Discrete Time-Discrete Data Stochastic Process".
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..choice_records import ChoiceBlock, MixedTastes, PersonLikelihoods
from ..kernels.array_choices import person_means
from ..kernels.choices import choice_probabilities, slopes_by_theta
from ..kernels.drawn_coefficients import (
    parameter_slopes,
    scale_coefficients,
    shape_coefficients,
)
from ..model.choice_states import (
    ChoicePaths,
    differentiate_last_state,
    pad_paths,
    walk_states,
)
from ..records import Floats, Integers
from .choices import LikelihoodState, LikelihoodSums, correct_logarithms, sum_people


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class InitialBlock(ChoiceBlock):
    """People's choices, and how they came to the first of them.

    Attributes
    ----------
    before
        Situations before, of the same people.
    observed
        ``(I,)`` states k_i after the last of these.
    """

    before: ChoicePaths
    observed: Integers


@dataclass(frozen=True, slots=True, eq=False)
class FirstStates:
    """Chances of first states.

    Attributes
    ----------
    logs
        ``(I, R)`` log π_ir(k_i).
    slopes
        ``(I, R, K + E)`` derivatives by b and Λ's entries; of no columns where not
        asked for.
    """

    logs: Floats
    slopes: Floats


def initial_states_pass(
    block: InitialBlock, state: LikelihoodState, memory: None
) -> tuple[LikelihoodSums, None]:
    """Sum log P_i, first states included, and derivatives over people."""
    del memory
    tastes = state.tastes
    first = first_states(block, tastes, derivatives=state.derivatives)
    found = choice_probabilities(
        _weigh(block, first),
        tastes,
        backend=state.backend,
        derivatives=state.derivatives,
        squares=state.corrected,
        by_draw=state.derivatives,
    )
    if state.derivatives:
        found = _add_slopes(found, first.slopes, block, tastes)
    if state.corrected:
        found = correct_logarithms(found, block.draws.shape[1])
    return sum_people(found, block.weights, by_person=state.by_person), None


def first_states(
    block: InitialBlock, tastes: MixedTastes, *, derivatives: bool
) -> FirstStates:
    """Compute the chances of first states at all draws.

    Parameters
    ----------
    block
        People.
    tastes
        θ.
    derivatives
        Whether they are wanted too.
    """
    n_people, R = block.n_people, block.draws.shape[1]
    width = tastes.b.size + tastes.rows.size if derivatives else 0
    found = FirstStates(np.empty((n_people, R)), np.empty((n_people, R, width)))
    means = person_means(block, tastes)
    with np.errstate(all="ignore"):  # what is not finite is counted, not hidden
        for padded in pad_paths(block.before, R):
            people = padded.people
            z = block.draws[people] if len(block.draws) > 1 else block.draws
            own = means[people] if len(means) > 1 else means
            drawn = shape_coefficients(own[:, np.newaxis], z, tastes)
            beta = scale_coefficients(drawn.beta, tastes)
            beta = np.broadcast_to(beta, (people.size, *beta.shape[1:]))
            visits = list(walk_states(padded, beta))
            last = block.observed[people]
            chances = visits[-1].after[np.arange(people.size), last]
            found.logs[people] = np.log(chances)
            if derivatives:
                slopes = differentiate_last_state(padded, visits, last)
                both = parameter_slopes(slopes, drawn, z, tastes, np)
                found.slopes[people] = np.concatenate(both, axis=2)
    return found


def weigh_by_first_states(block: InitialBlock, tastes: MixedTastes) -> InitialBlock:
    """Multiply weights of draws by chances of first states, w_r π_ir(k_i)."""
    return _weigh(block, first_states(block, tastes, derivatives=False))


def equal_first_states(block: InitialBlock) -> float:
    """Sum weighted logs of chances of first states where all alternatives are alike."""
    paths = block.before
    last = paths.visits[paths.visit_offsets[1:] - 1]
    own = [
        paths.states[slice(*paths.situation_offsets[v : v + 2].tolist())] == state
        for v, state in zip(last, block.observed, strict=True)
    ]
    return float(block.weights @ np.log([same.mean() for same in own]))


def _weigh(block: InitialBlock, first: FirstStates) -> InitialBlock:
    weights = block.log_weights if block.log_weights.size else 0.0
    return replace(block, log_weights=weights + first.logs)


def _add_slopes(
    found: PersonLikelihoods, slopes: Floats, block: InitialBlock, tastes: MixedTastes
) -> PersonLikelihoods:
    """Add what first states add to scores, and to sums of squares where there are."""
    R = block.draws.shape[1]
    with np.errstate(all="ignore"):
        share = np.exp(found.draw_logs - found.logs[:, np.newaxis]) / R
    added = (share[:, np.newaxis] @ slopes)[:, 0]
    scores = found.scores + slopes_by_theta(added, block.demographics, tastes)
    squared = found.squared_scores
    if squared.shape[1]:
        added = (share[:, np.newaxis] ** 2 @ slopes)[:, 0]
        squared = squared + slopes_by_theta(added, block.demographics, tastes)
    return replace(found, scores=scores, squared_scores=squared)
