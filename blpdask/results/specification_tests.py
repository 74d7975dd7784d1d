"""Tests of the specification from estimates.

Hansen's (1982) J = N ḡ'W ḡ is χ² with M - P degrees of freedom under correct moments if
W is the inverse of their covariance, that is after two steps. Newey and West's (1987)
distance, Lagrange multiplier and Wald statistics test restrictions. Where concentrated
parameters ignore some of the moments, q is not minimal over all parameters: J is that
of :mod:`blpdask.moments.ignored_moments`, and of the others the Wald statistic is left.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..errors import Faults
from ..moments.ignored_moments import projected_statistic
from ..records import Floats
from .estimates import GmmEstimates
from .test_statistic import TestStatistic


def hansen_test(estimates: GmmEstimates) -> TestStatistic:
    """Test over-identifying restrictions; the p-value is NaN without any."""
    if estimates.ignores_moments:
        J = projected_statistic(
            estimates.moments,
            estimates.moments_jacobian,
            estimates.parameter_sensitivity,
            estimates.moments_covariances,
        )
        J = estimates.n_products * J
        return TestStatistic(J, estimates.n_overidentifying, "Hansen's J")
    scale = 1.0 if estimates.scaled_objective else float(estimates.n_products)
    statistic = scale * float(estimates.objective)
    return TestStatistic(statistic, estimates.n_overidentifying, "Hansen's J")


def distance_test(
    restricted: GmmEstimates, unrestricted: GmmEstimates
) -> TestStatistic:
    """Test restrictions by the difference of two J, W being the same.

    Raises
    ------
    InputError
        Where concentrated parameters ignore some of the moments.
    """
    _check_nothing_ignored("distance test", (restricted, unrestricted))
    difference = hansen_test(restricted) - hansen_test(unrestricted)
    dof = unrestricted.parameters.size - restricted.parameters.size
    return TestStatistic(difference, dof, "Distance")


def lm_test(
    estimates: GmmEstimates, n_restrictions: int | None = None
) -> TestStatistic:
    """Test by the score N ḡ'W G V G'W ḡ at restricted estimates.

    Parameters
    ----------
    estimates
        Of the unrestricted model, at the restricted estimates.
    n_restrictions
        How many restrictions those meet; where None, as many as θ has elements, for a
        θ that was given as a whole. What is concentrated out of the objective has a
        score of zero and is never restricted.

    Raises
    ------
    InputError
        Where there are not that many parameters, or concentrated ones ignore some of
        the moments.
    """
    _check_nothing_ignored("LM test", (estimates,))
    faults = Faults("LM test")
    most = estimates.parameters.size
    Q = estimates.theta.size if n_restrictions is None else n_restrictions
    if isinstance(Q, bool) or not isinstance(Q, int | np.integer) or not 0 <= Q <= most:
        faults.add(
            f"n_restrictions = {n_restrictions!r}",
            f"an integer from 0 to {most}, the number of parameters",
            "count the restrictions that the estimates meet",
        )
    faults.check()
    G, W, g = estimates.moments_jacobian, estimates.W, estimates.moments
    score = G.T @ W @ g
    quadratic = score.T @ estimates.parameter_covariances @ score
    statistic = estimates.n_products * float(quadratic.item())
    return TestStatistic(statistic, int(Q), "Lagrange multiplier")


def _check_nothing_ignored(test: str, found: Sequence[GmmEstimates]) -> None:
    """Refuse tests that hold where the objective is minimal over all parameters."""
    faults = Faults(test)
    if any(estimates.ignores_moments for estimates in found):
        faults.add(
            "estimates of which concentrated parameters ignore covariance moments",
            "an objective that is minimal over all parameters",
            "use run_wald_test, method='cue', or give starting values of all of beta "
            "and gamma",
        )
    faults.check()


def wald_test(
    estimates: GmmEstimates, restrictions: Floats, restrictions_jacobian: Floats
) -> TestStatistic:
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
    return TestStatistic(float(statistic), r.size, "Wald")
