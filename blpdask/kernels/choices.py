"""Kernels of choices by name of a backend; compiled when they are first used."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..choice_records import ChoiceBlock, MixedTastes, PersonLikelihoods
from ..errors import Faults
from ..records import Floats


def choice_probabilities(
    block: ChoiceBlock,
    tastes: MixedTastes,
    *,
    backend: str,
    derivatives: bool = True,
    squares: bool = False,
    by_draw: bool = False,
) -> PersonLikelihoods:
    """Compute log P_i and ∂log P_i/∂θ of a block's people.

    Parameters
    ----------
    block, tastes
        Choices of people, and θ.
    backend
        ``numba``, ``numpy`` or ``cupy``.
    derivatives
        Whether derivatives are wanted.
    squares
        Whether those of Σ_r (w_r p_ir)² are too.
    by_draw
        Whether probabilities at single draws are.

    Raises
    ------
    InputError
        Where a block has other columns than θ.
    """
    _check_columns(block, tastes)
    wanted = {
        "derivatives": derivatives,
        "squares": squares and derivatives,
        "by_draw": by_draw,
    }
    if backend == "numba":
        from .loop_choices import choice_probabilities

        found = choice_probabilities(block, tastes, **wanted)
    else:
        from .array_choices import array_choices

        found = array_choices(backend).choice_probabilities(block, tastes, **wanted)
    demographics = block.demographics
    return replace(
        found,
        scores=slopes_by_theta(found.scores, demographics, tastes),
        squared_scores=slopes_by_theta(found.squared_scores, demographics, tastes),
    )


def slopes_by_theta(
    slopes: Floats, demographics: Floats, tastes: MixedTastes
) -> Floats:
    """Turn derivatives by b and Λ's entries into those by θ.

    Parameters
    ----------
    slopes
        ``(I, K + E)``.
    demographics
        ``(I, M)`` of whom they are.
    tastes
        θ.

    Returns
    -------
    Floats
        ``(I, P)``.
    """
    if not slopes.shape[1]:
        return slopes
    K = tastes.b.size
    if tastes.shift_rows.size:
        means = slopes[:, tastes.shift_rows]
        by_shifts = means * demographics[:, tastes.shift_columns]
        slopes = np.concatenate([slopes[:, :K], by_shifts, slopes[:, K:]], axis=1)
    return slopes if tastes.jacobian is None else slopes @ tastes.jacobian


def _check_columns(block: ChoiceBlock, tastes: MixedTastes) -> None:
    """Check that X and draws have the columns that θ has coefficients for."""
    faults = Faults("choices")
    for name, found, expected in (
        ("characteristics", block.X.shape[1], tastes.n_columns),
        ("draws", block.draws.shape[2], tastes.loadings.shape[1]),
        ("demographics", block.demographics.shape[1], tastes.shifts.shape[1]),
    ):
        if found != expected:
            faults.add(
                found=f"{found} columns of {name}",
                expected=f"{expected}, one for each coefficient that uses them",
                remedy="let the data and the kinds of coefficients agree",
            )
    faults.check()
