"""Estimates at rest: a directory with Zarr arrays and JSON, no pickle.

Every array is checked by a CRC32C, so that a flipped byte is an error and not a number.
The directory is written under a temporary name and renamed at the end: it is whole or
it is not there.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from .checked_arrays import create_checked, read_checked
from .estimates import GmmEstimates
from .rows_at_rest import Rows, RowsAtRest
from .sealed_directory import read_description, write_description, write_directory

SCHEMA = 1
_DESCRIPTION = "estimates.json"


def save_estimates(
    steps: Sequence[GmmEstimates],
    directory: str | Path,
    *,
    overwrite: bool = False,
    micro: Sequence[dict[str, Any]] = (),
) -> None:
    """Write the steps of an estimation to a directory.

    Parameters
    ----------
    steps
        First to last.
    directory
        Where; must not exist unless ``overwrite``.
    overwrite
        Whether saved estimates there may be replaced.
    micro
        What micro moments are, as JSON has it.

    Raises
    ------
    StoreError
        Where the directory exists and may not, or does not hold estimates.
    """
    write = partial(_write, steps, micro=micro)
    write_directory(directory, _DESCRIPTION, write, overwrite=overwrite)


def read_estimates(directory: str | Path) -> tuple[GmmEstimates, ...]:
    """Read the steps of an estimation from a directory.

    Raises
    ------
    StoreError
        Where there are none, of another schema, or damaged.
    """
    source = Path(directory)
    description = read_description(source / _DESCRIPTION, SCHEMA)
    import zarr

    root = zarr.open_group(str(source / "arrays"), mode="r")
    steps = []
    for place, plain in enumerate(description["steps"]):
        values: dict[str, Any] = dict(plain["values"])
        for name in plain["arrays"]:
            values[name] = read_checked(root, f"{place}/{name}", str(source))
        for name, parts in plain["pairs"].items():
            values[name] = tuple(
                read_checked(root, f"{place}/{p}", str(source)) for p in parts
            )
        for name in plain["tuples"]:
            values[name] = tuple(values[name])
        steps.append(GmmEstimates(**values))
    return tuple(steps)


def read_micro(directory: str | Path) -> list[dict[str, Any]]:
    """Read what the micro moments of an estimation are; nothing where it has none."""
    description = read_description(Path(directory) / _DESCRIPTION, SCHEMA)
    return list(description.get("micro", []))


def _write(
    steps: Sequence[GmmEstimates], directory: Path, micro: Sequence[dict[str, Any]]
) -> None:
    import zarr

    directory.mkdir(parents=True)
    root = zarr.open_group(str(directory / "arrays"), mode="w")
    plain = [_write_step(root, str(place), step) for place, step in enumerate(steps)]
    described = {"schema": SCHEMA, "steps": plain, "micro": list(micro)}
    write_description(directory / _DESCRIPTION, described)


def _write_step(root: Any, prefix: str, step: GmmEstimates) -> dict[str, Any]:
    """Write arrays under a prefix; return what is not an array."""
    plain: dict[str, Any] = {"values": {}, "arrays": [], "pairs": {}, "tuples": []}
    for field in dataclasses.fields(step):
        value = getattr(step, field.name)
        if isinstance(value, np.ndarray | RowsAtRest):
            plain["arrays"].append(field.name)
            _write_array(root, f"{prefix}/{field.name}", value)
        elif isinstance(value, tuple) and value and isinstance(value[0], np.ndarray):
            parts = [f"{field.name}_{i}" for i in range(len(value))]
            plain["pairs"][field.name] = parts
            for part, array in zip(parts, value, strict=True):
                _write_array(root, f"{prefix}/{part}", array)
        else:
            if isinstance(value, tuple):
                plain["tuples"].append(field.name)
            plain["values"][field.name] = value
    return plain


def _write_array(root: Any, name: str, values: Rows) -> None:
    """Write an array, rows at rest a part at a time."""
    chunks = values.shape if isinstance(values, np.ndarray) else values.chunks
    array = create_checked(root, name, values.shape, values.dtype, chunks)
    if isinstance(values, RowsAtRest):
        for place, part in values.parts():
            array[place] = part
    elif values.size:
        array[...] = values
