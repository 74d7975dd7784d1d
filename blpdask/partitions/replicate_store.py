"""Replicates at rest: one chunk each, and a mark that is written last.

A bootstrap, a sweep or a covariance of simulation error is n replicates of one task.
Each has its own chunk of every array (two writers in one chunk lose rows), and counts
once its done-mark is there:

    arrays/FIELD/c/7/...     the chunk of replicate 7, with its CRC32C
    done/7                   CRC32 of replicate 7's fields, renamed into place

A process that is killed between the two leaves a chunk without a mark, which is
computed and written again; a mark whose chunk is another or gone is an error. One
process writes at a time, which holds the lock of the directory.
"""

from __future__ import annotations

import os
import shutil
import uuid
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..errors import StoreError
from .run_lock import RunLock
from .sealed import digest

SCHEMA = 1
Array = np.ndarray[Any, Any]


class Field(NamedTuple):
    """Shape and type of one replicate's part of a record."""

    shape: tuple[int, ...]
    dtype: str


class ReplicateStore:
    """A directory of n replicates, some of them done.

    Use it as a context: the lock is held until its end.

    Attributes
    ----------
    directory
        Where.
    n
        Number of replicates.
    fields
        Shape and type of each field of a replicate.
    """

    def __init__(
        self,
        directory: str | Path,
        n: int,
        fields: Mapping[str, Field],
        *,
        fingerprint: str,
    ) -> None:
        """Open the replicates of a directory, or make it where there is none.

        Parameters
        ----------
        directory, n, fields
            As above.
        fingerprint
            What the replicates are of: data, parameters, seed. A directory of another
            is refused.

        Raises
        ------
        StoreError
            Where the directory holds other replicates, is damaged, or is in use, or
            where the disk refuses.
        """
        self.directory = Path(directory)
        self.n = n
        self.fields = {name: Field(*field) for name, field in fields.items()}
        self._description: dict[str, Any] = {
            "schema": SCHEMA,
            "fingerprint": fingerprint,
            "replicates": n,
            "fields": {
                name: [list(field.shape), np.dtype(field.dtype).str]
                for name, field in self.fields.items()
            },
        }
        try:
            if not self.directory.exists():
                self._create()
            self._lock = RunLock(self.directory / "lock")
        except OSError as error:
            raise _unwritable(self.directory, error) from error
        try:
            self._arrays = self._open()
        except BaseException:
            self.close()
            raise

    def missing(self) -> list[int]:
        """List the replicates that are to be done, in order."""
        done = {
            int(name) for name in os.listdir(self.directory / "done") if name[0] != "."
        }
        return [index for index in range(self.n) if index not in done]

    def write(self, index: int, record: Mapping[str, Any]) -> None:
        """Write one replicate: its chunks, then its mark.

        Raises
        ------
        ValueError
            Where a field is missing, unknown, or of another shape or type.
        StoreError
            Where the disk refuses; replicates that are done stay.
        """
        values = self._check(index, record)
        mark = self._mark(index)
        partial = mark.with_name(f".{index}.partial")
        try:
            for name, value in values.items():
                self._arrays[name][index] = value
            partial.write_text(_checksum(index, values))
            partial.replace(mark)
        except OSError as error:
            raise _unwritable(self.directory, error) from error

    def read(self) -> dict[str, Array]:
        """Read every replicate and compare it with its mark.

        Returns
        -------
        dict
            Each field with replicates along the first axis, ``(n, …)``.

        Raises
        ------
        StoreError
            Where a replicate is missing or not what was written.
        """
        missing = self.missing()
        if missing:
            raise StoreError(
                f"found: {self.directory} without {len(missing)} of {self.n} "
                f"replicates, first {missing[0]}\n  expected: all of them\n  what to "
                "do: run the rest; those that are there are kept"
            )
        stacked = {
            name: np.empty((self.n, *field.shape), field.dtype)
            for name, field in self.fields.items()
        }
        for index in range(self.n):
            for name, value in self._read(index).items():
                stacked[name][index] = value
        return stacked

    def digest(self) -> str:
        """Name all replicates by their contents."""
        return digest(self.read())

    def close(self) -> None:
        """Let another process in."""
        self._lock.release()

    def __enter__(self) -> ReplicateStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _create(self) -> None:
        """Make the directory under another name and rename it when it is whole."""
        import zarr
        from zarr.codecs import Crc32cCodec

        partial = self.directory.with_name(
            f".{self.directory.name}.{uuid.uuid4().hex}.partial"
        )
        try:
            (partial / "done").mkdir(parents=True)
            root = zarr.open_group(str(partial / "arrays"), mode="w")
            root.attrs["blpdask_replicates"] = self._description
            for name, field in self.fields.items():
                root.create_array(
                    name,
                    shape=(self.n, *field.shape),
                    chunks=(1, *(max(1, length) for length in field.shape)),
                    dtype=field.dtype,
                    compressors=[Crc32cCodec()],
                    # A chunk of fill values must be there to have been written.
                    config={"write_empty_chunks": True},
                )
            partial.rename(self.directory)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise

    def _open(self) -> dict[str, Any]:
        """Open the arrays and compare what they are of."""
        import zarr

        try:
            root: Any = zarr.open_group(str(self.directory / "arrays"), mode="r+")
            found = root.attrs["blpdask_replicates"]
        except Exception as error:
            raise StoreError(
                f"found: no replicates in {self.directory} ({error})\n  expected: a "
                "directory that replicates were written to, or none\n  what to do: "
                "choose another directory, or remove this one and run again"
            ) from error
        self._compare(found)
        try:
            config = {"write_empty_chunks": True}
            return {name: root[name].with_config(config) for name in self.fields}
        except Exception as error:
            detail = f"an array cannot be opened: {error}"
            raise _damaged(self.directory, detail) from error

    def _compare(self, found: Any) -> None:
        """Refuse another schema, fingerprint, number or form of replicates."""
        expected = self._description
        for name, remedy in (
            ("schema", "use the version of blpdask that wrote it"),
            ("fingerprint", "they are of other data, parameters or seeds"),
            ("replicates", "ask for as many"),
            ("fields", "use the version of blpdask that wrote it"),
        ):
            other = found.get(name) if isinstance(found, dict) else None
            if other != expected[name]:
                raise StoreError(
                    f"found: replicates of {name} {other!r} in {self.directory}\n  "
                    f"expected: {name} {expected[name]!r}\n  what to do: {remedy}, or "
                    "choose another directory"
                )

    def _read(self, index: int) -> dict[str, Array]:
        """Read one replicate and compare it with its mark."""
        try:
            values = {
                name: np.asarray(self._arrays[name][index]) for name in self.fields
            }
            mark = self._mark(index).read_text()
        except Exception as error:
            raise self._damaged_at(index, str(error)) from error
        if mark != _checksum(index, values):
            raise self._damaged_at(index, "it is not what its mark says")
        return values

    def _check(self, index: int, record: Mapping[str, Any]) -> dict[str, Array]:
        """Take the fields of a record, each of its shape and type."""
        values = {name: np.asarray(record[name]) for name in record}
        found = {name: Field(v.shape, v.dtype.str) for name, v in values.items()}
        expected = {
            name: Field(field.shape, np.dtype(field.dtype).str)
            for name, field in self.fields.items()
        }
        if found != expected or not 0 <= index < self.n:
            raise ValueError(
                f"replicate {index} of {found}, where {self.n} of {expected} are kept"
            )
        return {name: values[name] for name in self.fields}

    def _mark(self, index: int) -> Path:
        return self.directory / "done" / str(index)

    def _damaged_at(self, index: int, detail: str) -> StoreError:
        return _damaged(
            self.directory,
            f"replicate {index}: {detail}",
            f"remove {self._mark(index)} and run again, which computes this replicate "
            "anew",
        )


def _checksum(index: int, values: Mapping[str, Array]) -> str:
    """Sum up a replicate: its number, then the bytes of its fields."""
    total = zlib.crc32(str(index).encode())
    for name, value in values.items():
        total = zlib.crc32(np.ascontiguousarray(value).tobytes(), total)
        total = zlib.crc32(name.encode(), total)
    return f"{total:08x}"


def _unwritable(directory: Path, error: OSError) -> StoreError:
    return StoreError(
        f"found: replicates cannot be written to {directory}: {error.strerror}\n  "
        "expected: a disk with room\n  what to do: make room and run again; replicates "
        "that are done are kept"
    )


def _damaged(directory: Path, detail: str, remedy: str = "") -> StoreError:
    remedy = remedy or "restore it from a copy, or remove it and run again"
    return StoreError(
        f"found: {directory} is damaged ({detail})\n  expected: what was written\n  "
        f"what to do: {remedy}"
    )
