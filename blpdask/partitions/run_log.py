"""What a run has summed so far, in a file that only grows.

    head | sum | sum | … | done

A sum is written as soon as it is there (see :mod:`.log_frames` for how). A kill loses
at most the one under way: what a last write left unfinished is overwritten.

The head says what is estimated, part by part, so that a recording of
other data or other options is never taken for this one, and which versions recorded it.
"""

from __future__ import annotations

import json
import os
import time
import zlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import StoreError
from .log_frames import (
    DONE,
    HEAD,
    LARGE,
    MAGIC,
    SUM,
    Frame,
    damaged_frame,
    keep_command,
    pack_frame,
    read_frames,
)
from .run_lock import RunLock
from .sealed import seal, unseal

LOG = "reductions.log"
LOCK = "reductions.lock"
SCHEMA = 1
#: Records of more bytes than this are not written but computed again on replay.
LARGEST_RECORD = 16 * 2**20
#: Seconds that a failure of the machine itself may cost.
SYNC_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Replayed:
    """A recorded sum; ``is_there`` is false where it was too large to be written."""

    is_there: bool
    record: Any = None


class RunLog:
    """The log of one run, open for replay and then for writing.

    Attributes
    ----------
    directory
        Where it is.
    fingerprint
        What is estimated, part by part.
    origin
        Versions that began it.
    finished
        Whether the run came to its end.
    """

    def __init__(self, directory: Path, fingerprint: Mapping[str, str]) -> None:
        """Open the log of a directory, or begin one.

        Parameters
        ----------
        directory
            Made where it is not there.
        fingerprint
            Digest of each part of what is estimated.

        Raises
        ------
        StoreError
            Where another process has it open, the disk refuses, or the log there is
            damaged, of another schema or of other data or options.
        """
        self.directory = directory
        self.fingerprint = dict(fingerprint)
        try:
            directory.mkdir(parents=True, exist_ok=True)
            self._lock = RunLock(directory / LOCK)
        except OSError as error:
            raise StoreError(_cannot_write(directory / LOG, error)) from error
        self._file: int | None = None
        try:
            self._open()
        except BaseException:
            self.close()
            raise

    def _open(self) -> None:
        """Read all frames there are, and stand at the first one."""
        path = self.directory / LOG
        if not path.exists():
            _begin(path, self.fingerprint)
        frames = list(read_frames(path))
        self.origin = _check_head(path, frames[:1], self.fingerprint)
        self._end = frames[-1].stop
        self._frames = [f for f in frames if f.kind in (SUM, LARGE)]
        self.finished = frames[-1].kind == DONE
        self._next = 0
        self._synced = time.monotonic()
        self._file = os.open(path, os.O_RDWR)
        os.ftruncate(self._file, self._end)

    @property
    def recorded(self) -> int:
        """Count the sums that are left to be replayed."""
        return len(self._frames) - self._next

    @property
    def recorded_seconds(self) -> float:
        """Add up what the sums that are left to be replayed took."""
        return sum(frame.seconds for frame in self._frames[self._next :])

    def replay(self, key: str, what: str) -> Replayed | None:
        """Give the next recorded sum, or None where all are replayed.

        Parameters
        ----------
        key
            Digest of the computation that is asked for.
        what
            Its name, for an error's sake.

        Raises
        ------
        StoreError
            Where another computation was recorded in its place.
        """
        if self._next == len(self._frames):
            return None
        frame = self._frames[self._next]
        if frame.key != key:
            raise StoreError(self._other_computation(what))
        self._next += 1
        if frame.kind == LARGE:
            return Replayed(is_there=False)
        assert self._file is not None
        os.lseek(self._file, frame.start, os.SEEK_SET)
        payload = os.read(self._file, frame.stop - frame.start)
        return Replayed(True, _unpack(payload, f"{self._next} in {self._path}"))

    def append(self, key: str, seconds: float, record: Any) -> Any:
        """Write a sum down and give it back as a replay will give it.

        Bits must not depend on whether a sum was computed or replayed; what was written
        has, for one, no memory of how its arrays were laid out.
        """
        sealed = seal(record)
        if len(sealed) > LARGEST_RECORD:
            self._write(pack_frame(LARGE, key, seconds, b""))
            return record
        self._write(pack_frame(SUM, key, seconds, zlib.compress(sealed, 1)))
        return unseal(sealed, f"a sum written to {self._path}")

    def finish(self) -> None:
        """Mark the run as done."""
        if not self.finished:
            self._write(pack_frame(DONE, "", 0.0, b""))
            self.finished = True

    def close(self) -> None:
        """Let go of the file and of the lock; a second time does nothing."""
        if self._file is not None:
            with suppress(OSError):
                os.fsync(self._file)
            os.close(self._file)
            self._file = None
        self._lock.release()

    @property
    def _path(self) -> Path:
        return self.directory / LOG

    def _write(self, frame: bytes) -> None:
        """Write a whole frame at the end, or leave the end where it was."""
        assert self._file is not None
        try:
            os.lseek(self._file, self._end, os.SEEK_SET)
            written = 0
            while written < len(frame):
                written += os.write(self._file, frame[written:])
            if time.monotonic() - self._synced > SYNC_SECONDS:
                os.fsync(self._file)
                self._synced = time.monotonic()
        except BaseException as error:
            with suppress(OSError):
                os.ftruncate(self._file, self._end)
            if isinstance(error, OSError):
                raise StoreError(_cannot_write(self._path, error)) from error
            raise
        self._end += len(frame)

    def _other_computation(self, what: str) -> str:
        """Say that what was recorded is not what is asked for."""
        return (
            f"found: sum {self._next + 1} in {self._path} is of another computation, "
            f"recorded with {self.origin}\n  expected: {what} as computed here, with "
            f"{this_origin()}\n  what to do: go on with the versions and on a machine "
            "like the one that recorded it, or keep what goes before and compute the "
            f"rest anew: {keep_command(self.directory, self._next)}"
        )


