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
from .loop_numeric import factor_general, solve_factored, total
from .loop_plain_market import (
    add_combinations,
    add_dots,
    add_dots_of_two,
    fill_weighted,
    prepare_plain,
    probabilities_of_tile,
)
from .loop_pricing import own_weight
from .loop_tiles import rows_of_lines


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
    factors, swaps = np.empty((n, n)), np.empty(n, np.int64)
    form_plain_conditions(market, Delta, Lambda)
    for j in range(n):
        solved[0, j] = math.exp(block.log_shares[a + order[j]])
    regular = factor_by_owner(Delta, market.groups, factors, swaps)
    solve_groups(factors, market.groups, swaps, regular, solved)
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
    solve_groups(factors, market.groups, swaps, regular, right)
    for j in range(n):
        for m in range(right.shape[0]):
            slopes[a + order[j], m] = -right[m, j]


@exact
def form_plain_conditions(market, Delta, Lambda):
    """Add up Δ ``(J, J)`` and Λ ``(J,)``, which are zero, keeping P."""
    n_agents, tile = market.weights.size, market.P.shape[2]
    n_products = Lambda.size
    scaled, W = rows_of_lines(n_products, tile), rows_of_lines(n_products, tile)
    ones = np.ones((1, tile))
    for number in range(math.ceil(n_agents / tile)):
        first = number * tile
        n = min(tile, n_agents - first)
        P = probabilities_of_tile(market, number, True)
        fill_weighted(
            market.weights,
            market.coefficients,
            market.slopes,
            market.priced,
            first,
            n,
            P,
            scaled,
            W,
        )
        add_dots(ones[0], W, 0, Lambda.size, n, Lambda)
        for f in range(market.groups.size - 1):
            begin, end = market.groups[f], market.groups[f + 1]
            for j in range(begin, end - 1, 2):
                k = j + 1
                add_dots_of_two(W[j], W[k], P, begin, end, n, Delta[j], Delta[k])
            if (end - begin) % 2 == 1:
                add_dots(W[end - 1], P, begin, end, n, Delta[end - 1])
    for j in range(Lambda.size):
        Delta[j, j] -= Lambda[j]
    if market.ownership.size > 0:
        Delta *= market.ownership


@exact
def factor_by_owner(Delta, groups, factors, swaps):
    """Factor Δ ``(J, J)`` group of products by group; False where one is singular.

    Groups start at ``groups`` (F + 1,). Each has its factors in rows and first columns
    of ``factors`` (J, J), and its part of ``swaps`` (J,).
    """
    for f in range(groups.size - 1):
        begin, end = groups[f], groups[f + 1]
        part = factors[begin:end, : end - begin]
        for j in range(end - begin):
            for k in range(end - begin):
                part[j, k] = Delta[begin + j, begin + k]
        if not factor_general(part, swaps[begin:end]):
            return False
    return True


