"""Records as bytes that cannot be mistaken: what they are, their arrays, a checksum.

    magic (8 bytes) | length of header (8) | header (JSON) | arrays | CRC32 (4)

A record is a dataclass of this package whose fields are arrays, numbers, texts, None,
or tuples, lists, dictionaries and further dataclasses of these. No code is stored and
none is run when a record is read: its class is looked up by name and must be a
dataclass.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import json
import os
import struct
import uuid
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ..errors import StoreError
from .behaviour import is_named, parts_of

_MAGIC = b"blpdask1"
_HEAD = struct.Struct("<8sQ")
_TAIL = struct.Struct("<I")
#: Kinds of values that present themselves alike in every process.
_PLAIN = (
    *(type(None), bool, int, float, complex, str, bytes),
    *(np.generic, type(Ellipsis), type(NotImplemented)),
)


def seal(record: Any) -> bytes:
    """Write a record as bytes.

    Raises
    ------
    TypeError
        Where a field is of a kind that records do not have.
    """
    return b"".join(_pieces(record))


def _pieces(record: Any) -> Iterator[bytes | memoryview]:
    """Give the bytes of a record piece by piece, arrays as they lie in memory."""
    arrays: list[np.ndarray[Any, Any]] = []
    plain = _flatten(record, arrays)
    shapes = [[array.dtype.str, array.shape] for array in arrays]
    header = json.dumps({"record": plain, "arrays": shapes}).encode()
    pieces: list[bytes | memoryview] = [_HEAD.pack(_MAGIC, len(header)), header]
    pieces += [_as_bytes(array) for array in arrays]
    checksum = 0
    for piece in pieces:
        checksum = zlib.crc32(piece, checksum)
        yield piece
    yield _TAIL.pack(checksum)


def _as_bytes(array: np.ndarray[Any, Any]) -> memoryview:
    """Look at an array's entries, in row order, as bytes."""
    flat = np.ascontiguousarray(array).reshape(-1)
    return flat.view(np.uint8).data


def unseal(sealed: bytes, where: str) -> Any:
    """Read a record from its bytes.

    Parameters
    ----------
    sealed
        What :func:`seal` gave.
    where
        What the bytes are, for an error's sake.

    Raises
    ------
    StoreError
        Where a byte is not what it was, or bytes are missing.
    """
    if len(sealed) < _HEAD.size + _TAIL.size:
        raise _damaged(where, f"it ends after {len(sealed)} bytes")
    (expected,) = _TAIL.unpack(sealed[-_TAIL.size :])
    if zlib.crc32(memoryview(sealed)[: -_TAIL.size]) != expected:
        raise _damaged(where, "its checksum is wrong")
    magic, length = _HEAD.unpack_from(sealed)
    if magic != _MAGIC:
        raise StoreError(
            f"found: {where} of another format ({magic!r})\n  expected: {_MAGIC!r}\n"
            "  what to do: read it with the version of blpdask that wrote it"
        )
    start = _HEAD.size + length
    header = json.loads(sealed[_HEAD.size : start])
    arrays = []
    for dtype, shape in header["arrays"]:
        count = int(np.prod(shape))
        flat = np.frombuffer(sealed, np.dtype(dtype), count, start)
        arrays.append(flat.reshape(shape).copy())
        start += flat.nbytes
    return _unflatten(header["record"], arrays)


def write_sealed(
    path: Path, record: Any, *, durable: bool = True, old: Path | None = None
) -> None:
    """Write a record to a file that is whole or not there.

    Parameters
    ----------
    path
        The file.
    record
        The record.
    durable
        Whether the file must outlive the machine, not only the process.
    old
        A file that nobody wants any more, if it is there, to be written over: pages
        that the system has already cost a fifth of new ones.
    """
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}.partial")
    try:
        with _open_over(old, partial) as file:
            for piece in _pieces(record):
                file.write(piece)
            file.truncate()
            if durable:
                file.flush()
                os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def _open_over(old: Path | None, partial: Path) -> BinaryIO:
    """Open a file to write, an old one under a new name where there is one."""
    if old is not None:
        with suppress(FileNotFoundError):
            old.rename(partial)
            return partial.open("r+b")
    return partial.open("wb")


def read_sealed(path: Path) -> Any:
    """Read a record from a file.

    Raises
    ------
    StoreError
        Where it is not there or damaged.
    """
    try:
        return unseal(path.read_bytes(), str(path))
    except FileNotFoundError:
        raise _damaged(str(path), "it is not there") from None


def digest(value: Any) -> str:
    """Name a value by its contents, the same in every process.

    Functions and objects are named by what they do (:mod:`.behaviour`), records without
    the fields marked :data:`blpdask.records.APART`.

    Examples
    --------
    >>> digest({"a": 1.0}) == digest({"a": 1.0}), digest("a") == digest("b")
    (True, False)
    """
    return _digest(value, {})


#: Functions and objects that were met on the way, each with its number.
_Met = dict[int, tuple[int, Any]]


