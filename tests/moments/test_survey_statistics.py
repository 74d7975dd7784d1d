"""Statistics of means beside NumPy's, and their gradients beside differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from blpdask.moments.survey_statistics import MEANS, Kind, SurveyStatistic

KINDS: list[Kind] = ["mean", "variance", "covariance", "correlation", "regression"]


def sample() -> tuple[Any, Any, Any, Any]:
    """Draw x, y, a condition and weights that sum to one."""
    rng = np.random.default_rng(0)
    x = rng.normal(2, 1, 500)
    y = 0.5 * x + rng.normal(size=500)
    weights = rng.uniform(size=500)
    return x, y, (rng.uniform(size=500) < 0.4) * 1.0, weights / weights.sum()


def means(kind: Kind, conditional: bool) -> Any:
    x, y, g, weights = sample()
    g = g if conditional else np.ones_like(g)
    variables = {"x": x, "y": y}
    found = [
        weights @ (np.prod([variables[v] for v in term], axis=0) * g)
        for term in MEANS[kind]
    ]
    return np.array([*found, weights @ g] if conditional else found)


def reference(kind: Kind, conditional: bool) -> float:
    x, y, g, weights = sample()
    own = weights * g if conditional else weights
    cov = np.cov(x, y, ddof=0, aweights=own)
    return {
        "mean": np.average(x, weights=own),
        "variance": cov[0, 0],
        "covariance": cov[0, 1],
        "correlation": cov[0, 1] / np.sqrt(cov[0, 0] * cov[1, 1]),
        "regression": np.polyfit(x, y, 1, w=np.sqrt(own))[0],
    }[kind]


@pytest.mark.parametrize("conditional", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_values_are_numpys(kind: Kind, conditional: bool) -> None:
    found = SurveyStatistic(kind, conditional).value(means(kind, conditional))
    np.testing.assert_allclose(found, reference(kind, conditional), rtol=1e-11)


@pytest.mark.parametrize("conditional", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_derivatives(kind: Kind, conditional: bool) -> None:
    statistic, v = SurveyStatistic(kind, conditional), means(kind, conditional)
    found = statistic.gradient(v)
    assert found.shape == v.shape
    for p in range(v.size):
        step = np.zeros_like(v)
        step[p] = 1e-6 * max(abs(v[p]), 1.0)
        rise = statistic.value(v + step) - statistic.value(v - step)
        np.testing.assert_allclose(found[p], rise / (2 * step[p]), rtol=1e-7, atol=1e-9)


def test_what_is_undefined_is_not_a_number() -> None:
    assert np.isnan(SurveyStatistic("mean", conditional=True).value(np.zeros(2)))
    degenerate = SurveyStatistic("correlation", conditional=False)
    assert not np.isfinite(degenerate.value(np.array([1.0, 1, 1, 1, 1])))
