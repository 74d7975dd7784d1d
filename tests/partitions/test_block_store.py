"""A store holds what was written, or an error says what is damaged.

Invariants: what is read are the bits that were written; any byte that is flipped, cut
off or missing is an error that names the block and its markets, and no error once the
file is mended; a build that is killed leaves no store and does not stop the next one.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from blpdask.errors import StoreError
from blpdask.partitions.block_store import BlockStore, open_expected
from blpdask.partitions.store_schema import ATTRIBUTE
from tests.problem.stores import build, tables

ROOT = Path(__file__).parents[2]


@pytest.fixture
def store(tmp_path):
    return build(tmp_path / "store", *tables(), n_blocks=4)


def chunk(store: BlockStore, name: str) -> Path:
    return store.path / "blocks/00002" / name / "c/0/0"


def test_what_is_written_is_read(store):
    products, agents = tables()
    order = np.argsort(products["market_ids"].to_numpy(), kind="stable")
    names = ["shares", "x", "firm_ids", "city", "product_ids"]
    parts = [store.read("products", block, names) for block in range(4)]
    for name in names:
        found = np.concatenate([part[name] for part in parts])
        if name == "city":
            found = store.levels("products", "city")[found]
        assert (found == products[name].to_numpy()[order]).all()
    rows = np.concatenate([store.rows(block) for block in range(4)])
    assert (rows == order).all()
    counts = products.groupby("market_ids").size()
    assert store.market_ids().tolist() == counts.index.tolist()
    assert store.market_counts()[0].tolist() == counts.tolist()
    order = np.argsort(agents["market_ids"].to_numpy(), kind="stable")
    found = np.concatenate(
        [store.read("agents", b, ["income"])["income"] for b in range(4)]
    )
    assert found.tobytes() == agents["income"].to_numpy()[order].tobytes()
    np.testing.assert_allclose(store.weight_sums(), 1, rtol=1e-15)


def test_equal_data_have_equal_fingerprints_and_others_have_others(store, tmp_path):
    assert build(tmp_path / "b", *tables(), n_blocks=4).fingerprint == store.fingerprint
    products, agents = tables()
    products.loc[3, "x"] = np.nextafter(products.loc[3, "x"], 9)
    other = build(tmp_path / "c", products, agents, n_blocks=4)
    assert other.fingerprint != store.fingerprint
    message = rf"(?s){other.fingerprint}.*expected.*{store.fingerprint}"
    with pytest.raises(StoreError, match=message):
        open_expected(other.path, store.fingerprint)


@pytest.mark.parametrize("where", [0, 17, -1])
@pytest.mark.parametrize("name", ["product_numbers", "agent_numbers"])
def test_a_flipped_byte_is_an_error_until_it_is_mended(store, name, where):
    path = chunk(store, name)
    table = name.split("_")[0] + "s"
    column = "shares" if table == "products" else "income"
    expected = store.read(table, 2, [column])[column]
    good = path.read_bytes()
    bad = bytearray(good)
    bad[where] ^= 1
    path.write_bytes(bad)
    with pytest.raises(StoreError, match=r"block 2 \(markets m.. to m..\).*damaged"):
        store.read(table, 2, [column])
    with pytest.raises(StoreError, match="restore it from a copy"):
        store.verify()
    # Other blocks are none the worse for it.
    store.read(table, 1, [column])
    path.write_bytes(good)
    assert store.read(table, 2, [column])[column].tobytes() == expected.tobytes()
    store.verify()


def test_truncated_missing_and_foreign_chunks_are_errors(store):
    path = chunk(store, "product_numbers")
    good = path.read_bytes()
    for bad in (good[:-1], good[:8], b""):
        path.write_bytes(bad)
        with pytest.raises(StoreError, match="block 2"):
            store.read("products", 2, ["shares"])
    path.unlink()
    with pytest.raises(StoreError, match=r"block 2 .*the file is missing"):
        store.read("products", 2, ["shares"])
    path.write_bytes(good)
    store.read("products", 2, ["shares"])
    # A chunk that is whole but another block's passes its checksum, not its digest.
    shutil.rmtree(store.path / "blocks/00002")
    shutil.copytree(store.path / "blocks/00001", store.path / "blocks/00002")
    with pytest.raises(StoreError, match="block 2"):
        store.verify()


def test_a_block_without_its_metadata_is_an_error(store):
    metadata = store.path / "blocks/00002/counts/zarr.json"
    good = metadata.read_text()
    metadata.unlink()
    with pytest.raises(StoreError, match="block 2"):
        store.block_counts(2)
    metadata.write_text(good[: len(good) // 2])
    with pytest.raises(StoreError, match="block 2"):
        store.block_counts(2)
    metadata.write_text(good)
    store.block_counts(2)


def test_another_schema_is_an_error_that_names_both(store):
    edit(store, lambda attributes: attributes.update(schema=7))
    with pytest.raises(StoreError, match=r"(?s)of schema 7.*expected: schema 1"):
        BlockStore.open(store.path)


def test_a_description_that_was_changed_is_an_error(store):
    def relabel(attributes):
        attributes["content"]["block_edges"][1] += 1

    edit(store, relabel)
    with pytest.raises(StoreError, match=r"description.*checksum"):
        BlockStore.open(store.path)


def test_what_is_no_store_is_an_error(store, tmp_path):
    for path in (tmp_path / "nothing", tmp_path, store.path / "blocks"):
        with pytest.raises(StoreError, match="no block store"):
            BlockStore.open(path)
    (store.path / "zarr.json").write_text("{")
    with pytest.raises(StoreError, match="damaged"):
        BlockStore.open(store.path)


def test_only_stores_are_replaced_and_only_when_asked(store, tmp_path):
    with pytest.raises(StoreError, match="overwrite=True"):
        build(store.path, *tables())
    again = build(store.path, *tables(seed=1), overwrite=True)
    assert again.fingerprint != store.fingerprint
    assert sorted(path.name for path in tmp_path.iterdir()) == ["store"]
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters/one").write_text("dear")
    with pytest.raises(StoreError, match="no block store"):
        build(tmp_path / "letters", *tables(), overwrite=True)
    assert (tmp_path / "letters/one").read_text() == "dear"


def test_a_killed_build_leaves_no_store_and_the_next_build_cleans_up(tmp_path):
    target = tmp_path / "store"
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.problem.stores", str(target)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout is not None
    while "Writing block 3" not in process.stdout.readline():
        assert process.poll() is None
    # A build that is alive keeps its directory while another one is made.
    (remains,) = tmp_path.glob(".store.*.partial")
    build(target, *tables(), n_blocks=6)
    assert (remains / "store/blocks/00001").exists()
    shutil.rmtree(target)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert not target.exists()
    with pytest.raises(StoreError, match="no block store"):
        BlockStore.open(target)
    store = build(target, *tables(), n_blocks=6)
    store.verify()
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


def test_a_failed_build_leaves_nothing(tmp_path):
    products, agents = tables()
    products.loc[0, "shares"] = -1
    with pytest.raises(ValueError, match="zero or negative"):
        build(tmp_path / "store", products, agents)
    assert list(tmp_path.iterdir()) == []


def test_opening_does_not_depend_on_the_number_of_markets(tmp_path):
    n = 20_000
    products = {
        "market_ids": np.arange(n),
        "shares": np.full(n, 0.3),
        "prices": np.ones(n),
    }
    store = build(tmp_path / "store", products, n_blocks=2)
    began = time.perf_counter()
    for _ in range(10):
        BlockStore.open(store.path)
    assert (store.path / "zarr.json").stat().st_size < 5000
    assert time.perf_counter() - began < 0.5


def edit(store: BlockStore, change) -> None:
    path = store.path / "zarr.json"
    root = json.loads(path.read_text())
    change(root["attributes"][ATTRIBUTE])
    path.write_text(json.dumps(root))
