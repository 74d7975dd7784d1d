"""Read a table of situations over time whose lag the model is to make itself.

The formula is evaluated twice, at a lag of zero and of one, so that the column of the
lag may stand in it alone, interacted, or be random,

    x_j = X(lag = 0),   ẋ_j = X(lag = 1) - X(lag = 0),

and what the table says of the lag matters in a person's first situation alone. Where
the lag is a stock, a third time tells whether X is linear in it. What was chosen is not
read: the table may be of a future, or of other prices.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..errors import Faults
from ..model.choice_states import ChoicePaths
from ..records import Floats, Integers
from .choice_coefficients import negated
from .choice_rows import check_length
from .fields import build_design, field_names, read_numbers, some
from .formula_data import read_column
from .formulas import ParsedFormula
from .initial_conditions import find_initial_groups, find_initial_stocks
from .panel_rows import PanelRows, read_panel


@dataclass(frozen=True, slots=True)
class PathColumns:
    """What a table calls what it takes to follow people.

    Attributes
    ----------
    lag
        Column of the lag.
    periods, same
        Columns of periods and of groups.
    gap
        Most periods between situations of which one is the other's past, or None.
    outside
        Groups that leave nothing behind.
    stock
        Whether the lag is a stock, any number, and not a zero or one.
    """

    lag: str = "lag"
    periods: str = "period_ids"
    same: str = "alternative_ids"
    gap: float | None = 1
    outside: Collection[Any] = ()
    stock: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class PathTable:
    """People's situations in order of time.

    Attributes
    ----------
    panel
        Rows in order.
    paths
        Each situation visited once, in order, from the first state on.
    rows
        ``(M,)`` places in the table of the paths' rows: the available ones, sorted.
    elapsed
        ``(V,)`` periods since the visit before, infinite where it is forgotten.
    stocks
        ``(I, G + 1)`` first stocks, where the lag is a stock.
    """

    panel: PanelRows
    paths: ChoicePaths
    rows: Integers
    elapsed: Floats
    stocks: Floats


def read_paths(
    data: Any,
    formula: ParsedFormula,
    labels: tuple[str, ...],
    names: PathColumns,
    faults: Faults,
    *,
    read_first: bool = True,
) -> PathTable | None:
    """Read a table of situations over time; None where there are faults.

    Parameters
    ----------
    data
        Table with the columns that the formula and ``names`` say, ``person_ids``, and
        optionally ``situation_ids``, ``alternative_ids`` and ``availability``.
    formula
        Of X, which has the lag in it.
    labels
        ``(K,)`` columns that X must have, one perhaps with its sign changed.
    names
        Of columns.
    faults
        Where faults go.
    read_first
        Whether the lag says first states, which else are none.
    """
    before = len(faults)
    panel = read_panel(
        data,
        periods=names.periods,
        same=names.same,
        outside=names.outside,
        faults=faults,
    )
    if names.lag not in formula.names:
        faults.add(
            f"no '{names.lag}' in the formulation, of {some(sorted(formula.names))}",
            "the column of the lag among its variables",
            "name that column in lag=",
        )
    if len(faults) > before or panel is None:
        return None
    rows = _sort(panel)
    initial, stocks = _read_first(data, panel, names, read_first, faults)
    values = (0.0, 1.0, 2.0) if names.stock else (0.0, 1.0)
    designs = [
        _build(data, formula, labels, names.lag, value, rows, faults)
        for value in values
    ]
    X = [design for design in designs if design is not None]
    if len(faults) > before or len(X) < len(values):
        return None
    if names.stock and not np.allclose(X[2] - X[1], X[1] - X[0], rtol=1e-9, atol=1e-9):
        faults.add(
            f"utility that is not linear in '{names.lag}'",
            "stocks that enter as they are, alone or times other variables",
            "leave functions of the stock out of the formulation",
        )
        return None
    paths, elapsed = _follow(panel, rows, (X[0], X[1]), names.gap, initial)
    return PathTable(panel, paths, rows, elapsed, stocks)


def _read_first(
    data: Any, panel: PanelRows, names: PathColumns, read_first: bool, faults: Faults
) -> tuple[Integers, Floats]:
    """Read first states ``(I,)`` and first stocks ``(I, G + 1)`` off the lag."""
    initial = np.zeros(panel.person_ids.size, np.int64)
    stocks = np.zeros((initial.size, len(panel.levels) + 1))
    if read_first:
        lagged = read_numbers(data, names.lag, faults, required=True)
        N = panel.situations.size
        if lagged is None or not check_length(names.lag, lagged, N, faults):
            return initial, stocks
        if names.stock:
            stocks = find_initial_stocks(panel, lagged, name=names.lag, faults=faults)
        else:
            initial = 1 + find_initial_groups(
                panel, lagged, name=names.lag, faults=faults
            )
    return initial, stocks


def take_people(paths: ChoicePaths, people: Integers) -> ChoicePaths:
    """Take some people's visits, with their situations alone."""
    visits, visit_offsets = _take_ranges(paths.visit_offsets, people)
    wanted, renumbered = np.unique(paths.visits[visits], return_inverse=True)
    rows, situation_offsets = _take_ranges(paths.situation_offsets, wanted)
    return replace(
        paths,
        X=paths.X[rows],
        lifts=paths.lifts[rows],
        states=paths.states[rows],
        situation_offsets=situation_offsets,
        visits=renumbered.astype(np.int64),
        visit_offsets=visit_offsets,
        initial=paths.initial[people],
    )


