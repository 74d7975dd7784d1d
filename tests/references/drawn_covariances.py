"""Problems with covariance moments, drawn at random, one a seed.

To a problem of :mod:`tests.references.drawn_supply`, or one with nests and supply of
:mod:`tests.references.drawn_nests`, come one to three covariance instruments and a mean
of the products of errors that is zero or not.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tests.references.drawn_nests import draw_nests
from tests.references.drawn_supply import draw_supply
from tests.references.specifications import Specification


@dataclass(frozen=True, slots=True, eq=False)
class DrawnCovariances:
    """A problem, the arguments of its solution, and what it exercises."""

    specification: Specification
    solution: dict[str, Any]
    features: frozenset[str]


def draw_covariances(seed: int, *, nests: bool = False) -> DrawnCovariances:
    """Draw the problem of a seed; one with nests needs a seed that has supply."""
    drawn: Any = draw_nests(seed) if nests else draw_supply(seed)
    rng = np.random.default_rng([2025, seed])
    products = dict(drawn.specification.products)
    N = np.asarray(products["prices"]).size
    MC = 1 + seed % 3
    Z = np.c_[np.ones(N), rng.normal(size=(N, MC - 1)) + 0.5]
    products |= {f"covariance_instruments{m}": Z[:, m] for m in range(MC)}
    mean = (0, 0.3)[rng.integers(2)]
    specification = replace(drawn.specification, products=products)
    effects = specification.absorb, specification.cost_absorb
    features = {
        *drawn.features,
        f"MC={MC}",
        f"mean={mean}",
        f"effects={tuple(None if e is None else e.count('C(') for e in effects)}",
    }
    solution = {**drawn.solution, "covariance_moments_mean": mean}
    return DrawnCovariances(specification, solution, frozenset(features))
