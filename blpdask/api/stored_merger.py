"""What a merger does to data in a store, put together from answers by blocks.

The equations are those of :mod:`.counterfactual` without taxes: costs at which prices
of the data are optimal, prices of equilibrium for the owners after, and what follows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..problem.products import Products
from ..records import Floats
from ..results.merger_table import MergerEffects
from .economy_methods import EconomyMethods
from .merger import merged_firms


def stored_merger(
    answers: EconomyMethods,
    products: Products,
    mergers: Mapping[Any, Any],
    costs: Any,
    iteration: Any,
    computing: dict[str, Any],
) -> MergerEffects:
    """Compute what a merger does.

    Parameters
    ----------
    answers
        Of the store.
    products
        Its prices, shares and firms.
    mergers, costs, iteration
        As of ``simulate_merger``.
    computing
        ``engine``, ``threads`` and ``backend``.

    Raises
    ------
    InputError
        Where firms are not there.
    """
    firms = products.ids.get("firm_ids")
    after = merged_firms(firms, mergers)
    c = answers.compute_costs(**computing) if costs is None else costs
    p: Floats = np.ravel(np.asarray(products.ids["prices"], dtype=np.float64))
    moved = answers.compute_prices(
        firm_ids=after, costs=c, iteration=iteration, **computing
    )
    sold = answers.compute_shares(moved, **computing)
    surpluses, new_surpluses = (
        answers.compute_consumer_surpluses(at, **computing)[:, 0]
        for at in (None, moved)
    )
    c = np.ravel(np.asarray(c, dtype=np.float64))
    return MergerEffects(
        unique_market_ids=products.unique_market_ids,
        market_codes=products.market_codes,
        firm_ids=np.ravel(np.asarray(firms, dtype=object)),
        new_firm_ids=after,
        costs=c,
        new_costs=c,
        prices=p,
        new_prices=moved[:, 0],
        producer_prices=p,
        new_producer_prices=moved[:, 0],
        shares=products.shares,
        new_shares=sold[:, 0],
        fixed=np.zeros(p.size, np.bool_),
        hhi=answers.compute_hhi()[:, 0],
        new_hhi=answers.compute_hhi(after, sold)[:, 0],
        surpluses=surpluses,
        new_surpluses=new_surpluses,
        transfer_costs=np.zeros_like(surpluses),
        new_transfer_costs=np.zeros_like(surpluses),
        changed=("mergers",),
    )
