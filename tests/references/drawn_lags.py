"""Problems with autocorrelated errors, drawn at random, one a seed.

To a problem of :mod:`tests.references.drawn_nests`, effects not absorbed, come lags,
chains of rows in no order that cross markets and blocks; φ, one number or with a supply
side a matrix, full, diagonal or partly fixed; and moments of every type, alone or
stacked.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tests.references.drawn_nests import draw_nests
from tests.references.specifications import Specification

#: Parts of the instruments that are of each type, in order.
TYPES: tuple[dict[str, float], ...] = (
    {"innovations": 1},
    {"levels": 0.3, "innovations": 0.7},
    {"differenced_innovations": 1},
    {"levels": 0.2, "innovations": 0.4, "differenced_innovations": 0.4},
    {"differenced_innovations": 0.5, "innovations": 0.5},
    {"innovations": 0.6, "levels": 0.4},
)
SHAPES = ("full", "diagonal", "fixed", "demand only", "supply only")


@dataclass(frozen=True, slots=True, eq=False)
class DrawnLags:
    """A problem, the arguments of its solution, and what it exercises.

    ``types`` are those of each side's moments, as parts of its instruments.
    """

    specification: Specification
    solution: dict[str, Any]
    types: dict[str, dict[str, float]]
    features: frozenset[str]


def draw_lags(seed: int) -> DrawnLags:
    """Draw the problem of a seed."""
    rng = np.random.default_rng([1991, seed])
    drawn = draw_nests(200 + seed)
    supply = drawn.specification.cost is not None
    products = dict(drawn.specification.products)
    products["lag_indices"] = draw_chains(rng, products["prices"].size)
    types = {"demand": TYPES[seed % len(TYPES)]}
    solution = dict(drawn.solution)
    if supply:
        types["supply"] = TYPES[rng.integers(len(TYPES))]
    shape = SHAPES[seed % len(SHAPES)] if supply else "scalar"
    _draw_phi(rng, shape, solution, types)
    features = {f"phi {shape}"}
    features |= {f"{s} {'+'.join(parts)}" for s, parts in types.items()}
    specification = replace(
        drawn.specification, products=products, absorb=None, cost_absorb=None
    )
    return DrawnLags(specification, solution, types, drawn.features | features)


def draw_chains(rng: np.random.Generator, N: int) -> np.ndarray[Any, Any]:
    """Let rows follow each other in chains of one to seven, drawn from all rows."""
    rows, lags = rng.permutation(N), np.arange(N)
    first = 0
    while first < N:
        chain = rows[first : first + rng.integers(1, 8)]
        lags[chain[1:]] = chain[:-1]
        first += chain.size
    return lags


def moment_types(types: dict[str, dict[str, float]], problem: Any) -> dict[str, Any]:
    """Give the arguments of a solve: types and how many instruments each has."""
    counts = {"demand": problem.MD, "supply": problem.MS}
    found = {}
    for side, parts in types.items():
        ends = np.cumsum([0, *parts.values()]) * counts[side]
        sizes = np.diff(np.round(ends).astype(int))
        pairs = [(n, int(k)) for n, k in zip(parts, sizes, strict=True)]
        found[f"{side}_moment_types"] = pairs[0][0] if len(pairs) == 1 else pairs
    return found


def _draw_phi(
    rng: np.random.Generator,
    shape: str,
    solution: dict[str, Any],
    types: dict[str, dict[str, float]],
) -> None:
    """Draw φ, its bounds and what its shape says of moments."""
    if shape == "scalar":
        solution["phi"] = float(rng.uniform(0.2, 0.8))
        return
    phi = rng.uniform(-0.3, 0.5, (2, 2)) + 0.3 * np.eye(2)
    if shape == "diagonal":
        phi = np.diag(phi.diagonal())
    if shape == "fixed":
        low, high = np.full((2, 2), -0.9), np.full((2, 2), 0.95)
        low[0, 1] = high[0, 1] = phi[0, 1]
        solution["phi_bounds"] = (low, high)
    if shape == "demand only":
        phi[1], types["supply"] = 0.0, {"levels": 1}
    if shape == "supply only":
        phi[0], types["demand"] = 0.0, {"levels": 1}
        types["supply"] = TYPES[rng.integers(len(TYPES))]
    solution["phi"] = phi
