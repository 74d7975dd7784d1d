"""Roots of moments are found where they are, and said to be none where they are not."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from blpdask.errors import NumericalError
from blpdask.estimators.moment_covariances import moment_covariances
from blpdask.estimators.moment_roots import (
    distance_from_root,
    find_near_root,
    find_root,
)
from blpdask.moments.choice_moments import MomentSums
from blpdask.records import Floats

PEOPLE = np.random.default_rng(0).normal(size=(50, 2)) * np.array([1.0, 1e6])


def moments_of(
    g: Callable[[Floats], Floats], G: Callable[[Floats], Floats]
) -> Callable[[Floats], MomentSums]:
    """Make moments g of Jacobian G, of people who differ about them."""

    def evaluate(theta: Floats) -> MomentSums:
        value = np.asarray(g(theta), np.float64)
        return MomentSums(
            moments=value,
            jacobian=np.asarray(G(theta)),
            simulation=np.empty((0, 2)),
            nonfinite=0 if np.isfinite(value).all() else 7,
            people=50,
            by_person=PEOPLE - PEOPLE.mean(axis=0) + value / 50,
        )

    return evaluate


def curved(theta: Floats) -> Floats:
    return np.array([theta[0] ** 3 - 8.0, 1e6 * (np.exp(theta[1]) - theta[0])])


def curved_slopes(theta: Floats) -> Floats:
    return np.array([[3 * theta[0] ** 2, 0.0], [-1e6, 1e6 * np.exp(theta[1])]])


def test_a_root_is_found_to_its_last_digits_whatever_the_units() -> None:
    evaluate = moments_of(curved, curved_slopes)
    for start in ([1.0, 0.0], [5.0, 3.0], [0.3, -2.0]):
        root = find_root(evaluate, np.array(start))
        np.testing.assert_allclose(root.theta, [2.0, np.log(2.0)], rtol=1e-13)
        assert root.distance < 1e-12
        assert 0 < root.iterations < root.evaluations + 1 < 60


def test_moments_that_are_not_finite_are_stepped_back_from() -> None:
    def g(theta: Floats) -> Floats:
        with np.errstate(all="ignore"):
            return np.array([np.log(theta[0]) + 2.0, 1e6 * (theta[1] - theta[0])])

    def G(theta: Floats) -> Floats:
        return np.array([[1.0 / theta[0], 0.0], [-1e6, 1e6]])

    root = find_root(moments_of(g, G), np.array([6.0, 1.0]))
    np.testing.assert_allclose(root.theta, np.exp([-2.0, -2.0]), rtol=1e-12)
    with pytest.raises(NumericalError, match="7 of 50 people"):
        find_root(moments_of(g, G), np.array([-1.0, 1.0]))


def test_where_there_is_no_root_the_distance_says_so() -> None:
    def g(theta: Floats) -> Floats:
        return np.array([theta[0] ** 2 + 30.0, theta[1] * 1e6])

    def G(theta: Floats) -> Floats:
        return np.array([[2 * theta[0], 0.0], [0.0, 1e6]])

    root = find_root(moments_of(g, G), np.array([1.0, 1.0]))
    assert root.distance > 1.0
    near = find_near_root(
        moments_of(g, G), G(np.ones(2)), np.array([1.0, 1.0]), near=0.1
    )
    assert near.distance > 1.0 and near.evaluations == 25


def test_collinear_moments_have_no_distance() -> None:
    sums = moments_of(curved, curved_slopes)(np.ones(2))
    alike = MomentSums(
        sums.moments,
        sums.jacobian,
        sums.simulation,
        0,
        50,
        np.column_stack([np.arange(50.0)] * 2),
    )
    assert np.isnan(distance_from_root(alike))
    assert np.isnan(find_root(lambda theta: alike, np.ones(2)).distance)


def test_distances_are_in_standard_errors() -> None:
    sums = moments_of(curved, curved_slopes)(np.array([2.1, 0.8]))
    B = sums.by_person.T @ sums.by_person
    expected = sums.moments @ np.linalg.solve(B, sums.moments)
    assert distance_from_root(sums) ** 2 == pytest.approx(expected, rel=1e-10)


def test_a_near_root_of_moments_that_jump() -> None:
    def g(theta: Floats) -> Floats:
        return np.round(curved(theta) * [4.0, 4e-6]) / np.array([4.0, 4e-6])

    G = curved_slopes(np.array([2.0, 0.7]))
    evaluate = moments_of(g, curved_slopes)
    near = find_near_root(evaluate, G, np.array([1.7, 1.0]), near=0.1)
    np.testing.assert_allclose(near.theta, [2.0, np.log(2.0)], atol=0.2)
    assert near.distance <= 0.1


def test_covariances_are_sandwiches_of_people_or_clusters() -> None:
    rng = np.random.default_rng(1)
    G, M = rng.normal(size=(2, 2)), rng.normal(size=(12, 2))
    H = np.linalg.inv(G)
    found = moment_covariances(G, M)
    np.testing.assert_allclose(found, H @ (M.T @ M) @ H.T, rtol=1e-10)
    clusters = np.repeat(["b", "a", "c"], 4)
    S = np.array([M[clusters == name].sum(axis=0) for name in "abc"])
    found = moment_covariances(G, M, clusters)
    np.testing.assert_allclose(found, H @ (S.T @ S) @ H.T, rtol=1e-10)
    assert np.isnan(moment_covariances(np.zeros((2, 2)), M)).all()
