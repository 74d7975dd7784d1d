"""What did people choose: a table with a row an alternative, read, checked and sorted.

Situation s of person i has alternatives C_s, of which exactly one is chosen,

    Σ_{j ∈ C_s} y_sj = 1,

and utility differs within it by x_sj'β_i alone: what its alternatives share cancels.
Rows come in any order, choice sets of any size; rows that are not available are left
out, and so are situations with a single alternative, whose probability is one.
:mod:`.choice_checks` looks for faults.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..choice_records import CENTRED, MixedCoefficients
from ..errors import Faults
from ..records import Floats, Integers
from .choice_checks import (
    check_attributes,
    check_chosen,
    check_same_within,
    check_twice,
    warn_of_single,
)
from .choice_coefficients import AskedCoefficients, name_coefficients, shift_columns
from .choice_designs import build_attributes, build_demographics, check_demographics
from .choice_rows import ChoiceRows, read_rows
from .fields import check_table
from .formula_columns import Column, DesignMatrix
from .formulas import ParsedFormula


@dataclass(frozen=True, slots=True, eq=False)
class ChoiceTable:
    """Alternatives sorted by person and situation, each with something to choose.

    Attributes
    ----------
    X, columns
        ``(N, K)`` characteristics and what they are.
    chosen
        ``(S,)`` row of each situation's chosen alternative.
    situation_offsets, person_offsets
        ``(S + 1,)`` first row of each situation, then N; ``(I + 1,)`` first situation
        of each person, then S.
    weights
        ``(I,)`` of people, ones where the table has none.
    clusters
        ``(I,)`` codes of people's clusters, or None.
    person_ids
        ``(I,)`` objects.
    rows
        ``(N,)`` place of each row in the table as given.
    single_rows
        Places of available rows that had no alternative beside them.
    n_given
        Rows of the table as given.
    demographics, demographic_columns
        ``(I, M)`` d of people and what they are; of no rows where there are none.
    """

    X: Floats
    columns: tuple[Column, ...]
    chosen: Integers
    situation_offsets: Integers
    person_offsets: Integers
    weights: Floats
    clusters: Integers | None
    person_ids: np.ndarray[Any, Any]
    rows: Integers
    single_rows: Integers
    n_given: int
    demographics: Floats = field(default_factory=lambda: np.empty((0, 0)))
    demographic_columns: tuple[Column, ...] = ()

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the characteristics, ``(K,)``."""
        return tuple(column.name for column in self.columns)

    @property
    def choice_sizes(self) -> Integers:
        """Alternatives of each situation, ``(S,)``."""
        return np.diff(self.situation_offsets)

    @property
    def n_people(self) -> int:
        """Count the people, I."""
        return int(self.person_ids.size)

    @property
    def n_situations(self) -> int:
        """Count the situations of all people, S."""
        return int(self.chosen.size)

    @property
    def n_rows(self) -> int:
        """Count the alternatives of all situations, N."""
        return int(self.rows.size)

    @property
    def deviations(self) -> Floats:
        """Standard deviations of characteristics within situations, ``(K,)``."""
        return np.asarray(self.within().std(axis=0))

    def within(self) -> Floats:
        """Give characteristics less their situation's averages, ``(N, K)``."""
        return subtract_averages(self.X, self.situation_offsets)

    def of_rows(self, values: Floats) -> Floats:
        """Give each row ``(N, …)`` its person's values ``(I, …)``."""
        sizes = np.diff(self.situation_offsets[self.person_offsets])
        return np.asarray(np.repeat(values, sizes, axis=0))


