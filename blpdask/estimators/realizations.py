"""What drawn errors imply of markets: prices, shares, and how errors move with θ.

At ξ and ω drawn from their distribution, mean utilities and costs at observed prices
and shares are

    δ_j = x1_j'β + ξ_fe,j + ξ_j,     c̃_j = x3_j'γ + ω_fe,j + ω_j.

Prices p are those of equilibrium (:mod:`blpdask.model.equilibrium`), or given; δ and X2
move with them (:mod:`blpdask.problem.pricing`), and shares are s(δ, θ). The errors'
derivatives ∂ξ/∂θ and ∂ω/∂θ at these prices and shares are those of
:mod:`blpdask.model.linear_places`, with costs in logs at the c of the draw (Conlon and
Gortmaker 2020, section 4).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from ..model.equilibrium import Equilibrium, PricedMarkets, PriceState, solve_prices
from ..model.inversion import solve_markups, solve_shares
from ..model.linear_places import LinearPlaces
from ..moments.demand import plain_logit
from ..problem.formulas import Column
from ..problem.pricing import CostColumns, Rows, UtilityColumns
from ..records import (
    JOINED,
    Floats,
    Integers,
    InversionControls,
    InversionStart,
    MarketBlock,
    PriceTastes,
    SupplyRows,
    TrialPrices,
)


@dataclass(frozen=True, slots=True, eq=False)
class FreeColumns:
    """Columns of X whose parameters are in θ, wherever ``moved`` is.

    Attributes
    ----------
    values
        ``(N, P_b)`` at the data.
    columns
        The columns, in the order of θ.
    moved
        ``"prices"`` or ``"shares"``.
    rows
        ``(N,)`` variables that columns with ``moved`` name.
    """

    values: Floats
    columns: tuple[Column, ...]
    moved: str
    rows: Rows

    def at(self, moved: Floats) -> Floats:
        """Evaluate the columns, ``(N, P_b)``."""
        found = self.values.copy()
        for k, column in enumerate(self.columns):
            if self.moved in column.names:
                found[:, k] = column.evaluate(self.rows, {self.moved: moved})
        return found


@dataclass(frozen=True, slots=True, eq=False)
class DrawnMarkets:
    """A block of markets in which errors are drawn: what an engine places.

    Attributes
    ----------
    priced
        Costs c and, in ``utility``, δ where ξ and ω are zero; prices where the search
        starts, or at which it stays.
    utility
        What moves with prices.
    free
        Columns of X1 and, with a supply side, of X3 whose parameters are in θ.
    """

    priced: PricedMarkets
    utility: UtilityColumns
    free: tuple[FreeColumns, ...]


@dataclass(frozen=True, slots=True, eq=False)
class ErrorDraw:
    """Errors of a block: ``xi`` ``(N,)``, and ``omega`` ``(N,)`` or None."""

    xi: Floats
    omega: Floats | None


@dataclass(frozen=True, slots=True)
class RealizationState:
    """What is sent to every block.

    Attributes
    ----------
    prices
        θ, how prices iterate, and the backend.
    price_tastes
        β on prices, and which of those are in θ; None without a supply side.
    places
        Where linear parameters are in θ.
    log_costs
        Whether X3 explains log c.
    """

    prices: PriceState
    price_tastes: PriceTastes | None
    places: LinearPlaces
    log_costs: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Realization:
    """What errors imply of blocks, rows in market order.

    Attributes
    ----------
    prices, shares
        ``(N,)``.
    xi_by_theta, omega_by_theta
        ``(N, P)`` derivatives given b; the latter ``(N, 0)`` without a supply side.
    status, iterations, evaluations
        ``(T,)`` of the search for prices, as in
        :class:`blpdask.model.equilibrium.Equilibrium`.
    """

    prices: Floats = field(metadata=JOINED)
    shares: Floats = field(metadata=JOINED)
    xi_by_theta: Floats = field(metadata=JOINED)
    omega_by_theta: Floats = field(metadata=JOINED)
    status: Integers = field(metadata=JOINED)
    iterations: Integers = field(metadata=JOINED)
    evaluations: Integers = field(metadata=JOINED)


def realization_pass(
    block: DrawnMarkets, state: RealizationState, draw: ErrorDraw | None
) -> tuple[Realization, None]:
    """Work out what errors imply of a block; without a draw they are zero."""
    priced, utility = _at_errors(block, state, draw)
    found = solve_prices(priced, state.prices)
    with np.errstate(all="ignore"):
        xi_by_theta, omega_by_theta = _differentiate(
            block, state, utility, priced.costs, found
        )
    return Realization(
        prices=found.prices,
        shares=found.shares,
        xi_by_theta=xi_by_theta,
        omega_by_theta=omega_by_theta,
        status=found.status,
        iterations=found.iterations,
        evaluations=found.evaluations,
    ), None


def _at_errors(
    block: DrawnMarkets, state: RealizationState, draw: ErrorDraw | None
) -> tuple[PricedMarkets, UtilityColumns]:
    """Add errors to δ and to transformed costs."""
    utility, costs = block.utility, block.priced.costs
    if draw is not None:
        utility = replace(utility, delta=utility.delta + draw.xi)
        if draw.omega is not None and state.log_costs:
            costs = costs * np.exp(draw.omega)
        elif draw.omega is not None:
            costs = costs + draw.omega
    costs_at = block.priced.costs_at
    if isinstance(costs_at, CostColumns):
        costs_at = replace(costs_at, costs=costs)
    priced = replace(block.priced, utility=utility, costs=costs, costs_at=costs_at)
    return priced, utility


def _differentiate(
    block: DrawnMarkets,
    state: RealizationState,
    utility: UtilityColumns,
    costs: Floats,
    found: Equilibrium,
) -> tuple[Floats, Floats]:
    """Compute ∂ξ/∂θ and ∂ω/∂θ ``(N, P)`` at the prices and shares found."""
    places, tastes = state.places, state.prices.tastes
    trial = utility(found.prices)
    markets = _markets_at(block, trial, utility, found)
    scratch = state.prices.controls.scratch_bytes
    if markets.X2.shape[0]:
        delta_by_theta = solve_shares(
            markets,
            tastes,
            InversionStart(trial.delta * utility.epsilon_scale, np.empty(0)),
            InversionControls(method="return", scratch_bytes=scratch),
            backend=state.prices.backend,
        ).delta_by_theta
    else:
        delta_by_theta = plain_logit(markets, tastes).delta_by_theta
    by_theta: list[Floats | None] = [delta_by_theta]
    if state.price_tastes is not None:
        markups = solve_markups(
            markets,
            tastes,
            state.price_tastes,
            trial.delta,
            delta_by_theta / utility.epsilon_scale,
            backend=state.prices.backend,
            scratch_bytes=scratch,
        )
        slopes = -markups.eta_by_theta
        by_theta.append(slopes / costs[:, None] if state.log_costs else slopes)
    moved = (found.prices, found.shares)
    own = _own_places(places)
    slopes_of = [
        y_by_theta - own.columns_of(e, block.free[e].at(moved[e]))
        for e, y_by_theta in enumerate(places.spread(by_theta))
    ]
    return slopes_of[0], slopes_of[1] if len(slopes_of) > 1 else slopes_of[0][:, :0]


def _own_places(places: LinearPlaces) -> LinearPlaces:
    """Say where linear parameters are in θ, for matrices of those columns alone."""
    return replace(
        places, columns=tuple(np.arange(c.size, dtype=np.int64) for c in places.columns)
    )


def _markets_at(
    block: DrawnMarkets,
    trial: TrialPrices,
    utility: UtilityColumns,
    found: Equilibrium,
) -> MarketBlock:
    """Give a block's markets the prices and shares found, as if they were observed."""
    markets, columns = block.priced.markets, utility
    inside = np.add.reduceat(found.shares, markets.product_offsets[:-1])
    outside = np.repeat(1 - inside, np.diff(markets.product_offsets))
    log_shares = np.log(found.shares)
    at = {"prices": found.prices}
    X1_by_prices = np.empty((len(columns.X1), found.prices.size))
    for q, column in enumerate(columns.X1):
        X1_by_prices[q] = column.derivative("prices", columns.rows, at)
    supply = markets.supply
    assert isinstance(supply, SupplyRows)
    return replace(
        markets,
        X2=np.ascontiguousarray(trial.X2),
        log_shares=log_shares,
        logit_delta=log_shares - np.log(outside),
        supply=replace(
            supply,
            prices=found.prices,
            X1_by_prices=X1_by_prices / utility.epsilon_scale,
            X2_by_prices=np.ascontiguousarray(trial.X2_by_prices),
            X2_priced=trial.X2_priced,
        ),
    )
