"""Markups of a market without nests and their derivatives, agents side by side.

Equations are in :mod:`blpdask.kernels.contract`. With W_ij = w_i α_ij P_ij, products
sorted by owner and h_j = H_jj η_j, the derivative r of Δη at fixed η
(:mod:`blpdask.kernels.loop_markups`) by parameter p, of characteristic k, is

    r_jp = Σ_i W_ij (u_ip + x_jk A_i v_ip + h_j (m_ip - x_jk v_ip))
           + ∂x_jk/∂p_j Σ_i w_i P_ij (A_i - h_j) v_ip
           + Σ_l Δ_jl η_l (d_jp + d_lp) + h_j Λ_j d_jp,

where d = ∂δ/∂θ, m is how much utilities move on average, and u and A are j's owner's:

    m_ip = Σ_l P_il (v_ip x_lk + d_lp),      A_i  = Σ_l H_jl η_l P_il,
    u_ip = v_ip B_ik - 2 A_i m_ip,           B_ik = Σ_l H_jl η_l x_lk P_il.

So a product and agent cost four multiply-adds a parameter. Where weights on profits are
any matrix, every product has its own u and A.
"""

from __future__ import annotations

import math

import numpy as np

from .loop_compiler import exact, reorder
from .loop_plain_market import (
    add_combinations,
    add_dots,
    fill_weighted,
    prepare_plain,
    probabilities_of_tile,
)
from .loop_pricing import own_weight, solve_by_owner


@exact
def plain_markups(t, block, tastes, supply, delta, delta_by_theta, rows, eta, slopes):
    """Fill η ``(N,)`` and ∂η/∂θ ``(N, P + B)`` where market t is.

    ``delta`` (N,) and ``delta_by_theta`` (N, P); about ``rows`` agents' P are held.
    """
    a, b = block.product_offsets[t], block.product_offsets[t + 1]
    n, n_parameters = b - a, delta_by_theta.shape[1]
    order = np.arange(n)
    if supply.ownership.size == 0:
        order = np.argsort(supply.owners[a:b], kind="mergesort")
    market = prepare_plain(t, order, block, tastes, supply, delta[a:b], rows)
    Delta, Lambda, solved = np.zeros((n, n)), np.zeros(n), np.empty((1, n))
    form_plain_conditions(market, Delta, Lambda)
    for j in range(n):
        solved[0, j] = math.exp(block.log_shares[a + order[j]])
    solve_by_owner(Delta, market.owners, solved)
    for j in range(n):
        eta[a + order[j]] = solved[0, j]
    if slopes.shape[1] == 0:
        return
    moved, right = np.empty((n_parameters, n)), np.zeros((slopes.shape[1], n))
    for j in range(n):
        for p in range(n_parameters):
            moved[p, j] = delta_by_theta[a + order[j], p]
    worth = np.zeros(n)
    add_moved_tastes(market, tastes, solved[0], moved, right, worth)
    add_moved_utilities(market, Delta, Lambda, solved[0], moved, right)
    for q in range(n_parameters, right.shape[0]):
        for j in range(n):
            right[q, j] = supply.alpha_by_beta[q - n_parameters, a + order[j]]
            right[q, j] *= worth[j]
    solve_by_owner(Delta, market.owners, right)
    for j in range(n):
        for m in range(right.shape[0]):
            slopes[a + order[j], m] = -right[m, j]


@exact
def form_plain_conditions(market, Delta, Lambda):
    """Add up Δ ``(J, J)`` and Λ ``(J,)``, which are zero, keeping P."""
    n_agents, tile = market.weights.size, market.P.shape[2]
    weights, coefficients = market.weights, market.coefficients
    slopes, priced = market.slopes, market.priced
    scaled, ones = np.empty((2, tile)), np.ones((1, tile))
    for number in range(math.ceil(n_agents / tile)):
        first = number * tile
        n = min(tile, n_agents - first)
        P = probabilities_of_tile(market, number, True)
        for f in range(market.groups.size - 1):
            begin, end = market.groups[f], market.groups[f + 1]
            for j in range(begin, end):
                fill_weighted(
                    weights,
                    coefficients,
                    slopes,
                    priced,
                    j,
                    first,
                    n,
                    P[j],
                    scaled[0],
                    scaled[1],
                )
                add_dots(scaled[1], ones, 0, 1, n, Lambda[j:])
                add_dots(scaled[1], P, begin, end, n, Delta[j])
    for j in range(Lambda.size):
        Delta[j, j] -= Lambda[j]
    if market.ownership.size > 0:
        Delta *= market.ownership


