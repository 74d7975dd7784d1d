"""Simulated markets straight into a store, a block at a time.

A market's data depend on the design, the seed and its number alone
(:mod:`blpdask.simulation.streams`), so that ten million products are made without
holding them, and are the same in any cut of blocks.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..partitions.block_store import BlockStore
from ..partitions.plan import plan_blocks
from ..partitions.store_schema import (
    DescribedNodes,
    StoredColumn,
    StoreDescription,
)
from ..partitions.store_writer import StoreWriter
from ..problem.store_builder import block_columns
from ..problem.store_rows import BlockRows, Listener
from ..problem.store_tables import describe_columns
from ..records import Integers
from .design import MarketDesign
from .markets import Columns, simulate_markets

#: Agents that are simulated at a time.
AGENTS = 2**20


def simulate_block_store(
    path: Path,
    design: MarketDesign,
    seed: int,
    *,
    nodes: DescribedNodes | None = None,
    n_blocks: int | None = None,
    overwrite: bool = False,
    tell: Listener,
) -> BlockStore:
    """Write markets of a design to a store.

    Parameters
    ----------
    path
        Directory of the store.
    design, seed
        What is drawn, see :func:`blpdask.simulation.markets.simulate_markets`.
    nodes
        A rule that nodes are drawn by, instead of storing those of the agents who made
        the shares; their demographics are stored still.
    n_blocks
        Number of blocks, chosen from the expected sizes of markets where None.
    overwrite
        Whether a store that is there may be replaced.
    tell
        Told of each block.
    """
    edges = _plan(design, n_blocks)
    products, agents = _columns(design, seed, nodes)
    description = StoreDescription(
        products=products,
        agents=agents,
        nodes=nodes,
        block_edges=tuple(edges.tolist()),
    )
    first, firms = 0, 0
    with StoreWriter(path, description, overwrite=overwrite) as writer:
        for block in range(edges.size - 1):
            tell(f"Simulating block {block + 1} of {edges.size - 1}")
            markets = range(int(edges[block]), int(edges[block + 1]))
            own, others = _simulate(design, seed, markets)
            found = _rows(own, products, markets, first)
            people = _rows(others, agents, markets, 0) if agents else None
            writer.add(block, block_columns(found, people, agents))
            first += found.rows.size
            firms = max(firms, int(own["firm_ids"].max()) + 1)
        writer.finish(np.arange(edges[-1]).astype(object), {}, n_firms=firms)
    return BlockStore.open(path)


def _plan(design: MarketDesign, n_blocks: int | None) -> Integers:
    """Cut markets into blocks by their expected sizes, ``(B + 1,)``."""
    products = np.full(design.n_markets, round(sum(design.product_bounds) / 2))
    return plan_blocks(products, np.full(design.n_markets, design.n_agents), n_blocks)


def _columns(
    design: MarketDesign, seed: int, nodes: DescribedNodes | None
) -> tuple[tuple[StoredColumn, ...], tuple[StoredColumn, ...]]:
    """Say which columns markets of a design have; market ids are kept apart."""
    one = simulate_markets(design, seed, markets=range(1))
    dropped = {"market_ids"}
    products = describe_columns(one.products, dropped)
    if nodes is not None:
        dropped |= {name for name in one.agents if not name.startswith("demographic")}
    return products, describe_columns(one.agents, dropped)


def _simulate(
    design: MarketDesign, seed: int, markets: range
) -> tuple[Columns, Columns]:
    """Simulate the markets of a block, some at a time."""
    step = max(1, AGENTS // design.n_agents)
    parts = [
        simulate_markets(design, seed, markets=markets[first : first + step])
        for first in range(0, len(markets), step)
    ]
    products, agents = (
        {name: np.concatenate([t[name] for t in tables]) for name in tables[0]}
        for tables in ([p.products for p in parts], [p.agents for p in parts])
    )
    return products, agents


def _rows(
    columns: Columns, kept: tuple[StoredColumn, ...], markets: range, first: int
) -> BlockRows:
    """Put the columns of a block side by side."""
    codes = np.asarray(columns["market_ids"], dtype=np.int64) - markets.start
    numbers = [columns[c.name] for c in kept if c.kind == "number"]
    integers = [columns[c.name] for c in kept if c.kind == "integer"]
    size = codes.size
    return BlockRows(
        counts=np.bincount(codes, minlength=len(markets)),
        rows=np.arange(first, first + size),
        numbers=np.stack(numbers) if numbers else np.empty((0, size)),
        integers=np.stack(integers) if integers else np.empty((0, size), np.int64),
    )
