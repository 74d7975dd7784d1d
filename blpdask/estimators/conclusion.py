"""The record of a GMM step: what follows from its minimum, under PyBLP's names.

Three passes over the blocks, which remember δ of the final evaluation: one or more find
the levels of absorbed effects in δ - X1 β̂, one sums what covariances of moments need,
and one gives the rows themselves.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..driver.engine import Placement
from ..errors import NumericalWarning
from ..model.parameters import Parameters, expand
from ..moments.covariances import MomentState, MomentSums, moments_pass
from ..moments.demand import DemandSums
from ..moments.errors import EquationState, ErrorState
from ..moments.objective import LinearGmm
from ..moments.weighting import is_clustered
from ..problem.absorption_over_blocks import absorb_over_blocks
from ..problem.prepared import PreparedDemand
from ..records import Floats, Integers
from ..results.estimates import GmmEstimates
from ..results.rows_at_rest import Rows
from .autocorrelation import sum_by_type
from .gmm_objective import Evaluated, describe_failures, has_failed
from .gmm_options import GmmOptions
from .inference import Inference, infer
from .micro_moments import MicroRecord
from .optimizers.protocol import Outcome, projected_gradient
from .simulation_error import SimulationError
from .structural_rows import bring_rows


@dataclass(frozen=True, slots=True)
class StepRecord:
    """What happened in a step.

    Attributes
    ----------
    step
        Its number, 0 for an initial update.
    outcome
        How the optimisation ended.
    hessian
        ``(P, P)``, NaN where not computed.
    history
        Sums of every evaluation, in order.
    optimization_time, began
        Seconds in the optimiser, and the clock when the step began.
    """

    step: int
    outcome: Outcome
    hessian: Floats
    history: tuple[DemandSums, ...]
    optimization_time: float
    began: float


def conclude_step(
    problem: PreparedDemand,
    placement: Placement,
    parameters: Parameters,
    options: GmmOptions,
    linear: LinearGmm,
    final: Evaluated,
    record: StepRecord,
    name_markets: Callable[[Integers], str],
    simulation: SimulationError | None = None,
    micro: MicroRecord | None = None,
) -> GmmEstimates:
    """Compute ξ and ω, weights, standard errors and conditions of a minimum."""
    notes = tuple(_notes(final, record.outcome, name_markets))
    if simulation is not None:
        notes += simulation.notes
    # Where the search ended in failure, numbers may be beyond range; notes say so.
    with np.errstate(over="ignore", invalid="ignore"):
        errors = take_out_effects(problem, placement, final.point.b[:, 0], final.name)
        rows = bring_rows(
            problem,
            placement,
            parameters.places,
            errors,
            anchor=final.name,
            step=record.step,
        )
        sums = _sum_moments(
            problem, placement, parameters, options, final, errors, rows
        )
        inference = infer(
            parameters,
            linear,
            final.theta,
            final.point,
            sums,
            problem.ZtZ,
            problem.moment_equations,
            options,
            record.step,
            None if simulation is None else simulation.covariances,
            None if micro is None else micro.covariances,
        )
    fields: dict[str, Any] = {
        **_estimates(parameters, final),
        **_labels(parameters),
        **rows,
        "moment_types": () if problem.quasi is None else problem.quasi.moment_types,
        "clipped_shares": np.broadcast_to(np.False_, rows["delta"].shape),
        "moments": final.point.moments[:, None],
        **_inferred(inference, linear),
        **_optimality(parameters, final, record),
        **_counts(record, converged=record.outcome.converged and not final.failed),
        **_of_surveys(micro, parameters.size),
    }
    notes += inference.notes
    return GmmEstimates(
        step=record.step,
        scaled_objective=options.scale_objective,
        se_type=options.se_type,
        W_type=options.W_type,
        n_clusters=problem.n_clusters,
        cluster_counts=problem.cluster_counts,
        n_covariance_moments=problem.n_covariance,
        covariance_moments_mean=options.covariance_mean,
        estimator=options.estimator,
        n_products=problem.n_products,
        n_markets=problem.n_markets,
        warnings=notes,
        simulation_covariances=None if simulation is None else simulation.covariances,
        total_time=time.perf_counter() - record.began,
        **fields,
    )


def _sum_moments(
    problem: PreparedDemand,
    placement: Placement,
    parameters: Parameters,
    options: GmmOptions,
    final: Evaluated,
    errors: ErrorState,
    rows: dict[str, Rows],
) -> MomentSums:
    """Sum what covariances of moments need, over blocks or, with lags, over rows."""
    clustered = is_clustered(options.W_type) or is_clustered(options.se_type)
    center = options.center_moments
    if problem.quasi is not None:
        return sum_by_type(
            problem.quasi,
            rows,
            expand(parameters, final.theta).phi,
            final.point.moments,
            center=center,
            clustered=clustered,
        )
    return sum_moments_at(
        placement,
        errors,
        final.point.moments[: problem.moment_equations.size],
        center=center,
        clustered=clustered,
        anchor=final.name,
        product_mean=options.covariance_mean,
    )


def take_out_effects(
    problem: PreparedDemand, placement: Placement, b: Floats, anchor: str
) -> ErrorState:
    """Find the levels of absorbed effects in δ - X1 β, and in c̃ - X3 γ.

    Parameters
    ----------
    problem, placement
        Whose effects, and where its blocks are.
    b
        ``(K1 + K3,)`` β and γ.
    anchor
        Name of the evaluation that blocks remember.
    """
    both = np.split(b, [problem.X_counts[0]])[: len(problem.moment_counts)]
    return ErrorState(
        tuple(
            EquationState(own, _levels(problem, placement, anchor, own, equation))
            for equation, own in enumerate(both)
        )
    )


def _levels(
    problem: PreparedDemand,
    placement: Placement,
    anchor: str,
    b: Floats,
    equation: int,
) -> tuple[Floats, ...]:
    """Find the levels of one equation's effects."""
    counts = problem.level_counts[equation]
    if not counts:
        return ()
    if not np.isfinite(b).all():
        return tuple(np.full((count, 1), np.nan) for count in counts)
    absorbed = absorb_over_blocks(
        placement,
        columns="errors",
        beta=b,
        anchor=anchor,
        equation=equation,
        level_counts=counts,
        controls=problem.absorption[equation],
    )
    return absorbed.levels


