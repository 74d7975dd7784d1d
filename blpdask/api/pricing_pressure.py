"""How hard would a merger press on prices? What is asked, read and put in a record.

The mathematics is that of :mod:`blpdask.analysis.pricing_pressure`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..analysis.economy import Owners
from ..analysis.pricing_pressure import MergingOwners, pricing_pressure
from ..errors import InputError
from ..problem.products import Products
from ..records import Floats
from ..results.pricing_pressure import PricingPressure, merging_products
from ..status import CostStatus
from .economy_questions import Question
from .merger import merged_firms

Ids = np.ndarray[Any, Any]


def pressure_of_merger(
    question: Question, mergers: Any, costs: Any, efficiencies: Any
) -> PricingPressure:
    """Compute pricing pressure.

    Parameters
    ----------
    question
        About all markets.
    mergers
        Which firms become which.
    costs, efficiencies
        ``(N,)`` as given, or None and a number.

    Raises
    ------
    InputError
        With every fault.
    """
    products = question.products
    _check_owners(question, products)
    firms, after = _read_mergers(question, products, mergers)
    given = question.costs(costs)
    merging = merging_products(firms, after)
    saved = np.where(merging, _read_efficiencies(question, efficiencies), 0.0)
    question.faults.check()
    before, post = (Owners(question.firms(ids), None) for ids in (None, after))
    economy = question.economy()
    owners = MergingOwners(before, post)
    found = pricing_pressure(economy, owners, given, saved[economy.rows])
    lost = np.where(np.isfinite(found.cmcr * found.gepp), 0.0, 1.0)
    lost = np.flatnonzero(economy.segment_sums(lost) > 0)
    question.warn(lost, CostStatus.NONFINITE.sentence)
    singular = economy.segment_sums(1.0 - np.isfinite(found.price_changes)) > 0
    singular[lost] = False
    sentence = "second-order conditions of prices are singular"
    question.warn(np.flatnonzero(singular), sentence)
    indices = {
        name: np.where(merging, economy.in_user_order(getattr(found, name)), np.nan)
        for name in ("upp", "guppi", "gepp", "cmcr")
    }
    return PricingPressure(
        market_ids=products.unique_market_ids[products.market_codes],
        firm_ids=firms,
        new_firm_ids=after,
        prices=economy.prices,
        shares=products.shares,
        costs=economy.in_user_order(found.costs),
        efficiencies=saved,
        price_changes=economy.in_user_order(found.price_changes),
        **indices,
    )


def _check_owners(question: Question, products: Products) -> None:
    """Check that nobody cares for profits of others."""
    if "firm_ids" not in products.ids:  # what mergers are refused for
        return
    if question.owners(None, None).ownership is not None:
        question.faults.add(
            "product_data with ownership, weights on profits",
            "firms that own their products wholly: mergers of firms do not say what "
            "becomes of other weights",
            "leave ownership out, so that firm_ids say who sets prices",
        )


def _read_mergers(
    question: Question, products: Products, mergers: Any
) -> tuple[Ids, Ids]:
    """Read firms before and after, ``(N,)``; nobody's where they cannot be read."""
    try:
        after = merged_firms(products.ids.get("firm_ids"), mergers)
    except InputError as error:
        question.faults.extend(error)
        nobody = np.zeros(products.n_products, object)
        return nobody, nobody
    return np.ravel(np.asarray(products.ids["firm_ids"], dtype=object)), after


def _read_efficiencies(question: Question, given: Any) -> Floats:
    """Read e ``(N,)`` in the user's order."""
    N = question.rows.size
    try:
        values = np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError):
        values = np.full(0, np.nan)
    values = np.full(N, values) if values.ndim == 0 else values.ravel()
    bad = int((~(values < 1.0) | ~np.isfinite(values)).sum())
    if values.size != N or bad:
        question.faults.add(
            f"efficiencies of size {values.size}, {bad} not finite or not below one",
            f"shares of costs, one number or {N} in the order of product_data",
            "correct efficiencies, say 0.05 for five per cent",
        )
        return np.zeros(N)
    return values
