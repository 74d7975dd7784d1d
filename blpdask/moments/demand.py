"""What moments need of blocks: Z_D'δ(θ), Z_S'c̃(θ), and how they move with θ.

Instruments have fixed effects absorbed once. The annihilator M of the effects is
symmetric and idempotent, so (MZ)'δ = (MZ)'(Mδ): δ(θ) need not be absorbed at every θ,
nor costs c̃(θ) where there is a supply side, and with linear parameters concentrated out
the objective needs nothing else of a block (Berry, Levinsohn and Pakes 1995; Nevo 2000,
appendix).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from ..kernels.sums import accurate_product
from ..model.inversion import (
    InversionMemory,
    Iterate,
    solve_shares,
    start_inversion,
)
from ..model.nests import logit_delta, logit_delta_by_rho
from ..records import (
    JOINED,
    Floats,
    Inversion,
    InversionControls,
    MarketBlock,
    Tastes,
)
from ..status import InversionStatus
from .supply import CostState, block_costs


@dataclass(frozen=True, slots=True)
class DemandState:
    """θ and how to invert, as sent to every block.

    Attributes
    ----------
    theta
        ``(P,)`` free parameters of Σ, Π and ρ.
    tastes
        θ as the kernels read it.
    controls
        How inversions iterate.
    backend
        ``numba``, ``numpy`` or ``cupy``.
    iterate
        A fixed-point routine from outside, or None for the kernels' own.
    keep_factor
        Whether a block remembers the factors of its share Jacobians.
    costs
        How costs follow from markups; None without a supply side.
    """

    theta: Floats
    tastes: Tastes
    controls: InversionControls
    backend: str
    iterate: Iterate | None = None
    keep_factor: bool = True
    costs: CostState | None = None


@dataclass(frozen=True, slots=True)
class DemandSums:
    """What a block adds to the moments.

    Attributes
    ----------
    ZtDelta
        ``(MD,)`` Z'δ, in long doubles (see :mod:`blpdask.kernels.loop_sums`).
    ZtDelta_by_theta
        ``(MD, P)`` Z' ∂δ/∂θ.
    status, iterations, evaluations
        ``(T,)`` how each market ended, joined in market order; in small integers, for
        a driver keeps those of every evaluation.
    ZtCosts, ZtCosts_by_theta
        ``(MS,)`` and ``(MS, P + B)`` of supply-side instruments and c̃, also by the free
        entries of β on prices.
    cost_status
        ``(T,)`` whether costs could be computed. Without a supply side these three are
        of size zero.
    """

    ZtDelta: Floats
    ZtDelta_by_theta: Floats
    status: NDArray[np.int8] = field(metadata=JOINED)
    iterations: NDArray[np.int32] = field(metadata=JOINED)
    evaluations: NDArray[np.int32] = field(metadata=JOINED)
    ZtCosts: Floats = field(default_factory=lambda: np.empty(0, np.longdouble))
    ZtCosts_by_theta: Floats = field(default_factory=lambda: np.empty((0, 0)))
    cost_status: NDArray[np.int8] = field(
        default_factory=lambda: np.empty(0, np.int8), metadata=JOINED
    )

    @property
    def Zty(self) -> Floats:
        """Stack Z'y of all equations, ``(M,)``."""
        return np.concatenate([self.ZtDelta, self.ZtCosts])


def demand_pass(
    block: MarketBlock, state: DemandState, memory: InversionMemory | None
) -> tuple[DemandSums, InversionMemory]:
    """Invert a block's shares at θ and sum what the moments need of it."""
    inversion = invert_block(block, state, memory)
    delta, delta_by_theta = revert(block, state.tastes, inversion, memory)
    factor = inversion.factor if state.keep_factor else np.empty(0)
    remembered = InversionMemory(state.theta, delta, delta_by_theta, factor)
    # Far from any solution slopes can be beyond range; sums say so by not being finite.
    with np.errstate(over="ignore", invalid="ignore"):
        ZtDelta_by_theta = block.ZD.T @ delta_by_theta
    sums = DemandSums(
        ZtDelta=accurate_product(block.ZD, delta),
        ZtDelta_by_theta=ZtDelta_by_theta,
        status=inversion.status.astype(np.int8),
        iterations=inversion.iterations.astype(np.int32),
        evaluations=inversion.evaluations.astype(np.int32),
    )
    if state.costs is None or block.supply is None:
        return sums, remembered
    return _with_costs(
        block, state, state.costs, block.supply.ZS, memory, sums, remembered
    )


