"""What can be wrong with a table of choices, and what of it is not identified.

A coefficient β_k is identified by differences of x_k within situations. Where these are
all zero, or are combinations of those of other columns, likelihoods do not depend on
some direction of β, and the table is refused with the columns named.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import DataWarning, Faults
from ..records import Floats, Integers
from .fields import some

Flags = np.ndarray[Any, np.dtype[np.bool_]]


@dataclass(frozen=True, slots=True, eq=False)
class SituationNames:
    """What situations are called in messages.

    Attributes
    ----------
    keys
        ``(S,)`` place of the person times the number of ``ids``, plus that of the id.
    ids, person_ids
        Sorted identifiers of situations, and of people where there are any.
    """

    keys: Integers
    ids: np.ndarray[Any, Any]
    person_ids: np.ndarray[Any, Any] | None = None

    def __len__(self) -> int:
        """Count the situations."""
        return len(self.keys)

    def some(self, places: Integers) -> str:
        """Name some of the situations at places."""
        people, situations = np.divmod(self.keys[places], len(self.ids))
        if self.person_ids is None:
            return some([f"situation {name}" for name in self.ids[situations]])
        pairs = zip(self.ids[situations], self.person_ids[people], strict=True)
        return some([f"situation {name} of person {who}" for name, who in pairs])


def check_chosen(
    chosen: Flags,
    available: Flags,
    situations: Integers,
    names: SituationNames,
    faults: Faults,
) -> None:
    """Check that one available alternative is chosen in each situation.

    Parameters
    ----------
    chosen, available
        ``(N,)``.
    situations
        ``(N,)`` codes of situations.
    names
        Of the situations, for messages.
    faults
        Where faults go.
    """
    counts = np.bincount(situations[chosen], minlength=len(names))
    for words, wrong in (("no", counts == 0), ("several", counts > 1)):
        if wrong.any():
            listed = names.some(np.flatnonzero(wrong))
            apart = _apart(wrong, situations) if words == "several" else ""
            faults.add(
                f"{words} chosen alternatives in {int(wrong.sum())} situations "
                f"({listed}){apart}",
                "exactly one chosen alternative a situation",
                "correct 'chosen', or look whether situation_ids tell situations of "
                "a person apart; a purchase of nothing is an alternative with a row",
            )
    lost = chosen & ~available
    if lost.any():
        listed = names.some(np.unique(situations[lost]))
        faults.add(
            f"chosen alternatives that are not available, in {int(lost.sum())} rows "
            f"({listed})",
            "availability 1 where chosen is 1",
            "correct one of the two columns",
        )


def _apart(wrong: Flags, situations: Integers) -> str:
    """Say how many of the situations flagged ``(S,)`` have rows in several places."""
    firsts = np.flatnonzero(np.diff(situations, prepend=-1))
    runs = np.bincount(situations[firsts], minlength=wrong.size)
    apart = int((wrong & (runs > 1)).sum())
    if not apart:
        return ""
    return (
        f"; rows of {apart} of them stand in several places of the table, as where one "
        "id is given to two situations of a person"
    )


def check_twice(
    alternatives: Integers | None,
    situations: Integers,
    names: SituationNames,
    faults: Faults,
) -> None:
    """Check that no alternative ``(N,)`` has two rows in one situation ``(N,)``."""
    if alternatives is None:
        return
    keys = situations * (alternatives.max() + 1) + alternatives
    unique, counts = np.unique(keys, return_counts=True)
    repeated = unique[counts > 1] // (alternatives.max() + 1)
    if repeated.size:
        listed = names.some(np.unique(repeated))
        faults.add(
            f"{repeated.size} alternatives with several rows in one situation "
            f"({listed})",
            "one row an alternative and situation",
            "drop repeated rows, or give situations situation_ids of their own",
        )


def check_same_within(
    name: str,
    values: np.ndarray[Any, Any] | None,
    people: Integers,
    person_ids: np.ndarray[Any, Any],
    faults: Faults,
) -> None:
    """Check that a column ``(N,)`` is the same in all rows of a person ``(N,)``."""
    if values is None:
        return
    firsts = np.unique(people, return_index=True)[1]
    differing = np.unique(people[values != values[firsts][people]])
    if differing.size:
        faults.add(
            f"{name} that differ within {differing.size} people "
            f"({some(person_ids[differing])})",
            f"the same {name} in all rows of a person",
            "people are what is drawn and weighted: give each one value",
        )


def check_attributes(
    labels: Sequence[str],
    X: Floats,
    within: Floats,
    situation_offsets: Integers,
    tolerance: float,
    faults: Faults,
    *,
    centred: Sequence[int] = (),
    shifted: Floats | None = None,
    shift_labels: Sequence[str] = (),
) -> None:
    """Check that situations tell the coefficients of all columns apart.

    Parameters
    ----------
    labels
        ``(K,)`` names of the columns.
    X, within
        ``(N, K)``; the latter less averages of situations.
    situation_offsets
        ``(S + 1,)``.
    tolerance
        Of what earlier columns leave of a column, relative to it.
    faults
        Where faults go.
    centred
        Places of columns without a mean coefficient: they may be combinations.
    shifted, shift_labels
        ``(N, entries)`` columns, less averages, times demographics that shift their
        coefficients, and what they are called.
    """
    if not X.size:
        faults.add(
            "no situation with two alternatives",
            "situations in which something can be chosen",
            "look at availability and situation_ids",
        )
        return
    firsts = situation_offsets[:-1]
    highest = np.maximum.reduceat(X, firsts, axis=0)
    shared = (highest == np.minimum.reduceat(X, firsts, axis=0)).all(axis=0)
    _check_shared(labels, shared, faults)
    kept = [k for k in np.flatnonzero(~shared).tolist() if k not in centred]
    judged, names = within[:, kept], [labels[k] for k in kept]
    if shifted is not None:
        judged = np.column_stack([judged, shifted])
        names += shift_labels
    _check_dependent(names, judged, tolerance, faults)


def check_spread(
    labels: Sequence[str],
    differs: Flags,
    squares: Floats,
    tolerance: float,
    faults: Faults,
    *,
    centred: Sequence[int] = (),
) -> None:
    """Check the same of sums over situations.

    Parameters
    ----------
    labels, tolerance, faults, centred
        As in :func:`check_attributes`.
    differs
        ``(K,)`` whether a column differs between alternatives anywhere.
    squares
        ``(K, K)`` sums of squares and products of columns less averages of situations.
    """
    sizes = np.sqrt(np.diag(squares))
    scale = np.where(sizes > 0, sizes, 1.0)
    values, vectors = np.linalg.eigh(squares / np.outer(scale, scale))
    root = np.sqrt(np.maximum(values, 0.0))[:, None] * vectors.T
    _check_shared(labels, ~differs, faults)
    kept = [k for k in np.flatnonzero(differs).tolist() if k not in centred]
    names = [labels[k] for k in kept]
    _check_dependent(names, root[:, kept], tolerance, faults)


def _check_shared(labels: Sequence[str], shared: Flags, faults: Faults) -> None:
    """Look for columns ``(K,)`` that alternatives share in every situation."""
    for k in np.flatnonzero(shared).tolist():
        faults.add(
            f"'{labels[k]}' is the same for all alternatives of every situation",
            "characteristics that differ within situations, for others cancel",
            f"leave '{labels[k]}' out, or interact it with what differs",
        )


def _check_dependent(
    names: Sequence[str], within: Floats, tolerance: float, faults: Faults
) -> None:
    """Look for columns, of these rows less averages, that others make up."""
    short = find_dependent(names, within, tolerance)
    if short:
        faults.add(
            f"columns [{', '.join(short)}] that within situations are combinations of "
            "those before them",
            "columns whose coefficients can be told apart",
            "leave them out; of dummies for all alternatives, or for all groups of "
            "people, one is too many, and '1 + C(…)' in place of '0 + C(…)' leaves out "
            "the first",
        )


def warn_of_single(places: Integers, names: SituationNames) -> None:
    """Warn of situations, at places among all, with one alternative."""
    if places.size:
        warnings.warn(
            f"{places.size} of {len(names)} situations have a single available "
            "alternative and say nothing of tastes; they are left out: "
            f"{names.some(places)}",
            DataWarning,
            stacklevel=5,
        )


def find_dependent(
    labels: Sequence[str], values: Floats, tolerance: float
) -> list[str]:
    """Name columns ``(N, K)`` of which those before leave less than a tolerance."""
    left = left_over(values)
    return [name for name, s in zip(labels, left, strict=True) if s < tolerance]


def left_over(within: Floats) -> Floats:
    """Give what columns before leave of each column, of its norm, ``(K,)``."""
    norms = np.sqrt((within**2).sum(axis=0))
    scaled = within / np.where(norms > 0, norms, 1.0)
    left = np.zeros(within.shape[1])
    found = np.abs(np.diag(np.linalg.qr(scaled, mode="r")))
    left[: found.size] = found
    return left
