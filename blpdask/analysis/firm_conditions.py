"""What firms' first-order conditions say: costs, prices after a merger, pass-through.

With H the weights of owners on profits, first-order conditions of prices are

    F_j(p, c) = s_j + Σ_k H_jk (p_k - c_k) ∂s_k/∂p_j = 0,

or η = p - c with Δη = s, Δ = -H ∘ (∂s/∂p)' (Berry, Levinsohn and Pakes 1995). They give
costs c = p - η at observed prices; prices c + η at which shares and slopes are still
the data's (Hausman, Leonard and Zona 1994; Werden 1997); prices of equilibrium
(:mod:`blpdask.model.equilibrium`); and, by the implicit function theorem, how prices
follow costs,

    ∂p/∂c = -(∂F/∂p)⁻¹ ∂F/∂c = (∂F/∂p)⁻¹ (H ∘ (∂s/∂p)'),

at η of those owners. ∂F/∂p is the Hessian of :mod:`blpdask.model.profit_hessian` less
(H_jj - 1) ∂s_j/∂p', for profits of j have the weight H_jj there.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from ..model.equilibrium import Equilibrium, PriceState, equilibrium_pass
from ..model.inversion import solve_markups
from ..model.responses import RespondingMarkets
from ..problem.pricing import PriceSetting, priced_markets
from ..records import (
    JOINED,
    Floats,
    Integers,
    InversionControls,
    PriceTastes,
    Tastes,
)
from .economy import Economy, Owners
from .regular_systems import solve_regular
from .stacked_matrices import of_each_size, stack_matrices
from .substitution import slopes_of_shares


@dataclass(frozen=True, slots=True)
class MarkupState:
    """θ, and by which kernels markups are solved for."""

    tastes: Tastes
    backend: str
    scratch_bytes: int


@dataclass(frozen=True, slots=True, eq=False)
class ImpliedMarkups:
    """Markups of blocks: ``eta`` ``(N,)`` η, NaN where they cannot be solved for."""

    eta: Floats = field(metadata=JOINED)


def implied_markups(economy: Economy, owners: Owners) -> Floats:
    """Solve Δη = S at the prices and shares of the data, ``(n,)``.

    Parameters
    ----------
    economy
        At its parameters.
    owners
        Who sets prices.
    """
    blocks = economy.blocks(economy.at("prices"), owners)
    state = MarkupState(economy.tastes, economy.backend, economy.scratch_bytes)
    found: ImpliedMarkups = economy.reduce(blocks, markups_pass, state)
    return found.eta


def markups_pass(
    block: RespondingMarkets, state: MarkupState, memory: None
) -> tuple[ImpliedMarkups, None]:
    """Solve for a block's markups: what an engine maps over blocks."""
    del memory
    markets, trial = block.markets, block.trial
    assert markets.supply is not None
    supply = replace(
        markets.supply,
        X1_by_prices=trial.alpha[None],
        X2_by_prices=trial.X2_by_prices,
        X2_priced=trial.X2_priced,
    )
    found = solve_markups(
        replace(markets, supply=supply),
        state.tastes,
        PriceTastes(np.ones(1), np.empty(0, np.int64)),
        trial.delta,
        np.empty((markets.n_products, 0)),
        backend=state.backend,
        scratch_bytes=state.scratch_bytes,
    )
    return ImpliedMarkups(found.eta), None


def equilibrium(
    economy: Economy,
    owners: Owners,
    costs: Floats,
    start: Floats,
    controls: InversionControls,
    *,
    constant_costs: bool = True,
    hessians: bool = False,
    fixed: NDArray[np.bool_] | None = None,
) -> Equilibrium:
    """Find prices that no owner wants to move, rows as they are asked for.

    Parameters
    ----------
    economy, owners
        The markets, and who sets prices there.
    costs, start
        ``(n,)`` marginal costs, and prices where iteration starts.
    controls
        How prices iterate.
    constant_costs
        Whether costs stay as they are where X3 has shares.
    hessians
        Whether Hessians of profits are wanted.
    fixed
        ``(n,)`` products whose prices stay where they start; None for nobody's.
    """
    held = np.zeros(economy.demand.n_products, np.bool_)
    if fixed is not None:
        held[economy.rows] = fixed
    setting = PriceSetting(
        firms=owners.firms,
        ownership=owners.ownership,
        costs=_whole(economy, costs),
        start=_whole(economy, start),
        gamma=None if constant_costs else economy.gamma,
        log_costs=economy.log_costs,
        fixed=held,
    )
    source = priced_markets(
        economy.demand,
        economy.variables,
        setting,
        beta=economy.beta,
        delta=economy.delta,
        market=economy.market,
    )
    state = PriceState(economy.tastes, controls, economy.backend, hessians)
    found: Equilibrium = economy.reduce(source, equilibrium_pass, state)
    return found


def passthrough(economy: Economy, owners: Owners) -> tuple[Floats, Integers]:
    """Differentiate prices by costs: stacked ∂p/∂c, and markets where they cannot be.

    Parameters
    ----------
    economy, owners
        The markets, and who sets prices there.

    Returns
    -------
    tuple
        ``(n, max J)``, NaN in the markets whose places among those asked about follow.
    """
    eta = implied_markups(economy, owners)
    prices = economy.values_of("prices")
    still = InversionControls(method="return", scratch_bytes=economy.scratch_bytes)
    bent = equilibrium(
        economy, owners, prices - eta, prices, still, hessians=True
    ).hessians
    slopes = slopes_of_shares(economy, "prices")
    H = _weights(economy, owners)
    offsets, found = economy.offsets, np.full(slopes.size, np.nan)
    singular = []
    for markets, places, S in of_each_size(slopes, offsets):
        own = H[places]
        excess = np.diagonal(own, axis1=1, axis2=2)[:, :, None] - 1.0
        F_by_prices = bent[places] - excess * S
        found[places], regular = solve_regular(F_by_prices, own * S.swapaxes(1, 2))
        singular.append(markets[~regular])
    return stack_matrices(found, offsets), np.sort(np.concatenate(singular))


def _weights(economy: Economy, owners: Owners) -> Floats:
    """Lay H of all markets side by side, ``(F,)``."""
    supply = economy.tables(owners).supply
    assert supply is not None
    sizes = np.diff(economy.demand.tables.product_offsets)
    ends = np.concatenate([[0], np.cumsum(sizes**2)])
    own = economy.markets
    if supply.ownership.size:
        return supply.ownership[ends[own.start] : ends[own.stop]]
    rows = economy.demand.tables.product_offsets
    codes = supply.owners[rows[own.start] : rows[own.stop]].astype(np.float64)
    offsets = economy.offsets
    found = np.empty(ends[own.stop] - ends[own.start])
    for markets, places, _ in of_each_size(found, offsets):
        of_rows = codes[offsets[markets][:, None] + np.arange(places.shape[1])]
        found[places] = of_rows[:, :, None] == of_rows[:, None, :]
    return found


def _whole(economy: Economy, values: Floats) -> Floats:
    """Spread rows over all of the user's, NaN elsewhere."""
    found = np.full(economy.demand.n_products, np.nan)
    found[economy.rows] = values
    return found
