"""Problems with a supply side, drawn at random, one a seed.

To a demand problem of :mod:`tests.references.drawn` come costs, linear or in logs, with
bounds that bind or none, effects absorbed or not, shares among the cost characteristics
or not, γ in θ or concentrated out; ownership from firms or from weights that are not
symmetric; and prices that enter utility as they are, squared, in logs or interacted, in
X1, in X2 or in both.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tests.references.drawn import EXACT_ABSORPTION, draw
from tests.references.specifications import Specification

N_INSTRUMENTS = 8
#: Formulas of prices in X1, with coefficients that make demand slope down.
PRICES = (
    ("prices", [-1.1]),
    ("prices + I(prices**2)", [-1.5, 0.02]),
    ("log(prices)", [-3.0]),
    ("prices + prices:x1", [-1.3, 0.05]),
    ("", []),
)


@dataclass(frozen=True, slots=True, eq=False)
class DrawnSupply:
    """A problem with supply, the arguments of its solution, and what it exercises."""

    specification: Specification
    solution: dict[str, Any]
    features: frozenset[str]


def draw_supply(seed: int) -> DrawnSupply:
    """Draw the problem of a seed."""
    rng = np.random.default_rng([1995, 3, seed])
    drawn = draw(100 + seed)
    demand = drawn.specification
    products = dict(demand.products)
    N = products["prices"].size
    products["w1"] = rng.normal(size=N)
    products["firm_ids"] = rng.integers(0, 3, N)
    for m in range(N_INSTRUMENTS):
        products[f"supply_instruments{m}"] = rng.normal(size=N)
    features = set()
    random = demand.random
    formula, beta = PRICES[rng.integers(len(PRICES))]
    if not formula and "prices" not in str(random):
        formula, beta = PRICES[0]
    features.add(f"X1 has {formula}")
    plain = "0 + x1" if demand.absorb else "1 + x1"
    n_others = 1 if demand.absorb else 2
    linear = f"{plain} + {formula}" if formula else plain
    costs_type = ("linear", "log")[rng.integers(2)]
    bounds = (None, (0.3, None), (0.3, 6.0))[rng.integers(costs_type == "log", 3)]
    absorb = (None, "C(product_ids)", "C(product_ids) + C(region)")[rng.integers(3)]
    if not demand.options["add_exogenous"]:
        absorb = None
        for m, column in enumerate((np.ones(N), products["x1"], products["w1"])):
            products[f"supply_instruments{N_INSTRUMENTS + m}"] = column
    terms = ["w1", "x1", *(["shares"] if rng.integers(3) == 0 else [])]
    cost = ("0 + " if absorb else "1 + ") + " + ".join(terms)
    if rng.integers(3) == 0:
        products |= _ownership(products, rng)
        features.add("ownership")
    solution = {
        **drawn.solution,
        "beta": [None] * n_others + beta,
        "costs_bounds": bounds,
    }
    solution.pop("gamma", None)
    if rng.integers(3) == 0:
        solution["gamma"] = [None] * (len(terms) + (absorb is None) - 1) + [0.2]
        features.add("gamma in theta")
    features |= {
        f"costs_type={costs_type}",
        f"bounds={bounds}",
        f"cost_absorb={absorb}",
        f"shares={'shares' in terms}",
        f"method={solution['method']}",
        f"W_type={solution['W_type']}",
        f"se_type={solution['se_type']}",
        *demand.options["rc_types"],
    }
    specification = replace(
        demand,
        products=products,
        linear=linear,
        options={**demand.options, "costs_type": costs_type},
        cost=cost,
        cost_absorb=absorb,
        cost_absorption=EXACT_ABSORPTION.get(absorb or "", (None, None)),
    )
    return DrawnSupply(specification, solution, frozenset(features))


def _ownership(products: dict[str, Any], rng: np.random.Generator) -> dict[str, Any]:
    """Draw weights on other firms' profits, those of f on g not those of g on f."""
    kappa = rng.uniform(0, 0.5, (3, 3))
    np.fill_diagonal(kappa, 1.0)
    markets, firms = products["market_ids"], products["firm_ids"]
    largest = max(np.unique(markets, return_counts=True)[1])
    weights = np.full((firms.size, largest), np.nan)
    for market in np.unique(markets):
        rows = np.flatnonzero(markets == market)
        weights[rows, : rows.size] = kappa[np.ix_(firms[rows], firms[rows])]
    return {f"ownership{k}": weights[:, k] for k in range(largest)}
