"""What markups a model of conduct implies, and how they move with θ.

With D_jk = ∂s_j/∂p_k and H_jk the weight that the owner of j puts on profits of k, a
firm maximises Σ_k H_jk (p_k - c_k) s_k.

Prices are set. s_j + Σ_k H_jk η_k ∂s_k/∂p_j = 0, or

    η = Δ⁻¹ s,     Δ = -H ∘ D'.

Bertrand has H of the firms; collusion, and profit weights between nought and one, other
H; monopoly has H = 1.

Quantities are set (Cournot). With inverse demand p(s), ∂p/∂s' = D⁻¹, and
η_j + Σ_k H_jk s_k ∂p_k/∂s_j = 0, or

    η = -(H ∘ (D⁻¹)') s = (H ∘ Δ₁⁻¹) s,     Δ₁ = -D',   Δ of a monopoly,

which is Δ₁⁻¹ s itself where H = 1: a monopoly has the same markups either way. Kernels
solve Δη = S and do not look at S elsewhere, so that η is linear in S: for products
k ∈ f that all products weigh alike, those of a firm say, Δ₁ x_f = s ∘ 1_f is solved as
the change of a monopoly's markups where the S of f is doubled, x_f(S + s ∘ 1_f) -
x_f(S), and derivatives of it are changes of derivatives.

Prices are taken: η = 0. Costs are c̃ = p - η, or log(p - η), and their derivatives by
parameters along δ(θ), with β on prices among the parameters, enter a test as sums

    Z'∂c̃/∂(θ', b').

References
----------
Berry, Levinsohn and Pakes (1995), "Automobile Prices in Market Equilibrium", section 3;
Nevo (2001), "Measuring Market Power in the Ready-to-Eat Cereal Industry"; Duarte,
Magnolfi, Sølvsten and Sullivan (2024), "Testing Firm Conduct".
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from ..driver.cores import single_threaded_libraries
from ..driver.engine import Engine
from ..model.inversion import solve_markups, solve_shares
from ..model.parameters import tastes_at
from ..moments.demand import plain_logit
from ..partitions.cut import cut_at
from ..partitions.source import HeldBlocks
from ..problem.demand_problem import DemandProblem
from ..problem.supply_side import by_prices, flatten_ownership, number_owners
from ..records import (
    JOINED,
    Floats,
    Integers,
    InversionControls,
    InversionStart,
    MarketBlock,
    Markups,
    PriceTastes,
    SupplyRows,
    Tastes,
)
from .conduct_demand import DemandPoint

Sets = Literal["prices", "quantities", "nothing"]


@dataclass(frozen=True, slots=True, eq=False)
class Conduct:
    """What a model says of firms, rows in the user's order.

    Attributes
    ----------
    name
        Of the model.
    sets
        What firms set; ``"nothing"`` where markups are given, as under perfect
        competition.
    firms
        ``(N,)`` codes of those who decide, all zero where ownership is given.
    ownership
        ``(N, max J)`` H, None where firms say it all.
    eta
        ``(N,)`` markups that are given, else None.
    """

    name: str
    sets: Sets
    firms: Integers
    ownership: Floats | None = None
    eta: Floats | None = None


@dataclass(frozen=True, slots=True, eq=False)
class ImpliedCosts:
    """What a model implies.

    Attributes
    ----------
    eta
        ``(N,)`` markups, in the user's order.
    costs
        ``(N,)`` c̃.
    ZtC
        ``(Q, P + C)`` Z'∂c̃/∂(θ', b').
    """

    eta: Floats
    costs: Floats
    ZtC: Floats


@dataclass(frozen=True, slots=True, eq=False)
class ConductBlock:
    """Markets, with δ̂ ``(N,)`` and instruments ``(N, Q)`` of their products."""

    markets: MarketBlock
    delta: Floats
    Z: Floats


@dataclass(frozen=True, slots=True, eq=False)
class ConductState:
    """What is sent to every block: θ, β on prices, and what firms set."""

    tastes: Tastes
    price_tastes: PriceTastes
    sets: Sets
    log: bool
    backend: str
    scratch_bytes: int


@dataclass(frozen=True, slots=True, eq=False)
class ConductSums:
    """Markups of a block, and Z'∂c̃/∂θ ``(Q, P + B)`` by what moves them."""

    eta: Floats = field(metadata=JOINED)
    ZtC: Floats


