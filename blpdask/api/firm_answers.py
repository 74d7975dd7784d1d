"""Answers to questions about firms and welfare whose arguments need reading.

See :class:`.firm_methods.FirmMethods`. Rows are sorted by market until they are given.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..analysis.economy import Economy, Owners
from ..analysis.firm_conditions import equilibrium, implied_markups, passthrough
from ..analysis.stacked_matrices import pad_rows
from ..analysis.substitution import profit_hessians
from ..analysis.welfare import (
    Surpluses,
    concentration,
    consumer_surpluses,
    uneven_markets,
)
from ..model.equilibrium import Equilibrium
from ..records import Floats, InversionControls
from ..status import CostStatus, PriceStatus
from .economy_questions import Question
from .simulation_checks import check_price_iteration

#: Said of markets whose surplus is taken by one product's slope where others differ.
UNEVEN = (
    "utilities of products fall with their prices at different slopes, so that "
    "surplus, which takes the slope of the first, is not what prices are worth; "
    "compute_compensating_variations says what a change of prices is"
)


def costs(question: Question, firm_ids: Any, ownership: Any) -> Floats:
    """Compute marginal costs, or give those that are known where nobody is named."""
    known = question.known_costs() if firm_ids is None and ownership is None else None
    if known is not None:
        return question.economy().in_user_order(known)[:, None]
    owners = question.owners(firm_ids, ownership)
    economy = question.economy()
    found = economy.values_of("prices") - implied_or_warned(question, economy, owners)
    return economy.in_user_order(found)[:, None]


def approximate_prices(
    question: Question, firm_ids: Any, ownership: Any, costs: Any
) -> Floats:
    """Approximate prices of equilibrium."""
    owners = question.owners(firm_ids, ownership)
    given, own = _read_costs(question, costs)
    economy = question.economy()
    found = _costs(question, economy, given, own)
    found = found + implied_or_warned(question, economy, owners)
    return economy.in_user_order(found)[:, None]


def equilibrium_prices(
    question: Question,
    firm_ids: Any,
    ownership: Any,
    costs: Any,
    prices: Any,
    iteration: Any,
    constant_costs: bool,
) -> Floats:
    """Compute prices of equilibrium."""
    owners = question.owners(firm_ids, ownership)
    given, own = _read_costs(question, costs)
    start = question.column(prices, "prices")
    controls = check_price_iteration(iteration, question.scratch_bytes, question.faults)
    economy = question.economy()
    found = equilibrium(
        economy,
        owners,
        _costs(question, economy, given, own),
        economy.values_of("prices") if start is None else start,
        controls,
        constant_costs=constant_costs,
    )
    warn_of_prices(question, found, controls)
    return economy.in_user_order(found.prices)[:, None]


def passthrough_matrices(question: Question, firm_ids: Any, ownership: Any) -> Floats:
    """Compute pass-through."""
    owners = question.owners(firm_ids, ownership)
    economy = question.economy()
    found, singular = passthrough(economy, owners)
    question.warn(singular, "second-order conditions of prices are singular")
    return economy.in_user_order(found)


def hessians_of_profits(question: Question, prices: Any, costs: Any) -> Floats:
    """Compute second derivatives of profits."""
    at = question.column(prices, "prices")
    given, own = _read_costs(question, costs)
    economy = question.economy()
    at = economy.values_of("prices") if at is None else at
    found = profit_hessians(economy, at, _costs(question, economy, given, own))
    return economy.in_user_order(found)


def markups(question: Question, prices: Any, costs: Any) -> Floats:
    """Compute markups."""
    at = question.column(prices, "prices")
    given, own = _read_costs(question, costs)
    economy = question.economy()
    at = economy.values_of("prices") if at is None else at
    found = (at - _costs(question, economy, given, own)) / at
    return economy.in_user_order(found)[:, None]


def profits(question: Question, prices: Any, shares: Any, costs: Any) -> Floats:
    """Compute profits."""
    at = question.column(prices, "prices")
    sold = question.column(shares, "shares")
    given, own = _read_costs(question, costs)
    economy = question.economy()
    at = economy.values_of("prices") if at is None else at
    sold = economy.values_of("shares") if sold is None else sold
    found = (at - _costs(question, economy, given, own)) * sold
    return economy.in_user_order(found)[:, None]


def indices(question: Question, firm_ids: Any, shares: Any) -> Floats:
    """Compute indices of concentration."""
    firms = question.firms(firm_ids)
    sold = question.column(shares, "shares")
    economy = question.economy()
    sold = economy.values_of("shares") if sold is None else sold
    return concentration(economy, firms[economy.rows], sold)[:, None]


def surpluses(
    question: Question, prices: Any, keep_all: bool, eliminated: Any, index: Any
) -> Floats:
    """Compute consumer surpluses."""
    at = question.column(prices, "prices")
    gone = question.eliminated(eliminated, index)
    economy = question.economy()
    found = warned_surpluses(question, economy, at, gone)
    if not keep_all:
        return found.of_markets[:, None]
    return pad_rows(found.of_agents, economy.agent_counts)


def implied_or_warned(question: Question, economy: Economy, owners: Owners) -> Floats:
    """Solve for markups, and warn of markets where that cannot be done."""
    eta = implied_markups(economy, owners)
    lost = economy.segment_sums(np.where(np.isfinite(eta), 0.0, 1.0)) > 0
    question.warn(np.flatnonzero(lost), CostStatus.NONFINITE.sentence, deeper=1)
    return eta


def warned_surpluses(
    question: Question, economy: Economy, at: Floats | None, gone: Any = None
) -> Surpluses:
    """Compute surpluses at prices, and warn of markets where they are not right."""
    trial = economy.at("prices", at)
    question.warn(
        uneven_markets(economy, trial),
        UNEVEN,
        deeper=1,
    )
    return consumer_surpluses(economy, trial, gone)


def warn_of_prices(
    question: Question, found: Equilibrium, controls: InversionControls
) -> None:
    """Warn of markets in which prices were sought and not found."""
    if controls.method != "return":
        for kind in list(PriceStatus)[1:]:
            failed = np.flatnonzero(found.status == kind)
            question.warn(failed, kind.sentence, deeper=1)


def _read_costs(question: Question, given: Any) -> tuple[Floats | None, Owners | None]:
    """Read costs, those known if none are given, or who sets the data's prices."""
    costs = question.costs(given)
    if given is not None or costs is not None:
        return costs, None
    return None, question.owners(None, None)


def _costs(
    question: Question, economy: Economy, given: Floats | None, own: Owners | None
) -> Floats:
    """Give costs of the rows, ``(n,)``: as given, or as prices of the data imply."""
    if given is not None:
        return given
    assert own is not None
    return economy.values_of("prices") - implied_or_warned(question, economy, own)
