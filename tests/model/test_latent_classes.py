"""Parameters of classes stand where their names say, whatever is shared or zero."""

from __future__ import annotations

import numpy as np
import pytest

from blpdask.choice_records import MixedCoefficients
from blpdask.model.latent_classes import (
    ClassParameters,
    LatentClasses,
    average_shares,
    log_class_shares,
    mix_classes,
)
from tests.moments.classed_people import FIXED, KINDS, MIXED, some_theta


def test_parameters_are_named_in_the_order_of_theta() -> None:
    assert KINDS["zeros"].parameter_labels == (
        *("c", "class1.b", "class2.a", "share1.1", "share1.age"),
    )
    mixed = LatentClasses(MixedCoefficients(("x",), ("normal",)), 2)
    assert mixed.parameter_labels == (
        *("class1.x", "class1.sd.x", "class2.x", "class2.sd.x", "share1.1"),
    )
    assert KINDS["one"].parameter_labels == ("class1.a", "class1.b", "class1.c")


@pytest.mark.parametrize("name", KINDS)
def test_splitting_and_joining_are_inverse(name: str) -> None:
    classes = KINDS[name]
    theta = some_theta(classes)
    parameters = classes.split(theta)
    np.testing.assert_array_equal(classes.join(parameters), theta)
    for q, c in classes.zeros:
        assert parameters.own[q, c] == 0.0
    for c in classes.shared:
        assert len(set(parameters.own[:, c])) == 1
    assert (parameters.gamma[-1] == 0.0).all()


def test_what_is_shared_starts_at_averages() -> None:
    classes = LatentClasses(FIXED, 2, shared=(1,))
    own = np.array([[1.0, 2.0, 3.0], [4.0, 6.0, 7.0]])
    theta = classes.join(ClassParameters(own, np.array([[3.0], [1.0]])))
    np.testing.assert_array_equal(theta, [4.0, 1.0, 3.0, 4.0, 7.0, 2.0])


@pytest.mark.parametrize("order", [[1, 2, 0], [2, 1, 0], [0, 1, 2]])
@pytest.mark.parametrize("name", ["membership", "shared"])
def test_reordered_classes_are_the_same_people(name: str, order: list[int]) -> None:
    classes = KINDS[name]
    theta = some_theta(classes)
    moved = classes.reorder(np.array(order)) @ theta
    before, after = classes.split(theta), classes.split(moved)
    np.testing.assert_allclose(after.own, before.own[order], rtol=1e-14)
    D = np.random.default_rng(0).normal(size=(9, 2))
    np.testing.assert_allclose(
        log_class_shares(after.gamma, D),
        log_class_shares(before.gamma, D)[:, order],
        rtol=1e-12,
    )


def test_shares_and_posteriors_are_bayes_rule() -> None:
    rng = np.random.default_rng(1)
    gamma = np.vstack([rng.normal(size=(2, 2)), np.zeros((1, 2))])
    D, logs, w = rng.normal(size=(5, 2)), rng.normal(size=(5, 3)), rng.uniform(size=5)
    odds = np.exp(D @ gamma.T)
    pi = odds / odds.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(np.exp(log_class_shares(gamma, D)), pi, rtol=1e-13)
    total, h = mix_classes(np.log(pi), logs)
    P = pi * np.exp(logs)
    np.testing.assert_allclose(total, np.log(P.sum(axis=1)), rtol=1e-12)
    np.testing.assert_allclose(h, P / P.sum(axis=1, keepdims=True), rtol=1e-12)
    expected = (w[:, None] * pi).sum(axis=0) / w.sum()
    np.testing.assert_allclose(average_shares(gamma, D, w), expected, rtol=1e-13)
    far, _ = mix_classes(np.log(pi), logs - 2000.0)
    np.testing.assert_allclose(far, total - 2000.0, rtol=1e-12)


def test_random_coefficients_within_classes_have_their_places() -> None:
    classes = LatentClasses(MIXED, 2, shared=(0,))
    assert classes.size == 1 + 2 * (MIXED.size - 1) + 1
    assert classes.kinds == MIXED.kinds and not classes.correlated
