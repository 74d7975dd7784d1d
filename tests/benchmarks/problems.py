"""Which problems are timed: Nevo's (2000) cereal data, and simulated markets.

Simulated utilities are u_ijt = β_0 + β_p p_jt + x_jt (β + Σ ν_it) + ξ_jt + ε_ijt with Σ
diagonal and prices that shifters w move and ξ does not. Excluded instruments are w, w²,
the quadratic differentiation instruments Σ_k (x_kt - x_jt)² of Gandhi and Houde (2019)
and Σ_k x_kt. Shares are the exact integral over the nodes that both packages are given,
so that estimates have no simulation error.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from blpdask.records import Floats

#: True σ of a simulated problem; estimation starts at half of it.
SIGMA = (1.0, 0.8, 0.5)
CONSTANT, PRICE, SLOPE = -1.0, -1.5, 0.7
#: Utilities held at once while shares are made.
CHUNK = 2**21


@dataclass(frozen=True, slots=True)
class Size:
    """T markets, J products and I agents in each, K2 random coefficients."""

    T: int
    J: int
    I: int  # noqa: E741
    K2: int

    def __str__(self) -> str:
        """Say the size in one line."""
        return f"T={self.T} J={self.J} I={self.I} K2={self.K2}"


@dataclass(frozen=True, slots=True)
class Data:
    """Tables, formulas and starting values, for either package.

    Attributes
    ----------
    products, agents
        Columns by name.
    linear, random, demographics
        Formulas of X1, X2 and the demographics; None for none of these.
    absorb
        Formula of absorbed effects.
    sigma, pi
        Starting values ``(K2, K2)`` and ``(K2, D)``.
    """

    products: Any
    agents: Any
    linear: str
    random: str
    demographics: str | None
    absorb: str | None
    sigma: Floats
    pi: Floats | None


def nevo() -> Data:
    """Read Nevo's data, with the starting values of his paper."""
    import pandas as pd

    import blpdask

    return Data(
        products=pd.read_csv(blpdask.data.NEVO_PRODUCTS_LOCATION),
        agents=pd.read_csv(blpdask.data.NEVO_AGENTS_LOCATION),
        linear="0 + prices",
        random="1 + prices + sugar + mushy",
        demographics="0 + income + income_squared + age + child",
        absorb="C(product_ids)",
        sigma=np.diag([0.3302, 2.4526, 0.0163, 0.2441]),
        pi=np.array(
            [
                [5.4819, 0, 0.2037, 0],
                [15.8935, -1.2000, 0, 2.6342],
                [-0.2506, 0, 0.0511, 0],
                [1.2650, 0, -0.8091, 0],
            ]
        ),
    )


def simulate(size: Size, seed: int = 0) -> Data:
    """Simulate markets; the same size and seed give the same numbers."""
    rng = np.random.default_rng(seed)
    T, J, K2 = size.T, size.J, size.K2
    x = rng.normal(size=(T, J, K2))
    w = rng.uniform(size=(T, J))
    prices = 1 + w + 0.2 * x.sum(axis=2) + 0.2 * rng.uniform(size=(T, J))
    xi = 0.5 * rng.normal(size=(T, J))
    nodes = rng.normal(size=(T, size.I, K2))
    sigma = np.array(SIGMA[:K2])
    delta = CONSTANT + PRICE * prices + SLOPE * x.sum(axis=2) + xi
    names = [f"x{k}" for k in range(1, K2 + 1)]
    products = {
        "market_ids": np.repeat(np.arange(T), J),
        "shares": _shares(delta, x * sigma, nodes).ravel(),
        "prices": prices.ravel(),
        **{name: x[:, :, k].ravel() for k, name in enumerate(names)},
    }
    for m, column in enumerate(_instruments(x, w)):
        products[f"demand_instruments{m}"] = column.ravel()
    agents = {
        "market_ids": np.repeat(np.arange(T), size.I),
        "weights": np.full(T * size.I, 1 / size.I),
        **{f"nodes{k}": nodes[:, :, k].ravel() for k in range(K2)},
    }
    return Data(
        products=products,
        agents=agents,
        linear=" + ".join(["1", "prices", *names]),
        random=" + ".join(["0", *names]),
        demographics=None,
        absorb=None,
        sigma=np.diag(sigma) / 2,
        pi=None,
    )


def _shares(delta: Floats, scaled: Floats, nodes: Floats) -> Floats:
    """Integrate choice probabilities over nodes, ``(T, J)``, some markets at a time."""
    T, J = delta.shape
    step = max(1, CHUNK // (J * nodes.shape[1]))
    shares = np.empty((T, J))
    for first in range(0, T, step):
        some = slice(first, first + step)
        exponentials = nodes[some] @ scaled[some].transpose(0, 2, 1)
        exponentials += delta[some, None, :]
        np.exp(exponentials, out=exponentials)
        exponentials /= 1 + exponentials.sum(axis=2, keepdims=True)
        shares[some] = exponentials.mean(axis=1)
    return shares


def _instruments(x: Floats, w: Floats) -> list[Floats]:
    """Make the excluded instruments, each ``(T, J)``."""
    J = x.shape[1]
    total, squares = x.sum(axis=1, keepdims=True), (x**2).sum(axis=1, keepdims=True)
    distances = J * x**2 - 2 * x * total + squares
    others = total - x
    each = [array[:, :, k] for array in (distances, others) for k in range(x.shape[2])]
    return [w, w**2, *each]
