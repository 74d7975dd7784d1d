"""What choices gain when a product is gone, where there are nests or availability.

Equations are in :mod:`blpdask.kernels.contract`. With r = Q_ij of the product j that is
gone from nest h, agent i's choices k gain

    P_ijk = P_ik (c + 1[k∈h] b) / L,   c = M_ih x,   x = 1 - (1 - r)^(1-ρ_h),
    b = (1 - r)^(-ρ_h) - 1,            L = 1 - c = Σ_{g≠h} M_ig + P_i0 + M_ih (1 - x),

so that sums over agents are products of matrices. 1 - r and Σ_{g≠h} M_ig + P_i0 are
sums of what is left, not differences.

Of an agent who chooses one product of a nest, or one nest, with certainty to all digits
of a computer, probabilities of the others have lost theirs, and P^-j are computed
anew from utilities (:func:`add_certain_agent`).
"""

from __future__ import annotations

import math

import numpy as np

from .loop_compiler import exact
from .loop_left_choices import remove_group
from .loop_market import fill_exponentials
from .loop_pricing import DIFFERENTIATED_ROWS
from .loop_product_draws import fill_product_utilities

#: What is left beside one choice, at most, where that is as good as certain.
CERTAIN = 1e-250


@exact
def sum_removals(market, gained):
    """Fill what k gains where j is gone, the outside option last, ``(J, J + 1)``.

    The market's reference point is the δ at which it is asked; products lie nest by
    nest. What j itself would gain is zero, so that rows sum to s.
    """
    n, n_agents, held = market.stretch.size, market.weights.size, market.E.shape[0]
    chunk = min(DIFFERENTIATED_ROWS, n_agents)
    P, a, b = np.empty((chunk, n)), np.empty((chunk, n)), np.empty((chunk, n))
    outside, within = np.empty(chunk), np.zeros((n, n))
    gained[:] = 0.0
    for first in range(0, n_agents, held):
        stop = min(first + held, n_agents)
        fill_exponentials(market, first, stop)
        for begin in range(first, stop, chunk):
            size = min(chunk, stop - begin)
            for i in range(size):
                agent = begin + i
                outside[i] = fill_factors(
                    market, agent, agent - first, P[i], a[i], b[i]
                )
                if outside[i] < 0.0:
                    v = stretched_utilities(market, agent)
                    offsets, rho = nests_of(market)
                    add_certain_agent(v, offsets, rho, market.weights[agent], gained)
                    outside[i] = 0.0
            gained[:, :n] += np.dot(a[:size].T, P[:size])
            gained[:, n] += np.dot(outside[:size], a[:size])
            if market.nests.shape[1] > 0:
                within += np.dot(b[:size].T, P[:size])
    for h in range(market.nests.shape[1]):
        first, stop = market.nest_offsets[h], market.nest_offsets[h + 1]
        gained[first:stop, first:stop] += within[first:stop, first:stop]
    for j in range(n):
        gained[j, j] = 0.0


@exact
def nests_of(market):
    """Give offsets ``(H + 1,)`` and ρ ``(H,)``, one nest of all where there is none."""
    if market.nests.shape[1] > 0:
        return market.nest_offsets, market.nests[0].copy()
    return np.array([0, market.stretch.size]), np.zeros(1)


@exact
def fill_factors(market, agent, where, P, a, b):
    """Fill P and w c / L and w b / L ``(J,)`` of an agent, of row ``where``; give P_0.

    Negative, and the latter two zero, where one choice is as good as certain.
    """
    E, o, w = market.E[where], market.o[where], market.weights[agent]
    n, n_nests = E.size, market.nests.shape[1]
    a[:], b[:] = 0.0, 0.0
    if n_nests == 0:
        top, rest = largest_and_rest(E, o[0])
        if rest < CERTAIN:
            P[:] = 0.0
            return -1.0
        for j in range(n):
            P[j] = E[j] / (rest + top)
            others = rest if E[j] >= top else rest + (top - E[j])
            a[j] = w * E[j] / others
        return o[0] / (rest + top)
    offsets, rho = market.nest_offsets, market.nests[0]
    Q, M, nobody = np.empty(n), np.empty(n_nests), np.zeros(n + 1, np.int64)
    P0 = remove_group(E, o, offsets, rho, nobody, -1, P, Q, M)
    most, less = largest_and_rest(M, P0)
    certain = less < CERTAIN
    for h in range(n_nests):
        first, stop = offsets[h], offsets[h + 1]
        top, rest = largest_and_rest(E[first:stop], 0.0)
        certain = certain or (rest < CERTAIN and has_two(market, agent, first, stop))
        beside = less if M[h] >= most else less + (most - M[h])
        for j in range(first, stop):
            others = rest if E[j] >= top else rest + (top - E[j])
            r, kept = Q[j], others / (rest + top) if rest + top > 0.0 else 1.0
            log_kept = math.log1p(-r) if r < 0.5 else log_of(kept)
            x = -math.expm1((1.0 - rho[h]) * log_kept)
            staying = 1.0 - x if r < 0.5 else math.exp((1.0 - rho[h]) * log_kept)
            L = beside + M[h] * staying
            a[j] = w * M[h] * x / L
            if kept > 0.0:
                b[j] = w * math.expm1(-rho[h] * log_kept) / L
    if certain:
        a[:], b[:] = 0.0, 0.0
    return -1.0 if certain else P0


