"""A market without nests as its first-order conditions see it, agents side by side.

Products are sorted by owner, so that what an owner's products have in common is formed
once. Probabilities are held tile of agents by tile (:mod:`blpdask.kernels.loop_tiles`),
all of them or, under a bound on memory, one tile that is filled again when needed.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from ..records import Floats, Integers
from .loop_compiler import exact, reorder
from .loop_tiles import (
    agents_of_tile,
    characteristics_of,
    fill_coefficients,
    fill_tile,
    none_is_large,
    rows_of_lines,
    scale_rows,
)


class PlainMarket(NamedTuple):
    """One market: inputs, then scratch.

    ``characteristics`` (J, K + 1) and ``coefficients`` (K, I) as in
    :mod:`blpdask.kernels.loop_tiles`, ``X2`` (K2, J) as in the block; ``draws`` (I, L)
    and ``weights`` (I,); ``owners`` (J,) codes, ``groups`` (F + 1,) first products of
    owners, ``ownership`` (J, J) H, or (0, 0); ``slopes`` (R + 1, J) α_j and ∂x_jr/∂p
    for the r in ``priced``. ``small`` says that no utility is large. Scratch ``P``
    (tiles, J, tile).
    """

    characteristics: Floats
    coefficients: Floats
    X2: Floats
    draws: Floats
    weights: Floats
    owners: Integers
    groups: Integers
    ownership: Floats
    slopes: Floats
    priced: Integers
    small: bool
    P: Floats


@exact
def is_plain(block):
    """Tell whether a block has no nests, availability or draws of products."""
    plain = block.nests.size == 0 and block.availability.size == 0
    return plain and block.product_columns.size == 0


@exact
def prepare_plain(t, order, block, tastes, supply, delta, rows):
    """Cut market t out of the block, its products in some order.

    ``order`` (J,) has owners side by side; ``delta`` (J,) is in the block's order.
    About ``rows`` agents' P are held.
    """
    a, n = block.product_offsets[t], order.size
    c, d = block.agent_offsets[t], block.agent_offsets[t + 1]
    X2 = np.empty((block.X2.shape[0], n))
    for k in range(X2.shape[0]):
        for j in range(n):
            X2[k, j] = block.X2[k, a + order[j]]
    characteristics = characteristics_of(X2, delta[order])
    coefficients = np.empty((characteristics.shape[1] - 1, d - c))
    draws = block.draws[c:d]
    fill_coefficients(draws, tastes.loadings, tastes.types, coefficients)
    H, owners = np.empty((0, 0)), supply.owners[a + order]
    if supply.ownership.size > 0:
        H, owners = np.empty((n, n)), np.zeros(n, np.int64)
        first = supply.square_offsets[t]
        for j in range(n):
            for k in range(n):
                H[j, k] = supply.ownership[first + order[j] * n + order[k]]
    slopes = np.empty((supply.priced.size + 1, n))
    for j in range(n):
        slopes[0, j] = supply.alpha[a + order[j]]
        for r in range(supply.priced.size):
            slopes[r + 1, j] = supply.X2_by_prices[r, a + order[j]]
    tile = agents_of_tile(n, d - c)
    n_tiles = math.ceil((d - c) / tile) if rows >= d - c else 1
    return PlainMarket(
        characteristics,
        coefficients,
        X2,
        draws,
        block.weights[c:d],
        owners,
        first_places(owners),
        H,
        slopes,
        supply.priced,
        none_is_large(characteristics, coefficients),
        rows_of_lines(n_tiles * n, tile).reshape((n_tiles, n, tile)),
    )


@exact
def first_places(owners):
    """Find where runs of equal codes start, and where the last one ends."""
    starts, n_groups = np.zeros(owners.size + 1, np.int64), 1
    for j in range(1, owners.size):
        if owners[j] != owners[j - 1]:
            starts[n_groups] = j
            n_groups += 1
    starts[n_groups] = owners.size
    return starts[: n_groups + 1]


@exact
def probabilities_of_tile(market, number, anew):
    """Give P ``(J, tile)`` of a tile, computed ``anew`` or where it was not kept."""
    held, n_products, tile = market.P.shape
    n_agents = market.weights.size
    first = number * tile
    P = market.P[number % held]
    if anew or held * tile < n_agents:
        n = min(tile, n_agents - first)
        inverse, worth = np.empty(tile), np.empty((1, tile))
        nobody = np.zeros(n_products, np.int64)
        fill_tile(
            market.characteristics,
            market.coefficients,
            first,
            n,
            market.small,
            np.zeros(n_products),
            nobody,
            P,
            inverse,
            worth,
        )
        scale_rows(P, n, inverse)
    return P


@reorder
def fill_weighted(weights, coefficients, slopes, priced, first, n, P, scaled, W):
    """Fill w_i P_ij and W_ij = w_i α_ij P_ij, ``(J, tile)``, n agents from ``first``.

    What is passed is a market's, in which few arrays at a time make calls cheap.
    """
    w = weights[first:]
    for j in range(P.shape[0]):
        p, x, y = P[j], scaled[j], W[j]
        a, b, c = slopes[0, j], 0.0, w
        if priced.size > 0:
            b, c = slopes[1, j], coefficients[priced[0]][first:]
        for i in range(n):
            z = w[i] * p[i]
            x[i] = z
            y[i] = (a + b * c[i]) * z
        for r in range(1, priced.size):
            b, c = slopes[r + 1, j], coefficients[priced[r]][first:]
            for i in range(n):
                y[i] += b * (c[i] * x[i])


@reorder
def add_dots(row, rows, begin, end, n, sums):
    """Add the dot product of a row with each of ``rows[begin:end]`` to ``sums``."""
    for k in range(begin, end - 3, 4):
        x0, x1, x2, x3 = rows[k], rows[k + 1], rows[k + 2], rows[k + 3]
        s0 = s1 = s2 = s3 = 0.0
        for i in range(n):
            s0 += row[i] * x0[i]
            s1 += row[i] * x1[i]
            s2 += row[i] * x2[i]
            s3 += row[i] * x3[i]
        sums[k] += s0
        sums[k + 1] += s1
        sums[k + 2] += s2
        sums[k + 3] += s3
    for k in range(end - (end - begin) % 4, end):
        x, s = rows[k], 0.0
        for i in range(n):
            s += row[i] * x[i]
        sums[k] += s


@reorder
def add_dots_of_two(row, other, rows, begin, end, n, sums, sums_of_other):
    """Do for two rows at once what :func:`add_dots` does for one.

    Each of ``rows`` is read from cache once for both.
    """
    for k in range(begin, end - 3, 4):
        x0, x1, x2, x3 = rows[k], rows[k + 1], rows[k + 2], rows[k + 3]
        s0 = s1 = s2 = s3 = t0 = t1 = t2 = t3 = 0.0
        for i in range(n):
            s0 += row[i] * x0[i]
            s1 += row[i] * x1[i]
            s2 += row[i] * x2[i]
            s3 += row[i] * x3[i]
            t0 += other[i] * x0[i]
            t1 += other[i] * x1[i]
            t2 += other[i] * x2[i]
            t3 += other[i] * x3[i]
        sums[k] += s0
        sums[k + 1] += s1
        sums[k + 2] += s2
        sums[k + 3] += s3
        sums_of_other[k] += t0
        sums_of_other[k + 1] += t1
        sums_of_other[k + 2] += t2
        sums_of_other[k + 3] += t3
    for k in range(end - (end - begin) % 4, end):
        x, s, t = rows[k], 0.0, 0.0
        for i in range(n):
            s += row[i] * x[i]
            t += other[i] * x[i]
        sums[k] += s
        sums_of_other[k] += t


@reorder
def add_combinations(by, rows, begin, end, n, sums):
    """Add Σ_k by_mk rows_k, k from ``begin`` to ``end``, to ``sums`` ``(M, tile)``.

    Two sums at a time, so that each of ``rows`` is read from cache once for both.
    """
    for m in range(0, sums.shape[0] - 1, 2):
        found, other, b, c = sums[m], sums[m + 1], by[m], by[m + 1]
        for k in range(begin, end - 3, 4):
            x0, x1, x2, x3 = rows[k], rows[k + 1], rows[k + 2], rows[k + 3]
            b0, b1, b2, b3 = b[k], b[k + 1], b[k + 2], b[k + 3]
            c0, c1, c2, c3 = c[k], c[k + 1], c[k + 2], c[k + 3]
            for i in range(n):
                found[i] += b0 * x0[i] + b1 * x1[i] + b2 * x2[i] + b3 * x3[i]
                other[i] += c0 * x0[i] + c1 * x1[i] + c2 * x2[i] + c3 * x3[i]
        for k in range(end - (end - begin) % 4, end):
            x, b0, c0 = rows[k], b[k], c[k]
            for i in range(n):
                found[i] += b0 * x[i]
                other[i] += c0 * x[i]
    if sums.shape[0] % 2 == 1:
        add_combination(by[-1], rows, begin, end, n, sums[-1])


@reorder
def add_combination(by, rows, begin, end, n, found):
    """Add Σ_k by_k rows_k, k from ``begin`` to ``end``, to ``found`` ``(tile,)``."""
    for k in range(begin, end - 3, 4):
        x0, x1, x2, x3 = rows[k], rows[k + 1], rows[k + 2], rows[k + 3]
        b0, b1, b2, b3 = by[k], by[k + 1], by[k + 2], by[k + 3]
        for i in range(n):
            found[i] += b0 * x0[i] + b1 * x1[i] + b2 * x2[i] + b3 * x3[i]
    for k in range(end - (end - begin) % 4, end):
        x, c = rows[k], by[k]
        for i in range(n):
            found[i] += c * x[i]
