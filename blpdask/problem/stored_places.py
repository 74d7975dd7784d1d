"""Where the rows of a problem in a store are, and what they are called, without them.

Arguments of a question are checked against places of rows and names of columns alone.
Here these have the form of a problem in memory, whose matrices have no rows: it answers
where row j of the store is, in rows sorted by market as they are there, and nothing can
be computed of it by mistake.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from ..partitions.block_store import BlockStore
from ..partitions.cut import SortedTables
from ..records import Floats
from .absorption_options import AbsorptionControls
from .agents import Agents
from .demand_problem import DemandProblem
from .fields import matrix_columns
from .outline import DemandOutline
from .products import Products
from .stored_economy import decoded
from .stored_problem import StoredProblem
from .supply_side import SupplySide


def places_of(problem: StoredProblem) -> DemandProblem:
    """Give the places of all rows of a store, and the names of a problem's columns.

    Parameters
    ----------
    problem
        On the store.
    """
    outline = problem.outline
    counts, _ = problem.store.market_counts()
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    none = np.empty(0)
    return DemandProblem(
        products=_products(problem, np.repeat(np.arange(counts.size), counts)),
        agents=_agents(outline),
        types=problem.types,
        epsilon_scale=problem.epsilon_scale,
        order=np.arange(int(offsets[-1])),
        tables=SortedTables(
            product_offsets=offsets,
            agent_offsets=np.zeros_like(offsets),
            X2=_no_rows(len(outline.X2_columns)),
            ZD=_no_rows(0),
            log_shares=none,
            logit_delta=none,
            draws=_no_rows(0),
            weights=none,
        ),
        ZtX=_no_rows(0),
        ZtZ=_no_rows(0),
    )


def with_columns(
    places: DemandProblem, store: BlockStore, fields: Iterable[str]
) -> DemandProblem:
    """Add shares or identifiers, as long as the data, to places.

    Parameters
    ----------
    places
        Of :func:`places_of`.
    store
        Where they are read, a block at a time.
    fields
        ``shares``, ``prices``, ``firm_ids`` or ``product_ids``; those that the store
        does not have are left out.
    """
    names = [column.name for column in store.description.products]
    found: dict[str, Any] = {}
    for field in fields:
        columns = [read_whole(store, name) for name in matrix_columns(names, field)]
        if columns:
            found[field] = np.column_stack(columns)
    if "firm_ids" in found:
        found["firm_ids"] = found["firm_ids"][:, 0]
    shares = found.pop("shares", places.products.shares)
    products = replace(places.products, shares=np.ravel(shares), ids=found)
    return replace(places, products=products)


def read_whole(store: BlockStore, name: str) -> np.ndarray[Any, Any]:
    """Read a column of products of all blocks, ``(N,)``, as users know it."""
    parts = [store.read("products", b, [name])[name] for b in range(len(store))]
    return decoded(store, name, np.concatenate(parts))


def _products(problem: StoredProblem, codes: np.ndarray[Any, Any]) -> Products:
    """Give products without rows, but for the codes ``(N,)`` of their markets."""
    outline = problem.outline
    named = {
        name
        for columns in (outline.X1_columns, outline.X2_columns, outline.X3_columns)
        for column in columns
        for name in column.names
    }
    K1, MD = len(outline.X1_columns), len(outline.ZD_names)
    return Products(
        market_codes=codes,
        unique_market_ids=outline.market_ids,
        # As many as rows, and no memory.
        shares=np.broadcast_to(np.nan, codes.shape),
        X1=_no_rows(K1),
        X1_absorbed=_no_rows(K1),
        X2=_no_rows(len(outline.X2_columns)),
        ZD=_no_rows(MD),
        ZD_absorbed=_no_rows(MD),
        X1_columns=outline.X1_columns,
        X2_columns=outline.X2_columns,
        ZD_names=outline.ZD_names,
        effects=(),
        absorption=AbsorptionControls(),
        clusters=None,
        ids={},
        # Formulas on a store are of numbers.
        variables=dict.fromkeys(sorted(named), np.empty(0)),
        supply=_supply(outline) if outline.X3_columns else None,
        nesting_ids=np.array(outline.nesting_ids, object),
    )


def _supply(outline: DemandOutline) -> SupplySide:
    """Give a supply side without rows."""
    K3, MS = len(outline.X3_columns), len(outline.ZS_names)
    return SupplySide(
        X3=_no_rows(K3),
        X3_absorbed=_no_rows(K3),
        ZS=_no_rows(MS),
        ZS_absorbed=_no_rows(MS),
        X3_columns=outline.X3_columns,
        ZS_names=outline.ZS_names,
        effects=(),
        absorption=AbsorptionControls(),
        firms=np.empty(0, np.int64),
        ownership=None,
        prices=np.empty(0),
        X1_priced=np.empty(0, np.int64),
        X2_priced=np.empty(0, np.int64),
        X1_by_prices=_no_rows(0),
        X2_by_prices=_no_rows(0),
    )


def _agents(outline: DemandOutline) -> Agents:
    """Give agents without rows."""
    none = np.empty(0, np.int64)
    return Agents(
        offsets=np.zeros(outline.market_ids.size + 1, np.int64),
        nodes=_no_rows(outline.n_node_columns),
        demographics=_no_rows(len(outline.agent_columns)),
        weights=np.empty(0),
        columns=outline.agent_columns,
        market_codes=none,
        order=none,
        type_ids=outline.type_ids,
    )


def _no_rows(width: int) -> Floats:
    return np.empty((0, width))
