"""Solve simulated markets: prices and shares given costs, or δ and costs given prices.

Either way a pass over blocks does the work, and rows come back in the user's order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ..driver.engine import Engine
from ..model.equilibrium import Equilibrium, PriceState, equilibrium_pass
from ..model.inversion import InversionMemory
from ..moments.demand import DemandState, invert_block
from ..moments.supply import block_costs
from ..partitions.source import BlockSource
from ..problem.demand_problem import DemandProblem
from ..records import JOINED, Floats, Integers, MarketBlock
from ..status import CostStatus


@dataclass(frozen=True, slots=True, eq=False)
class Exogenous:
    """Mean utilities and transformed costs that data imply.

    Attributes
    ----------
    delta
        ``(N,)`` δ.
    tilde_costs
        ``(N,)`` c̃, NaN in markets where costs could not be computed; of size zero
        without a supply side.
    status, iterations, evaluations
        ``(T,)`` of the inversion.
    cost_status
        ``(T,)`` codes of :class:`blpdask.status.CostStatus`; of size zero without a
        supply side.
    """

    delta: Floats = field(metadata=JOINED)
    tilde_costs: Floats = field(metadata=JOINED)
    status: Integers = field(metadata=JOINED)
    iterations: Integers = field(metadata=JOINED)
    evaluations: Integers = field(metadata=JOINED)
    cost_status: Integers = field(metadata=JOINED)


def solve_endogenous(
    demand: DemandProblem, source: BlockSource, state: PriceState, engine: Engine
) -> Equilibrium:
    """Find equilibrium prices of all markets, rows in the user's order.

    Parameters
    ----------
    demand
        The problem whose rows they are.
    source
        Of :func:`blpdask.problem.pricing.priced_markets`.
    state
        θ, and how to iterate.
    engine
        Where blocks are worked on.
    """
    placement = engine.place(source)
    try:
        found: Equilibrium = placement.reduce(equilibrium_pass, state)
    finally:
        placement.close()
    return replace(
        found,
        prices=_in_user_order(demand, found.prices),
        shares=_in_user_order(demand, found.shares),
        delta=_in_user_order(demand, found.delta),
        costs=_in_user_order(demand, found.costs),
        gradients=_in_user_order(demand, found.gradients),
    )


def solve_exogenous(
    demand: DemandProblem,
    state: DemandState,
    engine: Engine,
    *,
    delta: Floats | None = None,
    n_blocks: int | None = None,
) -> Exogenous:
    """Invert shares, and compute costs where there is a supply side.

    Parameters
    ----------
    demand
        The problem.
    state
        θ, how to invert, and how costs follow from markups.
    engine
        Where blocks are worked on.
    delta
        ``(N,)`` where inversions start, the plain logit's where None.
    n_blocks
        Number of blocks, chosen from the data where None.
    """
    prepared = demand.prepare(n_blocks)
    placement = engine.place(prepared.source)
    try:
        anchor = None
        if delta is not None:
            starts = np.split(delta[demand.order], np.cumsum(prepared.block_sizes)[:-1])
            placement.remember("start", _memories(starts))
            anchor = "start"
        found: Exogenous = placement.reduce(exogenous_pass, state, anchor=anchor)
    finally:
        placement.close()
    return replace(
        found,
        delta=_in_user_order(demand, found.delta),
        tilde_costs=_in_user_order(demand, found.tilde_costs),
    )


def exogenous_pass(
    block: MarketBlock, state: DemandState, memory: InversionMemory | None
) -> tuple[Exogenous, None]:
    """Compute δ and c̃ of a block: what an engine maps over blocks."""
    inversion = invert_block(block, state, memory)
    tilde_costs, cost_status = np.empty(0), np.empty(0, np.int64)
    if state.costs is not None:
        found = block_costs(
            block,
            state.costs,
            state.tastes,
            inversion.delta,
            np.empty((block.n_products, 0)),
            backend=state.backend,
            scratch_bytes=state.controls.scratch_bytes,
        )
        computed = found.status == CostStatus.COMPUTED
        known = np.repeat(computed, np.diff(block.product_offsets))
        tilde_costs = np.where(known, found.costs, np.nan)
        cost_status = np.asarray(found.status, np.int64)
    return (
        Exogenous(
            delta=inversion.delta,
            tilde_costs=tilde_costs,
            status=inversion.status,
            iterations=inversion.iterations,
            evaluations=inversion.evaluations,
            cost_status=cost_status,
        ),
        None,
    )


def _memories(starts: Sequence[Floats]) -> list[InversionMemory]:
    """Tell each block where to start."""
    none: Any = np.empty(0)
    return [
        InversionMemory(None, start, np.empty((start.size, 0)), none)
        for start in starts
    ]


def _in_user_order(demand: DemandProblem, values: Floats) -> Floats:
    """Put rows in market order where the user had them."""
    if not values.size:
        return values
    found = np.empty_like(values)
    found[demand.order] = values
    return found
