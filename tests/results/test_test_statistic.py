"""Statistics are numbers to scripts, and know their distribution.

References: SciPy's distributions; the equality of the distance, Lagrange multiplier and
Wald statistics in a linear model with one weighting matrix and V = (G'WG)⁻¹.
"""

from __future__ import annotations

import copy
import json
import pickle
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

import blpdask
from blpdask.errors import InputError
from blpdask.results.specification_tests import distance_test, lm_test, wald_test
from blpdask.results.test_statistic import TestStatistic
from tests.api import nevo
from tests.references.specifications import quietly


@pytest.mark.parametrize("value", [-0.5, 0.0, 0.3, 7.0, 120.0])
@pytest.mark.parametrize("dof", [1, 6])
def test_p_values_are_those_of_scipy(value: float, dof: int) -> None:
    p = stats.chi2.sf(max(value, 0.0), dof)
    np.testing.assert_allclose(TestStatistic(value, dof).p_value, p, rtol=1e-12)
    p = stats.f.sf(max(value, 0.0), dof, 40)
    found = TestStatistic(value, dof, "F", 40).p_value
    np.testing.assert_allclose(found, p, rtol=1e-10)


def test_without_degrees_or_a_number_there_is_no_p_value() -> None:
    assert np.isnan(TestStatistic(1.0, 0).p_value)
    assert np.isnan(TestStatistic(1.0, 2, "F", 0).p_value)
    assert np.isnan(TestStatistic(float("nan"), 3).p_value)


def test_it_is_a_number() -> None:
    J = TestStatistic(12.5, 3, "Hansen's J")
    assert isinstance(J, float) and J == 12.5 and hash(J) == hash(12.5)
    assert type(J + 1) is float and f"{J:.2f}" == "12.50" and format(J, "g") == "12.5"
    assert np.asarray([J]).dtype == np.float64 and json.dumps(J) == "12.5"
    assert repr(J) == "Hansen's J = 12.5, χ²(3), p = 0.005853"
    assert "Hansen&#x27;s J" in J._repr_html_() and "χ²(3)" in J._repr_html_()


def test_it_travels_and_does_not_change() -> None:
    F = TestStatistic(3.0, 2, "F", 50)
    for other in (pickle.loads(pickle.dumps(F)), copy.copy(F), copy.deepcopy(F)):
        assert other == F and repr(other) == repr(F) and other.p_value == F.p_value
    with pytest.raises(AttributeError, match="frozen"):
        F.dof = 3
    with pytest.raises(AttributeError, match="frozen"):
        del F.name


def test_three_tests_of_a_linear_restriction_are_one() -> None:
    """In a linear model: N (q_r - q_u) = N s'Vs = N r'(RVR')⁻¹r."""
    products, _ = nevo.tables()
    with quietly():
        problem = blpdask.Problem(
            blpdask.Formulation("1 + prices + sugar + mushy"), products
        )
        W = problem.solve(method="1s").updated_W
        how = {
            "method": "1s",
            "W": W,
            "optimization": blpdask.Optimization("return"),
            "check_optimality": "gradient",
        }
        free = problem.solve(method="1s", W=W)
        low = np.array([-np.inf, -np.inf, 0.2, 0.5])
        high = np.array([np.inf, np.inf, 0.2, 0.5])
        beta = [None, None, 0.2, 0.5]
        restricted = problem.solve(beta=beta, beta_bounds=(low, high), **how)
        there = problem.solve(beta=restricted.beta.ravel(), **how)
    assert restricted.parameters.size == 2 and there.theta.size == 4
    G = free.moments_jacobian
    V = np.linalg.inv(G.T @ W @ G)
    distance = distance_test(restricted.estimates, free.estimates)
    score = lm_test(replace(there.estimates, parameter_covariances=V), 2)
    wald = wald_test(
        replace(free.estimates, parameter_covariances=V),
        free.beta[2:, 0] - [0.2, 0.5],
        np.eye(4)[2:],
    )
    assert distance > 1
    np.testing.assert_allclose(score, distance, rtol=1e-9)
    np.testing.assert_allclose(wald, distance, rtol=1e-9)
    assert distance.dof == score.dof == wald.dof == 2
    assert restricted.run_distance_test(free).p_value == distance.p_value
    assert there.run_lm_test().dof == 4


@pytest.mark.parametrize("count", [-1, 5, 1.5, True])
def test_restrictions_are_counted(count: object) -> None:
    products, _ = nevo.tables()
    with quietly():
        results = blpdask.Problem(
            blpdask.Formulation("1 + prices + sugar"), products
        ).solve(method="1s")
    with pytest.raises(InputError, match="from 0 to 3"):
        results.run_lm_test(count)
