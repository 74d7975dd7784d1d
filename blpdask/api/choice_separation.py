"""Refuse to estimate coefficients that the data do not hold back."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..choice_records import CENTRED, LikelihoodEstimates, MixedCoefficients
from ..errors import NumericalError
from ..problem.choice_separation import separating_columns, separating_direction
from ..problem.choice_table import ChoiceTable
from ..problem.fields import some

#: Kinds whose means are what their coefficients move by, without bounds.
_UNBOUNDED = ("fixed", "normal", "uniform", "triangular")


def refuse_separated(table: ChoiceTable, coefficients: MixedCoefficients) -> None:
    """Refuse columns, of coefficients with a mean, that alone decide all choices.

    Raises
    ------
    NumericalError
        With their names.
    """
    kinds = enumerate(coefficients.kinds)
    places = [k for k, kind in kinds if kind != CENTRED[1]]
    found = separating_columns(table, places)
    if found:
        names = some([table.labels[k] for k in found])
        raise _no_maximum(
            f"columns [{names}], of each of which what is chosen never has less than "
            "the other alternatives of its situation, or never more"
        )


def refuse_separating(
    estimates: LikelihoodEstimates, table: ChoiceTable, coefficients: MixedCoefficients
) -> None:
    """Refuse columns that together decide choices, where a search had no end.

    Parameters
    ----------
    estimates
        What is looked at only where they are no maximum, or have no covariances.
    table
        Choices.
    coefficients
        What varies and how.

    Raises
    ------
    NumericalError
        With the names of the columns.
    """
    if estimates.converged and np.isfinite(estimates.covariances).all():
        return
    places = _without_bounds(coefficients)
    found = separating_direction(table, places) if places else []
    if found:
        names = some([table.labels[k] for k in found])
        raise _no_maximum(
            f"columns [{names}], of a combination of which what is chosen never has "
            "less than the other alternatives of its situation"
        )


def _without_bounds(coefficients: MixedCoefficients) -> Sequence[int]:
    """Give the columns whose means can go anywhere, whatever others do."""
    return [
        k
        for k, kind in enumerate(coefficients.kinds)
        if kind in _UNBOUNDED and k != coefficients.scaling
    ]


def _no_maximum(found: str) -> NumericalError:
    return NumericalError(
        f"found: {found}\n  expected: choices for and against each column; without, "
        "likelihoods rise as coefficients grow, without end\n  what to do: leave "
        "such columns out; where one is the dummy of alternatives that nobody chooses, "
        "leave their rows out too"
    )
