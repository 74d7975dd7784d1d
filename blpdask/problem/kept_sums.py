"""What the preparation of a stored problem found, in one file beside a recording.

Finding groups and absorbing effects are many passes over the data, and what they find
is as large as the levels: too much to record pass by pass. A run keeps the outcome
whole, once it is there; a run that is resumed reads it, and one that was stopped before
prepares again.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import cast

from ..errors import StoreError
from ..partitions.sealed import read_sealed, write_sealed
from .stored_blocks import Lookups
from .stored_sums import StoredSums

PREPARATION = "preparation.sealed"


@dataclass(frozen=True, slots=True, eq=False)
class KeptSums:
    """Groups, levels and sums of a problem.

    Attributes
    ----------
    fingerprint
        Of the problem.
    lookups
        Groups and clusters, and levels of effects in the instruments.
    sums
        Z'X1, Z'Z and what collinearity is judged by.
    """

    fingerprint: str
    lookups: Lookups
    sums: StoredSums


def read_kept(directory: Path, fingerprint: str) -> KeptSums | None:
    """Read what a directory keeps; None where nothing is there yet.

    Parameters
    ----------
    directory
        Of a recording.
    fingerprint
        Of the problem that is to be prepared.

    Raises
    ------
    StoreError
        Where the file there is damaged, or of another problem.
    """
    path = directory / PREPARATION
    if not path.exists():
        return None
    kept = cast("KeptSums", read_sealed(path))
    if kept.fingerprint != fingerprint:
        raise StoreError(
            f"found: {path} of another problem (data {kept.fingerprint})\n  expected: "
            f"data {fingerprint}\n  what to do: bring the same data and formulas back, "
            "or start anew in another directory"
        )
    return kept


def write_kept(directory: Path, kept: KeptSums) -> None:
    """Write a preparation to a file that is whole or not there.

    Raises
    ------
    StoreError
        Where the disk refuses.
    """
    path = directory / PREPARATION
    try:
        directory.mkdir(parents=True, exist_ok=True)
        write_sealed(path, kept)
    except OSError as error:
        raise StoreError(
            f"found: {path} cannot be written: {error.strerror}\n  expected: a disk "
            "with room\n  what to do: make room, and start or resume the run again"
        ) from error
