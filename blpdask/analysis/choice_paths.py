"""Ask with what probability each alternative is chosen over time, from habit to habit.

    P_itj = Σ_r w_r Σ_s π_{ir,t-1}(s) P_itj(s; β_ir),

with π_ir the chances of person i's states at draw r, which the model moves itself
(:mod:`blpdask.model.choice_states`). What people were seen to choose after their first
situation plays no part: other prices lead to other habits. Probabilities at observed
lags hold habits fixed, and so tell too little of lasting changes.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ..choice_records import MixedCoefficients
from ..model.choice_states import ChoicePaths, pad_paths, walk_states
from ..model.mixed_coefficients import drawn_coefficients, mixed_tastes
from ..records import JOINED, Floats
from .choice_probabilities import At


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class PathBlock:
    """Some people's situations over time, and their draws.

    Attributes
    ----------
    paths
        Of I people, each situation visited once, in order.
    draws, log_weights, demographics
        As in :class:`blpdask.choice_records.ChoiceBlock`.
    """

    paths: ChoicePaths
    draws: Floats
    log_weights: Floats
    demographics: Floats


@dataclass(frozen=True, slots=True, eq=False)
class PathProbabilities:
    """Probabilities of a block's rows, ``(N,)``."""

    probabilities: Floats = field(metadata=JOINED)


def paths_pass(
    block: PathBlock, at: At, memory: None
) -> tuple[PathProbabilities, None]:
    """Compute the probabilities of a block."""
    del memory
    found = np.zeros(len(block.paths.X))
    R = block.draws.shape[1]
    weights = np.full((1, R), 1.0 / R)
    if block.log_weights.size:
        weights = np.exp(block.log_weights) / R
    for padded in pad_paths(block.paths, R):
        beta = beta_at(block, at.coefficients, at.theta, padded.people)
        own = weights[padded.people] if len(weights) > 1 else weights
        for t, visit in enumerate(walk_states(padded, beta)):
            means = (visit.chances * own[:, np.newaxis]).sum(axis=2)
            real = padded.present[:, t] & padded.real[:, t, np.newaxis]
            found[padded.rows[:, t][real]] = means[real]
    return PathProbabilities(found), None


def beta_at(
    block: PathBlock,
    coefficients: MixedCoefficients,
    theta: Floats,
    people: np.ndarray[tuple[int], np.dtype[np.int64]],
) -> Floats:
    """Compute coefficients of some people at their draws, ``(B, R, K)``."""
    z = block.draws[people] if len(block.draws) > 1 else block.draws
    z = np.broadcast_to(z, (people.size, *z.shape[1:]))
    d = block.demographics[people] if len(block.demographics) else None
    return drawn_coefficients(
        mixed_tastes(coefficients, theta), z, None if d is None else d[:, np.newaxis]
    )
