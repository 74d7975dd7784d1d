"""Sums within clusters, in one way or in several at once.

With clusters in W ways, say firms and cities (Cameron, Gelbach and Miller 2011, Journal
of Business & Economic Statistics 29),

    S = Σ_{A ≠ ∅} (-1)^(|A|+1) S_A,
    S_A = (1/N) Σ_c (Σ_{j∈c} (g_j - ḡ))(Σ_{j∈c} (g_j - ḡ))',

over the non-empty subsets A of the ways; two rows are in the same cluster of A if they
are in the same cluster in every way of A. Codes of clusters are ``(N,)`` in one way and
``(N, W)`` in several. A cluster of A is a row of W codes with -1 in the ways outside A:
it is the same in all blocks, and says its own sign.
"""

from __future__ import annotations

import itertools

import numpy as np

from ..records import Floats, Integers


def sum_by_cluster(
    g: Floats, clusters: Integers | None
) -> tuple[Integers, Integers, Floats]:
    """List the clusters of rows, their sizes and sums, in order of their codes.

    Parameters
    ----------
    g
        ``(N, M)``.
    clusters
        ``(N,)`` or ``(N, W)`` codes; None where no sums are wanted.

    Returns
    -------
    tuple
        ``(C,)`` or ``(C, W)`` clusters of all subsets of ways, ``(C,)`` rows of each,
        and ``(C, M)`` sums.
    """
    if clusters is None:
        nothing = np.empty(0, np.int64)
        return nothing, nothing, np.empty((0, g.shape[1]))
    if clusters.ndim == 1:
        return _sum_in_order(g, clusters)
    parts = []
    for subset in subsets(clusters.shape[1]):
        found, places = _distinct(_mark(clusters, subset))
        _, sizes, sums = _sum_in_order(g, places)
        parts.append((found, sizes, sums))
    codes, sizes, sums = (np.concatenate(part) for part in zip(*parts, strict=True))
    return codes, sizes, sums


def add_clusters(
    clusters: Integers, sizes: Integers, sums: Floats, m: Floats
) -> tuple[Integers, Integers, Floats]:
    """Add what blocks have of each cluster, less its rows times m.

    Parameters
    ----------
    clusters, sizes, sums
        What :func:`sum_by_cluster` gave of all blocks, joined.
    m
        ``(M,)`` what to take off every row.

    Returns
    -------
    tuple
        ``(C,)`` or ``(C, W)`` different clusters, ``(C,)`` rows of each, ``(C, M)``.
    """
    touched, places = _distinct(clusters)
    g = np.zeros((touched.shape[0], sums.shape[1]))
    rows = np.bincount(places, weights=sizes, minlength=touched.shape[0])
    np.add.at(g, places, sums)
    return touched, rows.astype(np.int64), np.asarray(g - rows[:, None] * m)


def signs_of(clusters: Integers) -> Floats:
    """Give (-1)^(|A|+1) of every cluster, ``(C,)``.

    Examples
    --------
    >>> signs_of(np.array([[0, -1], [-1, 3], [0, 3]])).tolist()
    [1.0, 1.0, -1.0]
    """
    if clusters.ndim == 1:
        return np.ones(clusters.size)
    return np.where(np.count_nonzero(clusters >= 0, axis=1) % 2 == 1, 1.0, -1.0)


def look_up(rows: Integers, clusters: Integers, values: Floats) -> Floats:
    """Add the values of all clusters that a row is in, with their signs, ``(N,)``.

    Parameters
    ----------
    rows
        ``(N,)`` or ``(N, W)`` codes of rows.
    clusters, values
        Different clusters ``(C,)`` or ``(C, W)`` in order, those of the rows among
        them, and ``(C,)`` values.
    """
    signed = signs_of(clusters) * values
    if rows.ndim == 1:
        return np.asarray(signed[np.searchsorted(clusters, rows)])
    found = np.zeros(rows.shape[0])
    for subset in subsets(rows.shape[1]):
        both = np.vstack([clusters, _mark(rows, subset)])
        found += signed[_distinct(both)[1][clusters.shape[0] :]]
    return found


def subsets(n_ways: int) -> list[tuple[int, ...]]:
    """List the non-empty subsets of ways, single ones first.

    Examples
    --------
    >>> subsets(2)
    [(0,), (1,), (0, 1)]
    """
    sizes = range(1, n_ways + 1)
    return [s for size in sizes for s in itertools.combinations(range(n_ways), size)]


def _mark(clusters: Integers, subset: tuple[int, ...]) -> Integers:
    """Put -1 in the ways outside a subset."""
    marked = np.full_like(clusters, -1)
    marked[:, subset] = clusters[:, subset]
    return marked


def _distinct(clusters: Integers) -> tuple[Integers, Integers]:
    """List different clusters in order, and the place of each among them."""
    axis = None if clusters.ndim == 1 else 0
    found, places = np.unique(clusters, return_inverse=True, axis=axis)
    return found, places.ravel()


def _sum_in_order(g: Floats, codes: Integers) -> tuple[Integers, Integers, Floats]:
    """Sum the rows of every code, in order."""
    order = np.argsort(codes, kind="stable")
    firsts = np.flatnonzero(np.diff(codes[order], prepend=-1))
    sizes = np.diff(firsts, append=codes.size)
    return codes[order][firsts], sizes, np.add.reduceat(g[order], firsts, axis=0)
