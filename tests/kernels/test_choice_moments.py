"""Moments of choices and derivatives against plain formulas.

What must hold:

1. m_i is Σ_t Σ_j W_itj (y_itj - P̌_itj) for every kind of coefficient, and derivatives
   are central differences of it.
2. Variances over draws are those of plain means.
3. A device has the same numbers; memory does not grow with draws.
4. What is not finite is not hidden, and blocks without instruments are refused.
"""

from __future__ import annotations

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from blpdask.choice_records import ChoiceBlock, MixedCoefficients
from blpdask.errors import InputError
from blpdask.kernels.array_choice_moments import ArrayChoiceMoments
from blpdask.kernels.choice_moments import choice_moments
from blpdask.model.mixed_coefficients import mixed_tastes
from blpdask.records import Floats
from tests.kernels.plain_choices import draw_people, log_sum, plain_coefficients
from tests.kernels.strict_device import StrictDevice
from tests.kernels.test_choices import (
    MIXTURES,
    STRUCTURES,
    mixture,
    people_of,
    some_theta,
)


def with_instruments(block: ChoiceBlock, M: int = 3) -> ChoiceBlock:
    """Put ``M`` columns of instruments beside characteristics."""
    W = np.random.default_rng(9).normal(size=(len(block.X), M))
    return replace(block, X=np.column_stack([block.X, W]))


def plain_moments(
    block: ChoiceBlock, mixed: MixedCoefficients, theta: Floats
) -> Floats:
    """Compute w_r m_ir ``(I, R, M)``, one draw and situation after another."""
    K = len(mixed.labels)
    R = block.draws.shape[1]
    found = np.zeros((block.n_people, R, block.X.shape[1] - K))
    for i in range(block.n_people):
        d = block.demographics[i] if len(block.demographics) else np.empty(0)
        for r in range(R):
            beta = plain_coefficients(mixed, theta, block.draws[i, r], d)
            w = np.exp(block.log_weights[i, r]) if len(block.log_weights) else 1.0
            for t in range(block.person_offsets[i], block.person_offsets[i + 1]):
                rows = np.arange(
                    block.situation_offsets[t], block.situation_offsets[t + 1]
                )
                U, W = block.X[rows, :K] @ beta, block.X[rows, K:]
                P = np.exp(U - log_sum(U))
                found[i, r] += w * ((rows == block.chosen[t]) - P) @ W
    return found


def check_against_formulas(
    block: ChoiceBlock, mixed: MixedCoefficients, theta: Floats
) -> None:
    found = choice_moments(
        block, mixed_tastes(mixed, theta), backend="numpy", variances=True
    )
    each = plain_moments(block, mixed, theta)
    np.testing.assert_allclose(found.moments, each.mean(axis=1), rtol=1e-11, atol=1e-13)
    for p in range(theta.size):
        shift = np.zeros_like(theta)
        shift[p] = 1e-5
        ends = [
            plain_moments(block, mixed, theta + sign * shift).mean(axis=1)
            for sign in (1, -1)
        ]
        slope = (ends[0] - ends[1]) / 2e-5
        np.testing.assert_allclose(
            found.jacobians[:, :, p], slope, rtol=1e-6, atol=1e-8
        )
    alone = choice_moments(
        block, mixed_tastes(mixed, theta), backend="numpy", derivatives=False
    )
    assert alone.jacobians.shape == (block.n_people, 3, 0)
    assert alone.variances.shape[0] == 0
    np.testing.assert_array_equal(alone.moments, found.moments)


@pytest.mark.parametrize("kinds", MIXTURES, ids="-".join)
def test_moments_are_those_of_formulas(kinds: tuple[str, ...]) -> None:
    mixed = mixture(kinds, correlated=True)
    block = with_instruments(people_of(mixed, R=9))
    check_against_formulas(block, mixed, some_theta(mixed))


@pytest.mark.parametrize("case", range(len(STRUCTURES)))
def test_structures_and_weighted_draws(case: int) -> None:
    mixed, rng = STRUCTURES[case], np.random.default_rng(case)
    M = len(mixed.demographics)
    block = draw_people(6, 4, mixed.random.size, 7, seed=case, M=M)
    weights = rng.uniform(0.5, 2.0, (6, 7))
    weights *= 7 / weights.sum(axis=1, keepdims=True)
    block = replace(with_instruments(block), log_weights=np.log(weights))
    check_against_formulas(block, mixed, some_theta(mixed, 5))


