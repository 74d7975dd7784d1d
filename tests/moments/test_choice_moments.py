"""Blocks add moments of weighted people, without bias at few draws."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from blpdask.driver.ordered_sum import ordered_sum
from blpdask.integration.gauss_hermite import gauss_hermite
from blpdask.integration.product import product_rule
from blpdask.kernels.choice_moments import choice_moments
from blpdask.model.mixed_coefficients import mixed_tastes
from blpdask.moments.choice_moments import MomentState, moments_pass
from tests.kernels.plain_choices import draw_people
from tests.kernels.test_choice_moments import with_instruments
from tests.kernels.test_choices import mixture

MIXED = mixture(("fixed", "normal"), False)
THETA = np.array([0.3, -0.7, 0.9])


@pytest.mark.parametrize("backend", ["numba", "numpy"])
def test_sums_are_of_weighted_people(backend: str) -> None:
    blocks = [with_instruments(draw_people(n, 2, 1, 33, seed=n)) for n in (3, 5)]
    tastes = mixed_tastes(MIXED, THETA)
    state = MomentState(tastes, backend, variances=True)
    sums = ordered_sum([moments_pass(block, state, None)[0] for block in blocks])
    g, G, V, by_person = np.zeros(3), np.zeros((3, 3)), np.zeros((3, 3)), []
    for block in blocks:
        found = choice_moments(block, tastes, backend="numpy", variances=True)
        for i, w in enumerate(block.weights):
            g += w * found.moments[i]
            G += w * found.jacobians[i]
            V += w**2 * found.variances[i]
            by_person.append(w * found.moments[i])
    np.testing.assert_allclose(sums.moments, g, rtol=1e-12)
    np.testing.assert_allclose(sums.jacobian, G, rtol=1e-12)
    np.testing.assert_allclose(sums.simulation, V, rtol=1e-12)
    np.testing.assert_allclose(sums.by_person, by_person, rtol=1e-13)
    assert (sums.people, sums.nonfinite) == (8, 0)
    few, _ = moments_pass(blocks[0], MomentState(tastes, backend, False), None)
    assert few.jacobian.shape == (3, 0) and len(few.simulation) == 0


def test_moments_have_no_bias_at_five_draws_where_scores_have_one() -> None:
    from blpdask.kernels.choices import choice_probabilities

    one = with_instruments(
        draw_people(1, 2, 1, 1, seed=3, situations=(2, 2), alternatives=(3, 3))
    )
    theta = np.array([0.3, -0.7, 2.0])
    tastes = mixed_tastes(MIXED, theta)
    rule = product_rule(1, gauss_hermite(40))
    exact = replace(
        one,
        draws=rule.nodes[None],
        log_weights=np.log(rule.weights * rule.weights.size)[None],
    )
    expected = choice_moments(exact, tastes, backend="numpy").moments[0]
    n = 40_000
    draws = np.random.default_rng(0).normal(size=(n, 5, 1))
    many = replace(
        one,
        X=np.tile(one.X, (n, 1)),
        chosen=(one.chosen + len(one.X) * np.arange(n)[:, None]).ravel(),
        situation_offsets=3 * np.arange(2 * n + 1),
        person_offsets=2 * np.arange(n + 1),
        weights=np.ones(n),
        draws=draws,
    )
    found = choice_moments(many, tastes, backend="numpy", variances=True)
    error = found.moments.std(axis=0) / np.sqrt(n)
    assert (np.abs(found.moments.mean(axis=0) - expected) < 4 * error).all()
    variance = found.variances.mean(axis=0)
    np.testing.assert_allclose(
        variance, np.cov(found.moments, rowvar=False), rtol=0.05, atol=1e-6
    )
    plain = replace(exact, X=one.X[:, :2]), replace(many, X=many.X[:, :2])
    scores = [choice_probabilities(b, tastes, backend="numpy").scores for b in plain]
    off = scores[1].mean(axis=0) - scores[0][0]
    assert (np.abs(off) > 20 * scores[1].std(axis=0) / np.sqrt(n)).any()


def test_people_of_no_finite_moments_are_counted() -> None:
    block = with_instruments(draw_people(6, 2, 1, 33, alternatives=(2, 3)))
    X = block.X.copy()
    for i in (1, 4):
        X[block.situation_offsets[block.person_offsets[i]]] = np.nan
    state = MomentState(mixed_tastes(MIXED, THETA), "numpy")
    sums, _ = moments_pass(replace(block, X=X), state, None)
    assert (sums.people, sums.nonfinite) == (6, 2)
