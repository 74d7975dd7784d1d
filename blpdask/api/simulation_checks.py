"""Check the arguments of a simulation, and report markets that failed."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from enum import IntEnum
from typing import Any

import numpy as np

from ..errors import Faults, NumericalError, NumericalWarning
from ..model.equilibrium import ACCELERATED, METHODS, Equilibrium
from ..model.parameters import Parameters
from ..problem.fields import some
from ..problem.formulas import Column
from ..problem.outline import DemandOutline
from ..records import Floats, Integers, InversionControls
from ..simulation.solutions import Exogenous
from ..status import CostStatus, InversionStatus, PriceStatus
from .formulation import Formulation
from .iteration import Iteration

#: The bound on gradients of profits where nobody says how prices iterate. The iteration
#: that is then taken is nearer to its fixed point than PyBLP's default of 1e-12.
_TOLERANCE = 1e-13


def check_simulation(
    formulations: Sequence[Formulation | None],
) -> None:
    """Refuse what a simulation cannot have."""
    faults = Faults("Simulation")
    for name, formulation in zip(("X1", "X2", "X3"), formulations, strict=True):
        if formulation is not None and formulation.absorb is not None:
            faults.add(
                f"absorb in {name}",
                "no absorbed effects in a simulation",
                "write effects as dummies in the formula",
            )
    faults.check()


def check_linear(beta: Any, K1: int, gamma: Any, K3: int) -> None:
    """Check that every linear parameter has a value."""
    faults = Faults("Simulation")
    for name, given, size in (("beta", beta, K1), ("gamma", gamma, K3)):
        if not size and given is None:
            continue
        try:
            values = np.asarray(given, np.float64).ravel()
        except (TypeError, ValueError):
            values = np.full(size, np.nan)
        if values.size != size or not np.isfinite(values).all():
            faults.add(
                f"{name}={given!r}",
                f"{size} finite numbers, one a column of X{1 if name == 'beta' else 3}",
                f"pass true values of {name}",
            )
    faults.check()


def check_errors(
    xi: Any, omega: Any, N: int, K3: int
) -> tuple[Floats, Floats | None] | None:
    """Read ξ and ω, ``(N, 1)`` each; None where they are to be drawn.

    Without X3 there is no ω.
    """
    faults = Faults("Simulation")
    given = check_column(xi, "xi", N, faults)
    costs = check_column(omega, "omega", N, faults) if K3 else None
    if given is None and (not K3 or omega is not None):
        faults.add(
            "no xi",
            "xi, because X3 is not formulated or omega is given",
            "pass xi, or formulate X3 and have both drawn",
        )
    if xi is not None and K3 and costs is None:
        faults.add("xi without omega", "both or none", "pass omega as well")
    faults.check()
    if given is None:
        return None
    return given[:, None], None if costs is None else costs[:, None]


def check_column(given: Any, name: str, N: int, faults: Faults) -> Floats | None:
    """Read one finite number a product, ``(N,)``; None where nothing is given."""
    if given is None:
        return None
    try:
        values = np.asarray(given, np.float64).ravel()
    except (TypeError, ValueError):
        values = np.empty(0)
    bad = int((~np.isfinite(values)).sum())
    if values.size != N or bad:
        faults.add(
            f"{name} of size {values.size}, {bad} not finite",
            f"{N} finite numbers, in the order of product_data",
            f"correct {name}",
        )
        return None
    return values


def check_behavior(error_behavior: Any, faults: Faults) -> None:
    """Check what failures do."""
    if error_behavior not in ("raise", "warn"):
        faults.add(
            f"error_behavior={error_behavior!r}", "'raise' or 'warn'", "correct it"
        )


def check_price_iteration(
    given: Any, scratch_bytes: int, faults: Faults
) -> InversionControls:
    """Say how prices iterate."""
    default = InversionControls(
        method=ACCELERATED, atol=_TOLERANCE, scratch_bytes=scratch_bytes
    )
    if given is None:
        return default
    if not isinstance(given, Iteration):
        faults.add(
            f"iteration of type {type(given).__name__}",
            "an Iteration or None",
            "wrap it: Iteration('simple', {'atol': 1e-12})",
        )
        return default
    controls = given.controls(scratch_bytes)
    if given.iterate() is not None or controls.method not in METHODS:
        faults.add(
            f"{given!r} for prices",
            f"one of {', '.join(map(repr, METHODS))}, without rtol or norm",
            "leave iteration out, or say Iteration('simple', {'atol': 1e-12})",
        )
    return controls


def check_replaced(
    outline: DemandOutline,
    parameters: Parameters,
    names: tuple[Any, Any],
    faults: Faults,
) -> dict[str, tuple[str, int]]:
    """Find the columns of X1 and X3 that characteristics to be replaced are.

    Returns
    -------
    dict
        For each name, the matrix and the place of its column.
    """
    matrices = {"X1": outline.X1_columns, "X3": outline.X3_columns}
    values = {"X1": parameters.start.beta, "X3": parameters.start.gamma}
    everywhere = [*outline.X1_columns, *outline.X2_columns, *outline.X3_columns]
    found: dict[str, tuple[str, int]] = {}
    for (matrix, columns), name in zip(matrices.items(), names, strict=True):
        if not columns:
            continue
        place = _find(columns, name)
        if place is None or sum(name in column.names for column in everywhere) > 1:
            faults.add(
                f"{matrix}_name={name!r}",
                f"a variable that is a column of {matrix} and appears nowhere else",
                "name one of "
                + some([c.name for c in columns if c.names == frozenset([c.name])]),
            )
        elif name in ("prices", "shares"):
            faults.add(
                f"{matrix}_name={name!r}", "an exogenous variable", "name another one"
            )
        elif values[matrix][place, 0] == 0:
            faults.add(
                f"a parameter of zero on {name!r}",
                "one that is not zero",
                "name another variable",
            )
        else:
            found[name] = matrix, place
    return found


def report_failures(sentences: Sequence[str], error_behavior: str) -> None:
    """Raise or warn where there is something to say."""
    message = "; ".join(sentences)
    if message and error_behavior == "raise":
        raise NumericalError(f"{message}; error_behavior='warn' gives what there is")
    if message:
        warnings.warn(message, NumericalWarning, stacklevel=3)


def price_failures(found: Equilibrium, market_ids: Any) -> list[str]:
    """Say in which markets prices were not found, and why."""
    return _sentences(found.status, list(PriceStatus), market_ids)


def exogenous_failures(found: Exogenous, market_ids: Any) -> list[str]:
    """Say in which markets δ or costs were not found, and why."""
    return [
        *_sentences(found.status, list(InversionStatus), market_ids),
        *_sentences(found.cost_status, list(CostStatus), market_ids),
    ]


def _sentences(
    status: Integers, kinds: Sequence[IntEnum], market_ids: Any
) -> list[str]:
    """Name the markets of each status but the first, which is good."""
    said = []
    for kind in kinds[1:]:
        where = np.flatnonzero(status == kind)
        if where.size:
            sentence = kind.sentence  # type: ignore[attr-defined]
            named = some(market_ids[where])
            said.append(f"in {where.size} markets ({named}) {sentence}")
    return said


def _find(columns: Sequence[Column], name: Any) -> int | None:
    """Find the column that is a variable as it stands."""
    for place, column in enumerate(columns):
        if column.name == name and column.names == frozenset([name]):
            return place
    return None
