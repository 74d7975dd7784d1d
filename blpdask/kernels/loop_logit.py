"""The Numba backend: whole blocks of markets in one compiled loop.

Equations are in :mod:`blpdask.kernels.contract`; one market's pieces are in
:mod:`blpdask.kernels.loop_market` and :mod:`blpdask.kernels.loop_inversion`. The loop
releases the GIL, so blocks run side by side in threads, and it is compiled once per
machine and kept on disk.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

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
from .loop_block import loop_block, loop_tastes
from .loop_compiler import exact, inlined
from .loop_curvature import curvature
from .loop_inversion import (
    CONVERGED,
    FORMING_ERROR,
    MAX_EVALUATIONS,
    NONFINITE,
    contract,
    log_odds_step,
    log_residual,
    recycled_newton,
    squarem,
)
from .loop_kept import fingerprint_of_loops, kept
from .loop_market import (
    move_reference,
    prepare_market,
    rows_held,
    share_map,
)
from .loop_numeric import (
    add_multiple,
    cholesky,
    solve_cholesky_rows,
    solve_general,
    sup_norm,
)
from .loop_plain_curvature import plain_curvature
from .loop_plain_market import is_plain

INDEFINITE_JACOBIAN = int(InversionStatus.INDEFINITE_JACOBIAN)
#: ∂log s_j/∂δ_j that is the rounding of a sum of as many numbers as there are agents.
FLAT = 4e-15
#: A last Newton step longer than this says that δ is not the solution after all.
BELIEVED = 1e-6
METHODS = {"newton": 0, "simple": 1, "squarem": 2, "return": 3}
#: Times that A is formed anew at most because the solution moved under it.
FORMINGS = 5
#: A last Newton step this short leaves derivatives right to about as much.
FORMED = 1e-11


def invert(
    block: MarketBlock,
    tastes: Tastes,
    start: InversionStart,
    controls: InversionControls,
) -> Inversion:
    """Solve s(δ, θ) = S for δ in every market and differentiate the solution.

    Parameters
    ----------
    block, tastes, start, controls
        The markets, θ, where to start and when to stop.

    Returns
    -------
    Inversion
        δ, ∂δ/∂θ, factors of A, and how each market ended.
    """
    J = block.product_offsets[1:] - block.product_offsets[:-1]
    factor_offsets = np.zeros(J.size + 1, np.int64)
    np.cumsum(J * (J + 1) // 2, out=factor_offsets[1:])
    n_parameters = tastes.size if controls.derivatives else 0
    delta = np.array(start.delta, dtype=np.float64)
    delta_by_theta = np.zeros((block.n_products, n_parameters))
    factor = np.empty(factor_offsets[-1] if controls.derivatives else 0)
    outcome = np.zeros((3, block.n_markets), np.int64)
    _compiled_invert(fingerprint_of_loops())(
        loop_block(block),
        loop_tastes(tastes, derivatives=controls.derivatives),
        factor_offsets,
        start.factor,
        METHODS[controls.method],
        float(controls.atol),
        int(controls.max_evaluations),
        int(controls.scheme),
        float(controls.step_min),
        float(controls.step_max),
        float(controls.step_factor),
        bool(controls.derivatives),
        rows_held(block, controls.scratch_bytes),
        delta,
        delta_by_theta,
        factor,
        outcome,
    )
    return Inversion(delta, delta_by_theta, factor, outcome[0], outcome[1], outcome[2])


def shares(block: MarketBlock, tastes: Tastes, delta: Floats) -> Floats:
    """Compute s(δ, θ), ``(N,)``, at given mean utilities ``delta`` ``(N,)``."""
    filled = np.empty(block.n_products)
    _compiled_shares(fingerprint_of_loops())(
        loop_block(block),
        loop_tastes(tastes, derivatives=False),
        np.ascontiguousarray(delta),
        rows_held(block, InversionControls().scratch_bytes),
        filled,
    )
    return filled


def is_compiled() -> bool:
    """Tell whether loops kept on disk are there, as far as a look at files can."""
    kept = _compiled_invert(fingerprint_of_loops()).stats.cache_path  # type: ignore[attr-defined]
    return any(Path(kept).glob("loop_logit*invert_block*.nbi"))


@inlined
def solve_market(
    market,
    method,
    delta,
    lower,
    has_factor,
    atol,
    max_evaluations,
    scheme,
    low,
    high,
    growth,
):
    """Solve one market by the named method; return status, iterations, evaluations."""
    if method == 0:
        return recycled_newton(market, delta, lower, has_factor, atol, max_evaluations)
    if method == 1:
        return contract(market, delta, atol, max_evaluations)
    if method == 2:
        return squarem(market, delta, atol, max_evaluations, scheme, low, high, growth)
    return CONVERGED, 0, 0


@inlined
def differentiate_market(
    t,
    block,
    tastes,
    market,
    types,
    rows,
    columns,
    delta,
    lower,
    delta_by_theta,
    polish,
    ready,
):
    """Form A at δ, factor it, fill ∂δ/∂θ, and with ``polish`` take a last Newton step.

    E is at hand, at a reference point near δ, where it is ``ready``. Returns a status
    and the length of that step.
    """
    n, n_parameters = delta.size, delta_by_theta.shape[1]
    shares, A = np.empty(n), np.empty((n, n))
    right = np.empty((n_parameters + 1, n))
    tangents, x = right[:n_parameters], right[n_parameters]
    outside = -1.0
    if not ready and is_plain(block):
        outside = plain_curvature(t, block, tastes, delta, shares, A, tangents)
    if outside < 0.0:
        if not ready:
            move_reference(market, delta)
        outside = curvature(market, delta, types, rows, columns, shares, A, tangents)
    size = log_residual(market, shares, x)
    log_odds_step(market, shares, outside, x)
    status = CONVERGED
    if not math.isfinite(size) or not math.isfinite(sup_norm(tangents.ravel())):
        status = NONFINITE
    elif not decouple_flat(A, shares, right) and cholesky(A, lower):
        solve_cholesky_rows(lower, right)
    else:
        lower[:] = math.nan
        status = INDEFINITE_JACOBIAN
        for j in range(n):
            for k in range(j):
                A[k, j] = A[j, k]
        if not solve_general(A, right):
            status = NONFINITE
    if status == NONFINITE:
        delta_by_theta[:] = math.nan
        lower[:] = math.nan
        return status, math.nan
    for p in range(n_parameters):
        for j in range(n):
            delta_by_theta[j, p] = -tangents[p, j]
    length = sup_norm(x)
    if polish and length < 1e-3:
        add_multiple(delta, 1.0, x)
    return status, length


@exact
def decouple_flat(A, shares, right):
    """Give products whose shares respond to nothing rows of the identity; say if any.

    Where all who can buy a product do, ∂s_j/∂δ is rounding and δ_j is not determined,
    for no δ explains a larger share: neither does it move, nor does it move others.
    """
    found = False
    for j in range(shares.size):
        if abs(A[j, j]) <= FLAT * abs(shares[j]):
            found = True
            for k in range(shares.size):
                A[max(j, k), min(j, k)] = 0.0
            A[j, j] = 1.0
            for p in range(right.shape[0]):
                right[p, j] = 0.0
    return found


@exact
def pack(lower, packed):
    """Write a lower triangle row by row."""
    place = 0
    for j in range(lower.shape[0]):
        for k in range(j + 1):
            packed[place] = lower[j, k]
            place += 1


@exact
def unpack(packed, lower):
    """Read a lower triangle that was written row by row."""
    place = 0
    for j in range(lower.shape[0]):
        for k in range(j + 1):
            lower[j, k] = packed[place]
            place += 1


@functools.cache
def _compiled_invert(fingerprint: str) -> Callable[..., Any]:
    """Compile the loop over markets that inverts and differentiates."""

    @kept(fills=4)
    def invert_block(
        block,
        tastes,
        factor_offsets,
        start_factor,
        method,
        atol,
        max_evaluations,
        scheme,
        step_min,
        step_max,
        step_factor,
        derivatives,
        rows_held,
        delta,
        delta_by_theta,
        factor,
        outcome,
    ):
        """Invert and differentiate every market of a block in place."""
        _ = fingerprint
        recycled, ready = method == 0, method != 3
        tolerance = max(atol, FORMING_ERROR) if recycled and derivatives else atol
        types = tastes.types.copy()
        rows, columns = tastes.rows.copy(), tastes.columns.copy()
        for t in range(block.product_offsets.size - 1):
            a, b = block.product_offsets[t], block.product_offsets[t + 1]
            n = b - a
            market, order = prepare_market(t, block, tastes, rows_held)
            delta_t = np.empty(n)
            for j in range(n):
                delta_t[j] = delta[a + order[j]]
            slopes = np.empty((n, delta_by_theta.shape[1]))
            if ready:
                move_reference(market, delta_t)
            lower = np.zeros((n, n))
            has_factor = False
            if recycled and start_factor.size > 0:
                unpack(start_factor[factor_offsets[t] :], lower)
                has_factor = math.isfinite(lower[0, 0])
            status, iterations, evaluations = CONVERGED, 0, 0
            formed, length = CONVERGED, math.inf
            for _ in range(FORMINGS):
                status, more_iterations, more = solve_market(
                    market,
                    method,
                    delta_t,
                    lower,
                    has_factor,
                    tolerance,
                    max_evaluations,
                    scheme,
                    step_min,
                    step_max,
                    step_factor,
                )
                iterations += more_iterations
                evaluations += more
                if not derivatives:
                    break
                formed, length = differentiate_market(
                    t,
                    block,
                    tastes,
                    market,
                    types,
                    rows,
                    columns,
                    delta_t,
                    lower,
                    slopes,
                    recycled,
                    ready,
                )
                evaluations += 1
                if not recycled or status != CONVERGED or formed != CONVERGED:
                    break
                if length <= max(10.0 * tolerance, FORMED):
                    break
                has_factor = True
            if status == CONVERGED:
                status = formed
                if recycled and derivatives and length > BELIEVED:
                    status = MAX_EVALUATIONS
            if not math.isfinite(sup_norm(delta_t)):
                status = NONFINITE
            for j in range(n):
                delta[a + order[j]] = delta_t[j]
                for p in range(slopes.shape[1]):
                    delta_by_theta[a + order[j], p] = slopes[j, p]
            if derivatives:
                pack(lower, factor[factor_offsets[t] :])
            outcome[0, t] = status
            outcome[1, t] = iterations
            outcome[2, t] = evaluations

    return invert_block


@functools.cache
def _compiled_shares(fingerprint: str) -> Callable[..., Any]:
    """Compile the loop over markets that computes shares."""

    @kept(fills=1)
    def shares_block(block, tastes, delta, rows_held, filled):
        """Compute the shares of every market of a block."""
        _ = fingerprint
        for t in range(block.product_offsets.size - 1):
            a, b = block.product_offsets[t], block.product_offsets[t + 1]
            market, order = prepare_market(t, block, tastes, rows_held)
            move_reference(market, delta[a:b][order])
            shares = np.empty(b - a)
            share_map(market, np.ones(b - a), shares)
            for j in range(b - a):
                filled[a + order[j]] = shares[j]

    return shares_block