def _with_costs(
    block: MarketBlock,
    state: DemandState,
    how: CostState,
    ZS: Floats,
    memory: InversionMemory | None,
    sums: DemandSums,
    remembered: InversionMemory,
) -> tuple[DemandSums, InversionMemory]:
    """Add what the supply side adds to sums, and to what is remembered."""
    found = block_costs(
        block,
        how,
        state.tastes,
        remembered.delta,
        remembered.delta_by_theta,
        backend=state.backend,
        scratch_bytes=state.controls.scratch_bytes,
        memory=memory,
    )
    with np.errstate(over="ignore", invalid="ignore"):
        ZtCosts_by_theta = ZS.T @ found.costs_by_theta
    sums = replace(
        sums,
        ZtCosts=accurate_product(ZS, found.costs),
        ZtCosts_by_theta=ZtCosts_by_theta,
        cost_status=found.status.astype(np.int8),
    )
    return sums, replace(
        remembered,
        costs=found.costs,
        costs_by_theta=found.costs_by_theta,
        clipped=found.clipped,
    )


def warm_kernels(backend: str) -> None:
    """Load or compile kernels by working on one market of one product and one agent."""
    one, places = np.ones((1, 1)), np.array([0, 1])
    block = MarketBlock(
        index=0,
        first_market=0,
        product_offsets=places,
        agent_offsets=places,
        X2=one,
        log_shares=np.full(1, np.log(0.3)),
        logit_delta=np.full(1, np.log(0.3 / 0.7)),
        draws=one,
        weights=np.ones(1),
        ZD=one,
    )
    zero = places[:1]
    state = DemandState(
        theta=np.full(1, 0.5),
        tastes=Tastes(loadings=0.5 * one, types=zero, rows=zero, columns=zero),
        controls=InversionControls(),
        backend=backend,
    )
    demand_pass(block, state, None)


def invert_block(
    block: MarketBlock, state: DemandState, memory: InversionMemory | None
) -> Inversion:
    """Compute δ(θ) and ∂δ/∂θ of a block from its memory of the anchor.

    Without random coefficients δ is the logit's or the nested logit's (Berry 1994).
    """
    tastes, controls = state.tastes, state.controls
    if block.X2.shape[0] == 0:
        return plain_logit(block, tastes, derivatives=controls.derivatives)
    recycle = controls.method == "newton" and state.iterate is None
    start = start_inversion(block, tastes, state.theta, memory, recycle=recycle)
    return solve_shares(
        block, tastes, start, controls, backend=state.backend, iterate=state.iterate
    )


def plain_logit(
    block: MarketBlock, tastes: Tastes, *, derivatives: bool = True
) -> Inversion:
    """Invert in closed form where no coefficient is random."""
    zeros = np.zeros(block.n_markets, np.int64)
    slopes = logit_delta_by_rho(block, tastes)
    return Inversion(
        delta=logit_delta(block, tastes),
        delta_by_theta=slopes if derivatives else slopes[:, :0],
        factor=np.empty(0),
        status=zeros,
        iterations=zeros,
        evaluations=zeros,
    )


def revert(
    block: MarketBlock,
    tastes: Tastes,
    inversion: Inversion,
    memory: InversionMemory | None,
) -> tuple[Floats, Floats]:
    """Replace what is not finite by the anchor's values.

    The statuses keep saying what happened: nothing is hidden, and an estimator decides
    whether to punish, to go on or to raise.
    """
    delta, slopes = inversion.delta, inversion.delta_by_theta
    if (inversion.status == InversionStatus.CONVERGED).all():
        return delta, slopes
    bad = ~np.isfinite(delta)
    bad_slopes = ~np.isfinite(slopes)
    last = logit_delta(block, tastes) if memory is None else memory.delta
    last_slopes = np.zeros_like(slopes)
    if memory is not None and memory.delta_by_theta.shape == slopes.shape:
        last_slopes = memory.delta_by_theta
    return np.where(bad, last, delta), np.where(bad_slopes, last_slopes, slopes)
