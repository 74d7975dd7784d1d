"""Where inversions start, and what is said before loops are compiled."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from blpdask.model.inversion import (
    InversionMemory,
    compilation_notice,
    one_market,
    start_inversion,
)
from blpdask.records import MarketBlock, Tastes


@pytest.fixture
def block():
    rng = np.random.default_rng(0)
    return MarketBlock(
        index=0,
        first_market=3,
        product_offsets=np.array([0, 2, 5]),
        agent_offsets=np.array([0, 1, 4]),
        X2=rng.normal(size=(2, 5)),
        log_shares=rng.normal(size=5),
        logit_delta=rng.normal(size=5),
        draws=rng.normal(size=(4, 2)),
        weights=np.ones(4),
        ZD=rng.normal(size=(5, 3)),
    )


#: Without nests tastes do not matter to where an inversion starts.
TASTES = Tastes(np.zeros((0, 0)), *[np.zeros(0, np.int64)] * 3)


def test_without_a_memory_the_plain_logit_is_the_start(block):
    start = start_inversion(block, TASTES, np.zeros(2), None, recycle=True)
    np.testing.assert_array_equal(start.delta, block.logit_delta)
    assert start.factor.size == 0


def test_a_memory_predicts_along_its_slopes(block):
    slopes, factor = np.arange(10.0).reshape(5, 2), np.ones(13)
    memory = InversionMemory(np.array([1.0, 2.0]), np.arange(5.0), slopes, factor)
    start = start_inversion(block, TASTES, np.array([1.5, 1.0]), memory, recycle=True)
    expected = np.arange(5.0) + 0.5 * slopes[:, 0] - slopes[:, 1]
    np.testing.assert_allclose(start.delta, expected)
    assert start.factor is factor
    plain = start_inversion(block, TASTES, np.array([1.5, 1.0]), memory, recycle=False)
    np.testing.assert_array_equal(plain.delta, np.arange(5.0))
    assert plain.factor.size == 0


def test_a_prediction_that_is_not_finite_is_not_used(block):
    slopes = np.zeros((5, 1))
    slopes[2] = np.nan
    memory = InversionMemory(np.zeros(1), np.arange(5.0), slopes, np.ones(13))
    start = start_inversion(block, TASTES, np.ones(1), memory, recycle=True)
    np.testing.assert_array_equal(start.delta, np.arange(5.0))


def test_one_market_is_cut_out_whole(block):
    market = one_market(block, 1)
    assert (market.n_markets, market.n_products, market.first_market) == (1, 3, 4)
    np.testing.assert_array_equal(market.X2, block.X2[:, 2:])
    np.testing.assert_array_equal(market.draws, block.draws[1:])


def test_compiling_is_announced_where_nothing_is_kept(tmp_path):
    assert compilation_notice("numpy") is None
    code = (
        "from blpdask.model.inversion import compilation_notice as n; print(n('numba'))"
    )
    said = subprocess.run(
        [sys.executable, "-c", code],
        env={"NUMBA_CACHE_DIR": str(tmp_path), "PATH": "/usr/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout.startswith("Compiling the loops, once on this machine")