def sum_moments_at(
    placement: Placement,
    errors: ErrorState,
    moments: Floats,
    *,
    center: bool,
    clustered: bool,
    anchor: str,
    product_mean: float = 0.0,
) -> MomentSums:
    """Sum what covariances of moments need, about ḡ where moments are centred.

    Parameters
    ----------
    placement
        Where the blocks are.
    errors
        β, γ and the absorbed levels.
    moments
        ``(M,)`` ḡ.
    center, clustered
        Whether moments are centred, and sums by cluster wanted.
    anchor
        Name of the evaluation that blocks remember.
    product_mean
        m of products of errors.
    """
    usable = center and np.isfinite(moments).all()
    state = MomentState(
        errors=errors,
        centre=moments if usable else np.zeros_like(moments),
        clustered=clustered,
        product_mean=product_mean,
    )
    sums: MomentSums = placement.reduce(moments_pass, state, anchor=anchor)
    return sums


def reduce_hessian(hessian: Floats, theta: Floats, bounds: Floats) -> Floats:
    """Set rows and columns of parameters at their bounds to zero, ``(P, P)``."""
    reduced = hessian.copy()
    at_bound = (theta <= bounds[:, 0]) | (theta >= bounds[:, 1])
    reduced[at_bound, :] = 0.0
    reduced[:, at_bound] = 0.0
    return reduced


def _notes(
    final: Evaluated, outcome: Outcome, name_markets: Callable[[Integers], str]
) -> list[str]:
    """Say what a reader of the numbers should know, and warn of failed inversions."""
    notes = []
    if not outcome.converged:
        notes.append(f"the optimiser did not converge: {outcome.message}")
    said = describe_failures(final.sums, name_markets)
    if said:
        notes.append(f"at the estimate, {said}")
        warnings.warn(notes[-1], NumericalWarning, stacklevel=4)
    return notes


