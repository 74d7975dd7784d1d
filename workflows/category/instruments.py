"""Choose instruments among many by LASSO, for prices and for every random coefficient.

The best instruments of θ are E[∂ξ/∂θ | z], those of α E[p | z] (Chamberlain 1987).
LASSO approximates them by a few of many candidates (Belloni, Chen, Chernozhukov and
Hansen 2012): cost shifters, prices of the same product elsewhere, and how far other
products are (Gandhi and Houde 2019), all times mean income of a retailer's customers as
well. Derivatives are those at starting values, which need not be right for instruments
to be valid.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from draw import LINEAR, RANDOM

import blpdask as blp

START = {"sigma": ((0.0, 0.0), (0.0, 0.5)), "pi": ((0.3,), (0.3,))}
EFFECTS = "C(clustering_ids) + C(month)"  # of a brand at a retailer, and of a month
CHARACTERISTICS = ("fat", "sugar", "organic")
SHIFTERS = ("milk", "syrup", "freight")


def list_candidates(products: pd.DataFrame, agents: pd.DataFrame) -> pd.DataFrame:
    """Build all candidates, a column each."""
    costs = products[list(SHIFTERS)].assign(elsewhere=elsewhere(products))
    exogenous = costs.join(products[list(CHARACTERISTICS)])
    columns = np.column_stack([np.ones(len(products)), exogenous])
    fitted = columns @ np.linalg.lstsq(columns, products["prices"], rcond=None)[0]
    apart = products.assign(price=fitted)
    names = ("price", *CHARACTERISTICS)
    formulation = blp.Formulation(f"0 + {' + '.join(names)}")
    parts = [exogenous]
    for version in ("local", "quadratic"):
        found = blp.build_differentiation_instruments(formulation, apart, version)
        labels = [f"{version} {of} {x}" for of in ("own", "rivals") for x in names]
        parts.append(pd.DataFrame(found, products.index, labels))
    every = pd.concat(parts, axis=1)
    income = agents.groupby("market_ids")["income"].mean()[products["market_ids"]]
    by_income = every.mul(income.to_numpy(), axis=0).add_suffix(" x income")
    return pd.concat([every.drop(columns=list(CHARACTERISTICS)), by_income], axis=1)


def elsewhere(products: pd.DataFrame) -> np.ndarray:
    """Average the product's price at other retailers in the month (Hausman 1996)."""
    found = blp.build_hausman_instruments(
        products,
        same="product_ids",
        across="retailer",
        period="month",
        fallback="brand_ids",
    )
    return found[:, 0]


def specify(
    products: pd.DataFrame, agents: pd.DataFrame, instruments: pd.DataFrame
) -> blp.Problem:
    """Make the demand problem that is estimated, with some instruments."""
    columns = {
        f"demand_instruments{m}": instruments[n] for m, n in enumerate(instruments)
    }
    return blp.Problem(
        (blp.Formulation(LINEAR, absorb=EFFECTS), blp.Formulation(RANDOM)),
        products.assign(**columns),
        blp.Formulation("0 + income"),
        agents,
    )


def select(
    products: pd.DataFrame, agents: pd.DataFrame, candidates: pd.DataFrame
) -> dict[str, blp.InstrumentSelection]:
    """Select instruments for prices and for ∂ξ/∂θ at starting values, by name."""
    costs = candidates[[*SHIFTERS, "elsewhere"]]
    at_start = specify(products, agents, costs).solve(
        **START,
        method="1s",
        optimization=blp.Optimization("return"),
        check_optimality="gradient",
    )
    slopes = at_start.xi_by_theta_jacobian
    endogenous = {"prices": products["prices"]} | {
        name: slopes[:, k] for k, name in enumerate(at_start.theta_labels)
    }
    controls = blp.Formulation(LINEAR.replace("prices + ", ""), absorb=EFFECTS)
    return {
        name: blp.select_instruments(
            candidates,
            products.assign(endogenous=values),
            endogenous="endogenous",
            controls=controls,
            clusters="clustering_ids",
            n_endogenous=len(endogenous),
        )
        for name, values in endogenous.items()
    }


def join(
    candidates: pd.DataFrame, selections: dict[str, blp.InstrumentSelection]
) -> pd.DataFrame:
    """Take the candidates that any selection has."""
    chosen = {name for found in selections.values() for name in found.selected_names}
    return candidates[[name for name in candidates if name in chosen]]
