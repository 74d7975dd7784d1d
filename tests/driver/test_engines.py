"""Engines know no economics, so word counts test them.

Invariants: every engine adds records in block order and gives the same bits; a pass is
handed the memory of the anchor that was named and nothing else; a failure in a pass
reaches the caller.
"""

from __future__ import annotations

import dataclasses
import threading

import numpy as np
import pytest

from blpdask.driver.choose import choose_engine
from blpdask.driver.ordered_sum import ordered_sum
from blpdask.driver.serial import SerialEngine
from blpdask.driver.threads import ThreadsEngine
from blpdask.errors import InputError
from blpdask.records import JOINED

ENGINES = [
    pytest.param(SerialEngine(), id="serial"),
    pytest.param(ThreadsEngine(1), id="threads-1"),
    pytest.param(ThreadsEngine(3), id="threads-3"),
]


@dataclasses.dataclass(frozen=True)
class Count:
    total: float
    words: np.ndarray = dataclasses.field(metadata=JOINED)


def count_pass(block, state, anchor):
    before = 0.0 if anchor is None else anchor
    return Count(state * len(block) + before, np.array([len(block)])), float(len(block))


def recall_pass(block, state, anchor):
    del block, state
    return anchor, None


@pytest.mark.parametrize("engine", ENGINES)
def test_reduce_adds_records_in_block_order(engine):
    placement = engine.place(["a" * n for n in range(40)])
    found = placement.reduce(count_pass, 2.0)
    assert found.total == 2.0 * sum(range(40))
    assert found.words.tolist() == list(range(40))
    placement.close()


@pytest.mark.parametrize("engine", ENGINES)
def test_a_pass_is_handed_the_named_anchor_only(engine):
    placement = engine.place(["to", "be", "or"])
    placement.reduce(count_pass, 1.0, keep="first")
    placement.reduce(count_pass, 5.0, keep="second")
    assert placement.reduce(count_pass, 1.0, anchor="first").total == 12.0
    recalled = placement.collect(recall_pass, None, anchor="first")
    assert list(recalled) == [2.0, 2.0, 2.0]
    placement.remember("given", [1.0, 2.0, 3.0])
    assert placement.reduce(count_pass, 0.0, anchor="given").total == 6.0
    placement.forget("first", "never kept")
    with pytest.raises(KeyError):
        list(placement.collect(recall_pass, None, anchor="first"))
    placement.close()


def test_every_engine_gives_the_same_bits():
    blocks = [np.random.default_rng(n).normal(size=50) for n in range(64)]

    def pass_(block, state, anchor):
        del state, anchor
        return Count(float(block.sum()), np.array([block[0]])), None

    totals = set()
    for parameter in ENGINES:
        placement = parameter.values[0].place(blocks)
        totals.add(placement.reduce(pass_, None).total)
        placement.close()
    assert len(totals) == 1


def test_threads_share_the_blocks():
    meeting = threading.Barrier(2, timeout=20)

    def pass_(block, state, anchor):
        del block, state, anchor
        meeting.wait()
        return Count(1.0, np.array([threading.get_ident()])), None

    placement = ThreadsEngine(2).place(["left", "right"])
    assert np.unique(placement.reduce(pass_, None).words).size == 2
    placement.close()


@pytest.mark.parametrize("engine", ENGINES)
def test_a_failure_in_a_pass_reaches_the_caller(engine):
    def pass_(block, state, anchor):
        del state, anchor
        raise ArithmeticError(block)

    placement = engine.place(["broken"] * 3)
    with pytest.raises(ArithmeticError, match="broken"):
        placement.reduce(pass_, None)
    placement.close()


def test_ordered_sum_is_first_to_last():
    values = [1e16, 1.0, -1e16]
    records = [Count(value, np.array([value])) for value in values]
    assert ordered_sum(records).total == (1e16 + 1.0) - 1e16
    assert ordered_sum(records[::-1]).total == (-1e16 + 1.0) + 1e16


def test_choose_engine_knows_names_and_objects():
    assert choose_engine().name == "threads"
    assert choose_engine("serial").name == "serial"
    assert choose_engine(None, 3).n_threads == 3
    engine = SerialEngine()
    assert choose_engine(engine) is engine
    with pytest.raises(InputError, match="'clutser'"):
        choose_engine("clutser")
