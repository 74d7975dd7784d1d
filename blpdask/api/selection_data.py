"""Read what instruments are selected from: candidates, first stage, controls, clusters.

Every reader adds its faults to a common list and gives None where there are any.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import Faults, InputError
from ..problem.fields import as_finite, read_matrix
from ..records import Floats, Integers
from .construction_rows import is_count, read_ids, same_length
from .formulation import Formulation


@dataclass(frozen=True, slots=True, eq=False)
class SelectionData:
    """What instruments are selected from.

    Attributes
    ----------
    names
        Names of the candidates.
    candidates
        ``(N, P)``.
    endogenous
        ``(N,)``.
    controls
        ``(N, C)``, effects not absorbed.
    clusters
        ``(N,)`` codes, or None.
    """

    names: tuple[str, ...]
    candidates: Floats
    endogenous: Floats
    controls: Floats
    clusters: Integers | None


def read_selection_data(
    candidates: Any,
    data: Any,
    endogenous: Any,
    controls: Any,
    clusters: str | None,
    faults: Faults,
) -> SelectionData | None:
    """Read all variables, every fault noted."""
    f = _read_candidates(candidates, data, faults)
    y = _read_endogenous(endogenous, data, faults)
    w = _read_controls(controls, data, faults)
    groups = None if clusters is None else read_ids(data, clusters, faults)
    if f is None or y is None or len(faults):
        return None
    names, values = f
    w = np.ones((len(y), 1)) if w is None else w
    columns = [values, y, w] + ([] if groups is None else [groups.codes])
    labels = ["candidates", "endogenous", "controls", str(clusters)][: len(columns)]
    if not same_length(labels, columns, faults):
        return None
    return SelectionData(names, values, y, w, None if groups is None else groups.codes)


def _read_candidates(
    candidates: Any, data: Any, faults: Faults
) -> tuple[tuple[str, ...], Floats] | None:
    """Read the candidates' names and values ``(N, P)``."""
    if isinstance(candidates, Formulation):
        return _read_formulation(candidates, data, "candidates", faults, False)
    if candidates is None:
        raw = read_matrix(data, "demand_instruments", faults)
        if raw is None:
            faults.add(
                "no column 'demand_instruments0'",
                "candidates",
                "pass a formulation or an array of them, or add such columns",
            )
            return None
        prefix = "demand_instruments"
    else:
        prefix, raw = "candidate", np.asarray(candidates)
    raw = raw[:, None] if raw.ndim == 1 else raw
    if raw.ndim != 2 or raw.size == 0:
        faults.add(
            f"candidates of shape {raw.shape} and type {type(candidates).__name__}",
            "a Formulation, an array of a row a product, or None",
            "pass one of these",
        )
        return None
    values = as_finite(raw, "candidates", faults)
    names = getattr(candidates, "columns", None)
    if names is None:
        names = [f"{prefix}{place}" for place in range(raw.shape[1])]
    return None if values is None else (tuple(map(str, names)), values)


def _read_endogenous(endogenous: Any, data: Any, faults: Faults) -> Floats | None:
    """Read the endogenous variable, ``(N,)``."""
    try:
        formulation = Formulation(f"0 + {endogenous}")
    except InputError as error:
        faults.extend(error)
        return None
    read = _read_formulation(formulation, data, "endogenous", faults, False)
    if read is None:
        return None
    if read[1].shape[1] != 1:
        faults.add(
            f"endogenous {endogenous!r} of {read[1].shape[1]} columns",
            "one column",
            "select instruments for one endogenous variable at a time",
        )
        return None
    return read[1][:, 0]


def _read_controls(controls: Any, data: Any, faults: Faults) -> Floats | None:
    """Read the controls, ``(N, C)``, effects not absorbed yet."""
    if controls is None:
        return None
    if not isinstance(controls, Formulation):
        faults.add(
            f"controls of type {type(controls).__name__}",
            "a Formulation or None",
            "wrap the formula: Formulation('1 + x')",
        )
        return None
    try:
        controls.parsed.groups(data)
    except InputError as error:
        faults.extend(error)
    read = _read_formulation(controls, data, "controls", faults, True)
    return None if read is None else read[1]


def _read_formulation(
    formulation: Formulation, data: Any, name: str, faults: Faults, absorbing: bool
) -> tuple[tuple[str, ...], Floats] | None:
    """Build the columns of a formulation, and name them."""
    if formulation.absorb is not None and not absorbing:
        faults.add(
            f"absorb in {name}", "absorbed effects in controls only", "move them there"
        )
    try:
        design = formulation.parsed.build(data)
    except InputError as error:
        faults.extend(error)
        return None
    return tuple(column.name for column in design.columns), design.values


def check_rule(
    c: Any, gamma: Any, n_endogenous: Any, penalty: Any, most: Any, faults: Faults
) -> None:
    """Look for numbers that no penalty can be made of."""
    checks = (
        ("c", c, _is_number(c) and c > 0, "a positive number"),
        (
            "gamma",
            gamma,
            gamma is None or (_is_number(gamma) and 0 < gamma < 1),
            "a probability, or None",
        ),
        (
            "penalty",
            penalty,
            penalty is None or (_is_number(penalty) and penalty >= 0),
            "a number ≥ 0, or None",
        ),
        ("n_endogenous", n_endogenous, is_count(n_endogenous), "a positive integer"),
        ("max_iterations", most, is_count(most), "a positive integer"),
    )
    for name, value, good, expected in checks:
        if not good:
            faults.add(f"{name} = {value!r}", expected, f"correct {name}")


def _is_number(value: Any) -> bool:
    """Tell whether a value is a finite number, and no truth value."""
    number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    return bool(number and np.isfinite(value))
