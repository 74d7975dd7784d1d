"""Problems with nests and what else goes into choices, drawn at random, one a seed.

To a problem of :mod:`tests.references.drawn`, or with a supply side to one of
:mod:`tests.references.drawn_supply`, come nests with one ρ or one each, some of them
fixed, with random coefficients or without; or a demographic that differs over products,
or availability of products that differs over agents, both with nests or without; or a
scale of the extreme-value errors other than one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tests.references.drawn import draw
from tests.references.drawn_supply import draw_supply
from tests.references.specifications import Specification

N_NESTS = 3
KINDS = ("nested logit", "nests", "distances", "availability", "both", "scale")


@dataclass(frozen=True, slots=True, eq=False)
class DrawnNests:
    """A problem, the arguments of its solution, and what it exercises."""

    specification: Specification
    solution: dict[str, Any]
    features: frozenset[str]


def draw_nests(seed: int) -> DrawnNests:
    """Draw the problem of a seed."""
    rng = np.random.default_rng([1994, seed])
    supply = bool(rng.integers(2))
    drawn: Any = draw_supply(500 + seed) if supply else draw(500 + seed)
    kind = KINDS[seed % len(KINDS)]
    specification, solution = drawn.specification, dict(drawn.solution)
    features = {kind, f"{kind} and supply={supply}"}
    if kind == "scale":
        options = {
            **specification.options,
            "epsilon_scale": (0.6, 1.7)[rng.integers(2)],
        }
        specification = replace(specification, options=options)
    if kind == "distances":
        specification = _add_distances(specification, solution, rng)
    if kind in ("nested logit", "nests", "both") or (
        kind == "distances" and rng.integers(2)
    ):
        features.add(_add_nests(specification, solution, rng))
    if kind == "nested logit":
        specification = _without_random(specification, solution)
    if kind in ("availability", "both"):
        specification = _add_availability(specification, rng)
    return DrawnNests(specification, solution, frozenset(features))


def _add_nests(
    specification: Specification, solution: dict[str, Any], rng: np.random.Generator
) -> str:
    """Add nests to the products and ρ to the solution; say of which shape."""
    products: Any = specification.products
    N = products["prices"].size
    products["nesting_ids"] = np.array([*"abc"])[rng.integers(0, N_NESTS, N)]
    shape = ("one", "each", "fixed", "zero")[rng.integers(4)]
    rho = rng.uniform(0.1, 0.7, N_NESTS)
    if shape == "one":
        solution["rho"] = float(rho[0])
        return "rho one"
    if shape == "zero":
        rho[1] = 0.0
    solution["rho"] = rho
    if shape == "fixed":
        low, high = np.zeros(N_NESTS), np.full(N_NESTS, 0.95)
        low[2] = high[2] = rho[2]
        solution["rho_bounds"] = (low, high)
    return f"rho {shape}"


def _without_random(
    specification: Specification, solution: dict[str, Any]
) -> Specification:
    """Drop random coefficients, with prices in X1 if nowhere else."""
    for name in ("sigma", "pi", "sigma_bounds", "pi_bounds"):
        solution.pop(name, None)
    linear = specification.linear
    if "prices" not in linear:
        linear += " + prices"
        solution["beta"] = [*solution["beta"], -1.1]
    options = {k: v for k, v in specification.options.items() if k != "rc_types"}
    return replace(
        specification,
        linear=linear,
        random=None,
        agents=None,
        demographics=None,
        rule=None,
        options=options,
    )


def _add_distances(
    specification: Specification, solution: dict[str, Any], rng: np.random.Generator
) -> Specification:
    """Let one more demographic differ over products, with loadings of its own."""
    products: Any = specification.products
    agents = agents_with_nodes(specification, rng)
    own = agents["market_ids"]
    names, counts = np.unique(products["market_ids"], return_counts=True)
    sizes = dict(zip(names, counts, strict=True))
    inside = np.arange(counts.max()) < np.array([sizes[m] for m in own])[:, None]
    distance = np.where(inside, rng.normal(size=inside.shape), np.nan)
    agents |= {f"distance{j}": distance[:, j] for j in range(counts.max())}
    K2 = len(specification.options["rc_types"])
    before = specification.demographics
    pi = np.asarray(solution.get("pi", np.zeros((K2, 0)))).reshape(K2, -1)
    solution["pi"] = np.hstack([pi, rng.uniform(-0.3, 0.3, (K2, 1))])
    solution.pop("pi_bounds", None)
    formula = f"{before} + distance" if before else "0 + distance"
    return replace(specification, agents=agents, demographics=formula, rule=None)


def agents_with_nodes(
    specification: Specification, rng: np.random.Generator
) -> dict[str, Any]:
    """Give agents nodes and weights of their own where they come from a rule."""
    agents = dict(specification.agents or {})
    if "market_ids" not in agents:
        names = np.unique(specification.products["market_ids"])
        agents["market_ids"] = np.repeat(names, 90)
    own = agents["market_ids"]
    if specification.rule is not None:
        people = dict(zip(*np.unique(own, return_counts=True), strict=True))
        agents["weights"] = np.array([1 / people[market] for market in own])
        K2 = len(specification.options["rc_types"])
        agents |= {f"nodes{k}": rng.normal(size=own.size) for k in range(K2)}
    return agents


def _add_availability(
    specification: Specification, rng: np.random.Generator
) -> Specification:
    """Let some agents have a product half, or, where its share is small, not at all.

    PyBLP takes availability from agent data only, so a rule is replaced by nodes.
    """
    products: Any = specification.products
    agents = agents_with_nodes(specification, rng)
    own = agents["market_ids"]
    largest = np.unique(products["market_ids"], return_counts=True)[1].max()
    available = np.full((own.size, largest), np.nan)
    for market in np.unique(own):
        people, rows = own == market, products["market_ids"] == market
        shares = products["shares"][rows]
        drawn = rng.choice([0.0, 0.5, 1.0], (people.sum(), shares.size))
        drawn[:, shares > 0.05] = np.maximum(drawn[:, shares > 0.05], 0.5)
        available[people, : shares.size] = drawn
    agents |= {f"availability{j}": available[:, j] for j in range(largest)}
    return replace(specification, agents=agents, rule=None)
