"""One market in loops: exponentiated utilities, the share map, its curvature.

With a reference point δ⁰ (the inversion's start) and m_i = max(0, max_j(μ_ij + δ⁰_j))
where that is large, zero elsewhere,

    E_ij = exp(μ_ij + δ⁰_j - m_i),   o_i = exp(-m_i),   D_j = exp(δ_j - δ⁰_j),
    P_ij = E_ij D_j / (o_i + Σ_k E_ik D_k),             s_j = D_j Σ_i a_i E_ij,
    a_i  = w_i / (o_i + Σ_k E_ik D_k),                  s_0 = Σ_i a_i o_i.

E depends on θ and δ⁰ but not on δ, so a share map needs no exponential of size I x J:
it is two passes of multiply-adds over E. Nothing can overflow, because D is near one;
where δ leaves the neighbourhood of δ⁰, the reference moves there. What exceeds the
bound on scratch memory is computed again, tile of agents by tile of agents.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from ..records import Floats, Integers, MarketBlock
from .loop_blas import add_gram_lower
from .loop_compiler import exact, finite, reorder
from .loop_numeric import exponential

#: Agents whose probabilities are held at a time while curvature is accumulated.
CURVATURE_ROWS = 256
#: Products from which BLAS beats plain loops in accumulating P' diag(w) P.
BLAS_PRODUCTS = 16
#: Utilities up to this size are exponentiated as they are: e^500 squared is finite.
LARGE_UTILITY = 300.0


class LoopMarket(NamedTuple):
    """One market as the compiled loops see it: inputs, then scratch.

    ``characteristics`` (K2 + 1, J) holds X2 and, in its last row, the reference δ⁰;
    ``coefficients`` (I, K2 + 1) those of the agents and a column of ones, so that their
    product is μ + δ⁰. ``draws`` (I, L), ``weights`` (I,), ``log_shares`` (J,),
    ``outside`` (1,) log S_0 (NaN where weights leave no outside share); scratch ``E``
    (rows, J) and ``o`` (rows,), where rows is I or, under a memory bound, fewer.
    """

    characteristics: Floats
    coefficients: Floats
    draws: Floats
    weights: Floats
    log_shares: Floats
    outside: Floats
    E: Floats
    o: Floats


@reorder
def random_coefficients(draws, loadings, types, coefficients):
    """Fill g_k(Σ_l Γ_kl draws_il) into the first K2 columns, ones into the last."""
    n_random = loadings.shape[0]
    for i in range(draws.shape[0]):
        for k in range(n_random):
            total = 0.0
            for el in range(loadings.shape[1]):
                total += loadings[k, el] * draws[i, el]
            if types[k] == 1:
                total = math.exp(total)
            elif types[k] == 2:
                total = 1.0 / (1.0 + math.exp(-total))
            coefficients[i, k] = total
        coefficients[i, n_random] = 1.0


@finite
def largest(values):
    """Find the largest element, at least zero; what it says of NaN is undefined."""
    found = 0.0
    for value in values:
        found = value if value > found else found
    return found


@reorder
def exponentiate(values):
    """Overwrite a vector by its exponentials."""
    for n in range(values.size):
        values[n] = exponential(values[n])


@exact
def fill_exponentials(market, first, stop):
    """Fill E and o for agents first..stop-1 into the market's scratch."""
    rows = market.E[: stop - first]
    np.dot(market.coefficients[first:stop], market.characteristics, rows)
    flat = rows.reshape(rows.size)
    for i in range(stop - first):
        market.o[i] = 1.0
    if largest(flat) > LARGE_UTILITY:
        for i in range(stop - first):
            highest = largest(rows[i])
            for j in range(rows.shape[1]):
                rows[i, j] -= highest
            market.o[i] = math.exp(-highest)
    exponentiate(flat)


@exact
def move_reference(market, delta):
    """Make ``delta`` the reference point and fill E where it is held whole."""
    reference = market.characteristics[-1]
    for j in range(delta.size):
        reference[j] = delta[j]
    if market.E.shape[0] >= market.weights.size:
        fill_exponentials(market, 0, market.weights.size)


@reorder
def add_shares(E, o, weights, D, sums):
    """Add Σ_i a_i E_ij to ``sums`` ``(J,)`` and return Σ_i a_i o_i."""
    outside = 0.0
    for i in range(E.shape[0]):
        total = 0.0
        for j in range(D.size):
            total += E[i, j] * D[j]
        a = weights[i] / (o[i] + total)
        outside += a * o[i]
        for j in range(D.size):
            sums[j] += a * E[i, j]
    return outside


