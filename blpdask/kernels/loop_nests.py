"""Nests in loops: shares, probabilities and how they move, for some agents of a market.

Products of a market lie nest by nest, nest h from ``offsets[h]`` to ``offsets[h + 1]``,
and an agent's f_ih follow o_i in one row. With the stretch t_h = 1 / (1 - ρ_h), a
reference δ⁰ and D_j = exp(t_h (δ_j - δ⁰_j)),

    E_ij = exp(t_h (δ⁰_j + μ_ij) - m_ih),        m_ih = max_{j∈h} t_h (δ⁰_j + μ_ij),
    f_ih = exp((1 - ρ_h) m_ih - n_i),            o_i = exp(-n_i),
    n_i  = max(0, max_h (1 - ρ_h) m_ih),         G_ih = Σ_{j∈h} E_ij D_j,
    M_ih = f_ih G_ih^(1 - ρ_h) / (o_i + Σ_g f_ig G_ig^(1 - ρ_g)),
    Q_ij = E_ij D_j / G_ih,       P_ij = Q_ij M_ih,       P_i0 = o_i / (o_i + Σ_g …),

so that a share map takes one power an agent and nest, and no exponential an agent and
product. Derivatives are those of :mod:`blpdask.kernels.contract`.

References: McFadden (1978); Cardell (1997); Grigolon and Verboven (2014).
"""

from __future__ import annotations

import math

import numpy as np

from .loop_blas import add_gram_lower
from .loop_compiler import exact, reorder

#: Products of a nest from which BLAS beats plain loops in accumulating Q' diag(w) Q.
BLAS_PRODUCTS = 16


@exact
def shift_nests(rows, offsets, rho, o):
    """Subtract m_ih from stretched utilities ``rows`` ``(n, J)``; fill o, f in o."""
    for i in range(rows.shape[0]):
        highest = 0.0
        for h in range(rho.size):
            top = -math.inf
            for j in range(offsets[h], offsets[h + 1]):
                top = max(top, rows[i, j])
            for j in range(offsets[h], offsets[h + 1]):
                rows[i, j] -= top
            o[i, 1 + h] = (1.0 - rho[h]) * top
            highest = max(highest, o[i, 1 + h])
        for h in range(rho.size):
            o[i, 1 + h] = math.exp(o[i, 1 + h] - highest)
        o[i, 0] = math.exp(-highest)


@reorder
def nest_sum(values, D, first, stop):
    """Compute Σ_j values_j D_j over one nest."""
    found = 0.0
    for j in range(first, stop):
        found += values[j] * D[j]
    return found


@exact
def add_nested_shares(E, o, weights, D, offsets, rho, sums):
    """Add Σ_i w_i P_ij / D_j to ``sums`` ``(J,)`` and return Σ_i w_i P_i0."""
    outside = 0.0
    n_nests = rho.size
    worth = np.empty(n_nests)
    for i in range(weights.size):
        denominator = o[i, 0]
        for h in range(n_nests):
            G = nest_sum(E[i], D, offsets[h], offsets[h + 1])
            worth[h] = 0.0
            if G > 0.0:
                inclusive = o[i, 1 + h] * math.exp((1.0 - rho[h]) * math.log(G))
                denominator += inclusive
                worth[h] = inclusive / G
        a = weights[i] / denominator
        outside += a * o[i, 0]
        for h in range(n_nests):
            add_scaled(E[i], a * worth[h], offsets[h], offsets[h + 1], sums)
    return outside


@reorder
def add_scaled(values, scale, first, stop, sums):
    """Add scale · values to sums within one nest."""
    for j in range(first, stop):
        sums[j] += scale * values[j]


