"""Write a file of a run, or say that the disk refuses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import StoreError


@contextmanager
def written(path: Path) -> Iterator[Path]:
    """Give the path of a file to write, for the length of a block.

    Raises
    ------
    StoreError
        Where the system refuses; the run can be resumed.
    """
    try:
        yield path
    except OSError as error:
        raise StoreError(
            f"found: {path} cannot be written: {error.strerror}\n"
            "  expected: a disk with room\n  what to do: make room, then resume the run"
        ) from error
