"""The tables that functions of surveys see: a market's, with every field of PyBLP's.

Identifiers of absorbed effects have no columns (:mod:`blpdask.problem.survey_tables`),
since a problem keeps only their codes.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np

from ..model.parameters import Parameters
from ..problem.agents import Agents
from ..problem.demand_problem import DemandProblem
from ..problem.fields import field_names, read_field
from ..problem.survey_market import SurveyedMarket
from ..problem.survey_tables import (
    Records,
    trimmed_agents,
    whole_agents,
    whole_products,
)
from ..problem.surveys import Markets
from .structured_tables import agents_table, products_table


def market_tables(
    demand: DemandProblem, parameters: Parameters, agent_data: Any
) -> Markets:
    """Give what makes the tables of a market.

    Parameters
    ----------
    demand
        A problem in memory.
    parameters
        Says which columns of Σ nodes belong to, where there are fewer than K2.
    agent_data
        What the agents were read from, for ``agent_ids``; or None.
    """
    products = whole_products(_columns(products_table(demand)))[demand.order]
    agents = _agents(demand, parameters, agent_data)
    offsets, people = demand.tables.product_offsets, demand.agents.offsets
    labels = tuple(column.name for column in demand.agents.columns)
    ids = demand.products.unique_market_ids

    def market(t: int) -> SurveyedMarket:
        own = cast("Records", products[offsets[t] : offsets[t + 1]].copy())
        everyone = cast("Records", agents[people[t] : people[t + 1]])
        return SurveyedMarket(
            market_id=ids[t],
            products=own,
            agents=trimmed_agents(everyone, own.size),
            demographics=labels,
        )

    return market


def _columns(table: np.ndarray[Any, Any]) -> dict[str, np.ndarray[Any, Any]]:
    """List the columns of a table by field."""
    return {name: table[name] for name in table.dtype.names or ()}


def _agents(demand: DemandProblem, parameters: Parameters, agent_data: Any) -> Records:
    """Give all agents, sorted by market."""
    columns = _columns(agents_table(demand)[demand.agents.order])
    ids = _agent_ids(demand.agents, agent_data, columns["market_ids"])
    return whole_agents(
        columns | {"agent_ids": ids}, len(parameters.types), parameters.node_columns
    )


def _agent_ids(
    agents: Agents, data: Any, market_ids: np.ndarray[Any, Any]
) -> np.ndarray[Any, Any]:
    """Read ``agent_ids`` of the data, where agents are its rows."""
    nothing = np.empty((agents.order.size, 0), object)
    names = () if data is None else field_names(data)
    if "agent_ids" not in names or "market_ids" not in names:
        return nothing
    own, markets = read_field(data, "agent_ids"), read_field(data, "market_ids")
    if own is None or markets is None or len(own) != agents.order.size:
        return nothing
    if not np.array_equal(markets.ravel()[agents.order], market_ids.ravel()):
        return nothing
    return np.asarray(own, object).ravel()[agents.order]
