"""δ(θ) of a block of markets: where the inversion starts and who computes it.

From what a block remembers of a named earlier evaluation θ₀, the implicit function
theorem predicts

    δ⁰ = δ(θ₀) + ∂δ/∂θ (θ - θ₀),

and A(θ₀), factored there, serves the first chord steps (see
:mod:`blpdask.kernels.loop_inversion`). The solution is a function of θ to the
inversion's tolerance; its last bits are a function of (θ, θ₀).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from ..kernels.contract import Backend
from ..records import (
    Floats,
    Inversion,
    InversionControls,
    InversionStart,
    MarketBlock,
    Markups,
    PriceTastes,
    Tastes,
)
from ..status import InversionStatus
from .agent_types import (
    add_share_slopes,
    has_types,
    no_shares,
    weigh_types,
)
from .nests import logit_delta
from .type_markups import type_markups

#: Residual of log shares that a routine from outside may leave and be believed.
LARGEST_RESIDUAL = 1e-3
#: One market's contraction, its start, to a fixed point: PyBLP's custom iteration.
Iterate = Callable[[Callable[[Floats], Floats], Floats], tuple[Floats, bool, int, int]]


@dataclass(frozen=True, slots=True)
class InversionMemory:
    """What a block remembers of an evaluation.

    Attributes
    ----------
    theta
        ``(P,)`` free parameters of Σ, Π, ρ and λ, or None where only δ is known.
    delta, delta_by_theta, factor
        As in :class:`blpdask.records.Inversion`.
    costs, costs_by_theta
        ``(N,)`` c̃ and ``(N, P + B)`` ∂c̃/∂θ as in :class:`blpdask.moments.supply.Costs`,
        None without a supply side.
    clipped
        ``(N,)`` whether costs were set to a bound.
    """

    theta: Floats | None
    delta: Floats
    delta_by_theta: Floats
    factor: Floats
    costs: Floats | None = None
    costs_by_theta: Floats | None = None
    clipped: NDArray[np.bool_] | None = None


def start_inversion(
    block: MarketBlock,
    tastes: Tastes,
    theta: Floats,
    memory: InversionMemory | None,
    *,
    recycle: bool,
) -> InversionStart:
    """Choose δ⁰ and A₀ from a memory, or the logit's δ where there is none.

    Parameters
    ----------
    block
        The markets.
    tastes, theta
        θ, and its ``(P,)`` free parameters of Σ, Π, ρ and λ.
    memory
        What the block remembers of the anchor.
    recycle
        Whether to predict and to hand on factors; else the anchor's δ is the start.
    """
    nothing = np.empty(0)
    if memory is None:
        return InversionStart(logit_delta(block, tastes), nothing)
    if not recycle or memory.theta is None:
        return InversionStart(memory.delta, nothing)
    if memory.delta_by_theta.shape[1] != theta.size:
        return InversionStart(memory.delta, memory.factor)
    predicted = memory.delta + memory.delta_by_theta @ (theta - memory.theta)
    usable = np.isfinite(predicted)
    return InversionStart(np.where(usable, predicted, memory.delta), memory.factor)


def solve_shares(
    block: MarketBlock,
    tastes: Tastes,
    start: InversionStart,
    controls: InversionControls,
    *,
    backend: str,
    iterate: Iterate | None = None,
) -> Inversion:
    """Solve s(δ, θ) = S by kernels or by a routine from outside.

    Kernels see δ over the scale ε of the extreme-value errors.

    Parameters
    ----------
    block, tastes, start, controls
        The markets, θ, where to start and when to stop.
    backend
        ``numba``, ``numpy`` or ``cupy``.
    iterate
        A fixed-point routine from outside, or None for the kernels' own.
    """
    kernels, scale = choose_backend(backend), block.epsilon_scale
    if has_types(block, tastes) and not (tastes.type_shares >= 0).all():
        return no_shares(block, tastes, derivatives=controls.derivatives)
    if scale != 1.0:
        start = InversionStart(start.delta / scale, start.factor)
    weighted = weigh_types(block, tastes)
    if iterate is not None:
        found = iterate_markets(kernels, weighted, tastes, start, controls, iterate)
    else:
        found = kernels.invert(weighted, tastes, start, controls)
    if has_types(block, tastes) and controls.derivatives:
        found = add_share_slopes(
            kernels, block, tastes, found, nest_by_nest=backend == "numba"
        )
    if scale == 1.0:
        return found
    return replace(
        found, delta=scale * found.delta, delta_by_theta=scale * found.delta_by_theta
    )


def simulate_shares(
    block: MarketBlock, tastes: Tastes, delta: Floats, *, backend: str
) -> Floats:
    """Compute s(δ, θ) ``(N,)`` of a block at given mean utilities."""
    scaled = delta if block.epsilon_scale == 1.0 else delta / block.epsilon_scale
    return choose_backend(backend).shares(weigh_types(block, tastes), tastes, scaled)


def solve_markups(
    block: MarketBlock,
    tastes: Tastes,
    price_tastes: PriceTastes,
    delta: Floats,
    delta_by_theta: Floats,
    *,
    backend: str,
    scratch_bytes: int,
) -> Markups:
    """Solve Δη = S and differentiate, as :mod:`blpdask.kernels.contract` says.

    Utilities are over the scale of the extreme-value errors.
    """
    return type_markups(
        choose_backend(backend),
        block,
        tastes,
        price_tastes,
        delta,
        delta_by_theta,
        scratch_bytes,
    )


def choose_backend(name: str) -> Backend:
    """Import the backend of that name: ``numba``, ``numpy`` or ``cupy``."""
    if name == "numba":
        from ..kernels import loop_backend

        return cast(Backend, loop_backend)
    from ..kernels.array_backend import array_backend

    return array_backend(name)


def compilation_notice(name: str) -> str | None:
    """Say that loops will be compiled first, where they seem not to be yet."""
    if name != "numba":
        return None
    from ..kernels import loop_logit

    if loop_logit.is_compiled():
        return None
    return "Compiling the loops, once on this machine: about half a minute"


def iterate_markets(
    backend: Backend,
    block: MarketBlock,
    tastes: Tastes,
    start: InversionStart,
    controls: InversionControls,
    iterate: Iterate,
) -> Inversion:
    """Solve each market's contraction by a routine given from outside.

    The contraction is δ ← δ + (1 - ρ_h)(log S - log s(δ, θ)); the routine may be one of
    SciPy's or a user's. Markets are visited one by one in Python, which is slow and
    exact.
    """
    delta = np.array(start.delta)
    outcome = np.zeros((3, block.n_markets), np.int64)
    for t in range(block.n_markets):
        market = one_market(block, t)
        rows = slice(block.product_offsets[t], block.product_offsets[t + 1])

        damping = 1.0 if market.nests is None else 1.0 - tastes.rho[market.nests]

        def contraction(
            x: Floats, market: MarketBlock = market, damping: Any = damping
        ) -> Floats:
            with np.errstate(all="ignore"):
                simulated = backend.shares(market, tastes, x)
                return np.asarray(x + damping * (market.log_shares - np.log(simulated)))

        solution, converged, iterations, evaluations = iterate(contraction, delta[rows])
        delta[rows] = solution
        shares = backend.shares(market, tastes, solution)
        status = _status_of(shares, market.log_shares, converged)
        outcome[:, t] = status, iterations, evaluations
    solved = InversionStart(delta, np.empty(0))
    kept = InversionControls(method="return", derivatives=controls.derivatives)
    differentiated = backend.invert(block, tastes, solved, kept)
    return Inversion(
        delta,
        differentiated.delta_by_theta,
        differentiated.factor,
        np.where(outcome[0] != 0, outcome[0], differentiated.status),
        outcome[1],
        outcome[2],
    )


def _status_of(shares: Floats, log_shares: Floats, converged: bool) -> InversionStatus:
    """Say how a routine from outside ended; its own word is not enough.

    Far away, x + log S - log s rounds to x, and looks like a fixed point.
    """
    with np.errstate(all="ignore"):
        distance = float(np.abs(log_shares - np.log(shares)).max())
    if not np.isfinite(distance):
        return InversionStatus.NONFINITE
    if not converged or distance > LARGEST_RESIDUAL:
        return InversionStatus.MAX_EVALUATIONS
    return InversionStatus.CONVERGED


def one_market(block: MarketBlock, t: int) -> MarketBlock:
    """View market t of a block as a block of its own."""
    a, b = (int(row) for row in block.product_offsets[t : t + 2])
    c, d = (int(row) for row in block.agent_offsets[t : t + 2])
    arrays: dict[str, Any] = {
        "X2": np.ascontiguousarray(block.X2[:, a:b]),
        "log_shares": block.log_shares[a:b],
        "logit_delta": block.logit_delta[a:b],
        "draws": block.draws[c:d],
        "weights": block.weights[c:d],
        "agent_types": None if block.agent_types is None else block.agent_types[c:d],
        "ZD": block.ZD[a:b],
        "nests": None if block.nests is None else block.nests[a:b],
        "availability": _of_market(block, block.availability, t),
        "product_draws": _of_market(block, block.product_draws, t),
    }
    return MarketBlock(
        index=block.index,
        first_market=block.first_market + t,
        product_offsets=np.array([0, b - a]),
        agent_offsets=np.array([0, d - c]),
        product_columns=block.product_columns,
        **arrays,
    )


def _of_market(block: MarketBlock, values: Floats | None, t: int) -> Floats | None:
    """Cut what agents and products of market t have out of ``(…, V)``."""
    if values is None:
        return None
    sizes = np.diff(block.product_offsets) * np.diff(block.agent_offsets)
    first = int(sizes[:t].sum())
    return np.ascontiguousarray(values[..., first : first + int(sizes[t])])
