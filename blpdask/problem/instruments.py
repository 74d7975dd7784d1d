"""A problem with other excluded instruments: what is included stays, effects absorbed.

Z_D is the excluded instruments, then the columns of X1 without prices; Z_S those of
supply, then the columns of X3 without shares, which are as endogenous as prices are.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..records import Floats
from .absorption import take_out
from .demand_problem import DemandProblem, prepare_demand
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
    columns = products.X1_columns
    own = [k for k, column in enumerate(columns) if "prices" not in column.names]
    Z = np.hstack([excluded, products.X1[:, own]])
    absorbed = take_out(Z, products.effects, products.absorption)
    names = [f"demand_instruments{m}" for m in range(excluded.shape[1])]
    return replace(
        products,
        ZD=absorbed,
        ZD_absorbed=absorbed,
        ZD_names=(*names, *(columns[k].name for k in own)),
    )


def _of_supply(supply: SupplySide, excluded: Floats) -> SupplySide:
    """Put Z_S together and absorb effects."""
    columns = supply.X3_columns
    own = [k for k, column in enumerate(columns) if "shares" not in column.names]
    Z = np.hstack([excluded, supply.X3[:, own]])
    absorbed = take_out(Z, supply.effects, supply.absorption)
    names = [f"supply_instruments{m}" for m in range(excluded.shape[1])]
    return replace(
        supply,
        ZS=absorbed,
        ZS_absorbed=absorbed,
        ZS_names=(*names, *(columns[k].name for k in own)),
    )
