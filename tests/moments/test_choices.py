"""Blocks add what their people contribute to a likelihood, and count what fails."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from blpdask.choice_records import MixedCoefficients
from blpdask.driver.ordered_sum import ordered_sum
from blpdask.model.mixed_coefficients import mixed_tastes
from blpdask.moments import choices
from blpdask.moments.choices import (
    LikelihoodState,
    LikelihoodSums,
    equal_chances_pass,
    likelihood_pass,
)
from blpdask.records import Floats
from tests.kernels.plain_choices import (
    draw_people,
    plain_draw_logs,
    plain_log_probabilities,
)

MIXED = MixedCoefficients(("a", "b"), ("normal", "fixed"))
THETA = np.array([0.3, -0.7, 0.9])


@pytest.mark.parametrize("backend", ["numba", "numpy"])
def test_sums_are_of_weighted_people(backend: str) -> None:
    blocks = [draw_people(n, 2, 1, 33, seed=n) for n in (3, 5)]
    state = LikelihoodState(mixed_tastes(MIXED, THETA), backend, by_person=True)
    sums = ordered_sum([likelihood_pass(block, state, None)[0] for block in blocks])
    logs = [plain_log_probabilities(block, MIXED, THETA) for block in blocks]
    weights = np.concatenate([block.weights for block in blocks])
    expected = weights @ np.concatenate(logs)
    assert sums.log_likelihood == pytest.approx(expected, rel=1e-12)
    np.testing.assert_array_equal(sums.weights, weights)
    np.testing.assert_allclose(sums.scores.sum(axis=0), sums.score, rtol=1e-12)
    assert sums.scores.shape == (8, 3)
    assert (sums.people, sums.nonfinite) == (8, 0)
    few = replace(state, derivatives=False, by_person=False)
    alone, _ = likelihood_pass(blocks[0], few, None)
    assert alone.score.shape == (0,)
    assert alone.scores.shape[0] == alone.weights.shape[0] == 0


@pytest.mark.parametrize("R", [1, 33])
def test_the_bias_of_the_logarithm_is_taken_away(R: int) -> None:
    block = draw_people(5, 2, 1, R, seed=2)

    def corrected(theta: Floats) -> LikelihoodSums:
        state = LikelihoodState(
            mixed_tastes(MIXED, theta), "numba", by_person=True, corrected=True
        )
        return likelihood_pass(block, state, None)[0]

    p = np.exp(np.array(plain_draw_logs(block, MIXED, THETA)))
    logs = np.log(p.mean(axis=1))
    if R > 1:
        logs += p.var(axis=1, ddof=1) / (2 * R * p.mean(axis=1) ** 2)
    found = corrected(THETA)
    assert found.log_likelihood == pytest.approx(block.weights @ logs, rel=1e-12)
    for k, shift in enumerate(1e-5 * np.eye(3)):
        ends = [corrected(THETA + sign * shift).log_likelihood for sign in (1, -1)]
        assert found.score[k] == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-7)


def test_people_of_no_finite_probability_are_counted() -> None:
    block = draw_people(6, 2, 1, 33, alternatives=(2, 3))
    X = block.X.copy()
    for i in (1, 4):
        X[block.situation_offsets[block.person_offsets[i]]] = np.nan
    state = LikelihoodState(mixed_tastes(MIXED, THETA), "numba")
    sums, _ = likelihood_pass(replace(block, X=X), state, None)
    assert (sums.people, sums.nonfinite) == (6, 2)


def test_chances_that_are_alike() -> None:
    block = draw_people(6, 2, 1, 1)
    found, _ = equal_chances_pass(block, None, None)
    expected = 0.0
    for i in range(6):
        for t in range(block.person_offsets[i], block.person_offsets[i + 1]):
            J = block.situation_offsets[t + 1] - block.situation_offsets[t]
            expected -= block.weights[i] * np.log(J)
    assert found.log_likelihood == pytest.approx(expected, rel=1e-13)
    assert found.people == 6
    assert found.weight == pytest.approx(block.weights.sum(), rel=1e-14)


@pytest.mark.parametrize("backend", ["numba", "numpy"])
def test_warming_up_computes_one_choice_of_two(
    backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []

    def spy(*args: object) -> object:
        found.append(likelihood_pass(*args)[0])  # type: ignore[arg-type]
        return found[-1], None

    monkeypatch.setattr(choices, "likelihood_pass", spy)
    choices.warm_choice_kernels(backend)
    assert found[0].log_likelihood == pytest.approx(-np.log(2.0), rel=1e-15)


def test_products_of_scores_stand_for_scores() -> None:
    blocks = [draw_people(n, 2, 1, 33, seed=n) for n in (3, 5)]
    tastes = mixed_tastes(MIXED, THETA)
    states = [
        LikelihoodState(tastes, "numpy", by_person=True, summed=summed)
        for summed in (False, True)
    ]
    rows, sums = (
        ordered_sum([likelihood_pass(block, state, None)[0] for block in blocks])
        for state in states
    )
    s = rows.scores
    assert sums.scores.shape[0] == 0
    np.testing.assert_array_equal(sums.weights, rows.weights)
    np.testing.assert_array_equal(sums.concentrations, rows.concentrations)
    np.testing.assert_allclose(sums.outer, s.T @ s, rtol=1e-12)
    weighted = s / np.sqrt(rows.weights)[:, None]
    np.testing.assert_allclose(sums.information, weighted.T @ weighted, rtol=1e-12)
    np.testing.assert_allclose(sums.score_sizes, rows.score_sizes, rtol=1e-12)
    np.testing.assert_allclose(rows.score_sizes, np.linalg.norm(s, axis=0), rtol=1e-12)
    assert rows.outer.shape == rows.information.shape == (0, 0)
    searching = LikelihoodState(tastes, "numpy", summed=True)
    assert likelihood_pass(blocks[0], searching, None)[0].outer.size == 0
