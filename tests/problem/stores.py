"""Small tables, stores of them, and a build that can be killed."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from blpdask.partitions.block_store import BlockStore
from blpdask.problem.store_builder import build_block_store


def silent(message: str) -> None:
    """Be told and say nothing."""


def tables(n_markets: int = 12, seed: int = 0) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Make products and agents in no order, with text, integers and numbers."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(2, 7, n_markets)
    markets = np.repeat([f"m{t:02d}" for t in range(n_markets)], sizes)
    n = markets.size
    products = pd.DataFrame(
        {
            "market_ids": markets,
            "product_ids": np.concatenate([np.arange(size) for size in sizes]),
            "firm_ids": rng.integers(0, 3, n),
            "city": rng.choice(["Ely", "Ayr", "Bath"], n),
            "clustering_ids": markets,
            "shares": rng.uniform(0.01, 0.12, n),
            "prices": rng.uniform(1, 3, n),
            "x": rng.normal(size=n),
            "demand_instruments0": rng.normal(size=n),
            "demand_instruments1": rng.normal(size=n),
        }
    ).sample(frac=1, random_state=seed)
    people = np.repeat(np.unique(markets), 5)
    agents = pd.DataFrame(
        {
            "market_ids": people,
            "weights": 0.2,
            "nodes0": rng.normal(size=people.size),
            "nodes1": rng.normal(size=people.size),
            "income": rng.normal(size=people.size),
        }
    ).sample(frac=1, random_state=seed)
    return products.reset_index(drop=True), agents.reset_index(drop=True)


def build(path: Path, products: Any, agents: Any = None, **options: Any) -> BlockStore:
    """Build a store and say nothing."""
    return build_block_store(path, products, agents, tell=silent, **options)


def build_slowly(path: str) -> None:
    """Build a store, stopping for a second at every block."""

    def tell(message: str) -> None:
        print(message, flush=True)
        if message.startswith("Writing"):
            time.sleep(1)

    build_block_store(Path(path), *tables(), n_blocks=6, tell=tell)


if __name__ == "__main__":
    build_slowly(sys.argv[1])
