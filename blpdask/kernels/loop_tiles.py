"""Exponentiated utilities of some agents at a time, agents side by side.

For a tile of agents i, all products j of a market and no nests,

    E_ij = 2^(v_ij - h_i),   o_i = 2^(-h_i),   P_ij = E_ij / (o_i + Σ_k E_ik),
    v_ij = (δ_j + Σ_k x_jk c_ik) log2(e),

where h_i is the agent's highest v if anybody's of the tile is large, else zero. Agents
are innermost, so that every loop is vectorised, whoever owns what. Where nobody's can
be large, Σ_k max_j |x_jk| max_i |c_ik| says so, E, o and what purchases are worth are
filled while a product's row is in cache.
"""

from __future__ import annotations

import math

import numpy as np

from .loop_compiler import exact, reorder
from .loop_market import LARGE_UTILITY, largest
from .loop_numeric import exponential, power_of_two

#: Probabilities of a tile, J times its agents, stay in a core's cache.
TILE = 2**15
#: Agents of a tile, at least, so that loops over them are worth starting.
FEWEST_AGENTS = 32
#: Characteristics of a product that are multiplied at a time.
UNROLLED = 3
#: Numbers that a line of a core's cache holds.
NUMBERS_OF_LINE = 8
#: What exponents of two are to those of e.
TO_TWO = 1.4426950408889634
#: Powers of two below this one are as good as zero, and above it are numbers.
_LOWEST = -1020.0


