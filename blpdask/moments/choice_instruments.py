"""Instruments of choices: how probabilities of all alternatives move with parameters.

    W_itj = ∂log P_itj/∂θ = (Σ_r w_r ∂P_itj(β_ir)/∂θ) / (Σ_r w_r P_itj(β_ir)),
    ∂P_itj(β)/∂β = P_itj(β) (x_itj - Σ_k P_itk(β) x_itk).

At the true parameters these are the best instruments for y_itj - P_itj where a person
has one situation, since moments are then the scores (Chamberlain 1987; McFadden 1989).
They are computed once, of draws of their own, and then held.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ..choice_records import ChoiceBlock, MixedTastes
from ..kernels.choices import slopes_by_theta
from ..kernels.drawn_coefficients import (
    DrawnCoefficients,
    parameter_slopes,
    scale_coefficients,
    shape_coefficients,
)
from ..records import JOINED, Floats


@dataclass(frozen=True, slots=True, eq=False)
class Instruments:
    """W of a block's alternatives, ``(N, P)``, in the order of X."""

    W: Floats = field(metadata=JOINED)


def instruments_pass(
    block: ChoiceBlock, tastes: MixedTastes, memory: None
) -> tuple[Instruments, None]:
    """Compute the instruments of a block's alternatives."""
    del memory
    width = tastes.b.size + tastes.rows.size
    found = np.empty((len(block.X), width))
    for i in range(block.n_people):
        z, means = block.draws[i % len(block.draws)], tastes.b
        log_weights = np.zeros(len(z))
        if len(block.log_weights):
            log_weights = block.log_weights[i % len(block.log_weights)]
        if len(block.demographics):
            means = means + tastes.shifts @ block.demographics[i]
        drawn = shape_coefficients(means, z, tastes)
        beta = scale_coefficients(drawn.beta, tastes)
        by_parameters = _coefficient_slopes(drawn, z, tastes)
        for s in range(block.person_offsets[i], block.person_offsets[i + 1]):
            rows = slice(block.situation_offsets[s], block.situation_offsets[s + 1])
            found[rows] = _relative_slopes(
                block.X[rows], beta, by_parameters, log_weights
            )
    demographics = block.demographics
    if len(demographics):
        sizes = np.diff(block.situation_offsets[block.person_offsets])
        demographics = np.repeat(demographics, sizes, axis=0)
    return Instruments(slopes_by_theta(found, demographics, tastes)), None


def _coefficient_slopes(
    drawn: DrawnCoefficients, z: Floats, tastes: MixedTastes
) -> Floats:
    """Compute derivatives of β ``(R, K)`` by b and Λ's entries, ``(R, K, K + E)``."""
    each = DrawnCoefficients(
        beta=drawn.beta[:, None],
        slopes=drawn.slopes[:, None],
        by_spread={k: own[:, None] for k, own in drawn.by_spread.items()},
    )
    units = np.tile(np.eye(tastes.n_columns), (len(z), 1, 1))
    parts = parameter_slopes(units, each, z[:, None], tastes)
    return np.concatenate(parts, axis=-1)


def _relative_slopes(
    X: Floats, beta: Floats, by_parameters: Floats, log_weights: Floats
) -> Floats:
    """Compute ∂log P_j by b and Λ's entries of one situation, ``(J, K + E)``.

    Parameters
    ----------
    X, beta
        ``(J, K)`` and ``(R, K)``.
    by_parameters
        ``(R, K, K + E)`` derivatives of β.
    log_weights
        ``(R,)`` log w_r.
    """
    R, K, width = by_parameters.shape
    utilities = beta @ X.T
    utilities -= utilities.max(axis=1, keepdims=True)
    odds = np.exp(utilities)
    total = odds.sum(axis=1, keepdims=True)
    means = (odds / total) @ X
    # Draws weigh by w_r P_jr: relative to the largest, so that small P keep digits.
    logs = utilities - np.log(total) + log_weights[:, None]
    omega = np.exp(logs - logs.max(axis=0))
    omega /= omega.sum(axis=0)
    own = (omega.T @ by_parameters.reshape(R, -1)).reshape(-1, K, width)
    shared = np.einsum("rk,rkp->rp", means, by_parameters)
    return np.asarray(np.einsum("jk,jkp->jp", X, own) - omega.T @ shared)
