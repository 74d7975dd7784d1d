"""Expectations of functions of first and second choices, for some agents of a market.

Equations are in :mod:`blpdask.kernels.contract`. With p = (P_i0, P_i1, …) over all
choices, groups g that are removed together (the outside option is one of its own) and
π_g = Σ_{j∈g} p_j, what moves E_i along p is y = ∂E_i/∂p. Without nests

    E_i = Σ_g 1 / (1 - π_g) Σ_{j∈g} p_j G_j,   G_j = Σ_{k∉g} p_k f_jk,
    y_j = G_j / (1 - π_g) + Q_g / (1 - π_g)² + Σ_{l∉g} p_l f_lj / (1 - π_l),
    Q_g = Σ_{j∈g} p_j G_j,

of which products f_jk = c_j e_k need J and not J² terms. With nests

    E_i = Σ_g Σ_k z_gk (p_k^-g - p_k),   z_gk = Σ_{j∈g} p_j / π_g f_jk,   k ∉ g,

where p^-g are probabilities with g gone, which move as nested ones do. Either way y
takes the place of f in the slopes of first choices' expectations.
"""

from __future__ import annotations

import math

import numpy as np

from .loop_compiler import exact
from .loop_nests import entropy, log_conditionals

#: Share of a group above which 1 - π_g is added up of the others'.
LARGE_GROUP = 0.5


@exact
def fill_common(functions, s, t, a, order, firsts, seconds):
    """Fill what a shape has of first and of second choices alone, ``(1 + J,)`` each.

    ``a`` is the first product of market t; products are put nest by nest.
    """
    firsts[:] = 1.0
    seconds[:] = 1.0
    for r in range(3):
        for which in range(2):
            terms = functions.choice_terms if which == 0 else functions.second_terms
            filled = firsts if which == 0 else seconds
            term = terms[s, r]
            if term >= 0:
                filled[0] *= functions.choices[term, a + t]
                for j in range(order.size):
                    filled[1 + j] *= functions.choices[term, a + t + 1 + order[j]]


@exact
def multiply_tables(functions, terms, s, t, order, agent, filled):
    """Multiply one agent's ``filled`` ``(1 + J,)`` by tables of a shape."""
    for r in range(3):
        term = terms[s, r]
        if term >= 0:
            place = functions.table_offsets[t] + agent * filled.size
            filled[0] *= functions.tables[term, place]
            for j in range(order.size):
                filled[1 + j] *= functions.tables[term, place + 1 + order[j]]


@exact
def fill_groups(functions, removal, t, a, order, codes):
    """Fill codes of the groups ``(1 + J,)`` that choices are removed with."""
    codes[0] = functions.groups[removal, a + t]
    for j in range(order.size):
        codes[1 + j] = functions.groups[removal, a + t + 1 + order[j]]
    return codes.max() + 1


@exact
def is_product(functions, s):
    """Tell whether a shape has no factor that mixes first and second choices."""
    for r in range(3):
        if functions.pair_terms[s, r] >= 0 or functions.triple_terms[s, r] >= 0:
            return False
    return True


@exact
def fill_square(functions, s, t, order, agent, firsts, seconds, f):
    """Fill one agent's f_jk ``(1 + J, 1 + J)``."""
    n = firsts.size
    for j in range(n):
        for k in range(n):
            f[j, k] = firsts[j] * seconds[k]
    for r in range(3):
        pair, triple = functions.pair_terms[s, r], functions.triple_terms[s, r]
        if pair >= 0:
            place = functions.pair_offsets[t]
            multiply_square(functions.pairs[pair], place, order, f)
        if triple >= 0:
            place = functions.triple_offsets[t] + agent * n * n
            multiply_square(functions.triples[triple], place, order, f)


@exact
def multiply_square(values, place, order, f):
    """Multiply f by what lies from ``place``, first choices first, in data's order."""
    n = f.shape[0]
    for j in range(n):
        row = 0 if j == 0 else 1 + order[j - 1]
        for k in range(n):
            column = 0 if k == 0 else 1 + order[k - 1]
            f[j, k] *= values[place + row * n + column]


