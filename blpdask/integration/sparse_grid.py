"""Stay exact up to a total degree with far fewer nodes than a product has.

With U_n the level-n rule of one dimension and |n| = n_1 + ... + n_K, level L combines
small products (Smolyak's formula),

    Σ_{q < L} (-1)^(L-1-q) C(K-1, L-1-q) Σ_{|n| = K+q} U_{n_1} ⊗ ... ⊗ U_{n_K},

where q starts at max(0, L - K), and is exact for polynomials of total degree 2L - 1.
Weights can be negative.

Nodes are written as integers: the place of |x| among the distinct nodes of all levels,
with the sign of x. Equal nodes are then equal integers, and merging and sorting exact.

References
----------
Smolyak (1963); Heiss and Winschel (2008, eq. 8).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import combinations, pairwise
from math import comb

import numpy as np

from ..records import Floats, Integers
from .gauss_hermite import HalfRule
from .nodes import Nodes
from .product import all_choices


def sparse_grid(
    dimensions: int, level: int, univariate: Callable[[int], HalfRule]
) -> Nodes:
    """Combine products of rules of one dimension into a sparse grid.

    Parameters
    ----------
    dimensions
        Columns of nodes, K.
    level
        Level of exactness, L.
    univariate
        The rule of one dimension at each level, 1 to L.

    Returns
    -------
    Nodes
        ``(I, K)`` nodes in lexicographic order; weights sum to one.

    Examples
    --------
    >>> from blpdask.integration.gauss_hermite import gauss_hermite
    >>> grid = sparse_grid(2, 2, gauss_hermite)
    >>> (grid.nodes.round(4).tolist()[0], grid.weights.round(4).tolist())
    ([-1.0, 0.0], [0.5, 0.5, -1.0, 0.5, 0.5])
    """
    rules = [univariate(n) for n in range(1, level + 1)]
    values = np.unique(np.concatenate([[0.0], *(rule.nodes for rule in rules)]))
    places = [np.searchsorted(values, rule.nodes) for rule in rules]
    weights = [rule.weights for rule in rules]
    codes, code_weights = _merge(*_combine(dimensions, level, places, weights))
    codes, code_weights = _reflect(codes, code_weights)
    order = np.lexsort(codes[:, ::-1].T)
    codes, code_weights = codes[order], code_weights[order]
    return Nodes(
        nodes=np.sign(codes) * values[np.abs(codes)],
        weights=code_weights / code_weights.sum(),
    )


def _combine(
    dimensions: int, level: int, places: list[Integers], weights: list[Floats]
) -> tuple[Integers, Floats]:
    """List the nonnegative nodes of every product, as integers, and their weights."""
    codes = []
    code_weights = []
    for q in range(max(0, level - dimensions), level):
        sign = -1 if (level - 1 - q) % 2 else 1
        coefficient = sign * comb(dimensions - 1, level - 1 - q)
        for levels in _compositions(dimensions + q, dimensions):
            choices = all_choices([places[n - 1].size for n in levels])
            columns = list(zip(choices.T, levels, strict=True))
            codes.append(np.stack([places[n - 1][c] for c, n in columns], axis=1))
            factors = np.stack([weights[n - 1][c] for c, n in columns])
            code_weights.append(coefficient * factors.prod(axis=0))
    return np.concatenate(codes), np.concatenate(code_weights)


def _compositions(total: int, parts: int) -> Iterator[tuple[int, ...]]:
    """List the ways to write a total as an ordered sum of positive integers."""
    for bars in combinations(range(1, total), parts - 1):
        edges = (0, *bars, total)
        yield tuple(b - a for a, b in pairwise(edges))


def _merge(codes: Integers, weights: Floats) -> tuple[Integers, Floats]:
    """Add up the weights of equal nodes."""
    unique, group = np.unique(codes, axis=0, return_inverse=True)
    sums: Floats = np.bincount(group.ravel(), weights=weights).astype(np.float64)
    return unique, sums


def _reflect(codes: Integers, weights: Floats) -> tuple[Integers, Floats]:
    """Copy nonnegative nodes to every other orthant."""
    for dimension in range(codes.shape[1]):
        positive = codes[:, dimension] > 0
        mirrored = codes[positive].copy()
        mirrored[:, dimension] *= -1
        codes = np.concatenate([codes, mirrored])
        weights = np.concatenate([weights, weights[positive]])
    return codes, weights
