"""Load or draw the products and agents of a simulation, and make a problem of them."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import DataWarning, Faults
from ..problem.absorption_options import AbsorptionControls
from ..problem.agents import TYPES, NodeRule, read_agents
from ..problem.demand_problem import DemandProblem, prepare_demand
from ..problem.fields import factorize, field_names, matrix_columns, read_matrix
from ..problem.formulas import ParsedFormula
from ..problem.products import read_products
from ..problem.supply_side import read_owners
from ..records import Floats, Integers
from .draws import Columns, complete_agents, complete_products
from .type_weights import mix_types


@dataclass(frozen=True, slots=True)
class EconomyFormulas:
    """Formulas of X1, X2, X3 and demographics; None where there is none."""

    linear: ParsedFormula
    random: ParsedFormula | None
    cost: ParsedFormula | None
    demographics: ParsedFormula | None


@dataclass(frozen=True, slots=True, eq=False)
class Economy:
    """Products and agents of a simulation.

    Attributes
    ----------
    demand
        The problem that they are.
    products, agents
        Their variables, matrices ``(N, M)`` and ``(A, M)``; agents None where there are
        none.
    firms
        ``(N,)`` codes of firms.
    ownership
        ``(N, max J)`` weights on profits, None where firms say it all.
    """

    demand: DemandProblem
    products: Columns
    agents: Columns | None
    firms: Integers
    ownership: Floats | None


def build_economy(
    product_data: Any,
    agent_data: Any,
    formulas: EconomyFormulas,
    rule: NodeRule | None,
    stream: np.random.RandomState,
    *,
    absorption: AbsorptionControls,
    weights_tol: float,
    epsilon_scale: float = 1.0,
    type_shares: Any = None,
) -> Economy:
    """Read tables, draw what they lack, and make a problem of both.

    Parameters
    ----------
    product_data, agent_data
        Tables; the latter may be None.
    formulas, rule
        Formulas, and the rule that builds nodes, None where agents have them.
    stream
        Where draws come from.
    absorption
        Of effects, of which there are none.
    weights_tol
        Largest distance from one of a market's weights before a warning.
    epsilon_scale
        Scale of the extreme-value errors.
    type_shares
        Shares of agents' types ``(R,)``, by which weights are multiplied; or None.

    Raises
    ------
    InputError
        With every fault of the products, or of the agents.
    """
    parsed = (formulas.linear, formulas.random, formulas.cost)
    faults = Faults("product_data")
    columns = complete_products(product_data, parsed, stream, faults)
    markets, _ = factorize(columns["market_ids"][:, 0])
    _, ownership = read_owners(columns, markets, faults)
    faults.check()
    products = read_products(
        columns, *parsed, add_exogenous=True, absorption=absorption
    )
    K2 = products.X2.shape[1]
    ids = products.unique_market_ids
    people: Columns | None = None
    if K2 and (agent_data is not None or rule is not None):
        given = _nodes(agent_data, rule, K2, ids)
        demographics = formulas.demographics
        faults = Faults("agent_data")
        people = complete_agents(given, agent_data, demographics, stream, faults)
    people = mix_types(people, type_shares, by_rule=rule is not None)
    agents = read_agents(
        people if K2 else agent_data,
        formulas.demographics,
        None if K2 else rule,
        unique_market_ids=ids,
        product_counts=np.bincount(products.market_codes),
        K2=K2,
        weights_tol=weights_tol,
    )
    return Economy(
        demand=prepare_demand(products, agents, ("linear",) * K2, epsilon_scale),
        products=columns,
        agents=people,
        firms=factorize(columns["firm_ids"][:, 0])[0],
        ownership=ownership,
    )


def _nodes(
    data: Any, rule: NodeRule | None, K2: int, ids: np.ndarray[Any, Any]
) -> Columns:
    """Give agents, nodes and weights from the rule, or else from the data."""
    if rule is not None:
        if data is not None and matrix_columns(field_names(data), "availability"):
            warnings.warn(
                "availability in agent_data is ignored, because integration builds "
                "the agents of a simulation; give nodes and weights in agent_data",
                DataWarning,
                stacklevel=4,
            )
        built = rule.build_markets(K2, ids.size)
        return {
            "market_ids": ids[np.asarray(built.market_index)][:, None],
            "nodes": built.nodes,
            "weights": np.reshape(built.weights, (-1, 1)),
        }
    faults = Faults("agent_data")
    names = ("market_ids", "agent_ids", "nodes", "weights", "availability", TYPES)
    found = {name: read_matrix(data, name, faults) for name in names}
    faults.check()
    return {name: values for name, values in found.items() if values is not None}
