"""Ask with what probability each alternative is chosen, before choices are seen.

    P_itj = (1/R) Σ_r e^{x_itj'β_ir} / Σ_k e^{x_itk'β_ir},   β_irk = h_k(b_k + L_k z_ir)

(Train 2009, equation 6.6), averaged over all draws of a person alike: those of a panel
are not weighted by the person's choices. Situations are worked on one after the other,
so that memory is that of the draws.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ..choice_records import ChoiceBlock, MixedCoefficients
from ..model.mixed_coefficients import drawn_coefficients, mixed_tastes
from ..records import JOINED, Floats


@dataclass(frozen=True, slots=True, eq=False)
class At:
    """Parameters at which probabilities are asked: what is sent to all blocks."""

    coefficients: MixedCoefficients
    theta: Floats


@dataclass(frozen=True, slots=True, eq=False)
class BlockProbabilities:
    """Probabilities of a block's alternatives, ``(N,)``."""

    probabilities: Floats = field(metadata=JOINED)


def probabilities_pass(
    block: ChoiceBlock, at: At, memory: None
) -> tuple[BlockProbabilities, None]:
    """Compute the probabilities of a block."""
    del memory
    found = np.empty(len(block.X))
    tastes = mixed_tastes(at.coefficients, at.theta)
    for i in range(block.n_people):
        z = block.draws[i % len(block.draws)]
        d = block.demographics[i] if len(block.demographics) else None
        beta = drawn_coefficients(tastes, z, d)
        for s in range(block.person_offsets[i], block.person_offsets[i + 1]):
            rows = slice(block.situation_offsets[s], block.situation_offsets[s + 1])
            utilities = beta @ block.X[rows].T
            odds = np.exp(utilities - utilities.max(axis=1, keepdims=True))
            found[rows] = (odds / odds.sum(axis=1, keepdims=True)).mean(axis=0)
    return BlockProbabilities(found), None
