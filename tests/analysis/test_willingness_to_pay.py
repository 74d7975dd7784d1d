"""Quantiles of unequal weights, moments that exist, slopes of ratios, sums."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from blpdask.analysis.choice_probabilities import At
from blpdask.analysis.willingness_to_pay import (
    WillingnessQuery,
    fixed_slopes,
    has_moments,
    weighted_quantiles,
    willingness_pass,
)
from blpdask.choice_records import KINDS, MixedCoefficients
from tests.kernels.plain_choices import draw_people, plain_coefficients


def test_quantiles_of_unequal_weights_are_of_repeated_values() -> None:
    rng = np.random.default_rng(0)
    values, counts = rng.normal(size=400), rng.integers(1, 5, 400)
    at = np.array([0.1, 0.35, 0.5, 0.9])
    found = weighted_quantiles(values, counts.astype(float), at)
    repeated = np.quantile(np.repeat(values, counts), at, method="hazen")
    np.testing.assert_allclose(found, repeated, atol=0.02)
    ones = weighted_quantiles(values, np.full(400, 0.25), at)
    np.testing.assert_allclose(ones, np.quantile(values, at, method="hazen"))


@pytest.mark.parametrize("kind", KINDS)
def test_moments_exist_away_from_zero(kind: str) -> None:
    mixed = MixedCoefficients(("price",), (kind,))
    away, across = np.array([[-2.0, -0.5]]), np.array([[-2.0, -0.5], [-1.0, 0.1]])
    far = kind in ("fixed", "lognormal", "johnson", "uniform", "triangular")
    assert has_moments(mixed, 0, away) == far
    assert not has_moments(mixed, 0, across)


@pytest.mark.parametrize("scale", ["", "price", "size"])
def test_slopes_of_ratios_are_differences(scale: str) -> None:
    mixed = MixedCoefficients(("price", "size"), ("fixed", "fixed"), scale=scale)
    b, h = np.array([-1.3, 0.4]), 1e-6
    slopes, ratio = fixed_slopes(mixed, b, 1, 0)

    def ratio_at(b: np.ndarray) -> float:
        beta = plain_coefficients(mixed, b, np.empty(0), np.empty(0))
        return float(-beta[1] / beta[0])

    np.testing.assert_allclose(ratio, ratio_at(b), rtol=1e-14)
    for k in range(2):
        step = h * np.eye(2)[k]
        found = (ratio_at(b + step) - ratio_at(b - step)) / (2 * h)
        np.testing.assert_allclose(slopes[k], found, atol=1e-8)


def test_sums_are_over_all_people_and_draws() -> None:
    mixed = MixedCoefficients(
        ("price", "size"),
        ("lognormal", "normal"),
        demographics=("income",),
        shifted=((1, 0),),
    )
    theta = np.array([0.2, 0.5, 0.4, 0.3, 0.8])
    block = draw_people(6, 2, 2, 5, seed=1, M=1)
    block = replace(block, log_weights=np.log(np.arange(1.0, 31.0)).reshape(6, 5))
    query = WillingnessQuery(
        at=At(mixed, theta), column=1, price=0, factor=-2.0, stride=2
    )
    found, _ = willingness_pass(block, query, None)
    ratios = np.empty((6, 5))
    for i in range(6):
        for r in range(5):
            beta = plain_coefficients(
                mixed, theta, block.draws[i, r], block.demographics[i]
            )
            ratios[i, r] = 2.0 * beta[1] / beta[0]
    weights = np.exp(block.log_weights)
    weights *= (block.weights / weights.sum(axis=1))[:, None]
    np.testing.assert_allclose(found.weight, block.weights.sum(), rtol=1e-13)
    np.testing.assert_allclose(found.total, (weights * ratios).sum(), rtol=1e-12)
    np.testing.assert_allclose(found.squares, (weights * ratios**2).sum(), rtol=1e-12)
    np.testing.assert_allclose(found.values, ratios[::2].ravel(), rtol=1e-12)
    np.testing.assert_allclose(found.weights, weights[::2].ravel(), rtol=1e-12)
    assert found.ranges.shape == (1, 2) and found.ranges[0, 0] > 0


def test_people_who_are_alike_are_one() -> None:
    mixed = MixedCoefficients(("price", "size"), ("fixed", "normal"))
    theta = np.array([-1.5, 0.5, 0.4])
    block = draw_people(6, 2, 1, 5, seed=2)
    alike = replace(block, draws=block.draws[:1])
    tiled = replace(block, draws=np.tile(block.draws[:1], (6, 1, 1)))
    query = WillingnessQuery(
        at=At(mixed, theta), column=1, price=0, factor=1.0, stride=1
    )
    one, many = (willingness_pass(b, query, None)[0] for b in (alike, tiled))
    for name in ("weight", "total", "squares"):
        np.testing.assert_allclose(getattr(one, name), getattr(many, name), rtol=1e-12)
    assert one.values.size == 5 and many.values.size == 30