@exact
def largest_and_rest(values, other):
    """Find the largest of values and one other, and add all but it up."""
    top, rest = other, 0.0
    for k in range(values.size):
        rest += top if top < values[k] else values[k]
        top = values[k] if values[k] > top else top
    return top, rest


@exact
def has_two(market, agent, first, stop):
    """Tell whether an agent can choose between products of a nest."""
    if market.availability.size == 0:
        return stop - first > 1
    return np.count_nonzero(market.availability[agent, first:stop]) > 1


@exact
def stretched_utilities(market, agent):
    """Compute t_h V_ij + log a_ij ``(J,)`` of an agent at the reference point."""
    rows = np.dot(market.coefficients[agent : agent + 1], market.characteristics)
    if market.product_draws.shape[0] > 0:
        fill_product_utilities(market, agent, rows)
    if market.availability.size > 0:
        for j in range(rows.shape[1]):
            rows[0, j] += log_of(market.availability[agent, j])
    return rows[0]


@exact
def add_certain_agent(v, offsets, rho, weight, gained):
    """Add w P_ijk ``(J, J + 1)`` of an agent, from utilities t_h V_ij + log a_ij.

    Logarithms of P_ik and P_ik^-j are far from one another, or known to be near:
    log P_ik - log P_ik^-j is log L, plus ρ_h log(1 - r) in the nest of j.
    """
    n, n_nests, all_of_them = v.size, rho.size, np.int64(-1)
    logs, nest_of = np.empty(n_nests), np.empty(n, np.int64)
    inclusive = np.empty(n_nests + 1)
    inclusive[n_nests] = 0.0
    for h in range(n_nests):
        nest_of[offsets[h] : offsets[h + 1]] = h
        logs[h] = log_sum(v[offsets[h] : offsets[h + 1]], all_of_them)
        inclusive[h] = (1.0 - rho[h]) * logs[h]
    level = log_sum(inclusive, all_of_them)
    for j in range(n):
        h = nest_of[j]
        if v[j] == -math.inf:
            continue
        first, stop, r = offsets[h], offsets[h + 1], math.exp(v[j] - logs[h])
        if r < 0.5:
            log_kept = math.log1p(-r)
        else:
            log_kept = log_sum(v[first:stop], j - first) - logs[h]
        lost = math.exp(inclusive[h] - level)
        lost *= -math.expm1((1.0 - rho[h]) * log_kept)
        if lost < 0.5:
            log_left = math.log1p(-lost)
        else:
            moved = inclusive.copy()
            moved[h] += (1.0 - rho[h]) * log_kept
            log_left = log_sum(moved, all_of_them) - level
        for k in range(n + 1):
            if k == j or (k < n and v[k] == -math.inf):
                continue
            g = nest_of[k] if k < n else n_nests
            change = log_left + (rho[h] * log_kept if g == h else 0.0)
            log_P = inclusive[g] - level + (v[k] - logs[g] if k < n else 0.0)
            gained[j, k] -= weight * math.exp(log_P - change) * math.expm1(change)


@exact
def log_of(value):
    """Compute log(x), -∞ of zero."""
    return math.log(value) if value != 0.0 else -math.inf


@exact
def log_sum(values, without):
    """Compute log Σ_k e^(v_k), one place left out; -∞ of nothing."""
    top, total = -math.inf, 0.0
    for k in range(values.size):
        if k != without and values[k] > top:
            top = values[k]
    if top == -math.inf:
        return top
    for k in range(values.size):
        if k != without:
            total += math.exp(values[k] - top)
    return top + math.log(total)
