"""The Dask engine with word counts: order, anchors, deaths, and no traces left behind.

Invariants: the same bits as the serial engine for any number of workers and bundles; a
worker that is killed or frozen changes nothing but time; a block that kills its workers
is found and named; what a pass raises reaches the caller with its block.
"""

from __future__ import annotations

import dataclasses
import gc
import os
import signal
import time
import weakref
from typing import Any, ClassVar

import numpy as np
import pytest
from distributed import WorkerPlugin

from blpdask.driver.bundles import Bundles
from blpdask.driver.clusters import local_client
from blpdask.driver.dask_engine import DaskEngine
from blpdask.driver.dask_worker import CARRIED_BYTES, FILE_BYTES, UNWANTED
from blpdask.driver.faults import ClusterError, FaultLimits
from blpdask.driver.serial import SerialEngine
from blpdask.errors import StoreError
from blpdask.partitions.source import HeldBlocks
from blpdask.progress import BlocksEvent

from .clusters import Killer, cluster, has_ended, worker_pids


@dataclasses.dataclass(frozen=True)
class Sum:
    total: float
    parts: np.ndarray = dataclasses.field(metadata={"combine": "join"})


@dataclasses.dataclass(frozen=True)
class Whole:
    order_free: ClassVar[bool] = True
    total: int


def blocks(n: int = 37) -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    return [rng.normal(size=200) * 10.0**k for k in rng.integers(-8, 8, n)]


def sum_pass(block: Any, state: Any, anchor: Any) -> tuple[Sum, Any]:
    before = np.zeros(3) if anchor is None else anchor
    memory = np.array([block[0], block.sum(), state]) + before / 3
    return Sum(float(block.sum() * state + memory.sum()), block[:1]), memory


def slow_pass(block: Any, state: Any, anchor: Any) -> tuple[Sum, Any]:
    time.sleep(0.02)
    return sum_pass(block, state, anchor)


def whole_pass(block: Any, state: Any, anchor: Any) -> tuple[Whole, None]:
    return Whole(int(abs(block[0]) * 1e6)), None


def recall_pass(block: Any, state: Any, anchor: Any) -> tuple[Any, None]:
    return anchor, None


def broken_pass(block: Any, state: Any, anchor: Any) -> tuple[Sum, None]:
    if block is not None and block[0] == state:
        raise StoreError("found: a flipped byte")
    return Sum(0.0, block[:1]), None


def deadly_pass(block: Any, state: Any, anchor: Any) -> tuple[Sum, None]:
    if block[0] == state:
        os.kill(os.getpid(), signal.SIGKILL)
    return Sum(0.0, block[:1]), None


def hungry_pass(block: Any, state: Any, anchor: Any) -> tuple[Sum, None]:
    if block[0] == state:
        raise MemoryError("cannot allocate 9 TiB")
    return Sum(0.0, block[:1]), None


def square(source: Any, state: Any, item: int) -> float:
    return float(sum(source.load(k).sum() for k in range(len(source))) * item + state)


def chain(placement: Any, pass_: Any = sum_pass, n: int = 6) -> list[Any]:
    """Run passes, each anchored at the one before; give all that came of them."""
    found: list[Any] = []
    for k in range(n):
        anchor = f"no. {k - 1}" if k else None
        record = placement.reduce(pass_, k + 0.5, anchor=anchor, keep=f"no. {k}")
        found += [record.total, *record.parts]
        if k > 1:
            placement.forget(f"no. {k - 2}")
    found += [
        m for rows in placement.collect(recall_pass, 0, anchor=anchor) for m in rows
    ]
    return found


@pytest.fixture(scope="module")
def expected() -> list[Any]:
    return chain(SerialEngine().place(blocks()))


@pytest.fixture(scope="module")
def client() -> Any:
    with cluster(2) as client:
        yield client


@pytest.mark.parametrize("n_bundles", [None, 1, 3, 16, 100])
def test_the_same_bits_for_any_number_of_bundles(client, expected, n_bundles):
    placement = DaskEngine(client, n_bundles=n_bundles).place(blocks())
    assert chain(placement) == expected
    placement.close()


@pytest.mark.parametrize("n_workers", [1, 3])
def test_the_same_bits_for_any_number_of_workers(expected, n_workers):
    with cluster(n_workers) as client:
        placement = DaskEngine(client).place(blocks())
        assert chain(placement) == expected
        placement.close()


def test_large_memories_lie_in_the_directory(client, expected, tmp_path, monkeypatch):
    source = HeldBlocks(blocks())
    source.scratch = tmp_path
    client.run(_set_bytes, "CARRIED_BYTES", 0)
    try:
        placement = DaskEngine(client).place(source)
        assert chain(placement, n=5)[:-1] != []
        files = list(tmp_path.rglob("0000*"))
        # Those of two evaluations, one a bundle, and some to be written over.
        unwanted = [file for file in files if UNWANTED in file.parts]
        assert len(files) - len(unwanted) == 2 * 2
        assert len(unwanted) == 2
        (pid, *_) = worker_pids(client).values()
        os.kill(pid, signal.SIGKILL)
        serial = SerialEngine().place(blocks())
        chain(serial, n=5)
        again = placement.reduce(sum_pass, 9.0, anchor="no. 4").total
        assert again == serial.reduce(sum_pass, 9.0, anchor="no. 4").total
        placement.close()
        assert list(tmp_path.iterdir()) == []
    finally:
        client.wait_for_workers(2)
        client.run(_set_bytes, "CARRIED_BYTES", CARRIED_BYTES)


