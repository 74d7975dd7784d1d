"""What first-order conditions of prices are made of, in compiled loops.

Equations are in :mod:`blpdask.kernels.contract`. Probabilities of a few agents at a
time are held. What agent i's buying j is worth to j's owner, less what it earns of j
itself, is

    m_ij = a_ij - H_jj η_j,                         a_ij = Σ_k H_jk P_ik η_k,
    m_ij = a_ij + (t_h - 1) b_ij - t_h H_jj η_j,    b_ij = Σ_{k∈h} H_jk Q_ik η_k,

without nests and with them, t_h = 1 / (1 - ρ_h).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from ..records import Floats, Integers
from .loop_compiler import exact, reorder
from .loop_market import fill_exponentials
from .loop_nests import nested_probabilities
from .loop_numeric import solve_general
from .loop_product_draws import moved_coefficient

#: Agents whose probabilities are differentiated at a time: a few matrices of so many
#: rows stay in cache.
DIFFERENTIATED_ROWS = 64


class LoopSupply(NamedTuple):
    """What a block's first-order conditions need, as compiled loops take it.

    ``square_offsets`` (T + 1,) where each market's H starts; ``owners``, ``ownership``,
    ``X2_by_prices`` and ``priced`` as in :class:`blpdask.records.SupplyRows`; ``alpha``
    (N,) the part of ∂u_ij/∂p_j that is linear in β and ``alpha_by_beta`` (B, N).
    """

    square_offsets: Integers
    owners: Integers
    ownership: Floats
    alpha: Floats
    alpha_by_beta: Floats
    X2_by_prices: Floats
    priced: Integers


class Pricing(NamedTuple):
    """The same of one market, products nest by nest.

    ``owners`` (J,) codes, ``ownership`` (J, J) H or (0, 0); ``nest_owners`` and
    ``nest_ownership`` the same with products of different nests apart.
    """

    owners: Integers
    ownership: Floats
    nest_owners: Integers
    nest_ownership: Floats
    alpha: Floats
    alpha_by_beta: Floats
    X2_by_prices: Floats
    priced: Integers


@exact
def prepare_pricing(t, a, market, order, supply):
    """Cut the supply side of market t, whose first product is a, out of the block."""
    J = order.size
    owners = supply.owners[a + order]
    nest_owners = owners.copy()
    H, own = np.empty((0, 0)), np.empty((0, 0))
    if supply.ownership.size > 0:
        first = supply.square_offsets[t]
        H = np.empty((J, J))
        for j in range(J):
            for k in range(J):
                H[j, k] = supply.ownership[first + order[j] * J + order[k]]
        own = H.copy()
    n_owners = owners.max() + 1
    for h in range(market.nests.shape[1]):
        first, stop = market.nest_offsets[h], market.nest_offsets[h + 1]
        for j in range(first, stop):
            nest_owners[j] += h * n_owners
            if own.size > 0:
                own[j, :first] = 0.0
                own[j, stop:] = 0.0
    return Pricing(
        owners,
        H,
        nest_owners,
        own,
        supply.alpha[a + order],
        supply.alpha_by_beta[:, a + order].copy(),
        supply.X2_by_prices[:, a + order].copy(),
        supply.priced,
    )


@reorder
def normalize(E, o, P):
    """Fill P ``(n, J)``, rows of E divided by o_i + Σ_j E_ij."""
    for i in range(P.shape[0]):
        total = o[i, 0]
        for j in range(P.shape[1]):
            total += E[i, j]
        inverse = 1.0 / total
        for j in range(P.shape[1]):
            P[i, j] = E[i, j] * inverse


@exact
def fill_probabilities(market, where, P, Q, M):
    """Fill P at the reference point, of agents held from row ``where``, and Q and M.

    ``Q`` (n, J) and ``M`` (n, H) are left alone where there are no nests.
    """
    E, o = market.E[where:], market.o[where:]
    if market.nests.shape[1] == 0:
        normalize(E, o, P)
        return
    n = P.shape[1]
    weights, shares = np.ones(P.shape[0]), np.zeros(n)
    offsets, rho, D = market.nest_offsets, market.nests[0], np.ones(n)
    nested_probabilities(E, o, weights, D, offsets, rho, P, Q, M, shares)


@exact
def fill_outside(market, where, M, P0):
    """Fill P_i0 ``(n,)`` at the reference point, given M, of agents as there.

    With nests it is o_i / (f_ih G_ih^(1 - ρ_h)) M_ih, of the likeliest nest.
    """
    E, o = market.E[where:], market.o[where:]
    if market.nests.shape[1] == 0:
        normalize_outside(E, o, P0)
        return
    for i in range(P0.size):
        h = np.argmax(M[i])
        G, rho = 0.0, market.nests[0, h]
        for j in range(market.nest_offsets[h], market.nest_offsets[h + 1]):
            G += E[i, j]
        P0[i] = 1.0
        if G > 0.0:
            worth = o[i, 1 + h] * math.exp((1.0 - rho) * math.log(G))
            P0[i] = o[i, 0] * (M[i, h] / worth) if worth > 0.0 else 1.0


@reorder
def normalize_outside(E, o, P0):
    """Fill P_i0 ``(n,)``, o_i divided by o_i + Σ_j E_ij."""
    for i in range(P0.size):
        total = o[i, 0]
        for j in range(E.shape[1]):
            total += E[i, j]
        P0[i] = o[i, 0] / total


@exact
def fill_price_slopes(market, pricing, begin, slopes):
    """Fill α_ij = ∂u_ij/∂p_j ``(n, J)`` of agents from ``begin``."""
    priced, X2_by_prices = pricing.priced, pricing.X2_by_prices
    c = market.coefficients[begin : begin + slopes.shape[0]]
    if market.product_draws.shape[0] == 0:
        price_slopes(c, pricing.alpha, X2_by_prices, priced, slopes)
        return
    for i in range(slopes.shape[0]):
        for j in range(slopes.shape[1]):
            slopes[i, j] = pricing.alpha[j]
            for r in range(priced.size):
                moved = moved_coefficient(market, begin + i, j, priced[r])
                slopes[i, j] += moved * X2_by_prices[r, j]


@reorder
def price_slopes(coefficients, alpha, X2_by_prices, priced, slopes):
    """Fill α_ij = ∂u_ij/∂p_j ``(n, J)``; ``alpha`` ``(J,)`` is what is linear in β."""
    for i in range(slopes.shape[0]):
        for j in range(alpha.size):
            slopes[i, j] = alpha[j]
        for r in range(priced.size):
            c = coefficients[i, priced[r]]
            for j in range(alpha.size):
                slopes[i, j] += c * X2_by_prices[r, j]


@reorder
def weigh(weights, slopes, P, weighted, Lambda):
    """Fill w_i α_ij P_ij ``(n, J)`` and add its sum over agents to Λ ``(J,)``."""
    for i in range(P.shape[0]):
        for j in range(Lambda.size):
            x = weights[i] * slopes[i, j] * P[i, j]
            weighted[i, j] = x
            Lambda[j] += x


@reorder
def owned_sums(P, eta, owners, ownership, sums, totals):
    """Fill Σ_k H_jk P_ik η_k ``(n, J)``; ``totals`` is scratch, one a code."""
    n = eta.size
    for i in range(P.shape[0]):
        if ownership.size > 0:
            for j in range(n):
                found = 0.0
                for k in range(n):
                    found += ownership[j, k] * P[i, k] * eta[k]
                sums[i, j] = found
        else:
            totals[:] = 0.0
            for k in range(n):
                totals[owners[k]] += P[i, k] * eta[k]
            for j in range(n):
                sums[i, j] = totals[owners[j]]


@exact
def fill_margins(market, pricing, P, Q, eta, totals, margins, nested):
    """Fill m ``(n, J)`` and, with nests, b into ``nested`` ``(n, J)``."""
    owned_sums(P, eta, pricing.owners, pricing.ownership, margins, totals)
    if market.nests.shape[1] > 0:
        owners, ownership = pricing.nest_owners, pricing.nest_ownership
        owned_sums(Q, eta, owners, ownership, nested, totals)
        add_columns(margins, nested, market.stretch)
    for j in range(eta.size):
        own = own_weight(pricing, j) * eta[j] * market.stretch[j]
        for i in range(P.shape[0]):
            margins[i, j] -= own


@exact
def own_weight(pricing, j):
    """Give H_jj."""
    return pricing.ownership[j, j] if pricing.ownership.size > 0 else 1.0


@reorder
def add_columns(total, values, stretch):
    """Add ρ_h / (1 - ρ_h) times ``values`` ``(n, J)`` to ``total``."""
    for i in range(total.shape[0]):
        for j in range(stretch.size):
            total[i, j] += (stretch[j] - 1.0) * values[i, j]


@exact
def form_conditions(market, pricing, Delta):
    """Fill Δ ``(J, J)``."""
    n, n_agents = pricing.alpha.size, market.weights.size
    held, n_nests = market.E.shape[0], market.nests.shape[1]
    chunk = min(DIFFERENTIATED_ROWS, n_agents)
    slopes, weighted = np.empty((chunk, n)), np.empty((chunk, n))
    Ps, Qs = np.empty((chunk, n)), np.empty((chunk, n))
    Ms, Lambda, within = np.empty((chunk, n_nests)), np.zeros(n), np.zeros((n, n))
    Delta[:] = 0.0
    for first in range(0, n_agents, held):
        stop = min(first + held, n_agents)
        fill_exponentials(market, first, stop)
        for begin in range(first, stop, chunk):
            end = min(begin + chunk, stop)
            size = end - begin
            P, Q = Ps[:size], Qs[:size]
            fill_probabilities(market, begin - first, P, Q, Ms[:size])
            w, a = market.weights[begin:end], slopes[:size]
            fill_price_slopes(market, pricing, begin, a)
            weigh(w, a, P, weighted[:size], Lambda)
            Delta += np.dot(weighted[:size].T, P)
            if n_nests > 0:
                within += np.dot(weighted[:size].T, Q)
    owned = pricing.ownership.size > 0
    for h in range(n_nests):
        first, stop = market.nest_offsets[h], market.nest_offsets[h + 1]
        for j in range(first, stop):
            for k in range(first, stop):
                Delta[j, k] += (market.stretch[j] - 1.0) * within[j, k]
    for j in range(n):
        Delta[j, j] -= market.stretch[j] * Lambda[j]
        for k in range(n):
            if owned:
                Delta[j, k] *= pricing.ownership[j, k]
            elif pricing.owners[j] != pricing.owners[k]:
                Delta[j, k] = 0.0


@exact
def solve_by_owner(Delta, owners, rows):
    """Overwrite rows ``(M, J)`` by Δ⁻¹ times each, owner by owner; NaN where singular.

    Δ is zero between products of different owners.
    """
    n = owners.size
    for owner in range(owners.max() + 1):
        own = np.flatnonzero(owners == owner)
        part = np.empty((own.size, own.size))
        right = np.empty((rows.shape[0], own.size))
        for j in range(own.size):
            for k in range(own.size):
                part[j, k] = Delta[own[j], own[k]]
            for m in range(rows.shape[0]):
                right[m, j] = rows[m, own[j]]
        if not solve_general(part, right):
            for j in range(n):
                for m in range(rows.shape[0]):
                    rows[m, j] = math.nan
            return False
        for j in range(own.size):
            for m in range(rows.shape[0]):
                rows[m, own[j]] = right[m, j]
    return True
