"""Replicates at rest are those that were written, or an error says which are not."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from blpdask.errors import StoreError
from blpdask.partitions import replicate_store
from blpdask.partitions.replicate_store import Field, ReplicateStore

FIELDS = {"values": Field((2, 3), "<f8"), "count": Field((), "<i8")}


def replicate(index):
    return {"values": np.full((2, 3), index / 7), "count": np.int64(index)}


def opened(directory, n=4, fields=None, fingerprint="this"):
    return ReplicateStore(directory, n, fields or FIELDS, fingerprint=fingerprint)


@pytest.fixture
def full(tmp_path):
    with opened(tmp_path / "r") as store:
        for index in (2, 0, 3, 1):
            store.write(index, replicate(index))
    return tmp_path / "r"


def test_what_is_written_is_read(full):
    with opened(full) as store:
        found = store.read()
        assert store.missing() == []
    expected = np.arange(4)[:, None, None] / 7 * np.ones((4, 2, 3))
    assert found["values"].tobytes() == expected.tobytes()
    assert found["count"].tolist() == [0, 1, 2, 3]


def test_replicates_of_fill_values_are_there(tmp_path):
    zeros = {"values": np.zeros((2, 3)), "count": np.int64(0)}
    nothing = {"values": np.full((2, 3), np.nan), "count": np.int64(0)}
    with opened(tmp_path / "r", n=2) as store:
        store.write(0, zeros)
        store.write(1, nothing)
    assert (tmp_path / "r/arrays/values/c/0/0/0").exists()
    with opened(tmp_path / "r", n=2) as store:
        assert np.isnan(store.read()["values"][1]).all()
        (tmp_path / "r/arrays/values/c/1/0/0").unlink()
        with pytest.raises(StoreError, match="replicate 1"):
            store.read()


def test_a_chunk_without_a_mark_does_not_count(full):
    (full / "done" / "1").unlink()
    with opened(full) as store:
        assert store.missing() == [1]
        with pytest.raises(StoreError, match=r"without 1 of 4 replicates, first 1"):
            store.read()
        store.write(1, replicate(1))
        assert store.missing() == []


@pytest.mark.parametrize("place", [0, 20, -1])
def test_a_flipped_byte_names_the_replicate_and_is_mended(full, place):
    path = full / "arrays/values/c/2/0/0"
    good = path.read_bytes()
    bad = bytearray(good)
    bad[place] ^= 1
    path.write_bytes(bytes(bad))
    with opened(full) as store:
        with pytest.raises(StoreError, match=r"replicate 2.*\n.*\n.*remove .*done/2"):
            store.read()
        path.write_bytes(good)
        assert store.read()["count"].tolist() == [0, 1, 2, 3]
        path.write_bytes(good[:-9])
        with pytest.raises(StoreError, match="replicate 2"):
            store.read()
        (full / "done" / "2").unlink()
        assert store.missing() == [2]


def test_chunks_that_changed_places_and_bad_marks_are_damage(full):
    one, two = (full / f"arrays/values/c/{index}/0/0" for index in (1, 2))
    first, second = one.read_bytes(), two.read_bytes()
    one.write_bytes(second)
    two.write_bytes(first)
    with opened(full) as store, pytest.raises(StoreError, match="replicate 1"):
        store.read()
    one.write_bytes(first)
    two.write_bytes(second)
    (full / "done" / "3").write_text("0" * 8)
    with opened(full) as store, pytest.raises(StoreError, match="replicate 3"):
        store.read()


def test_other_replicates_are_refused_by_name(full, monkeypatch):
    with pytest.raises(StoreError, match=r"fingerprint 'this'(.|\n)*'that'"):
        opened(full, fingerprint="that")
    with pytest.raises(StoreError, match=r"replicates 4(.|\n)*replicates 5"):
        opened(full, n=5)
    with pytest.raises(StoreError, match="fields"):
        opened(full, fields={"values": Field((2, 2), "<f8")})
    monkeypatch.setattr(replicate_store, "SCHEMA", 9)
    with pytest.raises(StoreError, match=r"schema 1(.|\n)*schema 9"):
        opened(full)
    monkeypatch.undo()
    with opened(full) as store:
        assert store.missing() == []


def test_a_directory_of_something_else_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(StoreError, match="no replicates in"):
        opened(tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_records_of_another_form_are_refused(tmp_path):
    with opened(tmp_path / "r") as store:
        for bad in (
            {"values": np.zeros((2, 3))},
            {"values": np.zeros((2, 3), np.float32), "count": np.int64(0)},
            {"values": np.zeros((3, 2)), "count": np.int64(0)},
        ):
            with pytest.raises(ValueError, match="replicate 0"):
                store.write(0, bad)
        with pytest.raises(ValueError, match="replicate 4"):
            store.write(4, replicate(4))
        assert store.missing() == [0, 1, 2, 3]


def test_one_process_writes_at_a_time(full):
    code = (
        "import sys; from tests.partitions.test_replicate_store import *\n"
        "from pathlib import Path\n"
        "try: opened(Path(sys.argv[1]))\n"
        "except StoreError as error: print(error)"
    )
    command = [sys.executable, "-c", code, str(full)]
    with opened(full):
        said = subprocess.check_output(command, text=True)
        assert str(os.getpid()) in said and "what to do" in said
    assert subprocess.check_output(command, text=True) == ""


def test_the_digest_is_of_the_contents(full, tmp_path):
    with opened(tmp_path / "other") as store:
        for index in range(4):
            store.write(index, replicate(index))
        one = store.digest()
        store.write(1, replicate(2) | {"count": np.int64(1)})
        assert store.digest() != one
    with opened(full) as store:
        assert store.digest() == one
