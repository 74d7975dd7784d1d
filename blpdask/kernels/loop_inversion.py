"""Solve s(δ) = S in one market, in loops.

The inversion minimises the smooth convex F(δ) = Σ_i w_i log(1 + Σ_j e^{δ_j + μ_ij}) -
S'δ, whose gradient is s(δ) - S and whose Hessian is A = diag(s) - P' diag(w) P. Newton
is applied to log odds, log(s_j / s_0) = log(S_j / S_0), which are linear in δ for the
plain logit. Since 1'A is s_0 times the derivative of log s_0, its step is

    x = A⁻¹ diag(s)(r - r̄),   r_j = log S_j - log s_j,   r̄ = Σ_{j>=0} s_j r_j.

With nests it is applied to (1 - ρ_h) log s_j + ρ_h log s_h - log s_0, s_h the share of
j's nest, which is linear in δ for the plain nested logit (Berry 1994); its step is

    x = A⁻¹ diag(s)(r_j + ρ_h (r_h - r̄_h) - r̄),   r_h = log S_h - log s_h,
    r̄_h = Σ_{j∈h} s_j r_j / s_h,   r̄ = s_0 r_0 + Σ_h s_h ((1 - ρ_h) r̄_h + ρ_h r_h).

Recycled Newton takes chord steps with A₀, A at a named earlier evaluation, one share
map each, corrected by Broyden's (1965) rank-one updates in the limited-memory form of
Kelley (1995, section 7.3), and factors A again where they stall. Without A₀ it starts
from Newton steps, on a systematic subsample of the agents where there are many: the
subsample's A is a good enough A₀. SQUAREM (Varadhan and Roland 2008) on the contraction
δ ← δ + (1 - ρ_h) r_j of Berry, Levinsohn and Pakes (1995) and Grigolon and Verboven
(2014) stands behind it.
"""

from __future__ import annotations

import math

import numpy as np

from ..status import InversionStatus
from .loop_compiler import exact, inlined
from .loop_curvature import curvature
from .loop_market import (
    LoopMarket,
    fill_exponentials,
    move_reference,
    share_map,
)
from .loop_numeric import (
    add_multiple,
    cholesky,
    dot,
    multiply,
    solve_cholesky,
    sup_norm,
    total,
)

CONVERGED = int(InversionStatus.CONVERGED)
MAX_EVALUATIONS = int(InversionStatus.MAX_EVALUATIONS)
NONFINITE = int(InversionStatus.NONFINITE)

#: Distance from the reference point at which E is computed again around δ.
REFERENCE_RADIUS = 50.0
#: Largest change of any δ_j in one step: Newton far from the solution overshoots.
LONGEST_STEP = 4.0
#: Broyden corrections kept before A is factored again.
MEMORY = 16
#: Residual of log shares below which a step that no longer shrinks is rounding error.
ROUNDING_FLOOR = 1e-12
#: Error of δ at which A is formed a last time: derivatives inherit it, δ does not.
FORMING_ERROR = 1e-13


@inlined
def follow(market, delta):
    """Move the reference to δ where δ has gone far from it."""
    far = 0.0
    reference = market.characteristics[-1]
    for j in range(delta.size):
        far = max(far, abs(market.stretch[j] * delta[j] - reference[j]))
    if far > REFERENCE_RADIUS:
        move_reference(market, delta)


@exact
def log_residual(market, shares, r):
    """Fill r = log S - log s and return its sup norm (NaN where not finite)."""
    for j in range(r.size):
        r[j] = market.log_shares[j] - math.log(shares[j]) if shares[j] > 0 else math.nan
    return sup_norm(r)


@inlined
def residual(market, delta, D, shares, r):
    """Compute s(δ) and s_0, fill r = log S - log s; return r's sup norm and s_0."""
    follow(market, delta)
    reference = market.characteristics[-1]
    for j in range(delta.size):
        D[j] = math.exp(market.stretch[j] * delta[j] - reference[j])
    outside = share_map(market, D, shares)
    return log_residual(market, shares, r), outside


@exact
def log_odds_step(market, shares, outside, r):
    """Overwrite r = log S - log s by the right-hand side of the Newton step."""
    mean = 0.0
    if outside > 0.0 and math.isfinite(market.outside):
        mean = outside * (market.outside - math.log(outside))
        if market.nests.shape[1] > 0:
            mean += correct_for_nests(market, shares, r)
        else:
            for j in range(r.size):
                mean += shares[j] * r[j]
    for j in range(r.size):
        r[j] = shares[j] * (r[j] - mean)


