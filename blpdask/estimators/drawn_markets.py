"""Blocks of markets in which errors are drawn, made of a problem and its estimates.

A block holds δ and costs where ξ and ω are zero, what of its utilities moves with
prices, and the columns of X whose parameters are in θ. Where there is no supply side to
say what prices are, they are those that instruments predict,

    E[p | Z] = Z_D (Z_D'Z_D)⁻¹ Z_D'p,     effects absorbed and put back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..model.equilibrium import PriceState
from ..model.parameters import Parameters, tastes_at
from ..partitions.source import HeldBlocks
from ..problem.demand_problem import DemandProblem
from ..problem.formulas import Column, read_column
from ..problem.lasso_penalty import partial_out
from ..problem.pricing import PriceSetting, Rows, UtilityColumns, priced_markets
from ..records import Floats, Integers, InversionControls
from .gmm_options import CostRule, cost_state
from .realizations import DrawnMarkets, FreeColumns, RealizationState

#: Ways to approximate the expectation over errors.
METHODS = ("approximate", "normal", "empirical")
_CONTROLS = InversionControls(method="simple", atol=1e-12)


@dataclass(frozen=True, slots=True, eq=False)
class EstimatedErrors:
    """Estimates, and what is as long as the data of them, rows in the user's order.

    Attributes
    ----------
    parameters, theta
        Where θ̂ ``(P,)`` sits.
    beta, gamma
        ``(K1,)`` and ``(K3,)``, concentrated ones included.
    delta, xi
        ``(N,)``.
    xi_by_theta
        ``(N, P)``.
    tilde_costs, omega, omega_by_theta
        The same of costs; None without a supply side.
    """

    parameters: Parameters
    theta: Floats
    beta: Floats
    gamma: Floats
    delta: Floats
    xi: Floats
    xi_by_theta: Floats
    tilde_costs: Floats | None = None
    omega: Floats | None = None
    omega_by_theta: Floats | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Expectation:
    """How E[· | Z] is taken.

    Attributes
    ----------
    method, draws, seed
        One of :data:`METHODS`, R, and the seed of PyBLP's stream, None for any.
    prices
        ``(N,)`` E[p | Z]; None where prices of equilibrium are found.
    controls
        How prices iterate.
    constant_costs
        Whether costs stay as they are where X3 has shares.
    log_costs
        Whether X3 explains log c.
    backend, n_blocks
        Which kernels, and the number of blocks, chosen from the data where None.
    """

    method: str
    draws: int
    seed: int | None
    prices: Floats | None = None
    controls: InversionControls = _CONTROLS
    constant_costs: bool = True
    log_costs: bool = False
    backend: str = "numba"
    n_blocks: int | None = None


def predicted_prices(demand: DemandProblem) -> Floats:
    """Project prices on Z_D and absorbed effects, ``(N,)``."""
    products = demand.products
    prices = np.asarray(products.ids["prices"], dtype=np.float64).reshape(-1, 1)
    net = partial_out(
        prices, products.ZD_absorbed, products.effects, products.absorption
    )
    return np.asarray((prices - net.values)[:, 0])


def drawn_markets(
    demand: DemandProblem, estimated: EstimatedErrors, how: Expectation
) -> HeldBlocks:
    """Cut a problem into blocks in which errors can be drawn."""
    products, supply = demand.products, demand.products.supply
    observed = np.asarray(products.ids["prices"], dtype=np.float64).reshape(-1)
    costs = np.zeros(demand.n_products)
    if estimated.tilde_costs is not None and estimated.omega is not None:
        costs = estimated.tilde_costs - estimated.omega
        costs = np.exp(costs) if how.log_costs else costs
    data = {**products.variables, "shares": products.shares, "prices": observed}
    setting = PriceSetting(
        firms=np.zeros(demand.n_products, np.int64) if supply is None else supply.firms,
        ownership=None if supply is None else supply.ownership,
        costs=costs,
        start=observed if how.prices is None else how.prices,
        gamma=None if how.constant_costs else estimated.gamma,
        log_costs=how.log_costs,
    )
    source = priced_markets(
        demand,
        data,
        setting,
        beta=estimated.beta,
        delta=estimated.delta - estimated.xi,
        n_blocks=how.n_blocks,
    )
    places = estimated.parameters.places
    free = [_free(products.X1, products.X1_columns, places.columns[0], "prices", data)]
    if supply is not None:
        X3, own = supply.X3, places.columns[1]
        free.append(_free(X3, supply.X3_columns, own, "shares", data))
    blocks, stop = [], 0
    for index in range(len(source)):
        priced = source.load(index)
        assert isinstance(priced.utility, UtilityColumns)
        first, stop = stop, stop + priced.markets.n_products
        rows = demand.order[first:stop]
        taken = tuple(_take(columns, rows) for columns in free)
        blocks.append(DrawnMarkets(priced, priced.utility, taken))
    return HeldBlocks(blocks, labels=_labels(blocks, products.unique_market_ids))


def realization_state(estimated: EstimatedErrors, how: Expectation) -> RealizationState:
    """Say what all blocks need to know."""
    parameters, theta = estimated.parameters, estimated.theta
    controls = how.controls
    if how.prices is not None:
        controls = replace(controls, method="return")
    price_tastes = None
    if estimated.tilde_costs is not None:
        price_tastes = cost_state(parameters, theta, CostRule()).tastes
    return RealizationState(
        prices=PriceState(tastes_at(parameters, theta), controls, how.backend),
        price_tastes=price_tastes,
        places=parameters.places,
        log_costs=how.log_costs,
    )


def _free(
    X: Floats,
    columns: Sequence[Column],
    places: Integers,
    moved: str,
    data: Rows,
) -> FreeColumns:
    """Take the columns whose parameters are in θ."""
    own = tuple(columns[k] for k in places)
    names = {name for c in own if moved in c.names for name in c.names}
    rows = {name: read_column(data, name) for name in sorted(names)}
    return FreeColumns(X[:, places], own, moved, rows)


def _take(columns: FreeColumns, rows: Integers) -> FreeColumns:
    """Keep some rows."""
    kept = {name: values[rows] for name, values in columns.rows.items()}
    return replace(columns, values=columns.values[rows], rows=kept)


def _labels(blocks: Sequence[DrawnMarkets], ids: np.ndarray[Any, Any]) -> list[str]:
    """Say which markets each block has."""
    ends = [
        (block.priced.markets.first_market, block.priced.markets.n_markets)
        for block in blocks
    ]
    return [f"markets {ids[first]} to {ids[first + n - 1]}" for first, n in ends]
