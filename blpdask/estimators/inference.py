"""What is inferred at the end of a GMM step: weights and standard errors, from sums."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import scipy.linalg

from ..errors import NumericalWarning
from ..model.parameters import Matrices, Parameters, expand, spread
from ..moments.covariances import MomentSums, moment_covariances
from ..moments.ignored_moments import (
    ignores_moments,
    ignoring_sensitivity,
    sandwich,
)
from ..moments.objective import GmmPoint, LinearGmm
from ..moments.variance import (
    parameter_covariances,
    sigma_squared_errors,
)
from ..moments.weighting import (
    CovarianceType,
    describe_indefinite,
    invert_covariances,
)
from ..records import Floats, Integers
from .gmm_options import GmmOptions


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
    notes: tuple[str, ...]


def infer(
    parameters: Parameters,
    linear: LinearGmm,
    theta: Floats,
    point: GmmPoint,
    sums: MomentSums,
    ZtZ: Floats,
    equations: Integers,
    options: GmmOptions,
    step: int,
    S_simulation: Floats | None = None,
    micro_covariances: Floats | None = None,
) -> Inference:
    """Compute S, the updated W, and covariances of θ̂ and of concentrated b̂.

    Unadjusted standard errors of the first step use the inverse of S in place of W, so
    that they are scaled properly. The covariance of simulation error, where there is
    one, is part of every S; N times that of surveys' moments is its last block. Where b̂
    ignores moments that move with it, V is that of
    :mod:`blpdask.moments.ignored_moments` whatever the type, with the step's own W.
    """
    N = linear.n_observations
    G = np.hstack([point.moments_by_theta, point.moments_by_b])

    def covariances(kind: CovarianceType) -> Floats:
        S = moment_covariances(
            sums,
            kind,
            center=options.center_moments,
            ZtZ=ZtZ,
            equations=equations,
        )
        S = S if S_simulation is None else S + S_simulation
        if micro_covariances is None:
            return S
        return np.asarray(scipy.linalg.block_diag(S, N * micro_covariances))

    S = covariances(options.se_type)
    S_weights = S if options.W_type == options.se_type else covariances(options.W_type)
    notes = _warn_of_indefinite({options.se_type: S, options.W_type: S_weights})
    updated = invert_covariances(S_weights, "the covariance matrix of the moments")
    unadjusted = options.se_type == "unadjusted"
    W = linear.W
    if unadjusted and step == 1:
        W = invert_covariances(S, "the covariance matrix of the moments")
    if options.estimator != "cue" and ignores_moments(point, linear.ZtX.shape[0]):
        sensitivity = ignoring_sensitivity(linear, point)
        V = sandwich(sensitivity, S)
    else:
        V, sensitivity = parameter_covariances(G, W, S, unadjusted=unadjusted)
    entries = [(e.row, e.column) for e in parameters.free if e.matrix == "sigma"]
    n_sigma = len(entries)
    with np.errstate(invalid="ignore"):
        errors = np.sqrt(V.diagonal() / N)
    matrices = spread(parameters, errors[: parameters.size])
    if (last := parameters.last_type) is not None:
        own = [p for p, e in enumerate(parameters.free) if e.matrix == "type_shares"]
        # Its share is one minus the others', and so is its error but for the sign.
        if own:
            with np.errstate(invalid="ignore"):
                error = np.sqrt(V[np.ix_(own, own)].sum() / N)
            matrices.type_shares[last, 0] = error
    K1, found = matrices.beta.size, errors[parameters.size :]
    beta, gamma = linear.concentrated[:K1], linear.concentrated[K1:]
    matrices.beta[beta, 0] = found[: beta.sum()]
    matrices.gamma[gamma, 0] = found[beta.sum() :]
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
        notes=notes,
    )


def _warn_of_indefinite(found: dict[CovarianceType, Floats]) -> tuple[str, ...]:
    """Warn of covariances of moments by clusters that have negative eigenvalues."""
    notes = []
    for kind, S in found.items():
        described = describe_indefinite(S) if kind == "clustered" else None
        if described is not None:
            notes.append(
                f"the clustered covariance matrix of the moments has {described}; "
                "standard errors may not exist and its inverse is no weighting matrix "
                "(type 'clustered_psd' sets such eigenvalues to zero)"
            )
            warnings.warn(notes[-1], NumericalWarning, stacklevel=4)
    return tuple(notes)
