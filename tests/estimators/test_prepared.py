"""GMM from a prepared problem: no row of the data is needed on the driver.

Invariants: no state, record or argument on the driver grows with the data, but rows
that are collected block by block; rows at rest are those in memory, to the last bit;
what blocks remember of a factorisation changes the way to an estimate and not the
estimate; a δ to start from is in the order of markets.
"""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import blpdask
from blpdask.driver.serial import SerialEngine
from blpdask.estimators.gmm import estimate_gmm, factor_bytes
from blpdask.estimators.gmm_options import GmmOptions
from blpdask.estimators.optimizers.choose import OptimizerChoice
from blpdask.moments.demand import DemandState
from blpdask.partitions.source import count_bytes
from blpdask.results.rows_at_rest import RowsAtRest
from blpdask.results.store import read_estimates, save_estimates
from blpdask.simulation.markets import MarketDesign, simulate_markets

ROWS = ("delta", "xi", "xi_fe", "xi_by_theta_jacobian")


@pytest.fixture(scope="module", autouse=True)
def quiet():
    kept = blpdask.options.verbose
    blpdask.options.verbose = False
    yield
    blpdask.options.verbose = kept


def build(n_markets: int = 40, absorb: str | None = "C(firm_ids)") -> Any:
    """Simulate markets, in an order of rows that is not that of markets."""
    design = MarketDesign(n_markets=n_markets, n_products=6, n_agents=40, pi=())
    data = simulate_markets(design, seed=5)
    formulas = data.formulations()
    products = data.product_data.sample(frac=1.0, random_state=0).reset_index(drop=True)
    return blpdask.Problem(
        (
            blpdask.Formulation("0 + prices + x1", absorb=absorb)
            if absorb
            else blpdask.Formulation(formulas.linear),
            blpdask.Formulation(formulas.nonlinear),
        ),
        products.assign(clustering_ids=products["market_ids"]),
        agent_data=data.agent_data,
    )


SIGMA = np.diag([0.6, 0.6])


def options(**changed: Any) -> GmmOptions:
    return GmmOptions(**{"W_type": "clustered", "se_type": "clustered", **changed})


def estimate(prepared, problem, engine=None, delta=None, beta=None, **changed):
    optimizer = OptimizerChoice("structured")
    parameters = problem.outline.lay_out(
        sigma=SIGMA, beta=beta, bounded=True, default_bounds=False
    )
    return estimate_gmm(
        prepared,
        parameters,
        engine=engine or SerialEngine(),
        optimizer=optimizer,
        options=options(**changed),
        delta=delta,
    ).steps


@pytest.fixture(scope="module")
def problem():
    return build()


@pytest.fixture(scope="module")
def in_memory(problem):
    return estimate(problem.demand.prepare(5), problem, beta=[None, 0.9])


def test_rows_at_rest_are_those_in_memory(problem, in_memory, tmp_path):
    prepared = dataclasses.replace(problem.demand.prepare(5), rows_at=tmp_path / "at")
    at_rest = estimate(prepared, problem, beta=[None, 0.9])
    for step, expected in zip(at_rest, in_memory, strict=True):
        for name in ROWS:
            rows = getattr(step, name)
            assert isinstance(rows, RowsAtRest)
            in_market_order = problem.demand.in_market_order(getattr(expected, name))
            np.testing.assert_array_equal(np.asarray(rows), in_market_order)
        for name in ("updated_W", "beta", "beta_se", "parameter_covariances"):
            np.testing.assert_array_equal(getattr(step, name), getattr(expected, name))
        assert step.clipped_shares.shape == (problem.N, 1)
        assert not step.clipped_shares.any()


def test_every_estimation_has_rows_of_its_own(problem, tmp_path):
    prepared = dataclasses.replace(problem.demand.prepare(5), rows_at=tmp_path)
    first = estimate(prepared, problem, n_steps=1)[-1]
    before = np.asarray(first.xi)
    second = estimate(prepared, problem, n_steps=1, center_moments=False)[-1]
    assert second.xi.path != first.xi.path
    np.testing.assert_array_equal(np.asarray(first.xi), before)
    assert {p.name[:7] for p in tmp_path.iterdir()} == {"step-1-"}


def test_saved_estimates_have_rows_of_their_own(problem, in_memory, tmp_path):
    prepared = dataclasses.replace(problem.demand.prepare(5), rows_at=tmp_path / "at")
    steps = estimate(prepared, problem, beta=[None, 0.9])
    save_estimates(steps, tmp_path / "saved")
    results = blpdask.api.results.ProblemResults(steps)
    for name in ROWS:
        assert isinstance(getattr(results, name), np.ndarray)
    expected = np.asarray(steps[-1].xi)
    shutil.rmtree(tmp_path / "at")
    (*_, found) = read_estimates(tmp_path / "saved")
    np.testing.assert_array_equal(found.xi, expected)
    assert found.xi_by_theta_jacobian.shape == in_memory[-1].xi_by_theta_jacobian.shape