@exact
def fill_remaining(p, codes, n_groups, shares, remaining):
    """Fill π_g and 1 - π_g ``(G,)``."""
    shares[:] = 0.0
    for j in range(p.size):
        shares[codes[j]] += p[j]
    for g in range(n_groups):
        remaining[g] = 1.0 - shares[g]
        if shares[g] > LARGE_GROUP:
            remaining[g] = 0.0
            for j in range(p.size):
                if codes[j] != g:
                    remaining[g] += p[j]


@exact
def product_expectation(p, codes, remaining, c, e, y):
    """Compute E of f_jk = c_j e_k, and fill y ``(1 + J,)``, without nests."""
    n_groups = remaining.size
    F, S = np.zeros(n_groups), np.zeros(n_groups)
    for j in range(p.size):
        F[codes[j]] += p[j] * c[j]
        S[codes[j]] += p[j] * e[j]
    total, ratios, E = S.sum(), 0.0, 0.0
    for g in range(n_groups):
        if remaining[g] > 0.0:
            E += F[g] * (total - S[g]) / remaining[g]
            ratios += F[g] / remaining[g]
    for j in range(p.size):
        g = codes[j]
        y[j] = e[j] * ratios
        if remaining[g] > 0.0:
            others, ratio = (total - S[g]) / remaining[g], F[g] / remaining[g]
            y[j] += c[j] * others + ratio * others - e[j] * ratio
    return E


@exact
def square_expectation(p, codes, remaining, f, y):
    """Compute E of any f ``(1 + J, 1 + J)``, and fill y ``(1 + J,)``, without nests."""
    n = p.size
    Q = np.zeros(remaining.size)
    y[:] = 0.0
    for j in range(n):
        g = codes[j]
        if remaining[g] > 0.0:
            gained, weight = 0.0, p[j] / remaining[g]
            for k in range(n):
                if codes[k] != g:
                    gained += p[k] * f[j, k]
                    y[k] += weight * f[j, k]
            y[j] += gained / remaining[g]
            Q[g] += p[j] * gained
    E = 0.0
    for j in range(n):
        g = codes[j]
        if remaining[g] > 0.0:
            y[j] += Q[g] / remaining[g] ** 2
    for g in range(remaining.size):
        if remaining[g] > 0.0:
            E += Q[g] / remaining[g]
    return E


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
def add_nested_adjoint(P, Q, M, f, mean, offsets, rho, places, logs, B, by_rho):
    """Add one agent's B ``(J,)``, and slopes by ρ at given utilities, ``(R,)``.

    ``P``, ``Q``, ``logs`` (J,), ``M`` (H,), ``f`` (1 + J,), of which ``mean`` is the
    expectation; ``logs`` is log Q, availability apart.
    """
    for h in range(rho.size):
        first, stop = offsets[h], offsets[h + 1]
        within = 0.0
        for j in range(first, stop):
            within += P[j] * f[1 + j]
        for j in range(first, stop):
            own = f[1 + j] - (1.0 - rho[h]) * mean
            B[j] += P[j] * own - rho[h] * Q[j] * within
        place = int(places[h])
        if place >= 0 and by_rho.size > 0:
            found, E = 0.0, entropy(Q, logs, first, stop)
            for j in range(first, stop):
                found += P[j] * f[1 + j] * logs[j]
            found += rho[h] * E * within
            by_rho[place] += found / (1.0 - rho[h]) + M[h] * E * mean