def _digest(value: Any, met: _Met) -> str:
    hasher = hashlib.sha256()
    _feed(hasher, value, met)
    return hasher.hexdigest()[:32]


def _feed(hasher: Any, value: Any, met: _Met) -> None:
    """Add a value with its type to a hash."""
    if isinstance(value, np.ndarray):
        _feed_array(hasher, value, met)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        hasher.update(f"d{_class_name(type(value))}".encode())
        if not is_named(type(value)):
            _feed(hasher, type(value), met)
        for field in dataclasses.fields(value):
            if field.metadata.get("digest") != "apart":
                hasher.update(field.name.encode())
                _feed(hasher, getattr(value, field.name), met)
    elif isinstance(value, dict):
        hasher.update(f"m{len(value)}".encode())
        for key in value:
            _feed(hasher, key, met)
            _feed(hasher, value[key], met)
    elif isinstance(value, tuple | list):
        hasher.update(f"t{len(value)}".encode())
        for entry in value:
            _feed(hasher, entry, met)
    elif isinstance(value, set | frozenset):
        entries = sorted(_digest(entry, dict(met)) for entry in value)
        hasher.update(f"s{entries};".encode())
    elif isinstance(value, _PLAIN):
        hasher.update(f"p{type(value).__name__}{value!r};".encode())
    elif id(value) in met:
        # A function may call itself, or hold what holds it.
        hasher.update(f"r{met[id(value)][0]};".encode())
    else:
        # Held until the end, so that its identity is not given to another.
        met[id(value)] = len(met), value
        _feed(hasher, parts_of(value), met)


def _feed_array(hasher: Any, array: np.ndarray[Any, Any], met: _Met) -> None:
    """Add an array's type, shape and entries to a hash."""
    hasher.update(f"a{array.dtype.str}{array.shape}".encode())
    if array.dtype.hasobject:
        _feed(hasher, array.tolist(), met)
        return
    for part in _without_padding(array):
        hasher.update(np.ascontiguousarray(part).tobytes())


def _without_padding(
    array: np.ndarray[Any, Any],
) -> tuple[np.ndarray[Any, Any], ...]:
    """Split long doubles, which have padding of any content, into pairs of doubles."""
    if array.dtype != np.dtype(np.longdouble) or array.dtype == np.float64:
        return (array,)
    high = array.astype(np.float64)
    return high, (array - high).astype(np.float64)


def _flatten(value: Any, arrays: list[np.ndarray[Any, Any]]) -> Any:
    """Turn a value into JSON, its arrays into places in a list."""
    if isinstance(value, np.generic):
        plain = value.item()
        value = np.asarray(value) if isinstance(plain, np.generic) else plain
    if isinstance(value, np.ndarray):
        if value.dtype.hasobject:
            raise TypeError("arrays of objects cannot be sealed")
        arrays.append(value)
        return {"array": len(arrays) - 1}
    if value is None or isinstance(value, bool | int | float | str):
        return {"value": value}
    if isinstance(value, tuple):
        return {"tuple": [_flatten(entry, arrays) for entry in value]}
    if isinstance(value, list):
        return {"list": [_flatten(entry, arrays) for entry in value]}
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {"dict": {key: _flatten(value[key], arrays) for key in value}}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {
            field.name: _flatten(getattr(value, field.name), arrays)
            for field in dataclasses.fields(value)
        }
        return {"class": _class_name(type(value)), "fields": fields}
    raise TypeError(f"a value of type {type(value).__name__} cannot be sealed")


def _unflatten(plain: dict[str, Any], arrays: list[np.ndarray[Any, Any]]) -> Any:
    """Undo :func:`_flatten`."""
    if "array" in plain:
        return arrays[plain["array"]]
    if "value" in plain:
        return plain["value"]
    if "tuple" in plain:
        return tuple(_unflatten(entry, arrays) for entry in plain["tuple"])
    if "list" in plain:
        return [_unflatten(entry, arrays) for entry in plain["list"]]
    if "dict" in plain:
        return {key: _unflatten(e, arrays) for key, e in plain["dict"].items()}
    fields = {name: _unflatten(e, arrays) for name, e in plain["fields"].items()}
    return _find_class(plain["class"])(**fields)


def _class_name(cls: type) -> str:
    return f"{cls.__module__}:{cls.__qualname__}"


def _find_class(name: str) -> Any:
    """Look a dataclass up by its name."""
    module, _, qualname = name.partition(":")
    found: Any = importlib.import_module(module)
    for part in qualname.split("."):
        found = getattr(found, part)
    if not dataclasses.is_dataclass(found):
        raise StoreError(
            f"found: a record of {name}\n  expected: a dataclass\n  what to do: this "
            "was not written by blpdask; do not use it"
        )
    return found


def _damaged(where: str, detail: str) -> StoreError:
    return StoreError(
        f"found: {where} is damaged ({detail})\n  expected: what was written\n  what "
        "to do: restore it from a copy, or remove it and compute again"
    )
