"""What is computed at the end of a GMM step: errors, weights, standard errors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..model.inversion import InversionMemory
from ..model.parameters import Matrices, Parameters, expand, spread
from ..moments.objective import GmmPoint, LinearGmm
from ..moments.variance import (
    parameter_covariances,
    sigma_squared_errors,
)
from ..moments.weighting import CovarianceType, invert_covariances, moment_covariances
from ..problem.demand_problem import DemandProblem
from ..problem.products import take_out
from ..records import Floats
from .gmm_options import GmmOptions


@dataclass(frozen=True, slots=True)
class StructuralErrors:
    """δ and its parts, in the user's row order.

    Attributes
    ----------
    delta, xi, xi_fe
        ``(N, 1)`` with δ = X1 β + ξ + ξ_fe.
    xi_by_theta
        ``(N, P)`` ∂ξ/∂θ given β, effects not absorbed.
    """

    delta: Floats
    xi: Floats
    xi_fe: Floats
    xi_by_theta: Floats


@dataclass(frozen=True, slots=True)
class Inference:
    """Covariances of moments and of estimates, and the next weighting matrix."""

    moments_jacobian: Floats
    moments_covariances: Floats
    updated_W: Floats
    covariances: Floats
    sensitivity: Floats
    errors: Matrices
    sigma_squared_errors: Floats


def structural_errors(
    problem: DemandProblem,
    parameters: Parameters,
    beta: Floats,
    memories: list[InversionMemory],
) -> StructuralErrors:
    """Recover ξ = M(δ - X1 β) from the blocks' δ, once a step.

    Parameters
    ----------
    beta
        ``(K1, 1)``.
    memories
        What the blocks remember of the final evaluation, in block order.
    """
    products = problem.products
    delta = problem.in_user_order(np.concatenate([m.delta for m in memories]))
    slopes = problem.in_user_order(np.vstack([m.delta_by_theta for m in memories]))
    linear = [e.row for e in parameters.free if e.matrix == "beta"]
    absorbed = take_out(delta[:, None], products.effects, products.absorption)
    xi = absorbed[:, 0] - products.X1_absorbed @ beta[:, 0]
    fe = np.zeros_like(xi)
    if products.effects:
        fe = delta - products.X1 @ beta[:, 0] - xi
    return StructuralErrors(
        delta=delta[:, None],
        xi=xi[:, None],
        xi_fe=fe[:, None],
        xi_by_theta=np.hstack([slopes, -products.X1[:, linear]]),
    )


def infer(
    problem: DemandProblem,
    parameters: Parameters,
    linear: LinearGmm,
    theta: Floats,
    point: GmmPoint,
    xi: Floats,
    options: GmmOptions,
    step: int,
) -> Inference:
    """Compute S, the updated W, and covariances of θ̂ and of concentrated β̂.

    Unadjusted standard errors of the first step use the inverse of S in place of W, so
    that they are scaled properly.
    """
    N = problem.n_products
    concentrated = linear.ZtX[:, linear.concentrated].astype(np.float64)
    G = np.hstack([point.moments_by_theta, -concentrated / N])
    S_weights = _covariances(problem, xi, options.W_type, center=options.center_moments)
    updated = invert_covariances(S_weights, "the covariance matrix of the moments")
    S = S_weights
    if options.se_type != options.W_type:
        S = _covariances(problem, xi, options.se_type, center=options.center_moments)
    unadjusted = options.se_type == "unadjusted"
    W = linear.W
    if unadjusted and step == 1:
        W = invert_covariances(S, "the covariance matrix of the moments")
    V, sensitivity = parameter_covariances(G, W, S, unadjusted=unadjusted)
    entries = [(e.row, e.column) for e in parameters.free if e.matrix == "sigma"]
    n_sigma = len(entries)
    with np.errstate(invalid="ignore"):
        errors = np.sqrt(V.diagonal() / N)
    matrices = spread(parameters, errors[: parameters.size])
    matrices.beta[linear.concentrated, 0] = errors[parameters.size :]
    return Inference(
        moments_jacobian=G,
        moments_covariances=S,
        updated_W=updated,
        covariances=V,
        sensitivity=sensitivity,
        errors=matrices,
        sigma_squared_errors=sigma_squared_errors(
            expand(parameters, theta).sigma, V[:n_sigma, :n_sigma], entries, N
        ),
    )


def _covariances(
    problem: DemandProblem, xi: Floats, kind: CovarianceType, *, center: bool
) -> Floats:
    products = problem.products
    return moment_covariances(
        xi[:, 0], products.ZD, kind, center=center, clusters=products.clusters
    )
