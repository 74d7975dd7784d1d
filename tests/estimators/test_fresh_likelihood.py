"""Fresh draws tell an error of the log-likelihood that draws alone do not explain.

1. Relative variances of means of independent draws are those of repeated draws.
2. Differences between log-likelihoods have the expected centre and spread.
3. What is not explained is warned of.
"""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from blpdask.errors import NumericalWarning
from blpdask.estimators.fresh_likelihood import compare_draws, relative_variances
from blpdask.moments.choices import LikelihoodSums


def sums(value: float, concentrations: np.ndarray, weights: np.ndarray):
    none = np.empty(0)
    return LikelihoodSums(
        value, none, 0, weights.size, np.empty((0, 0)), weights, concentrations
    )


def simulate(R: int, n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Give log means of R lognormal draws of n people, and their concentrations."""
    p = np.exp(0.5 * np.random.default_rng(seed).normal(size=(n, R)))
    return np.log(p.mean(axis=1)), (p**2).sum(axis=1) / p.sum(axis=1) ** 2


def test_relative_variances_are_those_of_repeated_draws() -> None:
    logs, c = simulate(50, 100000, 0)
    truth = (np.exp(0.25) - 1) / 50
    found = relative_variances(c, 50)
    assert found.mean() == pytest.approx(truth, rel=0.02)
    assert logs.var() == pytest.approx(truth, rel=0.03)
    assert logs.mean() - 0.125 == pytest.approx(-truth / 2, abs=8e-4)
    assert relative_variances(np.ones(3), 1).tolist() == [0.0] * 3
    assert relative_variances(np.full(3, 0.02), 50) == pytest.approx(0.0, abs=1e-15)


def test_differences_have_their_centre_and_spread() -> None:
    scores = []
    weights = np.random.default_rng(1).uniform(0.5, 2.0, 400)
    for seed in range(300):
        logs, c = simulate(20, 400, 2 * seed)
        other, d = simulate(80, 400, 2 * seed + 1)
        fresh = sums(float(weights @ other), d, weights)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NumericalWarning)
            found = compare_draws(float(weights @ logs), c, 20, fresh, 80)
        scores.append((found.difference - found.expected) / found.standard_error)
    assert abs(np.mean(scores)) < 0.2
    assert np.std(scores) == pytest.approx(1.0, abs=0.1)


def test_what_draws_do_not_explain_is_warned_of() -> None:
    c, w = np.full(100, 1.1 / 64), np.ones(100)
    fresh = sums(-500.0, np.full(100, 1.1 / 256), w)
    found = compare_draws(-500.9, c, 64, fresh, 256)
    assert found.is_explained and found.draws == 256
    assert found.difference == pytest.approx(0.9)
    v = 0.1 / 63, 0.1 / 255
    assert found.expected == pytest.approx(50 * (v[0] - v[1]))
    assert found.standard_error == pytest.approx(np.sqrt(100 * (v[0] + v[1])))
    with pytest.warns(NumericalWarning, match=r"-502.*-500 with 256 fresh draws"):
        assert not compare_draws(-502.0, c, 64, fresh, 256).is_explained


def test_rises_that_matter_are_told_although_draws_explain_them() -> None:
    rng = np.random.default_rng(0)
    concentrations = rng.uniform(0.3, 0.6, 100)  # two or three effective draws of 16
    fresh = LikelihoodSums(
        log_likelihood=-80.0,
        score=np.empty(0),
        nonfinite=0,
        people=100,
        scores=np.empty((0, 0)),
        weights=np.ones(100),
        concentrations=np.full(100, 1.0 / 64),
    )
    with pytest.warns(NumericalWarning, match="rises to -80 with 64 fresh draws"):
        found = compare_draws(-95.0, concentrations, 16, fresh, 64)
    assert found.is_explained and found.is_large
    alike = compare_draws(-80.5, concentrations, 16, fresh, 64)
    assert not alike.is_large
