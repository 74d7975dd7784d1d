"""Solve s(δ) = S by recycled Newton, for a batch of markets.

Newton's method on r(δ) = log(S / S_0) - log(s / s_0), whose Jacobian is -G,

    δ ← δ + G₀⁻¹ r(δ),     G = ∂log(s / s_0)/∂δ'  (see ``array_curvature``).

The loops (:mod:`.loop_inversion`) take the same step, written with A: since
G⁻¹ = A⁻¹(diag(S) - SS'), it is A₀⁻¹ diag(S)(r - S'r). What follows where a step fails
differs, as what is cheap differs between one market and a batch. With nests r is of
what :mod:`.array_nests` solves.

G₀ is first that of a named earlier evaluation (chord steps, one share map each), made
better after each step by Broyden's (1965) rank-one update, and formed anew at the
present δ where a step does not shrink the residual fourfold. A step that does not
shrink it at all is taken back and halved; where halving does not help, the contraction
δ ← δ + log S - log s of Berry, Levinsohn and Pakes (1995) takes over for a while: with
positive weights it always makes progress.

A step h after one h' leaves an error of about h ρ / (1 - ρ), ρ = h / h'; a market stops
where that is within the tolerance, or where the residual is rounding error.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from types import ModuleType

import numpy as np

from ..records import InversionControls
from .array_batches import Array, to_host
from .array_curvature import curvature
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
from .array_linear_algebra import invert_matrices
from .array_nests import odds
from .array_shares import ShareMap

#: Longest step of any δ_j: far from the solution Newton overshoots.
LONGEST_STEP = 4.0
#: Newton steps that may make the residual worse, and the residual above which they may.
LEAPS = 20
LEAP_RESIDUAL = 1e-5
#: Shrinkage of the residual by which G₀ proves good enough to keep.
GOOD_RATE = 0.25
#: Halvings of a step after which the contraction takes over.
HALVINGS = 6
#: Contraction steps when it first takes over; twice as many each time after.
CONTRACTIONS = 4
#: Residual that is rounding error, and one that is where it no longer shrinks.
ROUNDING = 4.0 * float(np.finfo(float).eps)
STALLED = 1e-12
#: Share standing in for one that underflows: its residual is at least this large.
LOWEST_SHARE = 1e-300
#: Share below which G is not to be trusted and the contraction is used.
LOW_SHARE = 1e-290


@dataclass(slots=True)
class NewtonState(IterationState):
    """Where recycled Newton stands in each market.

    Attributes
    ----------
    residual, norm
        ``(B, J)`` r at δ and ``(B,)`` its largest entry; infinite before the first map.
    contraction
        ``(B, J)`` (1 - ρ)(log S - log s) at δ.
    direction
        ``(B, J)`` the step from δ to try next, before scaling.
    scale
        ``(B,)`` how much of the direction to take.
    length
        ``(B,)`` largest entry of the last full step; zero where there is none.
    inverse
        ``(B, J, J)`` G₀⁻¹.
    known, fresh
        ``(B,)`` whether there is an G₀⁻¹, and whether it was formed at δ.
    low
        ``(B,)`` whether a share at δ nearly underflows.
    halvings, leaps
        ``(B,)`` halvings of the present direction, and Newton steps that may still make
        the residual worse.
    patience, penalty
        ``(B,)`` contraction steps still to take, and how many the next failure costs.
    """

    residual: Array
    norm: Array
    contraction: Array
    direction: Array
    scale: Array
    length: Array
    inverse: Array
    known: Array
    fresh: Array
    low: Array
    halvings: Array
    leaps: Array
    patience: Array
    penalty: Array


def recycled_newton(
    share_map: ShareMap,
    start: Array,
    inverse: Array | None,
    controls: InversionControls,
    tolerance: float,
) -> IterationState:
    """Iterate until every market has ended.

    Parameters
    ----------
    share_map
        The batch's share map.
    start : (B, J)
        Mean utilities to start from.
    inverse : (B, J, J)
        G⁻¹ at an earlier evaluation, NaN in markets that have none.
    controls
        Limits.
    tolerance
        Bound on the error of δ.

    Returns
    -------
    IterationState
        δ and how each market ended.
    """
    xp = share_map.xp
    outcome = begin(start, xp)
    state = _begin_newton(start, inverse, xp)
    while True:
        renew = _judge(state, share_map, controls)
        _aim(state, share_map, (state.status == RUNNING) & ~renew, tolerance)
        drifted = share_map.drifted(state.delta)
        masks = xp.stack([state.status == RUNNING, drifted, renew])
        running, drifted, renew = to_host(masks, xp)
        if drifted.any():
            index = xp.asarray(np.flatnonzero(drifted))
            share_map.rebase(state.delta[index], index)
        if renew.any():
            _renew(state, share_map, xp.asarray(np.flatnonzero(renew)))
            _aim(state, share_map, xp.asarray(renew), tolerance)
            running = to_host(state.status == RUNNING, xp)
        state, share_map = shrink(outcome, state, share_map, running)
        if not running.any():
            return outcome


def _begin_newton(start: Array, inverse: Array | None, xp: ModuleType) -> NewtonState:
    """Start every market at δ, with no residual known yet."""
    begun = begin(start, xp)
    n_markets, n_products = start.shape
    if inverse is None:
        inverse = xp.full((n_markets, n_products, n_products), xp.nan)
    known = xp.isfinite(inverse).all(axis=(1, 2))
    return NewtonState(
        **{field.name: getattr(begun, field.name) for field in fields(begun)},
        residual=xp.zeros(start.shape),
        norm=xp.full(n_markets, xp.inf),
        contraction=xp.zeros(start.shape),
        direction=xp.zeros(start.shape),
        scale=xp.ones(n_markets),
        length=xp.zeros(n_markets),
        inverse=xp.where(known[:, None, None], inverse, 0.0),
        known=known,
        fresh=xp.zeros(n_markets, dtype=bool),
        low=xp.zeros(n_markets, dtype=bool),
        halvings=xp.zeros(n_markets, dtype=np.int64),
        leaps=xp.full(n_markets, LEAPS),
        patience=xp.zeros(n_markets, dtype=np.int64),
        penalty=xp.full(n_markets, CONTRACTIONS),
    )


def _judge(
    state: NewtonState, share_map: ShareMap, controls: InversionControls
) -> Array:
    """Map the trial points, keep the good ones, say which need a new G₀, ``(B,)``."""
    xp = share_map.xp
    trial = state.delta + state.scale[:, None] * state.direction
    shares, outside = share_map(trial)
    floored = xp.where(shares == 0.0, LOWEST_SHARE, shares)
    level = xp.where(outside > LOWEST_SHARE, outside, LOWEST_SHARE)
    level = share_map.batch.log_outside - xp.log(level)
    change = share_map.batch.log_shares - xp.log(floored)
    residual = odds(change, floored, level, share_map.batch, share_map.nests, xp)
    if share_map.nests is not None:
        change = change / share_map.nests.stretch
    norm = sup_norm(residual)
    running = state.status == RUNNING
    contracted = state.patience > 0
    better = norm <= (1.0 - 1e-4 * state.scale) * state.norm
    leap = state.fresh & (state.leaps > 0) & (state.norm > LEAP_RESIDUAL)
    accepted = running & xp.isfinite(norm) & (contracted | better | leap)
    state.leaps = state.leaps - (accepted & leap & ~better)
    refused = running & ~accepted
    rate = xp.where(accepted, norm / state.norm, 1.0)
    learns = accepted & state.known & ~contracted & xp.isfinite(state.norm)
    _learn(state, trial - state.delta, state.residual - residual, learns, xp)

    lost = refused & (contracted | xp.isinf(state.norm))
    state.delta = xp.where(accepted[:, None], trial, state.delta)
    state.residual = xp.where(accepted[:, None], residual, state.residual)
    state.norm = xp.where(accepted, norm, state.norm)
    state.contraction = xp.where(accepted[:, None], change, state.contraction)
    low = (shares < LOW_SHARE).any(axis=1)
    state.low = xp.where(accepted, low, state.low)
    state.evaluations = state.evaluations + running
    state.iterations = state.iterations + accepted
    state.length = xp.where(accepted & (state.scale == 1.0), state.length, 0.0)
    ended = (accepted & (norm <= ROUNDING)) | (refused & (state.norm <= STALLED))
    spent = running & (state.evaluations >= controls.max_evaluations)
    state.status = xp.where(spent, MAX_EVALUATIONS, state.status)
    state.status = xp.where(ended, CONVERGED, state.status)
    state.status = xp.where(lost, NONFINITE, state.status)
    return _choose(state, accepted, refused, rate, xp)


def _choose(
    state: NewtonState, accepted: Array, refused: Array, rate: Array, xp: ModuleType
) -> Array:
    """Choose each market's next step: keep G₀, renew it, halve, or contract."""
    hopeless = refused & state.fresh & (state.halvings >= HALVINGS)
    halve = refused & state.fresh & ~hopeless
    state.patience = xp.maximum(state.patience - accepted, 0)
    state.patience = xp.where(hopeless, state.penalty, state.patience)
    state.penalty = xp.where(hopeless, 2 * state.penalty, state.penalty)
    state.patience = xp.where(state.low, xp.maximum(state.patience, 1), state.patience)
    state.halvings = xp.where(halve, state.halvings + 1, 0)
    state.scale = xp.where(halve, 0.5 * state.scale, state.scale)
    state.fresh = state.fresh & halve
    good = accepted & state.known & (rate <= GOOD_RATE)
    keeps = good | halve | (state.patience > 0)
    return (state.status == RUNNING) & ~keeps


