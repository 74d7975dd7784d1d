"""Directories of estimates that are whole or not there, with a description in JSON.

A directory is written under a temporary name and renamed at the end; its description
carries a checksum of its own text.
"""

from __future__ import annotations

import json
import shutil
import uuid
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..errors import StoreError
from .checked_arrays import damaged


def write_directory(
    directory: str | Path,
    description: str,
    write: Callable[[Path], None],
    *,
    overwrite: bool,
) -> None:
    """Write a directory of estimates, whole or not at all.

    Parameters
    ----------
    directory
        Where; must not exist unless ``overwrite``.
    description
        Name of the file that only such directories have.
    write
        Fills a directory that it is to make.
    overwrite
        Whether saved estimates there may be replaced.

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
        if not (target / description).exists() and any(target.iterdir()):
            raise StoreError(
                f"found: {target} holds other files than estimates\n  expected: saved "
                "estimates to replace\n  what to do: choose another name"
            )
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.{uuid.uuid4().hex}.partial")
    try:
        write(partial)
        if target.exists():
            shutil.rmtree(target)
        partial.rename(target)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def write_description(path: Path, described: Mapping[str, Any]) -> None:
    """Write a description, with its ``schema``, as JSON with a checksum."""
    text = json.dumps(described, indent=1)
    sealed = {"checksum": zlib.crc32(text.encode()), "content": text}
    path.write_text(json.dumps(sealed))


def read_description(path: Path, schema: int) -> dict[str, Any]:
    """Read a description.

    Raises
    ------
    StoreError
        Where there is none, of another schema, or damaged.
    """
    name, source = path.name, path.parent
    if not path.exists():
        raise StoreError(
            f"found: no {name} in {source}\n  expected: a directory of saved "
            "estimates\n  what to do: check the name; estimates are saved whole or not "
            "at all, so an interrupted run leaves none"
        )
    try:
        sealed = json.loads(path.read_text())
        content = str(sealed["content"])
        if zlib.crc32(content.encode()) != sealed["checksum"]:
            raise damaged(str(source), name, "its checksum is wrong")
        description: dict[str, Any] = json.loads(content)
    except (ValueError, KeyError, TypeError) as error:
        raise damaged(str(source), name, str(error)) from error
    if description.get("schema") != schema:
        raise StoreError(
            f"found: estimates of schema {description.get('schema')} in {source}\n  "
            f"expected: schema {schema}\n  what to do: read them with the version of "
            "blpdask that wrote them, or estimate again"
        )
    return description
