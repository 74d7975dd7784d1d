"""Probabilities of one agent's choices once a group of them is gone.

With E_ij, o_i and f_ih as in :mod:`blpdask.kernels.loop_nests`, what is left has

    M_ih = f_ih G_ih^(1 - ρ_h) / (o_i + Σ_g f_ig G_ig^(1 - ρ_g)),   G_ih = Σ_{j∈h} E_ij,

sums being over what is left. Where next to nothing is, E is too small to have digits,
for it is relative to the best choice of all: utilities are exponentiated again,
relative to the best that is left.
"""

from __future__ import annotations

import math

import numpy as np

from .loop_compiler import exact
from .loop_market import NEVER, exponentiate
from .loop_nests import shift_nests
from .loop_product_draws import fill_product_utilities

#: A sum of exponentials below which they have no digits: none is below e^-708.
FEW = 1e-250


@exact
def remove_group(E, o, offsets, rho, codes, g, P, Q, M):
    """Fill one agent's P, Q ``(J,)`` and M ``(H,)`` with group g gone; return P_0.

    ``E`` (J,), ``o`` (1 + H,) are those of the agent. The outside option may be what is
    gone.
    """
    denominator = 0.0 if codes[0] == g else o[0]
    for h in range(rho.size):
        G = 0.0
        for j in range(offsets[h], offsets[h + 1]):
            if codes[1 + j] != g:
                G += E[j]
        M[h], inverse = 0.0, 0.0
        if G > 0.0:
            M[h] = o[1 + h] * math.exp((1.0 - rho[h]) * math.log(G))
            inverse = 1.0 / G
        denominator += M[h]
        for j in range(offsets[h], offsets[h + 1]):
            Q[j] = 0.0 if codes[1 + j] == g else E[j] * inverse
    left = denominator > 0.0
    for h in range(rho.size):
        M[h] = M[h] / denominator if left else 0.0
        for j in range(offsets[h], offsets[h + 1]):
            P[j] = M[h] * Q[j]
    return 0.0 if codes[0] == g or not left else o[0] / denominator


@exact
def exponentiate_left(market, agent, codes, g, E, o):
    """Fill one agent's E ``(J,)`` and o ``(1 + H,)`` relative to the best that is left.

    What is gone, or is not available, is zero.
    """
    rows, there = np.empty((1, E.size)), np.ones(E.size)
    c = market.coefficients[agent : agent + 1]
    np.dot(c, market.characteristics, rows)
    if market.product_draws.shape[0] > 0:
        fill_product_utilities(market, agent, rows)
    if market.availability.size > 0:
        there[:] = market.availability[agent]
    best = -math.inf if codes[0] == g else 0.0
    for j in range(E.size):
        if codes[1 + j] == g:
            there[j] = 0.0
        if there[j] > 0.0:
            best = max(best, rows[0, j] / market.stretch[j])
    nested = market.nests.shape[1] > 0
    if not math.isfinite(best) or (nested and codes[0] != g):
        best = 0.0
    for j in range(E.size):
        rows[0, j] -= best * market.stretch[j]
        if there[j] == 0.0:
            rows[0, j] = NEVER
    o[0] = math.exp(-best)
    if nested:
        shift_nests(rows, market.nest_offsets, market.nests[0], o.reshape(1, o.size))
    if codes[0] == g:
        o[0] = 0.0
    exponentiate(rows[0])
    for j in range(E.size):
        E[j] = rows[0, j] * there[j]


@exact
def fill_few(market, agent, codes, g, P, Q, M):
    """Fill what :func:`remove_group` does, of an agent to whom little is left."""
    E, o = np.empty(P.size), np.empty(1 + M.size)
    exponentiate_left(market, agent, codes, g, E, o)
    if M.size > 0:
        return remove_group(
            E, o, market.nest_offsets, market.nests[0], codes, g, P, Q, M
        )
    denominator = o[0] + E.sum()
    inverse = 1.0 / denominator if denominator > 0.0 else 0.0
    for j in range(P.size):
        P[j] = E[j] * inverse
    return o[0] * inverse
