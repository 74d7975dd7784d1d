"""The tables that functions of surveys see: a market's, with every field of PyBLP's.

Fields that a problem has no data for have no columns, as in PyBLP. Identifiers of
absorbed effects have none either, since a problem keeps only their codes.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np

from ..model.parameters import Parameters
from ..problem.agents import Agents
from ..problem.demand_problem import DemandProblem
from ..problem.fields import field_names, read_field
from ..problem.survey_market import SurveyedMarket
from ..problem.surveys import Markets
from ..records import Floats
from .structured_tables import agents_table, products_table, structure

Records = np.recarray[Any, Any]

_IDS = (
    *("firm_ids", "demand_ids", "supply_ids", "nesting_ids", "product_ids"),
    "clustering_ids",
)
_MATRICES = ("ownership", "ZS", "ZC", "X3")


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
    products = _whole_products(demand)[demand.order]
    agents = _whole_agents(demand, parameters, agent_data)
    offsets, people = demand.tables.product_offsets, demand.agents.offsets
    labels = tuple(column.name for column in demand.agents.columns)
    ids = demand.products.unique_market_ids

    def market(t: int) -> SurveyedMarket:
        own = cast("Records", products[offsets[t] : offsets[t + 1]].copy())
        everyone = cast("Records", agents[people[t] : people[t + 1]])
        return SurveyedMarket(
            market_id=ids[t],
            products=own,
            agents=_trimmed(everyone, own.size),
            demographics=labels,
        )

    return market


def _whole_products(demand: DemandProblem) -> Records:
    """Give all products, in the user's order."""
    table = products_table(demand)
    columns = {name: table[name] for name in table.dtype.names or ()}
    nothing = {name: np.empty((table.size, 0), object) for name in _IDS}
    nothing |= {name: np.empty((table.size, 0)) for name in _MATRICES}
    nothing["lag_indices"] = np.empty((table.size, 0), np.int64)
    return structure(nothing | columns)


def _whole_agents(
    demand: DemandProblem, parameters: Parameters, agent_data: Any
) -> Records:
    """Give all agents, sorted by market."""
    agents = demand.agents
    table = agents_table(demand)[agents.order]
    columns = {name: table[name] for name in table.dtype.names or ()}
    n, K2 = table.size, len(parameters.types)
    if columns["nodes"].shape[1] < K2:
        nodes = np.zeros((n, K2))
        own = list(parameters.node_columns)
        nodes[:, own] = columns["nodes"][:, : len(own)]
        columns["nodes"] = nodes
    nothing = {
        "agent_ids": _agent_ids(agents, agent_data, columns["market_ids"]),
        "availability": np.empty((n, 0)),
    }
    return structure(nothing | columns)


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


def _trimmed(agents: Records, J: int) -> Records:
    """Keep what agents of a market have for its own products."""
    by_product: dict[str, Floats] = {}
    if agents["demographics"].ndim == 3:
        by_product["demographics"] = agents["demographics"][:, :, :J]
    if agents["availability"].shape[1]:
        by_product["availability"] = agents["availability"][:, :J]
    if not by_product:
        return agents.copy()
    names = agents.dtype.names or ()
    return structure({name: agents[name] for name in names} | by_product)
