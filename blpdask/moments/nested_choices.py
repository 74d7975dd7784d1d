"""What a nested logit needs of blocks of people: log P_i and its derivatives.

What is sent says ρ by a search's parameter s, ρ = 1 - e^{-s} < 1, and ∂ρ/∂s = 1 - ρ.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..choice_records import PersonLikelihoods
from ..model.nested_choices import (
    NestedBlock,
    NestedCoefficients,
    nested_probabilities,
    nested_slopes,
)
from ..records import Floats
from .choices import LikelihoodSums, sum_people


@dataclass(frozen=True, slots=True, eq=False)
class NestedState:
    """Parameters as sent to every block.

    Attributes
    ----------
    coefficients
        Which parameters there are.
    beta, rho
        ``(K,)``, and ``(G,)`` those ρ that are parameters.
    derivatives, by_person
        Whether the score, and whether scores of people are wanted.
    """

    coefficients: NestedCoefficients
    beta: Floats
    rho: Floats
    derivatives: bool = True
    by_person: bool = False


def nested_pass(
    block: NestedBlock, state: NestedState, memory: None
) -> tuple[LikelihoodSums, None]:
    """Sum log P_i and derivatives by (β, s): what an engine maps over blocks."""
    del memory
    with np.errstate(all="ignore"):  # what is not finite is counted
        found = _likelihoods(block, state)
    return sum_people(found, block.weights, by_person=state.by_person), None


def _likelihoods(block: NestedBlock, state: NestedState) -> PersonLikelihoods:
    """Compute log P_i and derivatives of a block's people."""
    rho = state.coefficients.nest_rho(state.rho)
    choices = nested_probabilities(block, state.beta, rho)
    people = block.person_offsets[:-1]
    none = np.empty((block.n_people, 0))
    scores = none
    if state.derivatives:
        places = np.array(state.coefficients.rho_places, np.int64)
        slopes = nested_slopes(block, choices, places, state.rho.size)
        slopes[:, state.beta.size :] *= 1.0 - state.rho
        scores = np.add.reduceat(slopes, people, axis=0)
    return PersonLikelihoods(
        logs=np.add.reduceat(choices.log_P, people),
        scores=scores,
        concentrations=np.ones(block.n_people),
        squared_scores=none,
        draw_logs=none,
    )
