"""Functions of surveys, multiplied out again: the plain reference of factors."""

from __future__ import annotations

import numpy as np

from blpdask.records import ChoiceFunctions, Floats, MarketBlock


def expand(functions: ChoiceFunctions, block: MarketBlock) -> list[Floats]:
    """Give f_l(i, j) of every market, ``(L, I, 1 + J)``, one factor after the other."""
    J, n = np.diff(block.product_offsets), np.diff(block.agent_offsets)
    found, cells = [], 0
    for t in range(block.n_markets):
        people = slice(block.agent_offsets[t], block.agent_offsets[t + 1])
        first = block.product_offsets[t] + t
        choices = slice(first, first + J[t] + 1)
        size = int(n[t] * (J[t] + 1))
        values = np.ones((functions.size, n[t], J[t] + 1))
        for f in range(functions.size):
            s = functions.shapes[f]
            for row in functions.agent_terms[f]:
                if row >= 0:
                    values[f] *= functions.agents[row, people][:, None]
            for row in functions.choice_terms[s]:
                if row >= 0:
                    values[f] *= functions.choices[row, choices]
            for row in functions.table_terms[s]:
                if row >= 0:
                    own = functions.tables[row, cells : cells + size]
                    values[f] *= own.reshape(n[t], J[t] + 1)
        found.append(values)
        cells += size
    return found
