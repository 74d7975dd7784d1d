"""How a variable is read from whatever the user calls data.

Data are anything that answers ``data[name]``: a DataFrame, a dictionary of arrays, a
NumPy structured or record array. A variable is one value per row. Numbers (integers
and floats) are numeric; everything else, booleans included, is categorical, as in
PyBLP (Conlon and Gortmaker 2020).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import Faults, InputError
from ..records import Integers

Values = NDArray[Any]


class Table(Protocol):
    """Anything that answers ``data[name]`` with one value per row."""

    def __getitem__(self, name: Any, /) -> Any:
        """Look up a variable."""
        ...


def read_column(data: Table, name: str) -> Values:
    """Read one variable.

    Parameters
    ----------
    data
        DataFrame, mapping from names to arrays, or structured array.
    name
        Name of the variable.

    Returns
    -------
    Values
        ``(N,)`` values, of the dtype found; dates and durations become strings.

    Raises
    ------
    InputError
        If there is no such variable, or it has more than one value per row.

    Examples
    --------
    >>> read_column({"prices": [1.5, 2.5]}, "prices")
    array([1.5, 2.5])
    """
    faults = Faults("data")
    try:
        found = data[name]
    except (KeyError, ValueError, IndexError, TypeError):
        faults.add(
            f"no variable '{name}'",
            f"a variable '{name}'" + _close_match(data, name),
            "add it to the data or change the formula",
        )
        faults.check()
    values = _as_array(found)
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim != 1:
        faults.add(
            f"variable '{name}' of shape {values.shape}",
            "one value per row",
            "give each of its columns a name of its own",
        )
    faults.check()
    return values


def read_columns(data: Table, names: Iterable[str]) -> dict[str, Values]:
    """Read several variables of equal length; all that are faulty are reported."""
    faults = Faults("data")
    columns: dict[str, Values] = {}
    for name in names:
        try:
            columns[name] = read_column(data, name)
        except InputError as error:
            faults.extend(error)
    sizes = {name: values.size for name, values in columns.items()}
    if len(set(sizes.values())) > 1:
        faults.add(
            f"variables of different lengths: {sizes}",
            "as many values in every variable",
            "give every variable one value per row of the same table",
        )
    faults.check()
    return columns


def count_rows(data: Table) -> int:
    """Count the rows of data, whatever they are kept in."""
    if isinstance(data, Mapping):
        first = next(iter(data.values()), ())
        return len(_as_array(first))
    return len(data)  # type: ignore[arg-type]


def is_numeric(values: Values) -> bool:
    """Tell numbers (integers and floats) from everything else."""
    return values.dtype.kind in "iuf"


def factorize(values: Values) -> tuple[tuple[Any, ...], Integers]:
    """Find the distinct values in sorted order, and which of them each row has.

    Parameters
    ----------
    values
        ``(N,)`` values of any dtype; objects of mixed types are sorted by type first.

    Returns
    -------
    tuple
        The levels, as plain Python objects, and ``(N,)`` codes into them, -1 where a
        value is missing (None or NaN).
    """
    if values.dtype.kind in "biuSU":
        levels, codes = np.unique(values, return_inverse=True)
        return tuple(levels.tolist()), codes.astype(np.int64)
    import pandas as pd

    codes, uniques = pd.factorize(values)
    found = list(np.asarray(uniques).tolist())
    try:
        order = sorted(range(len(found)), key=found.__getitem__)
    except TypeError:
        names = [(type(level).__name__, repr(level)) for level in found]
        order = sorted(range(len(found)), key=names.__getitem__)
    # The last entry serves the code -1 of missing values.
    rank = np.full(len(found) + 1, -1, dtype=np.int64)
    rank[order] = np.arange(len(found))
    return tuple(found[place] for place in order), rank[codes]


def add_not_finite(faults: Faults, label: str, flags: NDArray[np.bool_]) -> None:
    """Add the fault of a column whose flagged rows ``(N,)`` are not finite, if any."""
    rows = np.flatnonzero(flags)
    if rows.size:
        listed = ", ".join(map(str, rows[:8])) + ", …" * (rows.size > 8)
        faults.add(
            f"{rows.size} of {flags.size} rows of '{label}' not finite (rows {listed})",
            "finite numbers",
            "look for missing values, log of numbers ≤ 0 and division by zero",
        )


def _as_array(found: Any) -> Values:
    """Turn what was looked up into an array, pandas' nullable numbers into floats."""
    dtype = getattr(found, "dtype", None)
    if dtype is not None and not isinstance(dtype, np.dtype):
        if getattr(dtype, "kind", "O") in "iuf":
            return np.asarray(found.to_numpy(dtype=np.float64, na_value=np.nan))
        found = found.to_numpy()
    values = np.asarray(found)
    if values.dtype.kind in "mM":
        missing = np.isnat(values)
        values = values.astype(str).astype(object)
        values[missing] = None
    return values


def _close_match(data: Table, name: str) -> str:
    """Suggest a variable whose name is nearly the one asked for."""
    names = getattr(data, "columns", None)
    if names is None and isinstance(data, Mapping):
        names = data.keys()
    if names is None:
        names = getattr(getattr(data, "dtype", None), "names", None) or ()
    close = get_close_matches(name, [str(known) for known in names], n=1)
    return f" (is it '{close[0]}'?)" if close else ""
