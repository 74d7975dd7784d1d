"""Tables that are read in parts, so that none has to fit into memory.

A DataFrame, a mapping or a structured array is given in slices of its rows, Parquet
files in batches of their row groups. Either way a table says first which columns it
has and of what kind, then gives any of them, a part of the rows at a time.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ..errors import Faults
from ..partitions.store_schema import Kind, StoredColumn
from .fields import check_table, field_names, read_field
from .formula_data import is_numeric, read_column

if TYPE_CHECKING:
    import pyarrow as pa

#: Rows read at a time.
ROWS = 2**16

Part = dict[str, np.ndarray[Any, Any]]


class PartedTable(Protocol):
    """A table that is read in parts."""

    @property
    def columns(self) -> tuple[StoredColumn, ...]:
        """Name the columns, with their kinds."""
        ...

    def parts(self, names: Iterable[str]) -> Iterator[Part]:
        """Give columns, some rows at a time, first to last."""
        ...


def open_table(data: Any, subject: str) -> PartedTable:
    """Open whatever the user calls a table.

    Parameters
    ----------
    data
        DataFrame, mapping, structured array, or the path of a Parquet file, of a
        directory of them, or several paths.
    subject
        ``product_data`` or ``agent_data``.

    Raises
    ------
    InputError
        Where it is none of these.
    """
    faults = Faults(subject)
    paths = _parquet_files(data, faults)
    faults.check()
    if paths:
        return ParquetTable(paths, subject)
    check_table(data, faults)
    faults.check()
    return TableInMemory(data, subject)


class TableInMemory:
    """A table in memory; columns of matrices get names of their own."""

    def __init__(self, data: Any, subject: str) -> None:
        faults = Faults(subject)
        self._columns: Part = {}
        for name in field_names(data):
            values = read_field(data, name)
            if values is not None and values.ndim == 2 and values.shape[1] != 1:
                for place in range(values.shape[1]):
                    self._columns[f"{name}{place}"] = values[:, place]
            else:
                self._columns[name] = read_column(data, name)
        sizes = {name: values.size for name, values in self._columns.items()}
        if len(set(sizes.values())) > 1:
            faults.add(
                f"columns of different lengths: {sizes}",
                "columns of one length",
                "pass one table with a value a row in every column",
            )
        faults.check()

    @property
    def columns(self) -> tuple[StoredColumn, ...]:
        """Name the columns, with their kinds."""
        return describe_columns(self._columns)

    def parts(self, names: Iterable[str]) -> Iterator[Part]:
        """Give columns, some rows at a time."""
        wanted = {name: self._columns[name] for name in names}
        size = next((values.size for values in wanted.values()), 0)
        for first in range(0, size, ROWS):
            yield {name: v[first : first + ROWS] for name, v in wanted.items()}


class ParquetTable:
    """Parquet files of one schema, one after another."""

    def __init__(self, paths: Sequence[Path], subject: str) -> None:
        pq = _parquet()
        faults = Faults(subject)
        self._paths = tuple(paths)
        schemas = []
        for path in self._paths:
            try:
                schemas.append(pq.read_schema(path))
            except (OSError, ValueError) as error:
                faults.add(
                    f"{path} cannot be read: {error}",
                    "a Parquet file",
                    "check the path and the file",
                )
        faults.check()
        names = [set(schema.names) for schema in schemas]
        for path, found in zip(self._paths, names, strict=True):
            if found != names[0]:
                faults.add(
                    f"other columns in {path}: {sorted(found ^ names[0])}",
                    f"those of {self._paths[0]}",
                    "write all files with the same columns",
                )
        faults.check()
        self._schema = schemas[0]

    @property
    def columns(self) -> tuple[StoredColumn, ...]:
        """Name the columns, with their kinds."""
        return tuple(
            StoredColumn(field.name, _arrow_kind(field.type), str(field.type))
            for field in self._schema
            if not field.name.startswith("__index_level_")
        )

    def parts(self, names: Iterable[str]) -> Iterator[Part]:
        """Give columns, a batch of a row group at a time."""
        pq = _parquet()
        wanted = list(names)
        for path in self._paths:
            with pq.ParquetFile(path, pre_buffer=False) as file:
                for batch in file.iter_batches(
                    batch_size=ROWS, columns=wanted, use_threads=False
                ):
                    frame = batch.to_pandas(ignore_metadata=True)
                    yield {name: read_column(frame, name) for name in wanted}


def describe_columns(
    columns: Mapping[str, np.ndarray[Any, Any]], dropped: Collection[str] = ()
) -> tuple[StoredColumn, ...]:
    """Say what columns in memory are stored as, some of them dropped."""
    return tuple(
        StoredColumn(name, _kind(values), str(values.dtype))
        for name, values in columns.items()
        if name not in dropped
    )


def _parquet_files(data: Any, faults: Faults) -> list[Path]:
    """List the Parquet files that the user names; none where it is another table."""
    given = data if isinstance(data, list | tuple) else [data]
    if not given or not all(isinstance(item, str | Path) for item in given):
        return []
    found: list[Path] = []
    for path in map(Path, given):
        if path.is_dir():
            found += sorted(path.glob("*.parquet"))
        elif path.suffix.lower() == ".parquet":
            found.append(path)
        else:
            faults.add(
                f"the path {path}",
                "a file that ends in .parquet, or a directory of such files",
                "read the data first, for example with pandas.read_csv",
            )
    if not found and not len(faults):
        faults.add(
            f"no Parquet file in {data}", "files *.parquet there", "check the path"
        )
    return found


def _parquet() -> Any:
    """Import the reader of Parquet files."""
    try:
        import pyarrow.parquet
    except ImportError:
        faults = Faults("Parquet")
        faults.add(
            "a Parquet file but no package pyarrow",
            "pyarrow to read it",
            "pip install 'blpdask[parquet]'",
        )
        faults.check()
    return pyarrow.parquet


def _kind(values: np.ndarray[Any, Any]) -> Kind:
    """Tell what a column is stored as."""
    if not is_numeric(values):
        return "text"
    return "number" if values.dtype.kind == "f" else "integer"


def _arrow_kind(dtype: pa.DataType) -> Kind:
    """Tell what a column of a Parquet file is stored as."""
    import pyarrow as pa

    if pa.types.is_integer(dtype):
        return "integer"
    return "number" if pa.types.is_floating(dtype) else "text"
