"""Draws that differ over products, such as distances to them, in compiled loops.

An agent's coefficient on x_k is g_k(b_ik + z_ijk), where b_ik loads on draws that are
the same for all products, g_k(b_ik) is known, and z_ijk = Σ_s Γ_{k,l(s)} d_sij loads on
those that are not:

    c + z,   c e^z   or   c e^z / (1 - c + c e^z),   c = g_k(b_ik),

for linear, log and logit coefficients.
"""

from __future__ import annotations

import math

import numpy as np

from .loop_compiler import exact


@exact
def load_products(columns, tastes):
    """Gather loadings on the named draws, their types and places, (S + 1, K2 + 1)."""
    n_random = tastes.loadings.shape[0]
    found = np.empty((columns.size + 1, n_random + 1))
    for s in range(columns.size):
        for k in range(n_random):
            found[s, k] = tastes.loadings[k, columns[s]]
        found[s, n_random] = columns[s]
    for k in range(n_random):
        found[-1, k] = tastes.types[k]
    found[-1, n_random] = -1
    return found


@exact
def moved_coefficient(market, i, j, k):
    """Compute g_k(b_ik + z_ijk) of agent i and product j."""
    n_products = market.characteristics.shape[1]
    c, z = market.coefficients[i, k], 0.0
    for s in range(market.product_draws.shape[0]):
        z += market.product_loadings[s, k] * market.product_draws[s, i * n_products + j]
    kind = market.product_loadings[-1, k]
    if kind == 0:
        return c + z
    moved = c * math.exp(z)
    return moved if kind == 1 else moved / (1.0 - c + moved)


@exact
def add_product_utilities(market, first, rows):
    """Add Σ_k x_jk (g_k(b_ik + z_ijk) - g_k(b_ik)) to ``rows`` ``(n, J)``."""
    for i in range(rows.shape[0]):
        for j in range(rows.shape[1]):
            for k in range(market.product_loadings.shape[1] - 1):
                c = market.coefficients[first + i, k]
                moved = moved_coefficient(market, first + i, j, k)
                rows[i, j] += market.characteristics[k, j] * (moved - c)


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
