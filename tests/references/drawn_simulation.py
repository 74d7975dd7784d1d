"""Simulations drawn at random, one a seed, that cross what a simulation can be.

Markets of unequal size in mixed order, prices that enter utility as they are, squared,
in logs or interacted, with random coefficients of any type or none, costs linear or in
logs and following quantities or not, ownership by firms or by weights that are not
symmetric, agents from data or from a rule, demographics given or drawn. From seed 100
on come nests too, with one ρ or one each, or availability of products that differs over
agents, or both, or a scale of the extreme-value errors.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

#: Formulas of prices in X1, with coefficients that make demand slope down.
PRICES = (
    ("prices", [-2.0]),
    ("prices + I(prices**2)", [-2.5, 0.02]),
    ("log(prices)", [-5.0]),
    ("prices + prices:x1", [-2.2, 0.05]),
    ("prices + prices:C(kind)", [-2.0, 0.3]),
)
RANDOM: tuple[tuple[str | None, list[str]], ...] = (
    (None, []),
    ("1 + prices", ["linear", "linear"]),
    ("0 + I(-prices) + x1", ["log", "linear"]),
    ("1 + I(-prices)", ["linear", "logit"]),
    ("0 + x1 + log(prices)", ["logit", "linear"]),
    ("1 + x1", ["linear", "linear"]),
)
RULES = (
    ("product", 4, None),
    ("monte_carlo", 25, {"seed": 5}),
    ("mlhs", 20, {"seed": 7}),
)
#: Seeds from which on nests, availability and scales are drawn, and which of them.
FIRST_NESTED = 100
KINDS = ("nested logit", "nests", "availability", "both", "scale")
N_NESTS = 3


@dataclass(frozen=True, slots=True, eq=False)
class DrawnSimulation:
    """Arguments of a simulation and of its solution, and what they exercise."""

    formulas: tuple[str, str | None, str]
    demographics: str | None
    rule: tuple[str, int, dict[str, Any] | None] | None
    arguments: dict[str, Any]
    solution: dict[str, Any]
    features: frozenset[str]

    def build(self, package: ModuleType) -> Any:
        """Make the simulation with the classes of one of the packages."""
        X1, X2, X3 = (f and package.Formulation(f) for f in self.formulas)
        given: dict[str, Any] = dict(self.arguments)
        if self.demographics:
            given["agent_formulation"] = package.Formulation(self.demographics)
        if self.rule:
            given["integration"] = package.Integration(*self.rule)
        return package.Simulation((X1, X2, X3), **given)


def draw_simulation(seed: int) -> DrawnSimulation:
    """Draw the simulation of a seed."""
    rng = np.random.default_rng([1995, 11, seed])
    products = _products(rng)
    formula, price_beta = PRICES[seed % len(PRICES)]
    random, types = RANDOM[rng.integers(len(RANDOM))]
    K2 = len(types)
    features = {f"X1 has {formula}", f"X2={random}"}
    arguments: dict[str, Any] = {
        "product_data": products,
        "beta": [0.5, 0.7, *price_beta],
        "seed": int(rng.integers(1000)),
        "xi_variance": 0.2,
        "omega_variance": 0.05,
        "correlation": 0.5,
        "costs_type": ("linear", "log")[rng.integers(2)],
    }
    scale = np.array([0.4 if kind == "linear" else 0.3 for kind in types])
    demographics, rule = None, None
    if K2:
        sigma = np.diag(scale * rng.uniform(0.5, 1.0, K2))
        if K2 > 1 and rng.integers(2):
            sigma[1, 0] = 0.1
        arguments |= {"sigma": sigma, "rc_types": types}
        if rng.integers(2):
            demographics = "0 + income"
            arguments["pi"] = scale[:, None] * rng.uniform(-0.5, 0.5, (K2, 1))
        if rng.integers(2):
            rule = RULES[rng.integers(len(RULES))]
        else:
            arguments["agent_data"] = _agents(rng, products, K2)
    terms = ["w1", "x1", *(["shares"] if rng.integers(3) == 0 else [])]
    arguments["gamma"] = [1.0 if arguments["costs_type"] == "linear" else 0.3]
    arguments["gamma"] += [0.3, 0.2, *([0.4] * (len(terms) - 2))]
    if rng.integers(3) == 0:
        products["ownership"] = _ownership(products, rng)
        features.add("ownership")
    constant = bool(rng.integers(2))
    if seed >= FIRST_NESTED:
        rule, more = _extend(seed, K2, rule, arguments)
        features |= more
    features |= {
        f"costs_type={arguments['costs_type']}",
        f"demographics={demographics}",
        f"rule={rule and rule[0]}",
        f"shares={'shares' in terms}, constant={constant}",
    }
    return DrawnSimulation(
        formulas=(f"1 + x1 + {formula}", random, " + ".join(["1", *terms])),
        demographics=demographics,
        rule=rule,
        arguments=arguments,
        solution={"constant_costs": constant},
        features=frozenset(features),
    )


def _products(rng: np.random.Generator) -> dict[str, Any]:
    """Draw ids of markets of unequal sizes, in mixed order."""
    T = int(rng.integers(8, 15))
    J = rng.integers(1, 9, T)
    market = np.repeat(np.arange(T), J)
    mixed = rng.permutation(market.size)
    return {
        "market_ids": np.array([f"m{t:02d}" for t in market])[mixed],
        "firm_ids": rng.integers(0, 3, market.size),
        "kind": np.array(["a", "b"])[np.arange(market.size) % 2],
    }


def _agents(
    rng: np.random.Generator, products: dict[str, Any], K2: int
) -> dict[str, Any]:
    """Draw agents with nodes; those of markets lie side by side."""
    ids = np.unique(products["market_ids"])
    counts = rng.integers(20, 40, ids.size)
    market = np.repeat(ids, counts)
    return {
        "market_ids": market,
        "weights": np.repeat(1 / counts, counts),
        "nodes": rng.normal(size=(market.size, K2)),
    }


def _extend(
    seed: int, K2: int, rule: Any, arguments: dict[str, Any]
) -> tuple[Any, set[str]]:
    """Add nests, availability or a scale; give the rule that is left, and features."""
    rng = np.random.default_rng([1997, seed])
    kind = KINDS[1 + rng.integers(len(KINDS) - 1)] if K2 else KINDS[0]
    features = {kind}
    products = arguments["product_data"]
    if kind == "scale":
        arguments["epsilon_scale"] = (0.6, 1.7)[rng.integers(2)]
    if kind in ("nested logit", "nests", "both"):
        N = products["market_ids"].size
        products["nesting_ids"] = np.array([*"abc"])[rng.integers(0, N_NESTS, N)]
        rho = rng.uniform(0.1, 0.7, N_NESTS)
        rho[1] *= rng.integers(3) > 0
        one = bool(rng.integers(2))
        arguments["rho"] = float(rho[0]) if one else rho
        features.add(f"one rho={one}")
    if kind in ("availability", "both"):
        if rule is not None:
            arguments["agent_data"] = _agents(rng, products, K2)
        arguments["agent_data"]["availability"] = _availability(
            rng, products["market_ids"], arguments["agent_data"]["market_ids"]
        )
        rule = None
    return rule, features


def _availability(
    rng: np.random.Generator, markets: np.ndarray, own: np.ndarray
) -> np.ndarray:
    """Let agents have each product of their market, half of it, or not at all."""
    ids, sizes = np.unique(markets, return_counts=True)
    drawn = rng.choice([0.0, 0.5, 1.0], (own.size, sizes.max()))
    beyond = np.arange(sizes.max()) >= sizes[np.searchsorted(ids, own)][:, None]
    return np.where(beyond, np.nan, drawn)


def _ownership(products: dict[str, Any], rng: np.random.Generator) -> np.ndarray:
    """Draw weights on other firms' profits, those of f on g not those of g on f."""
    kappa = rng.uniform(0, 0.5, (3, 3))
    np.fill_diagonal(kappa, 1.0)
    markets, firms = products["market_ids"], products["firm_ids"]
    largest = max(np.unique(markets, return_counts=True)[1])
    weights = np.full((firms.size, largest), np.nan)
    for market in np.unique(markets):
        rows = np.flatnonzero(markets == market)
        weights[rows, : rows.size] = kappa[np.ix_(firms[rows], firms[rows])]
    return weights