def read_choices(
    data: Any,
    formula: ParsedFormula,
    *,
    tolerance: float = 1e-10,
    demographics: ParsedFormula | None = None,
    asked: AskedCoefficients | None = None,
) -> ChoiceTable:
    """Read a table of choices.

    Parameters
    ----------
    data
        DataFrame, mapping of arrays or structured array, a row an alternative:
        ``situation_ids`` and ``chosen``, optionally ``person_ids``,
        ``alternative_ids``, ``availability``, ``weights`` and ``clustering_ids``, the
        last two constant within a person. Where there are no people each situation is
        a person's only one; elsewhere ``situation_ids`` need not differ between people.
    formula
        Of X. An intercept, which alternatives share, is left out of it.
    tolerance
        What earlier columns must leave of a column within situations, of its norm.
    demographics
        Of d, without an intercept too; None where there are none.
    asked
        Which coefficients vary, and how, which the data must tell; None where none do.

    Returns
    -------
    ChoiceTable
        Rows sorted by person and situation and, within a situation, by
        ``alternative_ids`` or characteristics, whatever their order was.

    Raises
    ------
    InputError
        With every fault of the table.
    """
    faults = Faults("choice_data")
    if not check_table(data, faults):
        faults.check()
    given = read_rows(data, faults)
    available = None if given is None else given.available
    design = build_attributes(data, formula, available, faults)
    people = build_demographics(data, demographics, available, faults)
    if given is None or design is None or people is None:
        faults.check()
    assert given is not None and design is not None and people is not None
    wanted = asked if asked is not None else AskedCoefficients()
    coefficients = name_coefficients(wanted, design.columns, people.columns, faults)
    check_demographics(people, given, faults)
    check_chosen(given.chosen, given.available, given.situations, given.names, faults)
    check_twice(given.alternatives, given.situations, given.names, faults)
    for name, values in (("weights", given.weights), ("clusters", given.clusters)):
        check_same_within(name, values, given.people, given.person_ids, faults)
    faults.check()
    table = _sort(given, design, people)
    _check_identified(table, coefficients, tolerance, faults)
    faults.check()
    return table


def subtract_averages(X: Floats, situation_offsets: Integers) -> Floats:
    """Subtract from rows ``(N, K)`` the averages of their situations."""
    sizes = np.diff(situation_offsets)
    sums = np.add.reduceat(X, situation_offsets[:-1], axis=0)
    return X - np.repeat(sums / sizes[:, np.newaxis], sizes, axis=0)


def _check_identified(
    table: ChoiceTable,
    coefficients: MixedCoefficients,
    tolerance: float,
    faults: Faults,
) -> None:
    """Check that the data tell apart all means, and what shifts them.

    Components have no mean: their columns may be combinations of others.
    """
    within = table.within()
    shifts = coefficients.shifted
    check_attributes(
        table.labels,
        table.X,
        within,
        table.situation_offsets,
        tolerance,
        faults,
        centred=[k for k, kind in enumerate(coefficients.kinds) if kind == CENTRED[1]],
        shifted=shift_columns(coefficients, within, table.of_rows(table.demographics))
        if shifts
        else None,
        shift_labels=[
            f"{table.labels[k]}:{coefficients.demographics[m]}" for k, m in shifts
        ],
    )


def _sort(
    given: ChoiceRows, design: DesignMatrix, people_design: DesignMatrix
) -> ChoiceTable:
    """Sort available rows and leave out situations of one alternative."""
    places = np.flatnonzero(given.available)
    situations = given.situations[places]
    counts = np.bincount(situations, minlength=len(given.names))
    single = counts == 1
    warn_of_single(np.flatnonzero(single), given.names)
    alone = single[situations]
    kept = np.flatnonzero(~alone)
    X = design.values[kept]
    rows = places[kept]
    ties = (*X.T[::-1],) if given.alternatives is None else (given.alternatives[rows],)
    order = np.lexsort((given.chosen[rows], *ties, given.situations[rows]))
    X, rows = np.ascontiguousarray(X[order]), rows[order]
    firsts = np.unique(given.situations[rows], return_index=True)[1]
    people = given.people[rows][firsts]
    _, person_firsts = np.unique(people, return_index=True)
    kept_people = people[person_firsts]
    first_rows = rows[firsts][person_firsts]
    chosen = np.flatnonzero(given.chosen[rows])
    return ChoiceTable(
        X=X,
        columns=design.columns,
        chosen=chosen.astype(np.int64),
        situation_offsets=np.append(firsts, rows.size).astype(np.int64),
        person_offsets=np.append(person_firsts, people.size).astype(np.int64),
        weights=given.weights[first_rows],
        clusters=None if given.clusters is None else given.clusters[first_rows],
        person_ids=given.person_ids[kept_people],
        rows=rows.astype(np.int64),
        single_rows=places[alone].astype(np.int64),
        n_given=given.people.size,
        demographics=people_design.values[np.searchsorted(places, first_rows)]
        if people_design.columns
        else np.empty((0, 0)),
        demographic_columns=people_design.columns,
    )
