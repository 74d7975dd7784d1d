"""θ becomes b, L and coefficients as the alphabet of kinds says."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit

from blpdask.choice_records import KINDS, MixedCoefficients
from blpdask.model.mixed_coefficients import drawn_coefficients, mixed_tastes

H = {
    "lognormal": np.exp,
    "censored": lambda eta: np.maximum(eta, 0.0),
    "johnson": expit,
}


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "fixed"])
def test_coefficients_of_every_kind_and_their_slopes(kind: str) -> None:
    mixed = MixedCoefficients(("a", "b"), ("fixed", kind))
    tastes = mixed_tastes(mixed, np.array([3.0, 0.25, -1.5]))
    z = np.linspace(-2.0, 2.0, 9)
    beta, slopes = drawn_coefficients(tastes, z[:, None])
    h = H.get(kind, lambda eta: eta)
    eta = 0.25 - 1.5 * z
    np.testing.assert_array_equal(beta[:, 0], 3.0)
    np.testing.assert_allclose(beta[:, 1], h(eta), rtol=1e-15)
    slope = (h(eta + 1e-6) - h(eta - 1e-6)) / 2e-6
    np.testing.assert_allclose(slopes[:, 1], slope, rtol=1e-8, atol=1e-9)


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
    beta, _ = drawn_coefficients(tastes, np.empty((5, 0)))
    np.testing.assert_array_equal(beta, np.tile([1.0, 2.0], (5, 1)))
