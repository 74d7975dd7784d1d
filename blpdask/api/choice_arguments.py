"""Read which coefficients of a choice problem vary, as arguments say it.

Only what needs no table is checked here; names are looked up among the columns of the
table by :mod:`blpdask.problem.choice_coefficients`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..choice_records import KINDS
from ..errors import Faults
from ..problem.choice_coefficients import AskedCoefficients
from .formulation import Formulation

Shifts = Mapping[str, tuple[str, ...]]


def read_coefficients(
    *,
    random: Any,
    correlated: Any,
    demographics: Any,
    shifts: Any,
    wtp: Any,
    random_scale: Any,
    faults: Faults,
) -> AskedCoefficients:
    """Read the arguments of :class:`blpdask.ChoiceProblem` of these names.

    ``faults`` is where every fault goes; with some, the answer is incomplete.
    """
    kinds = _read_kinds(random, faults)
    check_plain_formulation(demographics, "demographics", faults, required=False)
    asked = AskedCoefficients(
        random=kinds,
        correlated=_read_groups(correlated, faults),
        shifts=_read_shifts(shifts, faults),
        wtp=_read_wtp(wtp, faults),
        random_scale=_read_random_scale(random_scale, faults),
    )
    if shifts is not None and demographics is None:
        faults.add(
            "shifts without demographics",
            "a Formulation of what shifts means",
            "pass demographics, as in Formulation('0 + income'), or leave shifts out",
        )
    if asked.random_scale and asked.wtp is not None:
        faults.add(
            f"random_scale=True with wtp={wtp!r}",
            "one scale",
            f"leave random_scale out and say random={{{wtp!r}: 'lognormal'}}, whose "
            "coefficient scales all others",
        )
    n_random = sum(kind not in ("fixed", "truncated") for kind in kinds.values())
    if correlated is True and n_random < 2:
        faults.add(
            f"correlated coefficients of which {n_random} are random and not truncated",
            "at least two random coefficients that are not truncated",
            "name more columns in random, or leave correlated out",
        )
    return asked


def check_plain_formulation(
    given: Any, what: str, faults: Faults, *, required: bool = True
) -> None:
    """Check that an argument is a Formulation that absorbs nothing."""
    if given is None and not required:
        return
    if not isinstance(given, Formulation):
        faults.add(
            f"{what} of type {type(given).__name__}",
            "a Formulation" if required else "a Formulation or None",
            "wrap the formula: Formulation('0 + prices')",
        )
    elif given.absorb is not None:
        faults.add(
            f"absorb={given.absorb!r} in {what}",
            "a formulation without absorbed effects",
            "give dummies, C(…), which a likelihood estimates with all else",
        )


def _read_kinds(random: Any, faults: Faults) -> dict[str, str]:
    """Read kinds by the names of columns."""
    if random is not None and not isinstance(random, Mapping):
        faults.add(
            f"random of type {type(random).__name__}",
            "a mapping from columns to kinds",
            "say, for example, random={'prices': 'normal'}",
        )
        random = {}
    kinds: dict[str, str] = dict(random or {})
    for name, kind in kinds.items():
        if kind not in KINDS:
            faults.add(
                f"kind {kind!r} of '{name}'",
                f"one of {', '.join(map(repr, KINDS))}",
                "choose one of these",
            )
    return kinds


def _read_groups(correlated: Any, faults: Faults) -> bool | tuple[tuple[str, ...], ...]:
    """Read whether coefficients are correlated, or groups within which they are."""
    if correlated is None or isinstance(correlated, bool):
        return bool(correlated)
    listed = isinstance(correlated, Sequence) and not isinstance(correlated, str)
    groups = [_names(group) for group in correlated] if listed else [None]
    if any(group is None for group in groups) or not groups:
        faults.add(
            f"correlated={correlated!r}",
            "True, False, or a list of groups of names of columns",
            "say, for example, correlated=[['prices', 'quality']]",
        )
        return False
    return tuple(group for group in groups if group is not None)


def _read_shifts(shifts: Any, faults: Faults) -> Shifts | None:
    """Read which demographics shift which coefficients; one name need not be listed."""
    if shifts is None:
        return None
    read = {}
    if isinstance(shifts, Mapping):
        read = {
            name: (names,) if isinstance(names, str) else _names(names)
            for name, names in shifts.items()
        }
    wrong = [name for name, names in read.items() if not names]
    if wrong or not isinstance(shifts, Mapping):
        faults.add(
            f"shifts={shifts!r}",
            "a mapping from columns to the names of demographics",
            "say, for example, shifts={'prices': ['income', 'age']}",
        )
    return {name: names for name, names in read.items() if names}


def _read_wtp(wtp: Any, faults: Faults) -> str | None:
    """Read the name of the column that the others are paid with."""
    if wtp is None or isinstance(wtp, str):
        return wtp
    faults.add(
        f"wtp of type {type(wtp).__name__}",
        "the name of the column of prices, or None",
        "say wtp='prices'",
    )
    return None


def _read_random_scale(random_scale: Any, faults: Faults) -> bool:
    """Read whether there is a scale that is no column's."""
    if not isinstance(random_scale, bool):
        faults.add(
            f"random_scale={random_scale!r}",
            "True or False",
            "correct random_scale or leave it out",
        )
    return random_scale is True


def _names(given: Any) -> tuple[str, ...] | None:
    """Read a list of names; None where it is none."""
    if isinstance(given, str) or not isinstance(given, Sequence):
        return None
    names = tuple(given)
    return names if all(isinstance(name, str) for name in names) else None
