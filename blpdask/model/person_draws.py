"""Which coefficients people may have, and how likely each is.

Questions about people average over draws r of β_ir, of weights that sum to one: of all
people who are like i,

    w_ir = e^{log weight_ir} / R,

or, given what i chose, with p_ir = Π_t P_it(β_ir),

    ω_ir = w_ir p_ir / Σ_s w_is p_is

(Revelt and Train 2000; Train 2009, 11.2). Whatever draws and weights a model has, all
questions get them here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..choice_records import ChoiceBlock, MixedTastes
from ..kernels.choices import choice_probabilities
from ..records import Floats
from .mixed_coefficients import drawn_coefficients


@dataclass(frozen=True, slots=True, eq=False)
class PersonDraws:
    """Coefficients of a block's people at draws.

    Attributes
    ----------
    beta
        ``(I, R, K)`` of the columns of X, or ``(1, R, K)`` where people share them.
    weights
        ``(I, R)`` or ``(1, R)``; each row sums to one.
    """

    beta: Floats
    weights: Floats


def person_draws(
    block: ChoiceBlock, tastes: MixedTastes, *, conditional: bool
) -> PersonDraws:
    """Give coefficients at draws and their weights.

    Parameters
    ----------
    block
        People with what they chose.
    tastes
        θ.
    conditional
        Whether weights are those given what each person chose, ω.
    """
    demographics = block.demographics[:, None, :] if block.demographics.size else None
    with np.errstate(over="ignore"):  # what is not finite is told by the answers
        beta = drawn_coefficients(tastes, block.draws, demographics)
    if conditional:
        found = choice_probabilities(
            block, tastes, backend="numba", derivatives=False, by_draw=True
        )
        return PersonDraws(beta, _normalise(found.draw_logs))
    logs = block.log_weights if len(block.log_weights) else None
    R = block.draws.shape[1]
    weights = np.full((1, R), 1.0 / R) if logs is None else _normalise(logs)
    return PersonDraws(beta, weights)


def _normalise(logs: Floats) -> Floats:
    """Turn logarithms ``(I, R)`` into weights that sum to one."""
    with np.errstate(invalid="ignore"):
        weights = np.exp(logs - logs.max(axis=1, keepdims=True))
        return np.asarray(weights / weights.sum(axis=1, keepdims=True))
