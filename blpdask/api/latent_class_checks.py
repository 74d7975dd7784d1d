"""Check what is asked of latent classes; every fault goes to one list."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..choice_records import MixedCoefficients
from ..errors import Faults
from ..problem.fields import some
from ..problem.formula_columns import Column
from .formulation import Formulation
from .integration import Integration

#: Kinds whose coefficients cannot be set to zero.
_NEVER_ZERO = ("lognormal", "johnson", "truncated")


def check_class_count(classes: Any, faults: Faults) -> int:
    """Read the number of classes, one where it is none."""
    whole = isinstance(classes, int | np.integer) and not isinstance(classes, bool)
    if whole and classes >= 1:
        return int(classes)
    faults.add(f"classes={classes!r}", "a whole number, at least 1", "correct classes")
    return 1


def check_membership(membership: Any, faults: Faults) -> Formulation | None:
    """Look for a membership that is no formulation of its own columns."""
    if membership is None:
        return None
    if not isinstance(membership, Formulation):
        faults.add(
            f"membership of type {type(membership).__name__}",
            "a Formulation or None",
            "wrap the formula: Formulation('1 + income')",
        )
        return None
    if membership.absorb is not None:
        faults.add(
            f"membership with absorb={membership.absorb!r}",
            "a formulation without absorbed effects",
            "give dummies, C(…), which a likelihood estimates with all else",
        )
    return membership


def check_rule_within(
    integration: Any, random: Any, faults: Faults
) -> Integration | None:
    """Give the integration within classes, whose draws must serve every class.

    Draws around what one model says of a person are not those of another class.
    """
    if integration is None:
        return Integration("sobol", 512, {"seed": 0}) if random else None
    rule = getattr(integration, "rule", None)
    if getattr(rule, "specification", "") == "laplace":
        faults.add(
            "draws around modes, 'laplace', within classes",
            "draws that are the same in all classes",
            "use another rule, such as Integration('sobol', 512, {'seed': 0})",
        )
    return integration  # type: ignore[no-any-return]


def check_people(classes: int, n_people: int, faults: Faults) -> None:
    """Check that there are people for all classes."""
    if classes > n_people:
        faults.add(
            f"{classes} classes of {n_people} people",
            "no more classes than people",
            "ask for fewer classes, or look whether person_ids are those of people",
        )


def check_shared(
    shared: Any,
    columns: tuple[Column, ...],
    coefficients: MixedCoefficients,
    faults: Faults,
) -> tuple[int, ...]:
    """Find the places, among a class's parameters, of those that classes share."""
    names = _as_names("shared", shared, faults)
    return _find_all("shared", names, columns, coefficients, faults)


def check_zeros(
    zeros: Any,
    classes: int,
    shared: tuple[int, ...],
    columns: tuple[Column, ...],
    coefficients: MixedCoefficients,
    faults: Faults,
) -> tuple[tuple[int, int], ...]:
    """Find pairs of a class, from zero on, and a place of what is zero in it."""
    if zeros is not None and not isinstance(zeros, Mapping):
        faults.add(
            f"zeros of type {type(zeros).__name__}",
            "a mapping from classes to names of coefficients",
            "say, for example, zeros={1: ['prices']}",
        )
        return ()
    found = []
    for q, given in (zeros or {}).items():
        whole = isinstance(q, int | np.integer) and 1 <= q <= classes
        if not whole:
            faults.add(
                f"class {q!r} in zeros",
                f"one of the classes 1 to {classes}",
                "number classes from 1 on",
            )
        names = _as_names("zeros", given, faults)
        places = _find_all("zeros", names, columns, coefficients, faults)
        _check_kinds(names, columns, coefficients, faults)
        both = sorted(set(places) & set(shared))
        if both:
            listed = [coefficients.parameter_labels[c] for c in both]
            faults.add(
                f"[{', '.join(listed)}] both in shared and in zeros",
                "coefficients that differ between classes, or are alike in all",
                "name them in one of the two",
            )
        found += [(int(q) - 1, c) for c in places if whole]
    return tuple(sorted(set(found)))