def _learn(
    state: NewtonState, step: Array, fall: Array, which: Array, xp: ModuleType
) -> None:
    """Update G₀⁻¹ so that it would have foretold the residual's fall (Broyden 1965)."""
    foretold = (state.inverse @ fall[..., None])[..., 0]
    product = (step * foretold).sum(axis=1)
    which = which & (product > 0.1 * (step * step).sum(axis=1))
    ratio = (step - foretold) / xp.where(which, product, 1.0)[:, None]
    row = step[:, None, :] @ state.inverse
    update = xp.where(which[:, None, None], ratio[:, :, None] * row, 0.0)
    state.inverse = state.inverse + update


def _renew(state: NewtonState, share_map: ShareMap, index: Array) -> None:
    """Form G₀⁻¹ at δ in the markets of ``index``; those where it fails contract."""
    xp = share_map.xp
    G = curvature(share_map, state.delta[index], index, tangents=False).G
    inverse = invert_matrices(G, xp)
    good = xp.isfinite(inverse).all(axis=(1, 2))
    state.inverse[index] = xp.where(good[:, None, None], inverse, 0.0)
    state.known[index] = good
    state.fresh[index] = good
    state.patience[index] = xp.where(good, 0, state.penalty[index])
    state.penalty[index] = xp.where(good, 1, 2) * state.penalty[index]


def _aim(
    state: NewtonState, share_map: ShareMap, which: Array, tolerance: float
) -> None:
    """Set the next step of the markets ``which``; end those that it will solve.

    Markets in the middle of halving keep their direction.
    """
    xp = share_map.xp
    which = which & (state.halvings == 0)
    contracts = state.patience > 0
    newton = (state.inverse @ state.residual[..., None])[..., 0]
    direction = xp.where(contracts[:, None], state.contraction, newton)
    length = sup_norm(direction)
    ratio = length / xp.where(state.length > 0.0, state.length, 1e-300)
    predicted = xp.where(ratio < 1.0, length * ratio / (1.0 - ratio), xp.inf)
    solves = (predicted <= tolerance) | (~contracts & (length <= tolerance))
    solves = which & solves
    state.delta = xp.where(solves[:, None], state.delta + direction, state.delta)
    state.status = xp.where(solves, CONVERGED, state.status)
    state.direction = xp.where(which[:, None], direction, state.direction)
    scale = xp.minimum(1.0, LONGEST_STEP / xp.maximum(length, 1e-300))
    state.scale = xp.where(which, scale, state.scale)
    state.length = xp.where(which, length, state.length)
