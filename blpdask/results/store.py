"""Estimates at rest: a directory with Zarr arrays and JSON, no pickle.

Every array is checked by a CRC32C, so that a flipped byte is an error and not a number.
The directory is written under a temporary name and renamed at the end: it is whole or
it is not there.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
import uuid
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import StoreError
from .checked_arrays import create_checked, damaged, read_checked
from .estimates import GmmEstimates
from .rows_at_rest import Rows, RowsAtRest

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
    target = Path(directory)
    if target.exists():
        if not overwrite:
            raise StoreError(
                f"found: {target} exists\n  expected: a new directory\n  what to do: "
                "choose another name, or pass overwrite=True to replace estimates there"
            )
        if not (target / _DESCRIPTION).exists() and any(target.iterdir()):
            raise StoreError(
                f"found: {target} holds other files than estimates\n  expected: saved "
                "estimates to replace\n  what to do: choose another name"
            )
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.{uuid.uuid4().hex}.partial")
    try:
        _write(steps, partial, micro)
        if target.exists():
            shutil.rmtree(target)
        partial.rename(target)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def read_estimates(directory: str | Path) -> tuple[GmmEstimates, ...]:
    """Read the steps of an estimation from a directory.

    Raises
    ------
    StoreError
        Where there are none, of another schema, or damaged.
    """
    source = Path(directory)
    description = _read_description(source)
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
    return list(_read_description(Path(directory)).get("micro", []))


def _write(
    steps: Sequence[GmmEstimates], directory: Path, micro: Sequence[dict[str, Any]]
) -> None:
    import zarr

    directory.mkdir(parents=True)
    root = zarr.open_group(str(directory / "arrays"), mode="w")
    plain = [_write_step(root, str(place), step) for place, step in enumerate(steps)]
    described = {"schema": SCHEMA, "steps": plain, "micro": list(micro)}
    text = json.dumps(described, indent=1)
    sealed = {"checksum": zlib.crc32(text.encode()), "content": text}
    (directory / _DESCRIPTION).write_text(json.dumps(sealed))


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


def _read_description(source: Path) -> dict[str, Any]:
    path = source / _DESCRIPTION
    if not path.exists():
        raise StoreError(
            f"found: no {_DESCRIPTION} in {source}\n  expected: a directory of saved "
            "estimates\n  what to do: check the name; estimates are saved whole or not "
            "at all, so an interrupted run leaves none"
        )
    try:
        sealed = json.loads(path.read_text())
        content = str(sealed["content"])
        if zlib.crc32(content.encode()) != sealed["checksum"]:
            raise damaged(str(source), _DESCRIPTION, "its checksum is wrong")
        description: dict[str, Any] = json.loads(content)
    except (ValueError, KeyError, TypeError) as error:
        raise damaged(str(source), _DESCRIPTION, str(error)) from error
    if description.get("schema") != SCHEMA:
        raise StoreError(
            f"found: estimates of schema {description.get('schema')} in {source}\n  "
            f"expected: schema {SCHEMA}\n  what to do: read them with the version of "
            "blpdask that wrote them, or estimate again"
        )
    return description
