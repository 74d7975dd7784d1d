"""Tables of choices that are given in parts, and what a store's builder reads of them.

An iterator of chunks, such as ``pandas.read_csv(path, chunksize=100_000)``, is read
once and its columns are laid down in a directory, for a builder reads a table twice:
to count, and to sort. The rows of a person follow one another, be it from one chunk to
the next: an id that comes back later most likely begins anew in another file.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import Faults
from ..partitions.store_schema import StoredColumn
from . import formula_data
from .fields import check_table, some
from .store_tables import Part, PartedTable, TableInMemory, open_table

#: Columns of zeros and ones, which may be given as booleans.
FLAGS = ("chosen", "availability")
SUBJECT = "choice_data"


def open_choices(data: Any, scratch: Path) -> PeopleTable:
    """Open a table, Parquet files or chunks, chunks being laid down in ``scratch``.

    Raises
    ------
    InputError
        Where it is none of these, or chunks do not fit together.
    """
    if _is_chunks(data):
        return PeopleTable(ChunkedTable(data, scratch))
    return PeopleTable(open_table(data, SUBJECT))


class PeopleTable:
    """A table whose people are called markets, without alternatives to nobody.

    Where there are no people each situation is one. Rows of no availability are left
    out but where they are chosen, so that what is wrong can be told.
    """

    def __init__(self, table: PartedTable) -> None:
        self._table = table
        names = [column.name for column in table.columns]
        self.people = "person_ids" if "person_ids" in names else "situation_ids"

    @property
    def columns(self) -> tuple[StoredColumn, ...]:
        """Name the columns but people, with their kinds."""
        return tuple(
            replace(column, kind="integer")
            if column.name in FLAGS and column.dtype.startswith("bool")
            else column
            for column in self._table.columns
            if column.name not in ("person_ids", "market_ids")
        )

    def parts(self, names: Iterable[str]) -> Iterator[Part]:
        """Give columns, some rows at a time."""
        known = {column.name for column in self._table.columns}
        wanted = {name: self.people if name == "market_ids" else name for name in names}
        flags = {name for name in FLAGS if name in known}
        for part in self._table.parts({*wanted.values(), *flags}):
            for name in flags:
                if part[name].dtype.kind == "b":
                    part[name] = part[name].astype(np.int64)
            kept: Any = slice(None)
            if flags == set(FLAGS):
                kept = (part["availability"] != 0) | (part["chosen"] != 0)
            yield {name: part[own][kept] for name, own in wanted.items()}


class ChunkedTable:
    """Chunks that were given once, laid down a file a chunk and column."""

    def __init__(self, chunks: Iterable[Any], folder: Path) -> None:
        """Lay all chunks down.

        Raises
        ------
        InputError
            Where they have not the same columns, or a person is in two places.
        """
        self._folder = folder
        self._levels: dict[str, dict[Any, int]] = {}
        self._columns: dict[str, StoredColumn] = {}
        self._n_chunks = 0
        faults, runs = Faults(SUBJECT), _Runs()
        for chunk in chunks:
            if not check_table(chunk, faults):
                break
            table = TableInMemory(chunk, SUBJECT)
            self._add_columns(table.columns, faults)
            faults.check()
            for part in table.parts(list(self._columns)):
                self._lay_down(part)
                runs.add(part.get("person_ids"))
        if not self._n_chunks and not len(faults):
            faults.add("no rows in any chunk", "chunks of rows", "read the data first")
        runs.report(faults)
        faults.check()

    @property
    def columns(self) -> tuple[StoredColumn, ...]:
        """Name the columns, with their kinds."""
        return tuple(self._columns.values())

    def parts(self, names: Iterable[str]) -> Iterator[Part]:
        """Give columns, a chunk or less at a time."""
        wanted = list(dict.fromkeys(names))
        levels = {}
        for name in wanted:
            if name in self._levels:
                levels[name] = np.array([*self._levels[name], None], dtype=object)
        for number in range(self._n_chunks):
            yield {name: self._read(number, name, levels) for name in wanted}

    def _add_columns(self, columns: tuple[StoredColumn, ...], faults: Faults) -> None:
        """Bring the columns of a chunk together with those of chunks before."""
        found = {column.name: column for column in columns}
        if not self._columns:
            self._columns = found
        if other := sorted(set(found) ^ set(self._columns)):
            faults.add(
                f"columns {some(other)} in some chunks only",
                "chunks of the same columns",
                "give every chunk all columns",
            )
            return
        for name, column in found.items():
            before = self._columns[name].kind
            if "text" in (before, column.kind) and before != column.kind:
                faults.add(
                    f"'{name}' that is numeric in some chunks and not in others",
                    "a column of one kind",
                    f"read '{name}' with one dtype, as by read_csv(..., dtype=...)",
                )
            elif column.kind == "number":
                self._columns[name] = column

    def _lay_down(self, part: Part) -> None:
        """Write the columns of some rows."""
        for place, (name, column) in enumerate(self._columns.items()):
            values = part[name]
            if column.kind == "text" and values.dtype.kind != "b":
                values = self._codes(name, values)
            np.save(self._path(self._n_chunks, place), values)
        self._n_chunks += 1

    def _codes(self, name: str, values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Code texts in the order in which they are met."""
        levels, codes = formula_data.factorize(values)
        known = self._levels.setdefault(name, {})
        own = [known.setdefault(level, len(known)) for level in levels]
        return np.array([*own, -1], dtype=np.int64)[codes]

    def _read(
        self, number: int, name: str, levels: dict[str, np.ndarray[Any, Any]]
    ) -> np.ndarray[Any, Any]:
        """Read a column of some rows back."""
        place = list(self._columns).index(name)
        values: np.ndarray[Any, Any] = np.load(self._path(number, place))
        if name in levels:
            return np.asarray(levels[name][values])
        number_kind = self._columns[name].kind == "number"
        return values.astype(np.float64) if number_kind else values

    def _path(self, number: int, place: int) -> Path:
        return self._folder / f"{number:06d}-{place}.npy"


class _Runs:
    """People whose rows were met, and those that came back."""

    def __init__(self) -> None:
        self._met: set[Any] = set()
        self._last: Any = None
        self._again: dict[Any, None] = {}

    def add(self, ids: np.ndarray[Any, Any] | None) -> None:
        """Take the people of some rows."""
        for who, _ in itertools.groupby(() if ids is None else ids.tolist()):
            if who in self._met and who != self._last:
                self._again[who] = None
            self._met.add(who)
            self._last = who

    def report(self, faults: Faults) -> None:
        """Say who came back."""
        if self._again:
            people = list(self._again)
            faults.add(
                f"one panel id in two places: rows of {len(people)} people that do not "
                f"follow one another ({some(people)})",
                "the rows of a person together, where data are given in chunks",
                "make ids differ between files, or sort the data by person_ids; a "
                "DataFrame or Parquet files may be in any order",
            )


def _is_chunks(data: Any) -> bool:
    """Tell an iterable of tables from tables and from paths."""
    if hasattr(data, "columns") or hasattr(data, "dtype") or hasattr(data, "keys"):
        return False
    if isinstance(data, str | Path) or not isinstance(data, Iterable):
        return False
    if isinstance(data, list | tuple):
        return not all(isinstance(item, str | Path) for item in data)
    return True
