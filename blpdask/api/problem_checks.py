"""Check what a problem is made of, before any data are read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import Faults
from ..model.parameters import TYPE_CODES
from ..problem.fields import check_table
from ..records import Floats
from .formulation import Formulation
from .integration import Integration

COSTS_TYPES = ("linear", "log")


def check_formulations(
    product_formulations: Any, agent_formulation: Any, integration: Any
) -> tuple[Formulation, Formulation | None, Formulation | None]:
    """Unpack formulations; all faults of their types at once."""
    faults = Faults("Problem")
    given = product_formulations
    if isinstance(given, Formulation):
        given = [given]
    if not isinstance(given, Sequence) or not 1 <= len(given) <= 3:
        faults.add(
            f"product_formulations of type {type(given).__name__}",
            "a Formulation of X1, or a sequence of those of X1, X2 and X3",
            "pass (Formulation('0 + prices'), Formulation('1 + prices'))",
        )
        faults.check()
    linear, random, cost = (*given, None, None)[:3]
    if not isinstance(linear, Formulation):
        faults.add(
            f"X1 of type {type(linear).__name__}", "a Formulation", "formulate X1"
        )
    for name, value, kind in (
        ("X2", random, Formulation),
        ("X3", cost, Formulation),
        ("agent_formulation", agent_formulation, Formulation),
        ("integration", integration, Integration),
    ):
        if value is not None and not isinstance(value, kind):
            faults.add(
                f"{name} of type {type(value).__name__}",
                f"{kind.__name__} or None",
                f"wrap it: {kind.__name__}(…)",
            )
        absorbs = isinstance(value, Formulation) and value.absorb is not None
        if absorbs and name != "X3":
            faults.add(
                f"absorb in {name}",
                "absorbed effects in X1 and X3 only",
                f"absorb effects there, or write them as dummies in {name}",
            )
    faults.check()
    return linear, random, cost


def check_tables(product_data: Any, agent_data: Any) -> None:
    """Check that data are tables."""
    for subject, data in (("product_data", product_data), ("agent_data", agent_data)):
        table_faults = Faults(subject)
        if subject == "product_data" or data is not None:
            check_table(data, table_faults)
        table_faults.check()


def check_scale(epsilon_scale: Any, *, nests: bool) -> float:
    """Check the scale of the extreme-value errors."""
    faults = Faults("Problem")
    number = isinstance(epsilon_scale, int | float | np.number)
    if not number or not 0 < epsilon_scale < np.inf:
        faults.add(f"epsilon_scale={epsilon_scale!r}", "a number above 0", "correct it")
    elif nests and epsilon_scale != 1:
        faults.add(
            f"epsilon_scale={epsilon_scale!r} with nesting_ids",
            "1 with nests, whose parameters scale the errors within them",
            "drop one of the two",
        )
    faults.check()
    return float(epsilon_scale)


def check_costs_type(costs_type: Any) -> str:
    """Check how marginal costs depend on X3."""
    faults = Faults("Problem")
    if costs_type not in COSTS_TYPES:
        faults.add(
            f"costs_type={costs_type!r}",
            f"one of {', '.join(map(repr, COSTS_TYPES))}",
            "correct costs_type",
        )
    faults.check()
    return str(costs_type)


def check_types(rc_types: Sequence[str] | None, K2: int) -> tuple[str, ...]:
    """Check the types of random coefficients, linear where None."""
    types = tuple(rc_types) if rc_types is not None else ("linear",) * K2
    faults = Faults("rc_types")
    if len(types) != K2 or not set(types) <= set(TYPE_CODES):
        faults.add(
            f"rc_types={list(types)!r}",
            f"{K2} of {', '.join(map(repr, TYPE_CODES))}, one a column of X2",
            "correct rc_types or leave it out",
        )
    faults.check()
    return types


def check_instruments(
    demand: Any, supply: Any, N: int, *, supply_side: bool
) -> tuple[Floats, Floats | None]:
    """Read excluded instruments, ``(N, Q)`` each, all finite."""
    faults = Faults("instruments")
    found: list[Floats | None] = []
    for name, given in (("demand_instruments", demand), ("supply_instruments", supply)):
        if given is None and name == "supply_instruments":
            found.append(None)
            continue
        try:
            values = np.asarray(given, np.float64)
        except (TypeError, ValueError):
            values = np.empty(0)
        values = values[:, None] if values.ndim == 1 else values
        bad = int((~np.isfinite(values)).sum())
        if values.ndim != 2 or len(values) != N or bad:
            faults.add(
                f"{name} of shape {values.shape}, {bad} not finite",
                f"finite numbers, {N} rows",
                f"correct {name}",
            )
        found.append(values)
    if supply is not None and not supply_side:
        faults.add(
            "supply_instruments without a supply side",
            "a formulation of X3",
            "leave supply_instruments out",
        )
    faults.check()
    assert found[0] is not None
    return found[0], found[1]
