"""What the same product costs elsewhere.

A cost shock that is common to markets moves a product's price in all of them, while
demand shocks, by assumption, are a market's own: the mean of the product's prices in
other markets is then an instrument for its price (Hausman 1996; Nevo 2001). With g(j)
the rows of the same product, and of the same period if it is to be the same,

    z_j = mean of p_k over k ∈ g(j) that differ from j in every excluded grouping,

such as the market and the region. Sums over such k are sums over g less those over what
is excluded (inclusion and exclusion), all of p - p̄_g: O(N), no pairs,

    Σ_{k ∈ g, a_k ≠ a_j, b_k ≠ b_j} = Σ_g - Σ_{g,a} - Σ_{g,b} + Σ_{g,a,b}.

Demand shocks that are common to markets, such as advertising in a whole country, make
it invalid (Bresnahan 1996): excluding a region or matching the period does not help.

References
----------
Hausman (1996), "Valuation of New Goods under Perfect and Imperfect Competition";
Bresnahan (1996), comment on it; Nevo (2001), "Measuring Market Power in the
Ready-to-Eat Cereal Industry".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from ..records import Floats, Integers
from .rival_sums import interact, sum_groups


@dataclass(frozen=True, slots=True, eq=False)
class MeanElsewhere:
    """Mean of a variable over rows of the same group elsewhere.

    Attributes
    ----------
    values
        ``(N,)`` means, NaN where there is no such row.
    counts
        ``(N,)`` rows averaged.
    """

    values: Floats
    counts: Integers


def mean_elsewhere(
    values: Floats, groups: Integers, excluded: Sequence[Integers]
) -> MeanElsewhere:
    """Average a variable over rows of the same group that differ in all else.

    Parameters
    ----------
    values
        ``(N,)`` such as prices.
    groups
        ``(N,)`` codes of what is to be the same: products, or products and periods.
    excluded
        For each of one or more groupings, ``(N,)`` codes that are to differ: markets,
        regions.

    Returns
    -------
    MeanElsewhere
        Means and the number of rows that each is over.

    Examples
    --------
    >>> prices, product = np.array([1.0, 2.0, 6.0, 9.0]), np.array([0, 0, 0, 1])
    >>> mean_elsewhere(prices, product, [np.array([0, 1, 2, 2])]).values
    array([4. , 3.5, 1.5, nan])
    """
    # A group's mean, not its sum, is what rounding is relative to.
    both = np.column_stack([values, np.ones(values.size)])
    totals = sum_groups(both, groups)
    means = (totals[:, 0] / np.maximum(totals[:, 1], 1.0))[groups]
    both[:, 0] -= means
    left = np.zeros_like(both)
    for size in range(len(excluded) + 1):
        for chosen in combinations(excluded, size):
            codes = interact(groups, *chosen)
            left += (-1.0) ** size * sum_groups(both, codes)[codes]
    counts = left[:, 1].astype(np.int64)
    found = np.full(values.size, np.nan)
    some = counts > 0
    found[some] = means[some] + left[some, 0] / counts[some]
    return MeanElsewhere(found, counts)
