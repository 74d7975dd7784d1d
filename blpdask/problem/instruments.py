"""A problem with other excluded instruments: what is included stays, effects absorbed.

Z_D is the excluded instruments, then the columns of X1 without prices; Z_S those of
supply, then the columns of X3 without shares, which are as endogenous as prices are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ..records import Floats
from .absorption import take_out
from .demand_problem import DemandProblem, prepare_demand
from .formulas import Column
from .products import Products
from .supply_side import SupplySide


def with_excluded(
    demand: DemandProblem, excluded: Floats, excluded_supply: Floats | None = None
) -> DemandProblem:
    """Give a problem other excluded instruments.

    Parameters
    ----------
    demand
        The problem, which stays as it is.
    excluded
        ``(N, Q)`` of demand, in the user's order.
    excluded_supply
        ``(N, Q_S)`` of supply; those that it has where None.
    """
    products = _of_demand(demand.products, excluded)
    if products.supply is not None and excluded_supply is not None:
        supply = _of_supply(products.supply, excluded_supply)
        products = replace(products, supply=supply)
    return prepare_demand(products, demand.agents, demand.types, demand.epsilon_scale)


def _of_demand(products: Products, excluded: Floats) -> Products:
    """Put Z_D together and absorb effects."""
    exogenous, names = _exogenous(products.X1, products.X1_columns, "prices")
    Z = np.hstack([excluded, exogenous])
    absorbed = take_out(Z, products.effects, products.absorption)
    return replace(
        products,
        ZD=absorbed,
        ZD_absorbed=absorbed,
        ZD_names=(*_number("demand_instruments", excluded), *names),
    )


def _of_supply(supply: SupplySide, excluded: Floats) -> SupplySide:
    """Put Z_S together and absorb effects."""
    exogenous, names = _exogenous(supply.X3, supply.X3_columns, "shares")
    Z = np.hstack([excluded, exogenous])
    absorbed = take_out(Z, supply.effects, supply.absorption)
    return replace(
        supply,
        ZS=absorbed,
        ZS_absorbed=absorbed,
        ZS_names=(*_number("supply_instruments", excluded), *names),
    )


def _exogenous(
    X: Floats, columns: Sequence[Column], endogenous: str
) -> tuple[Floats, list[str]]:
    """Keep the columns of X that do not name what is endogenous, with their names."""
    own = [k for k, column in enumerate(columns) if endogenous not in column.names]
    return X[:, own], [columns[k].name for k in own]


def _number(name: str, excluded: Floats) -> list[str]:
    """Name excluded instruments as PyBLP does."""
    return [f"{name}{m}" for m in range(excluded.shape[1])]
