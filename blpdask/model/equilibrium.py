"""Prices that no firm wants to move: Bertrand-Nash equilibria of a block of markets.

Prices are iterated to the fixed point of

    p = c + ζ(p),   ζ = Λ⁻¹ (H ∘ Γ) (p - c) - Λ⁻¹ s

(Morrow and Skerlos 2011, with what :mod:`blpdask.kernels.contract` calls Γ, whose
transpose is theirs), in all markets of a block side by side. A market is done where its
gradient of profits, Λ (p - c - ζ), is below the tolerance everywhere (Conlon and
Gortmaker 2020, section 3.6), and costs nothing from then on.

Characteristics may depend on prices by any formula, and costs on shares: both are
functions that are passed in, called once an evaluation for the whole block. Products
whose prices are held have ζ = p - c, so that their prices stay and their gradients are
zero; their profits still count for those who own others.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..records import (
    JOINED,
    Floats,
    Integers,
    InversionControls,
    MarketBlock,
    PriceConditions,
    Tastes,
    TrialPrices,
)
from ..status import PriceStatus
from .agent_types import weigh_types
from .inversion import choose_backend
from .price_acceleration import Past
from .profit_hessian import profit_hessians

#: Ways to iterate to equilibrium prices that can be asked for by name.
METHODS = ("simple", "squarem", "return")
#: The way that is taken where none is (:mod:`blpdask.model.price_acceleration`).
ACCELERATED = "accelerated"
Flags = NDArray[np.bool_]


class UtilityAtPrices(Protocol):
    """Evaluates what of a block's utilities, over ε, moves with prices."""

    def __call__(self, prices: Floats) -> TrialPrices:
        """Evaluate δ, X2 and their derivatives by prices at prices ``(N,)``."""
        ...

    def curvature(self, prices: Floats) -> tuple[Floats, Floats]:
        """Evaluate Σ_k β_k ∂²x1_k/∂p² ``(N,)`` and ∂²x2/∂p² ``(R, N)``."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class PricedMarkets:
    """A block of markets whose prices are sought: what an engine places.

    Attributes
    ----------
    markets
        With owners on its supply side.
    utility
        What moves with prices.
    start
        ``(N,)`` prices where iteration starts.
    costs
        ``(N,)`` c, marginal costs.
    costs_at
        Gives c at shares ``(N,)`` where costs depend on quantities; else None.
    linear
        Whether what moves with prices is known to be linear in them.
    fixed
        ``(N,)`` products whose prices stay where they start; None for nobody's.
    """

    markets: MarketBlock
    utility: UtilityAtPrices
    start: Floats
    costs: Floats
    costs_at: Callable[[Floats], Floats] | None = None
    linear: bool = False
    fixed: Flags | None = None


@dataclass(frozen=True, slots=True)
class PriceState:
    """What is sent to every block.

    Attributes
    ----------
    tastes
        θ.
    controls
        How prices iterate: ``method`` one of :data:`METHODS` or :data:`ACCELERATED`,
        ``atol`` the bound on gradients of profits, ``max_evaluations`` of ζ; the rest
        as for inversions.
    backend
        ``numba``, ``numpy`` or ``cupy``.
    hessians
        Whether Hessians of profits are wanted.
    """

    tastes: Tastes
    controls: InversionControls
    backend: str = "numba"
    hessians: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Equilibrium:
    """Equilibrium prices of blocks, rows in market order, and how they were found.

    Attributes
    ----------
    prices, shares, delta, costs
        ``(N,)`` p, s, δ and c at these prices.
    gradients
        ``(N,)`` s_j + Σ_k H_jk (p_k - c_k) ∂s_k/∂p_j.
    hessians
        ``(F,)`` derivatives of that sum, with H_jj s_j, by all prices of the market,
        row-major, market after market (F = Σ J_t²); of size zero where not asked for.
    status
        ``(T,)`` codes of :class:`blpdask.status.PriceStatus`.
    iterations, evaluations
        ``(T,)`` steps taken, and evaluations of ζ.
    """

    prices: Floats = field(metadata=JOINED)
    shares: Floats = field(metadata=JOINED)
    delta: Floats = field(metadata=JOINED)
    costs: Floats = field(metadata=JOINED)
    gradients: Floats = field(metadata=JOINED)
    hessians: Floats = field(metadata=JOINED)
    status: Integers = field(metadata=JOINED)
    iterations: Integers = field(metadata=JOINED)
    evaluations: Integers = field(metadata=JOINED)


def equilibrium_pass(
    block: PricedMarkets, state: PriceState, memory: None
) -> tuple[Equilibrium, None]:
    """Solve for a block's prices: what an engine maps over blocks."""
    del memory
    return solve_prices(block, state), None


