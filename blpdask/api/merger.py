"""Who owns what after a merger? Firms of all products; those not there are refused."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np

from ..errors import Faults
from ..problem.fields import some


def merged_firms(
    firm_ids: np.ndarray[Any, Any] | None, mergers: Mapping[Any, Any]
) -> np.ndarray[Any, Any]:
    """Give the firms of all products after mergers, ``(N,)``.

    Parameters
    ----------
    firm_ids
        ``(N,)`` firms of the data, or None.
    mergers
        Which firms become which.

    Raises
    ------
    InputError
        With every fault, as of :func:`check_mergers`.

    Examples
    --------
    >>> merged_firms(np.array([1, 2, 3, 2]), {2: 1}).tolist()
    [1, 1, 3, 1]
    """
    firms = check_mergers(firm_ids, mergers)
    return np.array([mergers.get(firm, firm) for firm in firms.tolist()], object)


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
    named = [firm for pair in mergers.items() for firm in pair]
    missing = [f for f in named if not isinstance(f, Hashable) or f not in known]
    if missing:
        faults.add(
            f"mergers of firms that own nothing ({some(missing)})",
            f"firms of product_data: {some(sorted(known, key=str))}",
            "correct mergers; IDs are compared as they are, 2 is not '2'",
        )
    faults.check()
    return firms
