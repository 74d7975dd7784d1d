"""Read what a counterfactual asks: who sets which prices, at which costs and taxes.

Everything is read before anything is computed, and every fault goes to one list.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import options
from ..analysis.economy import Owners
from ..analysis.taxed_prices import TaxRates
from ..errors import Faults, InputError
from ..problem.transfers import Transfer
from ..records import Floats, InversionControls
from .economy_questions import Question
from .merger import merged_firms
from .simulation_checks import check_price_iteration
from .taxes import Taxes

Ids = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True, eq=False)
class Counterfacts:
    """What is otherwise, as a user says it; None where it is as in the data.

    See :meth:`blpdask.ProblemResults.simulate_counterfactual` for each; ``transfers``
    are those that agents of the economy are given, before and after alike.
    """

    mergers: Any = None
    firm_ids: Any = None
    ownership: Any = None
    costs: Any = None
    new_costs: Any = None
    taxes: Any = None
    taxes_before: Any = None
    fixed_prices: Any = None
    prices: Any = None
    iteration: Any = None
    transfers: tuple[Transfer, ...] = ()

    @property
    def changed(self) -> tuple[str, ...]:
        """Name what is otherwise after, and not only where the data come from."""
        aside = ("costs", "taxes_before", "prices", "iteration", "transfers")
        names = (name for name in self.__slots__ if name not in aside)
        return tuple(name for name in names if getattr(self, name) is not None)


@dataclass(frozen=True, slots=True, eq=False)
class Regimes:
    """What is before and after; rows sorted by market but for firms and owners.

    Attributes
    ----------
    firm_ids, new_firm_ids
        ``(N,)`` in the user's order, None where product_data has no firms.
    owners
        Who set the prices of the data; None where costs are given.
    new_owners
        Who sets prices after.
    costs, new_costs
        ``(N,)`` producers' costs; None for those that prices of the data imply, and
        for the same as before.
    taxes, new_taxes
        Taxes before and after.
    fixed
        ``(N,)`` products whose prices are held; None for nobody's.
    start
        ``(N,)`` prices that are held, or where iteration starts; None for the data's.
    controls
        How prices iterate.
    """

    firm_ids: Ids | None
    new_firm_ids: Ids | None
    owners: Owners | None
    new_owners: Owners
    costs: Floats | None
    new_costs: Floats | None
    taxes: TaxRates
    new_taxes: TaxRates
    fixed: NDArray[np.bool_] | None
    start: Floats | None
    controls: InversionControls


def read_regimes(question: Question, given: Counterfacts) -> Regimes:
    """Read what is before and after; faults go to those of the question.

    Parameters
    ----------
    question
        Is asked.
    given
        As the user says it.
    """
    _check_owners(given, question.faults)
    firms = _own_firms(question)
    new_firms = _new_firms(question, firms, given)
    moved = new_firms if given.mergers is not None else given.firm_ids
    costs = question.costs(given.costs)
    known = given.costs is not None or costs is not None
    taxes = _read_taxes(question, given.taxes_before, "taxes_before")
    after = given.taxes is not None
    return Regimes(
        firm_ids=firms,
        new_firm_ids=new_firms,
        owners=None if known else question.owners(None, None),
        new_owners=question.owners(moved, given.ownership),
        costs=costs,
        new_costs=question.column(given.new_costs, "new_costs"),
        taxes=taxes,
        new_taxes=_read_taxes(question, given.taxes, "taxes") if after else taxes,
        fixed=_read_flags(question, given.fixed_prices),
        start=question.column(given.prices, "prices"),
        controls=check_price_iteration(
            given.iteration, options.scratch_bytes, question.faults
        ),
    )


def _check_owners(given: Counterfacts, faults: Faults) -> None:
    """Check that who sets prices after is said once."""
    names = ("mergers", "firm_ids", "ownership")
    said = [name for name in names if getattr(given, name) is not None]
    if len(said) > 1:
        faults.add(
            " and ".join(said),
            "one of mergers, firm_ids and ownership",
            "say in one of them who owns what after",
        )


def _own_firms(question: Question) -> Ids | None:
    """Give the firms of the data, ``(N,)``."""
    own = question.products.ids.get("firm_ids")
    return None if own is None else np.ravel(np.asarray(own, dtype=object))


def _new_firms(
    question: Question, firms: Ids | None, given: Counterfacts
) -> Ids | None:
    """Give the firms after, ``(N,)``; those of the data where a fault is found."""
    if given.mergers is not None:
        try:
            return merged_firms(firms, given.mergers)
        except InputError as error:
            question.faults.extend(error)
            return firms
    if given.firm_ids is not None:
        return np.ravel(np.asarray(given.firm_ids, dtype=object))
    return firms


def _read_taxes(question: Question, given: Any, name: str) -> TaxRates:
    """Read taxes of all products; none where none are given, or with a fault."""
    N = question.rows.size
    stated = Taxes() if given is None else given
    if not isinstance(stated, Taxes):
        question.faults.add(
            f"{name} of type {type(given).__name__}",
            "blpdask.Taxes, or None",
            f"pass {name}=blpdask.Taxes(unit=..., ad_valorem=...)",
        )
        stated = Taxes()
    found = []
    for part in ("unit", "ad_valorem"):
        values = np.asarray(getattr(stated, part))
        whole = values if values.ndim else np.full(N, values)
        column = question.column(whole, f"{name}.{part}")
        found.append(np.zeros(N) if column is None else column)
    return TaxRates(*found)


def _read_flags(question: Question, given: Any) -> NDArray[np.bool_] | None:
    """Read whose prices are held, ``(N,)``; None where nobody's are."""
    if given is None:
        return None
    flags, N = np.asarray(given), question.rows.size
    if flags.dtype != np.bool_ or flags.size != N:
        question.faults.add(
            f"fixed_prices of type {flags.dtype} and size {flags.size}",
            f"{N} times True or False, in the order of product_data",
            "pass a mask, such as (product_data['regulated'] == 1)",
        )
        return None
    held = question.sorted_by_market(flags.ravel())
    return held if held.any() else None
