"""Read what instruments and ownership are made of: ids and characteristics of products.

Every reader adds its faults to a common list and gives None where there are any.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import Faults, InputError
from ..problem.fields import (
    as_finite,
    check_table,
    field_names,
    read_field,
    read_vector,
    some,
)
from ..problem.formula_data import factorize
from ..problem.rival_sums import interact
from ..records import Floats, Integers
from .formulation import Formulation, build_matrix


@dataclass(frozen=True, slots=True, eq=False)
class Codes:
    """Ids as codes.

    Attributes
    ----------
    levels
        Distinct ids, sorted.
    codes
        ``(N,)`` places among them.
    """

    levels: tuple[Any, ...]
    codes: Integers


@dataclass(frozen=True, slots=True, eq=False)
class Products:
    """Characteristics ``(N, K)`` of products, their markets and firms."""

    values: Floats
    markets: Codes
    firms: Codes


def read_ids(data: Any, name: str, faults: Faults) -> Codes | None:
    """Read a column of ids; a fault where it is not there or an id is missing."""
    values = read_vector(data, name, faults, required=True)
    if values is None:
        return None
    if values.size == 0:
        faults.add(f"no row of '{name}'", "a row a product", "read the data first")
        return None
    levels, codes = factorize(values)
    missing = np.flatnonzero(codes < 0)
    if missing.size:
        faults.add(
            f"no '{name}' in {missing.size} rows ({some(missing)})",
            "an id in every row",
            "fill the ids in or drop the rows",
        )
        return None
    return Codes(levels, codes)


def read_groups(data: Any, names: Sequence[str], faults: Faults) -> Integers | None:
    """Read columns of ids and code their combinations, ``(N,)``."""
    found = [read_ids(data, name, faults) for name in names]
    columns = [ids.codes for ids in found if ids is not None]
    if len(columns) < len(found) or not same_length(names, columns, faults):
        return None
    return interact(*columns)


def read_products(formulation: Any, data: Any, faults: Faults) -> Products | None:
    """Read characteristics, markets and firms."""
    if not check_table(data, faults):
        return None
    markets = read_ids(data, "market_ids", faults)
    firms = read_ids(data, "firm_ids", faults)
    values = _read_characteristics(formulation, data, faults)
    if markets is None or firms is None or values is None:
        return None
    columns = (values, markets.codes, firms.codes)
    if not same_length(["formulation", "market_ids", "firm_ids"], columns, faults):
        return None
    return Products(values, markets, firms)


def _read_characteristics(formulation: Any, data: Any, faults: Faults) -> Floats | None:
    """Build the matrix of a formulation, ``(N, K)``."""
    if not isinstance(formulation, Formulation):
        faults.add(
            f"formulation of type {type(formulation).__name__}",
            "a Formulation",
            "wrap the formula: Formulation('0 + x')",
        )
        return None
    try:
        return build_matrix(formulation, data)
    except InputError as error:
        faults.extend(error)
    return None


def read_demographics(
    demographics: Any, markets: Codes | None, faults: Faults
) -> Floats | None:
    """Read demographics as columns ``(N, D)``, those of markets given to their rows."""
    if demographics is None:
        return None
    names: Sequence[str] = ("demographics",)
    table = {"demographics": demographics}
    if isinstance(demographics, Mapping) or hasattr(demographics, "columns"):
        table = demographics
        names = [name for name in field_names(table) if name != "market_ids"]
    columns = {name: as_finite(_field(table, name), name, faults) for name in names}
    read = {name: values for name, values in columns.items() if values is not None}
    if markets is None or len(read) < len(columns):
        return None
    n_markets, n_rows = len(markets.levels), markets.codes.size
    order = _market_order(table, markets, faults)
    found = []
    for name, values in read.items():
        for_markets = order is not None or len(values) < n_rows
        by_market = for_markets and len(values) == n_markets
        if values.ndim > 2 or not (by_market or len(values) == n_rows):
            faults.add(
                f"'{name}' of shape {values.shape}",
                f"a value for each of {n_rows} products or {n_markets} markets",
                "give it a row a product, or a row a market",
            )
            continue
        if by_market:
            if order is None:
                _check_index(table[name], markets, faults)
            values = values[markets.codes if order is None else order[markets.codes]]
        found.append(values.reshape(n_rows, -1))
    return np.hstack(found) if found else None


def _field(table: Any, name: str) -> np.ndarray[Any, Any]:
    """Read a field, a single value as an array of one."""
    values = read_field(table, name)
    assert values is not None
    return np.atleast_1d(values)


def _market_order(table: Any, markets: Codes, faults: Faults) -> Integers | None:
    """Find the row of each market in a table with ``market_ids``, ``(T,)``."""
    if "market_ids" not in field_names(table):
        return None
    ids = read_ids(table, "market_ids", faults)
    if ids is None:
        return None
    if ids.levels != markets.levels or ids.codes.size != len(ids.levels):
        missing = [level for level in markets.levels if level not in ids.levels]
        faults.add(
            f"{ids.codes.size} rows of demographics for {len(ids.levels)} markets, "
            f"without {len(missing)} of the products' ({some(missing)})",
            f"a row for each of the products' {len(markets.levels)} markets, no other",
            "keep one row of each market, and drop 'market_ids' from rows of products",
        )
        return None
    return np.argsort(ids.codes)


def _check_index(values: Any, markets: Codes, faults: Faults) -> None:
    """Refuse what pandas has indexed by markets in another order than the sorted."""
    index: Any = getattr(values, "index", None)
    if not hasattr(index, "to_numpy"):
        return
    labels, n_markets = list(index), len(markets.levels)
    if labels not in (list(range(n_markets)), list(markets.levels)):
        faults.add(
            f"demographics of markets whose index begins {some(labels, 3)}",
            "rows in sorted order of market_ids",
            "make the index a column 'market_ids' with reset_index, or sort it",
        )


def same_length(names: Sequence[str], columns: Sequence[Any], faults: Faults) -> bool:
    """Tell whether all columns have as many rows; a fault where not."""
    lengths = [len(column) for column in columns]
    if len(set(lengths)) <= 1:
        return True
    listed = [f"{name}: {n}" for name, n in zip(names, lengths, strict=True)]
    faults.add(
        f"columns of different lengths ({', '.join(listed)})",
        "as many rows in every column",
        "give every column a row a product",
    )
    return False


def is_count(value: Any) -> bool:
    """Tell whether a value is a positive integer, and no truth value."""
    integer = isinstance(value, int | np.integer) and not isinstance(value, bool)
    return integer and bool(value >= 1)