@exact
def nested_probabilities(E, o, weights, D, offsets, rho, P, Q, M, shares):
    """Fill P and Q ``(n, J)`` and M ``(n, H)`` and add Σ_i w_i P_ij to shares ``(J,)``.

    Returns Σ_i w_i P_i0.
    """
    outside = 0.0
    for i in range(weights.size):
        denominator = o[i, 0]
        for h in range(rho.size):
            first, stop = offsets[h], offsets[h + 1]
            G = nest_sum(E[i], D, first, stop)
            M[i, h], inverse = 0.0, 0.0
            if G > 0.0:
                M[i, h] = o[i, 1 + h] * math.exp((1.0 - rho[h]) * math.log(G))
                inverse = 1.0 / G
            denominator += M[i, h]
            for j in range(first, stop):
                Q[i, j] = E[i, j] * D[j] * inverse
        outside += weights[i] * o[i, 0] / denominator
        for h in range(rho.size):
            M[i, h] /= denominator
            for j in range(offsets[h], offsets[h + 1]):
                P[i, j] = M[i, h] * Q[i, j]
                shares[j] += weights[i] * P[i, j]
    return outside


@reorder
def log_slopes(u, Q, M, offsets, rho, slopes):
    """Turn u_j ``(J,)``, how stretched utilities move, into how log P_j does.

    ``Q`` (J,) and ``M`` (H,) are one agent's; ``slopes`` (J,) is filled.
    """
    overall = 0.0
    for h in range(rho.size):
        mean = 0.0
        for j in range(offsets[h], offsets[h + 1]):
            mean += Q[j] * u[j]
        overall += (1.0 - rho[h]) * M[h] * mean
        for j in range(offsets[h], offsets[h + 1]):
            slopes[j] = u[j] - rho[h] * mean
    for j in range(u.size):
        slopes[j] -= overall


@reorder
def add_nested_tangents(P, Q, M, weights, X, slopes, rows, offsets, rho, tangents):
    """Add Σ_i w_i P_ij dlog P_ij / dθ_p to ∂s/∂θ ``(P, J)``, for entries of Γ.

    ``X`` (K2 + 1, J) holds stretched characteristics, ``slopes`` (n, P) v_ip.
    """
    moved = np.empty(P.shape[1])
    for i in range(P.shape[0]):
        last = -1
        for p in range(rows.size):
            k = rows[p]
            if k != last:
                log_slopes(X[k], Q[i], M[i], offsets, rho, moved)
                last = k
            v = weights[i] * slopes[i, p]
            for j in range(moved.size):
                tangents[p, j] += v * P[i, j] * moved[j]


@exact
def add_moved_tangents(P, Q, M, weights, u, offsets, rho, tangents):
    """Add Σ_i w_i P_ij dlog P_ij to ``tangents`` ``(J,)``, utilities moving by u.

    ``u`` (n, J) is stretched.
    """
    moved = np.empty(P.shape[1])
    for i in range(P.shape[0]):
        log_slopes(u[i], Q[i], M[i], offsets, rho, moved)
        for j in range(moved.size):
            tangents[j] += weights[i] * P[i, j] * moved[j]


@exact
def log_conditionals(Q, available, logs):
    """Fill log(Q_j / a_j) ``(J,)`` of one agent, zero where Q_j is; return nothing.

    ``available`` (J,) is a, of size zero where all is there.
    """
    for j in range(Q.size):
        logs[j] = math.log(Q[j]) if Q[j] > 0.0 else 0.0
        if Q[j] > 0.0 and available.size > 0:
            logs[j] -= math.log(available[j])


@exact
def entropy(Q, logs, first, stop):
    """Compute -Σ_j Q_j log(Q_j / a_j) over one nest."""
    found = 0.0
    for j in range(first, stop):
        found -= Q[j] * logs[j]
    return found


@exact
def add_rho_slopes(Q, logs, M, offsets, rho, h, slopes):
    """Add dlog P_j / dρ_h at fixed utilities, of one agent, to ``slopes`` ``(J,)``."""
    first, stop = offsets[h], offsets[h + 1]
    E = entropy(Q, logs, first, stop)
    for j in range(slopes.size):
        slopes[j] += M[h] * E
    for j in range(first, stop):
        slopes[j] += (logs[j] + rho[h] * E) / (1.0 - rho[h])


