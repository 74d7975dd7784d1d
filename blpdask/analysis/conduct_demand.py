"""How far do errors of the demand estimates carry? Their influence functions.

With moments h_j = (ξ_j z_Dj, ω_j z_Sj, (ξ_j ω_j - m) z_Cj), one row a product,
estimates of (θ, b) from weights W and derivatives Ḡ are, to first order,

    (θ̂, b̂) - (θ, b) ≈ (1/N) Σ_j Λ (h_j - ḡ),     Λ = -(Ḡ'WḠ)⁻¹ Ḡ'W

(Hansen 1982), the same rows and the same Λ as in standard errors, whose S is the mean
of (h_j - ḡ)(h_j - ḡ)'. At the minimum Λ ḡ = 0, so that taking ḡ off changes nothing
there. Moments of surveys and simulation error are no rows of the data: they add
Λ S₀ Λ' / N to the variance, S₀ their part of S.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.linalg

from ..model.parameters import Parameters
from ..moments.variance import parameter_covariances
from ..problem.demand_problem import DemandProblem
from ..records import Floats
from ..results.estimates import GmmEstimates


@dataclass(frozen=True, slots=True, eq=False)
class DemandPoint:
    """Estimates of demand, rows in the user's order.

    Attributes
    ----------
    parameters, theta
        Where θ̂ ``(P,)`` sits.
    beta
        ``(K1,)`` β̂, concentrated ones included.
    delta
        ``(N,)`` δ̂.
    """

    parameters: Parameters
    theta: Floats
    beta: Floats
    delta: Floats

    @property
    def concentrated_and_theta(self) -> int:
        """Count θ and what is concentrated out, P + C."""
        return self.parameters.size + int(self.parameters.concentrated.sum())


@dataclass(frozen=True, slots=True, eq=False)
class DemandError:
    """Influence of rows on the estimates of demand.

    Attributes
    ----------
    rows
        ``(N, M)`` h_j - ḡ, columns in the order of moments, of surveys left out.
    sensitivity
        ``(P + C, M + MM)`` Λ.
    beside
        ``(M + MM, M + MM)`` S₀, what S has beside the rows.
    """

    rows: Floats
    sensitivity: Floats
    beside: Floats

    @property
    def by_row(self) -> Floats:
        """Give Λ's columns of moments that have rows, ``(P + C, M)``."""
        return self.sensitivity[:, : self.rows.shape[1]]


def demand_error(demand: DemandProblem, estimates: GmmEstimates) -> DemandError:
    """Gather what estimates of demand owe to each row.

    Parameters
    ----------
    demand
        The problem, in memory.
    estimates
        Of moments of levels.
    """
    h = moment_rows(demand, estimates)
    M = h.shape[1]
    beside = np.zeros((M, M))
    if estimates.simulation_covariances is not None:
        beside = beside + estimates.simulation_covariances
    N = estimates.n_products
    surveys = N * estimates.micro_covariances
    return DemandError(
        rows=h - h.mean(axis=0),
        sensitivity=_sensitivity(estimates),
        beside=np.asarray(scipy.linalg.block_diag(beside, surveys)),
    )


def moment_rows(demand: DemandProblem, estimates: GmmEstimates) -> Floats:
    """Compute h, ``(N, M)``, the rows whose mean is ḡ without surveys."""
    products, supply = demand.products, demand.products.supply
    xi = np.asarray(estimates.xi)
    parts = [xi * products.ZD]
    if supply is not None:
        omega = np.asarray(estimates.omega)
        parts.append(omega * supply.ZS)
        if supply.ZC is not None:
            mean = estimates.covariance_moments_mean
            parts.append((xi * omega - mean) * supply.ZC)
    return np.hstack(parts)


def _sensitivity(estimates: GmmEstimates) -> Floats:
    """Compute Λ by the step's own W, whatever standard errors are.

    Unadjusted ones of a first step have another W in their Λ.
    """
    if estimates.ignores_moments:
        return estimates.parameter_sensitivity
    G, W = estimates.moments_jacobian, estimates.W
    return parameter_covariances(G, W, np.eye(len(W)), unadjusted=True)[1]
