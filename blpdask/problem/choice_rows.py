"""Read the columns of a table of choices that no formula names: ids, flags, weights.

Situations are told apart by pairs of a person and a situation, so that ids of
situations may begin anew with each person.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import Faults
from ..records import Floats, Integers
from .choice_checks import SituationNames
from .clusters import check_one_way, read_clusters
from .fields import factorize, read_numbers, read_vector
from .formula_data import count_rows


@dataclass(frozen=True, slots=True, eq=False)
class ChoiceRows:
    """Columns of a table as given, ``(N,)`` each; ids as codes in sorted order.

    ``situations`` are codes of pairs of a person and a situation, and ``names`` say
    pairs ``(S,)`` for messages.
    """

    person_ids: np.ndarray[Any, Any]
    people: Integers
    situations: Integers
    names: SituationNames
    chosen: np.ndarray[Any, np.dtype[np.bool_]]
    available: np.ndarray[Any, np.dtype[np.bool_]]
    alternatives: Integers | None
    weights: Floats
    clusters: Integers | None


def read_rows(data: Any, faults: Faults) -> ChoiceRows | None:
    """Read all columns but characteristics; None where some cannot be used."""
    before = len(faults)
    N = count_rows(data)
    ids = {
        name: read_codes(data, name, N, faults, required=name == "situation_ids")
        for name in ("situation_ids", "person_ids", "alternative_ids")
    }
    chosen = read_flags(data, "chosen", N, faults, required=True)
    available = read_flags(data, "availability", N, faults)
    weights = read_numbers(data, "weights", faults)
    if weights is not None:
        check_length("weights", weights, N, faults)
        if (weights <= 0).any():
            faults.add(
                f"{int((weights <= 0).sum())} weights that are not positive",
                "positive weights",
                "drop people without weight, or correct their weights",
            )
    clusters = read_clusters(data, faults)
    check_one_way(clusters, faults)
    if clusters is not None:
        check_length("clustering_ids", clusters, N, faults)
    if N == 0:
        faults.add("no rows", "a row an alternative", "read the data first")
    situations = ids["situation_ids"]
    if len(faults) > before or situations is None or chosen is None:
        return None
    alternatives = ids["alternative_ids"]
    codes, names, people = _pair(situations, ids["person_ids"])
    return ChoiceRows(
        person_ids=people[1],
        people=people[0],
        situations=codes,
        names=names,
        chosen=chosen,
        available=np.ones(N, np.bool_) if available is None else available,
        alternatives=None if alternatives is None else alternatives[0],
        weights=np.ones(N) if weights is None else weights,
        clusters=clusters,
    )


_Coded = tuple[Integers, np.ndarray[Any, Any]]


def _pair(
    situations: _Coded, people: _Coded | None
) -> tuple[Integers, SituationNames, _Coded]:
    """Code pairs of a person and a situation ``(N,)``, name them, and give people."""
    codes, ids = situations
    if people is None:
        return codes, SituationNames(np.arange(len(ids)), ids), situations
    person_codes, person_ids = people
    keys, pairs = np.unique(person_codes * len(ids) + codes, return_inverse=True)
    return pairs.astype(np.int64), SituationNames(keys, ids, person_ids), people


def read_codes(
    data: Any, name: str, N: int, faults: Faults, *, required: bool
) -> _Coded | None:
    """Read identifiers as codes in sorted order; a fault where some are missing."""
    values = read_vector(data, name, faults, required=required)
    if values is None or not check_length(name, values, N, faults):
        return None
    codes, unique = factorize(values)
    if missing := int((codes < 0).sum()):
        faults.add(
            f"{missing} missing values of '{name}'",
            f"one of '{name}' in every row",
            "fill them in or drop those situations",
        )
        return None
    return codes, unique


def read_flags(
    data: Any, name: str, N: int, faults: Faults, *, required: bool = False
) -> np.ndarray[Any, np.dtype[np.bool_]] | None:
    """Read zeros and ones."""
    values = read_numbers(data, name, faults, required=required)
    if values is None or not check_length(name, values, N, faults):
        return None
    other = (values != 0) & (values != 1)
    if other.any():
        faults.add(
            f"{int(other.sum())} values of '{name}' that are neither 0 nor 1, such as "
            f"{values[other][0]:g}",
            "0 or 1, or False or True",
            f"say in every row by 1 in '{name}' whether the alternative is it",
        )
        return None
    return np.asarray(values == 1)


def check_length(
    name: str, values: np.ndarray[Any, Any], N: int, faults: Faults
) -> bool:
    """Check that a column has as many rows as the table."""
    if len(values) == N:
        return True
    faults.add(
        f"'{name}' of {len(values)} rows in a table of {N}",
        "columns of one length",
        f"give '{name}' a value a row",
    )
    return False
