"""Do choices speak for and against a column: coefficients of one that decides diverge.

With chosen alternatives c, a likelihood of choices rises on and on along γ ≠ 0 where

    (x_c - x_j)'γ >= 0 for all j of all situations,    > 0 for some

(Albert and Anderson 1984), for then no choice speaks against more of γ. One column
does so alone where what is chosen never has less of it than the others, or never more:
so does the dummy of an alternative that nobody chooses. Several do together where the
linear programme

    max Σ (x_c - x_j)'γ   subject to  (x_c - x_j)'γ >= 0,   -1 <= γ_k sd(x_k) <= 1

has a positive maximum (Konis 2007).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..records import Floats, Integers
from .choice_table import ChoiceTable

#: What the programme's maximum, and γ, exceed where there is a direction: solvers meet
#: constraints to 1e-7 only.
_POSITIVE = 1e-3


def separating_columns(table: ChoiceTable, places: Sequence[int]) -> list[int]:
    """Find which columns, of those at ``places``, decide choices alone."""
    D = chosen_less_others(table)
    highest, lowest = D.max(axis=0, initial=0.0), D.min(axis=0, initial=0.0)
    alone = (lowest >= 0.0) | (highest <= 0.0)
    return [k for k in places if alone[k]]


def separating_direction(table: ChoiceTable, places: Sequence[int]) -> list[int]:
    """Find columns that, with those beside them, decide choices; none where none do.

    Parameters
    ----------
    table
        Choices.
    places
        Of columns whose coefficients have no bounds.
    """
    from scipy.optimize import linprog

    kept = np.array(places, np.int64)
    D = chosen_less_others(table)[:, kept] / table.within()[:, kept].std(axis=0)
    found = linprog(-D.sum(axis=0), A_ub=-D, b_ub=np.zeros(len(D)), bounds=(-1.0, 1.0))
    if found.status != 0 or -found.fun <= _POSITIVE:
        return []
    return [int(k) for k in kept[np.abs(found.x) > _POSITIVE]]


def chosen_less_others(table: ChoiceTable) -> Floats:
    """Compute x_c - x_j of all alternatives that are not chosen, ``(N - S, K)``."""
    sizes = table.choice_sizes
    D = np.repeat(table.X[table.chosen], sizes, axis=0) - table.X
    others: Integers = np.delete(np.arange(len(D)), table.chosen)
    return np.asarray(D[others])
