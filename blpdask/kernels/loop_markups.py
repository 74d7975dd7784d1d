"""Markups that first-order conditions of prices imply, in compiled loops.

Equations are in :mod:`blpdask.kernels.contract`. With m_ij, what i's buying j is worth
to j's owner (:mod:`blpdask.kernels.loop_pricing`), row j of Δη is

    (Δη)_j = Σ_i w_i α_ij P_ij m_ij,

and its derivative at fixed η, where a dot is a total derivative by one parameter,

    r_j = Σ_i w_i [(α̇_ij P_ij + α_ij Ṗ_ij) m_ij + α_ij P_ij ṁ_ij],

so that ∂η/∂θ = -Δ⁻¹ r, since s(δ(θ), θ) = S does not move. Without nests
Ṗ_ij = P_ij (v̇_ij - Σ_k P_ik v̇_ik) with v̇_ij = v_ip x_jk + ∂δ_j/∂θ_p. With nests
utilities move by u_ij = t_h v̇_ij and

    Q̇_ij = Q_ij (u_ij - ū_ih),   or   Q̇_ij = Q_ij t_h (log Q_ij + E_ih)

by ρ_h, by which m_ij moves directly too, by t_h² (b_ij - H_jj η_j). One parameter costs
as much as a few share maps; nothing of size J x J x I is ever held. Where there are no
nests and all draws and products are there for all alike, see
:mod:`blpdask.kernels.loop_plain_markups`.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..records import Floats, MarketBlock, Markups, PriceTastes, Tastes
from .loop_block import loop_block, loop_tastes
from .loop_compiler import exact, reorder
from .loop_curvature import taste_slopes
from .loop_kept import fingerprint_of_loops, kept
from .loop_market import (
    fill_exponentials,
    move_reference,
    prepare_market,
    rows_held,
)
from .loop_nests import add_rho_slopes, entropy, log_conditionals, log_slopes
from .loop_plain_market import is_plain
from .loop_plain_markups import plain_markups
from .loop_pricing import (
    DIFFERENTIATED_ROWS,
    LoopSupply,
    add_columns,
    fill_margins,
    fill_price_slopes,
    fill_probabilities,
    form_conditions,
    own_weight,
    owned_sums,
    prepare_pricing,
    solve_by_owner,
)
from .loop_product_draws import product_slopes


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
    derivatives = delta_by_theta.shape[1] == tastes.size
    free = price_tastes.free if derivatives else price_tastes.free[:0]
    square_offsets = np.zeros_like(block.product_offsets)
    J = block.product_offsets[1:] - block.product_offsets[:-1]
    np.cumsum(J**2, out=square_offsets[1:])
    n_moved = tastes.size if derivatives else 0
    eta = np.empty(block.n_products)
    eta_by_theta = np.empty((block.n_products, n_moved + free.size))
    _compiled_markups(fingerprint_of_loops())(
        loop_block(block),
        loop_tastes(tastes, derivatives=derivatives),
        LoopSupply(
            square_offsets,
            supply.owners,
            supply.ownership,
            supply.X1_by_prices.T @ price_tastes.beta,
            np.ascontiguousarray(supply.X1_by_prices[free]),
            supply.X2_by_prices,
            supply.X2_priced,
        ),
        delta,
        np.ascontiguousarray(delta_by_theta),
        rows_held(block, scratch_bytes),
        eta,
        eta_by_theta,
    )
    return Markups(eta, eta_by_theta)


@exact
def differentiate_conditions(market, tastes, pricing, delta_slopes, eta, right):
    """Fill r ``(P + B, J)``, the derivative of Δη by θ at fixed η.

    ``delta_slopes`` (P, J) is ∂δ/∂θ, stretched.
    """
    n, n_agents = pricing.alpha.size, market.weights.size
    held, n_tastes = market.E.shape[0], tastes.rows.size
    n_parameters = delta_slopes.shape[0]
    nested_too = market.nests.shape[1] > 0
    chunk = min(DIFFERENTIATED_ROWS, n_agents)
    shape = (chunk, n)
    slopes, margins, moved = np.empty(shape), np.empty(shape), np.empty(shape)
    tangents, extra = np.empty(shape), np.zeros(shape)
    Ps, Qs, Ms = (
        np.empty(shape),
        np.empty(shape),
        np.empty((chunk, market.nests.shape[1])),
    )
    nested, Q_moved, b_moved = np.empty(shape), np.empty(shape), np.empty(shape)
    product_moved = np.empty(shape)
    tastes_moved, unmoved = np.empty((chunk, n_tastes)), np.zeros(chunk)
    totals, weighted = np.empty(pricing.nest_owners.max() + 1), np.zeros(n)
    zero = np.zeros(n)
    right[:] = 0.0
    for first in range(0, n_agents, held):
        stop = min(first + held, n_agents)
        if held < n_agents:
            fill_exponentials(market, first, stop)
        for begin in range(first, stop, chunk):
            end = min(begin + chunk, stop)
            size = end - begin
            P, Q, M = Ps[:size], Qs[:size], Ms[:size]
            fill_probabilities(market, begin - first, P, Q, M)
            c, w = market.coefficients[begin:end], market.weights[begin:end]
            a, m, v = slopes[:size], margins[:size], tastes_moved[:size]
            b, dP, dQ = nested[:size], tangents[:size], Q_moved[:size]
            dm, db, V = moved[:size], b_moved[:size], product_moved[:size]
            fill_price_slopes(market, pricing, begin, a)
            fill_margins(market, pricing, P, Q, eta, totals, m, b)
            draws = market.draws[begin:end]
            taste_slopes(draws, c, tastes.types, tastes.rows, tastes.columns, v)
            for p in range(n_parameters):
                r = p - n_tastes
                x = market.characteristics[tastes.rows[p]] if r < 0 else zero
                by = v[:, p] if r < 0 else unmoved[:size]
                d = delta_slopes[p]
                if nested_too or is_priced(tastes, pricing, p):
                    fill_slopes(market, tastes, p, begin, by, V)
                if nested_too:
                    nested_tangents(market, begin, P, Q, M, V, x, d, r, dP, dQ)
                else:
                    tangents_of_probabilities(P, by, x, d, dP)
                owned_sums(dP, eta, pricing.owners, pricing.ownership, dm, totals)
                if nested_too:
                    owners, H = pricing.nest_owners, pricing.nest_ownership
                    owned_sums(dQ, eta, owners, H, db, totals)
                    add_columns(dm, db, market.stretch)
                    if r >= 0:
                        add_rho_margins(market, pricing, r, eta, b, dm)
                fill_price_slopes_moved(tastes, pricing, p, V, extra[:size])
                add_residual_slopes(w, P, dP, a, extra[:size], m, dm, right[p])
            for i in range(size):
                for j in range(n):
                    weighted[j] += w[i] * P[i, j] * m[i, j]
    for q in range(pricing.alpha_by_beta.shape[0]):
        for j in range(n):
            right[n_parameters + q, j] = pricing.alpha_by_beta[q, j] * weighted[j]


@exact
def is_priced(tastes, pricing, p):
    """Tell whether parameter p is of a characteristic that depends on prices."""
    if p < tastes.rows.size:
        for q in range(pricing.priced.size):
            if pricing.priced[q] == tastes.rows[p]:
                return True
    return False


@exact
def fill_slopes(market, tastes, p, begin, slopes, by_product):
    """Fill v_ijp ``(n, J)``, zero for ρ; ``slopes`` (n,) holds v_ip."""
    if p < tastes.rows.size and market.product_draws.shape[0] > 0:
        k, column = tastes.rows[p], tastes.columns[p]
        product_slopes(market, begin, k, column, by_product)
        return
    for i in range(by_product.shape[0]):
        for j in range(by_product.shape[1]):
            by_product[i, j] = slopes[i]


@exact
def fill_price_slopes_moved(tastes, pricing, p, slopes, extra):
    """Fill α̇ ``(n, J)`` for parameter p of Γ, zero for one of ρ."""
    extra[:] = 0.0
    if p >= tastes.rows.size:
        return
    for q in range(pricing.priced.size):
        if pricing.priced[q] == tastes.rows[p]:
            for i in range(extra.shape[0]):
                for j in range(extra.shape[1]):
                    extra[i, j] = slopes[i, j] * pricing.X2_by_prices[q, j]


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


@exact
def nested_tangents(
    market, begin, P, Q, M, slopes, x, delta_slopes, r, tangents, moved
):
    """Fill Ṗ and Q̇ ``(n, J)`` for one parameter, the r-th of ρ or, r < 0, of Γ.

    ``x`` and ``delta_slopes`` (J,) are stretched, ``slopes`` (n, J) is v_ijp; ``begin``
    is the first agent.
    """
    offsets, rho = market.nest_offsets, market.nests[0]
    u, logs, of_Q = np.empty(x.size), np.empty(x.size), np.empty(x.size)
    available = np.empty(0)
    for i in range(P.shape[0]):
        for j in range(x.size):
            u[j] = slopes[i, j] * x[j] + delta_slopes[j]
        log_slopes(u, Q[i], M[i], offsets, rho, logs)
        if r >= 0:
            if market.availability.size > 0:
                available = market.availability[begin + i]
            log_conditionals(Q[i], available, of_Q)
        for h in range(rho.size):
            first, stop = offsets[h], offsets[h + 1]
            mean = 0.0
            for j in range(first, stop):
                mean += Q[i, j] * u[j]
            for j in range(first, stop):
                moved[i, j] = Q[i, j] * (u[j] - mean)
            if r >= 0 and market.nests[2, h] == r:
                add_rho_slopes(Q[i], of_Q, M[i], offsets, rho, h, logs)
                E = entropy(Q[i], of_Q, first, stop)
                for j in range(first, stop):
                    moved[i, j] += Q[i, j] * (of_Q[j] + E) * market.stretch[j]
        for j in range(x.size):
            tangents[i, j] = P[i, j] * logs[j]


@exact
def add_rho_margins(market, pricing, r, eta, nested, moved):
    """Add (b_ij - H_jj η_j) / (1 - ρ_h)² to ṁ ``(n, J)`` where ρ_h is the r-th."""
    for h in range(market.nests.shape[1]):
        if market.nests[2, h] == r:
            for j in range(market.nest_offsets[h], market.nest_offsets[h + 1]):
                own, square = own_weight(pricing, j) * eta[j], market.stretch[j] ** 2
                for i in range(moved.shape[0]):
                    moved[i, j] += square * (nested[i, j] - own)


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


@functools.cache
def _compiled_markups(fingerprint: str) -> Callable[..., Any]:
    """Compile the loop over markets that solves for markups."""

    @kept(fills=2)
    def markups_block(
        block, tastes, supply, delta, delta_by_theta, rows_held, eta, eta_by_theta
    ):
        """Solve every market of a block in place."""
        _ = fingerprint
        plain = is_plain(block)
        for t in range(block.product_offsets.size - 1):
            if plain:
                plain_markups(
                    t,
                    block,
                    tastes,
                    supply,
                    delta,
                    delta_by_theta,
                    rows_held,
                    eta,
                    eta_by_theta,
                )
                continue
            a, b = block.product_offsets[t], block.product_offsets[t + 1]
            n = b - a
            market, order = prepare_market(t, block, tastes, rows_held)
            move_reference(market, delta[a:b][order])
            pricing = prepare_pricing(t, a, market, order, supply)
            Delta = np.empty((n, n))
            form_conditions(market, pricing, Delta)
            solved = np.empty((1, n))
            for j in range(n):
                solved[0, j] = math.exp(market.log_shares[j])
            solve_by_owner(Delta, pricing.owners, solved)
            for j in range(n):
                eta[a + order[j]] = solved[0, j]
            if eta_by_theta.shape[1] > 0:
                right = np.empty((eta_by_theta.shape[1], n))
                slopes = np.empty((delta_by_theta.shape[1], n))
                for p in range(slopes.shape[0]):
                    for j in range(n):
                        moved = delta_by_theta[a + order[j], p]
                        slopes[p, j] = market.stretch[j] * moved
                differentiate_conditions(
                    market, tastes, pricing, slopes, solved[0], right
                )
                solve_by_owner(Delta, pricing.owners, right)
                for m in range(right.shape[0]):
                    for j in range(n):
                        eta_by_theta[a + order[j], m] = -right[m, j]

    return markups_block