@exact
def solve_groups(factors, groups, swaps, regular, rows):
    """Overwrite rows ``(M, J)`` by Δ⁻¹ times each; NaN where Δ is not regular."""
    if not regular:
        rows[:] = math.nan
        return
    for f in range(groups.size - 1):
        begin, end = groups[f], groups[f + 1]
        part = factors[begin:end, : end - begin]
        for m in range(rows.shape[0]):
            solve_factored(part, swaps[begin:end], rows[m, begin:end])


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
    by, alone = of_owner.copy(), market.ownership.size > 0
    h = np.empty(eta.size)
    for j in range(eta.size):
        h[j] = own_weight(market, j) * eta[j]
    means = rows_of_lines(of_means.shape[0], tile)
    sums = rows_of_lines(by.shape[0], tile)
    rows = rows_of_lines(4 * n_parameters, tile)
    few = np.ones((2 + 2 * np.count_nonzero(priced_by), tile))
    of_W, of_few = np.empty((2, rows.shape[0])), np.empty((2, few.shape[0]))
    scaled, W = rows_of_lines(eta.size, tile), rows_of_lines(eta.size, tile)
    for number in range(math.ceil(n_agents / tile)):
        first = number * tile
        n = min(tile, n_agents - first)
        P = probabilities_of_tile(market, number, False)
        means[:] = 0.0
        add_combinations(of_means, P, 0, eta.size, n, means)
        fill_turned_slopes(market, tastes, first, n, rows)
        fill_moved_means(rows, means, kind_of, n)
        fill_weighted(
            market.weights,
            market.coefficients,
            market.slopes,
            market.priced,
            first,
            n,
            P,
            scaled,
            W,
        )
        for f in range(market.groups.size - 1):
            begin, end = market.groups[f], market.groups[f + 1]
            for j in range(begin, end, 1 if alone else 2):
                if alone:
                    by = of_owner * market.ownership[j]
                if j == begin or alone:
                    sums[:] = 0.0
                    add_combinations(by, P, begin, end, n, sums)
                    fill_of_owner(rows, few, sums, kind_of, priced_by, n)
                # Two products at a time; one that is left, or alone, is taken twice.
                k = j if alone else min(j + 1, end - 1)
                of_W[:] = 0.0
                of_few[:] = 0.0
                add_dots_of_two(W[j], W[k], rows, 0, len(rows), n, of_W[0], of_W[1])
                add_dots_of_two(
                    scaled[j], scaled[k], few, 0, len(few), n, of_few[0], of_few[1]
                )
                for place in range(1 + (k > j)):
                    add_of_product(
                        market.X2,
                        market.slopes,
                        tastes.rows,
                        priced_by,
                        j + place,
                        h[j + place],
                        of_W[place],
                        of_few[place],
                        right,
                        worth,
                    )


@exact
def add_of_product(X2, slopes, kinds, priced_by, j, h, of_W, of_few, right, worth):
    """Add a product's sums over a tile to its r ``(P + B, J)`` and worth ``(J,)``.

    ``of_W`` (4 P,) are sums of W_ij times v, m, A v and u, and ``of_few`` those of
    w_i P_ij times 1, A and, for each parameter of a characteristic that depends on
    prices, v and A v; ``h`` is h_j.
    """
    n_parameters, pair = kinds.size, 2
    worth[j] += of_few[1] - h * of_few[0]
    for p in range(n_parameters):
        right[p, j] += combine(of_W, p, n_parameters, X2[kinds[p], j], h)
        if priced_by[p] > 0:
            moved_slope = of_few[pair + 1] - h * of_few[pair]
            right[p, j] += slopes[priced_by[p], j] * moved_slope
            pair += 2


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
def fill_of_owner(rows, few, sums, kind_of, priced_by, n):
    """Fill A_i v_ip and u_ip, and A_i and its like, from A and B ``(1 + K, tile)``.

    ``rows`` (4 P, tile) are for all p v, m, A v and u; ``few`` ones, A and, for each p
    of a characteristic that depends on prices, v and A v.
    """
    n_parameters, pair = kind_of.size, 2
    A, kept = sums[0], few[1]
    for i in range(n):
        kept[i] = A[i]
    for p in range(n_parameters):
        v, m = rows[p], rows[n_parameters + p]
        earned, B = rows[2 * n_parameters + p], sums[1 + kind_of[p]]
        u = rows[3 * n_parameters + p]
        for i in range(n):
            earned[i] = A[i] * v[i]
        for i in range(n):
            u[i] = v[i] * B[i] - 2.0 * (A[i] * m[i])
        if priced_by[p] > 0:
            first, second = few[pair], few[pair + 1]
            for i in range(n):
                first[i] = v[i]
                second[i] = earned[i]
            pair += 2


@exact
def combine(dots, p, n_parameters, x, h):
    """Add up what sums of W times v, m, A v and u give of r_jp."""
    of_v, of_m = dots[p], dots[n_parameters + p]
    of_Av, of_u = dots[2 * n_parameters + p], dots[3 * n_parameters + p]
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
    n_parameters = moved.shape[0]
    weighted = Delta * eta
    right[:n_parameters] += np.dot(moved, weighted.T)
    for j in range(eta.size):
        own = own_weight(market, j) * eta[j] * Lambda[j] + total(weighted[j])
        for p in range(n_parameters):
            right[p, j] += own * moved[p, j]
