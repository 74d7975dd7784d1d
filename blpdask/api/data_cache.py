"""Where fetched data sets are, and whether they are still what was fetched.

    BLPDASK_DATA_DIR, else XDG_CACHE_HOME/blpdask/data, else ~/.cache/blpdask/data

A file there is whole or not there: it is written under another name and then renamed,
which the file system does at once or not at all.
"""

from __future__ import annotations

import hashlib
import os
from enum import StrEnum
from pathlib import Path

from ..errors import Fault, StoreError
from .data_sets import DataSet

DATA_DIR = "BLPDASK_DATA_DIR"


class State(StrEnum):
    """What is in the cache under the name of a data set."""

    ABSENT = "no"
    SOUND = "yes"
    DAMAGED = "damaged"


def data_folder() -> Path:
    """Tell the directory of fetched data sets, which need not be there."""
    if chosen := os.environ.get(DATA_DIR):
        return Path(chosen).expanduser().absolute()
    caches = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if not caches.is_absolute():  # the XDG specification has one ignored that is not
        caches = Path.home() / ".cache"
    return caches / "blpdask" / "data"


def state_of(data_set: DataSet, folder: Path) -> State:
    """Compare a fetched file with the checksum of its data set.

    Raises
    ------
    StoreError
        Where it is there but cannot be read.
    """
    path = folder / data_set.file_name
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        return State.ABSENT
    except OSError as error:
        raise refused(path, "read", error) from error
    return State.SOUND if digest == data_set.sha256 else State.DAMAGED


def put(data: bytes, path: Path, partial: Path) -> None:
    """Write a file that is whole or not there.

    Parameters
    ----------
    data
        All of it.
    path
        The file, replaced if it is there.
    partial
        Another on the same file system, to write to first.
    """
    with partial.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def refused(path: Path, verb: str, error: BaseException | None) -> StoreError:
    """Say that the disk refuses."""
    fault = Fault(
        f"{path} cannot be {verb}: {getattr(error, 'strerror', error)}",
        "room and permission in the directory of fetched data",
        f"make room or give permission there, or set {DATA_DIR} to another directory",
    )
    return StoreError(str(fault))
