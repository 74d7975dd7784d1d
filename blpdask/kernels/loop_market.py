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

With nests, products lie nest by nest, what is exponentiated is stretched by
1 / (1 - ρ_h), and sums go by nest (:mod:`blpdask.kernels.loop_nests`).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from ..records import Floats, Integers, MarketBlock
from .loop_compiler import exact, inlined, reorder
from .loop_nests import add_nested_shares, shift_nests
from .loop_numeric import exponential, total
from .loop_product_draws import fill_product_utilities, load_products

#: Agents whose probabilities are held at a time while curvature is accumulated.
CURVATURE_ROWS = 256
#: Utilities up to this size are exponentiated as they are: e^500 squared is finite.
LARGE_UTILITY = 300.0
#: Utility of what is not available: it is never the best.
NEVER = -1e300


class LoopMarket(NamedTuple):
    """One market as the compiled loops see it: inputs, then scratch.

    ``characteristics`` (K2 + 1, J) holds X2 and, in its last row, the reference δ⁰,
    both times ``stretch`` (J,), 1 / (1 - ρ_h) or one; ``coefficients`` (I, K2 + 1)
    those of the agents and a column of ones, so that their product is the stretched
    μ + δ⁰. ``draws`` (I, L), ``weights`` (I,), ``log_shares`` (J,), ``outside`` log S_0
    (NaN where weights leave no outside share). Products lie nest by nest:
    ``nest_offsets`` (H + 1,), and ``nests`` (3, H) with rows ρ_h, log Σ_{j∈h} S_j and
    the place of ρ_h among its free parameters, or -1; H is zero without nests.
    ``availability`` (I, J), or (0, 0). ``product_draws`` (S, I J) draws that differ
    over products, and ``product_loadings`` (S + L + 1, K2 + 1) those of coefficients on
    them, with the types of coefficients in the last row and the places of the draws in
    the last column; of size zero without any. Scratch ``E`` (rows, J) and ``o`` (rows,
    1 + H), where rows is I or, under a memory bound, fewer. Few arrays make calls
    cheap.
    """

    characteristics: Floats
    coefficients: Floats
    draws: Floats
    weights: Floats
    log_shares: Floats
    outside: float
    stretch: Floats
    nest_offsets: Integers
    nests: Floats
    availability: Floats
    product_draws: Floats
    product_loadings: Floats
    E: Floats
    o: Floats


@inlined
def prepare_market(t, block, tastes, rows):
    """Cut market t out of the block and compute its random coefficients.

    At most ``rows`` agents' E are held. Gives the market, and ``(J,)`` places of its
    products among those of the block's market.
    """
    a, b = block.product_offsets[t], block.product_offsets[t + 1]
    c, d = block.agent_offsets[t], block.agent_offsets[t + 1]
    J, n_random = b - a, block.X2.shape[0]
    order, offsets = np.arange(J), np.zeros(1, np.int64)
    weights = block.weights[c:d].copy()
    nests, stretch = np.empty((3, 0)), np.ones(J)
    product_draws, product_loadings = nests[:0], nests[:0]
    if block.nests.size > 0 or block.product_columns.size > 0:
        codes = np.zeros(J, np.int64)
        if block.nests.size > 0:
            codes = block.nests[a:b]
        order, offsets, codes = order_by_nest(codes)
        nests = np.empty((3, codes.size))
        prepare_nests(block.log_shares[a:b], order, offsets, codes, tastes, nests)
        for h in range(codes.size):
            stretch[offsets[h] : offsets[h + 1]] = 1.0 / (1.0 - nests[0, h])
    outside = total(weights)
    log_shares = np.empty(J)
    for j in range(J):
        log_shares[j] = block.log_shares[a + order[j]]
        outside -= math.exp(log_shares[j])
    characteristics = np.empty((n_random + 1, J))
    for k in range(n_random):
        for j in range(J):
            characteristics[k, j] = stretch[j] * block.X2[k, a + order[j]]
    coefficients = np.empty((d - c, n_random + 1))
    random_coefficients(block.draws[c:d], tastes.loadings, tastes.types, coefficients)
    availability = nests[:0]
    if block.availability.size > 0:
        first = block.available_offsets[t]
        availability = np.empty((d - c, J))
        for i in range(d - c):
            for j in range(J):
                availability[i, j] = block.availability[first + i * J + order[j]]
    if block.product_columns.size > 0:
        product_loadings = load_products(block.product_columns, tastes)
        product_draws = np.empty((block.product_columns.size, (d - c) * J))
        first = block.available_offsets[t]
        for s in range(product_draws.shape[0]):
            for i in range(d - c):
                for j in range(J):
                    place = first + i * J + order[j]
                    product_draws[s, i * J + j] = block.product_draws[s, place]
    held = min(rows, d - c)
    market = LoopMarket(
        characteristics,
        coefficients,
        block.draws[c:d],
        weights,
        log_shares,
        math.log(outside) if outside > 0 else math.nan,
        stretch,
        offsets,
        nests,
        availability,
        product_draws,
        product_loadings,
        np.empty((held, J)),
        np.empty((held, 1 + nests.shape[1])),
    )
    return market, order


