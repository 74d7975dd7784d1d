"""Factors of functions of agents and choices, multiplied out in compiled loops.

A shape of :class:`blpdask.records.ChoiceFunctions` is, of first and of second choices,

    f_ij = Π_r c_r(j) Π_r v_r(i, j),

the outside option first and products nest by nest; and of pairs of choices

    f_ijk = f_ij f_ik Π_r g_r(j, k) Π_r z_r(i, j, k).
"""

from __future__ import annotations

from .loop_compiler import exact


@exact
def fill_common(functions, terms, s, t, a, order, filled):
    """Fill what a shape has of choices alone, ``(1 + J,)``.

    ``terms`` are those of first or of second choices; ``a`` is the first product of
    market t; products are put nest by nest.
    """
    filled[:] = 1.0
    for r in range(terms.shape[1]):
        term = terms[s, r]
        if term >= 0:
            filled[0] *= functions.choices[term, a + t]
            for j in range(order.size):
                filled[1 + j] *= functions.choices[term, a + t + 1 + order[j]]


@exact
def multiply_tables(functions, terms, s, t, order, agent, filled):
    """Multiply one agent's ``filled`` ``(1 + J,)`` by tables of a shape."""
    for r in range(terms.shape[1]):
        term = terms[s, r]
        if term >= 0:
            place = functions.table_offsets[t] + agent * filled.size
            filled[0] *= functions.tables[term, place]
            for j in range(order.size):
                filled[1 + j] *= functions.tables[term, place + 1 + order[j]]


@exact
def fill_shape(functions, s, t, a, order, begin, f):
    """Fill f_ij ``(n, 1 + J)`` of first choices of agents from ``begin``."""
    fill_common(functions, functions.choice_terms, s, t, a, order, f[0])
    for i in range(1, f.shape[0]):
        for j in range(f.shape[1]):
            f[i, j] = f[0, j]
    for i in range(f.shape[0]):
        multiply_tables(functions, functions.table_terms, s, t, order, begin + i, f[i])


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
    for r in range(functions.pair_terms.shape[1]):
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
    for r in range(functions.pair_terms.shape[1]):
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
