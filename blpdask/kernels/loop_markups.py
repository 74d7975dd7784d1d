"""Markups that first-order conditions of prices imply, in compiled loops.

Equations are in :mod:`blpdask.kernels.contract`. Probabilities of a few agents at a
time are held; nothing of size J x J x I ever is. With a_ij = Σ_k H_jk P_ik η_k, what
agent i's purchases are worth to the owner of j, row j of Δη is

    (Δη)_j = Σ_i w_i α_ij P_ij (a_ij - H_jj η_j),

and its derivative at fixed η, where a dot is a total derivative by one parameter,

    r_j = Σ_i w_i [(α̇_ij P_ij + α_ij Ṗ_ij)(a_ij - H_jj η_j) + α_ij P_ij ȧ_ij],
    Ṗ_ij = P_ij (v̇_ij - Σ_k P_ik v̇_ik),   v̇_ij = v_ip x_jk + ∂δ_j/∂θ_p,

so that ∂η/∂θ = -Δ⁻¹ r, since s(δ(θ), θ) = S does not move. One parameter costs as much
as a few share maps.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..records import Floats, MarketBlock, Markups, PriceTastes, Tastes
from .loop_compiler import exact, reorder
from .loop_kept import fingerprint_of_loops, kept
from .loop_logit import prepare_market
from .loop_market import (
    fill_exponentials,
    move_reference,
    rows_held,
    taste_slopes,
)
from .loop_numeric import solve_general

#: Agents whose probabilities are differentiated at a time: a few matrices of so many
#: rows stay in cache.
DIFFERENTIATED_ROWS = 64


def markups(
    block: MarketBlock,
    tastes: Tastes,
    price_tastes: PriceTastes,
    delta: Floats,
    delta_by_theta: Floats,
    scratch_bytes: int,
) -> Markups:
    """Solve Δη = S for η in every market and differentiate along δ(θ).

    Parameters
    ----------
    block
        The markets, with their supply side.
    tastes, price_tastes
        θ.
    delta, delta_by_theta
        ``(N,)`` and ``(N, P)`` of the inversion at θ; ``(N, 0)`` where derivatives are
        not wanted.
    scratch_bytes
        Bound on the cache of one market's probabilities.
    """
    supply = block.supply
    assert supply is not None
    derivatives = delta_by_theta.shape[1] == tastes.rows.size
    free = price_tastes.free if derivatives else price_tastes.free[:0]
    rows = tastes.rows if derivatives else tastes.rows[:0]
    squares = np.diff(block.product_offsets) ** 2
    eta = np.empty(block.n_products)
    eta_by_theta = np.empty((block.n_products, rows.size + free.size))
    _compiled_markups(fingerprint_of_loops())(
        block.product_offsets,
        block.agent_offsets,
        np.concatenate([[0], np.cumsum(squares)]),
        block.X2,
        block.log_shares,
        block.draws,
        block.weights,
        tastes.loadings,
        tastes.types,
        rows,
        tastes.columns[: rows.size],
        supply.owners,
        supply.ownership,
        supply.X1_by_prices.T @ price_tastes.beta,
        np.ascontiguousarray(supply.X1_by_prices[free]),
        supply.X2_by_prices,
        supply.X2_priced,
        delta,
        np.ascontiguousarray(delta_by_theta),
        rows_held(block, scratch_bytes),
        eta,
        eta_by_theta,
    )
    return Markups(eta, eta_by_theta)


@reorder
def normalize(E, o):
    """Divide rows of E ``(n, J)`` by o_i + Σ_j E_ij."""
    for i in range(E.shape[0]):
        total = o[i]
        for j in range(E.shape[1]):
            total += E[i, j]
        inverse = 1.0 / total
        for j in range(E.shape[1]):
            E[i, j] *= inverse


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


@reorder
def tangents_of_probabilities(P, slopes, x, delta_slopes, tangents):
    """Fill Ṗ_ij ``(n, J)`` for one parameter; ``slopes`` (n,) holds v_ip."""
    for i in range(P.shape[0]):
        mean = 0.0
        for j in range(x.size):
            v = slopes[i] * x[j] + delta_slopes[j]
            tangents[i, j] = v
            mean += P[i, j] * v
        for j in range(x.size):
            tangents[i, j] = P[i, j] * (tangents[i, j] - mean)


@reorder
def add_residual_slopes(weights, P, tangents, slopes, extra, margins, moved, right):
    """Add Σ_i w_i [(α̇ P + α Ṗ)(a - Hη) + α P ȧ] to r ``(J,)``.

    ``slopes`` (n, J) is α, ``extra`` (n, J) α̇, ``margins`` (n, J) a - Hη, ``moved``
    (n, J) ȧ.
    """
    for i in range(P.shape[0]):
        w = weights[i]
        for j in range(right.size):
            p, q, a = P[i, j], tangents[i, j], slopes[i, j]
            right[j] += w * (
                (extra[i, j] * p + a * q) * margins[i, j] + a * p * moved[i, j]
            )


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


@exact
def form_conditions(market, alpha, X2_by_prices, priced, owners, ownership, Delta):
    """Fill Δ ``(J, J)``: Δ_jk = H_jk (Σ_i w_i α_ij P_ij P_ik - 1[j=k] Λ_j)."""
    n, n_agents = alpha.size, market.weights.size
    held = market.E.shape[0]
    chunk = min(DIFFERENTIATED_ROWS, n_agents)
    slopes, weighted = np.empty((chunk, n)), np.empty((chunk, n))
    Lambda = np.zeros(n)
    Delta[:] = 0.0
    for first in range(0, n_agents, held):
        stop = min(first + held, n_agents)
        fill_probabilities(market, first, stop)
        for begin in range(first, stop, chunk):
            end = min(begin + chunk, stop)
            P, size = market.E[begin - first : end - first], end - begin
            c, w = market.coefficients[begin:end], market.weights[begin:end]
            price_slopes(c, alpha, X2_by_prices, priced, slopes[:size])
            weigh(w, slopes[:size], P, weighted[:size], Lambda)
            Delta += np.dot(weighted[:size].T, P)
    for j in range(n):
        Delta[j, j] -= Lambda[j]
        for k in range(n):
            if ownership.size > 0:
                Delta[j, k] *= ownership[j, k]
            elif owners[j] != owners[k]:
                Delta[j, k] = 0.0


@exact
def fill_probabilities(market, first, stop):
    """Overwrite E by the probabilities of agents first..stop-1 at the reference."""
    fill_exponentials(market, first, stop)
    normalize(market.E[: stop - first], market.o)


@exact
def differentiate_conditions(
    market,
    types,
    rows,
    columns,
    alpha,
    alpha_by_beta,
    X2_by_prices,
    priced,
    owners,
    ownership,
    delta_by_theta,
    eta,
    right,
):
    """Fill r ``(P + B, J)``, the derivative of Δη by θ at fixed η."""
    n, n_agents = alpha.size, market.weights.size
    held, n_parameters = market.E.shape[0], rows.size
    chunk = min(DIFFERENTIATED_ROWS, n_agents)
    shape = (chunk, n)
    slopes, margins, moved = np.empty(shape), np.empty(shape), np.empty(shape)
    tangents, extra = np.empty(shape), np.zeros(shape)
    tastes_moved = np.empty((chunk, n_parameters))
    totals, weighted = np.empty(owners.max() + 1), np.zeros(n)
    delta_slopes = np.ascontiguousarray(delta_by_theta.T)
    right[:] = 0.0
    for first in range(0, n_agents, held):
        stop = min(first + held, n_agents)
        if held < n_agents:
            fill_probabilities(market, first, stop)
        for begin in range(first, stop, chunk):
            end = min(begin + chunk, stop)
            P, size = market.E[begin - first : end - first], end - begin
            c, w = market.coefficients[begin:end], market.weights[begin:end]
            v = tastes_moved[:size]
            price_slopes(c, alpha, X2_by_prices, priced, slopes[:size])
            owned_sums(P, eta, owners, ownership, margins[:size], totals)
            for j in range(n):
                own = ownership[j, j] * eta[j] if ownership.size > 0 else eta[j]
                for i in range(size):
                    margins[i, j] -= own
            taste_slopes(market.draws[begin:end], c, types, rows, columns, v)
            for p in range(n_parameters):
                x = market.characteristics[rows[p]]
                tangents_of_probabilities(
                    P, v[:, p], x, delta_slopes[p], tangents[:size]
                )
                owned_sums(
                    tangents[:size], eta, owners, ownership, moved[:size], totals
                )
                extra[:] = 0.0
                for r in range(priced.size):
                    if priced[r] == rows[p]:
                        for i in range(size):
                            for j in range(n):
                                extra[i, j] = v[i, p] * X2_by_prices[r, j]
                add_residual_slopes(
                    w,
                    P,
                    tangents[:size],
                    slopes[:size],
                    extra[:size],
                    margins[:size],
                    moved[:size],
                    right[p],
                )
            for i in range(size):
                for j in range(n):
                    weighted[j] += w[i] * P[i, j] * margins[i, j]
    for b in range(alpha_by_beta.shape[0]):
        for j in range(n):
            right[n_parameters + b, j] = alpha_by_beta[b, j] * weighted[j]


@functools.cache
def _compiled_markups(fingerprint: str) -> Callable[..., Any]:
    """Compile the loop over markets that solves for markups."""

    @kept
    def markups_block(
        product_offsets,
        agent_offsets,
        square_offsets,
        X2,
        log_shares,
        draws,
        weights,
        loadings,
        types,
        rows,
        columns,
        owners,
        ownership,
        alpha,
        alpha_by_beta,
        X2_by_prices,
        priced,
        delta,
        delta_by_theta,
        rows_held,
        eta,
        eta_by_theta,
    ):
        """Solve every market of a block in place."""
        _ = fingerprint
        for t in range(product_offsets.size - 1):
            a, b = product_offsets[t], product_offsets[t + 1]
            n = b - a
            market = prepare_market(
                t,
                product_offsets,
                agent_offsets,
                X2,
                log_shares,
                draws,
                weights,
                loadings,
                types,
                rows_held,
            )
            move_reference(market, delta[a:b])
            own = owners[a:b]
            H = np.empty((0, 0))
            if ownership.size > 0:
                where = square_offsets[t], square_offsets[t + 1]
                H = ownership[where[0] : where[1]].reshape((n, n))
            slopes_of_x2 = X2_by_prices[:, a:b].copy()
            Delta = np.empty((n, n))
            form_conditions(market, alpha[a:b], slopes_of_x2, priced, own, H, Delta)
            solved = np.empty((1, n))
            for j in range(n):
                solved[0, j] = math.exp(log_shares[a + j])
            solve_by_owner(Delta, own, solved)
            eta[a:b] = solved[0]
            if eta_by_theta.shape[1] > 0:
                right = np.empty((eta_by_theta.shape[1], n))
                differentiate_conditions(
                    market,
                    types,
                    rows,
                    columns,
                    alpha[a:b],
                    alpha_by_beta[:, a:b].copy(),
                    slopes_of_x2,
                    priced,
                    own,
                    H,
                    delta_by_theta[a:b],
                    eta[a:b],
                    right,
                )
                solve_by_owner(Delta, own, right)
                for m in range(right.shape[0]):
                    for j in range(n):
                        eta_by_theta[a + j, m] = -right[m, j]

    return markups_block
