"""Functions of first and second choices, multiplied out: the plain reference."""

from __future__ import annotations

import numpy as np

from blpdask.records import ChoiceFunctions, Floats, MarketBlock


def expand_second(functions: ChoiceFunctions, block: MarketBlock) -> list[Floats]:
    """Give f_l(i, j, k) of every market, ``(L, I, 1 + J, 1 + J)``, zero where gone."""
    J, n = np.diff(block.product_offsets), np.diff(block.agent_offsets)
    found, cell, pair, triple = [], 0, 0, 0
    for t in range(block.n_markets):
        K, I = int(J[t]) + 1, int(n[t])  # noqa: E741
        people = slice(block.agent_offsets[t], block.agent_offsets[t + 1])
        first = int(block.product_offsets[t]) + t
        a = functions.agents[:, people]
        c = functions.choices[:, first : first + K]
        v = functions.tables[:, cell : cell + I * K].reshape(-1, I, K)
        g = functions.pairs[:, pair : pair + K * K].reshape(-1, K, K)
        z = functions.triples[:, triple : triple + I * K * K].reshape(-1, I, K, K)
        values = np.ones((functions.size, I, K, K))
        for f, s in enumerate(functions.shapes):
            for factors, terms in (
                (a[:, :, None, None], functions.agent_terms[f]),
                (c[:, None, :, None], functions.choice_terms[s]),
                (v[:, :, :, None], functions.table_terms[s]),
                (c[:, None, None, :], functions.second_choice_terms[s]),
                (v[:, :, None, :], functions.second_table_terms[s]),
                (g[:, None], functions.pair_terms[s]),
                (z, functions.triple_terms[s]),
            ):
                for row in terms:
                    if row >= 0:
                        values[f] *= factors[row]
            codes = functions.groups[functions.removals[s], first : first + K]
            values[f] *= codes[:, None] != codes
        found.append(values)
        cell, pair, triple = cell + I * K, pair + K * K, triple + I * K * K
    return found
