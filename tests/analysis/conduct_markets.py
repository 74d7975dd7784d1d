"""Markets in equilibrium under known conduct, and demand estimated on them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

import blpdask
from blpdask import Formulation

COSTS = Formulation("1 + x + w")
#: What should not shift costs.
TESTED = ["rival_x", "own_x", "rivals"]


def draw_markets(
    seed: int,
    T: int = 60,
    *,
    kappa: Any = None,
    sigma: float = 1.0,
    rho: float | None = None,
    xi_variance: float = 0.3,
    omega_variance: float = 0.1,
) -> pd.DataFrame:
    """Draw markets of three to six products of three firms, prices in equilibrium.

    Utility is 1 + 1.5 x - 1.5 p + σ ν x + ξ, costs are 1 + 0.3 x + 0.5 w + ω, and firms
    weigh each other's profits by κ. Instruments of demand are w and sums of rivals'
    characteristics; of supply, those sums. ``clustering_ids`` are pairs of markets.
    """
    rng = np.random.default_rng([77, seed])
    sizes = rng.integers(3, 7, T)
    N = sizes.sum()
    data = pd.DataFrame({"market_ids": np.repeat(np.arange(T), sizes)})
    data["firm_ids"] = np.array(["a", "b", "c"])[rng.integers(0, 3, N)]
    data["x"], data["w"] = rng.normal(size=N), rng.normal(size=N)
    data["clustering_ids"] = data["market_ids"] // 2
    data["region"] = rng.choice(["north", "south", "west"], N)
    if rho is not None:
        data["nesting_ids"] = rng.choice(["u", "v"], N)
    market = data.groupby("market_ids")
    firm = data.groupby(["market_ids", "firm_ids"])
    of_firm = firm["x"].transform("sum")
    data["rival_x"] = market["x"].transform("sum") - of_firm
    data["own_x"] = of_firm - data["x"]
    data["rivals"] = market["x"].transform("size") - firm["x"].transform("size")
    names = [*TESTED, "w"]
    for place, name in enumerate(names):
        data[f"demand_instruments{place}"] = data[name]
    if rho is not None:
        nests = data.groupby(["market_ids", "nesting_ids"])["x"].transform("size")
        data["demand_instruments4"] = nests
    for place, name in enumerate(TESTED):
        data[f"supply_instruments{place}"] = data[name]
    ownership = blpdask.build_ownership(data, kappa)
    owned = {f"ownership{k}": v for k, v in enumerate(ownership.T)}
    random = Formulation("0 + x") if sigma else None
    simulation = blpdask.Simulation(
        (Formulation("1 + prices + x"), random, COSTS),
        data.assign(**owned),
        beta=[1.0, -1.5, 1.5],
        sigma=[[sigma]] if sigma else None,
        rho=rho,
        gamma=[1.0, 0.3, 0.5],
        integration=blpdask.Integration("product", 5) if sigma else None,
        xi_variance=xi_variance,
        omega_variance=omega_variance,
        correlation=0.0,
        seed=seed,
    ).replace_endogenous(engine="serial")
    data["prices"] = simulation.product_data["prices"].ravel()
    data["shares"] = simulation.product_data["shares"].ravel()
    data["costs"] = simulation.costs.ravel()
    return data


def estimate(
    data: pd.DataFrame,
    *,
    random: bool = True,
    supply: bool = False,
    linear: Formulation | None = None,
    rho: float | None = None,
    **settings: Any,
) -> blpdask.ProblemResults:
    """Estimate demand, alone or with supply, in one step unless told otherwise."""
    X2 = Formulation("0 + x") if random else None
    X1 = linear or Formulation("1 + prices + x")
    problem = blpdask.Problem(
        (X1, X2, COSTS) if supply else (X1, X2),
        data,
        integration=blpdask.Integration("product", 5) if random else None,
    )
    if supply:
        settings = {"beta": [None, -1.5, None], **settings}
    return problem.solve(
        sigma=[[1.0]] if random else None,
        rho=rho,
        engine="serial",
        **{"method": "1s", **settings},
    )
