"""Say estimates in other parameters: φ = f(θ), with Jacobian J = ∂φ/∂θ'.

At a maximum of a likelihood, where its slope is zero,

    V_φ = J V_θ J',   H_φ = J⁻ᵀ H_θ J⁻¹,   s_φ = J⁻ᵀ s_θ.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ..choice_records import LikelihoodEstimates
from ..records import Floats


def move_estimates(
    estimates: LikelihoodEstimates, theta: Floats, jacobian: Floats, coefficients: Any
) -> LikelihoodEstimates:
    """Say estimates in parameters ``theta`` ``(P,)``, of a ``jacobian`` ``(P, P)``."""
    inverse = np.linalg.inv(jacobian)
    return replace(
        estimates,
        coefficients=coefficients,
        theta=theta,
        gradient=inverse.T @ estimates.gradient,
        hessian=inverse.T @ estimates.hessian @ inverse,
        scores=estimates.scores @ inverse,
        covariances=jacobian @ estimates.covariances @ jacobian.T,
    )
