"""Micro moments give the same bits on every engine, as functions and as formulas."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

import blpdask
from tests.api import nevo
from tests.driver.clusters import cluster
from tests.references.specifications import needs_nevo_data, solve_here

from .test_engines import assert_same_bits

pytestmark = needs_nevo_data


def moments() -> list[Any]:
    """Mean income of buyers of mushy cereals, and how prices vary with income."""
    survey = blpdask.MicroDataset("survey", 2000, "inside")
    some = blpdask.MicroDataset(
        "some markets",
        500,
        lambda t, p, a: np.ones((a.size, 1 + p.size)),
        market_ids=["C01Q1", "C03Q2"],
    )
    bought = blpdask.MicroPart(
        "bought", some, lambda t, p, a: np.outer(a.nodes[:, 0], np.r_[0, p.X2[:, 1]])
    )
    return [
        blpdask.MicroMoment.mean("income", given="mushy", value=0.2, dataset=survey),
        blpdask.MicroMoment.covariance("income", "prices", value=0.001, dataset=survey),
        blpdask.MicroMoment("nodes", 0.01, bought),
    ]


def solve(**arguments: Any) -> Any:
    return solve_here(
        nevo.problem(blpdask, 12),
        sigma=nevo.SIGMA,
        pi=nevo.PI,
        micro_moments=moments(),
        method="1s",
        optimization=("return",),
        check_optimality="gradient",
        blocks=5,
        **arguments,
    )


@cache
def serial() -> Any:
    return solve(engine="serial")


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_threads(threads):
    assert_same_bits(solve(threads=threads), serial())


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_dask(workers):
    with cluster(workers) as client:
        assert_same_bits(solve(engine=client), serial())


def test_bits_are_those_of_micro_moments_too():
    found, again = serial(), solve(threads=2)
    for name in ("micro", "micro_values", "micro_covariances", "updated_W"):
        np.testing.assert_array_equal(getattr(found, name), getattr(again, name))
    assert (found.micro_by_theta_jacobian != 0).any()
