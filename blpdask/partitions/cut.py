"""Cut tables sorted by market into blocks of whole markets."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from ..records import (
    Equation,
    Floats,
    HeldRows,
    Integers,
    LinearRows,
    MarketBlock,
    SupplyRows,
)
from .plan import plan_blocks


@dataclass(frozen=True, slots=True)
class SortedTables:
    """Products and agents of all markets, rows sorted by market.

    Attributes
    ----------
    product_offsets, agent_offsets
        ``(T + 1,)`` first row of each market, then the number of rows.
    X2, ZD
        ``(N, K2)`` and ``(N, MD)``.
    log_shares, logit_delta
        ``(N,)``.
    draws, weights
        ``(A, L)`` and ``(A,)``.
    supply
        The supply side of all products, None without one.
    linear
        Linear rows of all products, or None where only kernels see the blocks.
    nests
        ``(N,)`` codes of nests, or None.
    availability
        ``(A, max J)`` a_ij, products in the order of their market, or None.
    product_draws, product_columns
        ``(S, A, max J)`` draws that differ over products, zero in ``draws``, or None;
        and their columns.
    agent_types
        ``(A,)`` codes of agents' types, or None.
    epsilon_scale
        ε, by which X2 and slopes by prices are divided already.
    """

    product_offsets: Integers
    agent_offsets: Integers
    X2: Floats
    ZD: Floats
    log_shares: Floats
    logit_delta: Floats
    draws: Floats
    weights: Floats
    supply: SupplyRows | None = None
    linear: LinearRows | None = None
    nests: Integers | None = None
    availability: Floats | None = None
    epsilon_scale: float = 1.0
    product_draws: Floats | None = None
    product_columns: tuple[int, ...] = ()
    agent_types: Integers | None = None

    def plan(self, n_blocks: int | None = None) -> Integers:
        """Choose the first market of each block, then T, ``(B + 1,)``."""
        counts = np.diff(self.product_offsets), np.diff(self.agent_offsets)
        return plan_blocks(*counts, n_blocks)


def cut_at(tables: SortedTables, edges: Integers) -> list[MarketBlock]:
    """Cut the tables into blocks at given markets, ``(B + 1,)``."""
    return [
        cut_markets(tables, index, int(first), int(stop))
        for index, (first, stop) in enumerate(itertools.pairwise(edges))
    ]


def cut_markets(tables: SortedTables, index: int, first: int, stop: int) -> MarketBlock:
    """Copy markets first..stop-1 into a block of their own."""
    products = tables.product_offsets[first : stop + 1]
    agents = tables.agent_offsets[first : stop + 1]
    rows = slice(products[0], products[-1])
    people = slice(agents[0], agents[-1])
    return MarketBlock(
        index=index,
        first_market=first,
        product_offsets=products - products[0],
        agent_offsets=agents - agents[0],
        X2=np.ascontiguousarray(tables.X2[rows].T),
        log_shares=tables.log_shares[rows].copy(),
        logit_delta=tables.logit_delta[rows].copy(),
        draws=np.ascontiguousarray(tables.draws[people]),
        weights=tables.weights[people].copy(),
        ZD=np.ascontiguousarray(tables.ZD[rows]),
        supply=None if tables.supply is None else _cut_supply(tables, first, stop),
        linear=None if tables.linear is None else HeldRows(_cut(tables.linear, rows)),
        nests=None if tables.nests is None else tables.nests[rows].copy(),
        availability=_cut_people(tables, tables.availability, first, stop),
        epsilon_scale=tables.epsilon_scale,
        product_draws=_cut_people(tables, tables.product_draws, first, stop),
        product_columns=tables.product_columns,
        agent_types=None
        if tables.agent_types is None
        else tables.agent_types[people].copy(),
    )


def _cut_people(
    tables: SortedTables, values: Floats | None, first: int, stop: int
) -> Floats | None:
    """Lay what agents and products of markets first..stop-1 have side by side.

    ``values`` is ``(…, A, max J)``; agents come first.
    """
    if values is None:
        return None
    parts = []
    for t in range(first, stop):
        J = int(tables.product_offsets[t + 1] - tables.product_offsets[t])
        people = slice(tables.agent_offsets[t], tables.agent_offsets[t + 1])
        own = values[..., people, :J]
        parts.append(own.reshape(*own.shape[:-2], -1))
    return np.concatenate(parts, axis=-1)


def _cut_supply(tables: SortedTables, first: int, stop: int) -> SupplyRows:
    """Copy the supply side of markets first..stop-1."""
    supply, offsets = tables.supply, tables.product_offsets
    assert supply is not None
    rows = slice(offsets[first], offsets[stop])
    squares = np.concatenate([[0], np.cumsum(np.diff(offsets) ** 2)])
    given = supply.ownership.size > 0
    return SupplyRows(
        prices=supply.prices[rows].copy(),
        owners=supply.owners[rows].copy(),
        ownership=supply.ownership[squares[first] : squares[stop]].copy()
        if given
        else np.empty(0),
        X1_by_prices=np.ascontiguousarray(supply.X1_by_prices[:, rows]),
        X2_by_prices=np.ascontiguousarray(supply.X2_by_prices[:, rows]),
        X2_priced=supply.X2_priced,
        ZS=np.ascontiguousarray(supply.ZS[rows]),
    )


def _cut(linear: LinearRows, rows: slice) -> LinearRows:
    """Copy some of the linear rows."""
    clusters = linear.clusters
    return LinearRows(
        rows=linear.rows[rows].copy(),
        equations=tuple(
            Equation(
                X=np.ascontiguousarray(equation.X[rows]),
                Z=np.ascontiguousarray(equation.Z[rows]),
                effects=tuple(codes[rows].copy() for codes in equation.effects),
            )
            for equation in linear.equations
        ),
        clusters=None if clusters is None else clusters[rows].copy(),
        ZC=None if linear.ZC is None else np.ascontiguousarray(linear.ZC[rows]),
    )
