"""Arrays at rest: a Zarr array of one chunk each, checked by a CRC32C.

Zarr reads a chunk that is missing as fill values, and its default codec does not
notice a flipped bit: here a chunk must be there, has a checksum, and must have the
shape and dtype that the reader expects. Nothing is remembered of a failure: when the
file is mended, it reads.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import StoreError
from .store_schema import damaged


def write_array(root: Any, name: str, values: np.ndarray[Any, Any]) -> None:
    """Write an array under a Zarr group; arrays without entries are not written."""
    from zarr.codecs import Crc32cCodec

    if values.size == 0:
        return
    array = root.create_array(
        name,
        shape=values.shape,
        dtype=values.dtype,
        chunks=values.shape,
        compressors=[Crc32cCodec()],
        config={"write_empty_chunks": True},
    )
    array[...] = values


def read_array(
    store: Path, name: str, shape: tuple[int, ...], dtype: Any, where: str = ""
) -> np.ndarray[Any, Any]:
    """Read an array.

    Parameters
    ----------
    store, name
        Directory of the root group, and the array's name in it.
    shape, dtype
        What it must be; -1 for a length that is not known.
    where
        What it belongs to, for an error's sake.

    Raises
    ------
    StoreError
        Where it is not there, or not what was written.
    """
    if 0 in shape:
        return np.empty(shape, dtype=dtype)
    what = f"{store / name}{f', {where},' if where else ''}"
    import zarr

    try:
        array = zarr.open_array(str(store / name), mode="r")
        found = array.shape, array.dtype
        fits = len(found[0]) == len(shape) and all(
            n in (m, -1) for m, n in zip(found[0], shape, strict=True)
        )
        if not fits or found[1] != np.dtype(dtype):
            raise damaged(what, f"{found} instead of {(shape, np.dtype(dtype))}")
        key = array.metadata.encode_chunk_key((0,) * len(shape))
        if not (store / name / key).exists():
            raise damaged(f"{what} at {key}", "the file is missing")
        return np.asarray(array[...])
    except StoreError:
        raise
    except Exception as error:
        # What the system refuses may be there again in a moment: no damage.
        if isinstance(error, OSError) and not isinstance(error, FileNotFoundError):
            raise
        raise damaged(what, str(error) or type(error).__name__) from error


def pack_levels(levels: Any) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Write a sequence of texts and numbers as the bytes of its JSON."""
    plain = [_plain(level) for level in levels]
    return np.frombuffer(json.dumps(plain).encode(), dtype=np.uint8)


def unpack_levels(packed: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Read levels back, ``(L,)`` objects."""
    plain = json.loads(packed.tobytes().decode())
    levels = np.empty(len(plain), dtype=object)
    levels[:] = plain
    return levels


def _plain(level: Any) -> Any:
    if isinstance(level, np.generic):
        level = level.item()
    return level if isinstance(level, str | bool | int | float) else str(level)
