"""What kinds of values a job's options take.

Nothing is converted in silence: a number in quotes is not a number. Matrices are lists
of rows; a single number is a 1 x 1 matrix, and a flat list is a column.
"""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Strict
from pydantic_core import PydanticCustomError

Number = Annotated[float, Strict()]
Whole = Annotated[int, Strict()]
Flag = Annotated[bool, Strict()]
Text = Annotated[str, Strict()]

_MEMORY = re.compile(r"(?!0+(\.0*)? *[kMGT])[0-9]+(\.[0-9]+)? *[kMGT]i?B", re.ASCII)


class Options(BaseModel):
    """Base of all groups of options: frozen, every option known by name."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
        protected_namespaces=(),
    )


def _as_rows(value: Any) -> Any:
    """Turn a number, a column or a list of rows into a tuple of rows."""
    entries = value if isinstance(value, (list, tuple)) else [value]
    rows = [
        tuple(entry) if isinstance(entry, (list, tuple)) else (entry,)
        for entry in entries
    ]
    numeric = all(_is_entry(entry) for row in rows for entry in row)
    if not rows or not numeric:
        raise PydanticCustomError("matrix", "a matrix: a list of rows of numbers")
    lengths = [len(row) for row in rows]
    if len(set(lengths)) != 1 or lengths[0] == 0:
        raise PydanticCustomError(
            "matrix",
            "a matrix: rows of equal length (these have lengths {lengths})",
            {"lengths": ", ".join(map(str, lengths))},
        )
    return tuple(
        tuple(None if entry is None else float(entry) for entry in row) for row in rows
    )


def _is_entry(entry: Any) -> bool:
    """Whether an entry of a matrix is a number or null."""
    number = isinstance(entry, (int, float)) and not isinstance(entry, bool)
    return number or entry is None


def _as_moment_types(value: Any) -> Any:
    """Check moment types: one name, or pairs of a name and a number of columns."""
    names = ("levels", "innovations", "differenced_innovations")
    if value in names:
        return value
    pairs = value if isinstance(value, (list, tuple)) else ()
    good = bool(pairs) and all(
        isinstance(pair, (list, tuple))
        and len(pair) == 2
        and pair[0] in names
        and _is_count(pair[1])
        for pair in pairs
    )
    if not good:
        raise PydanticCustomError(
            "moment_types",
            "one of {names}, or a list of [name, number of instruments]",
            {"names": ", ".join(names)},
        )
    return tuple((name, count) for name, count in pairs)


def _as_count_or_range(value: Any) -> Any:
    """Check a count, or a pair of its bounds."""
    bounds = value if isinstance(value, (list, tuple)) else (value,)
    if len(bounds) > 2 or not all(_is_count(bound) for bound in bounds):
        raise PydanticCustomError(
            "count_or_range", "a whole number of at least 1, or a list [low, high]"
        )
    return value if _is_count(value) else tuple(value)


def _as_starts(value: Any) -> Any:
    """Check a number of starting points, or a list of points."""
    if _is_count(value):
        return value
    if not isinstance(value, (list, tuple)):
        raise PydanticCustomError(
            "starts", "a number of starting points, or a list of points"
        )
    return _as_rows(value)


def _as_memory(value: Any) -> Any:
    """Check an amount of memory: a number with its unit."""
    if not isinstance(value, str) or not _MEMORY.fullmatch(value):
        raise PydanticCustomError("memory", "a number with its unit, say 2GiB or 500MB")
    return value


def _is_count(value: Any) -> bool:
    """Whether a value is a whole number of at least 1."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


Rows = tuple[tuple[float | None, ...], ...]
Matrix = Annotated[Any, BeforeValidator(_as_rows)]
CountOrRange = Annotated[Any, BeforeValidator(_as_count_or_range)]
Starts = Annotated[Any, BeforeValidator(_as_starts)]
Memory = Annotated[str, BeforeValidator(_as_memory)]
MomentTypes = Annotated[Any, BeforeValidator(_as_moment_types)]