@exact
def nested_expectation(market, agent, E, o, codes, n_groups, f, B, by_rho):
    """Compute one agent's E of f ``(1 + J, 1 + J)``; add B and slopes by ρ.

    ``E`` (J,) and ``o`` (1 + H,) are the agent's exponentials.
    """
    offsets, rho, places = market.nest_offsets, market.nests[0], market.nests[2]
    J, n_nests = E.size, rho.size
    available = np.empty(0)
    if market.availability.size > 0:
        available = market.availability[agent]
    P, Q, logs, M = np.empty(J), np.empty(J), np.empty(J), np.empty(n_nests)
    p, z, y = np.empty(J + 1), np.empty(J + 1), np.zeros(J + 1)
    p[0] = remove_group(E, o, offsets, rho, codes, -1, P, Q, M)
    p[1:] = P
    left, left_Q = np.empty(J), np.empty(J)
    gained, left_M = np.empty(J + 1), np.empty(n_nests)
    found = 0.0
    for g in range(n_groups):
        share = 0.0
        for j in range(J + 1):
            share += p[j] if codes[j] == g else 0.0
        if not share > 0.0:
            continue
        gained[0] = remove_group(E, o, offsets, rho, codes, g, left, left_Q, left_M)
        gained[1:] = left
        z[:] = 0.0
        mean = 0.0
        for j in range(J + 1):
            if codes[j] == g:
                gain = 0.0
                for k in range(J + 1):
                    if codes[k] != g:
                        gain += (gained[k] - p[k]) * f[j, k]
                        z[k] += p[j] / share * f[j, k]
                y[j] += gain / share
                mean += p[j] / share * gain
        found += mean
        for j in range(J + 1):
            y[j] -= mean / share if codes[j] == g else z[j]
        log_conditionals(left_Q, available, logs)
        average = 0.0
        for k in range(J + 1):
            average += z[k] * gained[k]
        add_nested_adjoint(
            left, left_Q, left_M, z, average, offsets, rho, places, logs, B, by_rho
        )
    log_conditionals(Q, available, logs)
    average = 0.0
    for j in range(J + 1):
        average += y[j] * p[j]
    add_nested_adjoint(P, Q, M, y, average, offsets, rho, places, logs, B, by_rho)
    return found


@exact
def is_plain(market):
    """Tell whether nests, if any, change nothing."""
    for h in range(market.nests.shape[1]):
        if market.nests[0, h] != 0.0 or market.nests[2, h] >= 0:
            return False
    return True


@exact
def fill_second_choices(
    functions, s, t, a, order, market, begin, where, P, means, B, by_rho
):
    """Fill E_i and B, and slopes by ρ at given utilities, of agents from ``begin``.

    Parameters
    ----------
    functions, s
        A shape of first and second choices.
    t, a, order
        The market's place, its first product, and where its products were.
    market, begin, where
        The market, its first agent here, and that agent's row of E.
    P : (n, J)
        Probabilities.
    means, B, by_rho : (n,), (n, J), (n, R)
        Filled.
    """
    n = P.shape[1] + 1
    common, seconds = np.empty(n), np.empty(n)
    c, e, codes = np.empty(n), np.empty(n), np.empty(n, np.int64)
    fill_common(functions, s, t, a, order, common, seconds)
    n_groups = fill_groups(functions, functions.removals[s], t, a, order, codes)
    plain, product = is_plain(market), is_product(functions, s)
    f = np.empty((0, 0)) if plain and product else np.empty((n, n))
    p, y = np.empty(n), np.empty(n)
    shares, remaining = np.empty(n_groups), np.empty(n_groups)
    for i in range(P.shape[0]):
        c[:], e[:] = common, seconds
        multiply_tables(functions, functions.table_terms, s, t, order, begin + i, c)
        second = functions.second_table_terms
        multiply_tables(functions, second, s, t, order, begin + i, e)
        if f.size > 0:
            fill_square(functions, s, t, order, begin + i, c, e, f)
        B[i] = 0.0
        E, o = market.E[where + i], market.o[where + i]
        if not plain:
            means[i] = nested_expectation(
                market, begin + i, E, o, codes, n_groups, f, B[i], by_rho[i]
            )
            continue
        p[0] = max(1.0 - P[i].sum(), 0.0)
        if market.nests.shape[1] == 0:
            p[0] = o[0] / (o[0] + E.sum())
        p[1:] = P[i]
        fill_remaining(p, codes, n_groups, shares, remaining)
        if product:
            means[i] = product_expectation(p, codes, remaining, c, e, y)
        else:
            means[i] = square_expectation(p, codes, remaining, f, y)
        average = 0.0
        for j in range(n):
            average += p[j] * y[j]
        for j in range(n - 1):
            B[i, j] = P[i, j] * (y[1 + j] - average)
