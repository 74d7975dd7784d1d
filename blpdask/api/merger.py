"""What would a merger do? Prices, shares, concentration, profits and surplus after it.

Costs are those at which prices of the data are optimal for the firms of the data; after
the merger p = c + ζ(p) holds for its owners (Nevo 2000, RAND Journal of Economics;
:mod:`blpdask.model.equilibrium`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import Faults
from ..problem.fields import some
from ..results.merger_table import MergerEffects

if TYPE_CHECKING:
    from .economy_methods import EconomyMethods
    from .iteration import Iteration


def merger_effects(
    results: EconomyMethods,
    mergers: Mapping[Any, Any],
    costs: Any,
    iteration: Iteration | None,
    computing: dict[str, Any],
) -> MergerEffects:
    """Compute what a merger does.

    Parameters
    ----------
    results
        A model at its parameters.
    mergers
        Which firms become which.
    costs, iteration
        As of ``compute_prices``.
    computing
        ``engine``, ``threads`` and ``backend``.

    Raises
    ------
    InputError
        Where firms are not there.
    """
    products = results.estimated_economy("simulate_merger").demand.products
    firms = check_mergers(products.ids.get("firm_ids"), mergers)
    after = np.array([mergers.get(firm, firm) for firm in firms.tolist()], object)
    c = results.compute_costs(**computing) if costs is None else costs
    prices = results.compute_prices(
        firm_ids=after, costs=c, iteration=iteration, **computing
    )
    shares = results.compute_shares(prices, **computing)
    return MergerEffects(
        market_ids=products.unique_market_ids[products.market_codes],
        firm_ids=firms,
        new_firm_ids=after,
        costs=np.ravel(c),
        prices=np.ravel(np.asarray(products.ids["prices"], dtype=np.float64)),
        new_prices=prices[:, 0],
        shares=products.shares,
        new_shares=shares[:, 0],
        hhi=results.compute_hhi()[:, 0],
        new_hhi=results.compute_hhi(after, shares)[:, 0],
        surpluses=results.compute_consumer_surpluses(**computing)[:, 0],
        new_surpluses=results.compute_consumer_surpluses(prices, **computing)[:, 0],
        unique_market_ids=products.unique_market_ids,
    )


def check_mergers(
    firm_ids: np.ndarray[Any, Any] | None, mergers: Mapping[Any, Any]
) -> np.ndarray[Any, Any]:
    """Check that mergers name firms, and give those of all products, ``(N,)``.

    Parameters
    ----------
    firm_ids
        ``(N,)`` firms of the data, or None.
    mergers
        Which firms become which.

    Raises
    ------
    InputError
        With every fault.
    """
    faults = Faults("simulate_merger")
    if firm_ids is None:
        faults.add(
            "no firm_ids in product_data", "firms that can merge", "add firm_ids"
        )
    if not isinstance(mergers, Mapping) or not mergers:
        faults.add(
            f"mergers={mergers!r}",
            "a dict of which firms become which",
            "pass say {2: 1}: firm 2's products become firm 1's",
        )
    faults.check()
    firms = np.ravel(np.asarray(firm_ids, dtype=object))
    known = set(firms.tolist())
    missing = [firm for pair in mergers.items() for firm in pair if firm not in known]
    if missing:
        faults.add(
            f"mergers of firms that own nothing ({some(missing)})",
            f"firms of product_data: {some(sorted(known, key=str))}",
            "correct mergers; IDs are compared as they are, 2 is not '2'",
        )
    faults.check()
    return firms