def keep_first(directory: Path, count: int) -> None:
    """Cut a log after its first sums, because what follows cannot be used.

    Parameters
    ----------
    directory
        Where the log is.
    count
        How many sums to keep.

    Raises
    ------
    StoreError
        Where not so many are whole.
    """
    path = directory / LOG
    lock = RunLock(directory / LOCK)
    try:
        kept = -1
        for frame in read_frames(path):
            kept += 1
            if kept == count:
                os.truncate(path, frame.stop)
                return
        if kept < 0:
            raise StoreError(damaged_frame(path, 0))
        raise StoreError(
            f"found: {kept} sums in {path}\n  expected: at least {count}, to "
            f"keep so many\n  what to do: {keep_command(directory, kept)}"
        )
    finally:
        lock.release()


def _unpack(payload: bytes, where: str) -> Any:
    """Read a record from the payload of a frame."""
    try:
        return unseal(zlib.decompress(payload), f"sum {where}")
    except zlib.error as error:
        raise StoreError(f"found: sum {where} is damaged ({error})") from error


def _begin(path: Path, fingerprint: Mapping[str, str]) -> None:
    """Begin a log that is there with its head or not at all."""
    head = {
        "schema": SCHEMA,
        "fingerprint": dict(fingerprint),
        "origin": this_origin(),
    }
    partial = path.with_name(f".{path.name}.partial")
    try:
        with partial.open("wb") as file:
            file.write(MAGIC + pack_frame(HEAD, "", 0.0, json.dumps(head).encode()))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise StoreError(_cannot_write(path, error)) from error
    partial.replace(path)


def _check_head(
    path: Path, frames: Sequence[Frame], fingerprint: Mapping[str, str]
) -> str:
    """Refuse a log of another schema, or of something else; say who recorded it."""
    if not frames or frames[0].kind != HEAD:
        raise StoreError(damaged_frame(path, 0))
    frame = frames[0]
    with path.open("rb") as file:
        file.seek(frame.start)
        head = json.loads(file.read(frame.stop - frame.start))
    if head["schema"] != SCHEMA:
        raise StoreError(
            f"found: {path} of schema {head['schema']}, recorded with "
            f"{head['origin']}\n  expected: schema {SCHEMA}, with {this_origin()}\n"
            "  what to do: go on with the version that recorded it, or start anew in "
            "another directory"
        )
    recorded = head["fingerprint"]
    parts = sorted(fingerprint.keys() | recorded.keys())
    others = [name for name in parts if recorded.get(name) != fingerprint.get(name)]
    if others:
        found = ", ".join(f"{name} {recorded.get(name, 'none')}" for name in others)
        wanted = ", ".join(f"{name} {fingerprint.get(name, 'none')}" for name in others)
        raise StoreError(
            f"found: {path} of another estimation ({found})\n  expected: {wanted}\n"
            f"  what to do: bring the same {' and '.join(others)} back, or start anew "
            "in another directory"
        )
    return str(head["origin"])


def this_origin() -> str:
    """Name the versions whose arithmetic a recording holds."""
    import platform
    from importlib import metadata

    names = ("blpdask", "numpy", "scipy", "numba")
    found = []
    for name in names:
        with suppress(metadata.PackageNotFoundError):
            found.append(f"{name} {metadata.version(name)}")
    return ", ".join([*found, platform.machine()])


def _cannot_write(path: Path, error: OSError) -> str:
    """Say that the disk refuses, and that nothing is lost."""
    return (
        f"found: {path} cannot be written: {error.strerror}\n  expected: a disk with "
        "room\n  what to do: make room; all sums before this one are kept, and the "
        "run goes on from there when it is resumed"
    )