def check_difference(
    classes: int,
    shared: tuple[int, ...],
    coefficients: MixedCoefficients,
    faults: Faults,
) -> None:
    """Check that something tells classes apart."""
    if classes > 1 and len(shared) == coefficients.size:
        faults.add(
            "all coefficients in shared",
            "at least one that differs between classes",
            "leave one out of shared, or ask for one class",
        )


def check_search(starts: Any, seed: Any, polished: Any, start: Any, Q: int) -> int:
    """Check how a search is asked for, and give the number of its starts."""
    faults = Faults("solve")
    for name, value, least in (
        ("starts", starts, 1),
        ("polished", polished, 1),
        ("seed", seed, 0),
    ):
        whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
        if value is None and name == "starts":
            continue
        if not (whole and value >= least):
            faults.add(
                f"{name}={value!r}",
                f"a whole number, at least {least}",
                f"correct {name} or leave it out",
            )
    if start is not None and starts is not None:
        faults.add(
            "both start and starts",
            "values to start from, or a number of starts",
            "leave one of them out",
        )
    faults.check()
    if starts is None:
        return 10 * Q if Q > 1 else 1
    return int(starts)


def _as_names(argument: str, given: Any, faults: Faults) -> tuple[str, ...]:
    """Read one name or several."""
    if isinstance(given, str):
        return (given,)
    try:
        names = tuple(given)
    except TypeError:
        names = (given,)
    wrong = [name for name in names if not isinstance(name, str)]
    if wrong:
        faults.add(
            f"{some(wrong)} in {argument}",
            "names of coefficients",
            f"give names in {argument}, such as 'prices'",
        )
    return tuple(name for name in names if isinstance(name, str))


def _find_all(
    argument: str,
    names: tuple[str, ...],
    columns: tuple[Column, ...],
    coefficients: MixedCoefficients,
    faults: Faults,
) -> tuple[int, ...]:
    """Find places of all parameters that names stand for, with a fault for others."""
    found: set[int] = set()
    for name in names:
        places = _find(name, columns, coefficients)
        if not places:
            listed = [*(column.name for column in columns)]
            listed += [
                label for label in coefficients.parameter_labels if label not in listed
            ]
            faults.add(
                f"no coefficient '{name}' that {argument} names",
                f"one of {some(listed)}",
                "correct the name, or add its column to the formulation",
            )
        found |= places
    return tuple(sorted(found))


def _find(
    name: str, columns: tuple[Column, ...], coefficients: MixedCoefficients
) -> set[int]:
    """Find places of a column's parameters, its mean and spreads, or of one by name."""
    labels = coefficients.parameter_labels
    column = [k for k, c in enumerate(columns) if name in (c.name, c.label)]
    if not column:
        return {c for c, label in enumerate(labels) if label == name}
    k = column[0]
    found = {c for c, b in enumerate(coefficients.free.tolist()) if b == k}
    first = coefficients.free.size
    found |= {first + e for e, (at, _) in enumerate(coefficients.shifted) if at == k}
    first += len(coefficients.shifted)
    random = coefficients.random.tolist()
    found |= {
        first + e for e, (d, _) in enumerate(coefficients.entries) if random[d] == k
    }
    return found


def _check_kinds(
    names: tuple[str, ...],
    columns: tuple[Column, ...],
    coefficients: MixedCoefficients,
    faults: Faults,
) -> None:
    """Look for coefficients that are never zero, whatever their parameters are."""
    for k, column in enumerate(columns):
        kind = coefficients.kinds[k]
        if kind in _NEVER_ZERO and {column.name, column.label} & set(names):
            faults.add(
                f"'{column.name}' of kind {kind!r} in zeros",
                "a kind that zero is a value of, such as 'normal' or 'fixed'",
                "change its kind, or leave it out of zeros",
            )
