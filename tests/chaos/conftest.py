"""One store, one calm estimate and one cluster for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from blpdask import options
from tests.chaos import problems
from tests.driver.clusters import cluster


@pytest.fixture(scope="session", autouse=True)
def quiet() -> Iterator[None]:
    before, options.verbose = options.verbose, False
    yield
    options.verbose = before


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = problems.build(tmp_path_factory.mktemp("chaos") / "store").path
    return path


@pytest.fixture(scope="session")
def calm(store: Path) -> dict[str, str]:
    """Estimate serially, with nobody in the way."""
    return problems.bits(problems.solve(store, engine="serial"))


@pytest.fixture(scope="module")
def three_workers() -> Iterator[Any]:
    with cluster(3) as client:
        yield client


@pytest.fixture
def client(three_workers: Any) -> Any:
    """Give a cluster with all of its workers there."""
    three_workers.wait_for_workers(3, timeout=60)
    return three_workers
