"""What latent classes need of blocks of people: log P_i and its derivatives.

    P_i = Σ_q π_iq P_iq,   h_iq = π_iq P_iq / P_i,
    ∂log P_i/∂θ_q = h_iq ∂log P_iq/∂θ_q,   ∂log P_i/∂γ_q = (h_iq - π_iq) D_i

(Train 2009, 14.3). Kernels of choices compute P_iq class by class, whether tastes vary
within classes or not; a parameter that classes share has the sum of their derivatives.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..choice_records import PersonLikelihoods
from ..kernels.choices import choice_probabilities
from ..model.latent_classes import (
    ClassedBlock,
    LatentClasses,
    log_class_shares,
    mix_classes,
)
from ..model.mixed_coefficients import mixed_tastes
from ..records import Floats
from .choices import LikelihoodSums, sum_people


@dataclass(frozen=True, slots=True, eq=False)
class ClassState:
    """θ as sent to every block.

    Attributes
    ----------
    classes, theta
        How classes differ, and ``(P,)``.
    backend
        ``numba``, ``numpy`` or ``cupy``.
    derivatives, by_person
        Whether the score, and whether scores of people are wanted.
    """

    classes: LatentClasses
    theta: Floats
    backend: str
    derivatives: bool = True
    by_person: bool = False


def latent_class_pass(
    block: ClassedBlock, state: ClassState, memory: None
) -> tuple[LikelihoodSums, None]:
    """Sum log P_i and its derivatives over people: what an engine maps over blocks."""
    del memory
    found = class_likelihoods(block, state)
    return sum_people(found, block.weights, by_person=state.by_person), None


def class_likelihoods(block: ClassedBlock, state: ClassState) -> PersonLikelihoods:
    """Compute log P_i and ∂log P_i/∂θ of a block's people.

    Concentrations are averages of those of classes, by h.
    """
    parameters = state.classes.split(state.theta)
    found = [
        choice_probabilities(
            block,
            mixed_tastes(state.classes.coefficients, own),
            backend=state.backend,
            derivatives=state.derivatives,
        )
        for own in parameters.own
    ]
    log_shares = log_class_shares(parameters.gamma, block.membership)
    logs, h = mix_classes(log_shares, np.stack([one.logs for one in found], axis=1))
    scores = np.empty((block.n_people, 0))
    if state.derivatives:
        excess = (h - np.exp(log_shares))[:, :-1]
        scores = _join_scores(
            state.classes, found, h, excess[..., None] * block.membership[:, None]
        )
    concentrations = np.stack([one.concentrations for one in found], axis=1)
    return PersonLikelihoods(
        logs=logs,
        scores=scores,
        concentrations=(h * concentrations).sum(axis=1),
        squared_scores=np.empty((block.n_people, 0)),
        draw_logs=np.empty((block.n_people, 0)),
    )


def _join_scores(
    classes: LatentClasses,
    found: list[PersonLikelihoods],
    h: Floats,
    by_gamma: Floats,
) -> Floats:
    """Put derivatives by classes' parameters and by γ ``(I, Q - 1, M)`` where θ is."""
    scores = np.zeros((len(h), classes.size))
    for q, one in enumerate(found):
        free = classes.places[q] >= 0
        scores[:, classes.places[q, free]] += h[:, q, None] * one.scores[:, free]
    scores[:, classes.gamma_places.ravel()] = by_gamma.reshape(len(h), -1)
    return scores