def _estimates(parameters: Parameters, final: Evaluated) -> dict[str, Any]:
    matrices = expand(parameters, final.theta)
    b, K1 = final.point.b, matrices.beta.size
    return {
        "objective": final.point.objective,
        "theta": final.theta,
        "parameters": np.r_[final.theta, b[parameters.concentrated, 0]][:, None],
        "sigma": matrices.sigma,
        "sigma_squared": matrices.sigma @ matrices.sigma.T,
        "pi": matrices.pi,
        "rho": matrices.rho,
        "type_shares": matrices.type_shares,
        "phi": matrices.phi,
        "beta": b[:K1],
        "gamma": b[K1:],
    }


def _labels(parameters: Parameters) -> dict[str, Any]:
    lower, upper = parameters.lower, parameters.upper
    return {
        "sigma_bounds": (lower.sigma, upper.sigma),
        "pi_bounds": (lower.pi, upper.pi),
        "rho_bounds": (lower.rho, upper.rho),
        "type_shares_bounds": (lower.type_shares, upper.type_shares),
        "phi_bounds": (lower.phi, upper.phi),
        "beta_bounds": (lower.beta, upper.beta),
        "gamma_bounds": (lower.gamma, upper.gamma),
        "sigma_labels": parameters.sigma_labels,
        "pi_labels": parameters.pi_labels,
        "rho_labels": parameters.rho_labels,
        "type_labels": parameters.type_labels,
        "phi_labels": parameters.phi_labels,
        "beta_labels": parameters.beta_labels,
        "gamma_labels": parameters.gamma_labels,
        "theta_labels": parameters.labels,
        "concentrated": parameters.concentrated,
        "rc_types": parameters.types,
        "theta_bounds": parameters.bounds,
    }


def _of_surveys(micro: MicroRecord | None, n_parameters: int) -> dict[str, Any]:
    if micro is None:
        return {"micro_by_theta_jacobian": np.empty((0, n_parameters))}
    return {
        "micro": micro.micro[:, None],
        "micro_values": micro.values[:, None],
        "micro_covariances": micro.covariances,
        "micro_by_theta_jacobian": micro.by_theta,
    }


def _inferred(inference: Inference, linear: LinearGmm) -> dict[str, Any]:
    return {
        "moments_jacobian": inference.moments_jacobian,
        "moments_covariances": inference.moments_covariances,
        "W": linear.W,
        "updated_W": inference.updated_W,
        "parameter_covariances": inference.covariances,
        "parameter_sensitivity": inference.sensitivity,
        "sigma_se": inference.errors.sigma,
        "pi_se": inference.errors.pi,
        "rho_se": inference.errors.rho,
        "type_shares_se": inference.errors.type_shares,
        "phi_se": inference.errors.phi,
        "beta_se": inference.errors.beta,
        "gamma_se": inference.errors.gamma,
        "sigma_squared_se": inference.sigma_squared_errors,
    }


def _optimality(
    parameters: Parameters, final: Evaluated, record: StepRecord
) -> dict[str, Any]:
    gradient, bounds = final.point.gradient, parameters.bounds
    projected = projected_gradient(final.theta, gradient, bounds)
    reduced = reduce_hessian(record.hessian, final.theta, bounds)
    known = reduced.size > 0 and np.isfinite(reduced).all()
    unknown = np.full(reduced.shape[0], np.nan)
    return {
        "gradient": gradient[:, None],
        "projected_gradient": projected[:, None],
        "projected_gradient_norm": float(np.abs(projected).max())
        if projected.size
        else float("nan"),
        "hessian": record.hessian,
        "reduced_hessian": reduced,
        "reduced_hessian_eigenvalues": np.linalg.eigvalsh(reduced)
        if known
        else unknown,
    }


def _counts(record: StepRecord, *, converged: bool) -> dict[str, Any]:
    history, outcome = record.history, record.outcome
    reached = np.column_stack([~has_failed(sums) for sums in history])
    return {
        "converged": converged,
        "optimizer_message": outcome.message,
        "optimization_iterations": outcome.iterations,
        "objective_evaluations": len(history),
        "optimization_time": record.optimization_time,
        "fp_converged": reached.astype(np.int8),
        "fp_iterations": np.column_stack([sums.iterations for sums in history]),
        "contraction_evaluations": np.column_stack([s.evaluations for s in history]),
    }