@dataclass(frozen=True, slots=True)
class Computation:
    """Where markups are computed: engine, kernels, scratch memory and blocks."""

    engine: Engine
    backend: str
    scratch_bytes: int
    n_blocks: int | None = None


def implied_costs(
    demand: DemandProblem,
    point: DemandPoint,
    conduct: Conduct,
    Z: Floats,
    how: Computation,
    *,
    log: bool,
) -> ImpliedCosts:
    """Compute markups, costs and how instruments covary with their derivatives.

    Parameters
    ----------
    demand, point
        A problem and its estimates.
    conduct
        The model.
    Z
        ``(N, Q)`` instruments, net of what shifts costs.
    how
        Where.
    log
        Whether c̃ = log c.
    """
    prices = np.asarray(demand.products.ids["prices"], dtype=np.float64).reshape(-1)
    if conduct.eta is not None:
        eta, ZtC = conduct.eta, np.zeros((Z.shape[1], point.concentrated_and_theta))
    else:
        source = _blocks(demand, point, conduct, prices, Z, how.n_blocks)
        state = _state(point, conduct, how, log=log)
        with single_threaded_libraries():
            placement = how.engine.place(source)
            try:
                sums: ConductSums = placement.reduce(conduct_pass, state)
            finally:
                placement.close()
        eta = np.empty(prices.size)
        eta[demand.order] = sums.eta
        ZtC = _spread(point, sums.ZtC)
    with np.errstate(invalid="ignore", divide="ignore"):
        costs = np.log(prices - eta) if log else prices - eta
    return ImpliedCosts(eta, costs, ZtC)


def conduct_pass(
    block: ConductBlock, state: ConductState, anchor: None
) -> tuple[ConductSums, None]:
    """Compute a block's markups and sum their derivatives."""
    del anchor
    markets, tastes = block.markets, state.tastes
    scale = markets.epsilon_scale
    if markets.X2.shape[0]:
        slopes = solve_shares(
            markets,
            tastes,
            InversionStart(block.delta, np.empty(0)),
            InversionControls(method="return", scratch_bytes=state.scratch_bytes),
            backend=state.backend,
        ).delta_by_theta
    else:
        slopes = plain_logit(markets, tastes).delta_by_theta
    found = _markups(markets, state, block.delta / scale, slopes / scale)
    slopes = -found.eta_by_theta
    if state.log:
        assert markets.supply is not None
        slopes = slopes / (markets.supply.prices - found.eta)[:, None]
    return ConductSums(found.eta, block.Z.T @ slopes), None


def _markups(
    markets: MarketBlock, state: ConductState, delta: Floats, slopes: Floats
) -> Markups:
    """Solve for markups of those who set prices, or quantities."""

    def solve(block: MarketBlock) -> Markups:
        return solve_markups(
            block,
            state.tastes,
            state.price_tastes,
            delta,
            slopes,
            backend=state.backend,
            scratch_bytes=state.scratch_bytes,
        )

    if state.sets == "prices":
        return solve(markets)
    supply = markets.supply
    assert supply is not None
    nobody = np.zeros_like(supply.owners)
    monopoly = replace(supply, owners=nobody, ownership=np.empty(0))
    whole = solve(replace(markets, supply=monopoly))
    eta, eta_by_theta = np.zeros_like(whole.eta), np.zeros_like(whole.eta_by_theta)
    for inside, H in _weighed_alike(markets, supply):
        doubled = markets.log_shares + np.where(inside, np.log(2.0), 0.0)
        found = solve(replace(markets, supply=monopoly, log_shares=doubled))
        eta += H * (found.eta - whole.eta)
        eta_by_theta += H[:, None] * (found.eta_by_theta - whole.eta_by_theta)
    return Markups(eta, eta_by_theta)


