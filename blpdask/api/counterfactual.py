"""What would be otherwise? Equilibria of other owners, costs, taxes, price controls.

Producers' costs are those at which prices of the data are optimal for the owners of the
data under its taxes, c = (p - η - t) / (1 + τ). After, p = c̃ + ζ(p) holds for the new
owners at the new taxes (Nevo 2000, RAND Journal of Economics;
:mod:`blpdask.analysis.taxed_prices`, :mod:`blpdask.model.equilibrium`), but for prices
that are held.
"""

from __future__ import annotations

from dataclasses import fields

import numpy as np

from ..analysis.choices import shares_at
from ..analysis.economy import Economy
from ..analysis.firm_conditions import equilibrium
from ..analysis.taxed_prices import taxed_owners
from ..analysis.transfers import transfer_costs
from ..analysis.welfare import concentration
from ..problem.fields import factorize
from ..records import Floats
from ..results.counterfactual_table import Counterfactual
from ..results.merger_table import MergerEffects
from .counterfactual_arguments import Counterfacts, Ids, Regimes, read_regimes
from .economy_questions import Question
from .firm_answers import implied_or_warned, warn_of_prices, warned_surpluses
from .merger import check_mergers


def counterfactual(question: Question, given: Counterfacts) -> Counterfactual:
    """Compute equilibria before and after.

    Parameters
    ----------
    question
        Is asked, of all markets.
    given
        What is otherwise.

    Raises
    ------
    InputError
        With every fault of the arguments.
    """
    asked = read_regimes(question, given)
    economy = question.economy()
    p, s = economy.values_of("prices"), economy.values_of("shares")
    costs = asked.costs
    if asked.owners is not None:
        owners = taxed_owners(economy, asked.owners, asked.taxes)
        costs = asked.taxes.producer(p - implied_or_warned(question, economy, owners))
    assert costs is not None
    new_costs = costs if asked.new_costs is None else asked.new_costs
    found = equilibrium(
        economy,
        taxed_owners(economy, asked.new_owners, asked.new_taxes),
        asked.new_taxes.consumer(new_costs),
        p if asked.start is None else asked.start,
        asked.controls,
        fixed=asked.fixed,
    )
    warn_of_prices(question, found, asked.controls)
    after = {
        "costs": new_costs,
        "prices": found.prices,
        "producer_prices": asked.new_taxes.producer(found.prices),
        "shares": shares_at(economy, economy.at("prices", found.prices)),
    }
    before = {
        "costs": costs,
        "prices": p,
        "producer_prices": asked.taxes.producer(p),
        "shares": s,
    }
    surpluses = warned_surpluses(question, economy, p).of_markets
    new_surpluses = warned_surpluses(question, economy, found.prices).of_markets
    return _record(economy, asked, before, after, (surpluses, new_surpluses), given)


def merger_effects(question: Question, given: Counterfacts) -> MergerEffects:
    """Compute what a merger does.

    Parameters
    ----------
    question
        Is asked, of all markets.
    given
        Which firms become which, and perhaps costs.

    Raises
    ------
    InputError
        With every fault, such as firms that are not there.
    """
    check_mergers(question.products.ids.get("firm_ids"), given.mergers)
    found = counterfactual(question, given)
    values = {field.name: getattr(found, field.name) for field in fields(found)}
    return MergerEffects(**values)


def _record(
    economy: Economy,
    asked: Regimes,
    before: dict[str, Floats],
    after: dict[str, Floats],
    surpluses: tuple[Floats, Floats],
    given: Counterfacts,
) -> Counterfactual:
    """Put rows in the user's order, with firms and indices of markets."""
    products = economy.demand.products
    columns = {name: economy.in_user_order(v) for name, v in before.items()}
    columns |= {f"new_{name}": economy.in_user_order(v) for name, v in after.items()}
    fixed = np.zeros(products.n_products, np.bool_)
    if asked.fixed is not None:
        fixed[economy.rows] = asked.fixed
    nobody = np.full(products.n_products, None, object)
    firms, new_firms = (
        nobody if ids is None else ids for ids in (asked.firm_ids, asked.new_firm_ids)
    )
    return Counterfactual(
        unique_market_ids=products.unique_market_ids,
        market_codes=products.market_codes,
        firm_ids=firms,
        new_firm_ids=new_firms,
        fixed=fixed,
        hhi=_concentration(economy, asked.firm_ids, before["shares"]),
        new_hhi=_concentration(economy, asked.new_firm_ids, after["shares"]),
        surpluses=surpluses[0],
        new_surpluses=surpluses[1],
        transfer_costs=_spending(economy, given, before["prices"]),
        new_transfer_costs=_spending(economy, given, after["prices"]),
        changed=given.changed,
        **columns,
    )


def _spending(economy: Economy, given: Counterfacts, prices: Floats) -> Floats:
    """Add up what transfers cost at prices, zero without any, ``(T,)``."""
    if not given.transfers:
        return np.zeros(economy.offsets.size - 1)
    return transfer_costs(economy, given.transfers, prices)


def _concentration(economy: Economy, firms: Ids | None, shares: Floats) -> Floats:
    """Compute indices of concentration, NaN without firms, ``(T,)``."""
    if firms is None:
        return np.full(economy.offsets.size - 1, np.nan)
    return concentration(economy, factorize(firms)[0][economy.rows], shares)
