"""Which choices are gone where second choices are asked for.

Who chose j is asked what they would choose were the group g ∋ j gone: j alone, or all
products of the market with its value of a column of ``product_ids``. The outside option
is a group of its own. What a group's members divide among themselves,

    P_ijk = P_ij / P_ig (P_ik^-g - P_ik),   k ∉ g,   P_ig = Σ_{j∈g} P_ij,

is theirs with nests where g lies within a nest or is a union of nests (Conlon and
Gortmaker 2025).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..records import Integers
from .formula_data import factorize
from .survey_market import SurveyedMarket


def removal_codes(market: SurveyedMarket, index: int | None) -> Integers:
    """Code the groups of a market's choices ``(1 + J,)``, the outside option's zero.

    Parameters
    ----------
    market
        The market.
    index
        Column of ``product_ids``, or None where each choice is a group.
    """
    if index is None:
        return np.arange(1 + market.n_products, dtype=np.int64)
    levels, codes = factorize(market.products["product_ids"][:, index])
    codes = np.where(codes < 0, len(levels), codes)  # what is missing is one group
    return np.concatenate([[0], 1 + codes]).astype(np.int64)


def apart(codes: Integers) -> NDArray[np.bool_]:
    """Tell which second choices remain after which first ones, ``(1 + J, 1 + J)``."""
    return np.asarray(codes[:, None] != codes)


def nest_clashes(codes: Integers, nests: Integers) -> list[int]:
    """List the groups of a market that are neither within a nest nor a union of nests.

    Parameters
    ----------
    codes
        ``(1 + J,)`` groups.
    nests
        ``(J,)`` nests.
    """
    found = []
    for group in np.unique(codes[1:]).tolist():
        members = codes[1:] == group
        own = np.unique(nests[members])
        if own.size > 1 and not np.array_equal(np.isin(nests, own), members):
            found.append(group)
    return found
