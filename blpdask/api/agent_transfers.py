"""Pay agents for the choice of eligible products.

A transfer b_i is worth -α_i b_i in utility, with α_i the slope of agent i's utility by
prices, which has to be the same for all products of a market and all prices
(:mod:`blpdask.problem.transfers`).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..analysis.economy import Economy
from ..analysis.transfers import agent_slopes
from ..analysis.welfare import uneven_markets
from ..errors import Faults
from ..problem.fields import some
from ..problem.transfers import Transfer, free_name, with_coefficient, with_transfer
from ..records import Floats
from .change_requests import (
    ChangeRequest,
    check_known_costs,
    held_costs,
    open_change,
    read_flags,
)
from .changed_economy import ChangedEconomy, settle
from .economy_questions import Question
from .estimated_economy import EstimatedEconomy
from .product_changes import known_levels

if TYPE_CHECKING:
    from .economy_methods import EconomyMethods


def given_transfers(
    results: EconomyMethods, amounts: Any, products: Any, request: ChangeRequest
) -> ChangedEconomy:
    """Change what agents pay for products.

    Parameters
    ----------
    results
        A model at its parameters.
    amounts, products
        As of :meth:`.economy_methods.EconomyMethods.give_transfers`.
    request
        Its other arguments.

    Raises
    ------
    InputError
        With every fault.
    """
    opening = open_change(results, request)
    faults, economy = opening.question.faults, opening.economy
    N = economy.demand.n_products
    eligible = np.ones(N, np.bool_)
    if products is not None:
        eligible = read_flags(products, "products", N, faults)
    paid = _read_amounts(amounts, economy, faults)
    _check_slopes(Question(economy, request.what).economy(), faults)
    check_known_costs(opening, np.ones(N, np.bool_))
    before = opening.question.economy()
    assert paid is not None
    name = free_name(economy.demand.products)
    worth = -agent_slopes(before) * paid
    changed = replace(
        economy,
        demand=with_transfer(economy.demand, name, eligible, worth),
        parameters=with_coefficient(economy.parameters, name),
        costs=held_costs(results, opening, before.engine),
        own_agents="transfers are given to these",
    )
    return settle(
        results,
        changed,
        replace(opening.settling, engine=before.engine),
        known_levels(results, economy.demand.products),
        (*results.transfers, Transfer(name, paid)),
    )


def _read_amounts(
    given: Any, economy: EstimatedEconomy, faults: Faults
) -> Floats | None:
    """Read a number for each agent, and sort them by market, ``(A,)``."""
    agents = economy.demand.agents
    if not economy.demand.types:
        faults.add(
            "transfers without X2, where all agents are the same",
            "agents who differ",
            "lower prices by what is paid, a subsidy of products: it is the same there",
        )
        return None
    try:
        values = np.asarray(given, np.float64)
    except (TypeError, ValueError):
        values = np.empty(0)
    A, bad = agents.weights.size, int((~np.isfinite(values)).sum())
    if values.shape not in ((A,), (A, 1)) or bad:
        faults.add(
            f"amounts of shape {values.shape}, {bad} not finite",
            f"{A} finite numbers, one an agent, in the order of the problem's agents",
            "correct amounts; who is paid nothing has zero",
        )
        return None
    return values.reshape(A)[agents.order]


def _check_slopes(economy: Economy, faults: Faults) -> None:
    """Refuse utilities that do not fall with all prices at one slope."""
    if not economy.utility("prices").is_linear:
        faults.add(
            "utilities that are not linear in prices",
            "a slope of utility by prices that is the same at all prices, by which "
            "transfers become utility",
            "formulate prices as they are, not their logarithm or square",
        )
        return
    uneven = uneven_markets(economy, economy.at("prices"))
    if uneven.size:
        named = some(economy.demand.products.unique_market_ids[uneven])
        faults.add(
            f"products of {uneven.size} markets ({named}) whose utilities fall with "
            "prices at different slopes",
            "one slope for all products of a market, by which transfers become utility",
            "do not interact prices with characteristics of products",
        )
