"""Iterated GMM: a fixed point of weights, reached as by hand."""

from __future__ import annotations

import numpy as np
import pytest

import blpdask
from blpdask.errors import NumericalError, NumericalWarning
from blpdask.estimators.iterated import change_of_weights
from tests.estimators.test_continuous_update import SIGMA, build, quiet

__all__ = ["quiet"]


@pytest.fixture(scope="module")
def problem():
    return build()


@pytest.mark.parametrize("W_type", ["robust", "unadjusted", "clustered"])
def test_weights_are_those_of_the_estimate(problem, W_type):
    settings = {"W_type": W_type, "se_type": W_type}
    found = problem.solve(SIGMA, method="iterated", steps_tol=1e-7, **settings)
    assert found.converged and found.step >= 2
    assert change_of_weights(found.W, found.updated_W) < 1e-7
    np.testing.assert_allclose(
        found.W @ found.moments_covariances, np.eye(found.moments.size), atol=1e-5
    )
    before = found.last_results
    assert before.step == found.step - 1
    np.testing.assert_array_equal(before.updated_W, found.W)
    np.testing.assert_allclose(before.theta, found.theta, rtol=1e-5)
    assert "(iterated)" in str(found)


def test_it_is_what_one_does_by_hand(problem):
    found = problem.solve(SIGMA, method="iterated", steps_tol=1e-6)
    by_hand = problem.solve(SIGMA, method="1s")
    for _ in range(found.step - 1):
        by_hand = problem.solve(
            by_hand.sigma, method="1s", W=by_hand.updated_W, delta=by_hand.delta
        )
    np.testing.assert_allclose(by_hand.theta, found.theta, rtol=1e-7)
    np.testing.assert_allclose(by_hand.objective, found.objective, rtol=1e-9)
    np.testing.assert_allclose(by_hand.W, found.W, rtol=1e-6)


def test_the_first_weights_do_not_matter(problem):
    first = problem.solve(SIGMA, method="iterated", steps_tol=1e-8)
    W = np.diag(np.linspace(1, 3, problem.MD)) / problem.demand.products.ZD.var()
    other = problem.solve(SIGMA, method="iterated", steps_tol=1e-8, W=W)
    np.testing.assert_allclose(other.theta, first.theta, rtol=1e-5)
    np.testing.assert_allclose(other.objective, first.objective, rtol=1e-6)


def test_two_steps_at_most_are_two_steps(problem):
    two = problem.solve(SIGMA, method="2s")
    with pytest.warns(NumericalWarning, match="did not settle to 1e-12 in 2 steps"):
        found = problem.solve(SIGMA, method="iterated", max_steps=2, steps_tol=1e-12)
    np.testing.assert_array_equal(found.theta, two.theta)
    assert not found.converged and "did not settle" in str(found)


def test_an_initial_update_is_no_step(problem):
    found = problem.solve(SIGMA, method="iterated", initial_update=True)
    steps = []
    while found is not None:
        steps.append(found.step)
        found = found.last_results
    assert steps[-1] == 0 and steps[0] > 1


def test_exactly_identified_ends_at_once():
    problem = build()
    table = {n: np.asarray(problem.products[n]) for n in ("market_ids", "shares")}
    table["prices"] = problem.demand.products.variables["prices"]
    table["demand_instruments0"] = problem.demand.products.ZD[:, 0]
    logit = blpdask.Problem(blpdask.Formulation("1 + prices"), table)
    found = logit.solve(method="iterated")
    assert found.converged and found.step == 2
    np.testing.assert_allclose(found.objective, 0, atol=1e-12)


def test_weights_with_negative_eigenvalues_are_refused():
    """A few large clusters in two ways give no weights for a next step."""
    problem = build("C(firm_ids)", ways=(12, 9))
    given = {"W_type": "clustered", "se_type": "clustered"}
    with pytest.warns(NumericalWarning, match="negative eigenvalue"):
        one = problem.solve(SIGMA, method="1s", **given)
    assert "negative eigenvalue" in str(one)
    assert "Adjusted for 12 and 9 Clusters" in str(one)
    assert np.linalg.eigvalsh(one.moments_covariances).min() < 0
    with (
        pytest.warns(NumericalWarning, match="negative eigenvalue"),
        pytest.raises(NumericalError, match="clustered_psd"),
    ):
        problem.solve(SIGMA, method="2s", **given)
    with pytest.warns(NumericalWarning, match="Moore-Penrose"):
        mended = problem.solve(SIGMA, method="2s", W_type="clustered_psd")
    assert (
        np.linalg.eigvalsh(mended.W).min() > -1e-8 * np.linalg.eigvalsh(mended.W).max()
    )
