"""Draw scanner data of a category whose truth is known: retailers, months, products.

A market is a month of a retailer, who sells most of the products of four firms. Tastes
for price and fat depend on income y, whose distribution differs across retailers,

    u_ijt = (α + π_p y_i) p_jt + (β_f + π_f y_i + σ ν_i) fat_j + β_s sugar_j
            + β_o organic_j + d_b(j)r + m_t + ξ_jt + ε_ijt,
    c_jt  = γ_0 + γ_m milk_jt + γ_s syrup_jt + γ_f freight_jt + γ_o organic_j + ω_jt,

and firms' prices are in Bertrand-Nash equilibrium. The effect of brand b at retailer r
is d_br = ψ_1 + ψ_q quality_b + ψ_c captain_br + ζ_br: one firm is the captain of a
retailer's category, and its brands are put where they are seen.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

import blpdask as blp

FIRMS = (0, 0, 0, 1, 1, 2, 2, 3)  # whose the eight brands are
LINEAR = "0 + prices + fat + sugar + organic"
RANDOM = "0 + prices + fat"
COSTS = "1 + milk + syrup + freight + organic"


@dataclass(frozen=True, slots=True)
class Truth:
    """True parameters; ψ is on one, quality and captain."""

    sigma: tuple[tuple[float, ...], ...] = ((0.0, 0.0), (0.0, 1.0))
    pi: tuple[tuple[float, ...], ...] = ((0.6,), (0.8,))
    beta: tuple[float, ...] = (-3.0, -0.5, 0.5, 0.4)
    gamma: tuple[float, ...] = (1.0, 0.5, 0.4, 0.3, 0.3)
    psi: tuple[float, ...] = (2.5, 0.6, 0.5)


def draw_category(
    seed: int = 0,
    retailers: int = 20,
    months: int = 36,
    products: int = 25,
    truth: Truth = Truth(),
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Draw products and agents; prices and shares are those of equilibrium."""
    rng = np.random.default_rng([2024, seed])
    rows = draw_products(rng, retailers, months, products, truth.psi)
    agents = draw_agents(rng, retailers, months)
    simulation = blp.Simulation(
        [blp.Formulation(text) for text in (LINEAR, RANDOM, COSTS)],
        rows,
        beta=truth.beta,
        sigma=truth.sigma,
        pi=truth.pi,
        gamma=truth.gamma,
        agent_formulation=blp.Formulation("0 + income"),
        agent_data=agents,
        xi=rows["brand_effect"] + rows["month_effect"] + rows["xi"],
        omega=rows["omega"],
        seed=seed,  # of placeholders for prices, whose rounding differs otherwise
    )
    found = simulation.replace_endogenous()
    for name in ("prices", "shares"):
        rows[name] = found.product_data[name][:, 0]
    rows["costs"] = found.costs[:, 0]
    return rows, agents


def draw_products(
    rng: np.random.Generator,
    retailers: int,
    months: int,
    products: int,
    psi: tuple[float, ...],
) -> pd.DataFrame:
    """Draw who sells what when, characteristics, cost shifters, effects and errors."""
    J, B = products + 7, len(FIRMS)
    kept = rng.normal(size=(retailers, 1, J)) + 0.5 * rng.normal(
        size=(retailers, months, J)
    )
    sold = kept.argsort(axis=2).argsort(axis=2) < products
    r, t, j = np.nonzero(sold)
    b = j % B
    fat, sugar = rng.uniform(0, 2, (2, J))
    organic = (rng.random(J) < 0.3).astype(float)
    milk, syrup, fuel = np.exp(0.1 * rng.normal(size=(3, months)).cumsum(axis=1))
    distance = rng.uniform(0, 2, (B, retailers))
    quality, captain = rng.normal(size=B), rng.integers(0, max(FIRMS) + 1, retailers)
    leads = np.equal.outer(FIRMS, captain).astype(float)
    effect = psi[0] + psi[1] * quality[:, None] + psi[2] * leads
    effect = effect + 0.3 * rng.normal(size=(B, retailers))
    season = 0.2 * np.sin(np.arange(months) * np.pi / 6) + 0.1 * rng.normal(size=months)
    season -= season.mean()
    shock, common = rng.normal(size=(2, j.size)), rng.normal(size=(months, J))
    return pd.DataFrame(
        {
            "market_ids": [f"R{a:02}M{c:02}" for a, c in zip(r, t, strict=True)],
            "retailer": r,
            "month": t,
            "product_ids": j,
            "brand_ids": b,
            "firm_ids": np.array(FIRMS)[b],
            "clustering_ids": [f"B{a}R{c:02}" for a, c in zip(b, r, strict=True)],
            "fat": fat[j],
            "sugar": sugar[j],
            "organic": organic[j],
            "milk": milk[t] * (0.5 + fat[j]),
            "syrup": syrup[t] * sugar[j],
            "freight": fuel[t] * distance[b, r],
            "quality": quality[b],
            "captain": leads[b, r],
            "brand_effect": effect[b, r],
            "month_effect": season[t],
            "xi": 0.3 * shock[0],
            "omega": 0.05 * shock[0] + 0.1 * shock[1] + 0.1 * common[t, j],
        }
    )


def draw_agents(
    rng: np.random.Generator, retailers: int, months: int, count: int = 50
) -> pd.DataFrame:
    """Draw customers of every retailer, whose mean income differs."""
    r, t, _ = np.indices((retailers, months, count)).reshape(3, -1)
    mean = rng.normal(size=retailers)
    return pd.DataFrame(
        {
            "market_ids": [f"R{a:02}M{c:02}" for a, c in zip(r, t, strict=True)],
            "weights": 1 / count,
            "nodes0": 0.0,
            "nodes1": rng.normal(size=r.size),
            "income": 0.7 * mean[r] + 0.7 * rng.normal(size=r.size),
        }
    )
