"""Everything about a demand problem that θ does not change, ready for an estimator."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..kernels.sums import accurate_product
from ..partitions.cut import SortedTables
from ..records import Floats, Integers
from .agents import Agents
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
    """

    products: Products
    agents: Agents
    types: tuple[str, ...]
    order: Integers
    tables: SortedTables
    ZtX: Floats

    @property
    def n_products(self) -> int:
        """Count the rows, N."""
        return self.products.n_products

    @property
    def n_markets(self) -> int:
        """Count the markets, T."""
        return self.products.unique_market_ids.size

    def in_user_order(self, values: Floats) -> Floats:
        """Bring rows sorted by market back to the user's order, ``(N, …)``."""
        unsorted = np.empty_like(values)
        unsorted[self.order] = values
        return unsorted


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
    )
    return DemandProblem(
        products=products,
        agents=agents,
        types=types,
        order=order,
        tables=tables,
        ZtX=np.column_stack(
            [accurate_product(products.ZD_absorbed, x) for x in products.X1_absorbed.T]
        ),
    )
