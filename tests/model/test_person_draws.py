"""Coefficients of people at draws and their weights are those of plain formulas."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.special import softmax

from blpdask.choice_records import MixedCoefficients
from blpdask.model.mixed_coefficients import mixed_tastes
from blpdask.model.person_draws import person_draws
from tests.kernels.plain_choices import draw_people, plain_coefficients, plain_draw_logs

MIXED = MixedCoefficients(
    labels=("price", "size", "speed"),
    kinds=("lognormal", "normal", "fixed"),
    demographics=("income", "age"),
    shifted=((0, 1), (1, 0)),
    scale="price",
)
THETA = np.array([-0.5, 0.3, 0.7, 0.2, -0.4, 0.6, 0.9])


def test_coefficients_and_weights_are_the_formulas() -> None:
    rng = np.random.default_rng(0)
    block = draw_people(7, 3, 2, 11, M=2, seed=1)
    tastes = mixed_tastes(MIXED, THETA)
    for log_weights in (np.empty((0, 0)), rng.normal(size=(7, 11))):
        weighted = replace(block, log_weights=log_weights)
        found = person_draws(weighted, tastes, conditional=False)
        for i in range(7):
            for r in range(11):
                beta = plain_coefficients(
                    MIXED, THETA, block.draws[i, r], block.demographics[i]
                )
                np.testing.assert_allclose(found.beta[i, r], beta, rtol=1e-12)
        logs = log_weights if log_weights.size else np.zeros((1, 11))
        np.testing.assert_allclose(found.weights, softmax(logs, axis=1), rtol=1e-12)
        given = person_draws(weighted, tastes, conditional=True)
        expected = softmax(plain_draw_logs(weighted, MIXED, THETA), axis=1)
        np.testing.assert_allclose(given.weights, expected, rtol=1e-10)
        np.testing.assert_array_equal(given.beta, found.beta)


def test_people_share_draws_until_their_choices_are_known() -> None:
    block = draw_people(5, 2, 2, 9, seed=2)
    shared = replace(
        block, draws=block.draws[:1], log_weights=np.log(np.arange(1.0, 10.0))[None]
    )
    mixed = MixedCoefficients(("a", "b"), ("normal", "uniform"))
    tastes = mixed_tastes(mixed, np.array([0.1, 0.2, 0.3, 0.4]))
    before = person_draws(shared, tastes, conditional=False)
    assert before.beta.shape == (1, 9, 2) and before.weights.shape == (1, 9)
    np.testing.assert_allclose(before.weights[0], np.arange(1.0, 10.0) / 45)
    after = person_draws(shared, tastes, conditional=True)
    assert after.beta.shape == (1, 9, 2) and after.weights.shape == (5, 9)
    logs = plain_draw_logs(shared, mixed, np.array([0.1, 0.2, 0.3, 0.4]))
    np.testing.assert_allclose(after.weights, softmax(logs, axis=1), rtol=1e-10)


def test_nothing_random_is_one_draw() -> None:
    block = draw_people(3, 2, 0, 1, seed=3)
    tastes = mixed_tastes(
        MixedCoefficients(("a", "b"), ("fixed", "fixed")), np.array([1.0, -2.0])
    )
    for conditional in (False, True):
        found = person_draws(block, tastes, conditional=conditional)
        np.testing.assert_array_equal(found.beta, np.tile([1.0, -2.0], (3, 1, 1)))
        assert (found.weights == 1.0).all()
