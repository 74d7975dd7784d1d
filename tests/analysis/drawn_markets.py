"""Markets of a logit with or without random coefficients, prices endogenous."""

from __future__ import annotations

import numpy as np
import pandas as pd


def draw_markets(
    seed: int,
    n_markets: int = 60,
    n_products: int = 6,
    sigma: float = 0.0,
    shock: float = 0.2,
) -> pd.DataFrame:
    """Draw products whose utility is -1 + x - p + σ ν x + ξ, costs shifted by w.

    Instruments are w, its square and w x; ``clustering_ids`` are pairs of markets and
    ``region`` is one of five. ξ has a part that a cluster shares, ``shock`` its
    standard deviation.
    """
    rng = np.random.default_rng([2019, seed])
    N = n_markets * n_products
    markets = np.repeat(np.arange(n_markets), n_products)
    x, w = rng.normal(size=N), rng.normal(size=N)
    region = rng.integers(0, 5, N)
    shared = shock * rng.normal(size=n_markets // 2)[markets // 2]
    xi = 0.4 * rng.normal(size=N) * (1 + 0.5 * np.abs(x)) + shared
    prices = 2 + 0.3 * x + w + 0.3 * w**2 + 0.8 * xi + 0.2 * rng.normal(size=N)
    delta = -1 + x - prices + xi + 0.3 * region
    nodes = rng.normal(size=400)
    utilities = np.exp(delta + sigma * nodes[:, None] * x)
    sums = np.array([np.bincount(markets, weights=u) for u in utilities])
    shares = (utilities / (1 + sums[:, markets])).mean(axis=0)
    return pd.DataFrame(
        {
            "market_ids": markets,
            "firm_ids": np.tile(np.arange(n_products) // 2, n_markets),
            "product_ids": np.tile(np.arange(n_products), n_markets),
            "clustering_ids": markets // 2,
            "region": region,
            "shares": shares,
            "prices": prices,
            "x": x,
            "w": w,
            "demand_instruments0": w,
            "demand_instruments1": w**2,
            "demand_instruments2": w * x,
        }
    )
