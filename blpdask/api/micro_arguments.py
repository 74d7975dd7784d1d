"""Read the arguments of micro datasets, parts and moments; faults go to one list."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np

from ..errors import Faults, InputError
from ..problem.fields import some
from ..problem.survey_expressions import ChoiceExpression

FUNCTION = "a function of t, products and agents, or a formula"


def check_name(name: Any, faults: Faults) -> None:
    """Check that a name is text."""
    if not isinstance(name, str):
        faults.add(f"name={name!r}", "a string", "quote the name")


def is_whole(value: Any, least: int) -> bool:
    """Tell whether a value is a whole number, at least some number."""
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    return whole and value >= least


def read_function(given: Any, name: str, faults: Faults) -> Any:
    """Take a function as it is, and read a formula."""
    if isinstance(given, str):
        try:
            return ChoiceExpression((given,))
        except InputError as error:
            faults.extend(error)
            return None
    if not callable(given) and not isinstance(given, ChoiceExpression):
        faults.add(f"{name}={given!r}", FUNCTION, f"pass one as {name}")
    return given


def read_market_ids(given: Any, faults: Faults) -> frozenset[Any] | None:
    """Read distinct market IDs."""
    if given is None:
        return None
    if isinstance(given, str) or not isinstance(given, Iterable):
        faults.add(f"market_ids={given!r}", "a list of market IDs", "pass a list")
        return None
    listed = given.ravel().tolist() if isinstance(given, np.ndarray) else list(given)
    if not listed:
        faults.add("no market_ids", "at least one", "leave market_ids out for all")
    repeated = [str(t) for t, count in Counter(listed).items() if count > 1]
    if repeated:
        faults.add(
            f"market_ids that are listed twice ({some(repeated)})",
            "distinct market IDs",
            "list each once",
        )
    return frozenset(listed)


def read_value(given: Any, faults: Faults) -> float:
    """Read one finite number."""
    try:
        values = np.asarray(given, dtype=np.float64).ravel()
    except (TypeError, ValueError):
        values = np.empty(0)
    if values.size != 1 or not np.isfinite(values).all():
        faults.add(f"value={given!r}", "one finite number", "pass what was observed")
        return np.nan
    return float(values[0])
