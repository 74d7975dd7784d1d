"""Draws that differ over products, such as distances to them, in compiled loops.

An agent's coefficient on x_k is g_k(b_ik + z_ijk), where b_ik = Σ_l Γ_kl d_il loads on
draws that are the same for all products, and z_ijk = Σ_s Γ_{k,l(s)} d_sij on those that
are not: b + z, e^(b + z) or 1 / (1 + e^-(b + z)) for linear, log and logit ones. Of a
logit coefficient g_k(b_ik) near one b cannot be had back: it is summed again.
"""

from __future__ import annotations

import math

import numpy as np

from .loop_compiler import exact


@exact
def load_products(columns, tastes):
    """Gather loadings on the named draws, then on all; types, (S + L + 1, K2 + 1).

    The last column says which draws they load on.
    """
    n_random, n_draws = tastes.loadings.shape
    n_products = columns.size
    found = np.empty((n_products + n_draws + 1, n_random + 1))
    for s in range(n_products + n_draws):
        column = columns[s] if s < n_products else s - n_products
        for k in range(n_random):
            found[s, k] = tastes.loadings[k, column]
        found[s, n_random] = column
    for k in range(n_random):
        found[-1, k] = tastes.types[k]
    found[-1, n_random] = -1
    return found


@exact
def moved_coefficient(market, i, j, k):
    """Compute g_k(b_ik + z_ijk) of agent i and product j."""
    n_products, S = market.characteristics.shape[1], market.product_draws.shape[0]
    z = 0.0
    for s in range(S):
        z += market.product_loadings[s, k] * market.product_draws[s, i * n_products + j]
    kind = market.product_loadings[-1, k]
    if kind == 0:
        return market.coefficients[i, k] + z
    for el in range(market.draws.shape[1]):
        z += market.product_loadings[S + el, k] * market.draws[i, el]
    return math.exp(z) if kind == 1 else 1.0 / (1.0 + math.exp(-z))


@exact
def fill_product_utilities(market, first, rows):
    """Fill δ_j + Σ_k x_jk g_k(b_ik + z_ijk) into ``rows`` ``(n, J)``.

    As differences from x_jk g_k(b_ik), which may be far larger, they would lose digits.
    """
    last = market.product_loadings.shape[1] - 1
    for i in range(rows.shape[0]):
        for j in range(rows.shape[1]):
            found = market.characteristics[last, j]
            for k in range(last):
                moved = moved_coefficient(market, first + i, j, k)
                found += market.characteristics[k, j] * moved
            rows[i, j] = found


@exact
def product_slopes(market, first, k, column, slopes):
    """Fill v_ij = g_k'(·) draws_ijl ``(n, J)`` for the loading on column l."""
    n_products, chosen = slopes.shape[1], -1
    for s in range(market.product_draws.shape[0]):
        if market.product_loadings[s, -1] == column:
            chosen = s
    kind = market.product_loadings[-1, k]
    for i in range(slopes.shape[0]):
        for j in range(n_products):
            c = moved_coefficient(market, first + i, j, k)
            if chosen >= 0:
                v = market.product_draws[chosen, (first + i) * n_products + j]
            else:
                v = market.draws[first + i, column]
            if kind == 1:
                v *= c
            elif kind == 2:
                v *= c * (1.0 - c)
            slopes[i, j] = v
