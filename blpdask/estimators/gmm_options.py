"""How a GMM estimation is done, as one frozen record."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from ..model.inversion import Iterate
from ..moments.weighting import CovarianceType
from ..records import InversionControls

ErrorBehavior = Literal["revert", "punish", "raise"]
DeltaBehavior = Literal["anchor", "first", "last", "logit"]


@dataclass(frozen=True, slots=True)
class GmmOptions:
    """Options of a GMM estimation, by PyBLP's names.

    Attributes
    ----------
    n_steps
        1 or 2.
    initial_update
        Whether W and δ are updated at the starting values first.
    scale_objective
        Whether q is scaled by N.
    check_optimality
        ``"both"`` computes the Hessian after each step, ``"gradient"`` does not.
    finite_differences
        Whether ∂δ/∂θ comes from central differences instead of formulas.
    error_behavior, error_punishment
        What a failed evaluation does: goes on with reverted values, its objective
        multiplied by the punishment; becomes the punishment; or raises.
    delta_behavior
        Where inversions start: at the prediction from the last accepted evaluation
        (``"anchor"``), at the step's initial δ (``"first"``), at the last evaluation's
        δ (``"last"``), or at the plain logit's (``"logit"``).
    center_moments, W_type, se_type
        How covariances of moments are estimated.
    backend
        ``"numba"``, ``"numpy"`` or ``"cupy"``.
    controls, iterate
        How inversions iterate.
    epsilon
        Step of finite differences, absolute.
    factor_bytes
        Bound on the factors of share Jacobians, 4 Σ_t J_t (J_t + 1) bytes of all
        markets, that an evaluation leaves for the next; if they exceed it, none are
        kept.
    """

    n_steps: int = 2
    initial_update: bool = False
    scale_objective: bool = True
    check_optimality: Literal["gradient", "both"] = "both"
    finite_differences: bool = False
    error_behavior: ErrorBehavior = "revert"
    error_punishment: float = 1.0
    delta_behavior: DeltaBehavior = "anchor"
    center_moments: bool = True
    W_type: CovarianceType = "robust"
    se_type: CovarianceType = "robust"
    backend: str = "numba"
    controls: InversionControls = field(default_factory=InversionControls)
    iterate: Iterate | None = None
    epsilon: float = 2.0**-26
    factor_bytes: int = 2**30
