"""Drawn problems whose agents have types with shares of their own.

To a problem of :mod:`tests.references.drawn_nests` with random coefficients come types:
agents of every market are dealt out to them in turn, so that each market has all.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tests.references.drawn_nests import agents_with_nodes, draw_nests
from tests.references.specifications import FIXED, Specification

#: Nests, distances, availability, both and scales; supply and demand alone.
SEEDS = (1, 2, 3, 4, 5, 7, 11, 14, 20)
NAMES = ("cities", "farms", "towns")


@dataclass(frozen=True, slots=True, eq=False)
class DrawnTypes:
    """A problem, how it is solved at a point, and λ there.

    ``codes`` ``(A,)`` are those of its agents' types, rows as in the data.
    """

    specification: Specification
    solution: dict[str, Any]
    shares: np.ndarray
    codes: np.ndarray


def draw_types(seed: int, n_types: int = 3) -> DrawnTypes:
    """Draw the problem of a seed."""
    rng = np.random.default_rng([2010, seed])
    drawn = draw_nests(seed)
    agents = agents_with_nodes(drawn.specification, rng)
    own = agents["market_ids"]
    codes = np.empty(own.size, np.int64)
    for market in np.unique(own):
        rows = np.flatnonzero(own == market)
        codes[rows] = rng.permutation(np.arange(rows.size) % n_types)
    agents["type_ids"] = np.array(NAMES[:n_types])[codes]
    shares = rng.uniform(0.5, 1.5, n_types)
    solution = {
        **drawn.solution,
        **FIXED,
        "method": "1s",
        "initial_update": False,
        "check_optimality": "gradient",
    }
    solution.pop("sigma_bounds", None)
    return DrawnTypes(
        replace(drawn.specification, agents=agents, rule=None),
        solution,
        shares / shares.sum(),
        codes,
    )


def weighted_by_hand(drawn: DrawnTypes, shares: np.ndarray) -> Specification:
    """Multiply weights by shares over what each type's sum to in each market."""
    agents: Any = dict(drawn.specification.agents)
    weights = np.array(agents["weights"], dtype=float)
    for market in np.unique(agents["market_ids"]):
        for r, share in enumerate(shares):
            rows = (agents["market_ids"] == market) & (drawn.codes == r)
            weights[rows] *= share / weights[rows].sum()
    del agents["type_ids"]
    return replace(drawn.specification, agents=agents | {"weights": weights})
