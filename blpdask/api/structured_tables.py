"""A problem's data as record arrays, and its dimensions in print."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ..problem.demand_problem import DemandProblem
from ..problem.fields import field_names
from ..problem.supply_side import SupplySide
from ..problem.survey_tables import (
    AGENT_FIELDS,
    numeric,
    whole_products,
    with_fields,
)
from ..problem.survey_tables import structure as structure
from ..results.text_tables import Header, text_table

if TYPE_CHECKING:
    from .problem import Problem
    from .simulation import Simulation

#: Fields that products of a simulation may have no data for.
_SIMULATED = (
    *("nesting_ids", "product_ids", "clustering_ids", "lag_indices", "ownership"),
)
_DIMENSIONS = (
    *("T", "N", "F", "I", "K1", "K2", "K3", "D"),
    *("MD", "MS", "MC", "ED", "ES", "H"),
)


def products_table(demand: DemandProblem) -> np.recarray[Any, Any]:
    """Give products as PyBLP does, in the user's order, effects absorbed.

    Fields without data have no columns.
    """
    products = demand.products
    numbers = ("prices", "ownership")
    ids = {n: v for n, v in products.ids.items() if n not in numbers}
    columns = {
        **{n: np.asarray(v, dtype=object) for n, v in ids.items()},
        **({} if products.lags is None else {"lag_indices": products.lags.rows}),
        "shares": products.shares,
        "ZD": products.ZD,
        "X1": products.X1_absorbed,
        "X2": products.X2,
        **_supply_columns(products.supply),
        **numeric({n: v for n, v in products.variables.items() if n not in ids}),
    }
    return whole_products(columns)


def _supply_columns(supply: SupplySide | None) -> dict[str, np.ndarray[Any, Any]]:
    """Give the matrices of the supply side, effects absorbed."""
    if supply is None:
        return {}
    found = {"ZS": supply.ZS, "X3": supply.X3_absorbed}
    if supply.ZC is not None:
        found["ZC"] = supply.ZC
    return (
        found if supply.ownership is None else found | {"ownership": supply.ownership}
    )


def agents_table(demand: DemandProblem) -> np.recarray[Any, Any]:
    """Give agents as PyBLP does, in the user's order.

    Fields without data have no columns; identifiers are not kept.
    """
    agents = demand.agents
    place = np.argsort(agents.order)
    columns = {
        "market_ids": demand.products.unique_market_ids[agents.market_codes[place]],
        "weights": agents.weights[place],
        "nodes": agents.nodes[place],
        "demographics": agents.demographics[place],
    }
    if agents.product_demographics is not None:
        by_product = agents.product_demographics
        whole = np.repeat(agents.demographics[:, :, None], by_product.shape[2], axis=2)
        whole[:, list(agents.product_columns)] = by_product.transpose(1, 0, 2)
        columns["demographics"] = whole[place]
    if agents.availability is not None:
        columns["availability"] = agents.availability[place]
    if agents.types is not None:
        names = np.empty(len(agents.type_ids), object)
        names[:] = agents.type_ids
        columns["type_ids"] = names[agents.types[place]]
    return structure(with_fields(columns, AGENT_FIELDS))


def simulated_products(
    columns: Mapping[str, np.ndarray[Any, Any]],
) -> np.recarray[Any, Any]:
    """Make the table of a simulation's products, fields without data among them."""
    return structure(with_fields(columns, _SIMULATED))


def simulated_agents(
    columns: Mapping[str, np.ndarray[Any, Any]],
) -> np.recarray[Any, Any]:
    """Make the table of a simulation's agents, fields without data among them."""
    return structure(with_fields(columns, AGENT_FIELDS))


def data_to_dict(data: Any, ignore_empty: bool = True) -> dict[str, Any]:
    """Convert a record array into a dict of vectors, matrices as name0, name1, ….

    Parameters
    ----------
    data
        Record array, such as ``problem.products``.
    ignore_empty
        Whether fields without columns are left out.

    Examples
    --------
    >>> import numpy as np
    >>> table = structure({"nodes": np.eye(2), "weights": np.ones(2)})
    >>> sorted(data_to_dict(table))
    ['nodes0', 'nodes1', 'weights']
    """
    found: dict[str, Any] = {}
    dtype = getattr(data, "dtype", None)
    for name in getattr(dtype, "names", None) or field_names(data):
        values = np.asarray(data[name])
        if values.ndim == 1 or values.shape[1] == 1:
            found[name] = values.reshape(len(values))
        elif values.shape[1] == 0:
            if not ignore_empty:
                found[name] = values
        else:
            found |= {f"{name}{c}": values[:, c] for c in range(values.shape[1])}
    return found


def dimensions_text(problem: Problem | Simulation) -> str:
    """Print a problem's dimensions and formulations."""
    sizes = {name: getattr(problem, name) for name in _DIMENSIONS}
    shown = {name: str(size) for name, size in sizes.items() if size}
    outline = problem.outline
    matrices = {
        "X1: Linear Characteristics": outline.X1_columns,
        "X2: Nonlinear Characteristics": outline.X2_columns,
        "X3: Cost Characteristics": outline.X3_columns,
        "d: Demographics": outline.agent_columns,
    }
    rows = [
        [title, *[column.name for column in columns]]
        for title, columns in matrices.items()
        if columns
    ]
    width = max(len(row) for row in rows) - 1
    header: list[Header] = ["Column Indices:", *[str(i) for i in range(width)]]
    return "\n\n".join(
        [
            text_table("Dimensions", list(shown), [list(shown.values())]),
            text_table("Formulations", header, rows),
        ]
    )
