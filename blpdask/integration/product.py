"""Combine a rule of one dimension into a rule of K dimensions.

    ∫ f(ν) φ(ν) dν ≈ Σ_{i_1} ... Σ_{i_K} w_{i_1} ... w_{i_K} f(x_{i_1}, ..., x_{i_K})

Exact for every polynomial of degree 2n - 1 in each dimension, at the price of n^K
nodes: the best rule for two or three dimensions, out of reach for ten.

References
----------
Judd and Skrainka (2011).
"""

from __future__ import annotations

from math import prod

import numpy as np

from ..errors import Faults
from ..records import Integers
from .gauss_hermite import HalfRule
from .nodes import Nodes

MAX_NODES = 10**8


def product_rule(dimensions: int, half: HalfRule) -> Nodes:
    """Cross a rule with itself, the last dimension varying fastest.

    Parameters
    ----------
    dimensions
        Columns of nodes, K.
    half
        Rule in one dimension, its nonnegative half.

    Returns
    -------
    Nodes
        ``(n^K, K)`` nodes, in lexicographic order.

    Raises
    ------
    InputError
        If there would be more than 10^8 nodes.

    Examples
    --------
    >>> from blpdask.integration.gauss_hermite import gauss_hermite
    >>> product_rule(2, gauss_hermite(2)).nodes.round(4).tolist()
    [[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]]
    """
    nodes, weights = half.mirrored()
    _check_count(nodes.size, dimensions)
    choices = all_choices([nodes.size] * dimensions)
    return Nodes(nodes=nodes[choices], weights=weights[choices].prod(axis=1))


def all_choices(sizes: list[int]) -> Integers:
    """List every choice of one from each size, ``(Π sizes, K)``, the last fastest."""
    remaining = np.arange(prod(sizes), dtype=np.int64)
    choices = np.empty((remaining.size, len(sizes)), dtype=np.int64)
    for column in reversed(range(len(sizes))):
        remaining, choices[:, column] = np.divmod(remaining, sizes[column])
    return choices


def _check_count(level_size: int, dimensions: int) -> None:
    """Refuse a product that would not fit in memory."""
    if level_size**dimensions <= MAX_NODES:
        return
    faults = Faults("product rule")
    faults.add(
        f"{level_size} nodes in each of {dimensions} dimensions, "
        f"{float(level_size) ** dimensions:.0e} in all",
        f"at most {MAX_NODES:.0e} nodes",
        "lower the size, or use 'grid', 'halton' or 'sobol'",
    )
    faults.check()
