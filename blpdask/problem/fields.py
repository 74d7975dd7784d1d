"""Read fields of a table, whatever kind of table it is.

A table is a pandas DataFrame, a mapping of arrays or a NumPy structured array. A matrix
field ``name`` is a two-dimensional field of that name or columns name0, name1, ….
"""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DataWarning, Faults, InputError
from . import formula_data
from .formula_data import add_not_finite

if TYPE_CHECKING:
    from .formulas import DesignMatrix, ParsedFormula


def field_names(data: Any) -> tuple[str, ...]:
    """List the fields of a table; arrays without columns are none.

    Examples
    --------
    >>> field_names(np.zeros(3, [("x", float), ("ownership", float, (0,))]))
    ('x',)
    >>> field_names({"x": np.zeros(3), "ownership": np.zeros((3, 0))})
    ('x',)
    """
    dtype = getattr(data, "dtype", None)
    if dtype is not None and getattr(dtype, "names", None):
        return tuple(name for name in dtype.names if 0 not in dtype[name].shape)
    if hasattr(data, "columns"):
        return tuple(str(name) for name in data.columns)
    shapes = {name: getattr(values, "shape", ()) for name, values in data.items()}
    return tuple(name for name, shape in shapes.items() if shape[1:2] != (0,))


def check_table(data: Any, faults: Faults) -> bool:
    """Tell whether something is a table; a fault where not."""
    dtype_names = getattr(getattr(data, "dtype", None), "names", None)
    if dtype_names or hasattr(data, "columns") or isinstance(data, Mapping):
        return True
    faults.add(
        f"{faults.subject} of type {type(data).__name__}",
        "a DataFrame, a mapping of arrays or a structured array",
        "read the data first, for example with pandas.read_csv",
    )
    return False


def read_field(data: Any, name: str) -> np.ndarray[Any, Any] | None:
    """Read a field as an array, or None where the table has none of that name."""
    if name not in field_names(data):
        return None
    values = data[name]
    to_numpy = getattr(values, "to_numpy", None)
    return np.asarray(to_numpy() if to_numpy is not None else values)


def read_vector(
    data: Any, name: str, faults: Faults, *, required: bool = False
) -> np.ndarray[Any, Any] | None:
    """Read a one-dimensional field, ``(N,)``; faults where missing or a matrix."""
    values = read_field(data, name)
    if values is None and f"{name}0" in field_names(data):
        values = read_field(data, f"{name}0")
    if values is None:
        if required:
            faults.add(
                f"no column '{name}' among {some(field_names(data))}",
                f"a column '{name}'",
                f"add it or rename the column that holds it to '{name}'",
            )
        return None
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim != 1:
        faults.add(
            f"'{name}' of shape {values.shape}",
            "one value a row",
            f"pass '{name}' as one column",
        )
        return None
    return values


def read_matrix(data: Any, name: str, faults: Faults) -> np.ndarray[Any, Any] | None:
    """Read a matrix field, ``(N, M)``, or None where the table has none."""
    whole = read_field(data, name)
    if whole is not None:
        return whole.reshape(len(whole), -1) if whole.size else whole.reshape(0, 1)
    names = set(field_names(data))
    if f"{name}0" not in names:
        if f"{name}1" in names:
            warnings.warn(
                f"there is a column '{name}1' but no '{name}0'; numbering starts at 0, "
                f"so '{name}1' is ignored",
                DataWarning,
                stacklevel=2,
            )
        return None
    listed = matrix_columns(names, name)
    found = [read_field(data, column) for column in listed]
    columns = [column for column in found if column is not None]
    lengths = {len(column) for column in columns}
    if len(lengths) > 1:
        faults.add(
            f"columns {listed[0]} to {listed[-1]} of {some(sorted(lengths))} rows",
            "columns of one length",
            f"give every column of {name} a value a row",
        )
        return None
    return np.column_stack(columns)


def matrix_columns(names: Collection[str], name: str) -> tuple[str, ...]:
    """List the columns, among those of a table, that a matrix field is made of.

    Examples
    --------
    >>> matrix_columns(["nodes0", "nodes1", "nodes3"], "nodes")
    ('nodes0', 'nodes1')
    """
    if name in names:
        return (name,)
    count = 0
    while f"{name}{count}" in names:
        count += 1
    return tuple(f"{name}{c}" for c in range(count))


def read_numbers(
    data: Any, name: str, faults: Faults, *, required: bool = False
) -> np.ndarray[Any, np.dtype[np.float64]] | None:
    """Read a vector of finite numbers; faults where it holds anything else."""
    values = read_vector(data, name, faults, required=required)
    return None if values is None else as_finite(values, name, faults)


def as_finite(
    values: np.ndarray[Any, Any], name: str, faults: Faults
) -> np.ndarray[Any, np.dtype[np.float64]] | None:
    """Convert to float64; faults where not numeric or not finite, with the rows."""
    try:
        numbers = values.astype(np.float64)
    except (TypeError, ValueError):
        faults.add(
            f"'{name}' that is not numeric ({values.dtype})",
            "numbers",
            f"convert '{name}' to numbers",
        )
        return None
    bad = ~np.isfinite(numbers)
    if bad.any():
        rows = np.flatnonzero(bad.reshape(len(numbers), -1).any(axis=1))
        faults.add(
            f"NaN or infinite values of '{name}' in {rows.size} rows ({some(rows)})",
            "finite numbers",
            "drop those rows, whole markets if shares must stay right, or fill them in",
        )
        return None
    return numbers


def build_design(
    data: Any, formula: ParsedFormula, faults: Faults
) -> DesignMatrix | None:
    """Evaluate a formula, moving its faults to the common list.

    A variable that is missing stops the formula before it looks at the values of the
    others, which are then looked at here.
    """
    try:
        return formula.build(data)
    except InputError as error:
        faults.extend(error)
    for name in sorted(formula.names):
        values = read_field(data, name)
        if values is None or values.dtype.kind not in "fc" or values.ndim != 1:
            continue
        add_not_finite(faults, name, ~np.isfinite(values))
    return None


def factorize(
    ids: np.ndarray[Any, Any],
) -> tuple[np.ndarray[Any, np.dtype[np.int64]], np.ndarray[Any, Any]]:
    """Give ids codes ``(N,)`` in sorted order, -1 if missing, and the unique ids."""
    levels, codes = formula_data.factorize(np.asarray(ids, dtype=object))
    unique = np.empty(len(levels), dtype=object)
    unique[:] = levels
    return codes, unique


def some(items: Any, most: int = 8) -> str:
    """List some items, and how many more there are."""
    shown = [str(item) for item in list(items)[:most]]
    more = len(items) - len(shown)
    return ", ".join(shown) + (f", … ({more} more)" if more > 0 else "")
