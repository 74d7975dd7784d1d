"""Observations that a survey would make if the model at an estimate were true.

Cells (t, i, j), or (t, i, j, k) where second choices are asked for, are drawn with
probabilities in proportion to

    w_i P_ij W_dij,   or   w_i P_ijk W_dijk,

by inversion of their cumulative sums, markets in sorted order, then agents, then
choices. Sums of markets come first, and cells again only where draws fall, so that no
more than some agents' cells are held at once. One uniform number is taken for each
observation, in their order, from NumPy's legacy stream, which gives PyBLP's samples.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import BlpdaskError
from ..records import Floats, Integers
from .estimated_markets import EstimatedMarkets
from .surveyed_markets import Survey, market_cells


@dataclass(frozen=True, slots=True, eq=False)
class SimulatedSurvey:
    """Who was observed, where, and what they chose.

    Attributes
    ----------
    market_codes
        ``(n,)`` places of markets in sorted order.
    agents
        ``(n,)`` places of agents in their market.
    choices
        ``(n,)`` places of first choices, and of second choices, along the axes of the
        survey's weights.
    """

    market_codes: Integers
    agents: Integers
    choices: tuple[Integers, ...]


def simulate_survey(
    markets: EstimatedMarkets, survey: Survey, n: int, seed: int | None
) -> SimulatedSurvey:
    """Draw observations.

    Parameters
    ----------
    markets, survey
        The problem at an estimate, and the dataset.
    n
        How many observations.
    seed
        Of the stream.

    Raises
    ------
    BlpdaskError
        Where weights are negative, or no cell can be drawn.
    """
    totals, of_market = _totals(markets, survey)
    whole = np.cumsum(totals)
    uniform = np.random.RandomState(seed).random_sample(n) * whole[-1]
    part = np.minimum(np.searchsorted(whole, uniform, side="right"), totals.size - 1)
    within = np.maximum(uniform - (whole - totals)[part], 0.0)
    found = [np.empty(n, np.int64) for _ in range(3)]
    n_axes, number = 0, 0
    for t in np.unique(of_market).tolist():
        if not np.isin(np.flatnonzero(of_market == t), part).any():
            number += int((of_market == t).sum())
            continue
        first = 0
        for cells in market_cells(markets, survey, t, derivatives=False):
            P, own = cells.P, np.flatnonzero(part == number)
            places = np.unravel_index(_invert(P.ravel(), within[own]), P.shape)
            n_axes = P.ndim
            for axis, place in enumerate(places):
                found[axis][own] = place
            found[0][own] += first
            first, number = first + len(P), number + 1
    return SimulatedSurvey(of_market[part], found[0], tuple(found[1:n_axes]))


def _totals(markets: EstimatedMarkets, survey: Survey) -> tuple[Floats, Integers]:
    """Sum the cells of each part of each market; say which market it is of."""
    totals, of_market = [], []
    for t in range(markets.demand.n_markets):
        for cells in market_cells(markets, survey, t, derivatives=False):
            P = cells.P
            if not (P >= 0).all():
                raise BlpdaskError(
                    "found: cells of negative or undefined probability\n  expected: "
                    "integration weights from zero, and finite utilities\n  what to "
                    "do: give the problem agents of a rule without negative weights"
                )
            totals.append(float(P.sum()))
            of_market.append(t)
    if not sum(totals) > 0:
        raise BlpdaskError(
            f"found: nobody whom {survey.dataset.label} could observe\n  expected: "
            "positive weights somewhere\n  what to do: correct compute_weights"
        )
    return np.array(totals), np.array(of_market, np.int64)


def _invert(weights: Floats, uniform: Floats) -> Integers:
    """Find the cells in which sums pass uniform numbers; never one of weight zero."""
    sums = np.cumsum(weights)
    places = np.searchsorted(sums, uniform, side="right")
    last = np.flatnonzero(weights).max(initial=0)
    return np.asarray(np.minimum(places, last))
