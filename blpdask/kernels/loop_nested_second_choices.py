"""Expectations of functions of first and second choices where there are nests.

Of one agent, with p = (P_0, P) and Q and M of :mod:`blpdask.kernels.contract`, removing
group g takes r_h = Σ_{k∈g∩h} Q_k from nest h and C from all choices, of which L = 1 - C
is left, so that what k ∉ g gains, k in nest h, is

    G_k = p_k (e^{ℓ_k} - 1),   ℓ_k = -ρ_h λ_h - log L,   λ_h = log(1 - r_h),
    C   = 1[0∈g] p_0 + Σ_h M_h c_h,   c_h = 1 - e^{(1-ρ_h) λ_h},

with ρ = 0 for the outside option, whether g lies within a nest, is a union of nests or
lies across them. With P_g = Σ_{j∈g} p_j and a_k = Σ_{j∈g} p_j / P_g f_jk, which is not
small where P_g is,

    E  = Σ_g Σ_{j∈g} p_j m_j,   m_j = Σ_{k∉g} G_k / P_g f_jk,   m̄_g = Σ_{j∈g} p_j
         / P_g m_j,
    dE = Σ_g {Σ_{j∈g} p_j (m_j - m̄_g) dlog p_j + Σ_{k∉g} a_k dG_k}.

Where more than half is left, with q = p + G, W_h = Σ_{k∈h} a_k q_k, W the sum over all
that is left and N_h = M_h e^{(1-ρ_h) λ_h} / L, the nest's probability once g is gone,

    dG_k       = G_k dlog p_k - q_k (ρ_h dλ_h + λ_h dρ_h + dlog L),
    Σ a_k dG_k = Σ a_k G_k dlog p_k
                 + W / L (1[0∈g] p_0 dlog p_0 + Σ_h c_h Σ_{k∈h} p_k dlog p_k)
                 + Σ_h (Λ_h dλ_h + λ_h (W N_h - W_h) dρ_h),
    Λ_h        = -ρ_h W_h - (1 - ρ_h) W N_h,
    dλ_h       = -Σ_{k∈g∩h} Q_k dlog Q_k / (1 - r_h)
               = Σ_{k∈h, k∉g} Q_k dlog Q_k / (1 - r_h),

for Σ_{k∈h} p_k dlog p_k = M_h dlog M_h and Σ_{k∈h} Q_k dlog Q_k = 0. Nothing there is a
difference of near numbers, and what comes of a small group is as small as it is. Where
less is left q is at least 2 p, and Σ a_k dG_k = Σ a_k (q_k dlog q_k - p_k dlog p_k) has
its digits. Unavailable products have p = Q = 0 and are in no sum.

What multiplies each dlog p and dlog Q is gathered over groups and made slopes by
stretched utilities, and by ρ at given utilities, once an agent.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from ..records import Floats, Integers
from .loop_compiler import exact
from .loop_left_choices import FEW, fill_few, remove_group
from .loop_nests import add_nested_adjoint, add_within_adjoint, log_conditionals

LOG_HALF = math.log(0.5)


class AgentChoices(NamedTuple):
    """One agent's probabilities p ``(1 + J,)``, Q ``(J,)`` and M ``(H,)``.

    ``codes`` (1 + J,) say which choices are removed together; nest h has products from
    ``offsets[h]`` to ``offsets[h + 1]`` and parameter ``rho[h]``.
    """

    p: Floats
    Q: Floats
    M: Floats
    codes: Integers
    offsets: Integers
    rho: Floats


@exact
def nested_expectation(market, agent, E, o, codes, n_groups, f, B, by_rho):
    """Compute one agent's E of f ``(1 + J, 1 + J)``; add B and slopes by ρ.

    ``E`` (J,) and ``o`` (1 + H,) are the agent's exponentials.
    """
    offsets, rho, places = market.nest_offsets, market.nests[0], market.nests[2]
    J, available = E.size, np.empty(0)
    if market.availability.size > 0:
        available = market.availability[agent]
    p, Q, M, logs = np.empty(J + 1), np.empty(J), np.empty(rho.size), np.empty(J)
    p[0] = remove_group(E, o, offsets, rho, codes, -1, p[1:], Q, M)
    own = AgentChoices(p, Q, M, codes, offsets, rho)
    of_p, of_Q, of_rho = np.zeros(J + 1), np.zeros(J), np.zeros(rho.size)
    a, q, gains = np.empty(J + 1), np.empty(J + 1), np.empty(J + 1)
    left_Q, left_M, nests = np.empty(J), np.empty(rho.size), np.empty((2, rho.size))
    found = 0.0
    for g in range(n_groups):
        share = split_group(own, g, f, a)
        if not share > 0.0:
            continue
        log_left, few = fill_nests_left(own, g, nests)
        if log_left > LOG_HALF and not few:
            fill_gains(own, g, nests, log_left, gains)
            found += add_first(own, g, share, gains, f, of_p)
            add_gains(own, g, nests, log_left, a, gains, of_p, of_Q, of_rho)
            continue
        if few:
            q[0] = fill_few(market, agent, codes, g, q[1:], left_Q, left_M)
        else:
            q[0] = remove_group(E, o, offsets, rho, codes, g, q[1:], left_Q, left_M)
        gains[:] = q - p
        found += add_first(own, g, share, gains, f, of_p)
        of_p -= a * p
        a *= q
        log_conditionals(left_Q, available, logs)
        add_nested_adjoint(
            q[1:], left_Q, left_M, a[1:], a.sum(), offsets, rho, places, logs, B, by_rho
        )
    log_conditionals(Q, available, logs)
    add_nested_adjoint(
        p[1:], Q, M, of_p[1:], of_p.sum(), offsets, rho, places, logs, B, by_rho
    )
    add_within_adjoint(Q, of_Q, of_rho, offsets, rho, places, logs, B, by_rho)
    return found


@exact
def split_group(own, g, f, a):
    """Fill a ``(1 + J,)``, zero within the group, and return P_g."""
    share = 0.0
    a[:] = 0.0
    for j in range(a.size):
        if own.codes[j] == g:
            share += own.p[j]
            for k in range(a.size):
                if own.codes[k] != g:
                    a[k] += own.p[j] * f[j, k]
    if share > 0.0:
        a /= share
    return share


@exact
def fill_nests_left(own, g, nests):
    """Fill r and λ ``(2, H)``; return log L, and whether what is left has no digits.

    Of 1 - r, and of L, what is left is summed where that is less than half. λ is zero
    where nothing is left of a nest.
    """
    outside, few = own.codes[0] == g, False
    C, L = (own.p[0], 0.0) if outside else (0.0, own.p[0])
    for h in range(own.rho.size):
        lost, kept = 0.0, 0.0
        for j in range(own.offsets[h], own.offsets[h + 1]):
            if own.codes[1 + j] == g:
                lost += own.Q[j]
            else:
                kept += own.Q[j]
        few |= 0.0 < kept < FEW
        nests[0, h], nests[1, h] = lost, 0.0
        if kept == 0.0:
            C += own.M[h]
            continue
        nests[1, h] = math.log1p(-lost) if lost < 0.5 else math.log(kept)
        exponent = (1.0 - own.rho[h]) * nests[1, h]
        C -= own.M[h] * math.expm1(exponent)
        L += own.M[h] * math.exp(exponent)
    few |= L < FEW
    log_left = math.log(L) if L > 0.0 else -math.inf
    return math.log1p(-C) if C < 0.5 else log_left, few


@exact
def fill_gains(own, g, nests, log_left, gains):
    """Fill G ``(1 + J,)``, zero for what is gone."""
    gains[0] = 0.0 if own.codes[0] == g else own.p[0] * math.expm1(-log_left)
    for h in range(own.rho.size):
        gain = math.expm1(-own.rho[h] * nests[1, h] - log_left)
        for j in range(1 + own.offsets[h], 1 + own.offsets[h + 1]):
            gains[j] = 0.0 if own.codes[j] == g else own.p[j] * gain


@exact
def add_first(own, g, share, gains, f, of_p):
    """Add p_j (m_j - m̄_g) to what multiplies dlog p_j; return Σ_{j∈g} p_j m_j."""
    found = 0.0
    for j in range(gains.size):
        if own.codes[j] == g:
            gained = 0.0
            for k in range(gains.size):
                if own.codes[k] != g:
                    gained += gains[k] * f[j, k]
            of_p[j] += own.p[j] * (gained / share)
            found += own.p[j] * (gained / share)
    for j in range(gains.size):
        if own.codes[j] == g:
            of_p[j] -= own.p[j] / share * found
    return found


@exact
def add_gains(own, g, nests, log_left, a, gains, of_p, of_Q, of_rho):
    """Add Σ a_k dG_k to what multiplies dlog p, dlog Q and dρ, where L > 1/2."""
    p, Q, codes, rho = own.p, own.Q, own.codes, own.rho
    W = a[0] * (p[0] + gains[0])
    for k in range(1, p.size):
        W += a[k] * (p[k] + gains[k])
    of_p += a * gains
    spread = W * math.exp(-log_left)
    if codes[0] == g:
        of_p[0] += spread * p[0]
    for h in range(rho.size):
        begin, stop = own.offsets[h], own.offsets[h + 1]
        lost, lamda, own_W, kept = nests[0, h], nests[1, h], 0.0, 0.0
        for k in range(begin, stop):
            own_W += a[1 + k] * (p[1 + k] + gains[1 + k])
            kept += 0.0 if codes[1 + k] == g else Q[k]
        if lost == 0.0:
            continue
        exponent = (1.0 - rho[h]) * lamda
        c = -math.expm1(exponent) if kept > 0.0 else 1.0
        for k in range(begin, stop):
            of_p[1 + k] += spread * c * p[1 + k]
        if kept == 0.0:
            continue
        moved = spread * own.M[h] * math.exp(exponent)
        of_rho[h] += lamda * (moved - own_W)
        of_lamda = -rho[h] * own_W - (1.0 - rho[h]) * moved
        for k in range(begin, stop):
            if lost < 0.5 and codes[1 + k] == g:
                of_Q[k] -= of_lamda * Q[k] * math.exp(-lamda)
            if lost >= 0.5 and codes[1 + k] != g:
                of_Q[k] += of_lamda * Q[k] * math.exp(-lamda)
