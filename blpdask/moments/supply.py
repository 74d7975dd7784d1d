"""Marginal costs that first-order conditions imply, and how they move with θ.

    c = p - η(θ),     c̃ = c   or   c̃ = log c,     c̃_j = x3_j'γ + ω_j

(Berry, Levinsohn and Pakes 1995, section 3; Conlon and Gortmaker 2020, section 2). With
∂η/∂θ of :mod:`blpdask.kernels.contract`,

    ∂c̃_j/∂θ = -∂η_j/∂θ,   divided by c_j where costs are in logs.

Costs outside given bounds are set to the bound, from where they do not move.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..model.inversion import InversionMemory, solve_markups
from ..records import Floats, Integers, MarketBlock, PriceTastes, Tastes
from ..status import CostStatus


@dataclass(frozen=True, slots=True)
class CostState:
    """How costs follow from markups, as sent to every block.

    Attributes
    ----------
    tastes
        β on the columns of X1 that depend on prices.
    log
        Whether c̃ = log c.
    lower, upper
        Bounds on c.
    """

    tastes: PriceTastes
    log: bool = False
    lower: float = -np.inf
    upper: float = np.inf


@dataclass(frozen=True, slots=True, eq=False)
class Costs:
    """Transformed marginal costs of a block.

    Attributes
    ----------
    costs
        ``(N,)`` c̃.
    costs_by_theta
        ``(N, P + B)`` ∂c̃/∂θ for the free parameters of Σ and Π, then the free ones of β
        on prices; ``(N, 0)`` where not asked for.
    clipped
        ``(N,)`` whether c was set to a bound.
    status
        ``(T,)`` codes of :class:`blpdask.status.CostStatus`.
    """

    costs: Floats
    costs_by_theta: Floats
    clipped: NDArray[np.bool_]
    status: Integers


def block_costs(
    block: MarketBlock,
    state: CostState,
    tastes: Tastes,
    delta: Floats,
    delta_by_theta: Floats,
    *,
    backend: str,
    scratch_bytes: int,
    memory: InversionMemory | None = None,
) -> Costs:
    """Compute a block's costs at θ and δ(θ).

    Parameters
    ----------
    block
        Markets with a supply side.
    state, tastes
        θ.
    delta, delta_by_theta
        ``(N,)`` and ``(N, P)``, or ``(N, 0)`` without derivatives.
    backend, scratch_bytes
        Which kernels, and their bound on scratch memory.
    memory
        Of the anchor, whose costs replace those that cannot be computed; else prices
        do, as costs of firms that take them.
    """
    supply = block.supply
    assert supply is not None
    if block.X2.shape[0] == 0:
        block = _with_one_agent(block)
    if block.epsilon_scale != 1.0:
        delta = delta / block.epsilon_scale
        delta_by_theta = delta_by_theta / block.epsilon_scale
    found = solve_markups(
        block,
        tastes,
        state.tastes,
        delta,
        delta_by_theta,
        backend=backend,
        scratch_bytes=scratch_bytes,
    )
    raw = supply.prices - found.eta
    clipped = (raw < state.lower) | (raw > state.upper)
    costs, slopes = raw, -found.eta_by_theta
    if clipped.any():
        costs = np.where(clipped, np.clip(raw, state.lower, state.upper), raw)
        slopes[clipped] = 0.0
    last = supply.prices
    with np.errstate(invalid="ignore", divide="ignore"):
        if state.log:
            slopes = slopes / costs[:, None]
            costs, last = np.log(costs), np.log(last)
    status = _status(block, raw, costs)
    if np.isfinite(costs).all() and np.isfinite(slopes).all():
        return Costs(costs, slopes, clipped, status)
    if memory is not None and memory.costs is not None:
        last = memory.costs
    last_slopes = np.zeros_like(slopes)
    before = None if memory is None else memory.costs_by_theta
    if before is not None and before.shape == slopes.shape:
        last_slopes = before
    return Costs(
        costs=np.where(np.isfinite(costs), costs, last),
        costs_by_theta=np.where(np.isfinite(slopes), slopes, last_slopes),
        clipped=clipped,
        status=status,
    )


def _with_one_agent(block: MarketBlock) -> MarketBlock:
    """Give each market of a plain logit one agent, whom all others are like."""
    T = block.n_markets
    return replace(
        block,
        agent_offsets=np.arange(T + 1),
        draws=np.zeros((T, block.draws.shape[1])),
        weights=np.ones(T),
    )


def _status(block: MarketBlock, raw: Floats, costs: Floats) -> Integers:
    """Say of each market whether its costs are there."""
    if np.isfinite(costs).all():
        return np.full(block.n_markets, int(CostStatus.COMPUTED))
    bad = np.where(
        np.isfinite(costs),
        CostStatus.COMPUTED,
        np.where(np.isfinite(raw), CostStatus.NONPOSITIVE, CostStatus.NONFINITE),
    )
    worst: Integers = np.maximum.reduceat(bad, block.product_offsets[:-1])
    return worst
