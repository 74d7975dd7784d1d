"""Rows of estimates that stay on disk: δ, ξ and the like, as long as the data.

    directory/          a Zarr v3 group
      delta, xi, xi_fe  (N, 1), rows in market order
      xi_by_theta       (N, P)

The driver writes what blocks give, one block after another, and holds one at a time;
the estimates hold a :class:`RowsAtRest` for each array, which reads it when asked. The
directory is written under a temporary name and renamed at the end. It lasts as long as
the problem that was estimated, which results hold on to; what is saved or pickled has
the rows themselves.
"""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import StoreError
from ..records import Floats
from .checked_arrays import create_checked, damaged, read_checked


@dataclass(frozen=True, slots=True)
class RowsAtRest:
    """An array on disk that NumPy reads when it is asked for.

    Attributes
    ----------
    path
        Directory of the Zarr group.
    name
        Of the array in it.
    shape
        ``(N, k)``.
    chunk_rows
        Rows of a chunk, about as many as a block's.
    """

    path: str
    name: str
    shape: tuple[int, int]
    chunk_rows: int

    @property
    def dtype(self) -> np.dtype[np.float64]:
        """Of what is read."""
        return np.dtype(np.float64)

    @property
    def size(self) -> int:
        """Count the elements."""
        return self.shape[0] * self.shape[1]

    @property
    def chunks(self) -> tuple[int, int]:
        """How many rows and columns are stored together."""
        return self.chunk_rows, self.shape[1]

    @property
    def ndim(self) -> int:
        """Count the axes."""
        return 2

    def __len__(self) -> int:
        """Count the rows, N."""
        return self.shape[0]

    def __array__(
        self, dtype: Any = None, copy: bool | None = None
    ) -> np.ndarray[Any, Any]:
        """Read the whole.

        Raises
        ------
        ValueError
            Where no copy may be made: what is read is always new.
        StoreError
            Where the rows are gone or damaged.
        """
        if copy is False:
            raise ValueError("rows at rest are read, which makes a new array")
        return self.read().astype(dtype or self.dtype, copy=False)

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel as what is on disk, which does not outlive this process."""
        return np.asarray, (self.read(),)

    def read(self, rows: slice = slice(None)) -> Floats:
        """Read some rows, all by default.

        Raises
        ------
        StoreError
            Where the rows are gone or damaged.
        """
        import zarr

        if not Path(self.path).is_dir():
            raise StoreError(
                f"found: no directory {self.path}\n  expected: {self.name} there, where"
                " an estimation left it\n  what to do: restore the directory or "
                "estimate again; saved results keep rows of their own"
            )
        try:
            root = zarr.open_group(self.path, mode="r")
        except Exception as error:
            raise damaged(self.path, self.name, str(error)) from error
        return np.asarray(read_checked(root, self.name, self.path, rows))

    def parts(self) -> Iterator[tuple[slice, Floats]]:
        """Read a chunk's rows after another's, with their places."""
        for first in range(0, self.shape[0] if self.size else 0, self.chunk_rows):
            rows = slice(first, min(first + self.chunk_rows, self.shape[0]))
            yield rows, self.read(rows)


#: Rows in memory or on disk.
Rows = Floats | RowsAtRest


def write_rows(
    directory: Path,
    blocks: Iterable[Mapping[str, Floats]],
    columns: Mapping[str, int],
    n_rows: int,
    chunk_rows: int,
) -> dict[str, RowsAtRest]:
    """Write the rows of blocks, in the order in which they come.

    Parameters
    ----------
    directory
        A new one.
    blocks
        For each block, its arrays ``(N_b, k)`` by name.
    columns
        k by name.
    n_rows
        N.
    chunk_rows
        Rows of a chunk.

    Returns
    -------
    dict
        What reads each array, by name.

    Raises
    ------
    StoreError
        Where the directory cannot be written, as on a full disk.
    """
    import zarr

    partial = directory.with_name(f".{directory.name}.{uuid.uuid4().hex}.partial")
    try:
        partial.mkdir(parents=True)
        root = zarr.open_group(str(partial), mode="w")
        arrays = {
            name: create_checked(root, name, (n_rows, k), np.float64, (chunk_rows, k))
            for name, k in columns.items()
        }
        _fill(arrays, blocks, n_rows)
        partial.rename(directory)
    except BaseException as error:
        shutil.rmtree(partial, ignore_errors=True)
        if isinstance(error, OSError):
            raise _unwritable(directory, error) from error
        raise
    return {
        name: RowsAtRest(str(directory), name, (n_rows, k), chunk_rows)
        for name, k in columns.items()
    }


def _fill(
    arrays: Mapping[str, Any], blocks: Iterable[Mapping[str, Floats]], n_rows: int
) -> None:
    """Assign the rows of each block after those of the block before."""
    first = 0
    for block in blocks:
        stop = first + next(iter(block.values())).shape[0]
        for name, array in arrays.items():
            if array.shape[1]:
                array[first:stop] = block[name]
        first = stop
        # One block at a time: the next one comes before its name is taken.
        del block
    assert first == n_rows


def _unwritable(directory: Path, error: OSError) -> StoreError:
    return StoreError(
        f"found: {directory} cannot be written ({error})\n  expected: room for as many "
        "rows as there are products\n  what to do: make room or give permission there, "
        "and estimate again"
    )
