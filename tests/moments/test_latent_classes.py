"""Classes mix as formulas say; derivatives are those of differences.

What must hold:

1. LL and score are plain formulas', on every backend, whatever is shared or zero.
2. Two classes alike are one; classes whose coefficients have no spread are plain ones.
3. Steps of expectation maximisation have the likelihood's score, and information that
   is minus the curvature of the expected likelihood at given memberships.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from blpdask.model.latent_classes import (
    ClassedBlock,
    ClassParameters,
    LatentClasses,
    log_class_shares,
    mix_classes,
)
from blpdask.moments.class_steps import StepState, class_steps_pass
from blpdask.moments.latent_classes import ClassState, latent_class_pass
from blpdask.records import Floats
from tests.kernels.plain_choices import plain_log_probabilities
from tests.moments.classed_people import (
    FIXED,
    KINDS,
    MIXED,
    people_of,
    plain_logs,
    some_theta,
)

PLAIN = [name for name in KINDS if "mixed" not in name]


def log_likelihood(
    block: ClassedBlock, classes: LatentClasses, theta: Floats, backend: str = "numpy"
) -> float:
    state = ClassState(classes, theta, backend, derivatives=False)
    return latent_class_pass(block, state, None)[0].log_likelihood


@pytest.mark.parametrize("backend", ["numba", "numpy"])
@pytest.mark.parametrize("name", KINDS)
def test_sums_are_of_plain_formulas(name: str, backend: str) -> None:
    classes = KINDS[name]
    block, theta = people_of(classes), some_theta(classes)
    state = ClassState(classes, theta, backend, by_person=True)
    found, memory = latent_class_pass(block, state, None)
    assert memory is None and found.nonfinite == 0 and found.people == 12
    logs = plain_logs(block, classes, theta)
    assert found.log_likelihood == pytest.approx(block.weights @ logs, rel=1e-12)
    h = 1e-5
    for p, shift in enumerate(h * np.eye(classes.size)):
        up, down = (plain_logs(block, classes, theta + s * shift) for s in (1, -1))
        expected = block.weights * (up - down) / (2 * h)
        np.testing.assert_allclose(found.scores[:, p], expected, rtol=2e-6, atol=2e-8)
    np.testing.assert_allclose(found.scores.sum(axis=0), found.score, rtol=1e-12)
    np.testing.assert_array_equal(found.weights, block.weights)
    assert (found.concentrations <= 1.0 + 1e-12).all()


def test_two_classes_alike_are_one() -> None:
    for coefficients in (FIXED, MIXED):
        two = LatentClasses(coefficients, 2, ("1", "age"))
        block = people_of(two)
        own = np.random.default_rng(3).normal(size=coefficients.size)
        logs = plain_log_probabilities(block, coefficients, own)
        gamma = np.array([[0.7, -1.3], [0.0, 0.0]])
        theta = two.join(ClassParameters(np.array([own, own]), gamma))
        found = log_likelihood(block, two, theta, "numba")
        assert found == pytest.approx(block.weights @ logs, rel=1e-12)


def test_a_class_of_no_share_counts_for_nothing() -> None:
    two = LatentClasses(FIXED, 2)
    block = people_of(two)
    own = np.random.default_rng(3).normal(size=(2, 3))
    theta = two.join(ClassParameters(own, np.array([[-800.0], [0.0]])))
    logs = plain_log_probabilities(block, FIXED, own[1])
    found = log_likelihood(block, two, theta)
    assert found == pytest.approx(block.weights @ logs, rel=1e-12)


def test_mixed_classes_without_spread_are_plain() -> None:
    normal = replace(MIXED, kinds=("fixed", "normal", "normal"))
    mixed, plain = LatentClasses(normal, 2), LatentClasses(FIXED, 2)
    block = people_of(mixed)
    own = np.random.default_rng(4).normal(size=(2, 3))
    gamma = np.array([[0.4], [0.0]])
    spread = np.hstack([own, np.zeros((2, normal.size - 3))])
    for backend in ("numba", "numpy"):
        one = log_likelihood(
            block, mixed, mixed.join(ClassParameters(spread, gamma)), backend
        )
        none = replace(block, draws=np.empty((12, 1, 0)))
        other = log_likelihood(
            none, plain, plain.join(ClassParameters(own, gamma)), backend
        )
        assert one == pytest.approx(other, rel=1e-12)


def test_people_of_no_finite_probability_are_counted() -> None:
    classes = KINDS["membership"]
    block = people_of(classes)
    X = block.X.copy()
    X[block.situation_offsets[block.person_offsets[4]]] = np.nan
    state = ClassState(classes, some_theta(classes), "numpy")
    found, _ = latent_class_pass(replace(block, X=X), state, None)
    assert (found.nonfinite, found.people) == (1, 12)


@pytest.mark.parametrize("name", PLAIN)
def test_steps_have_the_score_of_the_likelihood(name: str) -> None:
    classes = KINDS[name]
    block = people_of(classes)
    thetas = np.array([some_theta(classes, seed) for seed in (5, 6)])
    found, _ = class_steps_pass(block, StepState(classes, thetas), None)
    for m, theta in enumerate(thetas):
        sums, _ = latent_class_pass(block, ClassState(classes, theta, "numba"), None)
        value, score = found.log_likelihoods[m], found.scores[m]
        assert value == pytest.approx(sums.log_likelihood, rel=1e-12)
        np.testing.assert_allclose(score, sums.score, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("name", PLAIN)
def test_information_is_the_curvature_at_given_memberships(name: str) -> None:
    classes = KINDS[name]
    block, theta = people_of(classes), some_theta(classes)

    def class_logs(at: Floats) -> tuple[Floats, Floats]:
        parameters = classes.split(at)
        logs = [plain_log_probabilities(block, FIXED, own) for own in parameters.own]
        shares = log_class_shares(parameters.gamma, block.membership)
        return shares, np.stack(logs, axis=1)

    _, h = mix_classes(*class_logs(theta))

    def expected(at: Floats) -> float:
        return float(block.weights @ (h * sum(class_logs(at))).sum(axis=1))

    sums, _ = class_steps_pass(block, StepState(classes, theta[None]), None)
    P, e = classes.size, 1e-3
    second = np.empty((P, P))
    for p in range(P):
        for r in range(P):
            up, across = e * np.eye(P)[p], e * np.eye(P)[r]
            second[p, r] = (
                expected(theta + up + across)
                - expected(theta + up - across)
                - expected(theta - up + across)
                + expected(theta - up - across)
            ) / (4 * e * e)
    np.testing.assert_allclose(sums.informations[0], -second, rtol=1e-5, atol=1e-4)
