"""How far products are there for agents: a_ij of tables, checked and laid out.

Agents have columns ``availability0``, ``availability1``, …, one a product of their
market in its order. Beyond the products of a market they mean nothing and may be NaN.
Kernels take a_ij of each market agents first, market after market
(:class:`blpdask.records.MarketBlock`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import Faults
from ..records import Floats, Integers

#: The field of agents.
AVAILABILITY = "availability"
#: What rows may not have, what is expected instead, and what to do.
WRONG = "agents with missing or negative availability"
RULE = ("numbers from zero, and NaN only beyond a market's products", "correct them")


def check_availability_width(n_columns: int, largest: int, faults: Faults) -> bool:
    """Tell whether there is a column for each product of the largest market."""
    if n_columns >= largest:
        return True
    faults.add(
        f"{n_columns} columns of availability",
        f"{largest}, as many as the largest market has products",
        "add availability0, availability1, …, one a product of the market",
    )
    return False


def wrong_availability(
    values: np.ndarray[Any, Any], sizes: Integers
) -> NDArray[np.bool_]:
    """Tell which agents lack a number from zero for a product of their market.

    Parameters
    ----------
    values
        ``(A, at least max J)`` a_ij.
    sizes
        ``(A,)`` J_t of each agent's market.

    Examples
    --------
    >>> values = np.array([[1.0, np.nan], [0.5, np.nan], [0.5, -1.0]])
    >>> wrong_availability(values, np.array([1, 2, 2])).tolist()
    [False, True, True]
    """
    with np.errstate(invalid="ignore"):
        good = np.isfinite(values) & (values >= 0)
    inside = np.arange(values.shape[1]) < sizes[:, None]
    return np.asarray((inside & ~good).any(axis=1))


def flatten_availability(values: Floats, sizes: Integers) -> Floats:
    """Lay a_ij of markets side by side, agents first, ``(…, Σ I_t J_t)``.

    Parameters
    ----------
    values, sizes
        As in :func:`wrong_availability`, agents sorted by market; there may be other
        axes before them.
    """
    inside = np.arange(values.shape[-1]) < sizes[:, None]
    return np.ascontiguousarray(values[..., inside])


def unflatten_availability(
    values: Floats | None, sizes: Integers, beyond: float
) -> Floats | None:
    """Undo :func:`flatten_availability`: ``(…, A, max J)``; None of None.

    Parameters
    ----------
    values
        ``(…, Σ I_t J_t)``, or None.
    sizes
        ``(A,)`` J_t of each agent's market.
    beyond
        What stands beyond the products of a market.

    Examples
    --------
    >>> unflatten_availability(np.array([0.5, 1.0, 0.2]), np.array([1, 2]), 0.0)
    array([[0.5, 0. ],
           [1. , 0.2]])
    """
    if values is None:
        return None
    inside = np.arange(sizes.max(initial=0)) < sizes[:, None]
    found = np.full((*values.shape[:-1], *inside.shape), beyond)
    found[..., inside] = values
    return found
