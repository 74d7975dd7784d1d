"""Evaluate what a formula says of alternatives, X, and of people, d.

Rows that are not available are left out first, for they may hold anything. There is no
intercept in X, for it is the same for all alternatives of a situation, nor in d, whose
intercepts are the means b. Demographics are the same in all rows of a person.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import Faults
from .choice_checks import check_same_within
from .choice_rows import ChoiceRows
from .fields import build_design, field_names
from .formula_columns import DesignMatrix
from .formula_data import read_column
from .formulas import ParsedFormula


def build_attributes(
    data: Any,
    formula: ParsedFormula,
    available: np.ndarray[Any, np.dtype[np.bool_]] | None,
    faults: Faults,
) -> DesignMatrix | None:
    """Evaluate the formula of X, which must have variables.

    Parameters
    ----------
    data
        The table.
    formula
        Of X.
    available
        ``(N,)`` rows that count, all where None.
    faults
        Where faults go.

    Returns
    -------
    DesignMatrix or None
        Available rows; None where there are faults.
    """
    design = _build_available(data, formula, available, faults)
    if design is not None and not design.columns:
        faults.add(
            "a formula without variables",
            "characteristics that differ over the alternatives of a situation",
            "add one, as in Formulation('0 + prices')",
        )
        return None
    return design


def build_demographics(
    data: Any,
    formula: ParsedFormula | None,
    available: np.ndarray[Any, np.dtype[np.bool_]] | None,
    faults: Faults,
) -> DesignMatrix | None:
    """Evaluate the formula of d; no columns where there is none.

    Arguments and what is returned are those of :func:`build_attributes`.
    """
    if formula is None:
        return DesignMatrix(np.empty((0, 0)), ())
    design = _build_available(data, formula, available, faults)
    if design is not None and not design.columns:
        faults.add(
            "demographics without variables",
            "what differs over people; their means b stand for an intercept",
            "name some, as in Formulation('0 + income'), or leave demographics out",
        )
        return None
    return design


def check_demographics(people: DesignMatrix, given: ChoiceRows, faults: Faults) -> None:
    """Check that columns of available rows are the same in all rows of a person."""
    present, codes = np.unique(given.people[given.available], return_inverse=True)
    for m, column in enumerate(people.columns):
        name = f"values of '{column.name}' among demographics"
        who = given.person_ids[present]
        check_same_within(name, people.values[:, m], codes, who, faults)


def _build_available(
    data: Any,
    formula: ParsedFormula,
    available: np.ndarray[Any, np.dtype[np.bool_]] | None,
    faults: Faults,
) -> DesignMatrix | None:
    """Evaluate a formula where alternatives are available, without an intercept."""
    usable = available is None or available.all()
    table = data
    if not usable and formula.names <= set(field_names(data)):
        table = {name: read_column(data, name)[available] for name in formula.names}
    design = build_design(table, formula, faults)
    if design is None:
        return None
    kept = [k for k, column in enumerate(design.columns) if column.names]
    columns = tuple(design.columns[k] for k in kept)
    return DesignMatrix(values=design.values[:, kept], columns=columns)
