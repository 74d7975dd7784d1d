"""Tell how far from its rivals, and from its firm's other products, a product is.

With d^a = x_j^a - x_k^a the difference in characteristic a, differentiation instruments
(Gandhi and Houde 2019) are sums over the other products k of the same firm, and sums
over those of rivals, of

    (d^a)²  or  d^a d^b, b ≥ a                         ("quadratic"),
    1(|d^a| < SD^a)  or  1(|d^a| < SD^a) d^b           ("local"),

SD^a being the standard deviation of d^a over all pairs j ≠ k of all markets.

Quadratic sums need no pairs. Within a group of n products, with x measured from c,

    Σ_k d^a d^b = n x_j^a x_j^b - x_j^a S^b - x_j^b S^a + S^ab,

S the group's sums of x and of products. Where c is the member nearest to the group's
mean, n (x̄ - c)² ≤ Σ_k (x_k - x̄)², so no term exceeds a sum of squares more than a few
times over and nothing cancels; integers and constants come out exactly. Rivals are the
market's sum less the firm's. Local sums are over pairs, some at a time.

References
----------
Gandhi and Houde (2019), "Measuring Substitution Patterns in Differentiated-Products
Industries", sections 4 and 5 (interactions with demographics: section 4).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..records import Floats, Integers
from .ownership import Pairs, market_pairs, market_rows
from .rival_sums import interact, sum_groups

Flags = NDArray[np.bool_]

#: Differences that equal SD but for rounding, relative to it, are not below SD.
TIES = 1e-12


def quadratic_instruments(
    values: Floats, markets: Integers, firms: Integers, crossed: bool = False
) -> Floats:
    """Sum products of differences from other products, then from rivals'.

    Parameters
    ----------
    values
        ``(N, K)`` x.
    markets, firms
        ``(N,)`` codes.
    crossed
        Whether d^a d^b for all b ≥ a, in place of squares alone.

    Returns
    -------
    Floats
        ``(N, 2 M)``, M = K or K (K + 1) / 2: other products, then rivals'.

    Examples
    --------
    >>> x, firms = np.array([[1.0], [2.0], [4.0]]), np.array([0, 0, 1])
    >>> quadratic_instruments(x, np.zeros(3, dtype=int), firms)
    array([[ 1.,  9.],
           [ 1.,  4.],
           [ 0., 13.]])
    """
    K = values.shape[1]
    terms = [(a, b) for a in range(K) for b in range(a, K if crossed else a + 1)]
    own = summed_products(values, interact(markets, firms), terms)
    rivals = summed_products(values, markets, terms) - own
    for place, (a, b) in enumerate(terms):
        if a == b:
            # A difference of two sums that are equal but for rounding is no square.
            np.maximum(rivals[:, place], 0.0, out=rivals[:, place])
    return np.hstack([own, rivals])


def local_instruments(
    values: Floats, markets: Integers, firms: Integers, crossed: bool = False
) -> Floats:
    """Count the other products that are close, then the rivals' that are.

    Parameters
    ----------
    values
        ``(N, K)`` x.
    markets, firms
        ``(N,)`` codes.
    crossed
        Whether to sum their differences in every characteristic, in place of counting.

    Returns
    -------
    Floats
        ``(N, 2 M)``, M = K or K² (a slow, b fast): other products, then rivals'.

    Examples
    --------
    >>> x, firms = np.array([[1.0], [2.0], [4.0]]), np.array([0, 0, 1])
    >>> local_instruments(x, np.zeros(3, dtype=int), firms)
    array([[1., 0.],
           [1., 1.],
           [0., 1.]])
    """
    rows = market_rows(markets)
    limits = difference_deviations(values, markets) * (1 - TIES)
    firms = firms[rows.order]
    columns = np.asfortranarray(values[rows.order])
    n_terms = values.shape[1] ** (2 if crossed else 1)
    instruments = np.empty((markets.size, 2 * n_terms))
    for pairs in market_pairs(rows):
        own = firms[pairs.left] == firms[pairs.right]
        others = own & (pairs.left != pairs.right)
        sums = _close_sums(columns, pairs, limits, (others, ~own), crossed)
        instruments[rows.order[pairs.first : pairs.stop]] = sums
    return instruments


def difference_deviations(values: Floats, markets: Integers) -> Floats:
    """Compute SD of differences over all pairs of all markets, ``(K,)``.

    Differences of ordered pairs have mean zero. NaN where no market has two products.
    """
    sizes = np.bincount(markets).astype(np.float64)
    n_pairs = np.sum(sizes**2 - sizes)
    terms = [(k, k) for k in range(values.shape[1])]
    total = summed_products(values, markets, terms).sum(axis=0)
    if n_pairs == 0:
        return np.full(total.shape, np.nan)
    return np.asarray(np.sqrt(total / n_pairs))


def with_demographics(instruments: Floats, demographics: Floats) -> Floats:
    """Append the instruments times each demographic.

    Parameters
    ----------
    instruments
        ``(N, M)``.
    demographics
        ``(N, D)`` such as mean income of the row's market.

    Returns
    -------
    Floats
        ``(N, M (1 + D))``: the instruments, then all of them times the first
        demographic, and so on.
    """
    products = [instruments * column[:, None] for column in demographics.T]
    return np.hstack([instruments, *products])


def summed_products(
    values: Floats, codes: Integers, terms: Sequence[tuple[int, int]]
) -> Floats:
    """Sum d^a d^b over the members k of j's group.

    Parameters
    ----------
    values
        ``(N, K)`` x.
    codes
        ``(N,)`` groups 0, 1, ..., G - 1, every one of them present.
    terms
        M pairs (a, b) of columns.

    Returns
    -------
    Floats
        ``(N, M)``.
    """
    centred = values - _central_members(values, codes)[codes]
    sums = sum_groups(centred, codes)
    n = np.bincount(codes)
    result = np.empty((values.shape[0], len(terms)))
    for place, (a, b) in enumerate(terms):
        products = centred[:, a] * centred[:, b]
        cross = centred[:, a] * sums[codes, b] + centred[:, b] * sums[codes, a]
        total = np.bincount(codes, weights=products)
        result[:, place] = n[codes] * products - cross + total[codes]
    return result


def _central_members(values: Floats, codes: Integers) -> Floats:
    """Find each group's member nearest to its mean, column by column, ``(G, K)``."""
    sizes = np.bincount(codes)
    means = sum_groups(values, codes) / np.maximum(sizes, 1)[:, None]
    central = means.copy()
    by_group = np.argsort(codes, kind="stable")
    begins = np.cumsum(sizes) - sizes
    for k, column in enumerate(values.T):
        distances = np.abs(column - means[codes, k])
        least = np.minimum.reduceat(distances[by_group], begins)
        # Where several are nearest, the last one is taken.
        nearest = np.flatnonzero(distances == least[codes])
        central[codes[nearest], k] = column[nearest]
    return central


def _close_sums(
    columns: Floats,
    pairs: Pairs,
    limits: Floats,
    sides: tuple[Flags, Flags],
    crossed: bool,
) -> Floats:
    """Sum over close products, the firm's others and then rivals', of some rows j.

    Parameters
    ----------
    columns
        ``(N, K)`` x of sorted rows, column-major.
    pairs
        Pairs of M sorted rows.
    limits
        ``(K,)`` below which a difference is small.
    sides
        Which pairs are with the firm's others, and which with rivals.
    crossed
        Whether differences are summed, or ones.
    """
    d = [column[pairs.left] - column[pairs.right] for column in columns.T]
    blocks: list[list[Floats]] = [[], []]
    for block, side in zip(blocks, sides, strict=True):
        for a, limit in enumerate(limits):
            close = (side & (np.abs(d[a]) < limit)).astype(np.float64)
            for term in [close * d_b for d_b in d] if crossed else [close]:
                block.append(np.add.reduceat(term, pairs.begins))
    return np.column_stack(blocks[0] + blocks[1])