@exact
def add_rho_tangents(P, Q, M, available, weights, offsets, rho, places, tangents):
    """Add Σ_i w_i P_ij dlog P_ij / dρ to ∂s/∂ρ ``(R, J)``.

    ``places`` (H,) says which row is that of each nest's ρ, -1 for none; ``available``
    (n, J) is a, or (0, 0).
    """
    slopes, logs = np.empty(P.shape[1]), np.empty(P.shape[1])
    nothing = np.empty(0)
    for i in range(P.shape[0]):
        log_conditionals(Q[i], available[i] if available.size > 0 else nothing, logs)
        for h in range(rho.size):
            place = int(places[h])
            if place < 0:
                continue
            slopes[:] = 0.0
            add_rho_slopes(Q[i], logs, M[i], offsets, rho, h, slopes)
            for j in range(slopes.size):
                tangents[place, j] += weights[i] * P[i, j] * slopes[j]


@exact
def add_nest_curvature(Q, M, weights, offsets, rho, rooted, A):
    """Add Σ_i w_i ρ_h / (1 - ρ_h) M_ih Q_ih Q_ih' to the lower triangle of A.

    Where weights may be negative (``rooted`` is False) the sum is subtracted instead.
    """
    sign = 1.0 if rooted else -1.0
    for h in range(rho.size):
        first, stop = offsets[h], offsets[h + 1]
        n, scale = stop - first, rho[h] / (1.0 - rho[h])
        if rooted and n >= BLAS_PRODUCTS and scale > 0.0:
            part, gram = np.empty((weights.size, n)), np.zeros((n, n))
            for i in range(weights.size):
                root = math.sqrt(weights[i] * scale * M[i, h])
                for j in range(n):
                    part[i, j] = root * Q[i, first + j]
            add_gram_lower(part, gram)
            for j in range(n):
                for k in range(j + 1):
                    A[first + j, first + k] += gram[j, k]
        else:
            for i in range(weights.size):
                c = sign * weights[i] * scale * M[i, h]
                add_outer(Q[i], c, first, stop, A)


@reorder
def add_outer(q, scale, first, stop, A):
    """Add scale · q q' within one nest to the lower triangle of A."""
    for j in range(first, stop):
        c = scale * q[j]
        for k in range(first, j + 1):
            A[j, k] += c * q[k]


@exact
def add_nested_adjoint(P, Q, M, weighted, mean, offsets, rho, places, logs, B, by_rho):
    """Add one agent's slopes by utilities ``(J,)``, and by ρ at given ones, ``(R,)``.

    Of Σ_j y_j dlog P_j over all choices, where ``weighted`` (J,) is y of products and
    ``mean`` the sum of all. ``P``, ``Q``, ``logs`` (J,) and ``M`` (H,) are the agent's;
    ``logs`` is log Q, availability apart.
    """
    for h in range(rho.size):
        first, stop = offsets[h], offsets[h + 1]
        within = 0.0
        for j in range(first, stop):
            within += weighted[j]
        for j in range(first, stop):
            B[j] += weighted[j] - (1.0 - rho[h]) * P[j] * mean - rho[h] * Q[j] * within
        place = int(places[h])
        if place >= 0 and by_rho.size > 0:
            found, E = 0.0, entropy(Q, logs, first, stop)
            for j in range(first, stop):
                found += weighted[j] * logs[j]
            found += rho[h] * E * within
            by_rho[place] += found / (1.0 - rho[h]) + M[h] * E * mean


@exact
def add_within_adjoint(Q, weighted, of_rho, offsets, rho, places, logs, B, by_rho):
    """Add the same of Σ_j y_j dlog Q_j + Σ_h of_rho_h dρ_h, y being ``weighted``."""
    for h in range(rho.size):
        first, stop = offsets[h], offsets[h + 1]
        within = 0.0
        for j in range(first, stop):
            within += weighted[j]
        for j in range(first, stop):
            B[j] += weighted[j] - Q[j] * within
        place = int(places[h])
        if place >= 0 and by_rho.size > 0:
            found = entropy(Q, logs, first, stop) * within
            for j in range(first, stop):
                found += weighted[j] * logs[j]
            by_rho[place] += of_rho[h] + found / (1.0 - rho[h])
