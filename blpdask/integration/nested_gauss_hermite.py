"""Find rules for the normal density that reuse the nodes of smaller rules.

Starting at the mean, nodes are added in symmetric pairs so that every rule contains the
one before it: with 1, 3, 9, 19 and 35 nodes each addition is optimal (Kronrod's and
Patterson's idea); the rules with 7, 17, 31 and 33 nodes between them hold as many of
the new pairs as their level needs. The rule of level n is exact at least up to degree
2n - 1.

Only the nodes are tabulated. Weights follow from them: in y = x², with p(y) = Π_j
(y - y_j), the interpolatory weight that x_i and -x_i have together is

    W_i = E[p(x²) / (x² - y_i)] / p'(y_i),   E[x^(2k)] = 1 · 3 · ... · (2k - 1),

computed in exact rational arithmetic, since the sums cancel almost entirely.

References
----------
Genz and Keister (1996); Heiss and Winschel (2008) for the levels.
"""

from __future__ import annotations

from fractions import Fraction
from itertools import accumulate

import numpy as np

from .gauss_hermite import HalfRule

MAX_LEVEL = 25

NODES = (
    *(0.0,),
    *(1.7320508075688772,),
    *(0.74109534999454085, 4.1849560176727323),
    *(2.8612795760570582,),
    *(1.2304236340273060, 2.5960831150492023, 5.1870160399136562, 6.3633944943363696),
    *(3.2053337944991944,),
    *(0.24899229757996061, 2.2336260616769419, 3.6353185190372783),
    *(7.1221067008046166, 7.9807717985905606, 9.0169397898903032),
    *(5.6981777684881099,),
    *(4.7364330859522967,),
)
"""Nonnegative nodes in the order in which they enter."""

ENTRIES = (
    (1, 1),
    (2, 2),
    (4, 4),
    (5, 5),
    (9, 9),
    (10, 10),
    (16, 16),
    (17, 17),
    (18, 18),
)
"""First level of each rule, and how many of the nonnegative nodes it has."""


def nested_gauss_hermite(level: int) -> HalfRule:
    """Build the nested rule of a level for a standard normal.

    Parameters
    ----------
    level
        Level of exactness, 1 to 25.

    Returns
    -------
    HalfRule
        Nonnegative nodes and their weights, some of which can be negative.

    Examples
    --------
    >>> [nested_gauss_hermite(level).nodes.size for level in (1, 2, 3, 4, 5, 25)]
    [1, 2, 2, 4, 5, 18]
    """
    size = node_count(level)
    nodes = sorted(NODES[:size])
    return HalfRule(nodes=np.array(nodes), weights=np.array(_weights(nodes)))


def node_count(level: int) -> int:
    """Count the nonnegative nodes of a level's rule."""
    return max(count for first, count in ENTRIES if first <= level)


def _weights(nodes: list[float]) -> list[float]:
    """Compute the interpolatory weight of each nonnegative node."""
    squares = [Fraction(node) ** 2 for node in nodes]
    moments = list(
        accumulate(range(1, 2 * len(nodes), 2), lambda m, k: m * k, initial=1)
    )
    product = _polynomial(squares)
    weights = []
    for square in squares:
        quotient = _without_root(product, square)
        expectation = sum(c * m for c, m in zip(quotient, moments, strict=False))
        slope = sum(c * square**power for power, c in enumerate(quotient))
        weights.append(float(expectation / slope / (2 if square else 1)))
    return weights


def _polynomial(roots: list[Fraction]) -> list[Fraction]:
    """Expand Π_j (y - y_j); coefficients start at the constant."""
    coefficients = [Fraction(1)]
    for root in roots:
        shifted = [Fraction(0), *coefficients]
        scaled = [*(root * c for c in coefficients), Fraction(0)]
        coefficients = [a - b for a, b in zip(shifted, scaled, strict=True)]
    return coefficients


def _without_root(coefficients: list[Fraction], root: Fraction) -> list[Fraction]:
    """Divide a polynomial by y - root, one of its roots (Horner's scheme)."""
    descending = accumulate(reversed(coefficients), lambda value, c: value * root + c)
    return list(descending)[-2::-1]
