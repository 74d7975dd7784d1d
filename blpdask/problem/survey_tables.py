"""Record arrays of PyBLP's fields, for functions of surveys and for users.

Fields that a problem has no data for have no columns, as in PyBLP. What differs over
products has a column a product of the market.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from ..records import Floats

Records = np.recarray[Any, Any]

_IDS = (
    *("firm_ids", "demand_ids", "supply_ids", "nesting_ids", "product_ids"),
    "clustering_ids",
)
#: Fields that agents may have no data for.
AGENT_FIELDS = ("agent_ids", "availability")
_MATRICES = ("ownership", "ZS", "ZC", "X3")


def structure(columns: Mapping[str, np.ndarray[Any, Any]]) -> Records:
    """Make a record array of arrays with a row each, ``(N,)``, ``(N, M)``, …."""
    matrices = {n: v[:, None] if v.ndim == 1 else v for n, v in columns.items()}
    rows = len(next(iter(matrices.values())))
    fields = [(n, v.dtype, v.shape[1:]) for n, v in matrices.items()]
    # Zeros come ten times sooner than what np.recarray fills object columns with.
    table = np.zeros(rows, dtype=fields).view(np.recarray)
    for name, values in matrices.items():
        table[name] = values
    return table


def numeric(
    variables: Mapping[str, np.ndarray[Any, Any]],
) -> dict[str, np.ndarray[Any, Any]]:
    """Keep variables that are numbers or flags."""
    kept = {n: v for n, v in variables.items() if v.dtype.kind in "bif"}
    return {n: v.astype(np.float64) for n, v in kept.items()}


def whole_products(
    columns: Mapping[str, np.ndarray[Any, Any]], *, unknown: Collection[str] = ()
) -> Records:
    """Make the table of products, fields without data among its columns.

    Parameters
    ----------
    columns
        By field, ``(N,)`` or ``(N, M)``, ``shares`` among them.
    unknown
        Fields that the table does not have: their numbers are not known.
    """
    names = [*_IDS, *_MATRICES, "lag_indices"]
    found = with_fields(columns, names)
    return structure({n: v for n, v in found.items() if n not in unknown})


def with_fields(
    columns: Mapping[str, np.ndarray[Any, Any]], names: Collection[str]
) -> dict[str, np.ndarray[Any, Any]]:
    """Put fields of PyBLP's that a table has no data for before its columns.

    Parameters
    ----------
    columns
        By field, a row each.
    names
        Of the fields, ``(N, 0)`` where the columns do not have them.
    """
    rows = len(next(iter(columns.values())))
    kinds = {name: np.dtype(object) for name in (*_IDS, "agent_ids")}
    kinds["lag_indices"] = np.dtype(np.int64)
    number = np.dtype(np.float64)
    nothing = {n: np.empty((rows, 0), kinds.get(n, number)) for n in names}
    return nothing | dict(columns)


def whole_agents(
    columns: Mapping[str, np.ndarray[Any, Any]], K2: int, node_columns: Sequence[int]
) -> Records:
    """Make the table of agents, fields without data among its columns.

    Parameters
    ----------
    columns
        By field, a row an agent; ``nodes`` and ``weights`` among them.
    K2
        Columns that nodes have.
    node_columns
        Which of them the given ones are, where there are fewer.
    """
    own = dict(columns)
    if own["nodes"].shape[1] < K2:
        nodes = np.zeros((len(own["weights"]), K2))
        places = list(node_columns)
        nodes[:, places] = own["nodes"][:, : len(places)]
        own["nodes"] = nodes
    return structure(with_fields(own, AGENT_FIELDS))


def trimmed_agents(agents: Records, J: int) -> Records:
    """Keep what agents of a market have for its own products, in a copy."""
    by_product: dict[str, Floats] = {}
    if agents["demographics"].ndim == 3:
        by_product["demographics"] = agents["demographics"][:, :, :J]
    if agents["availability"].shape[1]:
        by_product["availability"] = agents["availability"][:, :J]
    if not by_product:
        return agents.copy()
    names = agents.dtype.names or ()
    return structure({name: agents[name] for name in names} | by_product)
