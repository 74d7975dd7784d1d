"""Cells that a survey may record, of a problem's agents or of those it observed.

    w_i P_ij W_dij,   or where second choices are asked for   w_i P_ijk W_dijk,

and their derivatives along δ(θ), one market at a time
(:mod:`blpdask.model.surveyed_cells`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..errors import Faults
from ..model.surveyed_cells import Cells, all_cells
from ..problem.availability import flatten_availability
from ..problem.observed_choices import CHOICES, ObservedChoices
from ..problem.survey_arrays import SurveyDataset
from ..problem.survey_cells import cell_weights, check_removed
from ..problem.survey_market import SurveyedMarket
from ..problem.survey_removals import removal_codes
from ..records import Floats, Integers, MarketBlock
from .estimated_markets import EstimatedMarkets, choices_in_parts


@dataclass(frozen=True, slots=True, eq=False)
class Survey:
    """A dataset, and which column of product_ids names what second choices remove."""

    dataset: SurveyDataset
    removed: int | None


def market_cells(
    markets: EstimatedMarkets, survey: Survey, t: int, *, derivatives: bool
) -> Iterator[Cells]:
    """Yield w_i P_ij W_dij of a market's own agents, some agents at a time.

    Arrays have the shape of the survey's weights; derivatives come first along an axis
    of parameters. Nothing is yielded where the survey is not.

    Parameters
    ----------
    markets, survey
        The problem at an estimate, and the dataset.
    t
        Place of the market.
    derivatives
        Whether they are wanted.
    """
    table = markets.tables(t)
    W = cell_weights(survey.dataset, table)
    if W is None:
        return
    block = markets.block(t)
    groups = group_choices(survey, table, block, W)
    slopes = np.empty((table.n_products, 0))
    if derivatives:
        slopes = markets.delta_by_theta(t, block)
    for agents, first in choices_in_parts(
        block,
        markets.tastes,
        markets.delta_of(t),
        slopes,
        cells_per_agent=int(np.prod(W.shape[1:])),
    ):
        cells = all_cells(first, groups)
        yield weigh_cells(cells, W[agents], block.weights[agents])


def group_choices(
    survey: Survey, table: SurveyedMarket, block: MarketBlock, W: Floats
) -> Integers | None:
    """Say what second choices remove, ``(1 + J,)``; None where none are asked for.

    Parameters
    ----------
    survey, table, block
        The dataset, and a market as a table and as a block.
    W
        Its weights there.
    """
    if W.ndim == 2:
        return None
    groups = removal_codes(table, survey.removed)
    faults = Faults("dataset")
    check_removed(groups, block.nests, table.market_id, faults)
    faults.check()
    return groups


def weigh_cells(cells: Cells, W: Floats, weights: Floats) -> Cells:
    """Multiply cells by weights of agents and of the survey, whose cells they become.

    Parameters
    ----------
    cells
        With the outside option first along every axis of choices.
    W
        ``(I, …)`` of the survey, with that option or without.
    weights
        ``(I,)`` of agents.
    """
    shape = (-1, *[1] * (W.ndim - 1))
    by = W * weights.reshape(shape)
    sizes = zip(cells.P.shape[1:], W.shape[1:], strict=True)
    own = (slice(None), *[slice(full - n, None) for full, n in sizes])
    return Cells(by * cells.P[own], by * cells.by_theta[(slice(None), *own)])


def with_rows(
    markets: EstimatedMarkets,
    block: MarketBlock,
    observed: ObservedChoices,
    rows: Integers,
) -> MarketBlock:
    """Put rows of observations in the place of a market's agents.

    Parameters
    ----------
    markets, block
        The problem at an estimate, and one of its markets.
    observed, rows
        Observations, and ``(R,)`` which of their rows.
    """
    parameters, data = markets.parameters, observed.data_rows[rows]
    columns = list(parameters.node_columns)
    nodes = np.zeros((rows.size, parameters.n_node_columns))
    nodes[:, : len(columns)] = observed.nodes[rows][:, columns]
    people = observed.people
    sizes = np.full(rows.size, block.n_products)
    availability, by_product = observed.availability, people.by_product
    if availability is not None:
        availability = flatten_availability(availability[data], sizes)
    if by_product is not None:
        by_product = flatten_availability(by_product[:, data], sizes)
    return replace(
        block,
        agent_offsets=np.array([0, rows.size]),
        draws=np.hstack([nodes, people.values[data]]),
        weights=observed.weights[rows],
        availability=availability,
        product_draws=by_product,
        product_columns=tuple(nodes.shape[1] + d for d in people.product_columns),
        agent_types=None,
    )


def check_choices(W: Floats, choices: Sequence[Integers]) -> None:
    """Check that observations of a market have as many choices as there are.

    Parameters
    ----------
    W
        The survey's weights there.
    choices
        First and second choices, as far as they are given.

    Raises
    ------
    InputError
        Where there are fewer, or some do not exist.
    """
    faults = Faults("micro_data")
    for a, n in enumerate(W.shape[1:]):
        if a >= len(choices):
            faults.add(
                f"no '{CHOICES[a]}'",
                "what observations chose, as the survey's weights have it",
                f"add a column {CHOICES[a]}",
            )
        elif (choices[a] >= n).any():
            faults.add(
                f"'{CHOICES[a]}' of up to {choices[a].max()}",
                f"numbers from zero to {n - 1} in that market, as the survey's weights "
                "have it",
                f"correct {CHOICES[a]}",
            )
    faults.check()
