"""Markets whose prices are to be found: how utilities and costs move when prices do.

A problem's columns are functions of the data, and can be evaluated at any prices, or at
other values of any other variable x in the place of prices:

    δ(p) = δ + Σ_k β_k (x1_k(p) - x1_k(p_0)),
    c(s) = c + Σ_k γ_k (x3_k(s) - x3_k(s_0)),

where p_0 and s_0 are the data's; costs in logs are multiplied by the exponential of the
sum instead (Conlon and Gortmaker 2020, section 3.6). Kernels see utilities over the
scale ε of the extreme-value errors.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..model.equilibrium import PricedMarkets
from ..partitions.cut import SortedTables, cut_at
from ..partitions.source import HeldBlocks
from ..records import Floats, Integers, SupplyRows, TrialPrices
from .demand_problem import DemandProblem
from .formulas import Column, read_column
from .supply_side import flatten_ownership, number_owners

#: Blocks at most where nobody says how many, and products times agents that a block has
#: at least: each block evaluates its columns in Python, tens of times.
MOST_BLOCKS = 32
LEAST_WORK = 2**21

Rows = dict[str, np.ndarray[Any, Any]]


@dataclass(frozen=True, slots=True, eq=False)
class PriceSetting:
    """Who sets prices at which costs, rows in the user's order.

    Attributes
    ----------
    firms
        ``(N,)`` codes of firms.
    ownership
        ``(N, max J)`` weights on profits, None where firms say it all.
    costs
        ``(N,)`` marginal costs c, at the shares of the data where they depend on them.
    start
        ``(N,)`` prices where iteration starts.
    gamma
        ``(K3,)`` γ where costs follow shares, None where they are constant.
    log_costs
        Whether X3 explains log c.
    fixed
        ``(N,)`` products whose prices stay where they start; None for nobody's.
    """

    firms: Integers
    ownership: Floats | None
    costs: Floats
    start: Floats
    gamma: Floats | None = None
    log_costs: bool = False
    fixed: NDArray[np.bool_] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class UtilityColumns:
    """What of a block's utilities over ε moves with prices, as a function of prices.

    Attributes
    ----------
    X1, X2
        Columns that depend on prices, or on another ``variable``.
    beta
        ``(Q,)`` coefficients of those of X1.
    X2_priced
        ``(R,)`` places of those of X2.
    rows
        ``(N,)`` variables that the columns name.
    delta, X1_before, X2_before
        ``(N,)``, ``(Q, N)`` and ``(K2, N)`` at the prices of the data.
    epsilon_scale
        ε, by which what is evaluated is divided.
    variable
        What is called prices here; None for δ itself, on which no column depends.
    """

    X1: tuple[Column, ...]
    X2: tuple[Column, ...]
    beta: Floats
    X2_priced: Integers
    rows: Rows
    delta: Floats
    X1_before: Floats
    X2_before: Floats
    epsilon_scale: float = 1.0
    variable: str | None = "prices"

    def __call__(self, prices: Floats) -> TrialPrices:
        """Evaluate δ, X2 and their derivatives by prices at prices ``(N,)``."""
        at = {self.variable or "delta": prices}
        delta = (self.delta if self.variable else prices).copy()
        X2 = self.X2_before.copy()
        for b, column, before in zip(self.beta, self.X1, self.X1_before, strict=True):
            delta += b * (column.evaluate(self.rows, at) - before)
        for k, column in zip(self.X2_priced, self.X2, strict=True):
            X2[k] = column.evaluate(self.rows, at)
        delta /= self.epsilon_scale
        X2 /= self.epsilon_scale
        alpha, X2_by_prices = self._derivatives(prices, order=1)
        return TrialPrices(prices, delta, alpha, X2, X2_by_prices, self.X2_priced)

    @property
    def is_linear(self) -> bool:
        """Tell whether all that moves with prices is linear in them."""
        name = self.variable or "delta"
        return all(column.is_linear_in(name) for column in (*self.X1, *self.X2))

    def curvature(self, prices: Floats) -> tuple[Floats, Floats]:
        """Evaluate Σ_k β_k ∂²x1_k/∂p² ``(N,)`` and ∂²x2/∂p² ``(R, N)``."""
        return self._derivatives(prices, order=2)

    def take(self, rows: Integers) -> UtilityColumns:
        """Keep some rows."""
        return replace(
            self,
            rows=_take(self.rows, rows),
            delta=self.delta[rows],
            X1_before=self.X1_before[:, rows],
            X2_before=np.ascontiguousarray(self.X2_before[:, rows]),
        )

    def _derivatives(self, prices: Floats, order: int) -> tuple[Floats, Floats]:
        """Differentiate what is linear in β, ``(N,)``, and X2, ``(R, N)``."""
        name = self.variable or "delta"
        at = {name: prices}
        alpha = np.full(prices.size, float(self.variable is None and order == 1))
        X2_by_prices = np.zeros((len(self.X2), prices.size))
        for b, column in zip(self.beta, self.X1, strict=True):
            alpha += b * column.derivative(name, self.rows, at, order)
        for r, column in enumerate(self.X2):
            X2_by_prices[r] = column.derivative(name, self.rows, at, order)
        return alpha / self.epsilon_scale, X2_by_prices / self.epsilon_scale


@dataclass(frozen=True, slots=True, eq=False)
class CostColumns:
    """Marginal costs of a block as a function of its shares.

    Attributes
    ----------
    X3
        Columns that depend on shares.
    gamma
        ``(Q,)`` their coefficients.
    rows
        ``(N,)`` variables that the columns name.
    costs, X3_before
        ``(N,)`` and ``(Q, N)`` at the shares of the data.
    log
        Whether X3 explains log c.
    """

    X3: tuple[Column, ...]
    gamma: Floats
    rows: Rows
    costs: Floats
    X3_before: Floats
    log: bool

    def __call__(self, shares: Floats) -> Floats:
        """Evaluate c at shares ``(N,)``."""
        change = np.zeros(shares.size)
        at = {"shares": shares}
        for g, column, before in zip(self.gamma, self.X3, self.X3_before, strict=True):
            change += g * (column.evaluate(self.rows, at) - before)
        return self.costs * np.exp(change) if self.log else self.costs + change


def priced_markets(
    demand: DemandProblem,
    data: Any,
    setting: PriceSetting,
    *,
    beta: Floats,
    delta: Floats,
    n_blocks: int | None = None,
    market: int | None = None,
) -> HeldBlocks:
    """Cut a problem into blocks whose prices are to be found.

    Parameters
    ----------
    demand
        The problem.
    data
        Table of the variables that columns with prices or shares name.
    setting
        Who sets prices at which costs.
    beta, delta
        ``(K1,)`` and ``(N,)`` β, and δ at the prices of the data, in the user's order.
    n_blocks
        Number of blocks, chosen from the data where None.
    market
        The place of the one market that is wanted; None for all.
    """
    tables = owned_tables(demand, setting.firms, setting.ownership, setting.start)
    edges = plan_markets(tables, n_blocks, market)
    utility = utility_columns(demand, data, beta=beta, delta=delta)
    linear = utility.is_linear
    costs = _costs(demand, data, setting)
    blocks = []
    for block in cut_at(tables, edges):
        first = int(tables.product_offsets[block.first_market])
        rows = demand.order[first : first + block.n_products]
        blocks.append(
            PricedMarkets(
                markets=block,
                utility=utility.take(rows),
                linear=linear,
                start=setting.start[rows],
                costs=setting.costs[rows],
                costs_at=None if costs is None else _take_costs(costs, rows),
                fixed=_take_fixed(setting.fixed, rows),
            )
        )
    ids = demand.products.unique_market_ids
    labels = [f"markets {ids[a]} to {ids[b - 1]}" for a, b in itertools.pairwise(edges)]
    return HeldBlocks(blocks, labels=labels)


def plan_markets(
    tables: SortedTables, n_blocks: int | None = None, market: int | None = None
) -> Integers:
    """Choose the first market of each block, and where the last block ends.

    Parameters
    ----------
    tables
        Of all markets.
    n_blocks
        Number of blocks; where None, as many as are worth their overhead.
    market
        The place of the one market that is wanted; None for all.
    """
    if market is not None:
        return np.array([market, market + 1])
    edges = tables.plan(n_blocks)
    if n_blocks is not None:
        return edges
    work = int(np.diff(tables.product_offsets) @ np.diff(tables.agent_offsets))
    return tables.plan(min(edges.size - 1, MOST_BLOCKS, 1 + work // LEAST_WORK))


def owned_tables(
    demand: DemandProblem, firms: Integers, ownership: Floats | None, prices: Floats
) -> SortedTables:
    """Give the problem's tables these owners, and agents where none are needed.

    Parameters
    ----------
    demand
        The problem.
    firms, ownership, prices
        ``(N,)`` codes of firms, ``(N, max J)`` weights on profits or None, and
        ``(N,)`` prices, rows in the user's order.
    """
    tables, N = demand.tables, demand.n_products
    offsets, order = tables.product_offsets, demand.order
    weights, owners = np.empty(0), firms[order]
    if ownership is not None:
        weights = flatten_ownership(ownership[order], offsets)
        owners = np.zeros(N, np.int64)
    supply = SupplyRows(
        prices=prices[order],
        owners=number_owners(owners, offsets),
        ownership=weights,
        X1_by_prices=np.empty((0, N)),
        X2_by_prices=np.empty((0, N)),
        X2_priced=np.empty(0, np.int64),
        ZS=np.empty((N, 0)),
    )
    return replace(with_agents(demand), supply=supply)


def with_agents(demand: DemandProblem) -> SortedTables:
    """Give the tables that choices need: with an agent a market where there are none.

    What only moments need is left out.
    """
    tables, N, T = demand.tables, demand.n_products, demand.n_markets
    tables = replace(tables, supply=None, linear=None, ZD=np.empty((N, 0)))
    if tables.X2.shape[1]:
        return tables
    return replace(
        tables,
        agent_offsets=np.arange(T + 1),
        draws=np.zeros((T, 0)),
        weights=np.ones(T),
    )


def utility_columns(
    demand: DemandProblem,
    data: Any,
    *,
    beta: Floats,
    delta: Floats,
    variable: str | None = "prices",
) -> UtilityColumns:
    """Collect what moves with a variable, rows in the user's order.

    Parameters
    ----------
    demand, data, beta, delta
        As in :func:`priced_markets`.
    variable
        Its name, None for δ.
    """
    products = demand.products
    X1, X2 = products.X1_columns, products.X2_columns
    linear = [k for k, column in enumerate(X1) if variable in column.names]
    random = [k for k, column in enumerate(X2) if variable in column.names]
    columns = [*(X1[k] for k in linear), *(X2[k] for k in random)]
    return UtilityColumns(
        X1=tuple(X1[k] for k in linear),
        X2=tuple(X2[k] for k in random),
        beta=beta[linear],
        X2_priced=np.array(random, np.int64),
        rows=_read_rows(data, columns, variable),
        delta=delta,
        X1_before=products.X1[:, linear].T,
        X2_before=products.X2.T,
        epsilon_scale=demand.epsilon_scale,
        variable=variable,
    )


def _costs(
    demand: DemandProblem, data: Any, setting: PriceSetting
) -> CostColumns | None:
    """Collect how costs move with shares; None where they do not."""
    supply = demand.products.supply
    if setting.gamma is None or supply is None:
        return None
    moved = [k for k, c in enumerate(supply.X3_columns) if "shares" in c.names]
    if not moved:
        return None
    columns = tuple(supply.X3_columns[k] for k in moved)
    return CostColumns(
        X3=columns,
        gamma=setting.gamma[moved],
        rows=_read_rows(data, columns, "shares"),
        costs=setting.costs,
        X3_before=supply.X3[:, moved].T,
        log=setting.log_costs,
    )


def _read_rows(data: Any, columns: Any, moved: str | None) -> Rows:
    """Read the variables of columns; what moves is among them, to count rows."""
    names = ({moved} if moved else set()).union(*(column.names for column in columns))
    return {name: read_column(data, name) for name in sorted(names)}


def _take(rows: Rows, some: Integers) -> Rows:
    return {name: values[some] for name, values in rows.items()}


def _take_costs(columns: CostColumns, some: Integers) -> CostColumns:
    """Keep some rows."""
    return replace(
        columns,
        rows=_take(columns.rows, some),
        costs=columns.costs[some],
        X3_before=columns.X3_before[:, some],
    )


def _take_fixed(
    fixed: NDArray[np.bool_] | None, some: Integers
) -> NDArray[np.bool_] | None:
    """Keep some rows; None where no price of theirs is fixed."""
    kept = None if fixed is None else fixed[some]
    return None if kept is None or not kept.any() else kept
