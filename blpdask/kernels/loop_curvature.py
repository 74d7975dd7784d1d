"""How one market's shares respond to δ and to θ, in loops.

    A = ∂s/∂δ' = diag(s) - P' diag(w) P,
    ∂s_j/∂θ_p = Σ_i w_i P_ij v_ip (x_jk - Σ_l P_il x_lk)

for parameter p of characteristic k (Nevo 2000, appendix), and with nests what
:mod:`blpdask.kernels.contract` says. Where weights are not negative, rows of P are
scaled by their roots and A is one symmetric update of BLAS.
"""

from __future__ import annotations

import math

import numpy as np

from .loop_blas import add_gram_lower
from .loop_compiler import exact, reorder
from .loop_market import CURVATURE_ROWS, fill_exponentials
from .loop_nests import (
    add_moved_tangents,
    add_nest_curvature,
    add_nested_tangents,
    add_rho_tangents,
    nested_probabilities,
)
from .loop_product_draws import product_slopes

#: Products from which BLAS beats plain loops in accumulating P' diag(w) P.
BLAS_PRODUCTS = 16


@exact
def curvature(market, delta, types, rows, columns, shares, A, tangents):
    """Compute s, the lower triangle of A, and ∂s/∂θ.

    Parameters
    ----------
    delta : (J,)
        Mean utilities.
    types, rows, columns
        As in :class:`blpdask.records.Tastes`; ``rows`` of size zero asks for no ∂s/∂θ.
    shares : (J,)
        Filled with s.
    A : (J, J)
        Filled with ∂s/∂δ; what is above the diagonal is undefined.
    tangents : (P, J)
        Filled with ∂s/∂θ, by entries of Γ, then of ρ; with no rows where not wanted.

    Returns
    -------
    float
        s_0.
    """
    n_products = delta.size
    n_agents = market.weights.size
    held = market.E.shape[0]
    nested = market.nests.shape[1] > 0
    D = np.empty(n_products)
    for j in range(n_products):
        D[j] = math.exp(market.stretch[j] * delta[j] - market.characteristics[-1, j])
    chunk = min(CURVATURE_ROWS, n_agents)
    P = np.empty((chunk, n_products))
    roots = np.ones(n_agents)
    rooted = n_products >= BLAS_PRODUCTS and fill_roots(market.weights, roots)
    slopes = np.empty((chunk, rows.size))
    outside = 0.0
    for j in range(n_products):
        shares[j] = 0.0
        for k in range(n_products):
            A[j, k] = 0.0
        for p in range(tangents.shape[0]):
            tangents[p, j] = 0.0
    for first in range(0, n_agents, held):
        stop = min(first + held, n_agents)
        if held < n_agents:
            fill_exponentials(market, first, stop)
        for begin in range(first, stop, chunk):
            end = min(begin + chunk, stop)
            p, v = P[: end - begin], slopes[: end - begin]
            E, o = market.E[begin - first :], market.o[begin - first :]
            w, root = market.weights[begin:end], roots[begin:end]
            if rows.size > 0:
                draws, c = market.draws[begin:end], market.coefficients[begin:end]
                taste_slopes(draws, c, types, rows, columns, v)
            if nested:
                outside += add_nested(
                    market,
                    begin,
                    E,
                    o,
                    w,
                    root,
                    D,
                    rooted,
                    p,
                    v,
                    rows,
                    columns,
                    shares,
                    A,
                    tangents,
                )
            else:
                outside += add_probabilities(E, o, w, root, D, p, shares)
                if rows.size > 0:
                    add_tangents(p, w, root, market.characteristics, v, rows, tangents)
            if rooted:
                add_gram_lower(p, A)
            else:
                subtract_outer_products(p, w, A)
    if rooted:
        for j in range(n_products):
            for k in range(j + 1):
                A[j, k] = -A[j, k]
    for j in range(n_products):
        A[j, j] += market.stretch[j] * shares[j]
    return outside


@exact
def add_nested(
    market,
    begin,
    E,
    o,
    w,
    root,
    D,
    rooted,
    P,
    slopes,
    rows,
    columns,
    shares,
    A,
    tangents,
):
    """Add what agents from ``begin`` add to s, ∂s/∂θ and, within nests, A.

    Fills ``P`` (n, J) by roots_i P_i· and returns Σ_i w_i P_i0.
    """
    offsets, rho, places = market.nest_offsets, market.nests[0], market.nests[2]
    n = P.shape[0]
    Q, M = np.empty(P.shape), np.empty((n, rho.size))
    outside = nested_probabilities(E, o, w, D, offsets, rho, P, Q, M, shares)
    X = market.characteristics
    if market.product_draws.shape[0] > 0:
        u = np.empty(P.shape)
        for p in range(rows.size):
            product_slopes(market, begin, rows[p], columns[p], u)
            for i in range(n):
                for j in range(D.size):
                    u[i, j] *= X[rows[p], j]
            add_moved_tangents(P, Q, M, w, u, offsets, rho, tangents[p])
    elif tangents.shape[0] > 0:
        add_nested_tangents(P, Q, M, w, X, slopes, rows, offsets, rho, tangents)
    of_rho = tangents[rows.size :]
    if of_rho.shape[0] > 0:
        available = market.availability[begin : begin + n]
        add_rho_tangents(P, Q, M, available, w, offsets, rho, places, of_rho)
    add_nest_curvature(Q, M, w, offsets, rho, rooted, A)
    for i in range(n):
        for j in range(D.size):
            P[i, j] *= root[i]
    return outside


