"""The tables that functions of surveys see, of a block in a store.

Rows, fields and numbers are those that :mod:`blpdask.api.micro_tables` gives of data in
memory, with one exception: where effects are absorbed there is no ``X1``, or no ``X3``,
since a store's problem keeps no levels of their columns that depend on prices.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from ..errors import Faults
from ..partitions.store_schema import StoredColumn
from ..records import Floats, Integers, MarketBlock
from .fields import matrix_columns
from .formulas import ParsedFormula
from .products import read_identifiers
from .stored_blocks import BlockRecipe
from .stored_supply import supply_equation
from .survey_market import SurveyedMarket
from .survey_tables import (
    Records,
    numeric,
    trimmed_agents,
    whole_agents,
    whole_products,
)

Arrays = dict[str, np.ndarray[Any, Any]]
#: Of a table, a column's name and its values as stored.
Decode = Callable[[str, str, np.ndarray[Any, Any]], np.ndarray[Any, Any]]

#: Fields of products that identify, and are seen as objects.
_IDS = ("firm_ids", "nesting_ids", "product_ids", "clustering_ids")


@dataclass(frozen=True, slots=True, eq=False)
class AgentFields:
    """What the agents of blocks are made of.

    Attributes
    ----------
    n_nodes, K2
        Columns of nodes among draws, and columns that tables have.
    node_columns
        Which of those K2 they are.
    demographics
        Names of the columns of demographics.
    type_ids
        ``(R,)`` names of agents' types, none without types.
    """

    n_nodes: int
    K2: int
    node_columns: tuple[int, ...]
    demographics: tuple[str, ...]
    type_ids: tuple[Any, ...] = ()


def id_columns(columns: Sequence[StoredColumn]) -> tuple[str, ...]:
    """List the columns of products that identify."""
    names = {column.name for column in columns}
    return tuple(name for field in _IDS for name in matrix_columns(names, field))


def block_markets(
    block: MarketBlock,
    market_ids: np.ndarray[Any, Any],
    products: Arrays,
    fields: AgentFields,
    agent_ids: np.ndarray[Any, Any] | None = None,
) -> list[SurveyedMarket]:
    """Give the tables of a block's markets.

    Parameters
    ----------
    block
        The block, whose draws are its agents' nodes and demographics.
    market_ids
        ``(T,)`` of its markets.
    products
        Fields of products, see :func:`product_fields`.
    fields
        What agents are made of.
    agent_ids
        ``(A,)``, where there are any.
    """
    unknown = {"X3"} - set(products) if "ZS" in products else ()
    table = whole_products(products, unknown=unknown)
    found = []
    for t, market_id in enumerate(market_ids):
        rows = slice(*block.product_offsets[t : t + 2])
        own = cast("Records", table[rows].copy())
        found.append(
            SurveyedMarket(
                market_id=market_id,
                products=own,
                agents=_agents(block, t, market_id, fields, agent_ids),
                demographics=fields.demographics,
            )
        )
    return found


def read_ids(
    columns: Arrays,
    market_ids: np.ndarray[Any, Any],
    block: MarketBlock,
    decode: Decode,
) -> Arrays:
    """Give identifiers of a block's products as tables in memory have them.

    Parameters
    ----------
    columns
        Of products, as stored.
    market_ids
        ``(T,)`` of the block's markets.
    block
        The block.
    decode
        Gives texts in place of their codes.
    """
    found = {
        name: decode("products", name, values)
        for name, values in columns.items()
        if name.rstrip("0123456789") in _IDS
    }
    found["market_ids"] = np.repeat(market_ids, np.diff(block.product_offsets))
    return read_identifiers(found, Faults("products"))


def product_fields(
    ids: Arrays, columns: Arrays, recipe: BlockRecipe, matrices: Arrays
) -> Arrays:
    """Put the fields of a block's products together.

    Parameters
    ----------
    ids
        See :func:`read_ids`.
    columns
        Of products, as stored.
    recipe
        Says what formulas name.
    matrices
        See :func:`product_matrices`.
    """
    formulas = [recipe.linear, recipe.random]
    formulas += [] if recipe.supply is None else [recipe.supply.formula]
    matrix_parts = [ParsedFormula(f.terms, ()) for f in formulas if f is not None]
    names = {name for formula in matrix_parts for name in formula.names} - set(ids)
    labels = {name: np.asarray(values, object) for name, values in ids.items()}
    shares = np.asarray(columns["shares"], np.float64)
    variables = numeric({name: columns[name] for name in sorted(names)})
    return {**labels, "shares": shares, **matrices, **variables}


def product_matrices(
    recipe: BlockRecipe,
    columns: Arrays,
    block: MarketBlock,
    X1: Floats,
    Z: Floats,
    X2: Floats,
    X3: Floats | None,
) -> Arrays:
    """Give the matrices of a block's products, without those that are not known.

    Parameters
    ----------
    recipe, columns, block
        Of a block, the block's columns, and the block.
    X1, Z, X2, X3
        Effects not absorbed; X3 None without a supply side.
    """
    absorbed = recipe.absorb_instruments
    found = {"ZD": block.ZD if absorbed else Z}
    if not recipe.effects:
        found["X1"] = X1
    found["X2"] = X2
    if (supply := recipe.supply) is None or X3 is None:
        return found
    found["ZS"] = supply_equation(supply, X3, columns, absorbed=absorbed).Z
    if not supply.effects:
        found["X3"] = X3
    for name, own in (("ZC", supply.covariances), ("ownership", supply.ownership)):
        if own:
            found[name] = np.column_stack([columns[c] for c in own]).astype(np.float64)
    return found


def _agents(
    block: MarketBlock,
    t: int,
    market_id: Any,
    fields: AgentFields,
    agent_ids: np.ndarray[Any, Any] | None,
) -> Records:
    """Give the agents of a market."""
    rows = slice(*block.agent_offsets[t : t + 2])
    draws = block.draws[rows]
    n, J = len(draws), int(np.diff(block.product_offsets[t : t + 2])[0])
    by_product = None
    if block.product_draws is not None or block.availability is not None:
        by_product = _pairs_of(block, t)
    columns: Arrays = {
        "market_ids": np.full(n, market_id, object),
        "weights": block.weights[rows],
        "nodes": draws[:, : fields.n_nodes],
        "demographics": draws[:, fields.n_nodes :],
    }
    if block.product_draws is not None:
        whole = np.repeat(columns["demographics"][:, :, None], J, axis=2)
        for own, column in zip(block.product_draws, block.product_columns, strict=True):
            whole[:, column - fields.n_nodes] = own[by_product].reshape(n, J)
        columns["demographics"] = whole
    if block.availability is not None:
        columns["availability"] = block.availability[by_product].reshape(n, J)
    if block.agent_types is not None:
        names = np.empty(len(fields.type_ids), object)
        names[:] = fields.type_ids
        columns["type_ids"] = names[block.agent_types[rows]]
    if agent_ids is not None:
        columns["agent_ids"] = agent_ids[rows]
    return trimmed_agents(whole_agents(columns, fields.K2, fields.node_columns), J)


def _pairs_of(block: MarketBlock, t: int) -> slice:
    """Say where a market's pairs of agents and products are."""
    sizes: Integers = np.diff(block.product_offsets) * np.diff(block.agent_offsets)
    first = int(sizes[:t].sum())
    return slice(first, first + int(sizes[t]))
