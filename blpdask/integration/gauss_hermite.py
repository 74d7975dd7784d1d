"""Find the few nodes that integrate polynomials against a normal density exactly.

    ∫ f(x) φ(x) dx ≈ Σ_i w_i f(x_i),

where the level-n rule takes the n roots of the Hermite polynomial He_n and is exact for
polynomials up to degree 2n - 1. Rules are symmetric, so half of one is all of it.

References
----------
Golub and Welsch (1969); Judd (1998, ch. 7).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..records import Floats

MAX_LEVEL = 300


@dataclass(frozen=True, slots=True)
class HalfRule:
    """The nonnegative half of a symmetric rule in one dimension.

    Attributes
    ----------
    nodes
        ``(H,)`` nodes x ≥ 0, ascending.
    weights
        ``(H,)`` weight of each of x and -x.
    """

    nodes: Floats
    weights: Floats

    def mirrored(self) -> tuple[Floats, Floats]:
        """Return the nodes and weights of the whole rule, ascending."""
        start = 1 if self.nodes[0] == 0 else 0
        return (
            np.concatenate([-self.nodes[start:][::-1], self.nodes]),
            np.concatenate([self.weights[start:][::-1], self.weights]),
        )


def gauss_hermite(level: int) -> HalfRule:
    """Build the Gauss-Hermite rule with ``level`` nodes for a standard normal.

    Parameters
    ----------
    level
        Number of nodes of the whole rule, 1 to 300.

    Returns
    -------
    HalfRule
        Nonnegative nodes and their weights.

    Examples
    --------
    >>> rule = gauss_hermite(3)
    >>> (rule.nodes.round(4).tolist(), rule.weights.round(4).tolist())
    ([0.0, 1.7321], [0.6667, 0.1667])
    """
    nodes, weights = np.polynomial.hermite_e.hermegauss(level)
    return HalfRule(
        nodes=nodes[level // 2 :], weights=weights[level // 2 :] / weights.sum()
    )
