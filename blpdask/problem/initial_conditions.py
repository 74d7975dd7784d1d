"""In which state are people when they are first seen, and what goes with it.

The first state k_i is the group chosen before a person's first situation. With x̄_i the
average of x over a person's rows, Wooldridge (2005) lets means of random coefficients
be

    b_k + Σ_g Π_kg 1{k_i = g} + Π_kx' x̄_i,

so that what is left of them is independent of k_i.

References
----------
Wooldridge (2005), "Simple Solutions to the Initial Conditions Problem in Dynamic,
Nonlinear Panel Data Models with Unobserved Heterogeneity".
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..errors import Faults
from ..records import Floats, Integers
from .panel_rows import PanelRows


def find_initial_groups(
    panel: PanelRows,
    lagged: Floats,
    *,
    name: str,
    faults: Faults,
) -> Integers:
    """Read first states off a column of lags, ``(I,)``, -1 of none.

    Parameters
    ----------
    panel
        Rows in order.
    lagged
        ``(N,)`` ones where the choice before was of the row's group, else zeros.
    name
        Of that column, for messages.
    faults
        Where faults go.
    """
    if ((lagged != 0) & (lagged != 1)).any():
        faults.add(
            f"values of '{name}' that are neither 0 nor 1",
            "a lag: 1 where the choice before was of the row's group, else 0",
            "name a column that build_lagged_choices made with kind='lag'",
        )
        return np.full(panel.person_ids.size, -1)
    people = panel.people[panel.situations]
    held = panel.available & (lagged == 1) & panel.first[panel.situations]
    initial = np.full(panel.person_ids.size, -1)
    initial[people[held]] = panel.groups[held]
    several = np.unique(people[held & (initial[people] != panel.groups)])
    if several.size:
        faults.add(
            f"several groups with '{name}' of one in the first situations of "
            f"{several.size} people",
            "one group that was chosen before",
            "name in 'same' the column that the lag was built with",
        )
    return initial


def find_initial_stocks(
    panel: PanelRows, stocks: Floats, *, name: str, faults: Faults
) -> Floats:
    """Read first stocks off a column of them, ``(I, G + 1)``, those of none first.

    Parameters
    ----------
    panel
        Rows in order.
    stocks
        ``(N,)`` of the row's group.
    name, faults
        Of that column, for messages; where faults go.
    """
    found = np.zeros((panel.person_ids.size, len(panel.levels) + 1))
    rows = panel.available & panel.first[panel.situations] & (panel.groups >= 0)
    people = panel.people[panel.situations][rows]
    found[people, panel.groups[rows] + 1] = stocks[rows]
    differing = found[people, panel.groups[rows] + 1] != stocks[rows]
    if differing.any():
        faults.add(
            f"several values of '{name}' for one group in the first situations of "
            f"{np.unique(people[differing]).size} people",
            "one stock a group",
            "name in 'same' the column that the stock was built with",
        )
    return found


def initial_columns(
    panel: PanelRows, initial: Integers, averaged: Mapping[str, Floats]
) -> dict[str, Floats]:
    """Make columns of first states ``(I,)`` and of averages of columns ``(N,)``."""
    people = panel.people[panel.situations]
    found: dict[str, Floats] = {}
    some = np.unique(initial)
    shown = some[1:]  # without a state where there are such people, else the first
    for g in shown.tolist():
        found[f"initial_{panel.levels[g]}"] = (initial == g)[people].astype(np.float64)
    counts = np.bincount(people)
    for name, values in averaged.items():
        means = np.bincount(people, values) / counts
        found[f"average_{name}"] = (means - means.mean())[people]
    return found
