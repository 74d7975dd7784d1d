"""What the other products of a market add up to.

With f the firm of product j in market t, the instruments of Berry, Levinsohn and Pakes
(1995) are the sums over its firm's other products and over its rivals'

    other_j = Σ_{k ∈ ft, k ≠ j} x_k,   rival_j = Σ_{k ∈ t, k ∉ ft} x_k,

that is S_ft - x_j and S_t - S_ft with S the sums of groups: O(N K), no pairs. A sum of
group g is off by at most n_g ε Σ|x_k| (ε is the machine's), so is a difference of two.
"""

from __future__ import annotations

import numpy as np

from ..records import Floats, Integers


def rival_sums(values: Floats, markets: Integers, firms: Integers) -> Floats:
    """Sum characteristics of the firm's other products, then of its rivals'.

    Parameters
    ----------
    values
        ``(N, K)`` x.
    markets, firms
        ``(N,)`` codes.

    Returns
    -------
    Floats
        ``(N, 2 K)``: the sums over other products, then those over rivals.

    Examples
    --------
    >>> x, firms = np.array([[1.0], [2.0], [4.0]]), np.array([0, 0, 1])
    >>> rival_sums(x, np.zeros(3, dtype=int), firms)
    array([[2., 4.],
           [1., 4.],
           [0., 3.]])
    """
    owners = interact(markets, firms)
    own = sum_groups(values, owners)[owners]
    everyone = sum_groups(values, markets)[markets]
    return np.hstack([own - values, everyone - own])


def sum_groups(values: Floats, codes: Integers) -> Floats:
    """Sum every column ``(N, K)`` within groups, ``(G, K)``, rows in their order."""
    sums = np.empty((int(codes.max(initial=-1)) + 1, values.shape[1]))
    for k, column in enumerate(values.T):
        sums[:, k] = np.bincount(codes, weights=column, minlength=sums.shape[0])
    return sums


def interact(first: Integers, *others: Integers) -> Integers:
    """Code the combinations of codes, ``(N,)`` each, that there are: 0, 1, ….

    Examples
    --------
    >>> interact(np.array([0, 1, 0]), np.array([5, 0, 5]))
    array([0, 1, 0])
    """
    codes = first
    for other in others:
        key = codes * (int(other.max(initial=0)) + 1) + other
        codes = np.unique(key, return_inverse=True)[1].astype(np.int64)
    return codes
