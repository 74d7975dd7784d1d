"""Workers with less memory than a block needs: said within a minute, not never."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

import blpdask
from blpdask.driver.clusters import local_client
from blpdask.driver.dask_engine import DaskEngine
from blpdask.driver.faults import ClusterError, FaultLimits
from tests.chaos import problems

pytestmark = pytest.mark.slow
ONE_EVALUATION = {
    "sigma": problems.START["sigma"],
    "method": "1s",
    "check_optimality": "gradient",
    "optimization": blpdask.Optimization("return"),
    "progress": lambda event: None,
}


@pytest.fixture(scope="module")
def four_blocks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("memory") / "store"
    return Path(problems.build(path, n_markets=40, n_agents=2, blocks=4).path)


def problem(store: Path, n_nodes: int) -> blpdask.Problem:
    """Open a store of ten markets a block, whose nodes workers draw."""
    nodes = blpdask.Integration("monte_carlo", n_nodes, {"seed": 2})
    opened = blpdask.open_store(store)
    return blpdask.Problem(problems.FORMULATIONS, opened, integration=nodes)


def test_a_block_that_is_too_large_for_its_worker(four_blocks):
    large = problem(four_blocks, 1_000_000)
    began = time.monotonic()
    with (
        local_client(2, memory_limit="400MiB") as client,
        pytest.raises(ClusterError) as caught,
    ):
        large.solve(**ONE_EVALUATION, engine=client)
    print(f"{time.monotonic() - began:.1f} s: {caught.value}")
    assert time.monotonic() - began < 60
    message = str(caught.value)
    assert "takes its worker down, 3 times when tried alone" in message
    assert "found: block " in message and "(markets " in message
    assert "give workers more memory, or cut the data into more blocks" in message
    # The same store on workers that have the memory.
    small = problem(four_blocks, 100)
    with local_client(2, memory_limit="2GiB") as client:
        found = small.solve(**ONE_EVALUATION, engine=client)
    calm = small.solve(**ONE_EVALUATION, engine="serial")
    assert problems.bits(found, least=40) == problems.bits(calm, least=40)


def test_a_worker_that_has_hardly_room_for_itself(four_blocks):
    small = problem(four_blocks, 100)
    began = time.monotonic()
    limits = FaultLimits(paused=5.0, no_workers=15.0)
    with (
        pytest.raises(ClusterError) as caught,
        local_client(1, memory_limit="160MiB") as client,
    ):
        small.solve(**ONE_EVALUATION, engine=DaskEngine(client, limits=limits))
    print(f"{time.monotonic() - began:.1f} s: {caught.value}")
    assert "more memory" in str(caught.value)
