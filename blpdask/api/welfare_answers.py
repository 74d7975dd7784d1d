"""Answers to questions about what prices are worth, and to whom.

See :class:`.firm_methods.FirmMethods`. Rows are sorted by market until they are given.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ..analysis.compensating_variation import compensating_variations
from ..analysis.compensation_range import (
    CompensationRange,
    compensation_range,
    undefined_outside,
)
from ..analysis.economy import Economy
from ..analysis.stacked_matrices import pad_rows
from ..analysis.surplus_groups import agent_weights, buyers, group_means
from ..analysis.welfare import uneven_markets
from ..problem.fields import some
from ..records import Floats
from ..results.group_surpluses import GroupSurpluses
from .agent_groups import read_groups
from .economy_questions import Question
from .firm_answers import UNEVEN


def surpluses_by_group(
    question: Question, groups: Any, prices: Any, new_prices: Any, quantiles: Any
) -> GroupSurpluses:
    """Compute surplus of groups."""
    at = question.column(prices, "prices")
    new = question.column(new_prices, "new_prices")
    chosen = read_groups(
        groups,
        quantiles,
        question.agents,
        question.market,
        lambda: agent_weights(replace(question.economy(), market=None)),
        question.faults,
    )
    economy = question.economy()
    trials = [economy.at("prices", at)]
    trials += [] if new is None else [economy.at("prices", new)]
    uneven = [uneven_markets(economy, trial) for trial in trials]
    question.warn(np.unique(np.concatenate(uneven)), UNEVEN)
    weights, T, G = agent_weights(economy), question.market_ids.size, chosen.ids.size
    places = np.repeat(np.arange(T), economy.agent_counts) * G + chosen.codes
    means = [
        group_means(buyers(economy, trial), weights, places, T, G) for trial in trials
    ]
    last = None if new is None else means[1]
    return GroupSurpluses(
        name=chosen.name,
        market_ids=question.market_ids,
        group_ids=chosen.ids,
        mass=means[0].mass,
        surpluses=means[0].surpluses,
        buying=means[0].buying,
        prices_paid=means[0].prices_paid,
        new_surpluses=None if last is None else last.surpluses,
        new_buying=None if last is None else last.buying,
        new_prices_paid=None if last is None else last.prices_paid,
    )


def variations(
    question: Question, new_prices: Any, prices: Any, outside_price: Any, keep_all: bool
) -> Floats:
    """Compute compensating variation."""
    after = question.column(new_prices, "new_prices")
    before = question.column(prices, "prices")
    if new_prices is None:
        question.faults.add(
            "new_prices=None", "prices after the change", "pass new_prices"
        )
    q = _read_outside(question, outside_price)
    economy = question.economy()
    assert after is not None
    before = economy.values_of("prices") if before is None else before
    utility = economy.utility("prices")
    with np.errstate(all="ignore"):
        ranges = compensation_range(utility, economy.offsets, before, after)
        outside = _outside_prices(question, economy, ranges, before, q)
        first = np.repeat(before[economy.offsets[:-1]], np.diff(economy.offsets))
        uneven = uneven_markets(economy, economy.at("prices", first))
    question.warn(
        uneven[ranges.top[uneven] > 0],
        "utilities of products fall with their prices by different functions; money is "
        "worth outside what it would be to those who buy the first product",
    )
    found = compensating_variations(
        economy, ranges, before=before, after=after, outside_prices=outside
    )
    for flags, sentence in (
        (found.rising, "utility of some agents rises with a price; theirs are NaN"),
        (
            found.undefined,
            "utility of some agents is not finite at prices less compensation; theirs "
            "are NaN",
        ),
        (
            found.unfinished,
            "integrals over compensation did not settle to ten digits for some agents",
        ),
    ):
        question.warn(np.flatnonzero(flags), sentence)
    if not keep_all:
        return found.of_markets[:, None]
    return pad_rows(found.of_agents, economy.agent_counts)


def _read_outside(question: Question, given: Any) -> float:
    """Read the price at which money is valued outside, zero where None."""
    if given is None:
        return 0.0
    number = isinstance(given, int | float | np.number) and not isinstance(given, bool)
    if number and np.isfinite(given):
        return float(given)
    question.faults.add(
        f"outside_price={given!r}",
        "a finite number, or None",
        "pass a price at which money is valued outside",
    )
    return 0.0


def _outside_prices(
    question: Question,
    economy: Economy,
    ranges: CompensationRange,
    before: Floats,
    q: float,
) -> Floats:
    """Give q of each market, ``(T,)``; an error where money has no value there.

    Where no price rises money is never valued outside, and q may be any.
    """
    starts, dearer = economy.offsets[:-1], ranges.top > 0
    outside = np.where(dearer, q, before[starts])
    utility = economy.utility("prices").take(starts)
    lost = np.flatnonzero(dearer & undefined_outside(utility, outside, ranges.top))
    if lost.size:
        question.faults.add(
            f"outside_price={q:g}, at which, or at which less compensation, utility is "
            f"not finite in {lost.size} markets ({some(question.market_ids[lost])})",
            "a price at which formulas are finite, after compensation of up to "
            f"{ranges.top[lost].max():.6g} too",
            "pass outside_price, such as what people spend on something else",
        )
        question.faults.check()
    return outside
