"""Instruments that shift choice sets but not ξ, for markets of known truth.

With f(j) the firm of product j, the sums over other products k of the same market

    Σ_{k ≠ j, f(k) = f(j)} (x_k - x_j)²    and    Σ_{f(k) ≠ f(j)} (x_k - x_j)²

are the quadratic differentiation instruments of Gandhi and Houde (2019); for prices, x
is the exogenous part p̂ of the reduced form. They expand to n x_j² - 2 x_j Σx + Σx², so
that nothing of size J x J is held. A random constant moves the total of inside shares,
which others' sums of x and p̂ (Berry, Levinsohn and Pakes 1995) and J_t shift; Π moves
shares between markets of different demographics, so it needs m_t x_jt.
"""

from __future__ import annotations

import numpy as np

from ..records import Floats, Integers
from .design import MarketDesign


def exogenous_instruments(
    design: MarketDesign,
    offsets: Integers,
    firms: Integers,
    exogenous: dict[str, Floats],
    means: Floats,
) -> list[Floats]:
    """Build the columns of excluded instruments, cost shifters apart.

    Parameters
    ----------
    design
        Says which random coefficients need instruments.
    offsets
        ``(T + 1,)`` first product row of each market, then N.
    firms
        ``(N,)`` firm of each product.
    exogenous
        Columns ``(N,)`` of "prices" (the exogenous part p̂), "x1", "x2", ...
    means
        ``(T, D)`` market means of the demographics.

    Returns
    -------
    list of array
        Columns ``(N,)``; their number depends on the design alone.
    """
    sizes = np.diff(offsets)
    markets = np.repeat(np.arange(sizes.size), sizes)
    owners = markets * design.n_firms + firms
    _, high = design.product_bounds
    columns = []
    for name in _differentiated(design):
        everyone = _squared_distances(exogenous[name], markets)
        own = _squared_distances(exogenous[name], owners)
        if high > design.n_firms:
            columns.append(own)
        if min(high, design.n_firms) > 1:
            columns.append(everyone - own)
    if "1" in design.random_coefficients:
        columns += _market_size(design, markets, sizes, exogenous)
    return columns + _demographic_interactions(design, markets, exogenous, means)


def _differentiated(design: MarketDesign) -> list[str]:
    """Name characteristics in whose space substitution is to be measured."""
    names = list(design.characteristics)
    if "prices" in design.random_coefficients:
        names.append("prices")
    return names


def _squared_distances(values: Floats, groups: Integers) -> Floats:
    """Sum (x_k - x_j)² over the members k of j's group."""
    count = np.bincount(groups)[groups]
    total = np.bincount(groups, weights=values)[groups]
    squares = np.bincount(groups, weights=values**2)[groups]
    distances: Floats = count * values**2 - 2 * values * total + squares
    return distances


def _market_size(
    design: MarketDesign,
    markets: Integers,
    sizes: Integers,
    exogenous: dict[str, Floats],
) -> list[Floats]:
    """Shift the inside goods' total: sums over other products, and their number."""
    low, high = design.product_bounds
    columns = []
    for name in ("prices", *design.characteristics):
        if high > 1:
            total = np.bincount(markets, weights=exogenous[name])
            columns.append(total[markets] - exogenous[name])
    if low < high:
        columns.append(sizes[markets].astype(np.float64))
    return columns


def _demographic_interactions(
    design: MarketDesign,
    markets: Integers,
    exogenous: dict[str, Floats],
    means: Floats,
) -> list[Floats]:
    """Interact each random coefficient's characteristic with m_t where Π is there."""
    columns = []
    for k, name in enumerate(design.random_coefficients):
        for d in np.flatnonzero(design.pi_matrix[k]):
            mean = means[markets, d]
            columns.append(mean if name == "1" else mean * exogenous[name])
    return columns
