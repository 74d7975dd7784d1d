"""An economy at its parameters, and which of its markets a question is about.

Questions about substitution, prices and welfare are answered block by block at (θ̂, δ̂):
utilities move with a variable of the data by the formulas of X1 and X2,

    δ(x) = δ̂ + Σ_k β_k (x1_k(x) - x1_k),   x2(x),

(:mod:`blpdask.problem.pricing`), and a pass over blocks does the rest. Rows are those
that were asked about, sorted by market, in the user's order within.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..driver.engine import Engine
from ..driver.serial import SerialEngine
from ..driver.threads import ThreadsEngine
from ..model.agent_types import weigh_types
from ..model.responses import RespondingMarkets
from ..partitions.cut import SortedTables, cut_at, cut_markets
from ..partitions.source import BlockSource, HeldBlocks
from ..problem.demand_problem import DemandProblem
from ..problem.pricing import (
    Rows,
    UtilityColumns,
    owned_tables,
    plan_markets,
    utility_columns,
    with_agents,
)
from ..records import Floats, Integers, MarketBlock, Tastes, TrialPrices


@dataclass(frozen=True, slots=True, eq=False)
class Owners:
    """Who cares about whose profits, rows in the user's order.

    Attributes
    ----------
    firms
        ``(N,)`` codes of firms.
    ownership
        ``(N, max J)`` weights on profits, None where firms say it all.
    """

    firms: Integers
    ownership: Floats | None


@dataclass(frozen=True, slots=True, eq=False)
class Economy:
    """A problem at (θ̂, δ̂), the markets that are asked about, and where to compute.

    Attributes
    ----------
    demand
        The problem, in memory.
    tastes
        θ̂ as kernels read it.
    beta, gamma
        ``(K1,)`` and ``(K3,)``.
    delta
        ``(N,)`` δ̂ in the user's order.
    log_costs
        Whether X3 explains log c.
    market
        Place of the one market that is asked about, None for all.
    engine, backend, scratch_bytes
        Where blocks are worked on, by which kernels, and their bound on memory.
    """

    demand: DemandProblem
    tastes: Tastes
    beta: Floats
    gamma: Floats
    delta: Floats
    log_costs: bool
    market: int | None
    engine: Engine
    backend: str
    scratch_bytes: int

    @property
    def markets(self) -> slice:
        """Which markets are asked about, among all."""
        if self.market is None:
            return slice(0, self.demand.n_markets)
        return slice(self.market, self.market + 1)

    @property
    def offsets(self) -> Integers:
        """First row of each market, then the number of rows n, ``(T + 1,)``."""
        own = self.markets
        whole = self.demand.tables.product_offsets[own.start : own.stop + 1]
        return np.asarray(whole - whole[0])

    @property
    def agent_counts(self) -> Integers:
        """Numbers of agents of each market, one where X2 is not there, ``(T,)``."""
        return np.asarray(np.diff(self.tables().agent_offsets)[self.markets])

    @property
    def rows(self) -> Integers:
        """Places of the rows among the user's, ``(n,)``."""
        offsets, own = self.demand.tables.product_offsets, self.markets
        return self.demand.order[offsets[own.start] : offsets[own.stop]]

    @property
    def as_given(self) -> bool:
        """Whether the rows are all of the user's, in the user's order."""
        return self.market is None and bool((np.diff(self.rows) == 1).all())

    @property
    def variables(self) -> Rows:
        """Variables of formulas by name, ``(N,)`` in the user's order."""
        products = self.demand.products
        return {
            **products.variables,
            "prices": self.prices,
            "shares": products.shares,
        }

    @property
    def prices(self) -> Floats:
        """Give the prices of the data, ``(N,)`` in the user's order."""
        prices = self.demand.products.ids["prices"]
        return np.asarray(prices, dtype=np.float64).reshape(-1)

    def utility(self, variable: str | None) -> UtilityColumns:
        """Say how utilities of the rows move with a variable, δ where None."""
        columns = utility_columns(
            self.demand,
            self.variables,
            beta=self.beta,
            delta=self.delta,
            variable=variable,
        )
        return columns if self.as_given else columns.take(self.rows)

    def values_of(self, variable: str | None) -> Floats:
        """Give a variable at the data, δ where None, ``(n,)``."""
        whole = self.delta if variable is None else self.variables[variable]
        values = np.asarray(whole, dtype=np.float64).reshape(-1)
        return values.copy() if self.as_given else values[self.rows]

    def at(self, variable: str | None, values: Floats | None = None) -> TrialPrices:
        """Evaluate utilities of the rows at values ``(n,)``, the data's where None."""
        given = self.values_of(variable) if values is None else values
        with np.errstate(all="ignore"):
            return self.utility(variable)(given)

    def blocks(
        self,
        trial: TrialPrices,
        owners: Owners | None = None,
        room: Floats | None = None,
    ) -> HeldBlocks:
        """Cut the markets into blocks with utilities of the rows.

        Parameters
        ----------
        trial
            Utilities of all rows.
        owners
            Who sets prices, where that matters.
        room
            ``(F,)`` where blocks put the matrices of their markets, as in
            :meth:`room_for_matrices`.
        """
        tables = self.tables(owners)
        edges = plan_markets(tables, None, self.market)
        blocks, stop, end = [], 0, 0
        for block in cut_at(tables, edges):
            first, stop = stop, stop + block.n_products
            begin, end = end, end + count_entries(block.product_offsets)
            own = None if room is None else room[begin:end]
            blocks.append(RespondingMarkets(block, take_rows(trial, first, stop), own))
        ids = self.demand.products.unique_market_ids
        labels = [
            f"markets {ids[a]} to {ids[b - 1]}" for a, b in itertools.pairwise(edges)
        ]
        return HeldBlocks(blocks, labels=labels)

    def tables(self, owners: Owners | None = None) -> SortedTables:
        """Give the tables of all markets, with owners where those matter."""
        if owners is None:
            return with_agents(self.demand)
        return owned_tables(self.demand, owners.firms, owners.ownership, self.prices)

    def room_for_matrices(self) -> Floats | None:
        """Make room for J_t by J_t matrices of markets, ``(F,)``.

        None where passes run in another process, which would not fill it.
        """
        if type(self.engine) not in (SerialEngine, ThreadsEngine):
            return None
        return np.empty(count_entries(self.offsets))

    def each_market(self, trial: TrialPrices) -> Iterator[tuple[MarketBlock, int, int]]:
        """Yield each market as a block of its own, its first row, and its end.

        Types of agents are weighed, and X2 is that of utilities ``trial`` of all rows.
        """
        tables, offsets, own = self.tables(), self.offsets.tolist(), self.markets
        for place, t in enumerate(range(own.start, own.stop)):
            first, stop = offsets[place], offsets[place + 1]
            market = weigh_types(cut_markets(tables, 0, t, t + 1), self.tastes)
            X2 = np.ascontiguousarray(trial.X2[:, first:stop])
            yield replace(market, X2=X2), first, stop

    def reduce(self, blocks: BlockSource, pass_: Callable[..., Any], state: Any) -> Any:
        """Run a pass over blocks, and add its records."""
        placement = self.engine.place(blocks)
        try:
            return placement.reduce(pass_, state)
        finally:
            placement.close()

    def in_user_order(self, values: Floats) -> Floats:
        """Put rows ``(n, …)`` where the user had them."""
        if self.market is not None or self.as_given:
            return values
        found = np.empty_like(values)
        found[self.rows] = values
        return found

    def segment_sums(self, values: Floats) -> Floats:
        """Add rows ``(n,)`` up in each market, ``(T,)``."""
        found: Floats = np.add.reduceat(values, self.offsets[:-1])
        return found


def count_entries(offsets: Integers) -> int:
    """Count what J_t by J_t matrices of markets hold, F = Σ J_t²."""
    return int((np.diff(offsets) ** 2).sum())


def take_rows(trial: TrialPrices, first: int, stop: int) -> TrialPrices:
    """Keep rows first..stop-1."""
    rows = slice(first, stop)
    return replace(
        trial,
        prices=trial.prices[rows],
        delta=trial.delta[rows],
        alpha=trial.alpha[rows],
        X2=np.ascontiguousarray(trial.X2[:, rows]),
        X2_by_prices=np.ascontiguousarray(trial.X2_by_prices[:, rows]),
    )
