"""Read which group agents belong to; every fault goes to one list.

Groups are named by labels, or by a demographic of the problem, each of whose values is
a group, unless there are many: numbers are then cut at weighted quantiles.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..analysis.surplus_groups import quantile_edges
from ..errors import Faults
from ..problem.agents import Agents
from ..problem.fields import factorize, some
from ..records import Floats, Integers

#: How many values numbers may have where each is a group.
MOST_VALUES = 20


@dataclass(frozen=True, slots=True, eq=False)
class Groups:
    """Groups of agents.

    Attributes
    ----------
    name
        What agents are grouped by.
    ids
        ``(G,)`` in order.
    codes
        ``(A,)`` the group of each agent, sorted by market.
    """

    name: str
    ids: np.ndarray[Any, Any]
    codes: Integers


def read_groups(
    given: Any,
    quantiles: Any,
    agents: Agents,
    market: int | None,
    weights: Callable[[], Floats],
    faults: Faults,
) -> Groups:
    """Read groups of the agents of a market, or of all.

    Parameters
    ----------
    given
        Name of a demographic, or a label for each agent, in the user's order.
    quantiles
        How many groups numbers are cut into, or None.
    agents
        Of all markets.
    market
        The place of the one market that is asked about, None for all.
    weights
        Gives weights of the agents of all markets, ``(A,)``.
    faults
        What every fault is added to.
    """
    _check_quantiles(quantiles, faults)
    own = slice(None)
    if market is not None:
        own = slice(int(agents.offsets[market]), int(agents.offsets[market + 1]))
    if not agents.weights.size:
        faults.add(
            "groups of agents, of whom there are none",
            "random coefficients",
            "formulate X2, with sigma zero where tastes are known",
        )
    elif isinstance(given, str):
        values = _demographic(given, agents, faults)
        if values is not None and not len(faults):
            return _cut(given, values, quantiles, weights, own, faults)
    else:
        labels = _labels(given, agents, own, faults)
        if labels is not None and not len(faults):
            everyone = slice(None)
            return _cut(
                "groups", labels, quantiles, lambda: weights()[own], everyone, faults
            )
    return Groups("", np.empty(0, object), np.empty(0, np.int64))


def _check_quantiles(quantiles: Any, faults: Faults) -> None:
    """Check how many groups there are to be."""
    whole = isinstance(quantiles, int | np.integer) and not isinstance(quantiles, bool)
    if quantiles is not None and not (whole and quantiles >= 2):
        faults.add(
            f"quantiles={quantiles!r}",
            "a whole number, at least 2, or None",
            "correct quantiles: 4 makes quarters",
        )


def _demographic(name: str, agents: Agents, faults: Faults) -> Floats | None:
    """Find a demographic by its name or label, ``(A,)``."""
    for d, column in enumerate(agents.columns):
        if name not in (column.name, column.label):
            continue
        if d not in agents.product_columns:
            return np.asarray(agents.demographics[:, d])
        faults.add(
            f"groups={name!r}, which differs over products",
            "one value an agent",
            "pass labels of agents instead",
        )
        return None
    known = [column.label for column in agents.columns]
    faults.add(
        f"groups={name!r}",
        f"a demographic of the problem ({some(known) or 'it has none'}), or a label "
        "for each agent",
        "correct the name, or pass labels in the order of problem.agents",
    )
    return None


def _labels(
    given: Any, agents: Agents, own: slice, faults: Faults
) -> np.ndarray[Any, Any] | None:
    """Read a label for each agent, sorted by market."""
    order = agents.order[own]
    labels = np.asarray(getattr(given, "to_numpy", lambda: given)())
    labels = labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels
    missing = 0
    if labels.ndim == 1 and labels.size:
        missing = int((factorize(labels)[0] < 0).sum())
    if labels.shape != order.shape or missing:
        faults.add(
            f"groups of shape {labels.shape}, {missing} missing",
            f"{order.size} labels, in the order of problem.agents, or the name of a "
            "demographic",
            "correct groups",
        )
        return None
    ranks = np.empty(order.size, np.int64)
    ranks[np.argsort(order)] = np.arange(order.size)
    return np.asarray(labels[ranks])


def _cut(
    name: str,
    values: np.ndarray[Any, Any],
    quantiles: Any,
    weights: Callable[[], Floats],
    own: slice,
    faults: Faults,
) -> Groups:
    """Make groups of values, and keep some agents."""
    numeric = values.dtype.kind in "iuf"
    if quantiles is None:
        codes, ids = factorize(values)
        if numeric and ids.size > MOST_VALUES:
            faults.add(
                f"{name} with {ids.size} different values",
                f"at most {MOST_VALUES}, or quantiles",
                "pass quantiles=4, or labels of the groups",
            )
        return Groups(name, ids, codes[own])
    if not numeric:
        faults.add(
            f"quantiles of {name}, whose values are {values.dtype}",
            "numbers",
            "leave quantiles out",
        )
        return Groups(name, np.empty(0, object), np.empty(0, np.int64))
    numbers, masses = values.astype(np.float64), weights()
    if (masses < 0).any():
        faults.add(
            f"quantiles where {(masses < 0).sum()} agents have negative weights",
            "weights that are not negative",
            "pass labels of the groups",
        )
    edges = quantile_edges(numbers, masses, int(quantiles))
    codes = np.searchsorted(edges, numbers)
    return Groups(name, _intervals(edges), codes[own])


def _intervals(edges: Floats) -> np.ndarray[Any, Any]:
    """Write the groups that edges make, ``(G,)``."""
    found = np.empty(edges.size + 1, object)
    if not edges.size:
        found[0] = "all"
        return found
    texts = [f"{edge:.6g}" for edge in edges]
    between = [f"{a} to {b}" for a, b in itertools.pairwise(texts)]
    found[:] = [f"up to {texts[0]}", *between, f"above {texts[-1]}"]
    return found