def _weighed_alike(
    markets: MarketBlock, supply: SupplyRows
) -> list[tuple[np.ndarray[tuple[int], np.dtype[np.bool_]], Floats]]:
    """List sets of products, and the weight of every product on its market's set.

    Sets are those of one owner; of one product each where weights are given.
    """
    offsets = markets.product_offsets
    sizes = np.diff(offsets)
    codes, found = supply.owners, []
    if supply.ownership.size:
        codes = np.arange(offsets[-1]) - np.repeat(offsets[:-1], sizes)
    squares = np.cumsum(sizes**2) - sizes**2
    within = np.arange(offsets[-1]) - np.repeat(offsets[:-1], sizes)
    rows = np.repeat(squares, sizes) + within * np.repeat(sizes, sizes)
    for code in range(int(codes.max(initial=-1)) + 1):
        inside = codes == code
        H = inside.astype(np.float64)
        if supply.ownership.size:
            there = np.repeat(sizes, sizes) > code
            H = np.where(there, supply.ownership[np.where(there, rows + code, 0)], 0.0)
        found.append((inside, H))
    return found


def _blocks(
    demand: DemandProblem,
    point: DemandPoint,
    conduct: Conduct,
    prices: Floats,
    Z: Floats,
    n_blocks: int | None,
) -> HeldBlocks:
    """Cut the problem into blocks whose prices, or quantities, firms set."""
    tables, order = demand.tables, demand.order
    offsets, scale = tables.product_offsets, demand.epsilon_scale
    products = demand.products
    data = {**products.ids, **products.variables, "prices": prices}
    _, X1_by_prices = by_prices(data, products.X1_columns, prices.size)
    priced, X2_by_prices = by_prices(data, products.X2_columns, prices.size)
    ownership = np.empty(0)
    if conduct.ownership is not None:
        ownership = flatten_ownership(conduct.ownership[order], offsets)
    supply = SupplyRows(
        prices=prices[order],
        owners=number_owners(conduct.firms[order], offsets),
        ownership=ownership,
        X1_by_prices=np.ascontiguousarray(X1_by_prices[order].T / scale),
        X2_by_prices=np.ascontiguousarray(X2_by_prices[order].T / scale),
        X2_priced=priced,
        ZS=np.empty((prices.size, 0)),
    )
    tables = replace(tables, supply=supply, linear=None)
    if tables.X2.shape[1] == 0:
        T = demand.n_markets
        tables = replace(
            tables,
            agent_offsets=np.arange(T + 1),
            draws=np.zeros((T, tables.draws.shape[1])),
            weights=np.ones(T),
        )
    delta, Z = demand.in_market_order(point.delta), demand.in_market_order(Z)
    blocks, stop = [], 0
    for markets in cut_at(tables, tables.plan(n_blocks)):
        first, stop = stop, stop + markets.n_products
        blocks.append(ConductBlock(markets, delta[first:stop], Z[first:stop]))
    return HeldBlocks(blocks)


def _state(
    point: DemandPoint, conduct: Conduct, how: Computation, *, log: bool
) -> ConductState:
    """Say what all blocks need to know; all of β on prices moves markups."""
    priced = np.flatnonzero(point.parameters.priced)
    return ConductState(
        tastes=tastes_at(point.parameters, point.theta),
        price_tastes=PriceTastes(point.beta[priced], np.arange(priced.size)),
        sets=conduct.sets,
        log=log,
        backend=how.backend,
        scratch_bytes=how.scratch_bytes,
    )


def _spread(point: DemandPoint, ZtC: Floats) -> Floats:
    """Put columns by nonlinear parameters and β on prices where (θ, b) has them."""
    parameters = point.parameters
    priced = np.flatnonzero(parameters.priced).tolist()
    n, P = parameters.n_nonlinear, parameters.size
    found = np.zeros((ZtC.shape[0], point.concentrated_and_theta))
    found[:, :n] = ZtC[:, :n]
    out = np.flatnonzero(parameters.concentrated).tolist()
    for q, k in enumerate(priced):
        places = [
            p
            for p, entry in enumerate(parameters.free)
            if entry.matrix == "beta" and entry.row == k
        ]
        places += [P + c for c, row in enumerate(out) if row == k]
        for place in places:
            found[:, place] = ZtC[:, n + q]
    return found