@exact
def add_moved_tastes(market, tastes, eta, moved, right, worth):
    """Add what sums over agents give of r ``(P + B, J)``.

    ``moved`` (P, J) is ∂δ/∂θ. Fills Σ_i w_i P_ij (A_i - h_j) into ``worth`` (J,).
    """
    n_agents, n_parameters = market.weights.size, moved.shape[0]
    tile, kinds = market.P.shape[2], np.unique(tastes.rows)
    kind_of = np.searchsorted(kinds, tastes.rows)
    of_means, of_owner = combinations(market, kinds, eta, moved)
    priced_by = rows_of_slopes(tastes.rows, market.priced)
    by = of_owner.copy()
    means, sums = np.empty((of_means.shape[0], tile)), np.empty((by.shape[0], tile))
    rows = np.ones((4 * n_parameters + 2, tile))
    dots, scaled = np.empty((2, rows.shape[0])), np.empty((2, tile))
    for number in range(math.ceil(n_agents / tile)):
        first = number * tile
        n = min(tile, n_agents - first)
        P = probabilities_of_tile(market, number, False)
        means[:] = 0.0
        add_combinations(of_means, P, 0, eta.size, n, means)
        fill_turned_slopes(market, tastes, first, n, rows[2:])
        fill_moved_means(rows[2:], means, kind_of, n)
        for f in range(market.groups.size - 1):
            begin, end = market.groups[f], market.groups[f + 1]
            for j in range(begin, end):
                if market.ownership.size > 0:
                    by = of_owner * market.ownership[j]
                if j == begin or market.ownership.size > 0:
                    sums[:] = 0.0
                    add_combinations(by, P, begin, end, n, sums)
                    fill_of_owner(rows, sums, kind_of, n)
                fill_weighted(
                    market.weights,
                    market.coefficients,
                    market.slopes,
                    market.priced,
                    j,
                    first,
                    n,
                    P[j],
                    scaled[0],
                    scaled[1],
                )
                h = own_weight(market, j) * eta[j]
                dots[:] = 0.0
                add_dots(scaled[0], rows, 0, 2, n, dots[0])
                worth[j] += dots[0, 1] - h * dots[0, 0]
                add_dots(scaled[1], rows, 2, rows.shape[0], n, dots[1])
                for p in range(n_parameters):
                    x, priced = market.X2[tastes.rows[p], j], priced_by[p]
                    right[p, j] += combine(dots[1], p, n_parameters, x, h)
                    if priced > 0:
                        v = 2 + p
                        Av = v + 2 * n_parameters
                        add_dots(scaled[0], rows, v, v + 1, n, dots[0])
                        add_dots(scaled[0], rows, Av, Av + 1, n, dots[0])
                        moved_slope = dots[0, Av] - h * dots[0, v]
                        right[p, j] += market.slopes[priced, j] * moved_slope


@exact
def combinations(market, kinds, eta, moved):
    """Give the weights on P in x̄ and d̄ ``(K + P, J)``, and in A and B."""
    n_kinds = kinds.size
    of_means = np.empty((n_kinds + moved.shape[0], eta.size))
    of_owner = np.empty((1 + n_kinds, eta.size))
    of_owner[0] = eta
    for k in range(n_kinds):
        of_means[k] = market.X2[kinds[k]]
        of_owner[1 + k] = eta * of_means[k]
    of_means[n_kinds:] = moved
    return of_means, of_owner


@reorder
def fill_turned_slopes(market, tastes, first, n, slopes):
    """Fill v_ip = g_k'(·) draws_il, one row a parameter, of n agents from ``first``."""
    for p in range(tastes.rows.size):
        k, el, v = tastes.rows[p], tastes.columns[p], slopes[p]
        c, kind = market.coefficients[k][first:], tastes.types[k]
        for i in range(n):
            v[i] = market.draws[first + i, el]
        if kind == 1:
            for i in range(n):
                v[i] *= c[i]
        elif kind == 2:
            for i in range(n):
                v[i] *= c[i] * (1.0 - c[i])


@reorder
def fill_moved_means(rows, means, kind_of, n):
    """Fill m_ip = v_ip x̄_ik + d̄_ip into rows P to 2P, of which v are the first P."""
    n_parameters = kind_of.size
    for p in range(n_parameters):
        v, m = rows[p], rows[n_parameters + p]
        x, d = means[kind_of[p]], means[means.shape[0] - n_parameters + p]
        for i in range(n):
            m[i] = v[i] * x[i] + d[i]


@reorder
def fill_of_owner(rows, sums, kind_of, n):
    """Fill A_i, and A_i v_ip and u_ip, from A and B ``(1 + K, tile)``.

    ``rows`` (4 P + 2, tile) are ones, A, and for all p v, m, A v and u.
    """
    n_parameters = kind_of.size
    A, kept = sums[0], rows[1]
    for i in range(n):
        kept[i] = A[i]
    for p in range(n_parameters):
        v, m = rows[2 + p], rows[2 + n_parameters + p]
        earned, B = rows[2 + 2 * n_parameters + p], sums[1 + kind_of[p]]
        u = rows[2 + 3 * n_parameters + p]
        for i in range(n):
            earned[i] = A[i] * v[i]
        for i in range(n):
            u[i] = v[i] * B[i] - 2.0 * (A[i] * m[i])


@exact
def combine(dots, p, n_parameters, x, h):
    """Add up what sums of W times v, m, A v and u give of r_jp."""
    of_v, of_m = dots[2 + p], dots[2 + n_parameters + p]
    of_Av, of_u = dots[2 + 2 * n_parameters + p], dots[2 + 3 * n_parameters + p]
    return of_u + x * of_Av + h * (of_m - x * of_v)


@exact
def rows_of_slopes(rows, priced):
    """Find in which row of ``slopes`` ∂x_jk/∂p is for each parameter's k; 0 in none."""
    found = np.zeros(rows.size, np.int64)
    for p in range(rows.size):
        for r in range(priced.size):
            if priced[r] == rows[p]:
                found[p] = r + 1
    return found


@exact
def add_moved_utilities(market, Delta, Lambda, eta, moved, right):
    """Add Σ_l Δ_jl η_l (d_jp + d_lp) + h_j Λ_j d_jp to r."""
    for f in range(market.groups.size - 1):
        begin, end = market.groups[f], market.groups[f + 1]
        for j in range(begin, end):
            own = own_weight(market, j) * eta[j] * Lambda[j]
            for p in range(moved.shape[0]):
                total = own * moved[p, j]
                for k in range(begin, end):
                    total += Delta[j, k] * eta[k] * (moved[p, j] + moved[p, k])
                right[p, j] += total
