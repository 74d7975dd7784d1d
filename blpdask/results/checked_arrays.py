"""Zarr arrays that cannot be mistaken: every chunk is there and has its checksum.

A chunk equal to the fill value is written all the same, so that a missing chunk is
damage and not zeros; a CRC32C makes a flipped byte an error and not a number.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import StoreError


def create_checked(
    root: Any, name: str, shape: tuple[int, ...], dtype: Any, chunks: tuple[int, ...]
) -> Any:
    """Create an array in an open Zarr group, to be filled by assignment.

    Parameters
    ----------
    root
        The group.
    name, shape, dtype, chunks
        Of the array.
    """
    from zarr.codecs import Crc32cCodec

    return root.create_array(
        name,
        shape=shape,
        dtype=dtype,
        chunks=tuple(max(1, n) for n in chunks),
        compressors=[Crc32cCodec()],
        config={"write_empty_chunks": True},
    )


def read_checked(
    root: Any, name: str, where: str, rows: slice = slice(None)
) -> np.ndarray[Any, Any]:
    """Read an array of an open Zarr group, or some of its rows.

    Parameters
    ----------
    root, name
        The group and the array.
    where
        The directory, for an error's sake.
    rows
        Which rows.

    Raises
    ------
    StoreError
        Where a chunk is missing or damaged.
    """
    try:
        array = root[name]
        if array.size and array.nchunks_initialized < array.nchunks:
            raise damaged(where, name, "a chunk is missing")
        return np.asarray(array[rows] if array.ndim else array[...])
    except StoreError:
        raise
    except Exception as error:
        raise damaged(where, name, str(error)) from error


def damaged(where: str, name: str, detail: str) -> StoreError:
    """Say that something at rest is not what was written."""
    return StoreError(
        f"found: {name} in {where} is damaged ({detail})\n  expected: what was saved\n"
        "  what to do: restore the directory from a copy or estimate again"
    )
