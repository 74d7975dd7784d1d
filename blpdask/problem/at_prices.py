"""A problem in memory at other prices and shares than the data's.

Columns of X1, X2 and X3 are functions of prices and shares, and are evaluated anew:

    x1_k(p), x2_k(p), x3_k(s),   log s_j, log s_j - log s_0.

This is for what is computed at given parameters. Residuals of effects, instruments and
their sums, which only estimation needs, stay the data's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ..records import Floats
from .demand_problem import DemandProblem, scaled
from .formulas import Column
from .pricing import Rows
from .supply_side import SupplySide


def at_prices(
    demand: DemandProblem, data: Rows, prices: Floats, shares: Floats
) -> DemandProblem:
    """Put prices and shares in the place of the data's.

    Parameters
    ----------
    demand
        The problem.
    data
        Variables of formulas by name, ``(N,)``.
    prices, shares
        ``(N,)`` in the user's order.
    """
    products, tables, order = demand.products, demand.tables, demand.order
    moved = {"prices": prices, "shares": shares}
    X2 = _evaluate(products.X2, products.X2_columns, data, "prices", prices)
    outside = 1 - np.bincount(products.market_codes, weights=shares)
    with np.errstate(all="ignore"):
        log_shares, log_outside = np.log(shares), np.log(outside)
    logit_delta = log_shares - log_outside[products.market_codes]
    return replace(
        demand,
        products=replace(
            products,
            shares=shares,
            X1=_evaluate(products.X1, products.X1_columns, data, "prices", prices),
            X2=X2,
            ids={**products.ids, "prices": prices[:, None]},
            variables={n: moved.get(n, v) for n, v in products.variables.items()},
            supply=_supply_at(products.supply, data, prices, shares),
        ),
        tables=replace(
            tables,
            X2=scaled(X2[order], demand.epsilon_scale),
            log_shares=log_shares[order],
            logit_delta=logit_delta[order],
            supply=None,
        ),
    )


def _supply_at(
    supply: SupplySide | None, data: Rows, prices: Floats, shares: Floats
) -> SupplySide | None:
    """Put prices and shares in the place of the supply side's."""
    if supply is None:
        return None
    X3 = _evaluate(supply.X3, supply.X3_columns, data, "shares", shares)
    return replace(supply, X3=X3, prices=prices)


def _evaluate(
    X: Floats, columns: Sequence[Column], data: Rows, name: str, values: Floats
) -> Floats:
    """Evaluate anew the columns ``(N, K)`` that name a variable."""
    found = X.copy()
    for k, column in enumerate(columns):
        if name in column.names:
            found[:, k] = column.evaluate(data, {name: values})
    return found
