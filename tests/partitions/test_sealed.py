"""Sealed records come back as they were, bit for bit, or not at all."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from blpdask.errors import StoreError
from blpdask.model.inversion import InversionMemory
from blpdask.partitions.sealed import digest, read_sealed, seal, unseal, write_sealed


@dataclasses.dataclass(frozen=True)
class Record:
    number: float
    name: str | None
    pair: tuple[Any, ...]
    values: np.ndarray
    inner: Any = None


def record() -> Record:
    wide = np.array([1.0, 1e-19, np.nan], np.longdouble)
    wide[0] += wide[1]
    inner = InversionMemory(None, np.arange(3.0), np.empty((3, 0)), np.empty(0))
    values = np.arange(6.0).reshape(2, 3).T
    return Record(0.1 + 0.2, None, (1, True, "δ", wide), values, inner)


def assert_same(found: Record, expected: Record) -> None:
    assert (found.number, found.name) == (expected.number, expected.name)
    assert found.pair[:3] == expected.pair[:3]
    for a, b in [
        (found.pair[3], expected.pair[3]),
        (found.values, expected.values),
        (found.inner.delta, expected.inner.delta),
        (found.inner.delta_by_theta, expected.inner.delta_by_theta),
    ]:
        assert a.dtype == b.dtype and a.shape == b.shape
        np.testing.assert_array_equal(a, b)


def test_a_record_comes_back_as_it_was(tmp_path):
    assert_same(unseal(seal(record()), "here"), record())
    write_sealed(tmp_path / "one", record())
    assert_same(read_sealed(tmp_path / "one"), record())
    assert [path.name for path in tmp_path.iterdir()] == ["one"]


def test_every_flipped_byte_and_every_cut_is_seen():
    sealed = seal(record())
    for place in range(len(sealed)):
        flipped = bytearray(sealed)
        flipped[place] ^= 4
        with pytest.raises(StoreError, match="here is damaged"):
            unseal(bytes(flipped), "here")
    for length in range(len(sealed)):
        with pytest.raises(StoreError, match="here is damaged"):
            unseal(sealed[:length], "here")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(StoreError, match="it is not there"):
        read_sealed(tmp_path / "none")


def test_only_records_can_be_sealed():
    with pytest.raises(TypeError, match="objects"):
        seal(np.array([object()]))
    with pytest.raises(TypeError, match="function"):
        seal(record)


def test_digests_tell_values_apart_and_nothing_else():
    assert digest(record()) == digest(record())
    changed = dataclasses.replace(record(), number=0.3)
    assert digest(changed) != digest(record())
    assert digest((1, 2)) != digest((12,)) and digest(1) != digest(1.0)
    assert digest(np.zeros(2)) != digest(np.zeros((2, 1)))
    assert digest(digest) == digest(digest) != digest(seal)


def test_padding_of_long_doubles_is_no_part_of_a_digest():
    dirty = np.frombuffer(bytes(range(1, 33)), np.longdouble).copy()
    dirty[:] = [1.5, 2.5]
    dirty += np.longdouble(1) / 3
    clean = np.array([1.5, 2.5], np.longdouble) + np.longdouble(1) / 3
    assert digest(dirty) == digest(clean)
    assert digest(clean) != digest(clean.astype(np.float64).astype(np.longdouble))
