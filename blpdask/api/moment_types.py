"""Read which errors moments are of: levels, innovations, or differences of these."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any, cast

import numpy as np

from ..errors import Faults
from ..model.parameters import Parameters
from ..moments.lags import MOMENT_TYPES, MomentType, Stacked
from ..problem.outline import DemandOutline
from .dimensions import Dimensions

SIDES = ("demand", "supply")


def check_moment_types(
    given: tuple[Any, Any],
    outline: DemandOutline,
    refused: Mapping[str, bool],
    faults: Faults,
) -> tuple[Stacked, ...] | None:
    """Read the types of each equation's moments; None where all are levels.

    Parameters
    ----------
    given
        Of demand and of supply: a type, or pairs of a type and a number of columns of
        instruments.
    outline
        Of the problem.
    refused
        By name, what types other than levels are not combined with, and whether it is
        asked for.
    faults
        What faults are added to.
    """
    counts = [len(outline.ZD_names), len(outline.ZS_names)]
    found = [
        _read(types, side, count, faults)
        for types, side, count in zip(given, SIDES, counts, strict=True)
    ]
    has_supply = bool(outline.X3_columns)
    if not has_supply and found[1] and found[1][0][0] != "levels":
        faults.add(
            f"supply_moment_types={given[1]!r} without a supply side",
            "'levels'",
            "leave supply_moment_types out, or formulate X3",
        )
    types = tuple(found[: 1 + has_supply])
    if all(name == "levels" for stacked in types for name, _ in stacked):
        return None
    _check_possible(outline, refused, faults)
    return types


def check_identified(
    parameters: Parameters, types: tuple[Stacked, ...] | None, faults: Faults
) -> None:
    """Check that free entries of φ move some moment."""
    for entry in parameters.free:
        if entry.matrix != "phi":
            continue
        stacked = () if types is None else types[entry.row]
        if not any(name != "levels" and count for name, count in stacked):
            side = SIDES[entry.row]
            label = parameters.labels[parameters.free.index(entry)]
            faults.add(
                f"phi free in '{label}', and no moments but of {side}'s levels",
                "moments of innovations, for those of levels do not depend on phi",
                f"pass {side}_moment_types='innovations', or fix phi by equal bounds",
            )


def pair_types(moment_types: Sequence[str], counts: Sequence[int]) -> dict[str, Any]:
    """Give arguments of a solve that stand for the type of every moment.

    Parameters
    ----------
    moment_types
        Of all moments, as results have them; none where all are of levels.
    counts
        Moments of each equation.

    Examples
    --------
    >>> pair_types(["levels", "innovations", "innovations"], [3])
    {'demand_moment_types': [('levels', 1), ('innovations', 2)]}
    """
    if not moment_types:
        return {}
    ends = np.cumsum([0, *counts])
    return {
        f"{side}_moment_types": [
            (name, len(list(own)))
            for name, own in groupby(moment_types[ends[e] : ends[e + 1]])
        ]
        for e, side in enumerate(SIDES[: len(counts)])
    }


def moment_counts(problem: Dimensions) -> list[int]:
    """Count the moments of each equation."""
    return [problem.MD, problem.MS][: 1 + (problem.K3 > 0)]


def _read(types: Any, side: str, count: int, faults: Faults) -> Stacked:
    """Read the types of one equation's moments."""
    levels: Stacked = (("levels", count),)
    pairs = [(types, count)] if isinstance(types, str) else types
    good = isinstance(pairs, list | tuple) and all(
        isinstance(pair, list | tuple)
        and len(pair) == 2
        and pair[0] in MOMENT_TYPES
        and isinstance(pair[1], int | np.integer)
        and not isinstance(pair[1], bool)
        and pair[1] >= 0
        for pair in pairs
    )
    if good:
        names = [name for name, _ in pairs]
        total = sum(int(n) for _, n in pairs)
        if len(set(names)) == len(names) and total == count:
            return tuple((cast("MomentType", name), int(n)) for name, n in pairs)
    faults.add(
        f"{side}_moment_types={types!r}",
        f"one of {', '.join(map(repr, MOMENT_TYPES))}, or pairs of different ones and "
        f"numbers of instruments that sum to {count}",
        f"correct {side}_moment_types; its instruments are "
        f"{side}_instruments, then exogenous characteristics",
    )
    return levels


def _check_possible(
    outline: DemandOutline, refused: Mapping[str, bool], faults: Faults
) -> None:
    """Check that innovations can be computed."""
    if not outline.has_lags:
        faults.add(
            "moments of innovations without lag_indices",
            "a column 'lag_indices', and data in memory: rows of a store have no lags",
            "add it: the row that each row of product_data follows, its own in a first "
            "period",
        )
    if outline.n_effects or outline.n_cost_effects:
        faults.add(
            "moments of innovations with absorbed effects",
            "no absorbed effects: innovations of residuals are not residuals of "
            "innovations",
            "write effects as dummies in the formula",
        )
    for name, asked in refused.items():
        if asked:
            faults.add(
                f"{name} with moments of innovations",
                "moments of levels, or an estimation without it",
                f"leave {name} out",
            )
