"""Nevo's (2000) cereal data, whole or some of its markets, for either package."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pandas as pd

import blpdask

SIGMA = np.diag([0.3302, 2.4526, 0.0163, 0.2441])
PI = np.array(
    [
        [5.4819, 0, 0.2037, 0],
        [15.8935, -1.2000, 0, 2.6342],
        [-0.2506, 0, 0.0511, 0],
        [1.2650, 0, -0.8091, 0],
    ]
)


@cache
def tables(n_markets: int = 94) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read products and agents of the first markets; clusters are products."""
    products = pd.read_csv(blpdask.data.NEVO_PRODUCTS_LOCATION)
    agents = pd.read_csv(blpdask.data.NEVO_AGENTS_LOCATION)
    kept = sorted(products["market_ids"].unique())[:n_markets]
    products["clustering_ids"] = products["product_ids"]
    found = [table[table["market_ids"].isin(kept)] for table in (products, agents)]
    return found[0].reset_index(drop=True), found[1].reset_index(drop=True)


def problem(package: Any, n_markets: int = 94) -> Any:
    """Build the problem with a package, blpdask or pyblp."""
    products, agents = tables(n_markets)
    return package.Problem(
        (
            package.Formulation("0 + prices", absorb="C(product_ids)"),
            package.Formulation("1 + prices + sugar + mushy"),
        ),
        products,
        package.Formulation("0 + income + income_squared + age + child"),
        agents,
    )


def logit(package: Any, n_markets: int = 94) -> Any:
    """Build the problem without random coefficients."""
    products, _ = tables(n_markets)
    formulation = package.Formulation("0 + prices", absorb="C(product_ids)")
    return package.Problem(formulation, products)
