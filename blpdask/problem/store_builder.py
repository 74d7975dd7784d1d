"""Build a block store from tables: count, cut, sort rows into blocks, check, write.

Markets are cut into blocks by J_t and I_t (:mod:`blpdask.partitions.plan`), so that the
blocks of a store are those into which the same tables would be cut in memory. Memory is
that of a part of a table, of one block and of what is as long as the markets.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import Faults, InputError
from ..partitions.block_store import BlockStore
from ..partitions.plan import plan_blocks
from ..partitions.store_schema import DescribedNodes, StoredColumn, StoreDescription
from ..partitions.store_writer import BlockColumns, StoreWriter, check_target
from ..records import Integers
from . import formula_data
from .store_checks import (
    Findings,
    check_agents,
    check_columns,
    check_markets,
    check_products,
    named_columns,
)
from .store_rows import BlockRows, Listener, RowSorter, count_rows
from .store_tables import PartedTable, open_table
from .stored_nests import nest_column
from .stored_types import type_column

_NEEDED = ("market_ids", "shares", "prices")
_INSTRUMENTS = ("demand_instruments", "supply_instruments", "covariance_instruments")


def build_block_store(
    path: Path,
    product_data: Any,
    agent_data: Any = None,
    *,
    nodes: DescribedNodes | None = None,
    columns: Sequence[str] | None = None,
    n_blocks: int | None = None,
    overwrite: bool = False,
    tell: Listener,
) -> BlockStore:
    """Build a store from tables in memory or Parquet files.

    Parameters
    ----------
    path
        Directory of the store.
    product_data, agent_data
        Tables, see :func:`blpdask.problem.store_tables.open_table`.
    nodes
        The rule that nodes are drawn by, where they are not in ``agent_data``.
    columns
        Columns of products that are kept, all where None; market ids, shares, prices
        and instruments are.
    n_blocks
        Number of blocks, chosen from the data where None.
    overwrite
        Whether a store that is there may be replaced.
    tell
        Told what is being done.

    Raises
    ------
    InputError
        With every fault of the tables.
    StoreError
        Where something is there that may not be replaced.
    """
    check_target(path, overwrite=overwrite)
    tables = _open_tables(product_data, agent_data)
    kept = _choose_columns(tables, columns)
    counts = _count_markets(tables, tell)
    levels: Any = np.empty(len(counts["product_data"]), dtype=object)
    levels[:] = list(counts["product_data"])
    ids = np.empty(levels.size, dtype=object)
    ids[:] = formula_data.factorize(levels)[0]
    edges = _plan(ids, counts, nodes, n_blocks)
    description = StoreDescription(
        products=kept["product_data"],
        agents=kept.get("agent_data", ()),
        nodes=nodes,
        block_edges=tuple(edges.tolist()),
    )
    with StoreWriter(path, description, overwrite=overwrite) as writer:
        sorters = _sort(tables, kept, ids, edges, writer.scratch, tell)
        _write_blocks(writer, sorters, kept, ids, edges, tell)
    return BlockStore.open(path)


def _open_tables(product_data: Any, agent_data: Any) -> dict[str, PartedTable]:
    """Open the tables, all faults of both at once."""
    tables, errors = {}, []
    given = {"product_data": product_data, "agent_data": agent_data}
    for subject, data in given.items():
        if data is None and subject == "agent_data":
            continue
        try:
            tables[subject] = open_table(data, subject)
        except InputError as error:
            errors.append(error)
    _raise_together(errors)
    return tables


def _choose_columns(
    tables: dict[str, PartedTable], columns: Sequence[str] | None
) -> dict[str, tuple[StoredColumn, ...]]:
    """Choose what is kept; market ids are kept apart from columns."""
    kept, errors = {}, []
    for subject, table in tables.items():
        faults = Faults(subject)
        found = table.columns
        if subject == "product_data" and columns is not None:
            names = {column.name for column in found}
            for name in sorted(set(columns) - names):
                faults.add(
                    f"no column '{name}', which columns= names",
                    f"columns among {', '.join(sorted(names))}",
                    "correct columns=",
                )
            wanted = {*columns, *_NEEDED}
            found = tuple(
                c for c in found if c.name in wanted or c.name.startswith(_INSTRUMENTS)
            )
        check_columns(
            found, _NEEDED if subject == "product_data" else _NEEDED[:1], faults
        )
        kept[subject] = tuple(c for c in found if c.name != "market_ids")
        if len(faults):
            errors.append(_error(faults))
    _raise_together(errors)
    return kept


def _count_markets(
    tables: dict[str, PartedTable], tell: Listener
) -> dict[str, dict[Any, int]]:
    """Count rows by market and check that both tables have the same markets."""
    errors, counts = [], {}
    for subject, table in tables.items():
        faults = Faults(subject)
        counts[subject] = count_rows(table, faults, tell)
        if subject == "agent_data":
            check_markets(counts["product_data"], counts[subject], faults)
        if len(faults):
            errors.append(_error(faults))
    _raise_together(errors)
    return counts


def _plan(
    ids: np.ndarray[Any, Any],
    counts: dict[str, dict[Any, int]],
    nodes: DescribedNodes | None,
    n_blocks: int | None,
) -> Integers:
    """Cut markets into blocks, ``(B + 1,)``."""
    products = np.array([counts["product_data"][i] for i in ids], dtype=np.int64)
    if nodes is not None:
        agents = np.full(ids.size, nodes.size)
    elif "agent_data" in counts:
        agents = np.array([counts["agent_data"][i] for i in ids], dtype=np.int64)
    else:
        agents = np.zeros(ids.size, dtype=np.int64)
    return plan_blocks(products, agents, n_blocks)


def _sort(
    tables: dict[str, PartedTable],
    kept: dict[str, tuple[StoredColumn, ...]],
    ids: np.ndarray[Any, Any],
    edges: Integers,
    scratch: Path,
    tell: Listener,
) -> dict[str, RowSorter]:
    """Sort the rows of all tables into files of blocks."""
    places = {market: place for place, market in enumerate(ids)}
    sorters, errors = {}, []
    for subject, table in tables.items():
        folder = scratch / subject
        folder.mkdir()
        faults = Faults(subject)
        sorters[subject] = RowSorter(table, kept[subject], places, edges, folder)
        sorters[subject].scatter(faults, tell)
        if len(faults):
            errors.append(_error(faults))
    _raise_together(errors)
    return sorters


def _write_blocks(
    writer: StoreWriter,
    sorters: dict[str, RowSorter],
    kept: dict[str, tuple[StoredColumn, ...]],
    ids: np.ndarray[Any, Any],
    edges: Integers,
    tell: Listener,
) -> None:
    """Check and write every block, then what belongs to all of them."""
    findings = {subject: Findings() for subject in sorters}
    nests = nest_column(kept["product_data"])
    types = type_column(kept.get("agent_data", ()))
    firms, nesting_ids, type_ids = _Distinct(), _Distinct(), _Distinct()
    for block in range(edges.size - 1):
        tell(f"Writing block {block + 1} of {edges.size - 1}")
        own = ids[edges[block] : edges[block + 1]]
        products = sorters["product_data"].take(block)
        columns = kept["product_data"]
        check_products(block, own, products, columns, findings["product_data"])
        named = named_columns(products, columns)
        if "firm_ids" in named:
            firms.add(named["firm_ids"])
        if nests is not None:
            nesting_ids.add(named[nests.name])
        agents = None
        if "agent_data" in sorters:
            agents = sorters["agent_data"].take(block)
            people = kept["agent_data"], findings["agent_data"]
            check_agents(block, own, products.counts, agents, *people)
            if types is not None:
                type_ids.add(named_columns(agents, kept["agent_data"])[types.name])
        writer.add(block, block_columns(products, agents, kept.get("agent_data", ())))
    _raise_findings(findings)
    levels = {
        (subject.removesuffix("_data") + "s", place): sorters[subject].levels[c.name]
        for subject, columns in kept.items()
        for place, c in enumerate(columns)
        if c.kind == "text"
    }
    if nests is not None and nests.kind != "text":
        place = kept["product_data"].index(nests)
        levels["products", place] = tuple(nesting_ids.values.tolist())
    if types is not None and types.kind != "text":
        place = kept["agent_data"].index(types)
        levels["agents", place] = tuple(type_ids.values.tolist())
    writer.finish(ids, levels, n_firms=firms.values.size)


class _Distinct:
    """Distinct values of a column, found block by block, sorted."""

    def __init__(self) -> None:
        self.values: np.ndarray[Any, Any] = np.empty(0, np.int64)

    def add(self, found: np.ndarray[Any, Any]) -> None:
        """Take in the values of a block, ``(N,)``, of one dtype in all blocks."""
        self.values = np.union1d(self.values.astype(found.dtype), found)


def _raise_findings(findings: dict[str, Findings]) -> None:
    """Raise one error of what was found wrong in all blocks."""
    errors = []
    for subject, found in findings.items():
        faults = Faults(subject)
        found.report(faults)
        if len(faults):
            errors.append(_error(faults))
    _raise_together(errors)


def block_columns(
    products: BlockRows, agents: BlockRows | None, columns: Sequence[StoredColumn]
) -> BlockColumns:
    """Put the products and agents of a block together as they are stored."""
    T = products.counts.size
    sums, bounds = np.full(T, np.nan), np.full(2, np.nan)
    if agents is None:
        agents = BlockRows(
            counts=np.zeros(T, np.int64),
            rows=np.empty(0, np.int64),
            numbers=np.empty((0, 0)),
            integers=np.empty((0, 0), np.int64),
        )
    else:
        weights = named_columns(agents, columns).get("weights")
        if weights is not None:
            markets = np.repeat(np.arange(T), agents.counts)
            sums = np.bincount(markets, weights=weights, minlength=T)
            bounds = np.array([weights.min(), weights.max()], dtype=np.float64)
    return BlockColumns(
        product_counts=products.counts,
        agent_counts=agents.counts,
        weight_sums=sums,
        weight_bounds=bounds,
        rows=products.rows,
        product_numbers=products.numbers,
        product_integers=products.integers,
        agent_numbers=agents.numbers,
        agent_integers=agents.integers,
    )


def _error(faults: Faults) -> InputError:
    """Catch what faults raise."""
    try:
        faults.check()
    except InputError as error:
        return error
    raise AssertionError("there is no fault")


def _raise_together(errors: Sequence[InputError]) -> None:
    """Raise one error of all faults; tables are named where there are several."""
    if len(errors) == 1:
        raise errors[0]
    if errors:
        faults = Faults(" and ".join(error.subject for error in errors))
        for error in errors:
            faults.extend(error)
        faults.check()
