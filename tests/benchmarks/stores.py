"""Markets that stay on disk: a store of N products, and a job that evaluates on it.

Every market has 50 products of 5 firms and 100 agents, so that the store grows with N
and its markets do not; K2 = 2 and there are no demographics.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from blpdask.simulation.design import MarketDesign

PRODUCTS, AGENTS, FIRMS = 50, 100, 5
LINEAR, RANDOM = "1 + prices + x1 + x2", "0 + prices + x1"
#: True Σ, where the objective is evaluated.
SIGMA = ((0.8, 0.0), (0.0, 1.0))
WORKERS, WORKER_MEMORY = 2, "2GiB"


def simulate_store(path: Path, n_products: int) -> int:
    """Write a store of so many products; give its bytes on disk."""
    design = MarketDesign(
        n_markets=n_products // PRODUCTS,
        n_products=PRODUCTS,
        n_agents=AGENTS,
        n_firms=FIRMS,
        sigma=SIGMA,
        pi=(),
        demographic_spread=0.0,
    )
    return write_store(path, design)


def write_store(path: Path, design: MarketDesign) -> int:
    """Write a store of simulated markets; give its bytes on disk."""
    import blpdask

    blpdask.options.verbose = False
    blpdask.simulate_store(path, design)
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def write_job(path: Path, store: Path) -> None:
    """Write the job file of what ``evaluate_stored`` of :mod:`.child` does."""
    job: Mapping[str, Any] = {
        "name": "out-of-core",
        "data": {"store": str(store)},
        "formulations": {"linear": LINEAR, "random": RANDOM},
        "sigma": SIGMA,
        "solve": {
            "method": "1s",
            "optimization": {"method": "return"},
            "check_optimality": "gradient",
        },
    }
    path.write_text(json.dumps(job), encoding="utf-8")
