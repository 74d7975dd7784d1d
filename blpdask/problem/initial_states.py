"""Which situations came before those in a likelihood, and how they ended.

A person's path is `before` situations of which only the characteristics are taken, the
person's own in a circle as if the panel had been seen before, then the situations of
the burn-in. The state k_i after the last of these is observed; the path begins without
one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..errors import Faults
from ..model.choice_states import ChoicePaths
from ..records import Integers
from .choice_checks import check_chosen
from .choice_paths import PathColumns, PathTable, read_paths
from .choice_rows import check_length, read_flags
from .fields import some
from .formulas import ParsedFormula
from .panel_rows import Flags


@dataclass(frozen=True, slots=True, eq=False)
class InitialTable:
    """How people came to where they are first seen.

    Attributes
    ----------
    paths
        Up to the last situation of the burn-in.
    observed
        ``(I,)`` state after it.
    person_ids
        ``(I,)``.
    """

    paths: ChoicePaths
    observed: Integers
    person_ids: np.ndarray[Any, Any]


def read_initial_states(
    data: Any,
    kept: Any,
    formula: ParsedFormula,
    labels: tuple[str, ...],
    names: PathColumns,
    before: int,
    faults: Faults,
) -> InitialTable | None:
    """Read a table of all situations; None where there are faults.

    Parameters
    ----------
    data
        Table of a burn-in and of what comes after it.
    kept
        ``(N,)`` flags of rows that come after it.
    formula, labels, names, faults
        As for :func:`blpdask.problem.choice_paths.read_paths`.
    before
        Situations before the burn-in.
    """
    table = read_paths(data, formula, labels, names, faults, read_first=False)
    flags = np.asarray(kept)
    if table is None:
        return None
    N = table.panel.situations.size
    chosen = read_flags(data, "chosen", N, faults, required=True)
    if not check_length("kept", flags, N, faults) or chosen is None:
        return None
    panel = table.panel
    check_chosen(chosen, panel.available, panel.situations, panel.names, faults)
    later = _flag_situations(table, flags.astype(np.bool_), faults)
    people = np.bincount(panel.people[later], minlength=len(panel.person_ids)) > 0
    burnt = _count_burn_in(table, later)
    if (alone := np.flatnonzero(people & (burnt == 0))).size:
        faults.add(
            f"{alone.size} people ({some(panel.person_ids[alone])}) all of whose "
            "situations are kept",
            "at least one situation before those kept, which shows a first state",
            "give build_lagged_choices burn_in=1 or more, and take its kept",
        )
    if len(faults):
        return None
    return _walk(table, chosen, np.where(people, burnt, 0), before)


def _flag_situations(table: PathTable, kept: Flags, faults: Faults) -> Flags:
    """Say which situations are kept, ``(S,)``, a fault where one is in parts."""
    panel = table.panel
    counts = np.bincount(panel.situations, kept, minlength=panel.people.size)
    sizes = np.bincount(panel.situations, minlength=panel.people.size)
    parts = np.flatnonzero((counts > 0) & (counts < sizes))
    if parts.size:
        faults.add(
            f"{parts.size} situations of which some rows are kept and others are not "
            f"({panel.names.some(parts)})",
            "whole situations",
            "take kept from build_lagged_choices of the same table",
        )
    return np.asarray(counts > 0)


def _count_burn_in(table: PathTable, later: Flags) -> Integers:
    """Count each person's situations before the first kept one, ``(I,)``."""
    people = table.panel.people
    offsets = table.paths.visit_offsets
    first = np.full(offsets.size - 1, people.size)
    np.minimum.at(first, people[later], np.flatnonzero(later))
    return np.asarray(np.minimum(first, offsets[1:]) - offsets[:-1])


def _walk(
    table: PathTable, chosen: Flags, burnt: Integers, before: int
) -> InitialTable:
    """Visit a circle of situations, then those of the burn-in."""
    paths, panel = table.paths, table.panel
    offsets = paths.visit_offsets
    visits = [
        offsets[i] + np.append(np.arange(-before, 0) % size, np.arange(burnt[i]))
        for i, size in enumerate(np.diff(offsets).tolist())
        if burnt[i]
    ]
    picked = np.empty(panel.people.size, np.int64)
    picked[panel.situations[chosen]] = panel.groups[chosen] + 1
    some_people = burnt > 0
    counts = [0, *[own.size for own in visits]]
    return InitialTable(
        paths=replace(
            paths,
            visits=np.concatenate(visits).astype(np.int64),
            visit_offsets=np.cumsum(counts).astype(np.int64),
            initial=paths.initial[some_people],
        ),
        observed=picked[(offsets[:-1] + burnt - 1)[some_people]],
        person_ids=panel.person_ids[some_people],
    )
