"""Micro moments of a store give the same bits on every engine.

Functions are evaluated where blocks are loaded: in this process, in its threads, on the
workers of a cluster, and again where a worker has died or keeps nothing.
"""

from __future__ import annotations

import os
import signal
import threading
from typing import Any

import numpy as np
import pytest

import blpdask
from blpdask.errors import InputError
from blpdask.partitions.residency import RESIDENT
from blpdask.progress import StepEvent
from tests.api import nevo
from tests.api.test_stored_micro import on_store
from tests.api.test_stored_supply import bits
from tests.driver.clusters import cluster, worker_pids
from tests.references.specifications import needs_nevo_data, solve_here

from .test_micro import moments

pytestmark = needs_nevo_data


def second_choices() -> list[Any]:
    """Ask what buyers would buy instead, by a function that pickles as it is."""
    survey = blpdask.MicroDataset("rivals", 300, "inside * second(inside)")

    def closeness(t: Any, p: Any, a: Any) -> Any:
        sugar = np.r_[0.0, p.sugar[:, 0]]
        near = np.exp(-np.abs(np.subtract.outer(sugar, sugar)) / 10)
        return (1 + a.demographics[:, 0] ** 2)[:, None, None] * near

    part = blpdask.MicroPart("closeness", survey, closeness)
    ratio: Any = (lambda v: v[0], lambda v: [1.0])
    return [blpdask.MicroMoment("closeness", 0.5, part, *ratio)]


def solve(problem: Any, **arguments: Any) -> Any:
    return solve_here(
        problem,
        **{
            "sigma": nevo.SIGMA,
            "pi": nevo.PI,
            "micro_moments": [*moments(), *second_choices()],
            "method": "1s",
            "optimization": ("return",),
            "check_optimality": "gradient",
            **arguments,
        },
    )


@pytest.fixture(scope="module")
def problem(tmp_path_factory: Any) -> Any:
    return on_store(tmp_path_factory.mktemp("stores") / "s", 12, blocks=5)


@pytest.fixture(scope="module")
def serial(problem: Any) -> list[Any]:
    return bits(solve(problem, engine="serial"))


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_threads(problem: Any, serial: list[Any], threads: int) -> None:
    assert bits(solve(problem, threads=threads)) == serial


def test_without_room_functions_are_called_again(
    problem: Any, serial: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RESIDENT, "budget", 0)
    RESIDENT.drop(lambda owner: True)
    assert bits(solve(problem, threads=2)) == serial


@pytest.mark.slow
def test_dask(problem: Any, serial: list[Any]) -> None:
    """On two workers, on one, and while one dies; faults are named as here."""
    with cluster(1) as client:
        assert bits(solve(problem, engine=client)) == serial
    with cluster(2) as client:
        assert bits(solve(problem, engine=client)) == serial
        with pytest.raises(InputError) as caught:
            solve(problem, engine=client, micro_moments=[failing()])
        assert "ValueError in compute_values of the micro part 'p' on 'd'" in str(
            caught.value
        )
        assert any("in compute" in note for note in caught.value.__notes__)
        with pytest.raises(InputError, match="cannot be sent to workers"):
            solve(problem, engine=client, micro_moments=[locked()])
        victims = list(worker_pids(client).values())[:1]

        def kill_one(event: Any) -> None:
            if isinstance(event, StepEvent) and event.step and victims:
                os.kill(victims.pop(), signal.SIGKILL)

        found = solve(problem, engine=client, progress=kill_one)
        assert bits(found) == serial and not victims


def failing() -> Any:
    def compute(t: Any, p: Any, a: Any) -> Any:
        raise ValueError("no such thing")

    survey = blpdask.MicroDataset("d", 10, "1")
    return blpdask.MicroMoment("m", 1, blpdask.MicroPart("p", survey, compute))


def locked() -> Any:
    lock = threading.Lock()

    def compute(t: Any, p: Any, a: Any) -> Any:
        with lock:
            return np.ones((a.size, 1 + p.size))

    survey = blpdask.MicroDataset("d", 10, compute)
    return blpdask.MicroMoment("m", 1, blpdask.MicroPart("p", survey, "inside"))
