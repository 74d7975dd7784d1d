"""When did each person choose: rows of a table put in order of people and periods.

Situation s of person i is in period t_is, a number, and no two of a person are in one
period. What a choice leaves behind is the group g(j) of the alternative: the
alternative itself, or what is like it, such as all cigarettes; or nothing, as of not
buying at all.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import Faults
from ..records import Floats, Integers
from .choice_checks import SituationNames, check_twice
from .choice_rows import check_length, read_codes, read_flags
from .fields import check_table, field_names, read_field, read_numbers, some
from .formula_data import count_rows

Flags = np.ndarray[Any, np.dtype[np.bool_]]


@dataclass(frozen=True, slots=True, eq=False)
class PanelRows:
    """A table of N rows of I people in S situations, sorted by person and period.

    Attributes
    ----------
    situations
        ``(N,)`` place of each row's situation among the sorted ones.
    people, periods
        ``(S,)`` place of each situation's person; its period.
    person_ids
        ``(I,)`` sorted.
    alternatives
        ``(N,)`` codes, or None where the table has none.
    groups
        ``(N,)`` places among ``levels``, -1 of what leaves nothing behind.
    levels
        ``(G,)`` groups that leave something behind.
    available
        ``(N,)``.
    names
        Of the situations, for messages.
    """

    situations: Integers
    people: Integers
    periods: Floats
    person_ids: np.ndarray[Any, Any]
    alternatives: Integers | None
    groups: Integers
    levels: tuple[Any, ...]
    available: Flags
    names: SituationNames

    @property
    def first(self) -> Flags:
        """Whether situations are their person's first, ``(S,)``."""
        return np.asarray(np.diff(self.people, prepend=-1) != 0)

    def codes_of(self, groups: Sequence[Any]) -> Integers:
        """Find groups, given as ids, among the levels; -1 where they are none."""
        places = {level: g for g, level in enumerate(self.levels)}
        return np.array([places.get(group, -1) for group in groups], np.int64)


def read_panel(
    data: Any, *, periods: str, same: str, outside: Collection[Any], faults: Faults
) -> PanelRows | None:
    """Read when people chose among what; None where there are faults.

    Parameters
    ----------
    data
        Table with ``person_ids``, the two columns below, and optionally
        ``situation_ids``, ``alternative_ids`` and ``availability``.
    periods
        Column of periods.
    same
        Column of groups.
    outside
        Groups that leave nothing behind.
    faults
        Where faults go.
    """
    before = len(faults)
    if not check_table(data, faults):
        return None
    N = count_rows(data)
    people = read_codes(data, "person_ids", N, faults, required=True)
    groups = read_codes(data, same, N, faults, required=True)
    alternatives = read_codes(data, "alternative_ids", N, faults, required=False)
    situations = read_codes(data, "situation_ids", N, faults, required=False)
    times = _read_periods(data, periods, faults)
    if times is not None:
        check_length(periods, times, N, faults)
    available = read_flags(data, "availability", N, faults)
    _check_outside(outside, groups, same, faults)
    if len(faults) > before or people is None or groups is None or times is None:
        return None
    unique, codes = np.unique(times, return_inverse=True)
    keys, places = np.unique(people[0] * unique.size + codes, return_inverse=True)
    names = SituationNames(keys, _shown(unique), people[1])
    if situations is not None:
        _check_periods(situations[0], places, people, names, periods, faults)
    rows = None if alternatives is None else alternatives[0]
    check_twice(rows, places, names, faults)
    if len(faults) > before:
        return None
    person_of, period_of = np.divmod(keys, unique.size)
    kept = [g for g, level in enumerate(groups[1]) if level not in outside]
    renumbered = np.full(len(groups[1]), -1)
    renumbered[kept] = np.arange(len(kept))
    return PanelRows(
        situations=places.astype(np.int64),
        people=person_of,
        periods=unique[period_of],
        person_ids=people[1],
        alternatives=rows,
        groups=renumbered[groups[0]],
        levels=tuple(groups[1][kept]),
        available=np.ones(N, np.bool_) if available is None else available,
        names=names,
    )


def _shown(periods: Floats) -> np.ndarray[Any, Any]:
    """Show whole numbers as such."""
    whole = (periods == np.floor(periods)).all()
    return periods.astype(np.int64) if whole else periods


def _read_periods(data: Any, periods: str, faults: Faults) -> Floats | None:
    """Read numbers of periods, which dates are not."""
    dates = read_field(data, periods) if isinstance(periods, str) else None
    if dates is not None and dates.dtype.kind in "mM":
        faults.add(
            f"'{periods}' of dates ({dates.dtype})",
            "numbers of periods, whose differences say how many lie between",
            "count them, for example weeks: (dates - dates.min()).dt.days // 7",
        )
        return None
    return read_numbers(data, periods, faults, required=True)


def _check_outside(
    outside: Collection[Any],
    groups: tuple[Integers, np.ndarray[Any, Any]] | None,
    same: str,
    faults: Faults,
) -> None:
    """Look for groups that are none of the table's."""
    if groups is None:
        return
    levels = list(groups[1])
    if unknown := [group for group in outside if group not in levels]:
        faults.add(
            f"outside {some(unknown)}, which '{same}' never is",
            f"some of {some(levels)}",
            "name values of that column, in a list",
        )


def _check_periods(
    situations: Integers,
    places: Integers,
    people: tuple[Integers, np.ndarray[Any, Any]],
    names: SituationNames,
    periods: str,
    faults: Faults,
) -> None:
    """Check that a person's situations and periods are each other's only ones."""
    pairs = people[0] * (situations.max() + 1) + situations
    firsts, code = np.unique(pairs, return_index=True, return_inverse=True)[1:]
    moved = np.unique(people[0][places != places[firsts][code]])
    if moved.size:
        faults.add(
            f"several '{periods}' within one situation, of {moved.size} people "
            f"({some(people[1][moved])})",
            "one period in all rows of a situation",
            f"correct '{periods}', or give situations situation_ids of their own",
        )
    firsts = np.unique(places, return_index=True)[1]
    shared = np.unique(places[code != code[firsts][places]])
    if shared.size and not moved.size:
        faults.add(
            f"several situations of a person in one of '{periods}', in {shared.size} "
            f"({names.some(shared)})",
            "one situation a person and period",
            "add them up, or number periods finely enough to tell which came first",
        )


def read_optional(
    data: Any, name: str | None, what: str, faults: Faults
) -> np.ndarray[Any, Any] | None:
    """Read a column of ids, some of them missing; None where no name is given."""
    if name is None:
        return None
    values = read_field(data, name) if isinstance(name, str) else None
    if values is None:
        faults.add(
            f"{what}={name!r}, and columns {some(field_names(data))}",
            "the name of a column",
            "correct the name or leave it out",
        )
        return None
    return values if check_length(name, values, count_rows(data), faults) else None
