"""Take products out of markets, and put others in.

What stays keeps ξ, so that mean utilities move with prices by the formulas alone, and
its marginal costs. Entrants bring

    δ_j = x1_j'β + ξ_j,   c̃_j = x3_j'γ + ω_j

(:mod:`blpdask.problem.entrant_values`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import Faults
from ..problem.entrant_values import entrant_costs, entrant_delta
from ..problem.entrants import (
    Entrants,
    Levels,
    category_levels,
    count_entrants,
    read_entrants,
)
from ..problem.fields import some
from ..problem.other_products import differs_over_products, with_products
from ..problem.products import Products
from ..records import Floats, Integers
from .change_requests import (
    ChangeRequest,
    Opening,
    check_known_costs,
    held_costs,
    open_change,
    read_flags,
)
from .changed_economy import ChangedEconomy, settle
from .estimated_economy import EstimatedEconomy

if TYPE_CHECKING:
    from .economy_methods import EconomyMethods


@dataclass(frozen=True, slots=True, eq=False)
class Entering:
    """Entrants, with their mean utilities and costs ``(M,)``."""

    entrants: Entrants
    delta: Floats
    costs: Floats


def changed_products(
    results: EconomyMethods, remove: Any, add: Any, request: ChangeRequest
) -> ChangedEconomy:
    """Change which products there are.

    Parameters
    ----------
    results
        A model at its parameters.
    remove, add
        As of :meth:`.economy_methods.EconomyMethods.change_products`.
    request
        Its other arguments.

    Raises
    ------
    InputError
        With every fault.
    """
    opening = open_change(results, request)
    faults, economy = opening.question.faults, opening.economy
    products = economy.demand.products
    kept = np.ones(products.n_products, np.bool_)
    if remove is not None:
        kept = ~read_flags(remove, "remove", kept.size, faults)
    levels = known_levels(results, products)
    entering = _read_entering(add, opening, levels, faults)
    _check_markets(products, kept, entering, faults)
    check_known_costs(opening, kept)
    engine = opening.question.economy().engine
    changed = _with_products(economy, kept, entering)
    costs = held_costs(results, opening, engine)
    if costs is not None:
        costs = costs[kept]
        if entering is not None:
            costs = np.concatenate([costs, entering.costs])
    settling = replace(opening.settling, engine=engine)
    changed = replace(changed, costs=costs)
    return settle(results, changed, settling, levels, results.transfers)


def known_levels(results: EconomyMethods, products: Products) -> Levels:
    """List categories of the data, those that were taken away before among them."""
    found = category_levels(products)
    if isinstance(results, ChangedEconomy):
        for name, levels in results.levels.items():
            found[name] = found.get(name, frozenset()) | levels
    return found


def _read_entering(
    add: Any, opening: Opening, levels: Levels, faults: Faults
) -> Entering | None:
    """Read entrants; None where there are none, or faults."""
    economy = opening.economy
    products, agents = economy.demand.products, economy.demand.agents
    if add is None or not count_entrants(add, faults):
        return None
    if differs_over_products(agents):
        faults.add(
            "entrants where agents have availability or demographics of each product",
            "agents who have nothing of their own for each product",
            "simulate the changed markets, with columns for entrants in agent_data",
        )
    if opening.settling.equilibrium and "ownership" in products.ids:
        faults.add(
            "entrants, whom 'ownership' in product_data does not weigh",
            "who owns which product",
            "pass firm_ids of the products of the data, or equilibrium=False",
        )
    entrants = read_entrants(add, products, levels, faults)
    if entrants is None:
        return None
    delta = entrant_delta(add, entrants, products, economy.beta, faults)
    costs = entrant_costs(
        add,
        entrants,
        products,
        economy.gamma,
        faults,
        log_costs=economy.log_costs,
        required=opening.settling.equilibrium,
    )
    return Entering(entrants, delta, costs)


def _check_markets(
    products: Products,
    kept: NDArray[np.bool_],
    entering: Entering | None,
    faults: Faults,
) -> None:
    """Refuse markets that nothing is left in."""
    codes: Integers = products.market_codes[kept]
    if entering is not None:
        codes = np.concatenate([codes, entering.entrants.market_codes])
    sizes = np.bincount(codes, minlength=products.unique_market_ids.size)
    empty = products.unique_market_ids[sizes == 0]
    if empty.size:
        faults.add(
            f"{empty.size} markets that lose their last product ({some(empty)})",
            "at least one product in every market",
            "leave one there; without any, everyone takes the outside option",
        )


def _with_products(
    economy: EstimatedEconomy, kept: NDArray[np.bool_], entering: Entering | None
) -> EstimatedEconomy:
    """Give an economy other products, at starting prices and their δ."""
    agents, own_agents = economy.demand.agents, economy.own_agents
    if differs_over_products(agents) and not kept.all():
        own_agents = (
            "products were taken from markets where agents have something of their "
            "own for each"
        )
    entrants, delta = None, economy.delta[kept]
    if entering is not None:
        entrants = entering.entrants
        delta = np.concatenate([delta, entering.delta])
    demand = with_products(economy.demand, kept, entrants)
    return replace(economy, demand=demand, delta=delta, own_agents=own_agents)
