"""Expectations of functions of first and second choices, for some agents of a market.

Equations are in :mod:`blpdask.kernels.contract`. With p = (P_i0, P_i1, …) over all
choices, groups g that are removed together (the outside option is one of its own) and
1 - π_g = Σ_{k∉g} p_k summed over what is left, without nests who chose j ∈ g chooses k
with probability q_gk = p_k / (1 - π_g), k ∉ g, so that

    E_i  = Σ_g Σ_{j∈g} p_j m_j,   m_j = Σ_{k∉g} q_gk f_jk,
    dE_i = Σ_g {Σ_{j∈g} p_j m_j dlog p_j + Σ_{k∉g} q_gk z_gk dlog q_gk},
    z_gk = Σ_{j∈g} p_j f_jk,   dlog p_j = dV_j - Σ_l p_l dV_l,
    dlog q_gk = dV_k - Σ_{l∉g} q_gl dV_l,

and, gathered by utilities, with z̄_g = Σ_{k∉g} q_gk z_gk = Σ_{j∈g} p_j m_j,

    B_ij = p_j (m_j - E_i) + Σ_{g∌j} q_gj (z_gj - z̄_g),

probabilities times values less their means: as exact as f is, however small or large a
group. Products f_jk = c_j e_k need J and not J² terms: with F_g = Σ_{j∈g} p_j c_j and
n_g = Σ_{k∉g} q_gk e_k

    m_j = c_j n_g,   B_ij = p_j (m_j - E_i + e_j Σ_{g∌j} F_g / (1 - π_g)
                            - Σ_{g∌j} F_g n_g / (1 - π_g)),

where sums over all groups but one are sums of those before and of those behind it.
Products that are not available have p = 0 and are in none. Where there are nests see
:mod:`blpdask.kernels.loop_nested_second_choices`.
"""

from __future__ import annotations

import numpy as np

from .loop_choice_functions import (
    fill_common,
    fill_groups,
    fill_square,
    is_product,
    multiply_tables,
)
from .loop_compiler import exact
from .loop_left_choices import FEW, fill_few
from .loop_nested_second_choices import nested_expectation


@exact
def fill_second_choices(
    functions, s, t, a, order, market, begin, where, P, P0, means, B, by_rho
):
    """Fill E_i and B, and slopes by ρ at given utilities, of agents from ``begin``.

    Parameters
    ----------
    functions, s
        A shape of first and second choices.
    t, a, order
        The market's place, its first product, and where its products were.
    market, begin, where
        The market, its first agent here, and that agent's row of E.
    P, P0 : (n, J), (n,)
        Probabilities.
    means, B, by_rho : (n,), (n, J), (n, R)
        Filled.
    """
    n = P.shape[1] + 1
    common, seconds = np.empty(n), np.empty(n)
    c, e, codes = np.empty(n), np.empty(n), np.empty(n, np.int64)
    fill_common(functions, functions.choice_terms, s, t, a, order, common)
    fill_common(functions, functions.second_terms, s, t, a, order, seconds)
    n_groups = fill_groups(functions, functions.removals[s], t, a, order, codes)
    plain, product = is_plain(market), is_product(functions, s)
    f, p, left = np.empty((n, n)), np.empty(n), np.empty(n_groups)
    for i in range(P.shape[0]):
        c[:], e[:], B[i] = common, seconds, 0.0
        second = functions.second_table_terms
        multiply_tables(functions, functions.table_terms, s, t, order, begin + i, c)
        multiply_tables(functions, second, s, t, order, begin + i, e)
        p[0], p[1:] = P0[i], P[i]
        sum_others(p, codes, left)
        if plain and product and left.min() > FEW:
            means[i] = product_expectation(p, codes, left, c, e, B[i])
            continue
        fill_square(functions, s, t, order, begin + i, c, e, f)
        if plain:
            means[i] = square_expectation(market, begin + i, p, codes, left, f, B[i])
            continue
        E, o = market.E[where + i], market.o[where + i]
        means[i] = nested_expectation(
            market, begin + i, E, o, codes, n_groups, f, B[i], by_rho[i]
        )


@exact
def is_plain(market):
    """Tell whether nests, if any, change nothing."""
    for h in range(market.nests.shape[1]):
        if market.nests[0, h] != 0.0 or market.nests[2, h] >= 0:
            return False
    return True


@exact
def sum_others(values, codes, others):
    """Sum values ``(1 + J,)`` over all groups but each, ``(G,)``."""
    sums = np.zeros(others.size)
    for j in range(values.size):
        sums[codes[j]] += values[j]
    leave_out(sums, others)


@exact
def leave_out(sums, others):
    """Sum ``sums`` ``(G,)`` over all but each."""
    before, behind = 0.0, 0.0
    for g in range(sums.size):
        others[g] = before
        before += sums[g]
    for g in range(sums.size - 1, -1, -1):
        others[g] += behind
        behind += sums[g]


@exact
def product_expectation(p, codes, left, c, e, B):
    """Compute one agent's E of f_jk = c_j e_k, and add B ``(J,)``."""
    F, n = np.zeros(left.size), np.empty(left.size)
    sum_others(p * e, codes, n)
    n /= left
    E = 0.0
    for j in range(p.size):
        F[codes[j]] += p[j] * c[j]
        E += p[j] * c[j] * n[codes[j]]
    F /= left
    slopes, levels = np.empty(left.size), np.empty(left.size)
    leave_out(F, slopes)
    leave_out(F * n, levels)
    for j in range(1, p.size):
        g = codes[j]
        B[j - 1] += p[j] * (c[j] * n[g] - E + e[j] * slopes[g] - levels[g])
    return E


@exact
def square_expectation(market, agent, p, codes, left, f, B):
    """Compute one agent's E of any f ``(1 + J, 1 + J)``, and add B ``(J,)``."""
    n, n_nests = p.size, market.nests.shape[1]
    q, z, m = np.empty(n), np.empty(n), np.zeros(n)
    Q, M = np.empty(n - 1), np.empty(n_nests)
    E = 0.0
    for g in range(left.size):
        if left[g] > FEW:
            for k in range(n):
                q[k] = 0.0 if codes[k] == g else p[k] / left[g]
        else:
            q[0] = fill_few(market, agent, codes, g, q[1:], Q, M)
        z[:] = 0.0
        mean = 0.0
        for j in range(n):
            if codes[j] == g:
                for k in range(n):
                    if codes[k] != g:
                        m[j] += q[k] * f[j, k]
                        z[k] += p[j] * f[j, k]
                mean += p[j] * m[j]
        for k in range(1, n):
            B[k - 1] += q[k] * (z[k] - mean)
        E += mean
    for j in range(1, n):
        B[j - 1] += p[j] * (m[j] - E)
    return E