def solve_prices(block: PricedMarkets, state: PriceState) -> Equilibrium:
    """Iterate a block's prices to their fixed point.

    Parameters
    ----------
    block
        Markets, costs, and how utilities move with prices.
    state
        θ, and how to iterate.
    """
    block = replace(block, markets=weigh_types(block.markets, state.tastes))
    search = _Search(block, state)
    with np.errstate(all="ignore"):
        if state.controls.method == "simple":
            _iterate(search)
        elif state.controls.method == ACCELERATED:
            if not search.leave_to_backend():
                _follow_secants(search)
        elif state.controls.method == "squarem":
            _accelerate(search, state.controls)
        else:
            search.active[:] = False
        last = search.finish()
        found = last.conditions
        margins = search.prices - last.costs
        hessians = np.empty(0)
        if state.hessians:
            curvature = block.utility.curvature(search.prices)
            hessians = profit_hessians(
                block.markets, state.tastes, last.trial, curvature, margins
            )
        return Equilibrium(
            prices=search.prices,
            shares=found.shares,
            delta=block.markets.epsilon_scale * last.trial.delta,
            costs=last.costs,
            gradients=found.Lambda * (margins - found.zeta),
            hessians=hessians,
            status=search.status(),
            iterations=search.iterations,
            evaluations=search.evaluations,
        )


def _iterate(search: _Search) -> None:
    """Put p ← c + ζ(p) until nobody is active."""
    while search.active.any():
        search.step()
        search.iterations[search.stepped] += 1


def _follow_secants(search: _Search) -> None:
    """Try what the past of each market proposes, until nobody is active."""
    past = Past(search.offsets, search.prices)
    while search.active.any():
        before = search.prices
        fallback = np.where(search.spread(past.can_retry), past.best, before)
        moved = search.step(fallback, retry=past.can_retry, bound=past.bound)
        search.iterations[search.stepped] += 1
        ahead = past.propose(before, moved, search.size)
        search.prices = np.where(search.spread(search.active), ahead, moved)


def _accelerate(search: _Search, controls: InversionControls) -> None:
    """Iterate with squared extrapolation (Varadhan and Roland 2008), all markets alike.

    Of each three evaluations the first two give a direction, the third is at the
    extrapolated prices.
    """
    low = np.full(search.n_markets, controls.step_min)
    high = np.full(search.n_markets, controls.step_max)
    while search.active.any():
        x0 = search.prices
        x1 = search.step()
        x2 = search.step()
        r = x1 - x0
        v = x2 - x1 - r
        rr, rv, vv = search.dot(r, r), search.dot(r, v), search.dot(v, v)
        size = {1: -rv / vv, 2: -rr / rv, 3: np.sqrt(rr / vv)}[controls.scheme]
        size = np.fmax(low, np.fmin(high, size))
        high = np.where(size == high, controls.step_factor * high, high)
        low = np.where((size == low) & (low < 0), controls.step_factor * low, low)
        by = search.spread(size)
        ahead = x0 + 2 * by * r + by**2 * v
        search.prices = np.where(search.spread(search.active), ahead, x2)
        search.step(fallback=x2)
        search.iterations[search.stepped] += 1


@dataclass(frozen=True, slots=True)
class _Evaluation:
    """Everything known at trial prices."""

    trial: TrialPrices
    costs: Floats
    conditions: PriceConditions


