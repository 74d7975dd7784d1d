"""Ask what coefficients people have, given what they chose.

    E[β_i | y_i] = Σ_r ω_ir β_ir,   sd² = Σ_r ω_ir (β_ir - E[β_i | y_i])²

(Revelt and Train 2000; Train 2009, equation 11.5), with ω_ir the weights of draws given
a person's choices. Their means over people are close to those of the population where
the model is right; they say little of a person who chose little.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ..choice_records import ChoiceBlock
from ..records import JOINED, Floats
from .choice_probabilities import At


@dataclass(frozen=True, slots=True, eq=False)
class PosteriorMoments:
    """Coefficients of people.

    Attributes
    ----------
    means, deviations
        ``(I, K)``.
    effective_draws
        ``(I,)`` one over Σ_r ω_ir²: few make the others unreliable.
    """

    means: Floats = field(metadata=JOINED)
    deviations: Floats = field(metadata=JOINED)
    effective_draws: Floats = field(metadata=JOINED)


def posterior_pass(
    block: ChoiceBlock, at: At, memory: None
) -> tuple[PosteriorMoments, None]:
    """Average coefficients of a block's people over their draws."""
    del memory
    drawn = at.draws(block)
    weights = np.broadcast_to(drawn.weights, (block.n_people, drawn.weights.shape[1]))
    first = drawn.beta[:, :1]  # what does not vary is exactly itself
    means = first[:, 0] + (weights[:, None, :] @ (drawn.beta - first))[:, 0]
    gaps = drawn.beta - means[:, None, :]
    variances = (weights[:, None, :] @ (gaps * gaps))[:, 0]
    return PosteriorMoments(
        means=means,
        deviations=np.sqrt(variances),
        effective_draws=1.0 / (weights * weights).sum(axis=1),
    ), None
