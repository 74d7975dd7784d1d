"""Markets whose utility depends on prices by formulas that are written out here.

    V_ij(p) = δ_j + f(p)'β - f(p_j)'β + ν_i0 σ_0 x_j + ν_i1 σ_1 f_1(p)

with f(p) = log p, or (p, p²), or p. Markets are of different sizes, in mixed order.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

import blpdask
from blpdask import Formulation
from tests.references.specifications import quietly

FORMULAS = {
    "log": ("log(prices)", "log(prices)", [-3.0]),
    "quadratic": ("prices + I(prices**2)", "prices", [-1.5, -0.1]),
    "linear": ("prices", "prices", [-1.5]),
}
SIGMA = np.array([0.5, 0.4])
SIZES = np.array([3, 1, 5, 2])
PEOPLE = np.array([4, 6, 3, 5])
RHO = np.array([0.6, 0.0, 0.35])


@dataclass(frozen=True, slots=True, eq=False)
class Priced:
    """Results, how they were made, and prices before and after."""

    kind: str
    results: Any
    nodes: np.ndarray
    weights: np.ndarray
    availability: np.ndarray | None
    nests: np.ndarray | None
    scale: float
    new_prices: np.ndarray

    @property
    def prices(self) -> np.ndarray:
        """Give prices, ``(N,)``."""
        return np.asarray(self.results.product_data.prices[:, 0])

    def rows(self, t: int) -> np.ndarray:
        """Give the rows of a market in the user's order."""
        return np.flatnonzero(self.results.product_data.market_ids[:, 0] == f"m{t}")

    def people(self, t: int) -> np.ndarray:
        """Give the agents of a market."""
        return np.arange(PEOPLE[:t].sum(), PEOPLE[: t + 1].sum())

    def part(self, i: int, p: Any) -> Any:
        """Evaluate the part of utility that moves with prices."""
        f_1 = np.log(p) if self.kind == "log" else p
        return part_of(self.kind, p) + self.nodes[i, 1] * SIGMA[1] * f_1

    def utilities(self, t: int, i: int, p: np.ndarray) -> np.ndarray:
        """Evaluate V of an agent at prices of the market's products, over ε."""
        rows = self.rows(t)
        data, x = self.prices[rows], self.results.product_data.x[rows, 0]
        fixed = self.results.delta[rows, 0] - part_of(self.kind, data)
        V = fixed + self.nodes[i, 0] * SIGMA[0] * x + self.part(i, p)
        return np.asarray(V / self.scale)

    def outside(self, i: int, q: float, m: Any) -> Any:
        """Evaluate what money is worth outside, over ε."""
        return (self.part(i, q - m) - self.part(i, q)) / self.scale


def part_of(kind: str, p: Any) -> Any:
    """Evaluate f(p)'β."""
    beta = FORMULAS[kind][2]
    if kind == "log":
        return beta[0] * np.log(p)
    return beta[0] * p + (beta[1] * p**2 if kind == "quadratic" else 0.0)


@cache
def priced(
    kind: str, *, nested: bool = False, available: bool = False, scale: float = 1.0
) -> Priced:
    """Make markets at drawn prices, and other prices, up and down."""
    rng = np.random.default_rng([2005, len(kind)])
    N, A = SIZES.sum(), PEOPLE.sum()
    mixed = rng.permutation(N)
    prices = rng.uniform(2.0, 4.0, N)
    products: dict[str, Any] = {
        "market_ids": np.repeat([f"m{t}" for t in range(4)], SIZES)[mixed],
        "firm_ids": np.arange(N),
        "x": rng.normal(size=N),
        "prices": prices,
    }
    weights = rng.uniform(1.0, 2.0, A)
    sums = np.add.reduceat(weights, np.cumsum(PEOPLE) - PEOPLE)
    nodes = np.clip(rng.normal(size=(A, 2)), -2.0, 2.0)
    agents: dict[str, Any] = {
        "market_ids": np.repeat([f"m{t}" for t in range(4)], PEOPLE),
        "weights": weights / np.repeat(sums, PEOPLE),
        "nodes": nodes,
    }
    arguments: dict[str, Any] = {}
    nests = None
    if nested:
        nests = np.arange(N) % 3
        products["nesting_ids"], arguments["rho"] = nests, RHO
    if available:
        own = rng.choice([0.0, 0.5, 1.0], (A, SIZES.max()))
        own[np.cumsum(PEOPLE) - 1] = 1.0
        beyond = np.arange(SIZES.max()) >= np.repeat(SIZES, PEOPLE)[:, None]
        agents["availability"] = np.where(beyond, np.nan, own)
    if scale != 1.0:
        arguments["epsilon_scale"] = scale
    X1, X2, beta = FORMULAS[kind]
    with quietly():
        simulation = blpdask.Simulation(
            (
                Formulation(f"1 + {X1}"),
                Formulation(f"0 + x + {X2}"),
                Formulation("1 + x"),
            ),
            products,
            agent_data=agents,
            beta=[2.5, *beta],
            sigma=np.diag(SIGMA),
            gamma=[1.0, 0.1],
            xi_variance=0.2,
            omega_variance=0.1,
            seed=1,
            **arguments,
        )
        results = simulation.replace_endogenous(
            prices=prices, iteration=blpdask.Iteration("return")
        )
    return Priced(
        kind=kind,
        results=results,
        nodes=nodes,
        weights=agents["weights"],
        availability=agents.get("availability"),
        nests=nests,
        scale=scale,
        new_prices=prices * rng.uniform(0.8, 1.5, N),
    )
