"""Build columns of past choices for panels of people: lags, stocks and loyalty.

The mathematics is in :mod:`blpdask.problem.choice_lags`.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np

from ..errors import Faults
from ..problem.choice_checks import check_chosen, check_same_within
from ..problem.choice_lags import (
    KINDS,
    LaggedChoices,
    find_previous,
    keep_after,
    lag_choices,
    stock_choices,
)
from ..problem.choice_rows import read_flags
from ..problem.fields import some
from ..problem.formula_data import factorize
from ..problem.panel_rows import Flags, PanelRows, read_optional, read_panel
from ..records import Integers

__all__ = ["build_lagged_choices"]


def build_lagged_choices(
    choice_data: Any,
    *,
    periods: str = "period_ids",
    same: str = "alternative_ids",
    kind: str = "lag",
    decay: float | None = None,
    gap: float | None = 1,
    initial: str | None = None,
    outside: Collection[Any] = (),
    missing: float = 0.0,
    burn_in: float = 0,
) -> LaggedChoices:
    """Say of each alternative whether, or how much, a person chose it before.

    Parameters
    ----------
    choice_data
        Table with a row an alternative, in any order: ``person_ids``, ``chosen``, the
        columns named below, and optionally ``situation_ids``, ``alternative_ids`` and
        ``availability``, as for :class:`blpdask.ChoiceProblem`.
    periods
        Column of when situations were: numbers, such as weeks, none twice a person.
    same
        Column of what is to be the same as before: ``"alternative_ids"``, or a brand,
        or a group such as all cigarettes.
    kind
        ``"lag"``: one where the choice before was of the row's group, else zero.
        ``"stock"`` adds up all earlier ones, faded by ``decay`` a period, and
        ``"loyalty"`` is (1 - decay) times that.
    decay
        Of stocks and loyalty, between 0 and 1.
    gap
        Most periods between situations of which one is the other's past; None where
        any number will do.
    initial
        Column, the same in all rows of a person, of what the person had chosen before
        the first situation: a value of ``same``, or missing where nobody knows.
    outside
        Values of ``same`` that form no habit, such as buying nothing: their lag is
        zero.
    missing
        What rows get whose lag is not known; ``float("nan")`` marks them.
    burn_in
        Periods, from each person's first, whose situations only set the lag.

    Returns
    -------
    LaggedChoices
        ``values``, ``known`` and ``kept``, each ``(N,)`` in the order of rows. A stock
        whose history is not known from the first situation on holds what has been seen.

    Raises
    ------
    InputError
        With every fault of the table and the arguments.

    Examples
    --------
    >>> import numpy as np
    >>> data = {
    ...     "person_ids": np.repeat([7, 7, 7], 2),
    ...     "period_ids": np.repeat([1, 2, 3], 2),
    ...     "alternative_ids": ["a", "b"] * 3,
    ...     "chosen": [1, 0, 1, 0, 0, 1],
    ... }
    >>> build_lagged_choices(data).values
    array([0., 0., 1., 0., 1., 0.])
    >>> build_lagged_choices(data, kind="stock", decay=0.5).values
    array([0. , 0. , 1. , 0. , 1.5, 0. ])
    """
    faults = Faults("build_lagged_choices")
    check_lag(kind, decay, gap, faults)
    _check_rest(burn_in, missing, faults)
    panel = read_panel(
        choice_data, periods=periods, same=same, outside=outside, faults=faults
    )
    chosen = first = None
    if panel is not None:
        chosen = read_flags(
            choice_data, "chosen", panel.situations.size, faults, required=True
        )
        first = _read_initial(choice_data, initial, panel, same, outside, faults)
        if chosen is not None:
            check_chosen(chosen, panel.available, panel.situations, panel.names, faults)
    faults.check()
    assert panel is not None and chosen is not None
    previous = find_previous(panel, chosen, gap=gap, initial=first)
    if kind == "lag":
        values = lag_choices(panel, previous)
    else:
        assert decay is not None
        values = stock_choices(panel, previous, decay)
        values *= 1.0 - decay if kind == "loyalty" else 1.0
    known = previous.known[panel.situations]
    return LaggedChoices(
        values=np.where(known, values, missing),
        known=known,
        kept=keep_after(panel, burn_in),
    )


def check_lag(kind: Any, decay: Any, gap: Any, faults: Faults) -> None:
    """Check what kind of lag is asked for."""
    if kind not in KINDS:
        listed = ", ".join(map(repr, KINDS))
        faults.add(f"kind={kind!r}", f"one of {listed}", "choose one of these")
    elif (kind == "lag") != (decay is None):
        faults.add(
            f"kind={kind!r} with decay={decay!r}",
            "decay with stocks and loyalty, and only then",
            "give decay, or leave it out",
        )
    if decay is not None and not (_is_number(decay) and 0 <= decay < 1):
        faults.add(f"decay={decay!r}", "a number from 0 to below 1", "correct decay")
    if gap is not None and not (_is_number(gap) and gap > 0):
        faults.add(f"gap={gap!r}", "a positive number or None", "correct gap")


def _check_rest(burn_in: Any, missing: Any, faults: Faults) -> None:
    """Check what else needs no table."""
    if not (_is_number(burn_in) and burn_in >= 0):
        faults.add(
            f"burn_in={burn_in!r}", "a number of periods from 0 on", "correct burn_in"
        )
    if not _is_number(missing):
        faults.add(f"missing={missing!r}", "a number, such as NaN", "correct missing")


def _is_number(value: Any) -> bool:
    """Tell whether a value is a number, and no truth value."""
    number = isinstance(value, int | float | np.integer | np.floating)
    return number and not isinstance(value, bool)


def _read_initial(
    data: Any,
    name: str | None,
    panel: PanelRows,
    same: str,
    outside: Collection[Any],
    faults: Faults,
) -> tuple[Integers, Flags] | None:
    """Read what people had chosen before, ``(I,)``, and whether it is known."""
    values = read_optional(data, name, "initial", faults)
    if values is None:
        return None
    levels, codes = factorize(values)
    people = panel.people[panel.situations]
    check_same_within(str(name), codes, people, panel.person_ids, faults)
    if strange := [v for v in levels if v not in panel.levels and v not in outside]:
        faults.add(
            f"'{name}' of {some(strange)}",
            f"values of '{same}', {some([*panel.levels, *outside])}, or missing ones",
            f"correct '{name}'",
        )
    own = codes[np.unique(people, return_index=True)[1]]
    groups = np.append(panel.codes_of(levels), -1)[own]
    return groups, own >= 0