def test_files_that_cannot_be_written_are_reported_with_their_block(client, tmp_path):
    source = HeldBlocks(blocks(5))
    source.scratch = tmp_path
    for name in ("CARRIED_BYTES", "FILE_BYTES"):
        client.run(_set_bytes, name, 0)
    try:
        placement = DaskEngine(client, n_bundles=1).place(source)
        # A file is where the directory should be.
        placement._directory.write_text("")
        with pytest.raises(ClusterError, match="block 0 cannot be worked on"):
            placement.reduce(sum_pass, 1.0, keep="a")
        placement._directory.unlink()
        serial = SerialEngine().place(blocks(5))
        assert placement.reduce(sum_pass, 1.0, keep="a").total == (
            serial.reduce(sum_pass, 1.0).total
        )
        placement.close()
    finally:
        client.run(_set_bytes, "CARRIED_BYTES", CARRIED_BYTES)
        client.run(_set_bytes, "FILE_BYTES", FILE_BYTES)


def _set_bytes(name: str, value: int) -> None:
    from blpdask.driver import dask_worker

    setattr(dask_worker, name, value)


def test_records_that_may_be_added_in_any_order_are_added_on_workers(client):
    placement = DaskEngine(client).place(blocks())
    serial = SerialEngine().place(blocks())
    found = placement.reduce(whole_pass, None)
    assert found == serial.reduce(whole_pass, None)
    placement.close()


def test_what_was_handed_out_is_an_anchor(client):
    placement = DaskEngine(client).place(blocks(5))
    placement.remember("given", [np.full(3, 3.0 * k) for k in range(5)])
    serial = SerialEngine().place(blocks(5))
    serial.remember("given", [np.full(3, 3.0 * k) for k in range(5)])
    found = placement.reduce(sum_pass, 1.0, anchor="given").total
    assert found == serial.reduce(sum_pass, 1.0, anchor="given").total
    with pytest.raises(KeyError):
        placement.reduce(sum_pass, 1.0, anchor="never")
    placement.close()


def test_a_name_that_is_used_again_means_what_it_was_given_last(client):
    parts = blocks(6)
    totals = []
    for engine in (SerialEngine(), DaskEngine(client)):
        placement = engine.place(parts)
        placement.reduce(sum_pass, 1.0, keep="a")
        placement.forget("a")
        placement.remember("a", [np.full(3, 300.0)] * 6)
        found = [placement.reduce(sum_pass, 1.0, anchor="a").total]
        placement.reduce(sum_pass, 7.0, anchor="a", keep="a")
        found.append(placement.reduce(sum_pass, 1.0, anchor="a").total)
        totals.append(found)
        placement.close()
    assert totals[0] == totals[1]


def test_a_placement_that_is_closed_can_be_collected(client):
    placement = DaskEngine(client).place(blocks(4))
    placement.reduce(sum_pass, 1.0)
    placement.close()
    there = weakref.ref(placement)
    del placement
    gc.collect()
    assert there() is None


def test_a_bundle_that_takes_long_to_arrive_is_not_sent_again(client, monkeypatch):
    sent = []
    submit = Bundles._submit

    def slowly(self, *given):
        sent.append(given)
        return submit(self, *given)

    monkeypatch.setattr(Bundles, "_submit", slowly)
    placement = DaskEngine(client).place([np.full(2**22, 1.0 * k) for k in range(12)])
    placement.reduce(sum_pass, 1.0)
    placement.reduce(sum_pass, 2.0)
    assert len(sent) == 2
    placement.close()


def test_an_exception_reaches_the_caller_with_its_block(client):
    parts = blocks(9)
    source = HeldBlocks(parts, labels=[f"markets {k}A to {k}Z" for k in range(9)])
    placement = DaskEngine(client).place(source)
    with pytest.raises(StoreError, match="flipped byte") as caught:
        placement.reduce(broken_pass, parts[6][0])
    (note,) = caught.value.__notes__
    assert note.startswith("in block 6 (markets 6A to 6Z), on worker tcp://127.0.0.1:")
    assert placement.reduce(broken_pass, None).total == 0.0
    placement.close()


def test_a_block_without_enough_memory_is_found_and_named(client):
    parts = blocks(9)
    placement = DaskEngine(client).place(parts)
    with pytest.raises(ClusterError, match=r"block 4 needs more memory .* 3 times"):
        placement.reduce(hungry_pass, parts[4][0])
    placement.close()