class Watched:
    """An engine that weighs what goes to blocks and what comes back in sums."""

    name = "watched"

    def __init__(self) -> None:
        self.heaviest = 0
        self.collected = 0

    def place(self, blocks: Any) -> Any:
        watched, placement = self, SerialEngine().place(blocks)
        reduce, collect = placement.reduce, placement.collect

        def weighed_reduce(pass_: Any, state: Any, **names: Any) -> Any:
            record = reduce(pass_, state, **names)
            per_market = sum(
                count_bytes(getattr(record, name, 0))
                for name in ("status", "iterations", "evaluations")
            )
            weight = max(count_bytes(state), count_bytes(record) - per_market)
            watched.heaviest = max(watched.heaviest, weight)
            return record

        def weighed_collect(pass_: Any, state: Any, **names: Any) -> Iterator[Any]:
            watched.heaviest = max(watched.heaviest, count_bytes(state))
            for record in collect(pass_, state, **names):
                watched.collected += 1
                yield record

        placement.reduce, placement.collect = weighed_reduce, weighed_collect
        return placement


def test_nothing_on_the_driver_grows_with_the_data(tmp_path):
    """But what is counted by market."""
    weights = []
    for n_markets in (20, 200):
        problem = build(n_markets)
        prepared = dataclasses.replace(
            problem.demand.prepare(4), rows_at=tmp_path / str(n_markets)
        )
        engine = Watched()
        estimate(prepared, problem, engine, W_type="robust", se_type="unadjusted")
        assert engine.collected == 4 * 2
        weights.append(engine.heaviest)
    assert weights[0] == weights[1]


def test_factors_are_not_kept_where_they_exceed_the_bound(problem, in_memory):
    prepared = problem.demand.prepare(5)
    assert factor_bytes(prepared) == 8 * 40 * (6 * 7 // 2)
    kept = []

    class Spy(SerialEngine):
        def place(self, blocks: Any) -> Any:
            placement = super().place(blocks)
            reduce = placement.reduce

            def spied(pass_: Any, state: Any, **names: Any) -> Any:
                record = reduce(pass_, state, **names)
                if isinstance(state, DemandState) and names.get("keep"):
                    memories = placement._memories[names["keep"]]
                    kept.append(sum(memory.factor.size for memory in memories))
                return record

            placement.reduce = spied
            return placement

    bound = factor_bytes(prepared)
    for factor_bound, expected in ((bound, 40 * 21), (bound - 1, 0)):
        kept.clear()
        steps = estimate(
            prepared, problem, Spy(), beta=[None, 0.9], factor_bytes=factor_bound
        )
        assert set(kept) == {expected}
        np.testing.assert_allclose(
            steps[-1].theta, in_memory[-1].theta, rtol=1e-6, atol=1e-9
        )
        np.testing.assert_allclose(
            steps[-1].objective, in_memory[-1].objective, rtol=1e-9
        )


def test_a_start_is_in_the_order_of_markets(problem):
    """δ at θ is a fixed point: inversions that start there need one evaluation."""
    settings: dict[str, Any] = {
        "method": "1s",
        "optimization": blpdask.Optimization("return"),
        "iteration": blpdask.Iteration("simple", {"atol": 1e-12}),
        "check_optimality": "gradient",
        "blocks": 5,
    }
    cold = problem.solve(SIGMA, **settings)
    warm = problem.solve(SIGMA, delta=cold.delta, **settings)
    assert cold.contraction_evaluations.min() > 5
    assert warm.contraction_evaluations.max() <= 2
    np.testing.assert_allclose(warm.delta, cold.delta, rtol=0, atol=1e-11)


@pytest.mark.parametrize("se_type", ["robust", "unadjusted", "clustered"])
@pytest.mark.parametrize("center", [True, False])
def test_covariances_are_those_of_the_rows(problem, se_type, center):
    from tests.moments.test_covariances import assert_close, reference

    results = problem.solve(
        SIGMA, se_type=se_type, W_type="robust", center_moments=center, method="1s"
    )
    products = problem.demand.products
    S = reference(
        results.xi[:, 0],
        products.ZD,
        se_type,
        center=center,
        clusters=products.clusters,
    )
    assert_close(results.moments_covariances, S)
