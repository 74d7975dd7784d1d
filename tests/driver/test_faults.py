"""The fault policy is pure: events in, instructions out, no cluster anywhere.

Invariants: what is lost is submitted again, and never twice at the same time; a block
that kills is found by halving and named; nothing is tried without end; an exception of
a pass is not tried again, unless it is the operating system's.
"""

from __future__ import annotations

import dataclasses

import pytest

from blpdask.driver.faults import (
    ClusterError,
    Evict,
    Failed,
    FaultLimits,
    FaultPolicy,
    GiveUp,
    Lost,
    Missing,
    NoWorkers,
    OutOfMemory,
    Paused,
    Restart,
    SchedulerLost,
    Silent,
    Submit,
)
from blpdask.errors import StoreError


def policy(**limits):
    return FaultPolicy(FaultLimits(**limits), "block {} (markets a to b)".format)


def find_killer(n_blocks: int, killer: int, event=Lost) -> tuple[list, BaseException]:
    """Let every task that holds a killer die; return the tasks run and the end."""
    found, tasks = policy(), [tuple(range(n_blocks))]
    run = []
    while tasks:
        blocks = tasks.pop(0)
        run.append(blocks)
        if killer not in blocks:
            continue
        if event is Lost:
            told = Lost(blocks, "killed", alone=len(run) > 1)
        else:
            told = OutOfMemory(blocks, "killed")
        for instruction in found.handle(told):
            if isinstance(instruction, GiveUp):
                return run, instruction.error
            tasks.append(instruction.blocks)
    raise AssertionError("not found")


@pytest.mark.parametrize("event", [Lost, OutOfMemory])
@pytest.mark.parametrize("n_blocks", [1, 2, 7, 128])
def test_a_block_that_kills_is_found_by_halving_and_named(n_blocks, event):
    for killer in {0, n_blocks // 2, n_blocks - 1}:
        run, error = find_killer(n_blocks, killer, event)
        assert isinstance(error, ClusterError)
        assert f"block {killer} (markets a to b)" in str(error)
        assert len([blocks for blocks in run if killer in blocks]) <= 7 + 3
        assert run.count((killer,)) in {3, 4}


def test_halves_are_whole_and_disjoint():
    first, second = policy().handle(Lost(tuple(range(9)), "killed"))
    assert first.blocks + second.blocks == tuple(range(9))


def test_a_lost_block_that_recovers_is_not_given_up():
    found = policy(deaths=3)
    for block in (4, 5, 4):
        again = found.handle(Lost((block,), "killed", alone=True))
        assert again == [Submit((block,), alone=True)]


def test_only_a_death_alone_counts():
    found = policy(deaths=1)
    for _ in range(5):
        again = found.handle(Lost((4,), "killed"))
        assert again == [Submit((4,), alone=True)]
    (end,) = found.handle(Lost((4,), "killed", alone=True))
    assert isinstance(end, GiveUp)


def test_a_bystander_is_submitted_whole_however_often():
    found = policy(deaths=1)
    for blocks in [(1, 2, 3), (7,), (7,), (7,)]:
        lost = Lost(blocks, "all workers died", suspect=False)
        assert found.handle(lost) == [Submit(blocks)]


def test_missing_memories_are_sent():
    assert policy().handle(Missing((1, 3))) == [Submit((1, 3), with_memory=True)]


def test_an_exception_of_a_pass_is_reported_at_once_with_its_block():
    error = StoreError("found: a flipped byte")
    (instruction,) = policy().handle(Failed(2, (3, 4), error, "tcp://here"))
    assert isinstance(instruction, GiveUp) and instruction.error is error
    assert error.__notes__ == ["in block 2 (markets a to b), on worker tcp://here"]


def test_what_the_system_refuses_is_tried_again_a_few_times():
    found = policy(retries=2)
    event = Failed(2, (3, 4), OSError("stale file handle"), "tcp://here")
    assert found.handle(event) == [Submit((2, 3, 4))]
    assert found.handle(event) == [Submit((2, 3, 4))]
    (instruction,) = found.handle(event)
    assert isinstance(instruction, GiveUp)
    assert instruction.error.__cause__ is event.error
    assert str(instruction.error).startswith(
        "found: block 2 (markets a to b) cannot be worked on, on worker tcp://here: "
        "stale file handle\n"
    )


def test_a_silent_worker_is_evicted_once():
    found = policy(silence=20)
    assert found.handle(Silent("tcp://frozen", 19.0)) == []
    assert found.handle(Silent("tcp://frozen", 20.5)) == [Evict("tcp://frozen")]
    assert found.handle(Silent("tcp://frozen", 21.5)) == []


def test_workers_are_waited_for_but_not_for_ever():
    found = policy(no_workers=60)
    assert found.handle(NoWorkers(59)) == []
    (instruction,) = found.handle(NoWorkers(61))
    assert "no worker for 61 s" in str(instruction.error)


def test_workers_that_are_full_and_idle_are_started_again():
    found = policy(paused=10)
    assert found.handle(Paused({"tcp://full": 9.0}, others=1)) == []
    instructions = found.handle(Paused({"tcp://full": 11.0, "tcp://new": 2.0}, 1))
    assert instructions == [Restart(("tcp://full",))]


def test_restarts_that_lead_nowhere_come_to_an_end():
    found = policy(paused=10, restarts=2)
    full = Paused({"tcp://full": 11.0, "tcp://too": 12.0}, others=0, done=5)
    again = [Restart(("tcp://full", "tcp://too"))]
    assert [found.handle(full) for _ in range(2)] == [again] * 2
    # A task gets done, or somebody works: they go on.
    assert found.handle(dataclasses.replace(full, done=6)) == again
    assert found.handle(dataclasses.replace(full, others=1)) == again
    (instruction,) = found.handle(full)
    assert "again after 2 restarts" in str(instruction.error)
    assert "tcp://full" in str(instruction.error)


def test_a_lost_scheduler_ends_the_run_with_advice():
    (instruction,) = policy().handle(SchedulerLost("scheduler-connection-lost"))
    assert isinstance(instruction.error, ClusterError)
    assert "resumes where it was" in str(instruction.error)