@exact
def correct_for_nests(market, shares, r):
    """Add ρ_h (r_h - r̄_h) to r and return Σ_h s_h ((1 - ρ_h) r̄_h + ρ_h r_h)."""
    mean = 0.0
    for h in range(market.nests.shape[1]):
        first, stop = market.nest_offsets[h], market.nest_offsets[h + 1]
        rho, inside, own = market.nests[0, h], 0.0, 0.0
        for j in range(first, stop):
            inside += shares[j]
            own += shares[j] * r[j]
        nest = market.nests[1, h] - math.log(inside) if inside > 0 else math.nan
        for j in range(first, stop):
            r[j] += rho * (nest - own / inside)
        mean += (1.0 - rho) * own + rho * inside * nest
    return mean


@inlined
def contraction(market, delta, D, shares, r):
    """Fill (1 - ρ_h)(log S - log s(δ)) into r; return its sup norm."""
    size, _ = residual(market, delta, D, shares, r)
    if market.nests.shape[1] == 0 or not math.isfinite(size):
        return size
    for j in range(r.size):
        r[j] /= market.stretch[j]
    return sup_norm(r)


@exact
def contract(market, delta, atol, max_evaluations):
    """Iterate δ ← δ + (1 - ρ_h)(log S - log s(δ)).

    Returns status, iterations, evaluations.
    """
    n = delta.size
    D, shares, r = np.empty(n), np.empty(n), np.empty(n)
    for evaluation in range(1, max_evaluations + 1):
        size = contraction(market, delta, D, shares, r)
        if not math.isfinite(size):
            return NONFINITE, evaluation - 1, evaluation
        add_multiple(delta, 1.0, r)
        if size < atol and evaluation < max_evaluations:
            return CONVERGED, evaluation, evaluation
    return MAX_EVALUATIONS, max_evaluations, max_evaluations


@exact
def squarem_length(r, v, scheme):
    """Compute SQUAREM's step α from r = g(x) - x and v = g(g(x)) - 2 g(x) + x."""
    rr, rv, vv = 0.0, 0.0, 0.0
    for j in range(r.size):
        rr += r[j] * r[j]
        rv += r[j] * v[j]
        vv += v[j] * v[j]
    if scheme == 1:
        return rv / vv if vv > 0 else -math.inf
    if scheme == 2:
        return rr / rv if rv != 0 else -math.inf
    return -math.sqrt(rr / vv) if vv > 0 else -math.inf


@exact
def squarem(market, delta, atol, max_evaluations, scheme, low, high, factor):
    """Accelerate the contraction by SQUAREM; return status, iterations, evaluations."""
    n = delta.size
    D, shares = np.empty(n), np.empty(n)
    r, second, v = np.empty(n), np.empty(n), np.empty(n)
    iterations, evaluations = 0, 0
    while True:
        for stage in range(3):
            g = r if stage == 0 else second
            if stage == 2:
                for j in range(n):
                    v[j] = second[j] - r[j]
                alpha = -squarem_length(r, v, scheme)
                alpha = max(low, min(high, alpha))
                if alpha == high:
                    high *= factor
                if alpha == low and low < 0:
                    low *= factor
                # δ holds x + r + second; move it to x + 2 α r + α² v
                add_multiple(delta, 2 * alpha - 2, r)
                add_multiple(delta, alpha * alpha - 1, v)
            size = contraction(market, delta, D, shares, g)
            if not math.isfinite(size):
                return NONFINITE, iterations, evaluations + 1
            add_multiple(delta, 1.0, g)
            evaluations += 1
            if stage == 2:
                iterations += 1
            if evaluations >= max_evaluations:
                return MAX_EVALUATIONS, iterations, evaluations
            if size < atol:
                return CONVERGED, iterations, evaluations


@inlined
def subsample(market, stride, delta):
    """Take every stride-th agent, weights rescaled to the same total."""
    weights = market.weights[::stride].copy()
    multiply(weights, total(market.weights) / total(weights))
    n = weights.size
    coarse = LoopMarket(
        market.characteristics.copy(),
        market.coefficients[::stride].copy(),
        market.draws[::stride].copy(),
        weights,
        market.log_shares,
        market.outside,
        market.stretch,
        market.nest_offsets,
        market.nests,
        market.availability[::stride].copy(),
        thin_products(market.product_draws, market.weights.size, stride),
        market.product_loadings,
        np.empty((n, delta.size)),
        np.empty((n, market.o.shape[1])),
    )
    fill_exponentials(coarse, np.int64(0), n)
    return coarse


