"""Ask latent classes who is in them, and with what probability each choice is made.

    P_itj = Σ_q π_iq P_itj|q,    h_iq = π_iq P_iq / Σ_r π_ir P_ir:

the former before choices of the person are seen, the latter the probability that a
person is of class q given all of them (Train 2009, 14.3).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ..kernels.choices import choice_probabilities
from ..model.latent_classes import (
    ClassedBlock,
    LatentClasses,
    log_class_shares,
    mix_classes,
)
from ..model.mixed_coefficients import mixed_tastes
from ..records import JOINED, Floats
from .choice_probabilities import At, BlockProbabilities, probabilities_pass


@dataclass(frozen=True, slots=True, eq=False)
class ClassesAt:
    """Parameters at which questions are asked: what is sent to all blocks."""

    classes: LatentClasses
    theta: Floats
    backend: str = "numpy"


@dataclass(frozen=True, slots=True, eq=False)
class BlockClasses:
    """Probabilities of classes ``(I, Q)``: ``prior`` π and ``posterior`` h."""

    prior: Floats = field(metadata=JOINED)
    posterior: Floats = field(metadata=JOINED)


def class_choices_pass(
    block: ClassedBlock, at: ClassesAt, memory: None
) -> tuple[BlockProbabilities, None]:
    """Compute the probabilities ``(N,)`` of a block's alternatives."""
    parameters = at.classes.split(at.theta)
    shares = np.exp(log_class_shares(parameters.gamma, block.membership))
    rows = np.diff(block.situation_offsets[block.person_offsets])
    found = np.zeros(len(block.X))
    for q, own in enumerate(parameters.own):
        inside, _ = probabilities_pass(block, At(at.classes.coefficients, own), memory)
        found += np.repeat(shares[:, q], rows) * inside.probabilities
    return BlockProbabilities(found), None


def people_classes_pass(
    block: ClassedBlock, at: ClassesAt, memory: None
) -> tuple[BlockClasses, None]:
    """Compute probabilities that people are of each class."""
    del memory
    parameters = at.classes.split(at.theta)
    log_shares = log_class_shares(parameters.gamma, block.membership)
    logs = [
        choice_probabilities(
            block,
            mixed_tastes(at.classes.coefficients, own),
            backend=at.backend,
            derivatives=False,
        ).logs
        for own in parameters.own
    ]
    _, posterior = mix_classes(log_shares, np.stack(logs, axis=1))
    return BlockClasses(prior=np.exp(log_shares), posterior=posterior), None
