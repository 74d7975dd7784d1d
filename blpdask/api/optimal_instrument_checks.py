"""Check the arguments of optimal instruments; every fault goes to one list."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from .. import options
from ..errors import Faults
from ..estimators.drawn_markets import METHODS, Expectation
from ..problem.formulas import ParsedFormula
from .formulation import Formulation
from .simulation_checks import check_column, check_price_iteration

Shifters = tuple[Formulation | None, Formulation | None]


def check_expectation(
    how: Expectation,
    expected_prices: Any,
    iteration: Any,
    *,
    n_products: int,
    has_supply: bool,
    faults: Faults,
) -> Expectation:
    """Check how expectations are taken; give it with prices and how they iterate."""
    if how.method not in METHODS:
        faults.add(
            f"method={how.method!r}",
            f"one of {', '.join(map(repr, METHODS))}",
            "correct method",
        )
    whole = isinstance(how.draws, int | np.integer) and not isinstance(how.draws, bool)
    if how.method != "approximate" and not (whole and how.draws >= 1):
        faults.add(
            f"draws={how.draws!r}", "a whole number, at least 1", "correct draws"
        )
    if iteration is not None and not has_supply and expected_prices is None:
        faults.add(
            "an iteration without a supply side",
            "prices predicted by instruments, or expected_prices",
            "leave iteration out",
        )
    controls = check_price_iteration(iteration, options.scratch_bytes, faults)
    prices = check_column(expected_prices, "expected_prices", n_products, faults)
    return replace(how, prices=prices, controls=controls)


def check_shifters(
    given: tuple[Any, Any], own: Shifters, *, supply: bool, faults: Faults
) -> Shifters:
    """Choose the shifters of supply and of demand, intercepts left out."""
    names = ("supply_shifter_formulation", "demand_shifter_formulation")
    chosen: list[Formulation | None] = []
    for name, formulation, default in zip(names, given, own, strict=True):
        found = default
        if formulation is not None and not supply:
            faults.add(
                f"{name} without a supply side",
                "None: shifters of one side are instruments of the other",
                f"leave {name} out",
            )
        elif formulation is not None and not isinstance(formulation, Formulation):
            faults.add(
                f"{name} of type {type(formulation).__name__}",
                "a Formulation or None",
                "wrap the formula: Formulation('0 + x')",
            )
        elif formulation is not None:
            varies = ParsedFormula(formulation.parsed.terms, ()).names
            formula = f"{formulation.formula} - 1"
            found = Formulation(formula) if varies else None
        chosen.append(found)
    return chosen[0], chosen[1]


def check_dropped(
    given: Any, P: int, faults: Faults
) -> np.ndarray[Any, np.dtype[np.bool_]] | None:
    """Flag the columns to drop, ``(P,)``; None where nothing is said."""
    if given is None:
        return None
    flags = np.zeros(P, np.bool_)
    listed = isinstance(given, Sequence | np.ndarray) and not isinstance(given, str)
    places: list[Any] = list(given) if listed else [None]
    if not all(isinstance(p, int | np.integer) and -P <= p < P for p in places):
        faults.add(
            f"drop_indices={given!r}",
            f"a sequence of places in theta, whole numbers from 0 to {P - 1}",
            "correct drop_indices",
        )
        return flags
    for place in places:
        flags[place] = True
    return flags
