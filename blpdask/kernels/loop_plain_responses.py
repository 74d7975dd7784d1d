"""How shares of a market without nests respond, agents side by side.

Equations are in :mod:`blpdask.kernels.contract`. So many agents at a time
(:mod:`blpdask.kernels.loop_tiles`), with E_ij and o_i + Σ_l E_il = d_i,

    ∂s_j/∂x_k = 1[j=k] Σ_i W_ij d_i - Σ_i E_ij W_ik,   W_ik = w_i α_ik E_ik / d_i²,

all of them products of rows of W and E, if d is one more row of E. The sums are
symmetric, so that half of them are enough, where α_ij is the same for all products j,
d's own row among them. When product j is gone, k gains

    Σ_i w_i P_ij P_ik / (1 - P_ij) = Σ_i V_ij E_ik,   V_ij = w_i P_ij / Σ_{l≠j} E_il,

where the outside option is one of the choices l. With t_i the largest of an agent's E
and r_i the sum of all others, Σ_{l≠j} E_il is r_i where E_ij is t_i, else r_i + t_i -
E_ij, from which at most half is subtracted.
"""

from __future__ import annotations

import numpy as np

from .loop_compiler import exact, reorder
from .loop_numeric import power_of_two
from .loop_plain_market import add_dots
from .loop_products import add_products, add_products_of_four, in_fours
from .loop_removals import CERTAIN, add_certain_agent
from .loop_tiles import (
    TO_TWO,
    agents_of_tile,
    characteristics_of,
    fill_choices,
    fill_coefficients,
    fill_utilities,
    none_is_large,
    rows_of_lines,
    subtract_highest,
)

#: Powers of two below this one are as good as zero, and above it are numbers.
_LOWEST = -1020.0


@exact
def plain_jacobian(t, block, tastes, supply, delta, found, shares):
    """Fill ∂s_j/∂x_k ``(J, J)`` and s ``(J,)`` of market t at ``delta`` (J,)."""
    c, d = block.agent_offsets[t], block.agent_offsets[t + 1]
    a, n, weights = block.product_offsets[t], delta.size, block.weights[c:d]
    characteristics = characteristics_of(block.X2[:, a : a + n], delta)
    coefficients = rows_of_lines(characteristics.shape[1] - 1, d - c)
    fill_coefficients(block.draws[c:d], tastes.loadings, tastes.types, coefficients)
    small = none_is_large(characteristics, coefficients)
    rows, tile = in_fours(n + 1), agents_of_tile(n, d - c)
    slopes = np.zeros((supply.priced.size + 1, rows))
    slopes[0, :n] = supply.alpha[a : a + n]
    slopes[1:, :n] = supply.X2_by_prices[:, a : a + n]
    half = are_alike(slopes[:, :n])
    slopes[:, n] = slopes[:, 0]
    E, by = rows_of_lines(rows, tile), rows_of_lines(slopes.shape[0], tile)
    E[n:] = 0.0
    total, scale, sums = E[n], by[0], np.zeros((rows, rows))
    shares[:] = 0.0
    for first in range(0, d - c, tile):
        size = min(tile, d - c - first)
        fill_choices(characteristics, coefficients, first, size, small, E[:n], total)
        for i in range(size):
            scale[i] = weights[first + i] / total[i]
        add_dots(scale, E, 0, n, size, shares)
        for i in range(size):
            scale[i] /= total[i]
        for r in range(supply.priced.size):
            c_r, by_r = coefficients[supply.priced[r]], by[r + 1]
            for i in range(size):
                by_r[i] = scale[i] * c_r[first + i]
        add_weighted_products(E, slopes, by, size, half, sums)
    lay_out(sums, half, found)


@exact
def are_alike(slopes):
    """Tell whether rows ``(R + 1, J)`` are the same for all products."""
    for r in range(slopes.shape[0]):
        for j in range(slopes.shape[1]):
            if slopes[r, j] != slopes[r, 0]:
                return False
    return True


@exact
def add_weighted_products(E, slopes, by, n, half, sums):
    """Add Σ_i W_ij E_ik to ``sums``, W_ij = E_ij Σ_r slopes_rj by_ri.

    Rows of W are made when they are needed. Where the sums are symmetric ``half`` of
    them, up to the diagonal, are enough.
    """
    W = rows_of_lines(4, n)
    for j in range(0, E.shape[0], 4):
        fill_slopes(E[j : j + 4], slopes[:, j : j + 4], by, n, W)
        end = j + 4 if half else E.shape[0]
        add_products_of_four(W, E[:end], n, sums[j : j + 4])


