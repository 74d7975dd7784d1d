"""Everything about a problem that θ does not change, ready for an estimator."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..driver.cores import single_threaded_libraries
from ..partitions.cut import SortedTables, cut_at
from ..partitions.source import HeldBlocks
from ..records import (
    Equation,
    Floats,
    Integers,
    LinearRows,
    MarketBlock,
    SupplyRows,
)
from .agents import Agents
from .clusters import count_clusters, count_divided
from .equation_sums import stacked_ZtX
from .prepared import PreparedDemand
from .products import Products
from .supply_side import SupplySide, flatten_ownership, number_owners

#: Gives blocks what surveys ask of them.
Survey = Callable[[Sequence[MarketBlock]], Sequence[MarketBlock]]


@dataclass(frozen=True, slots=True, eq=False)
class DemandProblem:
    """Products, agents and the sums of them that every objective needs.

    Attributes
    ----------
    products, agents
        As read; products in the order of the user's rows.
    types
        ``(K2,)`` names of the types of random coefficients.
    epsilon_scale
        Scale of the extreme-value errors, ε.
    order
        ``(N,)`` rows of the products sorted by market, original order within.
    tables
        The same sorted by market, ready to be cut into blocks.
    ZtX
        ``(M, K)`` Z'X, effects absorbed, in long doubles: Z_D'X1 and, with a supply
        side, Z_S'X3 on the diagonal.
    ZtZ
        ``(M, M)`` Z'Z of the instruments as they enter covariances of moments, those
        of both equations side by side, then covariance instruments.
    """

    products: Products
    agents: Agents
    types: tuple[str, ...]
    epsilon_scale: float
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

    def prepare(
        self, n_blocks: int | None = None, survey: Survey | None = None
    ) -> PreparedDemand:
        """Cut the problem into blocks, chosen from the data where ``n_blocks`` is None.

        The blocks hold copies: the tables here are as the user gave them. Where there
        are micro moments, ``survey`` gives blocks what surveys ask of them.
        """
        products, tables = self.products, self.tables
        edges = tables.plan(n_blocks)
        ids = products.unique_market_ids
        labels = [
            f"markets {ids[first]} to {ids[stop - 1]}"
            for first, stop in itertools.pairwise(edges)
        ]
        assert tables.linear is not None
        clusters = tables.linear.clusters
        counts = count_clusters(clusters)
        divided = count_divided(clusters, tables.product_offsets)
        sides = _equations(products)
        blocks: Sequence[MarketBlock] = cut_at(tables, edges)
        return PreparedDemand(
            source=HeldBlocks(survey(blocks) if survey else blocks, labels=labels),
            n_products=self.n_products,
            n_agents=tables.weights.size,
            n_random=tables.X2.shape[1],
            market_ids=ids,
            product_counts=np.diff(tables.product_offsets),
            block_edges=edges,
            ZtX=self.ZtX,
            ZtZ=self.ZtZ,
            moment_counts=tuple(side.Z.shape[1] for side in sides),
            X_counts=tuple(side.X.shape[1] for side in sides),
            level_counts=tuple(
                tuple(int(codes.max()) + 1 for codes in side.effects) for side in sides
            ),
            absorption=(
                products.absorption,
                *([products.supply.absorption] if products.supply else ()),
            ),
            n_clusters=min(counts, default=0),
            clusters_of_markets=bool((divided == 0).any()),
            cluster_counts=counts,
            n_covariance=0 if tables.linear.ZC is None else tables.linear.ZC.shape[1],
        )

    def in_market_order(self, values: Floats) -> Floats:
        """Bring rows in the user's order into that of markets, ``(N, …)``."""
        return values[self.order]


def prepare_demand(
    products: Products,
    agents: Agents,
    types: tuple[str, ...],
    epsilon_scale: float = 1.0,
) -> DemandProblem:
    """Sort tables by market and compute what every objective shares."""
    codes = products.market_codes
    order = np.argsort(codes, kind="stable")
    counts = np.bincount(codes, minlength=products.unique_market_ids.size)
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    outside = 1 - np.bincount(codes, weights=products.shares)
    log_shares = np.log(products.shares)
    supply = products.supply
    sides = _equations(products)
    tables = SortedTables(
        product_offsets=offsets,
        agent_offsets=agents.offsets,
        X2=scaled(products.X2[order], epsilon_scale),
        ZD=products.ZD_absorbed[order],
        log_shares=log_shares[order],
        logit_delta=(log_shares - np.log(outside)[codes])[order],
        draws=np.hstack([agents.nodes, agents.demographics]),
        weights=agents.weights,
        supply=None
        if supply is None
        else _supply_rows(supply, order, offsets, epsilon_scale),
        linear=LinearRows(
            rows=order,
            equations=tuple(
                Equation(
                    X=side.X[order],
                    Z=side.Z[order],
                    effects=tuple(codes[order] for codes in side.effects),
                )
                for side in sides
            ),
            clusters=None if products.clusters is None else products.clusters[order],
            ZC=None if supply is None or supply.ZC is None else supply.ZC[order],
        ),
        nests=None if products.nests is None else products.nests[order],
        availability=agents.availability,
        epsilon_scale=epsilon_scale,
        product_draws=agents.product_demographics,
        product_columns=tuple(
            agents.nodes.shape[1] + d for d in agents.product_columns
        ),
        agent_types=agents.types,
    )
    ZC = [] if supply is None or supply.ZC is None else [supply.ZC]
    Z = np.hstack([*(side.Z for side in sides), *ZC])
    with single_threaded_libraries():
        ZtZ = Z.T @ Z
    return DemandProblem(
        products=products,
        agents=agents,
        types=types,
        epsilon_scale=epsilon_scale,
        order=order,
        tables=tables,
        ZtX=_ZtX(products),
        ZtZ=ZtZ,
    )


def _equations(products: Products) -> tuple[Equation, ...]:
    """Give X, Z and effects of demand and, where there is one, of supply."""
    demand = Equation(products.X1, products.ZD, products.effects)
    supply = products.supply
    if supply is None:
        return (demand,)
    return demand, Equation(supply.X3, supply.ZS, supply.effects)


def _ZtX(products: Products) -> Floats:
    """Compute Z'X of all equations, effects absorbed."""
    sides = [(products.ZD_absorbed, products.X1_absorbed)]
    if products.supply is not None:
        sides.append((products.supply.ZS_absorbed, products.supply.X3_absorbed))
    return stacked_ZtX(sides)


def scaled(values: Floats, epsilon_scale: float) -> Floats:
    """Divide by the scale of the extreme-value errors."""
    return values if epsilon_scale == 1.0 else values / epsilon_scale


def _supply_rows(
    supply: SupplySide, order: Integers, offsets: Integers, epsilon_scale: float
) -> SupplyRows:
    """Sort the supply side by market."""
    ownership = np.empty(0)
    if supply.ownership is not None:
        ownership = flatten_ownership(supply.ownership[order], offsets)
    return SupplyRows(
        prices=supply.prices[order],
        owners=number_owners(supply.firms[order], offsets),
        ownership=ownership,
        X1_by_prices=np.ascontiguousarray(
            scaled(supply.X1_by_prices[order].T, epsilon_scale)
        ),
        X2_by_prices=np.ascontiguousarray(
            scaled(supply.X2_by_prices[order].T, epsilon_scale)
        ),
        X2_priced=supply.X2_priced,
        ZS=supply.ZS_absorbed[order],
    )
