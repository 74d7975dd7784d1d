"""Ask with what probability each alternative is chosen.

    P_itj = Σ_r w_ir e^{x_itj'β_ir} / Σ_k e^{x_itk'β_ir}

(Train 2009, equations 6.6 and 11.4), with the weights of draws of
:mod:`blpdask.model.person_draws`: before choices are seen, all draws of a person count
alike, or as their integration weighs them; given a person's choices, as these choices,
and first states where the likelihood has them, make them likely.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ..choice_records import ChoiceBlock, MixedCoefficients
from ..kernels.choice_answers import Situations, answer_situations
from ..model.laplace_draws import centred_blocks
from ..model.mixed_coefficients import mixed_tastes
from ..model.person_draws import PersonDraws, person_draws
from ..moments.initial_states import InitialBlock, weigh_by_first_states
from ..records import JOINED, Floats


@dataclass(frozen=True, slots=True, eq=False)
class At:
    """Parameters at which something is asked: what is sent to all blocks.

    Attributes
    ----------
    coefficients, theta
        What varies and how, and ``(P,)`` θ.
    conditional
        Whether it is asked given what each person chose.
    kinds
        ``(D,)`` of the random coefficients where a block's draws are base points of
        those around modes (:mod:`blpdask.model.laplace_draws`), which are then made at
        θ; else none.
    """

    coefficients: MixedCoefficients
    theta: Floats
    conditional: bool = False
    kinds: tuple[str, ...] = ()

    def draws(self, block: ChoiceBlock) -> PersonDraws:
        """Give coefficients of a block's people, and their weights."""
        tastes = mixed_tastes(self.coefficients, self.theta)
        if self.kinds:
            kept = centred_blocks()
            block = kept.centre(block, tastes, self.kinds, backend="numba")
        if self.conditional and isinstance(block, InitialBlock):
            block = weigh_by_first_states(block, tastes)
        return person_draws(block, tastes, conditional=self.conditional)


@dataclass(frozen=True, slots=True, eq=False)
class BlockProbabilities:
    """Probabilities of a block's alternatives, ``(N,)``."""

    probabilities: Floats = field(metadata=JOINED)


def probabilities_pass(
    block: ChoiceBlock, at: At, memory: None
) -> tuple[BlockProbabilities, None]:
    """Compute the probabilities of a block."""
    del memory
    drawn = at.draws(block)
    situations = Situations(
        X=block.X,
        situation_offsets=block.situation_offsets,
        person_offsets=block.person_offsets,
        slopes=np.empty((0, block.X.shape[1])),
    )
    found = answer_situations(situations, drawn.beta, drawn.weights, "probabilities")
    return BlockProbabilities(found.probabilities), None
