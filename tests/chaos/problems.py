"""A stored problem with two absorbed effects and clusters, and the bits of its results.

Products of a few hundred brands are sold in regions of a few markets; both effects are
absorbed, and moments are clustered by region. Sixteen blocks or more.
"""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import blpdask
from blpdask.simulation.design import MarketDesign
from blpdask.simulation.markets import simulate_markets

TIMES = {"total_time", "optimization_time"}
FORMULATIONS = (
    blpdask.Formulation("0 + prices + x1 + x2", absorb="C(brand_ids) + C(region_ids)"),
    blpdask.Formulation("0 + prices + x1"),
)
DEMOGRAPHICS = blpdask.Formulation("0 + demographic1")
START: dict[str, Any] = {"sigma": [[0.5, 0.0], [0.0, 0.5]], "pi": [[0.1], [0.1]]}
TWO_STEPS = {
    **START,
    "method": "2s",
    "W_type": "clustered",
    "se_type": "clustered",
    "check_optimality": "both",
}


def tables(n_markets: int, n_agents: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Simulate markets of 15 to 25 products, with brands and regions."""
    design = MarketDesign(
        n_markets=n_markets, n_products=(15, 25), n_agents=n_agents, n_firms=5
    )
    drawn = simulate_markets(design, 3, markets=range(n_markets))
    products, agents = pd.DataFrame(drawn.products), pd.DataFrame(drawn.agents)
    rng = np.random.default_rng(0)
    products["brand_ids"] = rng.integers(0, 300, len(products))
    products["region_ids"] = products["market_ids"].to_numpy() // 4
    products["clustering_ids"] = products["region_ids"]
    return products, agents


def build(
    path: Path, n_markets: int = 1000, n_agents: int = 30, blocks: int = 16
) -> blpdask.Store:
    """Build a store, by default of about 20,000 products."""
    return blpdask.build_store(path, *tables(n_markets, n_agents), blocks=blocks)


def problem(store: Path) -> blpdask.Problem:
    """Open a store as a problem."""
    return blpdask.Problem(FORMULATIONS, blpdask.open_store(store), DEMOGRAPHICS)


def solve(store: Path, **arguments: Any) -> blpdask.ProblemResults:
    """Estimate in two steps, from a store that nothing is known of yet."""
    quiet = {"progress": lambda event: None}
    return problem(store).solve(**{**TWO_STEPS, **quiet, **arguments})


def bits(results: Any, least: int = 80) -> dict[str, str]:
    """Digest everything in all steps of results that is no time, by name."""
    found = {}
    for step in results._steps:
        for field in dataclasses.fields(step):
            if field.name not in TIMES:
                hasher = hashlib.sha256()
                _feed(hasher, getattr(step, field.name))
                found[f"{step.step}: {field.name}"] = hasher.hexdigest()
    assert len(found) >= least
    return found


def _feed(hasher: Any, value: Any) -> None:
    """Digest a value by its bytes; rows at rest are read."""
    if isinstance(value, tuple):
        hasher.update(f"{len(value)} values".encode())
        for one in value:
            _feed(hasher, one)
    elif hasattr(value, "__array__"):
        array = np.asarray(value)
        hasher.update(f"{array.dtype.str}{array.shape}".encode())
        hasher.update(array.tobytes())
    else:
        hasher.update(repr(value).encode())