def visits_of_people(paths: ChoicePaths, people: Integers) -> Integers:
    """Give places of some people's visits."""
    return _take_ranges(paths.visit_offsets, people)[0]


def rows_of_people(paths: ChoicePaths, people: Integers) -> Integers:
    """Give rows of paths, each situation of which is visited once, of some people."""
    visits = visits_of_people(paths, people)
    return _take_ranges(paths.situation_offsets, paths.visits[visits])[0]


def _sort(panel: PanelRows) -> Integers:
    """Sort available rows by situation, and there by alternative or group."""
    rows = np.flatnonzero(panel.available)
    ties = panel.groups if panel.alternatives is None else panel.alternatives
    return rows[np.lexsort((ties[rows], panel.situations[rows]))]


def _build(
    data: Any,
    formula: ParsedFormula,
    labels: tuple[str, ...],
    lag: str,
    value: float,
    rows: Integers,
    faults: Faults,
) -> Floats | None:
    """Evaluate X ``(M, K)`` of sorted rows at one value of the lag."""
    known = formula.names & set(field_names(data))
    table = {name: read_column(data, name)[rows] for name in known}
    table[lag] = np.full(rows.size, value)
    design = build_design(table, formula, faults)
    if design is None:
        return None
    kept = [k for k, column in enumerate(design.columns) if column.names]
    found = tuple(design.columns[k].name for k in kept)
    signs = _match(found, labels)
    if signs is None:
        faults.add(
            f"columns [{', '.join(found)}] of the formulation",
            f"[{', '.join(labels)}], as estimated",
            "let categories have the levels they had, and the lag be a number",
        )
        return None
    return np.asarray(design.values[:, kept] * signs)


def _match(found: tuple[str, ...], labels: tuple[str, ...]) -> Floats | None:
    """Give signs ``(K,)`` that make columns what was estimated; None where none do.

    Prices that others are paid with stand there with their sign changed.
    """
    signs = np.ones(len(found))
    if len(found) != len(labels):
        return None
    for k, (name, label) in enumerate(zip(found, labels, strict=True)):
        if label == negated(name):
            signs[k] = -1.0
        elif label != name:
            return None
    return signs


def _follow(
    panel: PanelRows,
    rows: Integers,
    designs: tuple[Floats, Floats],
    gap: float | None,
    initial: Integers,
) -> tuple[ChoicePaths, Floats]:
    """Visit each situation once, and say how long after the one before.

    What a long gap has wiped out does not lift.
    """
    situations = panel.situations[rows]
    kept, firsts = np.unique(situations, return_index=True)
    people, periods = panel.people[kept], panel.periods[kept]
    follows = np.diff(people, prepend=-1) == 0
    since = np.diff(periods, prepend=0.0)
    broken = follows & (since > (np.inf if gap is None else gap))
    elapsed = np.where(follows & ~broken, since, np.inf)
    sizes = np.diff(firsts, append=rows.size)
    X, at_one = designs
    lifts = np.where(np.repeat(broken, sizes)[:, np.newaxis], 0.0, at_one - X)
    counts = np.bincount(people, minlength=panel.person_ids.size)
    paths = ChoicePaths(
        X=X,
        lifts=lifts,
        states=panel.groups[rows] + 1,
        situation_offsets=np.append(firsts, rows.size).astype(np.int64),
        visits=np.arange(kept.size),
        visit_offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        initial=initial,
        n_states=len(panel.levels) + 1,
    )
    return paths, elapsed


def _take_ranges(offsets: Integers, places: Integers) -> tuple[Integers, Integers]:
    """Give all places within some ranges, and offsets of these ranges."""
    counts = offsets[places + 1] - offsets[places]
    ends = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    shifts = np.repeat(offsets[places] - ends[:-1], counts)
    return np.arange(ends[-1]) + shifts, ends
