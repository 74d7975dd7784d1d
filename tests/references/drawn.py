"""Problems drawn at random, one a seed, that cross what a demand problem can be.

Markets of unequal size, one to three random coefficients of any type, with and without
demographics, Σ diagonal or full, agents from data or from a rule, effects absorbed or
not, linear parameters inside θ or concentrated out, parameters held by bounds, given
weights, and every way to weigh moments and to compute standard errors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tests.references.specifications import Specification

N_INSTRUMENTS = 16
RULES = (
    ("product", 4, None),
    ("monte_carlo", 25, {"seed": 5}),
    ("halton", 30, {"seed": 6}),
    ("mlhs", 20, {"seed": 7}),
    ("lhs", 20, {"seed": 8}),
    ("nested_grid", 4, None),
)
#: PyHDFE's default for two effects stops at 1e-8; its dummies are exact.
EXACT_ABSORPTION = {"C(product_ids) + C(region)": ("dummy", None)}


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """A problem, the arguments of its solution, and what it exercises.

    ``given_weights`` asks for a first W that is not 2SLS.
    """

    specification: Specification
    solution: dict[str, Any]
    given_weights: bool
    features: frozenset[str]


@dataclass(frozen=True, slots=True, eq=False)
class _Markets:
    """Products and agents with their market ids, before shares."""

    products: dict[str, Any]
    agents: dict[str, Any]
    xi: np.ndarray


def draw(seed: int) -> Drawn:
    """Draw the problem of a seed."""
    rng = np.random.default_rng([1995, seed])
    K2 = 1 + seed % 3
    types = [str(t) for t in rng.choice(["linear", "linear", "log", "logit"], K2)]
    D = int(rng.integers(0, 3))
    full = bool(rng.integers(2)) and K2 > 1
    use_rule = bool(rng.integers(2))
    absorb = (None, "C(product_ids)", "C(product_ids) + C(region)")[rng.integers(3)]
    add_exogenous = bool(rng.integers(4))
    markets = _draw_markets(rng, K2, add_exogenous=add_exogenous, absorb=absorb)
    random, linear = _formulas(rng, K2, absorb)
    theta = _draw_theta(rng, types, D, full)
    products = {**markets.products, "shares": _shares(markets, random, theta, types)}
    agents = dict(markets.agents)
    if use_rule:
        agents = {k: v for k, v in agents.items() if k[:5] not in ("nodes", "weigh")}
    solution, features = _draw_solution(rng, theta, linear)
    specification = Specification(
        products,
        linear,
        absorb,
        absorption=EXACT_ABSORPTION.get(absorb or "", (None, None)),
        random=random,
        agents=agents if D or not use_rule else None,
        demographics="0 + " + " + ".join(f"d{d}" for d in range(D)) if D else None,
        rule=RULES[rng.integers(len(RULES))] if use_rule else None,
        options={"rc_types": types, "add_exogenous": add_exogenous},
    )
    features |= {f"K2={K2}", *types, f"absorb={absorb}", f"rule={use_rule}"}
    features |= {f"D={D}", f"full={full}", f"add_exogenous={add_exogenous}"}
    given_weights = bool(rng.integers(3) == 0)
    return Drawn(
        specification,
        solution,
        given_weights,
        frozenset(features | {f"given_weights={given_weights}"}),
    )


def positive_weights(n_moments: int) -> np.ndarray:
    """Draw a positive definite weighting matrix that is not 2SLS, ``(M, M)``."""
    root = np.random.default_rng(n_moments).normal(size=(n_moments, n_moments))
    return root @ root.T / n_moments + np.eye(n_moments)


def _draw_markets(
    rng: np.random.Generator, K2: int, *, add_exogenous: bool, absorb: str | None
) -> _Markets:
    """Draw products and agents of markets of unequal sizes, in mixed order."""
    T = int(rng.integers(15, 26))
    J, I = rng.integers(2, 9, T), rng.integers(45, 90, T)  # noqa: E741
    product_ids = np.concatenate([np.arange(n) for n in J])
    market = np.repeat(np.arange(T), J)
    N, A = market.size, I.sum()
    x, z = rng.normal(size=(N, 2)), rng.normal(size=(N, N_INSTRUMENTS))
    xi = 0.5 * rng.normal(size=N)
    loadings = rng.normal(size=N_INSTRUMENTS) / 8
    prices = 2 + 0.3 * x[:, 0] + z @ loadings + 0.3 * xi + 0.2 * rng.normal(size=N)
    prices = np.exp(0.4 * prices)
    if not add_exogenous:
        z = np.column_stack(
            [z, x, x[:, 0] * x[:, 1], np.ones((N, int(absorb is None)))]
        )
        z = _without_effects(z, absorb, product_ids, market % 4)
    mixed = rng.permutation(N)
    products = {
        "market_ids": np.array([f"m{t:02d}" for t in market])[mixed],
        "product_ids": product_ids[mixed],
        "region": (market % 4)[mixed],
        "clustering_ids": (2 * market + product_ids % 2)[mixed],
        "prices": prices[mixed],
        "x1": x[mixed, 0],
        "x2": x[mixed, 1],
        **{f"demand_instruments{m}": z[mixed, m] for m in range(z.shape[1])},
    }
    agent_market = np.repeat(np.arange(T), I)
    raw = rng.uniform(0.5, 1.5, A)
    weights = raw / np.bincount(agent_market, weights=raw)[agent_market]
    agents: dict[str, Any] = {
        "market_ids": np.array([f"m{t:02d}" for t in agent_market]),
        "weights": weights,
        "d0": rng.normal(size=A),
        "d1": rng.uniform(size=A),
    }
    nodes = rng.normal(size=(A, K2))
    agents |= {f"nodes{k}": nodes[:, k] for k in range(K2)}
    return _Markets(products, agents, xi[mixed])


def _without_effects(
    z: np.ndarray, absorb: str | None, product_ids: np.ndarray, region: np.ndarray
) -> np.ndarray:
    """Take effects out of instruments by dummies, as a user does who gives all of Z."""
    if absorb is None:
        return z
    dummies = product_ids[:, None] == np.unique(product_ids)
    if "region" in absorb:
        dummies = np.hstack([dummies, region[:, None] == np.unique(region)])
    D = dummies.astype(float)
    return z - D @ np.linalg.lstsq(D, z, rcond=None)[0]


def _formulas(rng: np.random.Generator, K2: int, absorb: str | None) -> tuple[str, str]:
    """Draw the formulas of X2 and X1."""
    random = "0 + " + " + ".join(["prices", "x1", "x2"][:K2])
    if rng.integers(2) and K2 > 1:
        random = "1 + " + " + ".join(["prices", "x1"][: K2 - 1])
    terms = ["prices", "x1", *(["x1:x2"] if rng.integers(2) else [])]
    return random, ("0 + " if absorb else "1 + ") + " + ".join(terms)


def _draw_theta(
    rng: np.random.Generator, types: list[str], D: int, full: bool
) -> dict[str, np.ndarray]:
    """Draw Σ and Π, a little smaller where they go through exp."""
    K2 = len(types)
    scale = np.array([0.3 if t == "log" else 0.8 for t in types])[:, None]
    sigma = np.tril(rng.uniform(0.3, 1.2, (K2, K2)) * rng.choice([-1, 1], (K2, K2)))
    sigma[np.diag_indices(K2)] = np.abs(sigma.diagonal())
    if not full:
        sigma = np.diag(sigma.diagonal())
    pi = rng.uniform(-0.7, 0.7, (K2, D))
    if D > 1:
        pi[0, 1] = 0
    return {"sigma": scale * sigma, "pi": scale * pi}


def _shares(
    markets: _Markets, random: str, theta: dict[str, np.ndarray], types: list[str]
) -> np.ndarray:
    """Integrate shares at 1.3 θ, market by market, plainly."""
    products, agents = markets.products, markets.agents
    N = products["prices"].size
    columns = {"1": np.ones(N), "0": None, **products}
    X2 = np.column_stack([columns[name] for name in random.split(" + ") if name != "0"])
    K2, D = theta["pi"].shape
    draws = [agents[f"nodes{k}"] for k in range(K2)]
    demographics = [agents[f"d{d}"] for d in range(D)]
    loadings = 1.3 * np.hstack([theta["sigma"], theta["pi"]])
    tastes = np.column_stack(draws + demographics) @ loadings.T
    for k, kind in enumerate(types):
        if kind == "log":
            tastes[:, k] = np.exp(tastes[:, k])
        elif kind == "logit":
            tastes[:, k] = 1 / (1 + np.exp(-tastes[:, k]))
    delta = 0.5 - 0.9 * products["prices"] + 0.4 * products["x1"] + markets.xi
    shares = np.empty(N)
    for market in np.unique(products["market_ids"]):
        rows = products["market_ids"] == market
        people = agents["market_ids"] == market
        exponentials = np.exp(delta[rows] + tastes[people] @ X2[rows].T)
        chosen = exponentials / (1 + exponentials.sum(axis=1, keepdims=True))
        shares[rows] = agents["weights"][people] @ chosen
    return shares


def _draw_solution(
    rng: np.random.Generator, theta: dict[str, np.ndarray], linear: str
) -> tuple[dict[str, Any], set[str]]:
    """Draw the arguments of a solution and name what they exercise."""
    kinds = ("robust", "unadjusted", "clustered")
    chosen: dict[str, Any] = {
        "method": ("1s", "2s")[rng.integers(2)],
        "initial_update": bool(rng.integers(2)),
        "scale_objective": bool(rng.integers(3)),
        "center_moments": bool(rng.integers(3)),
        "W_type": kinds[rng.integers(3)],
        "se_type": kinds[rng.integers(3)],
    }
    features = {f"{name}={value}" for name, value in chosen.items()}
    solution = {**chosen, "sigma": theta["sigma"], "check_optimality": "gradient"}
    if theta["pi"].size:
        solution["pi"] = theta["pi"]
    n_terms = len(linear.split(" + ")) - (linear[0] == "0")
    if rng.integers(2):
        beta: list[float | None] = [None] * n_terms
        beta[0] = -0.8
        if rng.integers(2):
            beta[-1] = 0.3
        solution["beta"] = beta
        features.add("beta in theta")
    if rng.integers(3) == 0:
        held = np.full(theta["sigma"].shape, np.inf)
        held[-1, -1] = theta["sigma"][-1, -1]
        solution["sigma_bounds"] = (np.where(np.isfinite(held), held, -np.inf), held)
        features.add("held by bounds")
    return solution, features
