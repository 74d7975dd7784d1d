"""Rows on disk: what was written comes back to the last bit, or not at all.

Invariants: blocks may be of any size beside the chunks; a flipped byte, a missing chunk
or directory is an error that names it; a write that failed leaves nothing behind.
"""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from blpdask.errors import StoreError
from blpdask.partitions.sealed import seal, unseal
from blpdask.results.rows_at_rest import RowsAtRest, write_rows

COLUMNS = {"delta": 1, "slopes": 3, "none": 0}


def blocks_of(sizes, seed=0):
    rng = np.random.default_rng(seed)
    return [
        {name: rng.normal(size=(size, k)) for name, k in COLUMNS.items()}
        for size in sizes
    ]


def write(directory, blocks, chunk_rows):
    n_rows = sum(len(block["delta"]) for block in blocks)
    return write_rows(directory, iter(blocks), COLUMNS, n_rows, chunk_rows)


def chunks_of(directory, name):
    return sorted(p for p in (directory / name / "c").rglob("*") if p.is_file())


@pytest.mark.parametrize("sizes", [[5], [3, 5, 1, 4], [5, 5, 5], [1] * 12])
def test_rows_come_back_bit_by_bit(tmp_path, sizes):
    blocks = blocks_of(sizes)
    blocks[0]["delta"][:] = 0.0
    rows = write(tmp_path / "rows", blocks, 5)
    for name, k in COLUMNS.items():
        expected = np.vstack([block[name] for block in blocks])
        found = rows[name]
        assert found.shape == expected.shape == (len(found), k)
        assert (found.dtype, found.ndim, found.size) == (float, 2, expected.size)
        np.testing.assert_array_equal(np.asarray(found), expected)
        np.testing.assert_array_equal(found.read(slice(2, 4)), expected[2:4])
        assert np.asarray(found, dtype=np.float32).dtype == np.float32
        parts = list(found.parts())
        if k:
            np.testing.assert_array_equal(np.vstack([p for _, p in parts]), expected)
            assert [place.start for place, _ in parts] == list(range(0, len(found), 5))


def test_a_copy_cannot_be_avoided(tmp_path):
    rows = write(tmp_path / "rows", blocks_of([3]), 3)
    with pytest.raises(ValueError, match="new array"):
        np.asarray(rows["delta"], copy=False)


def test_a_reader_travels(tmp_path):
    rows = write(tmp_path / "rows", blocks_of([3, 4]), 4)["slopes"]
    for other in (pickle.loads(pickle.dumps(rows)), unseal(seal(rows), "rows")):
        np.testing.assert_array_equal(np.asarray(other), np.asarray(rows))


def test_a_flipped_byte_is_an_error_until_it_is_mended(tmp_path):
    rows = write(tmp_path / "rows", blocks_of([4, 4]), 4)
    chunk = chunks_of(tmp_path / "rows", "slopes")[1]
    whole = chunk.read_bytes()
    chunk.write_bytes(whole[:17] + bytes([whole[17] ^ 1]) + whole[18:])
    with pytest.raises(StoreError, match=r"slopes in .* is damaged"):
        np.asarray(rows["slopes"])
    np.asarray(rows["delta"])
    chunk.write_bytes(whole[:-3])
    with pytest.raises(StoreError, match=r"slopes in .* is damaged"):
        np.asarray(rows["slopes"])
    chunk.write_bytes(whole)
    assert np.isfinite(np.asarray(rows["slopes"])).all()


def test_a_missing_chunk_is_an_error(tmp_path):
    rows = write(tmp_path / "rows", blocks_of([4, 4]), 4)
    chunks_of(tmp_path / "rows", "delta")[0].unlink()
    with pytest.raises(StoreError, match="a chunk is missing"):
        rows["delta"].read(slice(5, 6))


def test_a_missing_directory_is_an_error(tmp_path):
    rows = RowsAtRest(str(tmp_path / "gone"), "xi", (3, 1), 3)
    with pytest.raises(StoreError, match="no directory"):
        np.asarray(rows)
    (tmp_path / "gone").mkdir()
    with pytest.raises(StoreError, match=r"xi in .* is damaged"):
        np.asarray(rows)


def test_a_failed_write_leaves_nothing(tmp_path):
    def failing():
        yield blocks_of([4])[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_rows(tmp_path / "at" / "rows", failing(), COLUMNS, 8, 4)
    assert list((tmp_path / "at").iterdir()) == []


def test_a_place_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match="cannot be written"):
        write(tmp_path / "file" / "rows", blocks_of([4]), 4)