class _Search:
    """Prices of a block on their way, and which markets still move."""

    def __init__(self, block: PricedMarkets, state: PriceState) -> None:
        """Start at the block's starting prices."""
        self.block, self.state = block, state
        self.backend = choose_backend(state.backend)
        self.offsets = block.markets.product_offsets
        self.sizes = np.diff(self.offsets)
        self.n_markets = block.markets.n_markets
        self.prices = np.array(block.start)
        self.active = np.ones(self.n_markets, np.bool_)
        self.stepped = self.active.copy()
        self.size = np.full(self.n_markets, np.nan)
        self.broken = np.zeros(self.n_markets, np.bool_)
        self.done = np.full(self.n_markets, state.controls.method == "return")
        self.iterations = np.zeros(self.n_markets, np.int64)
        self.evaluations = np.zeros(self.n_markets, np.int64)
        self.found: PriceConditions | None = None

    def leave_to_backend(self) -> bool:
        """Let the backend find prices, where it can; tell whether it did."""
        block, state = self.block, self.state
        if not block.linear or block.costs_at is not None or block.fixed is not None:
            return False
        # Linear everywhere: costs are closer to what is sought than starts may be.
        line = block.utility(block.costs)
        found = self.backend.equilibrium(
            block.markets, state.tastes, line, block.start, block.costs, state.controls
        )
        if found is None:
            return False
        self.prices, self.found = found.prices, found.conditions
        self.done, self.broken = found.done, found.broken
        self.iterations, self.evaluations = found.iterations, found.evaluations
        return True

    def finish(self) -> _Evaluation:
        """Give everything known at the prices found."""
        if self.found is None:
            return self.evaluate(self.prices, np.ones(self.n_markets, np.bool_))
        trial = self.block.utility(self.prices)
        return _Evaluation(trial, self.block.costs, self.found)

    def step(
        self,
        fallback: Floats | None = None,
        retry: Flags | None = None,
        bound: Floats | None = None,
    ) -> Floats:
        """Move active markets to c + ζ(p) and see which of them are done.

        A market where that is not finite goes back to ``fallback``, by default the
        prices at which it was, and stays active if it may ``retry``; one that moves by
        more than ``bound`` is not done.
        """
        before = self.prices if fallback is None else fallback
        now = self.evaluate(self.prices, self.active)
        moved = self.hold(now.costs + now.conditions.zeta, self.prices)
        gap = self.largest(now.conditions.Lambda * (moved - self.prices))
        finite = np.isfinite(gap) & np.isfinite(self.largest(moved))
        size = self.largest(moved - self.prices)
        self.size = np.where(finite, size, np.nan)
        self.stepped = self.active & finite
        lost = self.active & ~finite
        again = np.zeros_like(lost) if retry is None else lost & retry
        self.broken |= lost & ~again
        self.evaluations[self.active] += 1
        kept = np.where(self.spread(self.active), before, self.prices)
        self.prices = np.where(self.spread(self.stepped), moved, kept)
        near = True if bound is None else size <= bound
        self.done |= self.stepped & near & (gap < self.state.controls.atol)
        allowed = self.evaluations < self.state.controls.max_evaluations
        self.active = (self.stepped | again) & ~self.done & allowed
        return self.prices

    def evaluate(self, prices: Floats, active: Flags) -> _Evaluation:
        """Evaluate first-order conditions of the active markets."""
        block = self.block
        trial, costs = block.utility(prices), block.costs
        of_rows = trial.delta + trial.alpha
        of_rows = of_rows + trial.X2.sum(axis=0) + trial.X2_by_prices.sum(axis=0)
        active = active & np.isfinite(self.largest(of_rows))
        if block.costs_at is not None:
            none = np.zeros_like(prices)
            costs = block.costs_at(self._conditions(trial, none, active).shares)
        margins = prices - costs
        found = self._conditions(trial, margins, active)
        found = replace(found, zeta=self.hold(found.zeta, margins))
        return _Evaluation(trial, costs, found)

    def hold(self, free: Floats, fixed: Floats) -> Floats:
        """Choose values ``(N,)`` for products that are free to move, and others."""
        held = self.block.fixed
        return free if held is None else np.where(held, fixed, free)

    def _conditions(
        self, trial: TrialPrices, margins: Floats, active: Flags
    ) -> PriceConditions:
        return self.backend.conditions(
            self.block.markets,
            self.state.tastes,
            trial,
            margins,
            active,
            self.state.controls.scratch_bytes,
        )

    def status(self) -> Integers:
        """Say how each market ended."""
        ended = np.where(
            self.broken,
            PriceStatus.NONFINITE,
            np.where(self.done, PriceStatus.CONVERGED, PriceStatus.MAX_EVALUATIONS),
        )
        return ended.astype(np.int64)

    def largest(self, values: Floats) -> Floats:
        """Find the sup norm of each market, ``(T,)``, NaN where any value is."""
        found: Floats = np.maximum.reduceat(np.abs(values), self.offsets[:-1])
        return found

    def dot(self, x: Floats, y: Floats) -> Floats:
        """Compute x'y of each market, ``(T,)``."""
        found: Floats = np.add.reduceat(x * y, self.offsets[:-1])
        return found

    def spread(self, values: NDArray[Any]) -> NDArray[Any]:
        """Repeat a value a market for each of its products."""
        return np.repeat(values, self.sizes)