@exact
def order_by_nest(nests):
    """Sort places of products by nest, keeping their order within; and list the nests.

    Returns places ``(J,)``, offsets ``(H + 1,)`` and codes of the nests ``(H,)``.
    """
    order = np.argsort(nests, kind="mergesort")
    offsets, codes = np.zeros(nests.size + 1, np.int64), np.empty(nests.size, np.int64)
    n_nests = 0
    for place in range(nests.size):
        code = nests[order[place]]
        if place == 0 or code != codes[n_nests - 1]:
            offsets[n_nests] = place
            codes[n_nests] = code
            n_nests += 1
    offsets[n_nests] = nests.size
    return order, offsets[: n_nests + 1], codes[:n_nests]


@exact
def prepare_nests(log_shares, order, offsets, codes, tastes, nests):
    """Fill ρ_h, log Σ_{j∈h} S_j and places of ρ_h into ``nests`` ``(3, H)``.

    ρ_h is NaN, and so is what follows from it, where it is not below one; where there
    are no nests, one of all products has ρ = 0.
    """
    for h in range(codes.size):
        inside = 0.0
        for j in range(offsets[h], offsets[h + 1]):
            inside += math.exp(log_shares[order[j]])
        rho = tastes.rho[codes[h]] if tastes.rho.size > 0 else 0.0
        nests[0, h] = rho if rho < 1.0 else math.nan
        nests[1, h] = math.log(inside)
        nests[2, h] = tastes.rho_places[codes[h]] if tastes.rho.size > 0 else -1


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


@exact
def largest(values):
    """Find the largest element, at least zero; what it says of NaN is undefined.

    Numbers that are not negative are in the order of their bits, read as integers, of
    which the largest is found several at a time.
    """
    bits = values.view(np.int64)
    found = np.int64(0)
    for n in range(bits.size):
        found = max(found, bits[n])
    return np.int64(found).view(np.float64)


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
    if market.product_draws.shape[0] > 0:
        fill_product_utilities(market, first, rows)
    if market.availability.size > 0:
        hide_unavailable(rows, market.availability[first:stop])
    for i in range(stop - first):
        market.o[i, 0] = 1.0
    if market.nests.shape[1] > 0:
        shift_nests(rows, market.nest_offsets, market.nests[0], market.o)
    elif largest(flat) > LARGE_UTILITY:
        for i in range(stop - first):
            highest = largest(rows[i])
            for j in range(rows.shape[1]):
                rows[i, j] -= highest
            market.o[i, 0] = math.exp(-highest)
    exponentiate(flat)
    if market.availability.size > 0:
        multiply_rows(rows, market.availability[first:stop])


@exact
def hide_unavailable(rows, availability):
    """Keep utilities ``(n, J)`` of what is not available from being the best."""
    for i in range(rows.shape[0]):
        for j in range(rows.shape[1]):
            if availability[i, j] == 0.0:
                rows[i, j] = NEVER


@reorder
def multiply_rows(rows, by):
    """Multiply rows ``(n, J)`` by others, element by element."""
    for i in range(rows.shape[0]):
        for j in range(rows.shape[1]):
            rows[i, j] *= by[i, j]


@inlined
def move_reference(market, delta):
    """Make ``delta`` the reference point and fill E where it is held whole."""
    reference = market.characteristics[-1]
    for j in range(delta.size):
        reference[j] = market.stretch[j] * delta[j]
    if market.E.shape[0] >= market.weights.size:
        fill_exponentials(market, np.int64(0), market.weights.size)


@reorder
def add_shares(E, o, weights, D, sums):
    """Add Σ_i a_i E_ij to ``sums`` ``(J,)`` and return Σ_i a_i o_i."""
    outside = 0.0
    for i in range(E.shape[0]):
        total = 0.0
        for j in range(D.size):
            total += E[i, j] * D[j]
        a = weights[i] / (o[i, 0] + total)
        outside += a * o[i, 0]
        for j in range(D.size):
            sums[j] += a * E[i, j]
    return outside


@inlined
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
        if market.nests.shape[1] > 0:
            offsets, rho = market.nest_offsets, market.nests[0]
            outside += add_nested_shares(E, market.o, w, D, offsets, rho, shares)
        else:
            outside += add_shares(E, market.o, w, D, shares)
    for j in range(shares.size):
        shares[j] *= D[j]
    return outside


def rows_held(block: MarketBlock, scratch_bytes: int) -> int:
    """Count the agents of the block's largest market whose E is held at once.

    As many as fit the bound on scratch memory, at least one chunk; all of the block's
    where they would fit side by side.
    """
    if 8 * block.n_products * block.weights.size <= scratch_bytes:
        return block.weights.size
    n_agents = largest_count(block.agent_offsets)
    n_products = largest_count(block.product_offsets)
    fitting = scratch_bytes // (8 * max(n_products, 1))
    if fitting >= n_agents:
        return n_agents
    return int(min(n_agents, max(CURVATURE_ROWS, fitting)))


def largest_count(offsets: Integers) -> int:
    """Find the largest market's size among offsets ``(T + 1,)``."""
    return int(np.diff(offsets).max())
