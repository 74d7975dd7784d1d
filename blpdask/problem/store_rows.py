"""Sort the rows of a table into blocks on disk, whatever order they are in.

Rows of a market may lie anywhere. A first pass over market ids alone counts J_t; a
second one appends every row to the file of its block, so that no more than one part of
the table and, later, one block are in memory at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import Faults
from ..partitions.store_schema import StoredColumn
from ..records import Floats, Integers
from . import formula_data
from .fields import factorize, some
from .store_tables import Part, PartedTable

Listener = Callable[[str], None]


@dataclass(frozen=True, slots=True, eq=False)
class BlockRows:
    """The rows of a block, sorted by market, in their first order within.

    Attributes
    ----------
    counts
        ``(T,)`` rows of each market of the block.
    rows
        ``(N,)`` places among the rows of the table.
    numbers, integers
        ``(k, N)`` float64 and int64; text columns as codes of the levels found.
    """

    counts: Integers
    rows: Integers
    numbers: Floats
    integers: Integers


def count_rows(table: PartedTable, faults: Faults, tell: Listener) -> dict[Any, int]:
    """Count the rows of each market; a fault where rows have none."""
    counts: dict[Any, int] = {}
    missing = total = 0
    for part in table.parts(["market_ids"]):
        codes, unique = factorize(part["market_ids"])
        missing += int(np.count_nonzero(codes < 0))
        found = np.bincount(codes[codes >= 0], minlength=unique.size)
        for market, count in zip(unique, found.tolist(), strict=True):
            counts[market] = counts.get(market, 0) + count
        total += codes.size
        tell(f"Counting rows of {faults.subject}: {total:,}")
    if missing:
        faults.add(
            f"{missing} rows without a market (NaN in market_ids)",
            "a market for every row",
            "fill market_ids in or drop those rows",
        )
    if not total:
        faults.add(
            "no rows", "at least one", f"pass {faults.subject.replace('_', ' ')}"
        )
    return counts


class RowSorter:
    """Appends rows to files of blocks, then gives them block by block."""

    def __init__(
        self,
        table: PartedTable,
        columns: Sequence[StoredColumn],
        places: dict[Any, int],
        edges: Integers,
        scratch: Path,
    ) -> None:
        """Say which columns are kept and in which block each market is.

        Parameters
        ----------
        table
            What is read.
        columns
            Its columns that are kept.
        places
            Place of each market among all markets, sorted.
        edges
            ``(B + 1,)`` first market of each block, then T.
        scratch
            Directory for the files.
        """
        self._table = table
        self._columns = columns
        self._places = places
        self._edges = edges
        self._scratch = scratch
        self._levels: dict[str, dict[Any, int]] = {
            column.name: {} for column in columns if column.kind == "text"
        }
        self._ranks: dict[str, Integers] = {}
        self._missing: dict[str, list[int]] = {}
        self._width = 2 + len(columns)

    def scatter(self, faults: Faults, tell: Listener) -> None:
        """Append every row to the file of its block."""
        first = 0
        names = ["market_ids", *(column.name for column in self._columns)]
        for part in self._table.parts(dict.fromkeys(names)):
            rows = self._pack(part, first, faults)
            blocks = np.searchsorted(self._edges, rows[:, 0], side="right") - 1
            order = np.argsort(blocks, kind="stable")
            cuts = np.flatnonzero(np.diff(blocks[order])) + 1
            for some_rows in np.split(order, cuts):
                with self._file(int(blocks[some_rows[0]])).open("ab") as file:
                    file.write(rows[some_rows].tobytes())
            first += rows.shape[0]
            tell(f"Sorting rows of {faults.subject} into blocks: {first:,}")
        for name, missing in self._missing.items():
            faults.add(
                f"{len(missing)} missing values of '{name}' (rows {some(missing)})",
                "an integer in every row",
                "drop those rows, fill them in, or leave the column out with columns=",
            )
        self._ranks = {name: _rank(found) for name, found in self._levels.items()}

    @property
    def levels(self) -> dict[str, tuple[Any, ...]]:
        """Sorted levels of each text column, known after scattering."""
        return {name: _sorted(found) for name, found in self._levels.items()}

    def take(self, block: int) -> BlockRows:
        """Give the rows of a block and remove its file."""
        path = self._file(block)
        packed = np.fromfile(path, dtype=np.int64) if path.exists() else np.empty(0)
        path.unlink(missing_ok=True)
        rows = packed.astype(np.int64, copy=False).reshape(-1, self._width)
        first, stop = self._edges[block], self._edges[block + 1]
        order = np.argsort(rows[:, 0], kind="stable")
        rows = rows[order]
        numbers, integers = [], []
        for place, column in enumerate(self._columns, start=2):
            values = rows[:, place]
            if column.kind == "number":
                numbers.append(values.copy().view(np.float64))
            elif column.kind == "text":
                integers.append(self._ranks[column.name][values])
            else:
                integers.append(values)
        size = rows.shape[0]
        return BlockRows(
            counts=np.bincount(rows[:, 0] - first, minlength=stop - first),
            rows=rows[:, 1].copy(),
            numbers=_stack(numbers, size, np.float64),
            integers=_stack(integers, size, np.int64),
        )

    def _pack(self, part: Part, first: int, faults: Faults) -> Integers:
        """Put the market, the row and the columns' bits side by side, ``(n, k)``."""
        codes, unique = factorize(part["market_ids"])
        places = np.array([self._places[market] for market in unique], dtype=np.int64)
        packed = np.empty((codes.size, self._width), dtype=np.int64)
        packed[:, 0] = places[codes]
        packed[:, 1] = np.arange(first, first + codes.size)
        for place, column in enumerate(self._columns, start=2):
            values = part[column.name]
            if column.kind == "text":
                packed[:, place] = self._codes(column.name, values)
            elif column.kind == "number":
                packed[:, place] = values.astype(np.float64).view(np.int64)
            else:
                packed[:, place] = self._whole(values, column.name, first, faults)
        return packed

    def _whole(
        self, values: np.ndarray[Any, Any], name: str, first: int, faults: Faults
    ) -> Integers:
        """Take integers as they are; note where some are missing or too large."""
        if values.dtype.kind == "f":
            missing = np.flatnonzero(~np.isfinite(values)) + first
            self._missing.setdefault(name, []).extend(missing.tolist())
            return np.zeros(values.size, dtype=np.int64)
        if values.dtype == np.uint64 and (values > np.iinfo(np.int64).max).any():
            faults.add(
                f"integers of '{name}' beyond 2**63",
                "integers of 64 bits with a sign",
                "convert the column to text",
            )
        return values.astype(np.int64)

    def _codes(self, name: str, values: np.ndarray[Any, Any]) -> Integers:
        """Code a text column's part in the order in which levels are met."""
        levels, codes = formula_data.factorize(values)
        known = self._levels[name]
        # The last entry serves the code -1 of missing values.
        own = [known.setdefault(level, len(known)) for level in levels]
        return np.array([*own, -1], dtype=np.int64)[codes]

    def _file(self, block: int) -> Path:
        return self._scratch / f"block-{block:05d}"


def _sorted(found: dict[Any, int]) -> tuple[Any, ...]:
    """Sort levels, as they would be in memory."""
    listed = np.empty(len(found), dtype=object)
    listed[:] = list(found)
    return formula_data.factorize(listed)[0]


def _rank(found: dict[Any, int]) -> Integers:
    """Give the place of each level met among the sorted ones, then -1 for missing."""
    ranks = np.full(len(found) + 1, -1, dtype=np.int64)
    for rank, level in enumerate(_sorted(found)):
        ranks[found[level]] = rank
    return ranks


def _stack(columns: list[Any], size: int, dtype: Any) -> Any:
    return np.stack(columns) if columns else np.empty((0, size), dtype=dtype)
