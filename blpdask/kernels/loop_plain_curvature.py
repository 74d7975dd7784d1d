"""How shares of a market without nests respond to δ and θ, agents side by side.

With R_ji = √w_i P_ij, so many agents at a time (:mod:`blpdask.kernels.loop_tiles`),

    s_j = Σ_i √w_i R_ji,   A = diag(s) - R R',
    ∂s_j/∂θ_p = x_jk Σ_i R_ji √w_i v_ip - Σ_i R_ji v_ip √w_i x̄_ik,
    √w_i x̄_ik = Σ_l R_li x_lk,

which is what :mod:`blpdask.kernels.loop_curvature` computes agent by agent, anew from δ
and tastes. It is left to that module where utilities may be large, weights are not
positive or products are few.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from ..records import Floats
from .loop_compiler import exact, reorder
from .loop_curvature import BLAS_PRODUCTS, fill_roots
from .loop_plain_market import add_combinations, add_dots, add_dots_of_two
from .loop_plain_markups import fill_turned_slopes
from .loop_tiles import (
    agents_of_tile,
    characteristics_of,
    fill_coefficients,
    fill_tile,
    none_is_large,
    scale_rows,
)


class TastesOfMarket(NamedTuple):
    """``draws`` (I, L) and ``coefficients`` (K, I) of a market's agents."""

    draws: Floats
    coefficients: Floats


@exact
def plain_curvature(t, block, tastes, delta, shares, A, tangents):
    """Compute s, the lower triangle of A, and ∂s/∂θ of market t.

    Parameters
    ----------
    delta : (J,)
        Mean utilities.
    shares, A, tangents
        Filled, as by :func:`blpdask.kernels.loop_curvature.curvature`.

    Returns
    -------
    float
        s_0; negative where this is left to that function.
    """
    a, b = block.product_offsets[t], block.product_offsets[t + 1]
    c, d = block.agent_offsets[t], block.agent_offsets[t + 1]
    n_products, n_agents = b - a, d - c
    roots = np.empty(n_agents)
    if n_products < BLAS_PRODUCTS or not fill_roots(block.weights[c:d], roots):
        return -1.0
    X2, draws = block.X2[:, a:b], block.draws[c:d]
    characteristics = characteristics_of(X2, delta)
    coefficients = np.empty((characteristics.shape[1] - 1, n_agents))
    fill_coefficients(draws, tastes.loadings, tastes.types, coefficients)
    if not none_is_large(characteristics, coefficients):
        return -1.0
    tile = agents_of_tile(n_products, n_agents)
    R, inverse, worth = (
        np.empty((n_products, tile)),
        np.empty(tile),
        np.empty((1, tile)),
    )
    nothing, nobody = np.zeros(n_products), np.zeros(n_products, np.int64)
    n_parameters = tastes.rows.size
    means, X = np.empty((X2.shape[0], tile)), X2.copy()
    # Four dot products are formed at a time, so that rows of zeros cost nothing.
    rows = np.zeros((4 * math.ceil((1 + 2 * n_parameters) / 4), tile))
    sums = np.zeros((n_products, rows.shape[0]))
    agents, outside = TastesOfMarket(draws, coefficients), 0.0
    A[:] = 0.0
    for first in range(0, n_agents, tile):
        n = min(tile, n_agents - first)
        fill_tile(
            characteristics,
            coefficients,
            first,
            n,
            True,
            nothing,
            nobody,
            R,
            inverse,
            worth,
        )
        outside += root_scales(roots[first:], n, inverse, rows[0])
        scale_rows(R, n, inverse)
        if n_parameters > 0:
            means[:] = 0.0
            add_combinations(X, R, 0, n_products, n, means)
            fill_turned_slopes(agents, tastes, first, n, rows[1:])
            fill_moved(tastes.rows, means, n, rows)
        for j in range(0, n_products - 1, 2):
            k = j + 1
            add_dots_of_two(R[j], R[k], rows, 0, rows.shape[0], n, sums[j], sums[k])
            add_dots_of_two(R[j], R[k], R, 0, k + 1, n, A[j], A[k])
        if n_products % 2 == 1:
            j = n_products - 1
            add_dots(R[j], rows, 0, rows.shape[0], n, sums[j])
            add_dots(R[j], R, 0, j + 1, n, A[j])
    for j in range(n_products):
        shares[j] = sums[j, 0]
        for k in range(j + 1):
            A[j, k] = -A[j, k]
        A[j, j] += shares[j]
        for p in range(n_parameters):
            by_own, by_mean = sums[j, 1 + p], sums[j, 1 + n_parameters + p]
            tangents[p, j] = X[tastes.rows[p], j] * by_own - by_mean
    return outside


@reorder
def root_scales(roots, n, inverse, row):
    """Turn P_i0 ``(tile,)`` into √w_i P_i0, copy √w_i, and give Σ_i w_i P_i0."""
    outside = 0.0
    for i in range(n):
        row[i] = roots[i]
        inverse[i] *= roots[i]
        outside += roots[i] * inverse[i]
    return outside


@reorder
def fill_moved(kinds, means, n, rows):
    """Turn v_ip, in rows from 1, into √w_i v_ip, and fill v_ip √w_i x̄_ik below."""
    for p in range(kinds.size):
        v, mean, moved = rows[1 + p], means[kinds[p]], rows[1 + kinds.size + p]
        root = rows[0]
        for i in range(n):
            moved[i] = v[i] * mean[i]
        for i in range(n):
            v[i] *= root[i]
