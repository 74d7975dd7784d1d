"""A problem in memory with other products: some of the data's, and some that enter.

Products that stay keep the order of their rows, and entrants follow them, so that they
come last in their markets. What agents have for each product of their market, and what
owners' weights say of each, keeps the columns of products that stay:

    a_ij, d_ij, H_jk   with j and k among those.

This is for what is computed at given parameters, at prices and shares that are then put
in the place of these (:mod:`.at_prices`): instruments and projections on absorbed
effects, which only estimation needs, are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..records import Floats, Integers
from .agents import Agents
from .demand_problem import DemandProblem, prepare_demand
from .entrants import Entrants, evaluate_columns
from .fields import factorize
from .formula_data import Values, is_numeric, read_column
from .formulas import Column
from .products import Products
from .supply_side import SupplySide

Flags = NDArray[np.bool_]
_CARRIED = ("firm_ids", "product_ids", "nesting_ids")


def with_firms(demand: DemandProblem, firm_ids: Values) -> DemandProblem:
    """Give products to firms ``(N,)``, in the place of whoever owned them."""
    products = demand.products
    ids = {n: v for n, v in products.ids.items() if n != "ownership"}
    supply = products.supply
    if supply is not None:
        supply = replace(supply, firms=factorize(firm_ids)[0], ownership=None)
    ids["firm_ids"] = firm_ids
    return replace(demand, products=replace(products, ids=ids, supply=supply))


def with_products(
    demand: DemandProblem, kept: Flags, entrants: Entrants | None
) -> DemandProblem:
    """Keep some products and add others.

    Parameters
    ----------
    demand
        The problem.
    kept
        ``(N,)`` which of its products stay; every market has one at least then.
    entrants
        Others, or None. With any, agents have nothing of their own for each product.

    Returns
    -------
    DemandProblem
        Its shares are the same for all choices of a market, until others are put in
        their place. Weights of owners that nobody gave are NaN.
    """
    before = demand.products
    entering = None if entrants is None else entrants.market_codes
    codes = _join(before.market_codes, kept, entering)
    sizes = np.bincount(codes, minlength=demand.n_markets)
    shares = np.asarray(1.0 / (1.0 + sizes[codes]), np.float64)
    places = kept_places(demand, kept)
    none = np.empty((codes.size, 0))
    products = replace(
        before,
        market_codes=codes,
        shares=shares,
        X1=_design(before.X1, before.X1_columns, kept, entrants, shares),
        X2=_design(before.X2, before.X2_columns, kept, entrants, shares),
        X1_absorbed=none,
        ZD=none,
        ZD_absorbed=none,
        ZD_names=(),
        effects=_effects(before.effects, kept, codes.size),
        clusters=None,
        lags=None,
        ids=_identifiers(before, kept, entrants, codes)
        | _weights(before, kept, places, sizes, codes),
        variables=_variables(before, kept, entrants, shares),
        supply=None,
        nests=_nests(before, kept, entrants),
    )
    agents = _with_places(demand.agents, places, sizes)
    prepared = prepare_demand(products, agents, demand.types, demand.epsilon_scale)
    if before.supply is None:
        return prepared
    X3 = _design(before.supply.X3, before.supply.X3_columns, kept, entrants, shares)
    supply = _supply(before.supply, X3, products, kept)
    return replace(prepared, products=replace(products, supply=supply))


def kept_places(demand: DemandProblem, kept: Flags) -> Integers:
    """List places of each market's products, those that stay first, ``(T, max J)``."""
    sizes = np.diff(demand.tables.product_offsets)
    stays = np.zeros((sizes.size, int(sizes.max())), np.bool_)
    stays[np.arange(stays.shape[1]) < sizes[:, None]] = kept[demand.order]
    return np.argsort(~stays, axis=1, kind="stable")


def differs_over_products(agents: Agents) -> bool:
    """Tell whether agents have something of their own for each product."""
    return agents.availability is not None or agents.product_demographics is not None


def _join(own: Values, kept: Flags, others: Values | None) -> Values:
    """Put rows of entrants below those that stay."""
    return own[kept] if others is None else np.concatenate([own[kept], others])


def _design(
    X: Floats,
    columns: Sequence[Column],
    kept: Flags,
    entrants: Entrants | None,
    shares: Floats,
) -> Floats:
    """Give a matrix of characteristics the rows of entrants."""
    if entrants is None:
        return X[kept]
    own = evaluate_columns(columns, entrants, shares[kept.sum() :])
    return _join(X, kept, own)


