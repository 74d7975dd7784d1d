"""Solve s(δ) = S as a fixed point, for a batch of markets.

    δ ← g(δ) = δ + (1 - ρ)(log S - log s(δ)),

with ρ = 0 where there are no nests (Berry, Levinsohn and Pakes 1995; Grigolon and
Verboven 2014), plain, or accelerated by SQUAREM (Varadhan and Roland 2008): from x,
with r = g(x) - x and v = (g(g(x)) - g(x)) - r, a cycle ends at g(x - 2 α r + α² v); the
step length α is

    scheme 1: r'v / v'v,      scheme 2: r'r / r'v,      scheme 3: -‖r‖ / ‖v‖,

with -α held between bounds that grow by a factor when they bind. A market stops when
one map changes it by less than the tolerance.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from types import ModuleType

import numpy as np

from ..records import InversionControls
from .array_batches import Array, to_host
from .array_iteration import (
    CONVERGED,
    MAX_EVALUATIONS,
    NONFINITE,
    RUNNING,
    IterationState,
    begin,
    shrink,
    sup_norm,
)
from .array_shares import ShareMap


@dataclass(slots=True)
class FixedPointState(IterationState):
    """Where the contraction stands in each market.

    Attributes
    ----------
    first, second
        ``(B, J)`` changes by the first and second map of a SQUAREM cycle.
    step_min, step_max
        ``(B,)`` bounds on -α.
    """

    first: Array
    second: Array
    step_min: Array
    step_max: Array


def fixed_point(
    share_map: ShareMap, start: Array, controls: InversionControls
) -> IterationState:
    """Iterate the contraction, plain or by SQUAREM, until every market has ended.

    Parameters
    ----------
    share_map
        The batch's share map.
    start : (B, J)
        Mean utilities to start from.
    controls
        Method, tolerance and limits.

    Returns
    -------
    IterationState
        δ and how each market ended.
    """
    xp = share_map.xp
    outcome = begin(start, xp)
    state = _begin_fixed_point(start, controls, xp)
    cycle = 3 if controls.method == "squarem" else 1
    stage = 0
    while True:
        if stage == 2:
            _accelerate(state, controls, xp)
        masks = xp.stack([state.status == RUNNING, share_map.drifted(state.delta)])
        running, drifted = to_host(masks, xp)
        if not running.any():
            shrink(outcome, state, share_map, running)
            return outcome
        if drifted.any():
            index = xp.asarray(np.flatnonzero(drifted))
            share_map.rebase(state.delta[index], index)
        state, share_map = shrink(outcome, state, share_map, running)
        _contract(state, share_map, controls, stage, stage == cycle - 1)
        stage = (stage + 1) % cycle


def _begin_fixed_point(
    start: Array, controls: InversionControls, xp: ModuleType
) -> FixedPointState:
    """Start every market at δ, with SQUAREM's bounds as given."""
    begun = begin(start, xp)
    n_markets = start.shape[0]
    return FixedPointState(
        **{field.name: getattr(begun, field.name) for field in fields(begun)},
        first=xp.zeros(start.shape),
        second=xp.zeros(start.shape),
        step_min=xp.full(n_markets, controls.step_min),
        step_max=xp.full(n_markets, controls.step_max),
    )


def _contract(
    state: FixedPointState,
    share_map: ShareMap,
    controls: InversionControls,
    stage: int,
    completes: bool,
) -> None:
    """Apply the map once to running markets and see which end."""
    xp = share_map.xp
    change = share_map.batch.log_shares - xp.log(share_map(state.delta)[0])
    if share_map.nests is not None:
        change = change / share_map.nests.stretch
    length = sup_norm(change)
    running = state.status == RUNNING
    finite = running & xp.isfinite(length)
    state.delta = xp.where(finite[:, None], state.delta + change, state.delta)
    if stage == 0:
        state.first = change
    else:
        state.second = change
    state.evaluations = state.evaluations + running
    state.iterations = state.iterations + (finite & completes)
    state.status = xp.where(running & ~finite, NONFINITE, state.status)
    state.status = xp.where(finite & (length < controls.atol), CONVERGED, state.status)
    spent = finite & (state.evaluations >= controls.max_evaluations)
    state.status = xp.where(spent, MAX_EVALUATIONS, state.status)


def _accelerate(
    state: FixedPointState, controls: InversionControls, xp: ModuleType
) -> None:
    """Move running markets, which are at x + r + (r + v), to x - 2 α r + α² v."""
    r, v = state.first, state.second - state.first
    rr, rv, vv = ((a * b).sum(axis=1) for a, b in ((r, r), (r, v), (v, v)))
    if controls.scheme == 1:
        length = -rv / vv
    elif controls.scheme == 2:
        length = -rr / rv
    else:
        length = xp.sqrt(rr / vv)
    length = xp.maximum(state.step_min, xp.minimum(state.step_max, length))
    grow = length == state.step_max
    state.step_max = xp.where(
        grow, state.step_max * controls.step_factor, state.step_max
    )
    grow = (length == state.step_min) & (state.step_min < 0)
    state.step_min = xp.where(
        grow, state.step_min * controls.step_factor, state.step_min
    )
    a = length[:, None]
    moved = state.delta + (2.0 * a - 2.0) * r + (a * a - 1.0) * v
    state.delta = xp.where((state.status == RUNNING)[:, None], moved, state.delta)