@exact
def share_map(market, D, shares):
    """Fill s_j = D_j Σ_i a_i E_ij into ``shares`` (J,) and return s_0 = Σ_i a_i o_i."""
    n_agents = market.weights.size
    held = market.E.shape[0]
    outside = 0.0
    for j in range(shares.size):
        shares[j] = 0.0
    for first in range(0, n_agents, held):
        stop = min(first + held, n_agents)
        if held < n_agents:
            fill_exponentials(market, first, stop)
        E, w = market.E[: stop - first], market.weights[first:stop]
        outside += add_shares(E, market.o, w, D, shares)
    for j in range(shares.size):
        shares[j] *= D[j]
    return outside


@reorder
def add_probabilities(E, o, weights, roots, D, P, shares):
    """Fill roots_i P_i·, add w_i P_i· to shares ``(J,)`` and return Σ_i w_i P_i0.

    ``E`` (n, J), ``o``, ``weights``, ``roots`` (n,), ``D`` (J,), ``P`` (n, J).
    """
    n_products = D.size
    outside = 0.0
    for i in range(E.shape[0]):
        total = 0.0
        for j in range(n_products):
            total += E[i, j] * D[j]
        a = 1.0 / (o[i] + total)
        w = weights[i] * a
        r = roots[i] * a
        outside += w * o[i]
        for j in range(n_products):
            x = E[i, j] * D[j]
            P[i, j] = r * x
            shares[j] += w * x
    return outside


@reorder
def add_tangents(P, weights, roots, X, slopes, rows, tangents):
    """Add Σ_i w_i P_ij v_ip (x_jk - x̄_ik) to ∂s/∂θ ``(P, J)``.

    ``P`` (n, J) holds roots_i P_i·, ``weights``, ``roots`` (n,), ``X`` (K2 + 1, J) the
    characteristics, ``slopes`` (n, P) v_ip.
    """
    n_products = P.shape[1]
    for i in range(P.shape[0]):
        last = -1
        mean = 0.0
        for p in range(rows.size):
            k = rows[p]
            if k != last:
                mean = 0.0
                for j in range(n_products):
                    mean += P[i, j] * X[k, j]
                mean /= roots[i]
                last = k
            v = weights[i] / roots[i] * slopes[i, p]
            for j in range(n_products):
                tangents[p, j] += v * P[i, j] * (X[k, j] - mean)


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


@exact
def curvature(market, delta, types, rows, columns, shares, A, tangents):
    """Compute s, the lower triangle of A = diag(s) - P' diag(w) P, and ∂s/∂θ.

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
        Filled with ∂s/∂θ.

    Returns
    -------
    float
        s_0.

    Notes
    -----
    ∂s_j/∂θ_p = Σ_i w_i P_ij v_ip (x_jk - Σ_l P_il x_lk) for parameter p of
    characteristic k (Nevo 2000, appendix). Where weights are not negative, rows of P
    are scaled by their roots and A is one symmetric update of BLAS.
    """
    n_products = delta.size
    n_agents = market.weights.size
    held = market.E.shape[0]
    D = np.empty(n_products)
    for j in range(n_products):
        D[j] = math.exp(delta[j] - market.characteristics[-1, j])
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
        for p in range(rows.size):
            tangents[p, j] = 0.0
    for first in range(0, n_agents, held):
        stop = min(first + held, n_agents)
        if held < n_agents:
            fill_exponentials(market, first, stop)
        for begin in range(first, stop, chunk):
            end = min(begin + chunk, stop)
            p = P[: end - begin]
            E, o = market.E[begin - first : end - first], market.o[begin - first :]
            w, root = market.weights[begin:end], roots[begin:end]
            outside += add_probabilities(E, o, w, root, D, p, shares)
            if rows.size > 0:
                v = slopes[: end - begin]
                draws, c = market.draws[begin:end], market.coefficients[begin:end]
                taste_slopes(draws, c, types, rows, columns, v)
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
        A[j, j] += shares[j]
    return outside


def rows_held(block: MarketBlock, scratch_bytes: int) -> int:
    """Count the agents of the block's largest market whose E is held at once.

    As many as fit the bound on scratch memory, at least one chunk.
    """
    n_agents = largest_count(block.agent_offsets)
    n_products = largest_count(block.product_offsets)
    fitting = scratch_bytes // (8 * max(n_products, 1))
    if fitting >= n_agents:
        return n_agents
    return int(min(n_agents, max(CURVATURE_ROWS, fitting)))


def largest_count(offsets: Integers) -> int:
    """Find the largest market's size among offsets ``(T + 1,)``."""
    return int(np.diff(offsets).max())
