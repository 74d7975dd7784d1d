"""Products that enter markets of a problem: read, and checked against its formulas.

An entrant has what products of the data have: a market among theirs, a price, what
columns of X1, X2 and X3 name, and the identifiers that the problem has. Columns are
functions of such variables, and are evaluated for entrants as for the rest,

    x1_jk = f_k(variables of j),

so that a category which the data have not, and which no coefficient is of, is refused.
Shares are what a model says of entrants, and are never read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import Faults
from ..records import Floats, Integers
from .entrant_ids import read_entrant_ids, read_entrant_nests
from .fields import (
    as_finite,
    check_table,
    field_names,
    read_numbers,
    read_vector,
    some,
)
from .formula_data import Values, add_not_finite, is_numeric, read_column
from .formula_data import factorize as sorted_levels
from .formula_expressions import Indicator, leaves
from .formulas import Column
from .products import Products

#: Categories of each categorical variable.
Levels = Mapping[str, frozenset[Any]]


@dataclass(frozen=True, slots=True, eq=False)
class Entrants:
    """Products that enter, in the order of their table.

    Attributes
    ----------
    market_codes
        ``(M,)`` places of their markets among those of the problem.
    prices
        ``(M,)``.
    variables
        ``(M,)`` what formulas name, shares left out, by name.
    ids
        Identifiers that the problem has, ``(M, …)`` by name.
    nests
        ``(M,)`` codes of nests, None without nests.
    """

    market_codes: Integers
    prices: Floats
    variables: dict[str, Values]
    ids: dict[str, Values]
    nests: Integers | None

    @property
    def size(self) -> int:
        """Count them, M."""
        return self.market_codes.size


def read_entrants(
    data: Any, products: Products, levels: Levels, faults: Faults
) -> Entrants | None:
    """Read a table of entrants, adding every fault; None where there are any.

    Parameters
    ----------
    data
        Table with ``market_ids``, ``prices``, what formulas name, and ``firm_ids``,
        ``product_ids`` and ``nesting_ids`` where the problem has them.
    products
        Of the problem.
    levels
        Categories that entrants may have, of :func:`category_levels`.
    faults
        What every fault is added to.
    """
    before = len(faults)
    codes = _market_codes(data, products, faults)
    prices = read_numbers(data, "prices", faults, required=True)
    variables = _read_variables(data, products, faults)
    _check_levels(variables, levels, faults)
    ids = read_entrant_ids(data, products, faults)
    nests = read_entrant_nests(ids, products, faults)
    lengths = {name: len(values) for name, values in {**variables, **ids}.items()}
    if len({codes.size, *lengths.values()}) > 1:
        faults.add(
            f"entrants with columns of different lengths: {lengths}",
            f"{codes.size} values, one a row of market_ids",
            "pass one table with a row an entrant",
        )
    if len(faults) > before:
        return None
    assert prices is not None
    entrants = Entrants(codes, prices, variables, ids, nests)
    _check_finite(entrants, products, faults)
    return entrants


def count_entrants(data: Any, faults: Faults) -> int:
    """Count rows of a table of entrants; a fault, and none, where it is no table."""
    of_table = Faults("add")
    if not check_table(data, of_table):
        for fault in of_table:
            faults.add_fault(fault)
        return 0
    names = field_names(data)
    return len(data[names[0]]) if names else 0


def category_levels(products: Products) -> dict[str, frozenset[Any]]:
    """List the categories of each categorical variable that formulas name."""
    columns = all_columns(products)
    marked = {
        leaf.name
        for column in columns
        for leaf in leaves(column.expression)
        if isinstance(leaf, Indicator)
    }
    found = {}
    for name in products.variables:
        values = read_column(products.variables, name)
        if name in marked or not is_numeric(values):
            found[name] = frozenset(sorted_levels(values)[0])
    return found


def all_columns(products: Products) -> tuple[Column, ...]:
    """List the columns of X1, X2 and X3."""
    supply = products.supply
    X3 = () if supply is None else supply.X3_columns
    return (*products.X1_columns, *products.X2_columns, *X3)


def evaluate_columns(
    columns: Sequence[Column], entrants: Entrants, shares: Floats
) -> Floats:
    """Evaluate columns for entrants, ``(M, K)``.

    Parameters
    ----------
    columns
        The K columns.
    entrants
        What columns are functions of.
    shares
        ``(M,)`` shares where columns name them.
    """
    data = {"prices": entrants.prices, **entrants.variables, "shares": shares}
    found = np.empty((entrants.size, len(columns)))
    for k, column in enumerate(columns):
        found[:, k] = column.evaluate(data)
    return found


def _check_finite(entrants: Entrants, products: Products, faults: Faults) -> None:
    """Refuse characteristics that are not finite, at any shares."""
    columns, half = all_columns(products), np.full(entrants.size, 0.5)
    values = evaluate_columns(columns, entrants, half)
    for column, own in zip(columns, values.T, strict=True):
        add_not_finite(faults, f"{column.label} of entrants", ~np.isfinite(own))


def _market_codes(data: Any, products: Products, faults: Faults) -> Integers:
    """Find the markets of entrants among those of the problem."""
    ids = read_vector(data, "market_ids", faults, required=True)
    if ids is None:
        return np.empty(0, np.int64)
    known = products.unique_market_ids
    place = {market: t for t, market in enumerate(known.tolist())}
    codes = np.array([place.get(market, -1) for market in ids.tolist()], np.int64)
    unknown = sorted({str(ids[row]) for row in np.flatnonzero(codes < 0)})
    if unknown:
        faults.add(
            f"entrants in {len(unknown)} markets that are not there ({some(unknown)})",
            f"markets of product_data, such as {some(known, 3)}",
            "correct market_ids; they are compared as they are, 2 is not '2'",
        )
    return codes


def _read_variables(data: Any, products: Products, faults: Faults) -> dict[str, Values]:
    """Read what formulas name, shares left out, in the types of the data."""
    names = set().union(*(column.names for column in all_columns(products)))
    wanted = sorted(names - {"shares", "prices"})
    missing = [name for name in wanted if name not in field_names(data)]
    if missing:
        faults.add(
            f"entrants without {some(missing)}",
            "every variable that the formulas of X1, X2 and X3 name",
            "add those columns",
        )
    found = {}
    for name in wanted:
        if name in missing:
            continue
        values = read_column(data, name)
        if is_numeric(read_column(products.variables, name)):
            numbers = as_finite(values, name, faults)
            if numbers is None:
                continue
            values = numbers
        found[name] = values
    return found


def _check_levels(
    variables: Mapping[str, Values], levels: Levels, faults: Faults
) -> None:
    """Refuse categories that the data have not."""
    for name, known in levels.items():
        if name not in variables:
            continue
        own, codes = sorted_levels(variables[name])
        unseen = [level for level in own if level not in known]
        if unseen or (codes < 0).any():
            faults.add(
                f"entrants with {(codes < 0).sum()} missing and {len(unseen)} unknown "
                f"categories of '{name}' ({some(unseen)})",
                f"categories of the data: {some(sorted(known, key=str))}",
                "correct them; nothing is known of what the data do not have",
            )
