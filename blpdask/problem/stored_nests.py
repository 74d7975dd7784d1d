"""Nests of products in a store: codes that are the same in every block.

The names of nests are known with the store, for ρ has a row for each: levels of text
are stored, and so are the distinct ``nesting_ids`` that are numbers. Codes are places
among sorted names, as :func:`blpdask.problem.products.read_nests` gives them in memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..partitions.block_store import BlockStore
from ..partitions.store_schema import StoredColumn
from ..records import Integers

Columns = Mapping[str, np.ndarray[Any, Any]]

#: Names under which a table may have its nests.
NAMES = ("nesting_ids", "nesting_ids0")


@dataclass(frozen=True, slots=True, eq=False)
class NestRecipe:
    """How a column becomes codes of nests.

    Attributes
    ----------
    column
        Its name.
    values
        ``(H,)`` sorted distinct values; None where the column is text, and so codes.
    """

    column: str
    values: np.ndarray[Any, Any] | None

    def codes(self, columns: Columns) -> Integers:
        """Code the rows of a block, ``(N,)``; -1 where missing."""
        found = columns[self.column]
        if self.values is not None:
            found = np.searchsorted(self.values, found)
        return np.asarray(found, np.int64)

    def missing(self, columns: Columns) -> NDArray[np.bool_]:
        """Tell of which rows of a block the nest is missing, ``(N,)``.

        Numbers are finite in every store.
        """
        return np.asarray(self.codes(columns) < 0)


def nest_column(columns: Iterable[StoredColumn]) -> StoredColumn | None:
    """Find the column of nests; None where there is none."""
    named = {column.name: column for column in columns}
    return next((named[name] for name in NAMES if name in named), None)


def read_stored_nests(
    store: BlockStore,
) -> tuple[NestRecipe | None, tuple[Any, ...]]:
    """Give how nests are coded, and their sorted names; None without nests.

    Stores that were built before the names of nests were stored are read through.

    Raises
    ------
    StoreError
        Where what is at rest is not what was written.
    """
    column = nest_column(store.description.products)
    return (None, ()) if column is None else read_names(store, "products", column)


def read_names(
    store: BlockStore, table: str, column: StoredColumn
) -> tuple[NestRecipe, tuple[Any, ...]]:
    """Give how a column of ``products`` or ``agents`` is coded, and its sorted names.

    Raises
    ------
    StoreError
        Where what is at rest is not what was written.
    """
    place = store.description.columns(table).index(column)
    if f"levels/{table}/{place}" in store.description.other_digests:
        names = tuple(store.levels(table, column.name).tolist())
    elif column.kind == "text":
        names = ()
    else:
        names = _read_through(store, table, column.name)
    if column.kind == "text":
        return NestRecipe(column.name, None), names
    dtype = np.float64 if column.kind == "number" else np.int64
    return NestRecipe(column.name, np.array(names, dtype)), names


def _read_through(store: BlockStore, table: str, name: str) -> tuple[Any, ...]:
    """Find the distinct values of a column, block by block."""
    found = [
        np.unique(store.read(table, block, [name])[name]) for block in range(len(store))
    ]
    return tuple(np.unique(np.concatenate(found)).tolist())
