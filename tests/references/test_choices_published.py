"""Mixed logits of public data against results that mlogit and xlogit publish.

Electricity is of mlogit's third vignette and of xlogit's tests, the log-likelihoods
with all their digits. Their standard errors add up choices, not people, so those here
were computed from the same likelihoods by independent code, at the level of people.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from blpdask.choice_records import (
    ChoiceBlock,
    LikelihoodEstimates,
    MixedCoefficients,
)
from blpdask.driver.serial import SerialEngine
from blpdask.estimators.likelihood_model import SimulatedLikelihood
from blpdask.estimators.simulated_likelihood import maximise_likelihood
from blpdask.records import Floats
from tests.references.choice_data import ELECTRICITY, TRAIN, electricity, train

NORMALS = MixedCoefficients(ELECTRICITY, ("normal",) * 6)
FEW = [
    *(-0.9733886, -0.2055599, 2.0757233, 1.4756462, -9.0525387, -9.1037485),
    *(0.2199412, 0.3783031, 1.4829756, 1.0000585, 2.2894780, 1.1808628),
]
#: θ, and standard errors from the Hessian, at 500 draws.
MANY = [
    *(-0.9941368, -0.2259324, 2.2935922, 1.6228171, -9.5704708, -9.5880154),
    *(0.2168650, 0.3889472, 1.8214827, 1.2271835, 2.4148521, 1.4010119),
]
HESSIAN = [
    *(0.0380300, 0.0251965, 0.1243344, 0.0915520, 0.3357240, 0.3176196),
    *(0.0161425, 0.0243110, 0.1175338, 0.0969360, 0.2141795, 0.1624673),
]
#: Of the means, tod's spread and seas' spread, where other kinds were computed.
PLACES = [0, 1, 2, 3, 4, 5, 6, 10, 11]
BHHH = [
    *(0.0281481, 0.0218863, 0.1280693, 0.0883475, 0.2423462, 0.2265678),
    *(0.0145503, 0.1508446, 0.1442000),
]
ROBUST = [
    *(0.0548463, 0.0296944, 0.1395122, 0.1043715, 0.5017677, 0.4711600),
    *(0.0185770, 0.3243449, 0.1873047),
]


def logit(block: ChoiceBlock, labels: tuple[str, ...]) -> LikelihoodEstimates:
    alike = replace(block, draws=np.empty((block.n_people, 1, 0)))
    fixed = MixedCoefficients(labels, ("fixed",) * len(labels))
    start = np.zeros(len(labels))
    return maximise_likelihood(
        [alike], SimulatedLikelihood(fixed, "numba"), start, engine=SerialEngine()
    )


def estimate(
    block: ChoiceBlock, mixed: MixedCoefficients, se_type: str = "robust"
) -> LikelihoodEstimates:
    means = logit(block, mixed.labels).theta
    start = np.concatenate([means, np.full(mixed.size - means.size, 0.1)])
    found = maximise_likelihood(
        [block],
        SimulatedLikelihood(mixed, "numba"),
        start,
        engine=SerialEngine(),
        se_type=se_type,
    )
    assert found.converged
    return found


def errors(found: LikelihoodEstimates) -> Floats:
    return np.asarray(np.sqrt(np.diag(found.covariances)))


def test_electricity_without_variance() -> None:
    found = logit(electricity(1), ELECTRICITY)
    assert found.log_likelihood == pytest.approx(-4958.649119, abs=1e-6)
    assert found.log_likelihood_at_zero == pytest.approx(-4308 * np.log(4), rel=1e-14)


def test_electricity_at_few_draws() -> None:
    found = estimate(electricity(100), NORMALS)
    assert found.log_likelihood == pytest.approx(-3952.48773238, abs=1e-8)
    np.testing.assert_allclose(found.theta, FEW, rtol=1e-6, atol=6e-8)


@pytest.mark.parametrize(
    ("se_type", "places", "expected"),
    [
        ("hessian", list(range(12)), HESSIAN),
        ("bhhh", PLACES, BHHH),
        ("robust", PLACES, ROBUST),
    ],
)
def test_electricity_at_many_draws(
    se_type: str, places: list[int], expected: list[float]
) -> None:
    found = estimate(electricity(500), NORMALS, se_type)
    assert found.log_likelihood == pytest.approx(-3891.71771353, abs=1e-8)
    np.testing.assert_allclose(found.theta, MANY, rtol=1e-6, atol=6e-8)
    np.testing.assert_allclose(errors(found)[places], expected, rtol=1e-5)
    assert np.abs(found.gradient).max() < 1e-8


def test_electricity_at_one_fixed_price() -> None:
    kinds = ("fixed", *("normal",) * 5)
    block = electricity(100)
    block = replace(block, draws=np.ascontiguousarray(block.draws[:, :, :5]))
    found = estimate(block, MixedCoefficients(ELECTRICITY, kinds))
    assert found.log_likelihood == pytest.approx(-3961.73528989, abs=1e-8)
    expected = [
        *(-0.8799023, -0.2170582, 2.0923036, 1.4909081, -8.5818366, -8.5832862),
        *(0.3734769, 1.5588575, 1.0508108, 2.6946546, 1.9507253),
    ]
    np.testing.assert_allclose(found.theta, expected, rtol=1e-6, atol=6e-8)


@pytest.mark.parametrize(
    ("correlated", "R", "expected"),
    [
        (False, 100, -1551.43172410),
        (False, 1000, -1543.04510793),
        (True, 100, -1530.12133028),
        (True, 1000, -1526.71743747),
    ],
)
def test_journeys_by_train(correlated: bool, R: int, expected: float) -> None:
    kinds = ("fixed", "normal", "normal", "normal")
    block, mixed = train(R), MixedCoefficients(TRAIN, kinds, correlated)
    found = estimate(block, mixed)
    assert found.log_likelihood == pytest.approx(expected, abs=1e-7)
    if correlated and R == 1000:
        L = np.zeros((3, 3))
        L[np.tril_indices(3)] = found.theta[4:]
        variances = [36.3752, 1.6650, 4.1516, 8.3916, 2.4588, 9.7127]
        found_here = (L @ L.T)[np.tril_indices(3)]
        np.testing.assert_allclose(found_here, variances, atol=6e-5)


def test_journeys_by_train_without_variance() -> None:
    found = logit(train(1), TRAIN)
    assert found.log_likelihood == pytest.approx(-1724.150027, abs=1e-6)
    expected = [0.32711347, 1.72055184, 0.32634101, 0.94572569]
    np.testing.assert_allclose(found.theta, expected, rtol=2e-7)