def greedy_pass(block: Any, state: Any, anchor: Any) -> tuple[Sum, None]:
    KEPT.append(np.ones(state // 8))
    return Sum(float(block[0]), block[:1]), None


KEPT: list[np.ndarray] = []


def _fill_memory(wanted: int) -> None:
    import psutil

    while (room := wanted - psutil.Process().memory_info().rss) > 2**20:
        KEPT.append(np.ones(int(room) // 16))


@pytest.mark.parametrize("mebibytes", [20, 24])
def test_a_worker_whose_memory_fills_up_is_split_over_its_successors(mebibytes):
    """Whether it goes over its limit, or pauses below it when its task is done."""
    serial = SerialEngine().place(blocks(40))
    with local_client(1, memory_limit="400MiB") as client:
        (first,) = worker_pids(client).values()
        engine = DaskEngine(client, limits=FaultLimits(paused=2.0))
        placement = engine.place(blocks(40))
        found = placement.reduce(greedy_pass, mebibytes * 2**20)
        assert found.total == serial.reduce(greedy_pass, 8).total
        assert has_ended(first)
        placement.close()


def test_workers_that_are_full_and_idle_are_started_again():
    with local_client(1, memory_limit="1GiB") as client:
        (first,) = worker_pids(client).values()
        engine = DaskEngine(client, limits=FaultLimits(paused=2.0))
        placement = engine.place(blocks(3))
        client.run(_fill_memory, int(0.87 * 2**30))
        time.sleep(1.0)
        serial = SerialEngine().place(blocks(3))
        assert placement.reduce(sum_pass, 1.0).total == serial.reduce(sum_pass, 1).total
        assert has_ended(first)
        placement.close()


class Full(WorkerPlugin):
    """Fills the memory of workers as soon as they start."""

    def setup(self, worker: Any) -> None:
        del worker
        _fill_memory(int(0.87 * 2**30))


def test_workers_that_are_always_full_are_reported():
    with local_client(1, memory_limit="1GiB") as client:
        engine = DaskEngine(client, limits=FaultLimits(paused=1.0, restarts=2))
        placement = engine.place(blocks(3))
        client.register_plugin(Full())
        time.sleep(1.0)
        with pytest.raises(ClusterError, match=r"being full .* after 2 restarts"):
            placement.reduce(sum_pass, 1.0)
        placement.close()


def test_a_block_that_kills_its_workers_is_found_and_named():
    parts = blocks(9)
    with cluster(2) as client:
        placement = DaskEngine(client, limits=FaultLimits(deaths=1)).place(parts)
        with pytest.raises(ClusterError, match="block 4 takes its worker down"):
            placement.reduce(deadly_pass, parts[4][0])
        placement.close()


def test_a_killed_worker_changes_nothing(expected):
    with cluster(3) as client:
        placement = DaskEngine(client).place(blocks())
        with Killer(client, every=1.0) as killer:
            for _ in range(4):
                assert chain(placement, slow_pass) == expected
        assert killer.deaths >= 2
        placement.close()


def test_a_frozen_worker_is_given_up(expected):
    with cluster(2) as client:
        placement = DaskEngine(client, limits=FaultLimits(silence=4.0)).place(blocks())
        placement.reduce(sum_pass, 1.0)
        (pid, *_) = worker_pids(client).values()
        os.kill(pid, signal.SIGSTOP)
        began = time.monotonic()
        assert chain(placement) == expected
        assert time.monotonic() - began < 30
        os.kill(pid, signal.SIGCONT)
        placement.close()


def test_a_lost_scheduler_ends_with_advice():
    with cluster(1) as client:
        placement = DaskEngine(client).place(blocks())
        client.close()
        with pytest.raises(ClusterError, match="resumes where it was"):
            placement.reduce(sum_pass, 1.0)


def test_long_passes_say_how_far_they_are(client):
    placement = DaskEngine(client).place(blocks(200))
    events: list[BlocksEvent] = []
    placement.listen(events.append)
    placement.reduce(slow_pass, 1.0)
    assert events and {event.total for event in events} == {200}
    assert all(0 <= event.done <= 200 for event in events)
    assert events[-1].done > 0
    placement.close()


def test_replicates_run_whole(client):
    placement = DaskEngine(client).place(blocks(4))
    found = dict(placement.replicate(square, 1.0, range(20)))
    source = HeldBlocks(blocks(4))
    assert found == {item: square(source, 1.0, item) for item in range(20)}
    placement.close()


def test_many_passes_leave_no_traces(client):
    placement = DaskEngine(client).place(blocks(8))
    placement.reduce(sum_pass, 1.0, keep="last")
    before = client.run_on_scheduler(_count_prefixes)
    for _ in range(50):
        placement.reduce(sum_pass, 1.0, anchor="last", keep="last")
    tasks = client.run_on_scheduler(_count_tasks)
    assert client.run_on_scheduler(_count_prefixes) == before
    assert tasks <= 10
    placement.close()


def _count_prefixes(dask_scheduler: Any) -> int:
    return len(dask_scheduler.task_prefixes)


def _count_tasks(dask_scheduler: Any) -> int:
    return len(dask_scheduler.tasks)