@exact
def thin_products(product_draws, n_agents, stride):
    """Keep draws that differ over products of every stride-th agent."""
    if product_draws.shape[0] == 0:
        return product_draws
    n = product_draws.shape[1] // n_agents
    kept = np.empty((product_draws.shape[0], -(-n_agents // stride) * n))
    for s in range(kept.shape[0]):
        for i in range(kept.shape[1] // n):
            for j in range(n):
                kept[s, i * n + j] = product_draws[s, i * stride * n + j]
    return kept


@exact
def newton_steps(market, delta, lower, max_steps, stop):
    """Take Newton steps until one is shorter than ``stop``; leave A's factor in lower.

    Returns the number of steps, negative where A was not positive definite or a
    number not finite (``delta`` then holds the last good point).
    """
    n = delta.size
    none = np.empty(0, np.int64)
    no_tangents = np.empty((0, n))
    shares, x, A = np.empty(n), np.empty(n), np.empty((n, n))
    for step in range(1, max_steps + 1):
        follow(market, delta)
        outside = curvature(market, delta, none, none, none, shares, A, no_tangents)
        size = log_residual(market, shares, x)
        if not math.isfinite(size) or not cholesky(A, lower):
            return -step
        log_odds_step(market, shares, outside, x)
        solve_cholesky(lower, x)
        size = sup_norm(x)
        if not math.isfinite(size):
            return -step
        if size > LONGEST_STEP:
            multiply(x, LONGEST_STEP / size)
        add_multiple(delta, 1.0, x)
        if size < stop:
            return step
    return max_steps


@exact
def broyden_step(x, steps, squares, n):
    """Turn the chord step x into Broyden's, given the n steps taken since factoring."""
    for k in range(n - 1):
        add_multiple(x, dot(steps[k], x) / squares[k], steps[k + 1])
    if n > 0:
        denominator = 1.0 - dot(steps[n - 1], x) / squares[n - 1]
        if denominator > 0.1:
            multiply(x, 1.0 / denominator)


@inlined
def chord(market, delta, lower, atol, max_evaluations):
    """Take corrected chord steps with the factor in ``lower``, renewed on a stall.

    Returns status, iterations, evaluations; NONFINITE also where the iterates leave
    and the caller should fall back.
    """
    n = delta.size
    D, shares, x = np.empty(n), np.empty(n), np.empty(n)
    steps, squares = np.empty((MEMORY, n)), np.empty(MEMORY)
    evaluations, kept, renewals = 0, np.int64(0), 0
    last = math.inf
    while evaluations < max_evaluations:
        size, outside = residual(market, delta, D, shares, x)
        evaluations += 1
        if not math.isfinite(size):
            return NONFINITE, evaluations, evaluations
        log_odds_step(market, shares, outside, x)
        solve_cholesky(lower, x)
        broyden_step(x, steps, squares, kept)
        length = sup_norm(x)
        if not length < 100.0:
            return NONFINITE, evaluations, evaluations
        if length > LONGEST_STEP:
            multiply(x, LONGEST_STEP / length)
        add_multiple(delta, 1.0, x)
        ratio = length / last if last < math.inf else 1.0
        if length * min(ratio, 1.0) <= atol:
            return CONVERGED, evaluations, evaluations
        if size < ROUNDING_FLOOR and ratio > 0.5:
            return CONVERGED, evaluations, evaluations
        steps[kept] = x
        squares[kept] = dot(x, x)
        kept += 1
        last = length
        if kept == MEMORY or (kept > 2 and ratio > 0.7):
            renewals += 1
            taken = newton_steps(market, delta, lower, np.int64(3), atol)
            evaluations += abs(taken)
            if taken < 0 or renewals > 8:
                return NONFINITE, evaluations, evaluations
            kept, last = 0, math.inf
    return MAX_EVALUATIONS, evaluations, evaluations


@inlined
def recycled_newton(market, delta, lower, has_factor, atol, max_evaluations):
    """Solve s(δ) = S by recycled Newton; return status, iterations, evaluations."""
    start = delta.copy()
    evaluations = 0
    ready = has_factor
    if not ready:
        n_agents, n_products = market.weights.size, delta.size
        stride = n_agents // max(2 * n_products, 64)
        if stride > 1:
            coarse = subsample(market, stride, delta)
            ready = newton_steps(coarse, delta, lower, np.int64(10), 0.1) > 0
        if not ready:
            delta[:] = start
            evaluations = newton_steps(market, delta, lower, np.int64(30), 0.01)
            ready = evaluations > 0
            evaluations = abs(evaluations)
    if ready:
        status, _, more = chord(market, delta, lower, atol, max_evaluations)
        evaluations += more
        if status == CONVERGED:
            return status, evaluations, evaluations
    delta[:] = start
    move_reference(market, delta)
    tolerance = max(atol, 1e-13)
    status, _, more = squarem(
        market, delta, tolerance, max_evaluations, np.int64(3), 1.0, 1.0, 4.0
    )
    evaluations += more
    return status, evaluations, evaluations
