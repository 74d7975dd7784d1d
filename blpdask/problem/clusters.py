"""Clusters of rows, in one way or in several: the matrix field ``clustering_ids``.

One column, ``clustering_ids`` or ``clustering_ids0``, gives codes ``(N,)``; columns
``clustering_ids0``, ``clustering_ids1``, … give codes ``(N, W)``, a column a way
(:mod:`blpdask.moments.clusters` says what is computed from them).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import Faults
from ..records import Integers
from .fields import factorize, field_names, matrix_columns, read_field

FIELD = "clustering_ids"
#: Subsets of ways are 2^W - 1.
MOST_WAYS = 6


def read_clusters(data: Any, faults: Faults) -> Integers | None:
    """Read codes of clusters, ``(N,)`` or ``(N, W)``; None where there are none."""
    columns = cluster_columns(data, faults)
    codes = []
    for name, values in columns.items():
        found, unique = factorize(values)
        check_groups(name, unique.size, int((found < 0).sum()), faults)
        codes.append(found)
    check_ways(len(codes), faults)
    if len({len(found) for found in codes}) > 1:
        faults.add(
            f"columns of {FIELD} of different lengths",
            "columns of one length",
            f"give every column of {FIELD} a value a row",
        )
        return None
    return stack_ways(codes)


def cluster_columns(data: Any, faults: Faults) -> dict[str, np.ndarray[Any, Any]]:
    """Give the column of each way, ``(N,)``, by its name.

    Columns are not put into one matrix: numbers beside text would become text.
    """
    found: dict[str, np.ndarray[Any, Any]] = {}
    for name in matrix_columns(set(field_names(data)), FIELD):
        values = read_field(data, name)
        assert values is not None
        if values.ndim == 1:
            found[name] = values
        elif values.ndim == 2 and name == FIELD:
            ways = values.shape[1]
            labels = [FIELD] if ways == 1 else [f"{FIELD}{w}" for w in range(ways)]
            found |= dict(zip(labels, values.T, strict=True))
        else:
            faults.add(
                f"'{name}' of shape {values.shape}",
                "one value a row and way",
                f"pass one column a way: {FIELD}0, {FIELD}1, …",
            )
    return found


def check_groups(name: str, n_groups: int, n_missing: int, faults: Faults) -> None:
    """Check that a way has clusters for all rows, at least two of them."""
    if n_groups < 2 or n_missing:
        faults.add(
            f"{n_groups} distinct {name}, {n_missing} missing",
            "at least two clusters and none missing",
            f"check {name} or leave it out",
        )


def check_ways(n_ways: int, faults: Faults) -> None:
    """Check that there are not too many ways."""
    if n_ways > MOST_WAYS:
        faults.add(
            f"clusters in {n_ways} ways",
            f"at most {MOST_WAYS}, whose intersections are summed one by one",
            f"leave columns of {FIELD} out",
        )


def check_one_way(clusters: Integers | None, faults: Faults) -> None:
    """Refuse clusters in several ways, where only one is known."""
    if clusters is not None and clusters.ndim > 1:
        faults.add(
            f"clusters in {clusters.shape[1]} ways",
            f"one column of {FIELD} here",
            f"make a problem whose {FIELD} is the one column that matters",
        )


def stack_ways(codes: Sequence[Integers]) -> Integers | None:
    """Put the codes of all ways together: None, ``(N,)`` or ``(N, W)``."""
    if len(codes) < 2:
        return codes[0] if codes else None
    return np.column_stack(codes)


def count_clusters(clusters: Integers | None) -> tuple[int, ...]:
    """Count the clusters of each way.

    Examples
    --------
    >>> count_clusters(np.array([[0, 1], [1, 2], [0, 0]]))
    (2, 3)
    """
    if clusters is None:
        return ()
    return tuple(int(n) + 1 for n in np.atleast_1d(clusters.max(axis=0)))


def count_divided(clusters: Integers | None, offsets: Integers) -> Integers:
    """Count for each way the markets with rows of several clusters, ``(W,)``.

    Parameters
    ----------
    clusters
        ``(N,)`` or ``(N, W)`` codes of rows sorted by market, or None.
    offsets
        ``(T + 1,)`` first row of each market, then N.
    """
    if clusters is None:
        return np.empty(0, np.int64)
    codes = clusters.reshape(clusters.shape[0], -1)
    first = np.repeat(codes[offsets[:-1]], np.diff(offsets), axis=0)
    other = np.add.reduceat(codes != first, offsets[:-1], axis=0, dtype=np.int64)
    return np.asarray(np.count_nonzero(other, axis=0), np.int64)
