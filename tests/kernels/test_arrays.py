"""What is particular to the array backend.

Padding covers every market once and wastes little; a prepared block serves many calls;
linear algebra reports failure per matrix; the device is waited for about once a step;
and the named fixed points are PyBLP's, step for step.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyblp
import pytest

from blpdask.kernels import array_batches, array_linear_algebra, array_logit
from blpdask.records import InversionControls, InversionStart
from tests.kernels import problems, reference
from tests.kernels.strict_device import StrictDevice

NO_FACTOR = np.empty(0)


def test_groups_hold_every_market_once() -> None:
    shapes = [(1 + (7 * t) % 60, 1 + (11 * t) % 400) for t in range(300)]
    tastes = problems.diagonal_tastes([0.0])
    rng = np.random.default_rng(0)
    J, agents = np.array(shapes).T
    block = problems.make_block(0, [(1, 1)], tastes)
    block = replace(
        block,
        product_offsets=np.concatenate([[0], np.cumsum(J)]),
        agent_offsets=np.concatenate([[0], np.cumsum(agents)]),
        X2=rng.normal(size=(1, J.sum())),
        log_shares=-np.arange(1.0, J.sum() + 1),
        logit_delta=np.zeros(J.sum()),
        draws=rng.normal(size=(agents.sum(), 1)),
        weights=np.repeat(1.0 / agents, agents),
    )
    prepared = array_batches.prepare(block)
    markets = np.concatenate([group.markets for group in prepared.groups])
    assert sorted(markets) == list(range(300))
    for group in prepared.groups:
        inside = group.padding == 0
        rows = group.rows[inside]
        np.testing.assert_array_equal(group.X2[:, 0][inside], block.X2[0, rows])
        np.testing.assert_array_equal(group.log_shares[inside], block.log_shares[rows])
        np.testing.assert_allclose(group.weights.sum(axis=1), 1.0, rtol=1e-12)
        np.testing.assert_array_equal(inside.sum(axis=1), J[group.markets])
    padded = sum(int(np.prod(group.shape)) for group in prepared.groups)
    assert padded <= 2.0 * (J * agents).sum()


def test_prepared_block_serves_many_calls() -> None:
    tastes = problems.diagonal_tastes([0.8, 1.0])
    block = problems.make_block(1, problems.UNBALANCED, tastes)
    prepared = array_logit.prepare(block)
    start = InversionStart(block.logit_delta, NO_FACTOR)
    for scale in (0.5, 1.0, 1.5):
        theta = replace(tastes, loadings=scale * tastes.loadings)
        fresh = array_logit.invert(block, theta, start, InversionControls())
        again = array_logit.invert(prepared, theta, start, InversionControls())
        np.testing.assert_array_equal(again.delta, fresh.delta)
        np.testing.assert_array_equal(again.factor, fresh.factor)


def test_device_is_waited_for_about_once_a_step() -> None:
    tastes = problems.diagonal_tastes([0.8, 1.0])
    block = problems.make_block(1, problems.EQUAL, tastes)
    device = StrictDevice()
    start = InversionStart(block.logit_delta, NO_FACTOR)
    found = array_logit.invert(block, tastes, start, InversionControls(), xp=device)
    anchor = InversionStart(found.delta, found.factor)
    device.transfers = 0
    theta = replace(tastes, loadings=1.01 * tastes.loadings)
    found = array_logit.invert(block, theta, anchor, InversionControls(), xp=device)
    # one a step; for the last look at the solution, two; for the answers, four
    assert device.transfers <= found.evaluations.max() + 2 + 4


@pytest.mark.parametrize("xp", [np, StrictDevice()], ids=["numpy", "strict-device"])
def test_one_bad_matrix_leaves_the_others(xp: object) -> None:
    rng = np.random.default_rng(0)
    roots = rng.normal(size=(5, 4, 6))
    A = roots @ roots.transpose(0, 2, 1)
    A[1] -= 5.0 * np.eye(4)
    A[3, 0, 0] = np.nan
    scales = 10.0 ** -np.array([0.0, 40.0, 80.0, 120.0])
    A[4] *= scales[:, None] * scales
    factors, definite = array_linear_algebra.cholesky(xp.asarray(A), xp)
    factors = array_batches.to_host(factors, xp)
    assert array_batches.to_host(definite, xp).tolist() == [1, 0, 1, 0, 1]
    for b in (0, 2, 4):
        np.testing.assert_allclose(factors[b], np.linalg.cholesky(A[b]), rtol=1e-12)
    assert np.isnan(factors[[1, 3]]).all()

    singular = A.copy()
    singular[0] = 0.0
    solved = array_linear_algebra.solve(
        xp.asarray(singular), xp.asarray(np.ones((5, 4, 2))), xp
    )
    solved = array_batches.to_host(solved, xp)
    assert not np.isfinite(solved[0]).any()
    np.testing.assert_allclose(A[2] @ solved[2], 1.0, rtol=1e-9)


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("simple", {}),
        ("squarem", {"scheme": 1}),
        ("squarem", {"scheme": 2}),
        ("squarem", {"scheme": 3}),
        ("squarem", {"scheme": 3, "step_min": 0.5, "step_max": 2.0}),
        ("squarem", {"scheme": 3, "max_evaluations": 7}),
    ],
)
def test_fixed_points_are_pyblps(method: str, options: dict) -> None:
    tastes = problems.diagonal_tastes([0.8, 1.0])
    block = problems.make_block(2, problems.UNBALANCED[1:-1], tastes)
    controls = InversionControls(method=method, atol=1e-11, derivatives=False)
    controls = replace(controls, **options)
    start = InversionStart(block.logit_delta, NO_FACTOR)
    found = array_logit.invert(block, tastes, start, controls)
    theirs = pyblp.Iteration(method, {"atol": 1e-11, **options})
    for t, (products, agents) in enumerate(reference.markets(block)):
        mu, _ = reference.deviations(block.X2[:, products], block.draws[agents], tastes)
        weights, log_S = block.weights[agents], block.log_shares[products]

        def contraction(delta, *_, mu=mu, weights=weights, log_S=log_S):
            P = np.exp(reference.log_probabilities(mu, delta))
            return delta + log_S - np.log(weights @ P), None, None

        delta, stats = theirs._iterate(block.logit_delta[products], contraction)
        assert found.evaluations[t] == stats.evaluations
        assert found.iterations[t] == stats.iterations
        assert (found.status[t] == 0) == stats.converged
        np.testing.assert_allclose(found.delta[products], delta, rtol=0, atol=1e-11)
