"""How a GMM estimation is done, as one frozen record."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from ..model.inversion import Iterate
from ..model.parameters import Parameters, expand
from ..moments.supply import CostState
from ..moments.weighting import CovarianceType
from ..records import Floats, InversionControls, PriceTastes

ErrorBehavior = Literal["revert", "punish", "raise"]
DeltaBehavior = Literal["anchor", "first", "last", "logit"]
Estimator = Literal["steps", "iterated", "cue"]


@dataclass(frozen=True, slots=True)
class CostRule:
    """How marginal costs follow from markups.

    Attributes
    ----------
    log
        Whether it is the logarithm of costs that is linear in X3.
    lower, upper
        Bounds that costs are set to where they are beyond.
    """

    log: bool = False
    lower: float = -np.inf
    upper: float = np.inf


@dataclass(frozen=True, slots=True)
class GmmOptions:
    """Options of a GMM estimation, by PyBLP's names.

    Attributes
    ----------
    estimator
        ``"steps"``, ``"iterated"`` until the weights settle, or ``"cue"``, whose first
        step is one of fixed weights and whose second continuously updates them.
    n_steps
        1 or 2; the most steps where iterated.
    steps_tolerance
        Change of weights and estimates at which iterated steps have settled
        (:mod:`blpdask.estimators.iterated`).
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
    costs
        How costs follow from markups, where there is a supply side.
    covariance_mean
        m of moments E[(ξω - m) Z_C] = 0, where there are covariance instruments.
    factor_bytes
        Bound on the factors of share Jacobians, 4 Σ_t J_t (J_t + 1) bytes of all
        markets, that an evaluation leaves for the next; if they exceed it, none are
        kept.
    """

    estimator: Estimator = "steps"
    n_steps: int = 2
    steps_tolerance: float = 1e-6
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
    covariance_mean: float = 0.0
    costs: CostRule = CostRule()


def cost_state(parameters: Parameters, theta: Floats, rule: CostRule) -> CostState:
    """Say how costs follow from markups at θ ``(P,)``."""
    beta = expand(parameters, theta).beta[:, 0]
    priced = np.flatnonzero(parameters.priced)
    in_theta = parameters.places.columns[0][parameters.places.priced]
    return CostState(
        tastes=PriceTastes(beta=beta[priced], free=np.searchsorted(priced, in_theta)),
        log=rule.log,
        lower=rule.lower,
        upper=rule.upper,
    )