@exact
def agents_of_tile(n_products, n_agents):
    """Count the agents of a tile, in whole cache lines; the last may have fewer."""
    n_tiles = math.ceil(n_agents / max(FEWEST_AGENTS, TILE // n_products))
    n_lines = math.ceil(n_agents / (n_tiles * NUMBERS_OF_LINE))
    return NUMBERS_OF_LINE * n_lines


@exact
def rows_of_lines(n_rows, n):
    """Allocate rows of n numbers or a few more, each from a cache line's start on.

    What is read eight numbers at a time then is of one line, not of two.
    """
    width = NUMBERS_OF_LINE * math.ceil(n / NUMBERS_OF_LINE)
    memory = np.empty(n_rows * width + NUMBERS_OF_LINE)
    past = memory.ctypes.data // memory.itemsize % NUMBERS_OF_LINE
    first = NUMBERS_OF_LINE - np.int64(past)
    return memory[first : first + n_rows * width].reshape((n_rows, width))


@exact
def characteristics_of(X2, delta):
    """Arrange x_jk and δ_j times log2(e) as ``(J, K + 1)``, δ in the last column.

    ``X2`` (K2, J); K is K2 or, columns of zeros added, the next multiple of
    :data:`UNROLLED`.
    """
    width = UNROLLED * max(1, math.ceil(X2.shape[0] / UNROLLED))
    found = np.zeros((delta.size, width + 1))
    for j in range(delta.size):
        for k in range(X2.shape[0]):
            found[j, k] = TO_TWO * X2[k, j]
        found[j, width] = TO_TWO * delta[j]
    return found


@reorder
def fill_coefficients(draws, loadings, types, coefficients):
    """Fill g_k(Σ_l Γ_kl draws_il) into the first rows of coefficients ``(K, I)``.

    Rows without a coefficient are zero.
    """
    n = draws.shape[0]
    coefficients[:] = 0.0
    for k in range(loadings.shape[0]):
        c = coefficients[k]
        for el in range(loadings.shape[1]):
            loading = loadings[k, el]
            for i in range(n):
                c[i] += loading * draws[i, el]
        if types[k] == 1:
            for i in range(n):
                c[i] = exponential(c[i])
        elif types[k] == 2:
            for i in range(n):
                c[i] = 1.0 / (1.0 + math.exp(-c[i]))


@exact
def none_is_large(characteristics, coefficients):
    """Tell whether no v ``(J, I)`` can be large: Σ_k max_j |x_jk| max_i |c_ik| is not.

    Where anything is not a number, some may be.
    """
    width = coefficients.shape[0]
    bound = largest(np.abs(characteristics[:, width]))
    for k in range(width):
        x = largest(np.abs(characteristics[:, k]))
        bound += x * largest(np.abs(coefficients[k]))
    return bound <= TO_TWO * LARGE_UTILITY


@exact
def fill_tile(
    characteristics, coefficients, first, n, small, margins, owners, E, inverse, worth
):
    """Fill E ``(J, tile)`` of n agents from ``first``, 1 / (o_i + Σ_j E_ji), and worth.

    ``coefficients`` (K, I); ``worth`` (owners, tile) is Σ_k m_k E_ki over products of
    each owner. What a tile has beyond n
    is left as it is.
    """
    worth[:] = 0.0
    inverse[:] = 1.0
    if small:
        fill_at_once(
            characteristics,
            coefficients,
            first,
            n,
            margins,
            owners,
            E,
            inverse,
            worth,
        )
    else:
        highest = np.zeros(n)
        fill_utilities(characteristics, coefficients, first, n, E, highest)
        if largest(highest) > TO_TWO * LARGE_UTILITY:
            subtract_highest(E, n, highest, inverse)
        fill_odds(E, n, margins, owners, inverse, worth)
    for i in range(n):
        inverse[i] = 1.0 / inverse[i]


@exact
def fill_choices(characteristics, coefficients, first, n, small, E, total):
    """Fill E ``(J, tile)`` of n agents from ``first``, and o_i + Σ_j E_ji.

    What :func:`fill_tile` does, where nobody owns anything.
    """
    if small:
        fill_and_add(characteristics, coefficients, first, n, E, total)
        return
    n_products, worth = E.shape[0], np.empty((1, E.shape[1]))
    nobody, nothing = np.zeros(n_products, np.int64), np.zeros(n_products)
    fill_tile(
        characteristics,
        coefficients,
        first,
        n,
        small,
        nothing,
        nobody,
        E,
        total,
        worth,
    )
    for i in range(n):
        total[i] = 1.0 / total[i]


@reorder
def fill_and_add(characteristics, coefficients, first, n, E, total):
    """Fill E_ji = 2^v_ji, and 1 + Σ_j E_ji, each number in one go."""
    width = coefficients.shape[0]
    c0, c1, c2 = coefficients[0], coefficients[1], coefficients[2]
    c0, c1, c2 = c0[first:], c1[first:], c2[first:]
    total[:] = 1.0
    for j in range(E.shape[0]):
        e, x = E[j], characteristics[j]
        x0, x1, x2, d = x[0], x[1], x[2], x[width]
        if width == UNROLLED:
            for i in range(n):
                v = d + x0 * c0[i] + x1 * c1[i] + x2 * c2[i]
                e[i] = power_of_two(v)
                total[i] += e[i]
            continue
        for i in range(n):
            e[i] = d
        for k in range(UNROLLED, width):
            c, by = coefficients[k][first:], x[k]
            for i in range(n):
                e[i] += by * c[i]
        for i in range(n):
            v = e[i] + x0 * c0[i] + x1 * c1[i] + x2 * c2[i]
            e[i] = power_of_two(v)
            total[i] += e[i]


@reorder
def fill_at_once(
    characteristics, coefficients, first, n, margins, owners, E, inverse, worth
):
    """Fill E_ji = 2^v_ji, and add it up: in ``inverse`` and, times m_j, by owner."""
    width = coefficients.shape[0]
    for j in range(E.shape[0]):
        e, x, m, of_owner = E[j], characteristics[j], margins[j], worth[owners[j]]
        d = x[width]
        for k in range(0, width, UNROLLED):
            x0, x1, x2 = x[k], x[k + 1], x[k + 2]
            c0 = coefficients[k][first:]
            c1 = coefficients[k + 1][first:]
            c2 = coefficients[k + 2][first:]
            if k == 0:
                for i in range(n):
                    e[i] = d + x0 * c0[i] + x1 * c1[i] + x2 * c2[i]
            else:
                for i in range(n):
                    e[i] += x0 * c0[i] + x1 * c1[i] + x2 * c2[i]
        for i in range(n):
            odds = power_of_two(e[i])
            e[i] = odds
            inverse[i] += odds
            of_owner[i] += m * odds


@reorder
def fill_utilities(characteristics, coefficients, first, n, E, highest):
    """Fill v_ji, and each agent's highest, or 0."""
    width = coefficients.shape[0]
    for j in range(E.shape[0]):
        e, x = E[j], characteristics[j]
        for i in range(n):
            e[i] = x[width]
        for k in range(width):
            c, by = coefficients[k][first:], x[k]
            for i in range(n):
                e[i] += by * c[i]
        for i in range(n):
            highest[i] = e[i] if e[i] > highest[i] else highest[i]


@reorder
def subtract_highest(U, n, highest, o):
    """Subtract each agent's highest h from U and fill 2^-h."""
    for j in range(U.shape[0]):
        u = U[j]
        for i in range(n):
            u[i] -= highest[i]
    for i in range(n):
        o[i] = power_of_two(_LOWEST if -highest[i] < _LOWEST else -highest[i])


@reorder
def fill_odds(U, n, margins, owners, inverse, worth):
    """Overwrite U by E_ji, and add it up: in ``inverse`` and, times m_j, by owner."""
    for j in range(U.shape[0]):
        u, m, of_owner = U[j], margins[j], worth[owners[j]]
        for i in range(n):
            odds = power_of_two(_LOWEST if u[i] < _LOWEST else u[i])
            u[i] = odds
            inverse[i] += odds
            of_owner[i] += m * odds


@reorder
def scale_rows(rows, n, by):
    """Multiply every row ``(n,)`` by a vector."""
    for f in range(rows.shape[0]):
        row = rows[f]
        for i in range(n):
            row[i] *= by[i]
