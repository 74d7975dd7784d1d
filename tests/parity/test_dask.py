"""A whole estimation on a Dask cluster gives the bits that serial gives.

For any number of workers and bundles, and whatever happens to workers in between.
"""

from __future__ import annotations

from typing import Any

import pytest

from blpdask.driver.dask_engine import DaskEngine
from tests.driver.clusters import Killer, cluster
from tests.references.specifications import NEVO_START, needs_nevo_data, solve_here

from .test_engines import (
    TWO_STEPS,
    assert_same_bits,
    nevo_problem,
    serial_nevo,
    simulated,
)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=[1, 2, 3], ids="{} workers".format)
def client(request: Any) -> Any:
    with cluster(request.param) as client:
        yield client


@needs_nevo_data
@pytest.mark.parametrize("n_bundles", [None, 1, 2, 5, 16])
def test_nevo_in_two_steps(client, n_bundles):
    engine = DaskEngine(client, n_bundles=n_bundles)
    found = solve_here(nevo_problem(), **NEVO_START, **TWO_STEPS, engine=engine)
    assert_same_bits(found, serial_nevo())


def test_simulated_markets_in_two_steps(client):
    problem, arguments, expected = simulated()
    found = solve_here(problem, **arguments, engine=client)
    assert_same_bits(found, expected)


def test_the_active_client_is_the_default_engine(client):
    problem, arguments, expected = simulated()
    found = solve_here(problem, **arguments)
    assert_same_bits(found, expected)


@needs_nevo_data
def test_nevo_while_workers_die():
    with cluster(3) as client, Killer(client, every=1.5) as killer:
        while killer.deaths < 3:
            found = solve_here(nevo_problem(), **NEVO_START, **TWO_STEPS, engine=client)
            assert_same_bits(found, serial_nevo())
