"""Ask latent classes who is in them, and with what probability each choice is made.

    P_itj = Σ_q π_iq P_itj|q,    h_iq = π_iq P_iq / Σ_r π_ir P_ir:

the former before choices of the person are seen, the latter the probability that a
person is of class q given all of them (Train 2009, 14.3).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ..choice_records import ChoiceBlock
from ..kernels.choices import choice_probabilities
from ..model.latent_classes import (
    ClassedBlock,
    LatentClasses,
    log_class_shares,
    mix_classes,
)
from ..model.mixed_coefficients import mixed_tastes
from ..model.person_draws import PersonDraws, person_draws
from ..records import JOINED, Floats


@dataclass(frozen=True, slots=True, eq=False)
class ClassesAt:
    """Parameters at which questions are asked: what is sent to all blocks."""

    classes: LatentClasses
    theta: Floats
    conditional: bool = False
    backend: str = "numpy"

    def draws(self, block: ChoiceBlock) -> PersonDraws:
        """Give coefficients of a block's people in all classes, and their weights.

        Those of class q count π_iq together, or h_iq given what each person chose.
        """
        assert isinstance(block, ClassedBlock)
        parameters = self.classes.split(self.theta)
        log_shares = log_class_shares(parameters.gamma, block.membership)
        mixed = self.classes.coefficients
        found = [
            person_draws(block, mixed_tastes(mixed, own), conditional=self.conditional)
            for own in parameters.own
        ]
        shares = np.exp(log_shares)
        if self.conditional:
            _, shares = mix_classes(log_shares, self.log_likelihoods(block))
        weights = [shares[:, [q]] * one.weights for q, one in enumerate(found)]
        return PersonDraws(
            beta=np.concatenate([one.beta for one in found], axis=1),
            weights=np.concatenate(weights, axis=1),
        )

    def log_likelihoods(self, block: ClassedBlock) -> Floats:
        """Compute log P_iq ``(I, Q)``."""
        logs = [
            choice_probabilities(
                block,
                mixed_tastes(self.classes.coefficients, own),
                backend=self.backend,
                derivatives=False,
            ).logs
            for own in self.classes.split(self.theta).own
        ]
        return np.stack(logs, axis=1)


@dataclass(frozen=True, slots=True, eq=False)
class BlockClasses:
    """Probabilities of classes ``(I, Q)``: ``prior`` π and ``posterior`` h."""

    prior: Floats = field(metadata=JOINED)
    posterior: Floats = field(metadata=JOINED)


def people_classes_pass(
    block: ClassedBlock, at: ClassesAt, memory: None
) -> tuple[BlockClasses, None]:
    """Compute probabilities that people are of each class."""
    del memory
    parameters = at.classes.split(at.theta)
    log_shares = log_class_shares(parameters.gamma, block.membership)
    _, posterior = mix_classes(log_shares, at.log_likelihoods(block))
    return BlockClasses(prior=np.exp(log_shares), posterior=posterior), None
