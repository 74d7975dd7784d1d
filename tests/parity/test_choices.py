"""Choices of people give the same bits on every engine, from memory and from a store.

Draws are made where blocks are loaded: their bits may not depend on who loads a block,
nor on which others that one loads. Blocks are cut by the data alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import blpdask
from blpdask.driver.dask_engine import DaskEngine
from blpdask.driver.serial import SerialEngine
from blpdask.driver.threads import ThreadsEngine
from tests.driver.clusters import cluster

#: What differs from run to run.
TIMES = {"seconds"}
WAYS = ("memory", "store")
#: Rules whose draws are keyed, counted and streamed.
RULES = ("sobol", "halton", "mlhs")


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blpdask.options, "verbose", False)


def shop(n_people: int = 250, seed: int = 5) -> pd.DataFrame:
    """Simulate people who choose among 3 or 4, six times."""
    rng = np.random.default_rng(seed)
    beta = np.array([-1.0, 0.8]) + rng.normal(size=(n_people, 2)) * [0.5, 0.9]
    X = rng.normal(size=(n_people, 6, 4, 2))
    there = np.ones(X.shape[:3], bool)
    there[:, ::2, 3] = False
    utilities = np.einsum("itjk,ik->itj", X, beta) + rng.gumbel(size=X.shape[:3])
    best = np.where(there, utilities, -np.inf).argmax(axis=2)
    i, t, j = np.nonzero(there)
    return pd.DataFrame(
        {
            "person_ids": i,
            "situation_ids": t,
            "alternative_ids": j,
            "chosen": best[i, t] == j,
            "prices": X[i, t, j, 0],
            "quality": X[i, t, j, 1],
            "weights": 1.0 + i % 2,
        }
    )


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Give the same choices in memory and in a store of nine blocks."""
    frame = shop()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blpdask.options, "verbose", False)
        path: Path = tmp_path_factory.mktemp("choices") / "store"
        store = blpdask.build_choice_store(path, frame, blocks=9)
    return {"memory": frame, "store": store}


def estimate(
    data: Any, engine: Any, rule: str = "sobol", size: int = 1024, start: Any = None
) -> Any:
    problem = blpdask.ChoiceProblem(
        blpdask.Formulation("0 + prices + quality"),
        data,
        random={"prices": "normal", "quality": "triangular"},
        integration=blpdask.Integration(rule, size, {"seed": 1}),
        correlated=True,
    )
    assert len(problem.source) > 2
    return problem.solve(start, engine=engine)


def differing(found: Any, expected: Any) -> list[str]:
    """Name what is not the same, to the last bit; errors are of the covariances."""
    names = {field.name for field in fields(expected.estimates)} - TIMES
    return [
        name
        for name in sorted(names | {"standard_errors"})
        if not np.array_equal(getattr(found, name, 0), getattr(expected, name, 0))
    ]


@pytest.fixture(scope="module")
def serial(data: dict[str, Any]) -> dict[str, Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blpdask.options, "verbose", False)
        return {way: estimate(data[way], SerialEngine()) for way in WAYS}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_threads(
    way: str, threads: int, data: dict[str, Any], serial: dict[str, Any]
) -> None:
    assert serial[way].converged
    found = estimate(data[way], ThreadsEngine(threads))
    assert differing(found, serial[way]) == []


@pytest.mark.parametrize("rule", RULES[1:])
def test_draws_of_a_stream_that_runs_on(rule: str, data: dict[str, Any]) -> None:
    found = [
        estimate(data["store"], engine, rule, 50)
        for engine in (SerialEngine(), ThreadsEngine(2))
    ]
    assert differing(*found) == []


def test_the_store_and_memory_agree(serial: dict[str, Any]) -> None:
    one, other = (serial[way] for way in WAYS)
    assert one.log_likelihood == pytest.approx(other.log_likelihood, rel=1e-13)
    np.testing.assert_allclose(one.theta, other.theta, rtol=1e-9)
    np.testing.assert_allclose(one.standard_errors, other.standard_errors, rtol=1e-7)


@pytest.fixture(scope="module", params=[1, 2], ids="{} workers".format)
def client(request: Any) -> Iterator[Any]:
    with cluster(request.param) as client:
        yield client


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("n_bundles", [None, 1, 4])
def test_dask(
    way: str,
    n_bundles: int | None,
    client: Any,
    data: dict[str, Any],
    serial: dict[str, Any],
) -> None:
    found = estimate(data[way], DaskEngine(client, n_bundles=n_bundles))
    assert differing(found, serial[way]) == []


@pytest.mark.slow
@pytest.mark.parametrize("rule", RULES[1:])
def test_dask_draws_of_a_stream_that_runs_on(
    rule: str, client: Any, data: dict[str, Any]
) -> None:
    for way in WAYS:
        expected = estimate(data[way], SerialEngine(), rule, 800)
        assert differing(estimate(data[way], client, rule, 800), expected) == []
