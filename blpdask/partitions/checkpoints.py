"""What blocks remember, at rest: so that a resumed run need not compute it again.

A memory is a function of all the states on the way to it, one accepted step after
another. A checkpoint cuts that way short. It is a directory with a sealed file a block,
which gets its name when all of them are in it; the two newest are kept.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..errors import StoreError
from .sealed import read_sealed, seal

MEMORIES = "memories"
#: Memories of more bytes than this are computed again and not kept at rest.
LARGEST_MEMORIES = 2**30
_KEPT = 2
_PARTIAL = "partial"


class Checkpoints:
    """The memories of named computations, in a directory."""

    def __init__(self, directory: Path, largest: int = LARGEST_MEMORIES) -> None:
        """Keep up to ``largest`` bytes a checkpoint below ``directory``."""
        self._directory = directory / MEMORIES
        self._largest = largest

    def has(self, key: str) -> bool:
        """Whether there is a checkpoint of a computation."""
        return (self._directory / key).is_dir()

    def write(self, key: str, memories: Iterable[Any]) -> bool:
        """Write the memories of a computation, block by block.

        Returns
        -------
        bool
            Whether they are there now: not where they are too large or the disk is
            full, which costs time after a kill and nothing else.
        """
        partial = self._directory / f"{key}.{_PARTIAL}"
        shutil.rmtree(partial, ignore_errors=True)
        total = 0
        try:
            partial.mkdir(parents=True)
            for index, memory in enumerate(memories):
                sealed = seal(memory)
                total += len(sealed)
                if total > self._largest:
                    return False
                (partial / _file(index)).write_bytes(sealed)
            partial.rename(self._directory / key)
        except OSError as error:
            logging.getLogger("blpdask").warning("no checkpoint is kept: %s", error)
            return False
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        self._drop_old()
        return True

    def read(self, key: str, n_blocks: int) -> list[Any] | None:
        """Read the memories of a computation; None where they are damaged."""
        folder = self._directory / key
        try:
            return [read_sealed(folder / _file(index)) for index in range(n_blocks)]
        except StoreError as error:
            logging.getLogger("blpdask").warning(
                "a checkpoint is not used but computed again: %s", error
            )
            shutil.rmtree(folder, ignore_errors=True)
            return None

    def clear(self) -> None:
        """Remove all checkpoints."""
        shutil.rmtree(self._directory, ignore_errors=True)

    def _drop_old(self) -> None:
        """Remove all but the newest checkpoints."""
        found = [p for p in self._directory.iterdir() if p.suffix != f".{_PARTIAL}"]
        found.sort(key=lambda path: path.stat().st_mtime_ns)
        for path in found[:-_KEPT]:
            shutil.rmtree(path, ignore_errors=True)


def _file(index: int) -> str:
    return f"block-{index:05d}"
