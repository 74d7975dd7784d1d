"""One process at a time: a lock that ends with the process that holds it.

The operating system drops a lock on an open file (flock) when its process ends, however
it ends, so that no lock of a killed run stays behind. The file says who holds it.
"""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from pathlib import Path

from ..errors import StoreError


class RunLock:
    """Holds a lock file until it is released; the file is there while it is held.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     lock = RunLock(Path(folder) / "lock")
    ...     lock.release()
    ...     list(Path(folder).iterdir())
    []
    """

    def __init__(self, path: Path) -> None:
        """Take the lock.

        Raises
        ------
        StoreError
            Where another process, or this one, holds it.
        """
        self._path = path
        self._file: int | None = None
        while self._file is None:
            self._file = self._try()

    def _try(self) -> int | None:
        """Lock the file; None where its last holder removed it meanwhile."""
        file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
        if not _lock(file):
            holder = os.read(file, 200).decode(errors="replace") or "unknown"
            os.close(file)
            raise StoreError(
                f"found: another process works in {self._path.parent} ({holder})\n"
                "  expected: one at a time\n  what to do: wait for it, or end it"
            )
        if not _is_file(file, self._path):
            os.close(file)
            return None
        with suppress(OSError):  # a full disk takes the lock but not the name
            os.ftruncate(file, 0)
            os.write(file, f"pid {os.getpid()} on {socket.gethostname()}".encode())
        return file

    def release(self) -> None:
        """Remove the file and let go of it; a second time does nothing."""
        if self._file is not None:
            self._path.unlink(missing_ok=True)
            os.close(self._file)
            self._file = None


def is_locked(path: Path) -> bool:
    """Whether a process holds a lock file."""
    try:
        file = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        return not _lock(file)
    finally:
        os.close(file)


def _lock(file: int) -> bool:
    """Lock an open file if nobody has; where there are no such locks, always."""
    try:
        import fcntl
    except ImportError:  # pragma: no cover
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_file(file: int, path: Path) -> bool:
    """Whether a path still leads to an open file."""
    try:
        return os.path.samestat(os.fstat(file), path.stat())
    except FileNotFoundError:
        return False
