"""The format of a run's log: frames that are whole, or are known not to be.

    magic (8 bytes) | head | frame | frame | …
    frame = kind | length | seconds | key | CRC32 of payload | CRC32 of these | payload

A frame is written with one call. What a last write left unfinished ends before its
length, or is blank, and is no frame; any other byte that is not what it was is an error
that says which frame it is in, and what stands before it is good.
"""

from __future__ import annotations

import os
import shlex
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import StoreError

MAGIC = b"blpdrun\n"
#: Kinds of frames: the head, a sum, a sum too large to be written, the end of a run.
HEAD, SUM, LARGE, DONE = b"head", b"sum ", b"big ", b"done"

_FRAME = struct.Struct("<4sQd16sI")
_CHECK = struct.Struct("<I")
_OVERHEAD = _FRAME.size + _CHECK.size
_NO_KEY = bytes(16)


@dataclass(frozen=True, slots=True)
class Frame:
    """One entry of a log: what it is, and where its payload lies.

    Attributes
    ----------
    kind
        Head, sum, sum that was too large to be written, or end.
    key
        Digest of the computation, 32 hexadecimal digits.
    seconds
        What it took.
    start, stop
        First byte of the payload, and first byte after it.
    """

    kind: bytes
    key: str
    seconds: float
    start: int
    stop: int


def pack_frame(kind: bytes, key: str, seconds: float, payload: bytes) -> bytes:
    """Write a frame as bytes.

    Parameters
    ----------
    kind
        What it is.
    key
        Digest of the computation, 32 hexadecimal digits or none.
    seconds
        What it took.
    payload
        The rest.
    """
    digest = bytes.fromhex(key) if key else _NO_KEY
    head = _FRAME.pack(kind, len(payload), seconds, digest, zlib.crc32(payload))
    return b"".join([head, _CHECK.pack(zlib.crc32(head)), payload])


def read_frames(path: Path) -> Iterator[Frame]:
    """Read the frames of a log one by one, up to what a last write left unfinished.

    Raises
    ------
    StoreError
        At a frame that is damaged, or where the file is no log.
    """
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if file.read(len(MAGIC)) != MAGIC:
            raise StoreError(
                f"found: {path} is no recording of a run\n  expected: a file that "
                "begins with blpdrun\n  what to do: name another directory"
            )
        number = 0
        while len(head := file.read(_FRAME.size + _CHECK.size)) == _OVERHEAD:
            (check,) = _CHECK.unpack(head[-_CHECK.size :])
            if zlib.crc32(head[: -_CHECK.size]) != check:
                if _is_blank(head, file):
                    return
                raise StoreError(damaged_frame(path, number))
            kind, length, seconds, key, checksum = _FRAME.unpack_from(head)
            start, stop = file.tell(), file.tell() + length
            if stop > size:
                return
            if zlib.crc32(file.read(length)) != checksum:
                if stop == size:
                    return
                raise StoreError(damaged_frame(path, number))
            yield Frame(kind, key.hex(), seconds, start, stop)
            number += 1


def keep_command(directory: Path, count: int) -> str:
    """Write the command that keeps the first sums of a log."""
    return f"blpdask resume {shlex.quote(str(directory))} --keep {count}"


def damaged_frame(path: Path, number: int) -> str:
    """Say which frame is damaged and what is good.

    Parameters
    ----------
    path
        The log.
    number
        Of the frame; zero is the head.
    """
    if number == 0:
        return (
            f"found: the head of {path} is damaged\n  expected: what was written\n"
            "  what to do: restore it from a copy, or start anew in another directory"
        )
    kept = number - 1
    return (
        f"found: sum {number} in {path} is damaged\n  expected: what was written\n"
        f"  what to do: the {kept} before it are good; keep those and compute the rest "
        f"anew: {keep_command(path.parent, kept)}"
    )


def _is_blank(head: bytes, file: Any) -> bool:
    """Whether only zeros follow, as after a power failure before data were written."""
    while head:
        if any(head):
            return False
        head = file.read(2**20)
    return True
