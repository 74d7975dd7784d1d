"""Tests of the specification from estimates.

Hansen's (1982) J = N ḡ'W ḡ is χ² with M - P degrees of freedom under correct moments if
W is the inverse of their covariance, that is after two steps. Newey and West's (1987)
distance, Lagrange multiplier and Wald statistics test restrictions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import Faults
from ..records import Floats
from .estimates import GmmEstimates


@dataclass(frozen=True, slots=True)
class TestResult:
    """A χ² statistic, its degrees of freedom and its p-value."""

    __test__ = False

    statistic: float
    degrees: int
    p_value: float


def hansen_test(estimates: GmmEstimates) -> TestResult:
    """Test over-identifying restrictions; the p-value is NaN without any."""
    scale = 1.0 if estimates.scaled_objective else float(estimates.n_products)
    return _chi_squared(scale * estimates.objective, estimates.n_overidentifying)


def distance_test(restricted: GmmEstimates, unrestricted: GmmEstimates) -> TestResult:
    """Test restrictions by the difference of two J, W being the same."""
    difference = hansen_test(restricted).statistic - hansen_test(unrestricted).statistic
    degrees = unrestricted.parameters.size - restricted.parameters.size
    return _chi_squared(difference, degrees)


def lm_test(estimates: GmmEstimates) -> TestResult:
    """Test by the score N ḡ'W G V G'W ḡ at (restricted) estimates."""
    G, W, g = estimates.moments_jacobian, estimates.W, estimates.moments
    score = G.T @ W @ g
    quadratic = score.T @ estimates.parameter_covariances @ score
    statistic = estimates.n_products * float(quadratic.item())
    return _chi_squared(statistic, estimates.parameters.size)


def wald_test(
    estimates: GmmEstimates, restrictions: Floats, restrictions_jacobian: Floats
) -> TestResult:
    """Test r(θ) = 0 by N r'(R V R')⁻¹ r.

    Parameters
    ----------
    estimates
        Unrestricted estimates.
    restrictions
        ``(Q,)`` r at the estimates.
    restrictions_jacobian
        ``(Q, P + C)`` R = ∂r/∂(θ', β')', columns in the order of ``parameters``:
        θ, then what is concentrated out of β.

    Raises
    ------
    InputError
        Where R has another shape.
    """
    r = np.asarray(restrictions, dtype=np.float64).reshape(-1, 1)
    R = np.atleast_2d(np.asarray(restrictions_jacobian, dtype=np.float64))
    if R.shape != (r.size, estimates.parameters.size):
        faults = Faults("Wald test")
        faults.add(
            f"a Jacobian of shape {R.shape} for {r.size} restrictions",
            f"shape ({r.size}, {estimates.parameters.size}): a row a restriction, a "
            "column each of results.parameters (theta, then concentrated beta)",
            "pass the Jacobian of that shape",
        )
        faults.check()
    V = estimates.parameter_covariances
    statistic = estimates.n_products * (r.T @ np.linalg.solve(R @ V @ R.T, r)).item()
    return _chi_squared(float(statistic), r.size)


def _chi_squared(statistic: float, degrees: int) -> TestResult:
    from scipy.special import chdtrc

    p_value = float(chdtrc(degrees, max(statistic, 0.0))) if degrees > 0 else np.nan
    return TestResult(statistic, degrees, p_value)
