"""Demand and supply that stay on disk: a store of N products, and how it is estimated.

Markets have 40 to 60 products of 5 firms and 200 agents; K2 = 2 and there are no
demographics. Effects of markets and of products are absorbed out of both equations, and
prices come from a reduced form, so that costs are what first-order conditions make of
them: N is what grows, and that costs are positive all that matters.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from blpdask.driver.clusters import local_client
from blpdask.driver.dask_engine import DaskEngine
from blpdask.simulation.design import MarketDesign

from .cluster import WatchedEngine
from .measure import Stopwatch
from .packages import load
from .processes import peak_bytes
from .stores import WORKER_MEMORY, WORKERS, write_store

PRODUCTS, AGENTS, FIRMS = (40, 60), 200, 5
MEAN_PRODUCTS = sum(PRODUCTS) // 2
EFFECTS = "C(product_ids) + C(market_ids)"
LINEAR, RANDOM, COSTS = "0 + prices + x1 + x2", "0 + prices + x1", "0 + x1 + x2 + z1"
#: True Σ, and where the search starts; β on prices is searched for too.
SIGMA = ((0.8, 0.0), (0.0, 1.0))
START, PRICE = ((0.6, 0.0), (0.0, 0.8)), -2.2


def simulate_supply_store(path: Path, n_products: int) -> int:
    """Write a store of about so many products; give its bytes on disk."""
    design = MarketDesign(
        n_markets=n_products // MEAN_PRODUCTS,
        n_products=PRODUCTS,
        n_agents=AGENTS,
        n_firms=FIRMS,
        sigma=SIGMA,
        pi=(),
        demographic_spread=0.0,
    )
    return write_store(path, design)


def write_supply_job(path: Path, store: Path) -> None:
    """Write the job file of what :func:`estimate_supply` does."""
    job: Mapping[str, Any] = {
        "name": "supply-out-of-core",
        "data": {"store": str(store)},
        "formulations": {
            "linear": LINEAR,
            "absorb": EFFECTS,
            "random": RANDOM,
            "supply": COSTS,
            "absorb_supply": EFFECTS,
        },
        "sigma": START,
        "beta": [PRICE, None, None],
        "solve": {"method": "1s", "check_optimality": "gradient"},
    }
    path.write_text(json.dumps(job), encoding="utf-8")


def estimate_supply(request: Mapping[str, Any]) -> dict[str, Any]:
    """Estimate demand and supply in one step, with standard errors, on workers."""
    blpdask = load("blpdask")
    blpdask.options.verbose = False
    watch = Stopwatch()
    with local_client(WORKERS, memory_limit=WORKER_MEMORY) as client:
        before = peak_bytes()
        problem = blpdask.Problem(
            (
                blpdask.Formulation(LINEAR, EFFECTS),
                blpdask.Formulation(RANDOM),
                blpdask.Formulation(COSTS, EFFECTS),
            ),
            blpdask.open_store(request["store"]),
        )
        engine = WatchedEngine(DaskEngine(client))
        results = problem.solve(
            START,
            beta=[PRICE, None, None],
            method="1s",
            check_optimality="gradient",
            engine=engine,
            progress=lambda event: None,
        )
        peaks = client.run(peak_bytes).values()
    figures = engine.figures[-1].values()
    return {
        "products": problem.N,
        "converged": bool(results.converged),
        "evaluations": int(results.objective_evaluations),
        "objective": float(results.objective),
        "theta": results.theta.tolist(),
        "errors": [*np.diag(results.sigma_se).tolist(), float(results.beta_se[0, 0])],
        "gamma": results.gamma[:, 0].tolist(),
        "positive": float((results.tilde_costs > 0).mean()),
        "seconds": engine.seconds,
        "wall": watch.read().wall,
        "before": before,
        "driver": peak_bytes(),
        "worker": max(peaks),
        "held": sum(figure.held_bytes for figure in figures),
        "read": sum(figure.read_bytes for figure in figures),
    }
