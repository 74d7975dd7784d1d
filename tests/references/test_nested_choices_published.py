"""A nested logit of public data against Biogeme's example b09.

Train and car are one nest, Swissmetro another; Biogeme's parameter of the nest is
μ = 1 / (1 - ρ). Its search ended with a gradient of 0.02, so that its log-likelihood is
lower by a millionth.
"""

from __future__ import annotations

import numpy as np
import pytest

import blpdask
from tests.references.swissmetro import swissmetro

MU = 2.053861971576688
#: Of car, train, cost, time and μ, as Biogeme has them in another order.
BETA = [-0.1671412588783079, -0.5119527799896476, -0.8567013991610065]
BETA += [-0.8987156175955782]
#: Of train, time, cost, μ and car.
HESSIAN = np.array(
    [
        [-1724.8679198, -678.0764547, 152.8674230, 343.4249623, 1142.5602696],
        [-678.0764547, -1066.5298353, 316.0941474, 270.5305000, -183.1094309],
        [152.8674230, 316.0941474, -720.0988219, 52.5521599, 216.4924528],
        [343.4249623, 270.5305000, 52.5521599, -192.9668016, -198.0147340],
        [1142.5602696, -183.1094309, 216.4924528, -198.0147340, -2041.7439199],
    ]
)


def test_train_and_car_are_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blpdask.options, "verbose", False)
    table = swissmetro()
    nests = np.where(table["alternative_ids"] == 2, "new", "existing")
    problem = blpdask.NestedChoiceProblem(
        blpdask.Formulation("0 + car + train + cost + time"),
        table.assign(nesting_ids=nests),
    )
    found = problem.solve(engine="serial", se_type="hessian")
    assert found.converged
    assert found.log_likelihood == pytest.approx(-5236.900015159112, abs=3e-6)
    assert found.log_likelihood > -5236.900015159112
    assert found.log_likelihood_at_zero == pytest.approx(-6964.662979192, abs=1e-8)
    np.testing.assert_allclose(found.beta, BETA, atol=2e-4)
    assert found.nests == ("existing", "new")
    np.testing.assert_allclose(found.rho, [1 - 1 / MU, 0.0], atol=1e-4)
    errors = np.sqrt(np.diag(np.linalg.inv(-HESSIAN)))[[4, 0, 2, 1, 3]]
    errors[-1] /= MU**2
    np.testing.assert_allclose(found.standard_errors, errors, rtol=2e-3)
