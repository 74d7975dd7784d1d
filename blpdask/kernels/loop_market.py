"""One market in loops: exponentiated utilities, the share map, its curvature.

With a reference point δ⁰ (the inversion's start) and m_i = max(0, max_j(μ_ij + δ⁰_j)),

    E_ij = exp(μ_ij + δ⁰_j - m_i),   o_i = exp(-m_i),   D_j = exp(δ_j - δ⁰_j),
    P_ij = E_ij D_j / (o_i + Σ_k E_ik D_k),             s_j = D_j Σ_i a_i E_ij,
    a_i  = w_i / (o_i + Σ_k E_ik D_k).

E depends on θ and δ⁰ but not on δ, so a share map needs no exponential of size I x J:
it is two passes of multiply-adds over E. Nothing can overflow, because E <= 1 and D is
near one; where δ leaves the neighbourhood of δ⁰, the reference moves there. What exceeds
the bound on scratch memory is computed again, tile of agents by tile of agents.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numba as nb
import numpy as np

from ..records import Floats, Integers
from .loop_numeric import REORDER, exponential

#: Agents whose probabilities are held at a time while curvature is accumulated.
CURVATURE_ROWS = 256
#: Products from which BLAS beats plain loops in accumulating P' diag(w) P.
BLAS_PRODUCTS = 12


class LoopMarket(NamedTuple):
    """One market as the compiled loops see it: inputs, then scratch.

    ``X`` (K2, J), ``XT`` (J, K2), ``coefficients`` (I, K2), ``draws`` (I, L),
    ``weights`` (I,), ``log_shares`` (J,); scratch ``reference`` (J,), ``E``
    (rows, J) and ``o`` (rows,), where rows is I or, under a memory bound, fewer.
    """

    X: Floats
    XT: Floats
    coefficients: Floats
    draws: Floats
    weights: Floats
    log_shares: Floats
    reference: Floats
    E: Floats
    o: Floats


@nb.njit(fastmath=REORDER, nogil=True)
def random_coefficients(draws, loadings, types, coefficients):  # type: ignore[no-untyped-def]
    """Fill g_k(Σ_l Γ_kl draws_il) into ``coefficients`` (I, K2)."""
    for i in range(draws.shape[0]):
        for k in range(loadings.shape[0]):
            total = 0.0
            for el in range(loadings.shape[1]):
                total += loadings[k, el] * draws[i, el]
            if types[k] == 1:
                total = math.exp(total)
            elif types[k] == 2:
                total = 1.0 / (1.0 + math.exp(-total))
            coefficients[i, k] = total


@nb.njit(fastmath=REORDER, nogil=True)
def fill_exponentials(market, first, stop):  # type: ignore[no-untyped-def]
    """Fill E and o for agents first..stop-1 into the market's scratch."""
    n_products = market.reference.size
    for i in range(first, stop):
        row = market.E[i - first]
        highest = 0.0
        for j in range(n_products):
            row[j] = market.reference[j]
        for k in range(market.X.shape[0]):
            c = market.coefficients[i, k]
            x = market.X[k]
            for j in range(n_products):
                row[j] += c * x[j]
        for j in range(n_products):
            highest = max(highest, row[j])
        for j in range(n_products):
            row[j] = exponential(row[j] - highest)
        market.o[i - first] = math.exp(-highest)


@nb.njit(nogil=True)
def move_reference(market, delta):  # type: ignore[no-untyped-def]
    """Make ``delta`` the reference point and fill E where it is held whole."""
    market.reference[:] = delta
    if market.E.shape[0] >= market.weights.size:
        fill_exponentials(market, 0, market.weights.size)


@nb.njit(fastmath=REORDER, nogil=True)
def share_map(market, D, shares):  # type: ignore[no-untyped-def]
    """Fill s_j = D_j Σ_i a_i E_ij into ``shares`` (J,)."""
    n_agents = market.weights.size
    rows = market.E.shape[0]
    n_products = shares.size
    for j in range(n_products):
        shares[j] = 0.0
    for first in range(0, n_agents, rows):
        stop = min(first + rows, n_agents)
        if rows < n_agents:
            fill_exponentials(market, first, stop)
        for i in range(first, stop):
            row = market.E[i - first]
            total = 0.0
            for j in range(n_products):
                total += row[j] * D[j]
            a = market.weights[i] / (market.o[i - first] + total)
            for j in range(n_products):
                shares[j] += a * row[j]
    for j in range(n_products):
        shares[j] *= D[j]


