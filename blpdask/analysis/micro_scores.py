"""Scores of a survey's observations: how their log-probabilities move with θ.

Given that dataset d recorded it, observation n of market t has the probability

    P_n = Σ_{i∈I_n} w_i P_ij W_dij / Σ_t Σ_{i∈I_t} Σ_j w_i P_ij W_dij,

j the choice that was made, or P_ijk W_dijk where second choices k were asked for, and
the score

    S_n = ∂log P_n / ∂θ' = ṅ_n / n_n - ḋ / d

along δ(θ) (Conlon and Gortmaker 2025). The mean of S over observations is what an
optimal micro moment matches, with S of all agents and choices as its values. The
denominator d is of all markets of the dataset, whether or not somebody was observed
there, so that expected scores are zero.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from ..model.cells import FirstChoices, first_choices
from ..model.surveyed_cells import Cells, all_cells, observed_cells
from ..problem.observed_choices import ObservedChoices
from ..problem.survey_cells import cell_weights
from ..problem.survey_market import SurveyedMarket
from ..records import Floats, Integers, MarketBlock
from .estimated_markets import MOST_CELLS, EstimatedMarkets
from .surveyed_markets import (
    Survey,
    check_choices,
    group_choices,
    market_cells,
    weigh_cells,
    with_rows,
)

#: Makes the table of some rows of observations, as functions of surveys see it.
ObservedTables = Callable[[SurveyedMarket, Integers], SurveyedMarket]


@dataclass(frozen=True, slots=True, eq=False)
class _Sums:
    """Numerators ``(…)`` and their derivatives ``(P, …)``."""

    values: Floats
    by_theta: Floats

    def scores(self, whole: _Sums) -> Floats:
        """Turn into scores ``(P, …)``; NaN where the probability is zero."""
        with np.errstate(all="ignore"):
            extra = (whole.by_theta / whole.values).reshape(-1, *[1] * self.values.ndim)
            found = self.by_theta / self.values - extra
        return np.where(np.isfinite(found), found, np.nan)


def micro_scores(
    markets: EstimatedMarkets,
    survey: Survey,
    observed: ObservedChoices,
    tables: ObservedTables,
) -> Floats:
    """Compute scores of observations, ``(P, n)``.

    Parameters
    ----------
    markets
        The problem at an estimate.
    survey
        The dataset.
    observed
        The observations, with choices.
    tables
        Makes tables of them.

    Raises
    ------
    InputError
        Where choices are missing or are none of the survey's.
    """
    n_parameters = markets.tastes.size
    sums = _Sums(np.zeros(observed.size), np.zeros((n_parameters, observed.size)))
    for part in _parts(markets, survey, observed, tables):
        own = _observed_part(part, observed)
        sums.values[part.observations] = own.values
        sums.by_theta[:, part.observations] = own.by_theta
    return _whole_theta(markets, sums.scores(_denominator(markets, survey)))


def agent_scores(
    markets: EstimatedMarkets,
    survey: Survey,
    observed: ObservedChoices,
    tables: ObservedTables,
) -> dict[int, Floats]:
    """Compute scores of all choices of observations, by market ``(P, n_t, …)``.

    Parameters
    ----------
    markets, survey, tables
        As in :func:`micro_scores`.
    observed
        The observations, whose choices are not looked at.
    """
    denominator = _denominator(markets, survey)
    found: dict[int, list[_Sums]] = {}
    for part in _parts(markets, survey, observed, tables):
        cells = all_cells(part.first, part.groups)
        found.setdefault(part.t, []).append(
            _integrate(part, weigh_cells(cells, part.W, part.weights))
        )
    joined = {
        t: _Sums(
            np.concatenate([part.values for part in parts]),
            np.concatenate([part.by_theta for part in parts], axis=1),
        )
        for t, parts in found.items()
    }
    return {
        t: _whole_theta(markets, sums.scores(denominator)) for t, sums in joined.items()
    }


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """Some observations of a market.

    ``observations`` are their places, ``starts`` the first row of each among the
    part's, ``W`` and ``weights`` belong to rows, ``first`` has their first choices.
    """

    t: int
    observations: Integers
    starts: Integers
    W: Floats
    weights: Floats
    first: FirstChoices
    groups: Integers | None


def _parts(
    markets: EstimatedMarkets,
    survey: Survey,
    observed: ObservedChoices,
    tables: ObservedTables,
) -> Iterator[_Part]:
    """Cut observations into parts of a market, in its order."""
    for t in np.unique(observed.market_codes).tolist():
        block, table = markets.block(t), markets.tables(t)
        slopes = markets.delta_by_theta(t, block)
        own = np.flatnonzero(observed.market_codes == t)
        J = table.n_products
        width = (1 + markets.tastes.size) * (1 + J)
        if len(observed.choices) != 1:
            width *= 1 + J
        for observations in _cut(own, np.diff(observed.offsets), width):
            rows = _rows(observed.offsets, observations)
            people = tables(table, rows)
            W = cell_weights(survey.dataset, people)
            assert W is not None
            counts = np.diff(observed.offsets)[observations]
            yield _Part(
                t=t,
                observations=observations,
                starts=np.cumsum(counts) - counts,
                W=W,
                weights=observed.weights[rows],
                first=_first(markets, t, block, observed, rows, slopes),
                groups=group_choices(survey, table, block, W),
            )


def _first(
    markets: EstimatedMarkets,
    t: int,
    block: MarketBlock,
    observed: ObservedChoices,
    rows: Integers,
    slopes: Floats,
) -> FirstChoices:
    """Compute first choices of rows of observations."""
    people = with_rows(markets, block, observed, rows)
    return first_choices(people, markets.tastes, markets.delta_of(t), slopes)


def _observed_part(part: _Part, observed: ObservedChoices) -> _Sums:
    """Integrate what was observed over rows."""
    outside = [part.first.P.shape[1] - n for n in part.W.shape[1:]]
    choices = [choice[part.observations] for choice in observed.choices]
    check_choices(part.W, choices)
    counts = np.diff([*part.starts, len(part.W)])
    repeated = [np.repeat(choice, counts) for choice in choices[: len(outside)]]
    W = part.W[(np.arange(len(part.W)), *repeated)]
    places = [c + shift for c, shift in zip(repeated, outside, strict=True)]
    cells = observed_cells(part.first, places, part.groups)
    return _integrate(part, weigh_cells(cells, W, part.weights))


def _integrate(part: _Part, cells: Cells) -> _Sums:
    """Add up the rows of each observation."""
    return _Sums(
        np.add.reduceat(cells.P, part.starts, axis=0),
        np.add.reduceat(cells.by_theta, part.starts, axis=1),
    )


def _denominator(markets: EstimatedMarkets, survey: Survey) -> _Sums:
    """Sum over all cells of all markets of the survey."""
    value, by_theta = 0.0, np.zeros(markets.tastes.size)
    for t in range(markets.demand.n_markets):
        for cells in market_cells(markets, survey, t, derivatives=True):
            value += float(cells.P.sum())
            by_theta += cells.by_theta.reshape(by_theta.size, -1).sum(axis=1)
    return _Sums(np.array(value), by_theta)


def _whole_theta(markets: EstimatedMarkets, scores: Floats) -> Floats:
    """Add zeros for what moves no choices: φ and linear parameters in θ."""
    zero = np.where(np.isnan(scores[:1]), np.nan, 0.0)
    if not len(scores):
        zero = np.zeros((1, *scores.shape[1:]))
    rest = markets.parameters.size - len(scores)
    return np.concatenate([scores, np.repeat(zero, rest, axis=0)])


def _cut(observations: Integers, counts: Integers, width: int) -> Iterator[Integers]:
    """Cut observations so that rows times ``width`` stay below a bound, or are one."""
    first, held = 0, 0
    for place, n in enumerate(observations.tolist()):
        rows = int(counts[n])
        if place > first and (held + rows) * width > MOST_CELLS:
            yield observations[first:place]
            first, held = place, 0
        held += rows
    if observations.size > first:
        yield observations[first:]


def _rows(offsets: Integers, observations: Integers) -> Integers:
    """List the rows of observations."""
    counts = np.diff(offsets)[observations]
    starts = np.cumsum(counts) - counts
    within = np.arange(int(counts.sum())) - np.repeat(starts, counts)
    return np.asarray(np.repeat(offsets[observations], counts) + within)
