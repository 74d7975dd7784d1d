"""The field ``lag_indices``: which row of the table each row follows.

A number from 0 to N - 1, the row's own in a first period. No two rows follow the same
one, and every row comes, lag by lag, from a first period.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import Faults
from ..moments.lags import Lags
from ..records import Integers
from .fields import read_matrix, some

FIELD = "lag_indices"


def read_lags(data: Any, faults: Faults) -> Lags | None:
    """Read lags; None where there are none, or where they are wrong.

    Parameters
    ----------
    data
        Table of products.
    faults
        What faults are added to.
    """
    values = read_matrix(data, FIELD, faults)
    if values is None:
        return None
    rows = _whole_numbers(values, faults)
    if rows is None:
        return None
    found = Lags(rows)
    first = ~found.once
    if not first.any():
        faults.add(
            f"no first period in '{FIELD}'",
            "at least one row that is its own lag",
            f"put the row's own place in '{FIELD}' where there is no lag",
        )
        return None
    followed = np.bincount(rows[found.once], minlength=rows.size)
    if (followed > 1).any():
        faults.add(
            f"{(followed > 1).sum()} rows that several rows follow "
            f"({some(np.flatnonzero(followed > 1))}) in '{FIELD}'",
            "lags that differ, but for those of first periods",
            "correct them; a row without a lag is its own",
        )
        return None
    circular = ~_reached(found)
    if circular.any():
        faults.add(
            f"{circular.sum()} rows that follow each other in a circle "
            f"({some(np.flatnonzero(circular))}) in '{FIELD}'",
            "lags that lead back to a first period",
            "correct them; a row without a lag is its own",
        )
        return None
    return found


def followers(lags: Lags) -> Integers:
    """Give the row that follows each row, ``(N,)``, -1 where none does."""
    found = np.full(lags.rows.size, -1)
    later = np.flatnonzero(lags.once)
    found[lags.rows[later]] = later
    return found


def _whole_numbers(values: np.ndarray[Any, Any], faults: Faults) -> Integers | None:
    """Read one place a row."""
    N = len(values)
    try:
        numbers = values.astype(np.float64)
    except (TypeError, ValueError):
        numbers = np.full(values.shape, np.nan)
    places = numbers.ravel()
    with np.errstate(invalid="ignore"):
        good = (places >= 0) & (places < N) & (places == np.floor(places))
    if numbers.shape[1:] == (1,) and good.all():
        return places.astype(np.int64)
    shape = "" if numbers.shape[1:] == (1,) else f" of shape {numbers.shape}"
    faults.add(
        f"'{FIELD}'{shape} with {(~good).sum()} values that are no rows "
        f"({some(np.flatnonzero(~good))})",
        f"one whole number a row, from 0 to {N - 1}",
        f"correct '{FIELD}': it counts rows of product_data from zero",
    )
    return None


def _reached(lags: Lags) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Flag rows that come, lag by lag, from a first period, ``(N,)``."""
    after, found = followers(lags), ~lags.once
    now = np.flatnonzero(found)
    while now.size:
        now = after[now]
        now = now[now >= 0]
        found[now] = True
    return found
