"""Read the table that a question about people's choices is asked of.

Alternatives, prices and availability can be others than those of the estimation; people
are the same, because their draws and what they chose are. Columns of X are evaluated as
the estimation's, with its levels of categories, and so are their derivatives

    ∂x_jk/∂v_j

by a variable v of the formulas, which formulas are differentiated for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import Faults, InputError
from ..kernels.choice_answers import Situations
from ..records import Floats, Integers
from .asked_choices import AskedSituations
from .choice_checks import check_twice
from .choice_rows import ChoiceRows, read_rows
from .fields import factorize, field_names, read_field, some
from .formula_columns import Column
from .formula_data import add_not_finite, count_rows, is_numeric, read_columns
from .formula_expressions import Indicator, leaves
from .given_choices import IDS, ROW_FIELDS

Values = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True, eq=False)
class KnownChoices:
    """What a problem knows of its people and its columns.

    Attributes
    ----------
    given
        Columns of its table, as given.
    columns
        ``(K,)`` of X.
    person_ids
        ``(I,)``.
    """

    given: Mapping[str, Values]
    columns: tuple[Column, ...]
    person_ids: Values


@dataclass(frozen=True, slots=True, eq=False)
class AskedTable:
    """A table that a question is asked of.

    Attributes
    ----------
    asked
        Situations by person, ``(N,)`` rows in all.
    ids
        ``(N,)`` each of the columns that tell rows apart.
    alternative_ids
        ``(A,)`` sorted, or None where the table has none.
    rows
        ``(N,)`` places of rows in the table.
    single_rows
        Places of available rows without another beside them, of people who are not in
        the estimation.
    n_given
        Rows of the table.
    """

    asked: AskedSituations
    ids: dict[str, Values]
    alternative_ids: Values | None
    rows: Integers
    single_rows: Integers
    n_given: int


def read_asked(
    data: Any, known: KnownChoices, variable: str | None, faults: Faults
) -> AskedTable:
    """Read a table.

    Parameters
    ----------
    data
        DataFrame, mapping of arrays or structured array, a row an alternative:
        ``situation_ids``, ``person_ids`` where the estimation had them, what its
        formula names, and optionally ``alternative_ids`` and ``availability``.
    known
        Of the estimation.
    variable
        By which columns of X are differentiated; none where None.
    faults
        Where faults go.

    Raises
    ------
    InputError
        With every fault of the table.
    """
    rows = _read_rows(data, known, faults)
    places = _find_people(rows, known)
    counts = _count_available(rows, faults)
    stranger = places[rows.people] < 0
    _check_strangers(rows, stranger, counts, faults)
    kept = np.flatnonzero(rows.available & ~stranger)
    ties = (kept,) if rows.alternatives is None else (rows.alternatives[kept],)
    kept = kept[np.lexsort((*ties, rows.situations[kept], places[rows.people[kept]]))]
    offsets = _offsets(
        rows.situations[kept], places[rows.people[kept]], known.person_ids.size
    )
    variables = _read_variables(data, known, kept, faults)
    X = _evaluate(known, variables, lambda c: c.evaluate(variables), faults)
    slopes, values = np.empty((0, X.shape[1])), np.empty(0)
    if variable is not None:
        slopes = _evaluate(
            known, variables, lambda c: c.derivative(variable, variables), faults
        )
        values = variables[variable].astype(np.float64)
    faults.check()
    ids = {name: read_field(data, name) for name in IDS}
    alternatives = ids["alternative_ids"]
    return AskedTable(
        asked=AskedSituations(
            situations=Situations(X, *offsets, slopes),
            codes=np.empty(0, np.int64)
            if rows.alternatives is None
            else rows.alternatives[kept],
            values=values,
        ),
        ids={name: v.reshape(-1)[kept] for name, v in ids.items() if v is not None},
        alternative_ids=None if alternatives is None else factorize(alternatives)[1],
        rows=kept,
        single_rows=np.flatnonzero(rows.available & stranger),
        n_given=rows.people.size,
    )


def check_variable(name: Any, known: KnownChoices, faults: Faults) -> str | None:
    """Check that a name is of a numeric variable of the formula; None where not."""
    names = {variable for column in known.columns for variable in column.names}
    numbers = sorted(n for n in names if is_numeric(known.given[n]))
    if isinstance(name, str) and name in numbers:
        return name
    kind = " (its values are categories)" if name in names else ""
    faults.add(
        f"name={name!r}{kind}",
        "a variable of the formulation that is numeric",
        f"name one of {some(numbers)}",
    )
    return None


def _read_rows(data: Any, known: KnownChoices, faults: Faults) -> ChoiceRows:
    """Read what tells rows apart; there need be no choices."""
    names = field_names(data)
    if "person_ids" in known.given and "person_ids" not in names:
        faults.add(
            "no column 'person_ids'",
            "people of the estimation, which had this column",
            "add it",
        )
    fields = {name: read_field(data, name) for name in ROW_FIELDS if name in names}
    rows = read_rows(fields | {"chosen": np.zeros(count_rows(data))}, faults)
    if rows is not None:
        check_twice(rows.alternatives, rows.situations, rows.names, faults)
    faults.check()
    assert rows is not None
    return rows


def _find_people(rows: ChoiceRows, known: KnownChoices) -> Integers:
    """Find people among those of the estimation, -1 for others."""
    places = {person: place for place, person in enumerate(known.person_ids.tolist())}
    return np.array([places.get(p, -1) for p in rows.person_ids.tolist()], np.int64)


def _count_available(rows: ChoiceRows, faults: Faults) -> Integers:
    """Count what is available in each situation; a fault where nothing is."""
    counts = np.bincount(rows.situations[rows.available], minlength=len(rows.names))
    empty = np.flatnonzero(counts == 0)
    if empty.size:
        faults.add(
            f"{empty.size} situations without an available alternative "
            f"({rows.names.some(empty)})",
            "something to choose in every situation",
            "leave these situations out, or leave something in them",
        )
    return counts


def _check_strangers(
    rows: ChoiceRows, stranger: Values, counts: Integers, faults: Faults
) -> None:
    """Refuse people who are not in the estimation, where they have a choice."""
    asked = rows.available & stranger & (counts[rows.situations] > 1)
    people = np.unique(rows.people[asked])
    if people.size:
        faults.add(
            f"{people.size} people who are not in the estimation "
            f"({some(rows.person_ids[people])})",
            "people of choice_data, whose draws are known",
            "ask about these, in situations that may be new",
        )


def _read_variables(
    data: Any, known: KnownChoices, kept: Integers, faults: Faults
) -> dict[str, Values]:
    """Read variables of the formula at kept rows; categories have known levels."""
    names = sorted({name for column in known.columns for name in column.names})
    try:
        variables = read_columns(data, names)
    except InputError as error:
        faults.extend(error)
    faults.check()
    variables = {name: values[kept] for name, values in variables.items()}
    every = [leaf for column in known.columns for leaf in leaves(column.expression)]
    marked = {leaf.name for leaf in every if isinstance(leaf, Indicator)}
    for name in names:
        if name in marked:
            _check_levels(name, variables[name], known, faults)
        elif not is_numeric(variables[name]):
            faults.add(
                f"'{name}' that is not numeric ({variables[name].dtype})",
                "numbers, as in the estimation",
                f"convert '{name}' to numbers",
            )
    faults.check()
    return variables


def _check_levels(
    name: str, values: Values, known: KnownChoices, faults: Faults
) -> None:
    """Refuse levels that the estimation did not see, for they have no coefficient."""
    seen = set(factorize(known.given[name])[1].tolist())
    strange = [v for v in factorize(values)[1].tolist() if v not in seen]
    if strange or (factorize(values)[0] < 0).any():
        faults.add(
            f"values {some(strange) if strange else 'missing'} of '{name}'",
            "categories of the estimation, which have coefficients",
            f"use values of '{name}' that choice_data had",
        )


def _evaluate(
    known: KnownChoices,
    variables: dict[str, Values],
    evaluate: Callable[[Column], Floats],
    faults: Faults,
) -> Floats:
    """Evaluate columns or their derivatives ``(N, K)``."""
    found = []
    for column in known.columns:
        values = np.broadcast_to(evaluate(column), len(next(iter(variables.values()))))
        add_not_finite(faults, column.label, ~np.isfinite(values))
        found.append(values)
    return np.column_stack(found)


def _offsets(
    situations: Integers, people: Integers, n_people: int
) -> tuple[Integers, Integers]:
    """Give first rows of situations and first situations of people, and their ends.

    Parameters
    ----------
    situations, people
        ``(N,)`` codes of sorted rows.
    n_people
        I; some may have no rows.
    """
    firsts = np.flatnonzero(np.diff(situations, prepend=-1))
    person_offsets = np.searchsorted(people[firsts], np.arange(n_people + 1))
    return np.append(firsts, people.size), person_offsets
