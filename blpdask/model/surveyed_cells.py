"""Probabilities of the cells that a survey may record, with derivatives along δ(θ).

Of agents and choices they are P_ij; of agents, first and second choices P_ijk
(:mod:`.cells`, :mod:`.second_choice_cells`). Either all cells are wanted, or for each
agent the one that was observed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..records import Floats, Integers
from .cells import FirstChoices
from .second_choice_cells import second_choices


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """Probabilities and derivatives.

    Attributes
    ----------
    P
        ``(I, 1 + J)``, ``(I, 1 + J, 1 + J)``, or ``(I,)`` of observed choices.
    by_theta
        ``(P, …)`` ∂P/∂θ of each free parameter that kernels see.
    """

    P: Floats
    by_theta: Floats


def all_cells(first: FirstChoices, groups: Integers | None = None) -> Cells:
    """Give all cells of agents.

    Parameters
    ----------
    first
        Their first choices.
    groups
        ``(1 + J,)`` codes of choices that are removed together, where second choices
        are asked for.
    """
    n = len(first.slopes)
    if groups is None:
        by_theta = np.empty((n, *first.P.shape))
        for p, slope in enumerate(first.slopes):
            by_theta[p] = first.P * slope.log_P
        return Cells(first.P, by_theta)
    shape = (*first.P.shape, first.P.shape[1])
    P, by_theta = np.zeros(shape), np.zeros((n, *shape))
    for g in np.unique(groups):
        gone = (groups == g)[None, :]
        own = np.flatnonzero(gone[0])
        after = second_choices(first, gone)
        split = _over(first.P[:, own], after.share[:, None])
        P[:, own] = split[:, :, None] * after.gains[:, None, :]
        for p, slope in enumerate(first.slopes):
            moved = slope.log_P[:, own] - after.share_slopes[p][:, None]
            of_split = np.where(split > 0.0, split * moved, 0.0)
            by_theta[p][:, own] = (
                of_split[:, :, None] * after.gains[:, None, :]
                + split[:, :, None] * after.gain_slopes[p][:, None, :]
            )
    return Cells(P, by_theta)


def observed_cells(
    first: FirstChoices,
    choices: Sequence[Integers],
    groups: Integers | None = None,
) -> Cells:
    """Give each agent's observed cell.

    Parameters
    ----------
    first
        First choices of agents.
    choices
        ``(I,)`` places of their choices among 1 + J, and of second choices where those
        were asked for.
    groups
        As in :func:`all_cells`.
    """
    rows, j = np.arange(len(first.P)), choices[0]
    own = first.P[rows, j]
    slopes = [slope.log_P[rows, j] for slope in first.slopes]
    by_theta = np.empty((len(slopes), own.size))
    if groups is None:
        for p, slope in enumerate(slopes):
            by_theta[p] = own * slope
        return Cells(own, by_theta)
    k = choices[1]
    after = second_choices(first, groups == groups[j][:, None])
    split, gains = _over(own, after.share), after.gains[rows, k]
    for p, slope in enumerate(slopes):
        moved = np.where(split > 0.0, split * (slope - after.share_slopes[p]), 0.0)
        by_theta[p] = moved * gains + split * after.gain_slopes[p][rows, k]
    return Cells(split * gains, by_theta)


def _over(values: Floats, by: Floats) -> Floats:
    """Divide, zero where there is nothing to divide by."""
    there = by > 0.0
    return np.where(there, values / np.where(there, by, 1.0), 0.0)