@pytest.mark.parametrize("R", [1, 2, 128, 300])
def test_variances_are_those_of_means_over_draws(R: int) -> None:
    mixed = mixture(("normal", "fixed", "lognormal"), True)
    block, theta = with_instruments(people_of(mixed, R, 5)), some_theta(mixed)
    found = choice_moments(
        block, mixed_tastes(mixed, theta), backend="numba", variances=True
    )
    each = plain_moments(block, mixed, theta)
    for i in range(5):
        if R == 1:
            assert np.isnan(found.variances[i]).all()
            continue
        expected = np.cov(each[i], rowvar=False) / R
        np.testing.assert_allclose(found.variances[i], expected, rtol=1e-9, atol=1e-15)


def test_variances_of_weighted_draws() -> None:
    mixed = mixture(("normal",), False)
    block = with_instruments(people_of(mixed, 6, 4))
    weights = np.random.default_rng(0).uniform(0.5, 2.0, (4, 6))
    weights *= 6 / weights.sum(axis=1, keepdims=True)
    block, theta = replace(block, log_weights=np.log(weights)), some_theta(mixed)
    found = choice_moments(
        block, mixed_tastes(mixed, theta), backend="numpy", variances=True
    )
    each = plain_moments(block, mixed, theta)
    off = each - weights[:, :, None] * each.mean(axis=1, keepdims=True)
    expected = np.einsum("irm,irn->imn", off, off) / (6 * 5)
    np.testing.assert_allclose(found.variances, expected, rtol=1e-9, atol=1e-15)


def test_a_device_computes_the_same_numbers() -> None:
    mixed = mixture(("normal", "lognormal", "fixed", "johnson", "censored"), True)
    block = with_instruments(people_of(mixed, 150, 30))
    tastes = mixed_tastes(mixed, some_theta(mixed))
    device = ArrayChoiceMoments(StrictDevice())  # type: ignore[arg-type]
    found = device.choice_moments(block, tastes, derivatives=True, variances=True)
    expected = choice_moments(block, tastes, backend="numpy", variances=True)
    for name in ("moments", "jacobians", "variances"):
        np.testing.assert_allclose(
            getattr(found, name), getattr(expected, name), rtol=1e-13, atol=1e-13
        )


def test_large_utilities_stay_finite() -> None:
    mixed = mixture(("normal", "normal"), False)
    block = draw_people(9, 2, 2, 20, scale=700.0, situations=(1, 12))
    theta = np.array([1.0, -1.0, 0.3, 0.2])
    block = with_instruments(block)
    found = choice_moments(block, mixed_tastes(mixed, theta), backend="numpy")
    expected = plain_moments(block, mixed, theta).mean(axis=1)
    np.testing.assert_allclose(found.moments, expected, rtol=1e-9, atol=1e-11)
    assert np.isfinite(found.jacobians).all()


def test_what_is_not_finite_is_not_hidden() -> None:
    mixed = mixture(("normal", "lognormal"), False)
    block = with_instruments(draw_people(9, 2, 2, 40, alternatives=(2, 4)))
    X = block.X.copy()
    X[block.situation_offsets[block.person_offsets[4]], 0] = np.nan
    tastes = mixed_tastes(mixed, np.array([0.5, 0.1, 0.2, 0.3]))
    bad = choice_moments(replace(block, X=X), tastes, backend="numpy")
    fine = choice_moments(block, tastes, backend="numpy")
    others = np.arange(9) != 4
    assert not np.isfinite(bad.moments[4]).all()
    np.testing.assert_allclose(bad.moments[others], fine.moments[others], rtol=1e-13)


def test_few_draws_are_held_at_a_time() -> None:
    mixed = mixture(("normal",) * 4, False)
    tastes = mixed_tastes(mixed, some_theta(mixed))
    peaks = []
    for R in (256, 2048):
        block = with_instruments(
            draw_people(20, 4, 4, R, situations=(12, 12), alternatives=(4, 4))
        )
        choice_moments(block, tastes, backend="numpy")
        tracemalloc.start()
        choice_moments(block, tastes, backend="numpy")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.1 * peaks[0]


def test_blocks_without_instruments_are_refused() -> None:
    mixed = mixture(("normal", "fixed"), False)
    block = draw_people(3, 2, 2, 5)
    with pytest.raises(InputError, match="attach instruments") as caught:
        choice_moments(block, mixed_tastes(mixed, np.ones(3)), backend="numpy")
    assert len(caught.value.faults) == 2
