"""What the preparation of a problem on a store found is kept whole, or made again.

Invariants: a problem whose sums were read gives the bits of one that summed, without
reading a block; what is damaged, or of another problem, is refused; large groups and
levels travel as a file that a process reads once, and make the same blocks.
"""

from __future__ import annotations

import dataclasses
import gc
import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from blpdask.driver.dask_engine import DaskEngine
from blpdask.driver.serial import SerialEngine
from blpdask.errors import DataWarning, StoreError
from blpdask.partitions.block_store import BlockStore
from blpdask.partitions.residency import RESIDENT
from blpdask.problem import stored_blocks
from blpdask.problem.absorption_options import AbsorptionControls
from blpdask.problem.kept_sums import PREPARATION
from tests.driver.clusters import cluster
from tests.problem.stores import build, tables
from tests.problem.test_stored_problem import compare_blocks, formulas, stored

ROOT = Path(__file__).parents[2]
EFFECTS = "city + C(firm_ids)"


class Untouched:
    """An engine that must not be used."""

    name = "untouched"

    def place(self, blocks):
        raise AssertionError("blocks were placed")


@pytest.fixture
def store(tmp_path):
    return build(tmp_path / "s", *tables(30), n_blocks=4)


def problem(store, absorb=EFFECTS, **options):
    return stored(store, formulas(absorb=absorb), **options)


def same_bits(one, other):
    for name in ("ZtX", "ZtZ"):
        first, second = getattr(one, name), getattr(other, name)
        np.testing.assert_array_equal(first, second, strict=True)
        assert first.flags.c_contiguous and second.flags.c_contiguous
    assert one.source.name == other.source.name
    assert one.level_counts == other.level_counts
    assert one.n_clusters == other.n_clusters
    for index in range(len(one.source)):
        first, second = (p.source._make(index) for p in (one, other))
        assert first.ZD.tobytes() == second.ZD.tobytes()
        compare_blocks(first, second)


@pytest.mark.parametrize("absorb", [None, EFFECTS])
def test_a_problem_that_was_prepared_is_not_summed_again(store, tmp_path, absorb):
    calm = problem(store, absorb).prepare(SerialEngine())
    kept = problem(store, absorb)
    first = kept.prepare(SerialEngine(), directory=tmp_path / "run")
    assert not (tmp_path / "run").exists()
    kept.keep(tmp_path / "run")
    same_bits(first, calm)
    told = []
    again = problem(store, absorb).prepare(Untouched(), told.append, tmp_path / "run")
    same_bits(again, calm)
    assert [event.message for event in told] == [
        "Sums of the whole data are read, as prepared"
    ]
    assert [path.name for path in (tmp_path / "run").iterdir()] == [PREPARATION]
    # What is known already is written down too.
    kept.prepare(Untouched(), directory=tmp_path / "other")
    kept.keep(tmp_path / "other")
    written = [(tmp_path / d / PREPARATION).read_bytes() for d in ("run", "other")]
    assert written[0] == written[1]


def test_another_problem_and_damage_are_refused(store, tmp_path):
    known = problem(store)
    known.prepare(SerialEngine(), directory=tmp_path)
    known.keep(tmp_path)
    others = [
        problem(store, "city"),
        problem(build(tmp_path / "t", *tables(30, seed=1), n_blocks=4)),
        stored(store, formulas("1 + prices", EFFECTS)),
        problem(store, add_exogenous=False),
    ]
    controls = problem(store)
    controls._absorption = AbsorptionControls(tolerance=1e-9)
    for other in [*others, controls]:
        with pytest.raises(StoreError, match="bring the same data and formulas back"):
            other.prepare(SerialEngine(), directory=tmp_path)
    path = tmp_path / PREPARATION
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 8
    path.write_bytes(content)
    with pytest.raises(StoreError, match=f"{PREPARATION} is damaged"):
        problem(store).prepare(SerialEngine(), directory=tmp_path)


def test_a_warning_is_given_again(tmp_path):
    products, agents = tables(30)
    products["again"] = 2 * products["x"] + 1
    store = build(tmp_path / "s", products, agents, n_blocks=3)
    for engine in (SerialEngine(), Untouched()):
        found = stored(
            store, formulas("1 + prices + x + again"), collinear=(1e-10, 1e-10)
        )
        with pytest.warns(DataWarning) as caught:
            found.prepare(engine, directory=tmp_path / "run")
        found.keep(tmp_path / "run")
        texts = [str(warning.message) for warning in caught]
        assert "collinear columns of X1: [again]" in texts[0]
        assert "collinear columns of ZD: [again]" in texts[1]


