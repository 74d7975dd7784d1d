"""Instruments of choices are relative derivatives of simulated probabilities."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from blpdask.choice_records import ChoiceBlock, MixedCoefficients
from blpdask.kernels.choices import choice_probabilities
from blpdask.model.mixed_coefficients import mixed_tastes
from blpdask.moments.choice_instruments import instruments_pass
from blpdask.records import Floats
from tests.kernels.plain_choices import draw_people, log_sum, plain_coefficients
from tests.kernels.test_choices import MIXTURES, STRUCTURES, mixture, some_theta


def plain_logs(block: ChoiceBlock, mixed: MixedCoefficients, theta: Floats) -> Floats:
    """Compute log P̌_itj of all alternatives, ``(N,)``."""
    found = np.zeros(len(block.X))
    R = block.draws.shape[1]
    for i in range(block.n_people):
        d = block.demographics[i] if len(block.demographics) else np.empty(0)
        for r in range(R):
            beta = plain_coefficients(mixed, theta, block.draws[i, r], d)
            w = np.exp(block.log_weights[i, r]) if len(block.log_weights) else 1.0
            for t in range(block.person_offsets[i], block.person_offsets[i + 1]):
                rows = slice(block.situation_offsets[t], block.situation_offsets[t + 1])
                U = block.X[rows] @ beta
                found[rows] += w * np.exp(U - log_sum(U)) / R
    return np.log(found)


def check_against_formulas(
    block: ChoiceBlock, mixed: MixedCoefficients, theta: Floats
) -> None:
    found, _ = instruments_pass(block, mixed_tastes(mixed, theta), None)
    assert found.W.shape == (len(block.X), mixed.size)
    for p in range(theta.size):
        shift = np.zeros_like(theta)
        shift[p] = 1e-5
        ends = [plain_logs(block, mixed, theta + sign * shift) for sign in (1, -1)]
        np.testing.assert_allclose(
            found.W[:, p], (ends[0] - ends[1]) / 2e-5, rtol=1e-6, atol=1e-8
        )


@pytest.mark.parametrize("kinds", MIXTURES, ids="-".join)
def test_instruments_are_those_of_formulas(kinds: tuple[str, ...]) -> None:
    mixed = mixture(kinds, correlated=True)
    block = draw_people(5, len(kinds), mixed.random.size, 8)
    check_against_formulas(block, mixed, some_theta(mixed))


@pytest.mark.parametrize("case", range(len(STRUCTURES)))
def test_structures_and_weighted_draws(case: int) -> None:
    mixed, rng = STRUCTURES[case], np.random.default_rng(case)
    block = draw_people(
        5, 4, mixed.random.size, 8, seed=case, M=len(mixed.demographics)
    )
    block = replace(block, log_weights=rng.normal(size=(5, 8)))
    check_against_formulas(block, mixed, some_theta(mixed, 5))


def test_those_of_what_was_chosen_once_are_scores() -> None:
    mixed = mixture(("normal", "lognormal", "fixed"), True)
    block = draw_people(9, 3, 2, 40, situations=(1, 1), alternatives=(2, 6))
    tastes = mixed_tastes(mixed, some_theta(mixed))
    found, _ = instruments_pass(block, tastes, None)
    scores = choice_probabilities(block, tastes, backend="numpy").scores
    np.testing.assert_allclose(found.W[block.chosen], scores, rtol=1e-10, atol=1e-12)


def test_small_probabilities_keep_their_digits() -> None:
    mixed = mixture(("fixed",), False)
    for scale in (80.0, 5000.0):
        block = draw_people(
            3, 1, 0, 1, situations=(1, 1), alternatives=(3, 3), scale=scale
        )
        found, _ = instruments_pass(block, mixed_tastes(mixed, np.ones(1)), None)
        for i in range(3):
            X = block.X[3 * i : 3 * i + 3, 0]
            P = np.exp(X - log_sum(X))
            own = found.W[3 * i : 3 * i + 3, 0]
            np.testing.assert_allclose(own, X - P @ X, rtol=1e-12, atol=1e-14 * scale)
