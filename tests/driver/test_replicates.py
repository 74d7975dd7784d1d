"""Replicates are functions of their numbers, however they come to be computed.

Invariants: every engine, every order of completion, with or without a store, killed or
not: the same bits, every replicate once, none that is done computed again.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from blpdask.driver.engine import LocalPlacement
from blpdask.driver.replicates import fields_like, run_replicates, stack
from blpdask.driver.serial import SerialEngine, map_serially
from blpdask.driver.threads import ThreadsEngine
from blpdask.partitions.replicate_store import ReplicateStore
from tests.driver.replicate_run import BLOCKS, Drawn, N, draw, run

ENGINES = [SerialEngine(), ThreadsEngine(1), ThreadsEngine(3)]
ROOT = Path(__file__).parents[2]


class Backwards(LocalPlacement):
    """A placement whose replicates are ready in the wrong order."""

    def replicate(self, task, state, items):
        yield from reversed(list(super().replicate(task, state, items)))


@pytest.mark.parametrize("engine", ENGINES, ids=lambda e: e.name)
def test_a_placement_runs_every_item_once(engine):
    placement = engine.place(BLOCKS)
    found = dict(placement.replicate(draw, ("", 7), range(3, 20)))
    assert sorted(found) == list(range(3, 20))
    assert found[4].total == len("".join(BLOCKS)) + 4
    placement.close()


def test_engines_orders_and_stores_give_the_same_bits(tmp_path):
    placements = [engine.place(BLOCKS) for engine in ENGINES]
    placements.append(Backwards(BLOCKS, map_serially))
    expected = stack([draw(BLOCKS_SOURCE, ("", 7), r) for r in range(12)])
    for number, placement in enumerate(placements):
        held = run_replicates(placement, draw, ("", 7), 12)
        fields = fields_like(Drawn(np.zeros((4, 3)), 0.0))
        with ReplicateStore(
            tmp_path / str(number), 12, fields, fingerprint="a"
        ) as store:
            stored = run_replicates(placement, draw, ("", 7), 12, store)
        for name, values in expected.items():
            assert held[name].tobytes() == values.tobytes()
            assert stored[name].tobytes() == values.tobytes()
        placement.close()


def test_the_listener_counts(tmp_path):
    told = []
    placement = SerialEngine().place(BLOCKS)
    fields = fields_like(Drawn(np.zeros((4, 3)), 0.0))
    with ReplicateStore(tmp_path / "r", 5, fields, fingerprint="a") as store:
        store.write(3, vars(draw(BLOCKS_SOURCE, ("", 7), 3)))
        run_replicates(
            placement, draw, ("", 7), 5, store, lambda *now: told.append(now)
        )
    assert told == [(2, 5), (3, 5), (4, 5), (5, 5)]


def test_a_failing_task_reaches_the_caller_and_keeps_what_is_done(tmp_path):
    def fail(source, state, replicate):
        if replicate == 2:
            raise ArithmeticError("replicate 2")
        return draw(source, state, replicate)

    placement = SerialEngine().place(BLOCKS)
    fields = fields_like(Drawn(np.zeros((4, 3)), 0.0))
    with ReplicateStore(tmp_path / "r", 5, fields, fingerprint="a") as store:
        with pytest.raises(ArithmeticError, match="replicate 2"):
            run_replicates(placement, fail, ("", 7), 5, store)
        assert store.missing() == [2, 3, 4]


@pytest.mark.parametrize("engine", ["serial", "threads"])
def test_killed_three_times_every_replicate_is_there_once(tmp_path, engine):
    calm = run(tmp_path / "calm", "", "serial")
    directory, log = tmp_path / "killed", tmp_path / "log"
    moments = random.Random(20 + len(engine))
    for kill in range(3):
        done_before = _done(directory)
        seen = _lines(log)
        process = _start(directory, log, engine)
        until = len(seen) + moments.randint(40, 120)
        deadline = time.monotonic() + 60
        while len(_lines(log)) < until and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.001)
        time.sleep(moments.random() * 0.01)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL, kill
        assert done_before.isdisjoint(_lines(log)[len(seen) :])
    done_before, seen = _done(directory), _lines(log)
    assert 100 < len(done_before) < N
    process = _start(directory, log, engine)
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    assert out.strip() == calm
    computed = _lines(log)[len(seen) :]
    assert sorted(computed) == sorted(set(range(N)) - done_before)
    assert _done(directory) == set(range(N))


def _start(directory: Path, log: Path, engine: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.driver.replicate_run"]
    return subprocess.Popen(
        [*command, str(directory), str(log), engine],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )


def _done(directory: Path) -> set[int]:
    marks = directory / "done"
    names = [path.name for path in marks.iterdir()] if marks.exists() else []
    return {int(name) for name in names if name.isdigit()}


def _lines(log: Path) -> list[int]:
    return [int(line) for line in log.read_text().split()] if log.exists() else []


class _Source:
    """Blocks in memory, as a task sees them."""

    def __len__(self) -> int:
        return len(BLOCKS)

    def load(self, index: int) -> str:
        return BLOCKS[index]


BLOCKS_SOURCE = _Source()