@nb.njit(fastmath=REORDER, nogil=True)
def probabilities(market, D, first, begin, end, P, Q, shares):  # type: ignore[no-untyped-def]
    """Fill P and Q = diag(w) P for agents begin..end-1 and add Q's sums to shares."""
    n_products = shares.size
    for i in range(begin, end):
        row = market.E[i - first]
        total = 0.0
        for j in range(n_products):
            total += row[j] * D[j]
        a = 1.0 / (market.o[i - first] + total)
        w = market.weights[i]
        p = P[i - begin]
        q = Q[i - begin]
        for j in range(n_products):
            p[j] = a * row[j] * D[j]
            q[j] = w * p[j]
            shares[j] += q[j]


@nb.njit(fastmath=REORDER, nogil=True)
def add_cross_product(left, right, total, product):  # type: ignore[no-untyped-def]
    """Add left' right to ``total``, by BLAS where that is faster.

    ``left`` (n, J), ``right`` (n, M), ``total`` and scratch ``product`` (J, M).
    """
    if left.shape[1] >= BLAS_PRODUCTS and left.shape[0] >= 8:
        np.dot(left.T, right, product)
        total += product
        return
    for i in range(left.shape[0]):
        for j in range(left.shape[1]):
            a = left[i, j]
            for k in range(right.shape[1]):
                total[j, k] += a * right[i, k]


@nb.njit(fastmath=REORDER, nogil=True)
def tangent_columns(market, types, rows, columns, P, begin, end, V):  # type: ignore[no-untyped-def]
    """Fill V = [v_ip, v_ip x̄_ik(p)] (n, 2 P) with x̄_ik = Σ_j P_ij x_jk."""
    n_parameters = rows.size
    means = np.dot(P, market.XT)
    for i in range(begin, end):
        for p in range(n_parameters):
            k = rows[p]
            v = market.draws[i, columns[p]]
            c = market.coefficients[i, k]
            if types[k] == 1:
                v *= c
            elif types[k] == 2:
                v *= c * (1.0 - c)
            V[i - begin, p] = v
            V[i - begin, n_parameters + p] = v * means[i - begin, k]


@nb.njit(nogil=True)
def curvature(market, delta, types, rows, columns, shares, A, tangents):  # type: ignore[no-untyped-def]
    """Compute s, A = diag(s) - P' diag(w) P and, where rows are given, ∂s/∂θ.

    Parameters
    ----------
    delta : (J,)
        Mean utilities.
    types, rows, columns
        As in :class:`blpdask.records.Tastes`; ``rows`` of size zero asks for no ∂s/∂θ.
    shares : (J,)
        Filled with s.
    A : (J, J)
        Filled with ∂s/∂δ.
    tangents : (P, J)
        Filled with ∂s/∂θ.

    Notes
    -----
    ∂s_j/∂θ_p = x_jk Σ_i w_i P_ij v_ip - Σ_i w_i P_ij v_ip x̄_ik for parameter p of
    characteristic k, all parameters in one product Q' [v, v x̄] (Nevo 2000, appendix).
    """
    n_products = delta.size
    n_agents = market.weights.size
    n_parameters = rows.size
    held = market.E.shape[0]
    D = np.exp(delta - market.reference)
    chunk = min(CURVATURE_ROWS, n_agents)
    P = np.empty((chunk, n_products))
    Q = np.empty((chunk, n_products))
    V = np.empty((chunk, 2 * n_parameters))
    cross = np.zeros((n_products, n_products))
    slopes = np.zeros((n_products, 2 * n_parameters))
    cross_part = np.empty((n_products, n_products))
    slopes_part = np.empty((n_products, 2 * n_parameters))
    shares[:] = 0.0
    for first in range(0, n_agents, held):
        stop = min(first + held, n_agents)
        if held < n_agents:
            fill_exponentials(market, first, stop)
        for begin in range(first, stop, chunk):
            end = min(begin + chunk, stop)
            n = end - begin
            probabilities(market, D, first, begin, end, P, Q, shares)
            add_cross_product(Q[:n], P[:n], cross, cross_part)
            if n_parameters > 0:
                tangent_columns(market, types, rows, columns, P[:n], begin, end, V)
                add_cross_product(Q[:n], V[:n], slopes, slopes_part)
    for j in range(n_products):
        for k in range(n_products):
            A[j, k] = -cross[j, k]
        A[j, j] += shares[j]
    for p in range(n_parameters):
        for j in range(n_products):
            tangents[p, j] = (
                market.X[rows[p], j] * slopes[j, p] - slopes[j, n_parameters + p]
            )


def scratch_rows(n_agents: int, n_products: int, scratch_bytes: int) -> int:
    """Count the agents whose E fits the bound on scratch memory, at least one chunk."""
    fitting = scratch_bytes // (8 * max(n_products, 1))
    if fitting >= n_agents:
        return n_agents
    return int(min(n_agents, max(CURVATURE_ROWS, fitting)))


def shape_limits(offsets: Integers) -> int:
    """Find the largest market's size among offsets ``(T + 1,)``."""
    return int(np.diff(offsets).max())