def _nests(
    products: Products, kept: Flags, entrants: Entrants | None
) -> Integers | None:
    """Collect codes of nests, None without nests."""
    if products.nests is None:
        return None
    return _join(products.nests, kept, None if entrants is None else entrants.nests)


def _effects(
    effects: tuple[Integers, ...], kept: Flags, n: int
) -> tuple[Integers, ...]:
    """Keep codes of absorbed effects, -1 for entrants, of whom none is known."""
    unknown = np.full(n - int(kept.sum()), -1, np.int64)
    return tuple(_join(codes, kept, unknown) for codes in effects)


def _identifiers(
    products: Products, kept: Flags, entrants: Entrants | None, codes: Integers
) -> dict[str, Values]:
    """Collect identifiers and prices of all products."""
    prices = None if entrants is None else entrants.prices[:, None]
    found = {
        "market_ids": products.unique_market_ids[codes],
        "prices": _join(products.ids["prices"], kept, prices),
    }
    for name in _CARRIED:
        if name in products.ids:
            own = np.asarray(products.ids[name], dtype=object)
            others = None if entrants is None else entrants.ids[name]
            found[name] = _join(own, kept, others)
    return found


def _weights(
    products: Products, kept: Flags, places: Integers, sizes: Integers, codes: Integers
) -> dict[str, Values]:
    """Keep owners' weights on products that stay; none are known of others."""
    if "ownership" not in products.ids:
        return {}
    own = np.asarray(products.ids["ownership"], np.float64)[kept]
    staying = codes[: len(own)]
    own = _rearrange(own, places[staying])
    found = np.full((codes.size, int(sizes.max())), np.nan)
    counts = np.bincount(staying, minlength=sizes.size)
    width = int(counts.max(initial=0))
    inside = np.arange(width) < counts[staying][:, None]
    found[: len(own), :width] = np.where(inside, own[:, :width], np.nan)
    return {"ownership": found}


def _rearrange(values: Floats, places: Integers) -> Floats:
    """Bring columns ``(…, R, max J)`` of each row to its places ``(R, max J)``."""
    own = values[..., : places.shape[1]]
    return np.take_along_axis(own, np.broadcast_to(places, own.shape), axis=-1)


def _with_places(agents: Agents, places: Integers, sizes: Integers) -> Agents:
    """Keep what agents have for products that stay."""
    codes, width = agents.market_codes, int(sizes.max())
    inside = np.arange(width) < sizes[codes][:, None]
    availability, people = agents.availability, agents.product_demographics
    if availability is not None:
        moved = _rearrange(availability, places[codes])[:, :width]
        availability = np.where(inside, moved, 1.0)
    if people is not None:
        moved = _rearrange(people, places[codes])[..., :width]
        people = np.where(inside, moved, 0.0)
    return replace(agents, availability=availability, product_demographics=people)


def _variables(
    products: Products, kept: Flags, entrants: Entrants | None, shares: Floats
) -> dict[str, Values]:
    """Collect variables of formulas of all products."""
    others: dict[str, Values] = {}
    if entrants is not None:
        others = {**entrants.variables, "prices": entrants.prices}
    found = {}
    for name in products.variables:
        own = read_column(products.variables, name)
        own = own if is_numeric(own) else np.asarray(own, dtype=object)
        found[name] = shares
        if name != "shares":
            found[name] = _join(own, kept, others.get(name))
    return found


def _supply(
    before: SupplySide, X3: Floats, products: Products, kept: Flags
) -> SupplySide:
    """Give the supply side of all products; utilities' slopes are not kept there."""
    ids, n = products.ids, products.n_products
    none, nowhere = np.empty((n, 0)), np.empty(0, np.int64)
    firms = np.zeros(n, np.int64)
    if before.ownership is None:
        firms = factorize(ids["firm_ids"])[0]
    return replace(
        before,
        X3=X3,
        X3_absorbed=none,
        ZS=none,
        ZS_absorbed=none,
        ZS_names=(),
        effects=_effects(before.effects, kept, n),
        firms=firms,
        ownership=None if before.ownership is None else ids["ownership"],
        prices=np.asarray(ids["prices"], np.float64)[:, 0],
        X1_priced=nowhere,
        X1_by_prices=none,
        X2_priced=nowhere,
        X2_by_prices=none,
        ZC=None,
    )
