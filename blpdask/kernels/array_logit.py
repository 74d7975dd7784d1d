"""The array backend: δ that rationalises observed shares, and ∂δ/∂θ.

One source for CPUs and GPUs: ``xp`` is numpy or cupy, and nothing else differs. The
equations are in :mod:`blpdask.kernels.contract`; the pieces, in reading order, are
``array_batches`` (unequal markets as few arrays), ``array_shares`` (δ ↦ s),
``array_newton`` and ``array_fixed_point`` (s(δ) = S), ``array_curvature`` (∂δ/∂θ).

References: Berry (1994); Berry, Levinsohn and Pakes (1995); Nevo (2000).
"""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType

import numpy as np

from ..records import (
    Floats,
    Inversion,
    InversionControls,
    InversionStart,
    MarketBlock,
    Tastes,
)
from ..status import InversionStatus
from .array_batches import (
    Array,
    Batch,
    PreparedBlock,
    factor_places,
    gather,
    prepare,
    to_host,
)
from .array_curvature import chord_inverse, form
from .array_fixed_point import fixed_point
from .array_iteration import CONVERGED, NONFINITE, IterationState, begin, sup_norm
from .array_newton import recycled_newton
from .array_shares import DeviceTastes, ShareMap, move_tastes

__all__ = ["PreparedBlock", "invert", "prepare", "shares"]

#: Error of δ at which A is formed: derivatives inherit it, the polished δ does not.
FORMING_ERROR = 1e-13
#: Times that A is formed at most because the polish still moved δ.
FORMINGS = 5
#: A last Newton step this short leaves derivatives right to about as much.
FORMED = 1e-11
#: Longest polish that is believed.
LONGEST_POLISH = 1e-3


@dataclass(frozen=True, slots=True)
class _Answers:
    """A block's answers on the device, each with one last entry that padding fills."""

    delta: Array
    delta_by_theta: Array
    factor: Array
    outcome: Array


def invert(
    block: MarketBlock | PreparedBlock,
    tastes: Tastes,
    start: InversionStart,
    controls: InversionControls,
    xp: ModuleType = np,
) -> Inversion:
    """Solve s(δ, θ) = S for δ in every market and differentiate the solution.

    Parameters
    ----------
    block
        The markets, or what :func:`prepare` made of them, which stays on its device.
    tastes, start, controls
        θ, where to start and when to stop.
    xp
        Namespace to compute in, numpy or cupy; a prepared block brings its own.

    Returns
    -------
    Inversion
        δ, ∂δ/∂θ, factors of A, and how each market ended.
    """
    prepared = block if isinstance(block, PreparedBlock) else prepare(block, xp)
    xp = prepared.xp
    n_parameters = tastes.size if controls.derivatives else 0
    size = prepared.factor_size if controls.derivatives else 0
    answers = _Answers(
        delta=xp.zeros(prepared.n_products + 1),
        delta_by_theta=xp.zeros((prepared.n_products + 1, n_parameters)),
        factor=xp.zeros(size + 1),
        outcome=xp.zeros((3, prepared.n_markets), dtype=np.int64),
    )
    on_device = move_tastes(tastes, xp)
    begun = InversionStart(xp.asarray(start.delta), xp.asarray(start.factor))
    with np.errstate(all="ignore"):
        for batch in prepared.batches(controls.scratch_bytes):
            _invert_batch(batch, on_device, begun, controls, xp, answers)
    outcome = to_host(answers.outcome, xp)
    return Inversion(
        delta=to_host(answers.delta, xp)[:-1],
        delta_by_theta=to_host(answers.delta_by_theta, xp)[:-1],
        factor=to_host(answers.factor, xp)[:-1],
        status=outcome[0],
        iterations=outcome[1],
        evaluations=outcome[2],
    )


