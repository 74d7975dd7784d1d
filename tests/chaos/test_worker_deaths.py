"""Whole estimations while workers die or freeze: the bits of the calm serial run.

Invariants: whichever phase a worker is killed in, all arrays of the results are those
of a run that nobody disturbed, and no call of the engine takes longer than half a
minute; a frozen worker costs less than a minute.
"""

from __future__ import annotations

import os
import signal
import time
from itertools import pairwise

import pytest

from blpdask.progress import EvaluationEvent
from tests.chaos import problems
from tests.chaos.blows import (
    PHASES,
    Ambush,
    Slowness,
    bundles_that_strike,
    lying_in_wait,
    workers_with,
)
from tests.driver.clusters import Killer, has_ended

pytestmark = pytest.mark.slow
#: Seconds that a death may cost.
STALL = 30.0


@pytest.mark.parametrize("phase", PHASES)
def test_a_worker_killed_in_the_middle_of_a_phase(client, store, calm, tmp_path, phase):
    ambush = Ambush(PHASES[phase], tmp_path / "struck")
    with lying_in_wait(ambush):
        found = problems.solve(store, engine=client)
    assert ambush.struck is not None
    assert has_ended(ambush.struck)
    assert problems.bits(found) == calm
    print(f"{phase}: longest call {max(ambush.seconds):.1f} s")
    assert max(ambush.seconds) < STALL


def test_a_worker_killed_while_bundles_are_opened(client, store, calm, tmp_path):
    mark = tmp_path / "struck"
    ambush = Ambush(None, mark)
    with lying_in_wait(ambush), bundles_that_strike(mark):
        found = problems.solve(store, engine=client)
    assert ambush.struck is not None
    assert problems.bits(found) == calm
    assert max(ambush.seconds) < STALL


def test_a_worker_killed_where_memories_lie_in_files(client, store, calm, tmp_path):
    ambush = Ambush(PHASES["Hessian"], tmp_path / "struck")
    with workers_with(client, "CARRIED_BYTES", 0), lying_in_wait(ambush):
        found = problems.solve(store, engine=client)
    assert ambush.struck is not None
    assert problems.bits(found) == calm
    assert max(ambush.seconds) < STALL


def test_a_frozen_worker_is_given_up(client, store, calm, tmp_path):
    ambush = Ambush(PHASES["evaluation"], tmp_path / "struck", how=signal.SIGSTOP)
    try:
        with lying_in_wait(ambush):
            found = problems.solve(store, engine=client)
    finally:
        if ambush.struck is not None:
            os.kill(ambush.struck, signal.SIGKILL)
    assert ambush.struck is not None
    assert problems.bits(found) == calm
    print(f"a frozen worker: longest call {max(ambush.seconds):.1f} s")
    assert 10 < max(ambush.seconds) < 60


def test_a_worker_killed_every_three_seconds(client, tmp_path):
    store = problems.build(tmp_path / "store", n_markets=2000, n_agents=200).path
    slowly = {"delta_behavior": "logit"}
    calm = problems.bits(problems.solve(store, engine="serial", **slowly))
    began = time.monotonic()
    times: list[float] = []

    def listen(event: object) -> None:
        if isinstance(event, EvaluationEvent):
            times.append(time.monotonic())

    slowness = Slowness(None, tmp_path / "struck")
    with lying_in_wait(slowness), Killer(client, every=3.0) as killer:
        found = problems.solve(store, engine=client, progress=listen, **slowly)
    assert problems.bits(found) == calm
    longest = max(later - earlier for earlier, later in pairwise(times))
    call, seconds = max(slowness.seconds), time.monotonic() - began
    print(f"{seconds:.1f} s, {killer.deaths} deaths; longest call {call:.1f} s")
    print(f"longest time between two evaluations {longest:.1f} s")
    assert killer.deaths >= 8
    assert call < STALL
    assert longest < STALL
