"""Everything about a demand problem that θ does not change, ready for an estimator."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from ..driver.cores import single_threaded_libraries
from ..kernels.sums import accurate_product
from ..partitions.cut import SortedTables, cut_at
from ..partitions.source import HeldBlocks
from ..records import Floats, Integers, LinearRows
from .agents import Agents
from .prepared import PreparedDemand
from .products import Products


@dataclass(frozen=True, slots=True, eq=False)
class DemandProblem:
    """Products, agents and the sums of them that every objective needs.

    Attributes
    ----------
    products, agents
        As read; products in the order of the user's rows.
    types
        ``(K2,)`` names of the types of random coefficients.
    order
        ``(N,)`` rows of the products sorted by market, original order within.
    tables
        The same sorted by market, ready to be cut into blocks.
    ZtX
        ``(MD, K1)`` Z'X1, effects absorbed, in long doubles.
    ZtZ
        ``(MD, MD)`` Z'Z of the instruments as they enter covariances of moments.
    """

    products: Products
    agents: Agents
    types: tuple[str, ...]
    order: Integers
    tables: SortedTables
    ZtX: Floats
    ZtZ: Floats

    @property
    def n_products(self) -> int:
        """Count the rows, N."""
        return self.products.n_products

    @property
    def n_markets(self) -> int:
        """Count the markets, T."""
        return self.products.unique_market_ids.size

    def prepare(self, n_blocks: int | None = None) -> PreparedDemand:
        """Cut the problem into blocks, chosen from the data where ``n_blocks`` is None.

        The blocks hold copies: the tables here are as the user gave them.
        """
        products, tables = self.products, self.tables
        edges = tables.plan(n_blocks)
        ids = products.unique_market_ids
        labels = [
            f"markets {ids[first]} to {ids[stop - 1]}"
            for first, stop in itertools.pairwise(edges)
        ]
        clusters = products.clusters
        return PreparedDemand(
            source=HeldBlocks(cut_at(tables, edges), labels=labels),
            n_products=self.n_products,
            n_agents=tables.weights.size,
            n_random=tables.X2.shape[1],
            market_ids=ids,
            product_counts=np.diff(tables.product_offsets),
            block_edges=edges,
            ZtX=self.ZtX,
            ZtZ=self.ZtZ,
            level_counts=tuple(int(codes.max()) + 1 for codes in products.effects),
            absorption=products.absorption,
            n_clusters=0 if clusters is None else int(clusters.max()) + 1,
            clusters_of_markets=clusters is not None
            and _are_of_markets(clusters, products.market_codes),
        )

    def in_market_order(self, values: Floats) -> Floats:
        """Bring rows in the user's order into that of markets, ``(N, …)``."""
        return values[self.order]


def _are_of_markets(clusters: Integers, markets: Integers) -> bool:
    """Tell whether each market's rows, ``(N,)`` codes, lie in one cluster."""
    first = np.zeros(markets.max() + 1, dtype=clusters.dtype)
    first[markets] = clusters
    return bool((first[markets] == clusters).all())


def prepare_demand(
    products: Products, agents: Agents, types: tuple[str, ...]
) -> DemandProblem:
    """Sort tables by market and compute what every objective shares."""
    codes = products.market_codes
    order = np.argsort(codes, kind="stable")
    counts = np.bincount(codes, minlength=products.unique_market_ids.size)
    outside = 1 - np.bincount(codes, weights=products.shares)
    log_shares = np.log(products.shares)
    tables = SortedTables(
        product_offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        agent_offsets=agents.offsets,
        X2=products.X2[order],
        ZD=products.ZD_absorbed[order],
        log_shares=log_shares[order],
        logit_delta=(log_shares - np.log(outside)[codes])[order],
        draws=np.hstack([agents.nodes, agents.demographics]),
        weights=agents.weights,
        linear=LinearRows(
            rows=order,
            X1=products.X1[order],
            Z=products.ZD[order],
            effects=tuple(codes[order] for codes in products.effects),
            clusters=None if products.clusters is None else products.clusters[order],
        ),
    )
    with single_threaded_libraries():
        ZtZ = products.ZD.T @ products.ZD
    return DemandProblem(
        products=products,
        agents=agents,
        types=types,
        order=order,
        tables=tables,
        ZtX=np.column_stack(
            [accurate_product(products.ZD_absorbed, x) for x in products.X1_absorbed.T]
        ),
        ZtZ=ZtZ,
    )
