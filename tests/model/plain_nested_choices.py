"""The nested logit by its formulas, one situation after another."""

from __future__ import annotations

import math

import numpy as np

from blpdask.choice_records import ChoiceBlock
from blpdask.model.nested_choices import NestedBlock
from blpdask.problem.choice_nests import find_cells
from blpdask.records import Floats, Integers
from tests.kernels.plain_choices import draw_people


def nested_people(n_people: int = 10, seed: int = 0, K: int = 2) -> NestedBlock:
    """Draw people among alternatives of 4 nests, of which the last has one at most."""
    block = draw_people(n_people, K, 0, 1, seed=seed, alternatives=(2, 7))
    rng = np.random.default_rng([3, seed])
    nests = []
    for size in np.diff(block.situation_offsets):
        own = np.sort(rng.integers(0, 3, size))
        own[-1] = 3 if rng.uniform() < 0.5 else own[-1]
        nests.append(own)
    return nest(block, np.concatenate(nests))


def nest(block: ChoiceBlock, nests: Integers) -> NestedBlock:
    """Give rows, sorted by nests within situations, their nests."""
    names = ("X", "chosen", "situation_offsets", "person_offsets", "weights", "draws")
    cells = find_cells(block.situation_offsets, nests)
    return NestedBlock(**{name: getattr(block, name) for name in names}, **cells)


def row_nests(block: NestedBlock) -> Integers:
    return np.repeat(block.cell_nests, np.diff(block.cell_offsets))


def plain_probabilities(block: NestedBlock, beta: Floats, rho: Floats) -> Floats:
    """Compute P ``(N,)``."""
    nests = row_nests(block).tolist()
    found = []
    for first, stop in zip(
        block.situation_offsets[:-1], block.situation_offsets[1:], strict=True
    ):
        V = [float(block.X[n] @ beta) for n in range(first, stop)]
        own = nests[first:stop]
        D: dict[int, float] = {}
        for v, h in zip(V, own, strict=True):
            D[h] = D.get(h, 0.0) + math.exp(v / (1 - rho[h]))
        total = sum(value ** (1 - rho[h]) for h, value in D.items())
        for v, h in zip(V, own, strict=True):
            within = math.exp(v / (1 - rho[h])) / D[h]
            found.append(within * D[h] ** (1 - rho[h]) / total)
    return np.array(found)


def plain_nested_logs(block: NestedBlock, beta: Floats, rho: Floats) -> Floats:
    """Compute log P_i ``(I,)``."""
    logs = np.log(plain_probabilities(block, beta, rho))[block.chosen]
    return np.add.reduceat(logs, block.person_offsets[:-1])