def absorb_slowly(path: str, directory: str) -> None:
    """Prepare a problem, and stop for a while in the middle of absorbing effects."""

    def tell(event):
        print(event.message, flush=True)
        if event.message.startswith("absorbing"):
            time.sleep(60)

    found = problem(BlockStore.open(path))
    found.prepare(SerialEngine(), tell, Path(directory))
    found.keep(Path(directory))


def test_a_kill_while_absorbing_starts_it_again(store, tmp_path):
    run = tmp_path / "run"
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.problem.test_kept_sums", store.path, run],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    for line in process.stdout:
        if line.startswith("absorbing"):
            break
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=30)
    assert not (run / PREPARATION).exists()
    again = problem(store)
    found = again.prepare(SerialEngine(), directory=run)
    same_bits(found, problem(store).prepare(SerialEngine()))
    again.keep(run)
    assert (run / PREPARATION).is_file()


def test_large_lookups_travel_as_a_file(store, monkeypatch):
    whole = problem(store).prepare(SerialEngine())
    assert whole.source.only([1]) is whole.source  # they are small
    monkeypatch.setattr(stored_blocks, "CARRIED_BYTES", 100)
    large = problem(store).prepare(SerialEngine())
    light = pickle.loads(pickle.dumps(large.source.only([1])))
    assert light.name == large.source.name == whole.source.name
    assert len(light) == 4 and light.describe(2) == whole.source.describe(2)
    assert [light.size(b) for b in range(4)] == [whole.source.size(b) for b in range(4)]
    assert not light._recipe.levels
    (path,) = large.source.scratch.glob("lookups-*")
    reads = []
    read = stored_blocks.read_sealed
    monkeypatch.setattr(
        stored_blocks, "read_sealed", lambda p: reads.append(p) or read(p)
    )
    RESIDENT.drop(lambda owner: owner == light.name)
    for index in range(4):
        again = pickle.loads(pickle.dumps(large.source.only([index])))
        compare_blocks(again.load(index), whole.source._make(index))
        assert again.load(index).ZD.tobytes() == whole.source._make(index).ZD.tobytes()
    assert reads == [path]
    RESIDENT.drop(lambda owner: owner == light.name)
    content = bytearray(path.read_bytes())
    content[-9] ^= 1
    path.write_bytes(content)
    with pytest.raises(StoreError, match=r"lookups-\w+ is damaged"):
        light.load(0)
    del large
    gc.collect()
    assert not path.exists()
    with pytest.raises(StoreError, match="it is not there"):
        light.load(0)


def test_a_million_levels_weigh_nothing_in_a_message(store):
    source = problem(store).prepare(SerialEngine()).source
    levels = tuple(np.zeros((10**6, 2)) for _ in source.recipe.effects)
    recipe = dataclasses.replace(source.recipe, levels=levels)
    heavy = stored_blocks.StoredBlocks(store, recipe, source._scratch)
    assert len(pickle.dumps(heavy)) > 16e6
    assert len(pickle.dumps(heavy.only([0]))) < 20_000


@pytest.mark.slow
def test_workers_read_lookups_and_give_the_same_bits(store, monkeypatch):
    calm = problem(store).prepare(SerialEngine())
    monkeypatch.setattr(stored_blocks, "CARRIED_BYTES", 100)
    with cluster(2) as client:
        engine = DaskEngine(client)
        found = problem(store).prepare(engine)
        same_bits(found, calm)
        placement = engine.place(found.source)
        for index, block in enumerate(placement.collect(columns_pass, None)):
            assert block.ZD.tobytes() == calm.source._make(index).ZD.tobytes()
        placement.close()
        assert list(found.source.scratch.glob("lookups-*"))


@dataclasses.dataclass(frozen=True)
class Instruments:
    """A block's instruments."""

    ZD: np.ndarray


def columns_pass(block, state, memory):
    return Instruments(block.ZD), None


if __name__ == "__main__":
    absorb_slowly(*sys.argv[1:])
