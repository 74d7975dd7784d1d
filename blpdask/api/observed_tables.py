"""The tables of observations that functions of surveys see, with PyBLP's fields."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..analysis.micro_scores import ObservedTables
from ..problem.observed_choices import CHOICES, ObservedChoices
from ..problem.survey_market import SurveyedMarket
from ..records import Floats, Integers
from .structured_tables import structure


def observed_tables(observed: ObservedChoices) -> ObservedTables:
    """Give what puts rows of observations in the place of a market's agents."""
    numbers = np.repeat(np.arange(observed.size), np.diff(observed.offsets))

    def tables(market: SurveyedMarket, rows: Integers) -> SurveyedMarket:
        data, J = observed.data_rows[rows], market.n_products
        own = numbers[rows]
        nothing = np.empty((rows.size, 0))
        columns = {
            "micro_ids": observed.ids[own],
            "market_ids": np.full(rows.size, market.market_id, dtype=object),
            "agent_ids": nothing.astype(object)
            if observed.agent_ids is None
            else np.asarray(observed.agent_ids[data], object),
            "weights": observed.weights[rows],
            "nodes": observed.nodes[rows],
            "demographics": _demographics(observed, data, J),
            "availability": nothing
            if observed.availability is None
            else observed.availability[data, :J],
        }
        for name in CHOICES:
            columns[name] = nothing.astype(np.int64)
        for name, choice in zip(CHOICES, observed.choices, strict=False):
            columns[name] = choice[own]
        return replace(market, agents=structure(columns))

    return tables


def _demographics(observed: ObservedChoices, data: Integers, J: int) -> Floats:
    """Give demographics ``(R, D)``, or ``(R, D, J)`` where some differ by product."""
    people = observed.people
    values = people.values[data]
    if people.by_product is None:
        return values
    whole = np.repeat(values[:, :, None], J, axis=2)
    whole[:, list(people.product_columns)] = people.by_product[:, data, :J].transpose(
        1, 0, 2
    )
    return whole
