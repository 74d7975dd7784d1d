"""Estimates of one GMM step: a frozen record under PyBLP's names and shapes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..records import Floats
from .rows_at_rest import Rows

Pair = tuple[Floats, Floats]
Flags = np.ndarray[Any, np.dtype[np.bool_]]
Counts = np.ndarray[Any, np.dtype[np.signedinteger[Any]]]


@dataclass(frozen=True, slots=True, eq=False)
class GmmEstimates:
    """What one GMM step found.

    Shapes use T markets, N products, K1, K2, K3, D, P parameters in θ, C concentrated
    parameters, M = MD + MS + MC moments and E evaluations. Standard errors of what is
    not free are NaN. Attributes are PyBLP's, and mean what they mean there. Arrays of N
    rows are in the order of the user's rows; of a problem at rest they stay on disk, in
    the order of its markets, and are read when asked for.
    """

    step: int
    objective: float
    scaled_objective: bool
    theta: Floats  # (P,)
    parameters: Floats  # (P + C, 1)
    parameter_covariances: Floats  # (P + C, P + C)
    parameter_sensitivity: Floats  # (P + C, M)
    sigma: Floats  # (K2, K2)
    sigma_squared: Floats  # (K2, K2)
    pi: Floats  # (K2, D)
    beta: Floats  # (K1, 1)
    sigma_se: Floats
    sigma_squared_se: Floats
    pi_se: Floats
    beta_se: Floats
    sigma_bounds: Pair
    pi_bounds: Pair
    beta_bounds: Pair
    sigma_labels: tuple[str, ...]
    pi_labels: tuple[str, ...]
    beta_labels: tuple[str, ...]
    theta_labels: tuple[str, ...]
    rc_types: tuple[str, ...]
    theta_bounds: Floats  # (P, 2)
    delta: Rows  # (N, 1)
    xi: Rows  # (N, 1)
    xi_fe: Rows  # (N, 1)
    xi_by_theta_jacobian: Rows  # (N, P)
    clipped_shares: Flags  # (N, 1)
    moments: Floats  # (M, 1)
    moments_jacobian: Floats  # (M, P + C)
    moments_covariances: Floats  # (M, M)
    W: Floats  # (M, M)
    updated_W: Floats  # (M, M)
    gradient: Floats  # (P, 1)
    projected_gradient: Floats  # (P, 1)
    projected_gradient_norm: float
    hessian: Floats  # (P, P)
    reduced_hessian: Floats  # (P, P)
    reduced_hessian_eigenvalues: Floats  # (P,)
    converged: bool
    optimizer_message: str
    optimization_iterations: int
    objective_evaluations: int
    optimization_time: float
    total_time: float
    fp_converged: Counts  # (T, E)
    fp_iterations: Counts  # (T, E)
    contraction_evaluations: Counts  # (T, E)
    se_type: str
    W_type: str
    n_clusters: int
    n_products: int
    n_markets: int
    warnings: tuple[str, ...]
    simulation_covariances: Floats | None = None  # (M, M), None if not resampled
    #: (K1 + K3,) which of β and γ are concentrated out of the objective
    concentrated: Flags = field(default_factory=lambda: np.empty(0, np.bool_))
    gamma: Floats = field(default_factory=lambda: np.empty((0, 1)))  # (K3, 1)
    gamma_se: Floats = field(default_factory=lambda: np.empty((0, 1)))
    gamma_bounds: Pair = field(
        default_factory=lambda: (np.empty((0, 1)), np.empty((0, 1)))
    )
    gamma_labels: tuple[str, ...] = ()
    rho: Floats = field(default_factory=lambda: np.empty((0, 1)))  # (H, 1) or (1, 1)
    rho_se: Floats = field(default_factory=lambda: np.empty((0, 1)))
    rho_bounds: Pair = field(
        default_factory=lambda: (np.empty((0, 1)), np.empty((0, 1)))
    )
    rho_labels: tuple[str, ...] = ()  # names of the H nests
    type_shares: Floats = field(default_factory=lambda: np.empty((0, 1)))  # (R, 1)
    type_shares_se: Floats = field(default_factory=lambda: np.empty((0, 1)))
    type_shares_bounds: Pair = field(
        default_factory=lambda: (np.empty((0, 1)), np.empty((0, 1)))
    )
    type_labels: tuple[str, ...] = ()  # names of the R types of agents
    tilde_costs: Rows | None = None  # (N, 1), None without a supply side
    omega: Rows | None = None  # (N, 1)
    omega_fe: Rows | None = None  # (N, 1)
    omega_by_theta_jacobian: Rows | None = None  # (N, P)
    clipped_costs: Flags | Rows | None = None  # (N, 1)
    cluster_counts: tuple[int, ...] = ()  # clusters of each way
    estimator: str = "steps"  # or "iterated", or "cue"
    micro: Floats = field(default_factory=lambda: np.empty((0, 1)))  # (MM, 1) observed
    #: less what the model predicts, micro_values (MM, 1)
    micro_values: Floats = field(default_factory=lambda: np.empty((0, 1)))
    micro_covariances: Floats = field(default_factory=lambda: np.empty((0, 0)))
    micro_by_theta_jacobian: Floats = field(default_factory=lambda: np.empty((0, 0)))
    phi: Floats = field(default_factory=lambda: np.empty((1, 0)))  # (E, E) or (E, 0)
    phi_se: Floats = field(default_factory=lambda: np.empty((1, 0)))
    phi_bounds: Pair = field(
        default_factory=lambda: (np.empty((1, 0)), np.empty((1, 0)))
    )
    phi_labels: tuple[str, ...] = ("Xi",)
    moment_types: tuple[str, ...] = ()  # of each moment; none where all are levels
    n_covariance_moments: int = 0  # MC, the last of the moments
    covariance_moments_mean: float = 0.0  # m of E[(ξω - m) Z_C] = 0

    @property
    def n_overidentifying(self) -> int:
        """Count moments beyond parameters, the degrees of freedom of Hansen's J."""
        return self.moments.size - self.parameters.size

    @property
    def ignores_moments(self) -> bool:
        """Tell whether concentrated parameters are found without all of the moments.

        Those of covariances move with them, but they minimise the others alone.
        """
        concentrated = self.parameters.size > self.theta.size
        steps = self.estimator != "cue"
        return self.n_covariance_moments > 0 and concentrated and steps