def shares(
    block: MarketBlock | PreparedBlock,
    tastes: Tastes,
    delta: Floats,
    xp: ModuleType = np,
) -> Floats:
    """Compute s(δ, θ), ``(N,)``, at given mean utilities.

    Parameters
    ----------
    block
        The markets, or what :func:`prepare` made of them.
    tastes
        θ.
    delta : (N,)
        Mean utilities.
    xp
        Namespace to compute in, numpy or cupy; a prepared block brings its own.

    Returns
    -------
    (N,) array
        Market shares.
    """
    prepared = block if isinstance(block, PreparedBlock) else prepare(block, xp)
    xp = prepared.xp
    scratch_bytes = InversionControls().scratch_bytes
    on_device, device_delta = move_tastes(tastes, xp), xp.asarray(delta)
    filled = xp.zeros(prepared.n_products + 1)
    with np.errstate(all="ignore"):
        for batch in prepared.batches(scratch_bytes):
            at = gather(device_delta, batch, xp)
            share_map = ShareMap(batch, on_device, at, scratch_bytes, xp)
            filled[batch.rows] = share_map(at)[0]
    answer: Floats = to_host(filled, xp)[:-1]
    return answer


def _invert_batch(
    batch: Batch,
    tastes: DeviceTastes,
    start: InversionStart,
    controls: InversionControls,
    xp: ModuleType,
    answers: _Answers,
) -> None:
    """Invert and differentiate one batch and write its answers."""
    delta = gather(start.delta, batch, xp)
    share_map = ShareMap(batch, tastes, delta, controls.scratch_bytes, xp)
    state = _solve(share_map, delta, start, controls)
    if controls.derivatives:
        _differentiate(share_map, state, controls, answers)
    answers.delta[batch.rows] = state.delta
    answers.outcome[0][batch.markets] = state.status
    answers.outcome[1][batch.markets] = state.iterations
    answers.outcome[2][batch.markets] = state.evaluations


def _solve(
    share_map: ShareMap,
    delta: Array,
    start: InversionStart,
    controls: InversionControls,
) -> IterationState:
    """Solve for δ by the method that was asked for."""
    xp, batch = share_map.xp, share_map.batch
    if controls.method == "return":
        state = begin(delta, xp)
        state.status = xp.where(xp.isfinite(delta).all(axis=1), CONVERGED, NONFINITE)
        return state
    if controls.method != "newton":
        return fixed_point(share_map, delta, controls)
    inverse = None
    if start.factor.size > 0:
        places = factor_places(batch, start.factor.size, xp)
        factor = xp.concatenate([start.factor, xp.zeros(1)])[places]
        factor = factor + xp.eye(delta.shape[1]) * batch.padding[..., None]
        factor = xp.where(xp.isfinite(factor[:, :1, :1]), factor, xp.nan)
        inverse = chord_inverse(factor, share_map)
    tolerance = _tolerance(controls)
    return recycled_newton(share_map, delta, inverse, controls, tolerance)


def _tolerance(controls: InversionControls) -> float:
    """Say how close Newton must come: a polish follows where A is formed."""
    return max(controls.atol, FORMING_ERROR) if controls.derivatives else controls.atol


def _differentiate(
    share_map: ShareMap,
    state: IterationState,
    controls: InversionControls,
    answers: _Answers,
) -> None:
    """Form A at each solution, write ∂δ/∂θ and factors, and polish δ by Newton.

    Where the polish moves δ by more than the derivatives may be off, A is formed again.
    """
    xp, batch = share_map.xp, share_map.batch
    places = factor_places(batch, answers.factor.size - 1, xp)
    polishes = controls.method == "newton"
    index = xp.arange(state.delta.shape[0])
    for _ in range(FORMINGS):
        share_map.follow(state.delta)
        formed = form(share_map, state.delta[index], index)
        answers.delta_by_theta[batch.rows[index]] = formed.delta_by_theta
        answers.factor[places[index]] = formed.factor
        status = state.status[index]
        converged = status == CONVERGED
        indefinite = int(InversionStatus.INDEFINITE_JACOBIAN)
        ended = xp.where(converged & ~formed.definite, indefinite, status)
        state.status[index] = xp.where(formed.finite, ended, NONFINITE)
        state.evaluations[index] = state.evaluations[index] + 1
        if not polishes:
            return
        length = sup_norm(formed.polish)
        believed = formed.finite & (length < LONGEST_POLISH)
        polish = xp.where(believed[:, None], formed.polish, 0.0)
        state.delta[index] = state.delta[index] + polish
        again = (
            converged & believed & (length > max(10.0 * _tolerance(controls), FORMED))
        )
        again = np.flatnonzero(to_host(again, xp))
        if again.size == 0:
            return
        index = index[xp.asarray(again)]
