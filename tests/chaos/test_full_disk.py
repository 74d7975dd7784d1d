"""Disks that fill up under an estimation: said, and gone on from when there is room.

The recording and its replicates lie on one small disk, the store with the rows of
results and what blocks remember on another. Invariants: wherever a disk runs full, the
error names the file and says what to do; with more room, the same call ends with the
bits of the calm run.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import blpdask
from blpdask.errors import BlpdaskError
from tests.chaos import problems
from tests.chaos.blows import workers_with
from tests.partitions.test_run_log import small_disk

pytestmark = pytest.mark.slow
NODES = blpdask.Integration("monte_carlo", 30, {"seed": 2})


@pytest.fixture(scope="module")
def small_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("room") / "store"
    return Path(problems.build(path, n_markets=120).path)


def solve(store: Path, **arguments: Any) -> blpdask.ProblemResults:
    """Estimate with replicates."""
    problem = blpdask.Problem(
        problems.FORMULATIONS,
        blpdask.open_store(store),
        problems.DEMOGRAPHICS,
        integration=NODES,
    )
    # Not clustered by whole markets, which hold simulation error already.
    return problem.solve(
        **{**problems.TWO_STEPS, "W_type": "robust", "se_type": "robust"},
        progress=lambda event: None,
        resample_agent_data=blpdask.Resamples(12, seed=1),
        **arguments,
    )


def fill(disk: Path, room: int) -> None:
    """Leave so many bytes on a disk, in whole pages."""
    filler = disk / "filler"
    filler.unlink(missing_ok=True)
    state = os.statvfs(disk)
    filler.write_bytes(bytes(max(0, state.f_bavail * state.f_frsize - room)))


def with_more_and_more_room(
    disk: Path, step: int, run: Callable[[], blpdask.ProblemResults]
) -> tuple[blpdask.ProblemResults, list[str]]:
    """Try again with more room each time; give results and what was said before."""
    said: list[str] = []
    for number in range(60):
        fill(disk, number * step)
        try:
            return run(), said
        except BlpdaskError as error:
            said.append(str(error))
            assert "No space left on device" in said[-1]
            assert f"{disk}/" in said[-1]
            assert "make room" in said[-1]
    raise AssertionError(said)


def kinds(said: list[str]) -> list[str]:
    """Say which files did not fit, in the order in which they first did not."""
    known = ("preparation", "reductions.log", "replicates", "rows/step", "rows/scratch")
    found = [next((k for k in known if k in text), text) for text in said]
    return list(dict.fromkeys(found))


def test_the_disk_of_a_recording_is_full(small_store, tmp_path):
    calm = problems.bits(solve(small_store, engine="serial"))
    disk = tmp_path / "disk"
    with small_disk(disk, "4m"):
        found, said = with_more_and_more_room(
            disk,
            12_288,
            lambda: solve(small_store, resume=disk / "run", engine="threads"),
        )
        assert problems.bits(found) == calm
    assert {"preparation", "reductions.log", "replicates"} <= set(kinds(said))


def test_the_disk_of_a_store_is_full(small_store, tmp_path):
    disk = tmp_path / "disk"
    with small_disk(disk, "8m"):
        store = shutil.copytree(small_store, disk / "store")
        calm = problems.bits(solve(store, engine="serial"))
        found, said = with_more_and_more_room(
            disk,
            65_536,
            lambda: solve(store, resume=tmp_path / "run", engine="threads"),
        )
        assert problems.bits(found) == calm
    assert kinds(said) == ["rows/step"]


def test_the_disk_of_memories_is_full(client, small_store, tmp_path):
    disk = tmp_path / "disk"
    with small_disk(disk, "8m"), workers_with(client, "CARRIED_BYTES", 0):
        store = shutil.copytree(small_store, disk / "store")
        calm = problems.bits(solve(store, engine="serial"))
        found, said = with_more_and_more_room(
            disk,
            131_072,
            lambda: solve(store, resume=tmp_path / "run", engine=client),
        )
        assert problems.bits(found) == calm
    assert {"rows/scratch", "rows/step"} == set(kinds(said))