@reorder
def add_probabilities(E, o, weights, roots, D, P, shares):
    """Fill roots_i P_i·, add w_i P_i· to shares ``(J,)`` and return Σ_i w_i P_i0.

    ``E`` (n, J), ``o`` (n, 1), ``weights``, ``roots`` (n,), ``D`` (J,), ``P`` (n, J).
    """
    n_products = D.size
    outside = 0.0
    for i in range(P.shape[0]):
        total = 0.0
        for j in range(n_products):
            total += E[i, j] * D[j]
        a = 1.0 / (o[i, 0] + total)
        w = weights[i] * a
        r = roots[i] * a
        outside += w * o[i, 0]
        for j in range(n_products):
            x = E[i, j] * D[j]
            P[i, j] = r * x
            shares[j] += w * x
    return outside


@reorder
def add_tangents(P, weights, roots, X, slopes, rows, tangents):
    """Add Σ_i w_i P_ij v_ip (x_jk - x̄_ik) to ∂s/∂θ ``(P, J)``.

    ``P`` (n, J) holds roots_i P_i·, ``weights``, ``roots`` (n,), ``X`` (K2 + 1, J) the
    characteristics, ``slopes`` (n, P) v_ip. Four agents at a time, fewer at the end.
    """
    n, n_products = P.shape
    for first in range(0, n, 4):
        # The last agent stands in for those that a group of four lacks, unweighted.
        a, b = first, min(first + 1, n - 1)
        c, d = min(first + 2, n - 1), min(first + 3, n - 1)
        P0, P1, P2, P3 = P[a], P[b], P[c], P[d]
        w0, w1, w2, w3 = weights[a], weights[b], weights[c], weights[d]
        w0, w1, w2, w3 = w0 / roots[a], w1 / roots[b], w2 / roots[c], w3 / roots[d]
        w1 = w1 if first + 1 < n else 0.0
        w2 = w2 if first + 2 < n else 0.0
        w3 = w3 if first + 3 < n else 0.0
        last = -1
        m0 = m1 = m2 = m3 = 0.0
        for p in range(rows.size):
            k, x, found = rows[p], X[rows[p]], tangents[p]
            if k != last:
                m0 = m1 = m2 = m3 = 0.0
                for j in range(n_products):
                    m0 += P0[j] * x[j]
                    m1 += P1[j] * x[j]
                    m2 += P2[j] * x[j]
                    m3 += P3[j] * x[j]
                m0, m1 = m0 / roots[a], m1 / roots[b]
                m2, m3 = m2 / roots[c], m3 / roots[d]
                last = k
            v0, v1 = w0 * slopes[a, p], w1 * slopes[b, p]
            v2, v3 = w2 * slopes[c, p], w3 * slopes[d, p]
            for j in range(n_products):
                found[j] += (
                    v0 * P0[j] * (x[j] - m0)
                    + v1 * P1[j] * (x[j] - m1)
                    + v2 * P2[j] * (x[j] - m2)
                    + v3 * P3[j] * (x[j] - m3)
                )


@reorder
def taste_slopes(draws, coefficients, types, rows, columns, slopes):
    """Fill v_ip = g_k'(·) draws_il ``(n, P)``."""
    for i in range(slopes.shape[0]):
        for p in range(rows.size):
            c = coefficients[i, rows[p]]
            v = draws[i, columns[p]]
            if types[rows[p]] == 1:
                v *= c
            elif types[rows[p]] == 2:
                v *= c * (1.0 - c)
            slopes[i, p] = v


@reorder
def subtract_outer_products(P, weights, A):
    """Subtract Σ_i weights_i P_i P_i' from the lower triangle of A, in loops."""
    for i in range(P.shape[0]):
        for j in range(P.shape[1]):
            a = weights[i] * P[i, j]
            for k in range(j + 1):
                A[j, k] -= a * P[i, k]


@exact
def fill_roots(weights, roots):
    """Fill the roots of weights; False, with ones, where a weight is not positive."""
    for i in range(weights.size):
        if not weights[i] > 0.0:
            for k in range(i):
                roots[k] = 1.0
            return False
        roots[i] = math.sqrt(weights[i])
    return True
