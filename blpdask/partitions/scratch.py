"""A directory beside a store that lasts as long as its process wants it.

    STORE.rows/scratch/HOST-4f1c…/     whatever workers must find and nobody needs later

It goes when its owner is collected or the process ends. One that a killed process left
behind is removed when the next one makes its own: the lock in it is nobody's then.
Locks may not reach from one machine to another, so what others left is given a week.
"""

from __future__ import annotations

import os
import shutil
import socket
import time
import uuid
import weakref
from pathlib import Path
from typing import Any

from ..errors import StoreError
from .run_lock import RunLock, is_locked

#: Seconds after which a directory without a lock is abandoned: here, and elsewhere.
YOUNG = 60.0
FOREIGN = 7 * 24 * 3600.0
_LOCK = "lock"


class Scratch:
    """A directory that is made when it is first asked for; copies know its path."""

    def __init__(self, parent: Path) -> None:
        """Make the directory below ``parent``, later."""
        self._parent = parent
        self._path: Path | None = None

    @property
    def path(self) -> Path:
        """The directory.

        Raises
        ------
        StoreError
            Where it cannot be made.
        """
        if self._path is None:
            path = self._parent / f"{socket.gethostname()}-{uuid.uuid4().hex}"
            try:
                remove_abandoned(self._parent)
                path.mkdir(parents=True)
            except OSError as error:
                raise unwritable(path, error) from error
            weakref.finalize(self, _remove, path, _lock(path), os.getpid())
            self._path = path
        return self._path

    def __getstate__(self) -> dict[str, Any]:
        """Give copies, here or elsewhere, the path; the directory stays with this."""
        return {"_parent": self._parent, "_path": self._path}


def remove_abandoned(parent: Path) -> None:
    """Remove the scratch directories of processes that are no longer alive."""
    if not parent.is_dir():
        return
    for path in parent.iterdir():
        own = path.name.startswith(f"{socket.gethostname()}-")
        try:
            age = time.time() - path.stat().st_mtime
            if age > (YOUNG if own else FOREIGN) and not is_locked(path / _LOCK):
                shutil.rmtree(path, ignore_errors=True)
        except OSError:  # without locks there is no telling
            continue


def unwritable(path: Path, error: OSError) -> StoreError:
    """Say that the disk refuses."""
    return StoreError(
        f"found: {path} cannot be written: {error.strerror}\n  expected: room and "
        "permission beside the store, where workers find what they share\n  what to "
        "do: make room or give permission there"
    )


def _lock(path: Path) -> RunLock | None:
    """Hold a directory; without locks it is only ever removed by its owner."""
    try:
        return RunLock(path / _LOCK)
    except OSError:
        return None


def _remove(path: Path, lock: RunLock | None, owner: int) -> None:
    """Remove a directory; a process that was forked from its owner leaves it."""
    if os.getpid() != owner:
        return
    if lock is not None:
        lock.release()
    shutil.rmtree(path, ignore_errors=True)