@reorder
def fill_slopes(E, slopes, by, n, W):
    """Fill W_ji = E_ji Σ_r slopes_rj by_ri ``(J, tile)``."""
    for j in range(W.shape[0]):
        e, x, a, b = E[j], W[j], slopes[0, j], by[0]
        if slopes.shape[0] == 1:
            for i in range(n):
                x[i] = a * b[i] * e[i]
            continue
        f, c = slopes[1, j], by[1]
        for i in range(n):
            x[i] = (a * b[i] + f * c[i]) * e[i]
        for r in range(2, slopes.shape[0]):
            f, c = slopes[r, j], by[r]
            for i in range(n):
                x[i] += f * c[i] * e[i]


@reorder
def lay_out(sums, half, found):
    """Fill ∂s_j/∂x_k out of Σ_i W_ij E_ik, which is overwritten by its transpose."""
    n = found.shape[0]
    for j in range(n):
        for k in range(j):
            above = sums[k, j]
            sums[k, j] = sums[j, k]
            if not half:
                sums[j, k] = above
    for j in range(n):
        for k in range(n):
            found[j, k] = -sums[j, k]
        found[j, j] += sums[n, j] if half else sums[j, n]


@exact
def plain_removals(t, block, tastes, delta, gained):
    """Fill what k gains where j is gone, the outside option last, ``(J, J + 1)``.

    What j itself would gain is zero, so that rows sum to s.
    """
    c, d = block.agent_offsets[t], block.agent_offsets[t + 1]
    n, n_agents, weights = delta.size, d - c, block.weights[c:d]
    a = block.product_offsets[t]
    X2, utility = np.zeros((block.X2.shape[0], n + 1)), np.zeros(n + 1)
    X2[:, :n] = block.X2[:, a : a + n]
    utility[:n] = delta
    characteristics = characteristics_of(X2, utility)
    coefficients = np.empty((characteristics.shape[1] - 1, n_agents))
    fill_coefficients(block.draws[c:d], tastes.loadings, tastes.types, coefficients)
    small = none_is_large(characteristics, coefficients)
    tile = agents_of_tile(n + 1, n_agents)
    E, V = np.zeros((in_fours(n + 1), tile)), np.zeros((in_fours(n), tile))
    sums = np.zeros((V.shape[0], E.shape[0]))
    highest, top, rest = np.empty(tile), np.empty(tile), np.empty(tile)
    whole, rho = np.array([0, n]), np.zeros(1)
    gained[:] = 0.0
    for first in range(0, n_agents, tile):
        size = min(tile, n_agents - first)
        highest[:] = 0.0
        fill_utilities(characteristics, coefficients, first, size, E[: n + 1], highest)
        if not small:
            subtract_highest(E[: n + 1], size, highest, rest)
        fill_odds_and_rest(E[: n + 1], size, top, rest)
        scale = weights[first : first + size] / (rest[:size] + top[:size])
        if not small:
            for i in range(size):
                if rest[i] < CERTAIN:
                    v = utilities_of(characteristics, coefficients, first + i)
                    add_certain_agent(v[:n], whole, rho, weights[first + i], gained)
                    scale[i] = 0.0
        fill_freed(E, size, top, rest, scale, V[:n])
        add_products(V, E, size, sums)
    gained += sums[:n, : n + 1]
    for j in range(n):
        gained[j, j] = 0.0


@reorder
def fill_odds_and_rest(U, n, top, rest):
    """Overwrite U by 2^U, fill an agent's largest, and the sum of all others.

    Whatever is not a number stays so.
    """
    top[:] = 0.0
    rest[:] = 0.0
    for j in range(U.shape[0]):
        u = U[j]
        for i in range(n):
            odds = power_of_two(_LOWEST if u[i] < _LOWEST else u[i])
            u[i] = odds
            rest[i] += top[i] if top[i] < odds else odds
            top[i] = odds if odds > top[i] else top[i]


@exact
def utilities_of(characteristics, coefficients, agent):
    """Compute an agent's utilities ``(J + 1,)``."""
    v = characteristics[:, -1] / TO_TWO
    for j in range(v.size):
        for k in range(coefficients.shape[0]):
            v[j] += characteristics[j, k] / TO_TWO * coefficients[k, agent]
    return v


@reorder
def fill_freed(E, n, top, rest, scale, V):
    """Fill V ``(J, tile)``; ``scale`` is w_i / Σ_l E_il, zero for whom to leave out."""
    for j in range(V.shape[0]):
        e, v = E[j], V[j]
        for i in range(n):
            others = rest[i] + (top[i] - e[i])
            others = rest[i] if e[i] >= top[i] else others
            freed = scale[i] * e[i] / others
            v[i] = freed if scale[i] != 0.0 else 0.0
