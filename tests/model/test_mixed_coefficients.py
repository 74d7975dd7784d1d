"""θ becomes b, L and coefficients as the alphabet of kinds says."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from blpdask.choice_records import CENTRED, KINDS, MixedCoefficients
from blpdask.model.mixed_coefficients import drawn_coefficients, mixed_tastes
from tests.kernels.plain_choices import plain_coefficients


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "fixed"])
def test_coefficients_of_every_kind(kind: str) -> None:
    mixed = MixedCoefficients(("a", "b"), ("fixed", kind))
    means = [3.0] if kind in CENTRED else [3.0, 0.25]
    theta = np.array([*means, -1.5])
    z = np.linspace(-2.0, 2.0, 9)
    beta = drawn_coefficients(mixed_tastes(mixed, theta), z[:, None])
    plain = [plain_coefficients(mixed, theta, own, np.empty(0)) for own in z[:, None]]
    np.testing.assert_array_equal(beta[:, 0], 3.0)
    np.testing.assert_allclose(beta, plain, rtol=1e-13, atol=1e-14)


def test_truncated_coefficients_are_normal_where_positive() -> None:
    mixed = MixedCoefficients(("a",), ("truncated",))
    z = stats.norm.ppf((np.arange(40_000) + 0.5) / 40_000)
    for b, s in ((1.0, 0.5), (-1.0, 1.0), (-4.0, 1.0)):
        beta = drawn_coefficients(mixed_tastes(mixed, np.array([b, s])), z[:, None])
        law = stats.truncnorm(-b / s, np.inf, loc=b, scale=s)
        assert beta.min() > 0
        assert beta.mean() == pytest.approx(law.mean(), rel=1e-4)
        assert beta.std() == pytest.approx(law.std(), rel=1e-3)


@pytest.mark.parametrize("scale", ["a", "scale"])
def test_scales_multiply_what_they_do_not_name(scale: str) -> None:
    mixed = MixedCoefficients(
        ("a", "b", "c"),
        ("lognormal", "normal", "fixed"),
        demographics=("income",),
        shifted=((1, 0),),
        scale=scale,
    )
    rng = np.random.default_rng(0)
    theta = rng.normal(size=mixed.size)
    z, d = rng.normal(size=(7, mixed.random.size)), rng.normal(size=1)
    beta = drawn_coefficients(mixed_tastes(mixed, theta), z, d)
    plain = [plain_coefficients(mixed, theta, own, d) for own in z]
    np.testing.assert_allclose(beta, plain, rtol=1e-14)


def test_blocks_of_coefficients_are_correlated_within() -> None:
    mixed = MixedCoefficients(
        ("a", "b", "c", "d"), ("normal",) * 4, correlated=((0, 2), (1, 3))
    )
    assert mixed.entries == ((0, 0), (1, 1), (2, 0), (2, 2), (3, 1), (3, 3))
    assert mixed.parameter_labels[4:] == (
        *("chol.a:a", "chol.b:b", "chol.c:a", "chol.c:c", "chol.d:b", "chol.d:d"),
    )


def test_loadings_stand_row_by_row() -> None:
    kinds = ("normal", "fixed", "lognormal", "uniform")
    mixed = MixedCoefficients(("a", "b", "c", "d"), kinds, correlated=True)
    assert mixed.size == 10
    tastes = mixed_tastes(mixed, np.arange(10.0))
    expected = [[4, 0, 0], [0, 0, 0], [5, 6, 0], [7, 8, 9]]
    np.testing.assert_array_equal(tastes.loadings, expected)
    np.testing.assert_array_equal(tastes.b, [0, 1, 2, 3])
    assert tastes.rows.tolist() == [0, 2, 2, 3, 3, 3]
    assert tastes.columns.tolist() == [0, 0, 1, 0, 1, 2]
    assert tastes.size == mixed.size == len(mixed.parameter_labels)


def test_without_random_coefficients_there_are_no_draws() -> None:
    mixed = MixedCoefficients(("a", "b"), ("fixed", "fixed"))
    tastes = mixed_tastes(mixed, np.array([1.0, 2.0]))
    assert tastes.loadings.shape == (2, 0)
    beta = drawn_coefficients(tastes, np.empty((5, 0)))
    np.testing.assert_array_equal(beta, np.tile([1.0, 2.0], (5, 1)))
