"""The generalised method of moments on a demand problem, one or two steps.

A step minimises q(θ) = c ḡ(θ)'W ḡ(θ) (Hansen 1982; Berry, Levinsohn and Pakes 1995),
evaluates once more from scratch at the minimum, so that the numbers reported depend on
θ̂ alone and not on the path to it, and updates W for the next step.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..driver.cores import single_threaded_libraries
from ..driver.engine import Engine, Placement
from ..errors import NumericalError, NumericalWarning
from ..model.inversion import InversionMemory
from ..model.parameters import Parameters, expand
from ..moments.objective import LinearGmm, prepare_linear_gmm
from ..moments.weighting import invert_covariances
from ..partitions.cut import cut_blocks
from ..problem.demand_problem import DemandProblem
from ..problem.fields import some
from ..progress import Listener, StepEvent, silent
from ..records import Floats, Integers
from ..results.estimates import GmmEstimates
from ..status import InversionStatus
from .finite_differences import central_differences
from .gmm_objective import (
    INITIAL,
    Evaluated,
    GmmObjective,
    describe_failures,
    failures,
)
from .gmm_options import GmmOptions
from .inference import infer, structural_errors
from .optimizers.protocol import Objective, Outcome

#: An optimiser with its options bound: objective, start (P,), bounds (P, 2) -> Outcome.
Optimizer = Callable[[Objective, Floats, Floats], Outcome]


@dataclass(frozen=True, slots=True)
class Minimum:
    """Where one starting point led."""

    start: Floats
    outcome: Outcome
    objective: float


@dataclass(frozen=True, slots=True)
class GmmRun:
    """The steps of an estimation, first to last, and where starting points led."""

    steps: tuple[GmmEstimates, ...]
    minima: tuple[Minimum, ...]


def estimate_gmm(
    problem: DemandProblem,
    parameters: Parameters,
    *,
    engine: Engine,
    optimizer: Optimizer,
    options: GmmOptions,
    W: Floats | None = None,
    delta: Floats | None = None,
    starts: Sequence[Floats] = (),
    listener: Listener = silent,
    n_blocks: int | None = None,
) -> GmmRun:
    """Estimate θ by GMM.

    Parameters
    ----------
    problem, parameters
        What is estimated, and from where.
    engine
        Where blocks are worked on.
    optimizer
        What minimises.
    options
        How.
    W
        ``(MD, MD)`` weighting matrix of the first step, 2SLS where None.
    delta
        ``(N,)`` δ where the first inversions start, plain logit's where None.
    starts
        Further starting points ``(P,)`` of the first step, of which the best is kept.
    listener
        Told of every evaluation and step.
    n_blocks
        Number of blocks, chosen from the data where None.
    """
    blocks = cut_blocks(problem.tables, n_blocks)
    with single_threaded_libraries():
        placement = engine.place(blocks)
        try:
            run = _Run(problem, parameters, placement, optimizer, options, listener)
            run.edges = [block.n_products for block in blocks]
            if delta is not None:
                run.start_from(delta)
            return run.all_steps(W, starts)
        finally:
            placement.close()


class _Run:
    """One estimation under way: what its steps share."""

    def __init__(
        self,
        problem: DemandProblem,
        parameters: Parameters,
        placement: Placement,
        optimizer: Optimizer,
        options: GmmOptions,
        listener: Listener,
    ) -> None:
        self.problem = problem
        self.parameters = parameters
        self.placement = placement
        self.optimizer = optimizer
        self.options = options
        self.listener = listener
        self.anchor: str | None = None
        self.edges: list[int] = []
        self.minima: tuple[Minimum, ...] = ()

    def start_from(self, delta: Floats) -> None:
        """Hand the blocks a δ ``(N,)``, in the user's order, to start from."""
        parts = np.split(delta[self.problem.order], np.cumsum(self.edges)[:-1])
        nothing = np.empty(0)
        self.placement.remember(
            INITIAL,
            [
                InversionMemory(None, part, np.empty((part.size, 0)), nothing)
                for part in parts
            ],
        )
        self.anchor = INITIAL

    def all_steps(self, W: Floats | None, starts: Sequence[Floats]) -> GmmRun:
        """Run the initial update where wanted, then the steps."""
        W = two_stage_weights(self.problem) if W is None else W
        theta = self.parameters.theta
        steps: list[GmmEstimates] = []
        first = 0 if self.options.initial_update else 1
        for step in range(first, self.options.n_steps + 1):
            estimates = self.one_step(step, W, theta, starts if step == 1 else ())
            steps.append(estimates)
            W, theta = estimates.updated_W, estimates.theta
        return GmmRun(tuple(steps), self.minima)

    def one_step(
        self, step: int, W: Floats, theta: Floats, starts: Sequence[Floats]
    ) -> GmmEstimates:
        """Minimise with one weighting matrix and compute what follows from it."""
        began = time.perf_counter()
        linear = prepare_linear_gmm(
            ZtX=self.problem.ZtX,
            concentrated=self.parameters.concentrated,
            W=W,
            n_observations=self.problem.n_products,
            scale_objective=self.options.scale_objective,
        )
        objective = self._objective(linear, step, 0)
        outcome = Outcome(theta, True, 0, 0, "nothing to optimise")
        seconds = 0.0
        if step > 0 and self.parameters.size > 0:
            self.listener(StepEvent(step, "Optimising"))
            outcome, seconds = self._optimize(objective, linear, step, theta, starts)
        self.listener(StepEvent(step, _conclusion(step, self.options)))
        final = objective.evaluate(outcome.theta, from_scratch=True)
        if final.failed:
            final = self._try_again(objective, outcome.theta, final)
        estimates = self._conclude(
            step, linear, objective, final, outcome, (began, seconds)
        )
        objective.release(keep=final.name)
        if self.anchor is not None:
            self.placement.forget(self.anchor)
        self.anchor = final.name
        return estimates

    def _objective(self, linear: LinearGmm, step: int, start: int) -> GmmObjective:
        return GmmObjective(
            placement=self.placement,
            parameters=self.parameters,
            linear=linear,
            options=self.options,
            anchor=self.anchor,
            step=step,
            start=start,
            listener=self.listener,
            name_markets=self._name_markets,
        )

    def _optimize(
        self,
        objective: GmmObjective,
        linear: LinearGmm,
        step: int,
        theta: Floats,
        starts: Sequence[Floats],
    ) -> tuple[Outcome, float]:
        """Minimise from every starting point and keep the best minimum."""
        began = time.perf_counter()
        bounds = self.parameters.bounds
        minima = []
        for number, start in enumerate([theta, *starts]):
            searched = (
                objective if number == 0 else self._objective(linear, step, number)
            )
            outcome = self.optimizer(searched, start, bounds)
            value = searched.evaluate(outcome.theta).point.objective if starts else 0.0
            minima.append(Minimum(np.array(start), outcome, value))
            if number:
                searched.release()
        if starts:
            self.minima = tuple(minima)
        best = min(minima, key=lambda minimum: minimum.objective)
        if not best.outcome.converged:
            _warn(f"the optimiser did not converge: {best.outcome.message}")
        return best.outcome, time.perf_counter() - began

    def _try_again(
        self, objective: GmmObjective, theta: Floats, final: Evaluated
    ) -> Evaluated:
        """Evaluate from the last anchor where inversions from scratch failed."""
        again = objective.evaluate(theta)
        return again if failures(again.sums).size < failures(final.sums).size else final

    def _name_markets(self, places: Integers) -> str:
        return some(self.problem.products.unique_market_ids[places])

    def _hessian(self, objective: GmmObjective, final: Evaluated) -> Floats:
        """Differentiate the gradient centrally, every inversion from the final one."""
        P = self.parameters.size
        if self.options.check_optimality != "both" or P == 0:
            return np.full((P, P), np.nan)

        def gradient(theta: Floats) -> Floats:
            evaluated = objective.evaluate(theta, anchor=final.name, keep=False)
            return evaluated.point.gradient

        hessian = central_differences(gradient, final.theta, self.options.epsilon)
        return (hessian + hessian.T) / 2

    def _conclude(
        self,
        step: int,
        linear: LinearGmm,
        objective: GmmObjective,
        final: Evaluated,
        outcome: Outcome,
        clock: tuple[float, float],
    ) -> GmmEstimates:
        """Compute errors, weights, standard errors and conditions of a minimum."""
        parameters, options, point = self.parameters, self.options, final.point
        notes = []
        if not outcome.converged:
            notes.append(f"the optimiser did not converge: {outcome.message}")
        if (final.sums.status != InversionStatus.CONVERGED).any():
            notes.append(describe_failures(final.sums, self._name_markets))
            _warn(f"at the estimate, {notes[-1]}")
        counted = list(objective.history)
        memories = objective.memories(final.name)
        errors = structural_errors(self.problem, parameters, point.beta, memories)
        hessian = (
            self._hessian(objective, final)
            if step > 0
            else np.full((parameters.size, parameters.size), np.nan)
        )
        inference = infer(
            self.problem,
            parameters,
            linear,
            final.theta,
            point,
            errors.xi,
            options,
            step,
        )
        matrices = expand(parameters, final.theta)
        bounds = parameters.bounds
        projected = project_gradient(point.gradient, final.theta, bounds)
        reduced = reduce_hessian(hessian, final.theta, bounds)
        began, seconds = clock
        concentrated = parameters.concentrated
        return GmmEstimates(
            step=step,
            objective=point.objective,
            scaled_objective=options.scale_objective,
            theta=final.theta,
            parameters=np.r_[final.theta, point.beta[concentrated, 0]][:, None],
            parameter_covariances=inference.covariances,
            parameter_sensitivity=inference.sensitivity,
            sigma=matrices.sigma,
            sigma_squared=matrices.sigma @ matrices.sigma.T,
            pi=matrices.pi,
            beta=point.beta,
            sigma_se=inference.errors.sigma,
            sigma_squared_se=inference.sigma_squared_errors,
            pi_se=inference.errors.pi,
            beta_se=inference.errors.beta,
            sigma_bounds=(parameters.lower.sigma, parameters.upper.sigma),
            pi_bounds=(parameters.lower.pi, parameters.upper.pi),
            beta_bounds=(parameters.lower.beta, parameters.upper.beta),
            sigma_labels=parameters.sigma_labels,
            pi_labels=parameters.pi_labels,
            beta_labels=parameters.beta_labels,
            theta_labels=parameters.labels,
            rc_types=parameters.types,
            theta_bounds=bounds,
            delta=errors.delta,
            xi=errors.xi,
            xi_fe=errors.xi_fe,
            xi_by_theta_jacobian=errors.xi_by_theta,
            clipped_shares=np.zeros((self.problem.n_products, 1), np.bool_),
            moments=point.moments[:, None],
            moments_jacobian=inference.moments_jacobian,
            moments_covariances=inference.moments_covariances,
            W=linear.W,
            updated_W=inference.updated_W,
            gradient=point.gradient[:, None],
            projected_gradient=projected[:, None],
            projected_gradient_norm=float(np.abs(projected).max(initial=0.0))
            if projected.size
            else float("nan"),
            hessian=hessian,
            reduced_hessian=reduced,
            reduced_hessian_eigenvalues=_eigenvalues(reduced),
            converged=outcome.converged,
            optimizer_message=outcome.message,
            optimization_iterations=outcome.iterations,
            objective_evaluations=outcome.evaluations + 1,
            optimization_time=seconds,
            total_time=time.perf_counter() - began,
            fp_converged=np.column_stack([~_failed(sums) for sums in counted]).astype(
                np.int64
            ),
            fp_iterations=np.column_stack([sums.iterations for sums in counted]),
            contraction_evaluations=np.column_stack([s.evaluations for s in counted]),
            se_type=options.se_type,
            W_type=options.W_type,
            n_clusters=0
            if self.problem.products.clusters is None
            else int(self.problem.products.clusters.max()) + 1,
            n_products=self.problem.n_products,
            n_markets=self.problem.n_markets,
            warnings=tuple(notes),
        )


def two_stage_weights(problem: DemandProblem) -> Floats:
    """Compute the 2SLS weighting matrix (Z'Z / N)⁻¹, ``(MD, MD)``.

    Raises
    ------
    NumericalError
        Where instruments are exactly collinear.
    """
    Z = problem.products.ZD
    W = invert_covariances(Z.T @ Z / problem.n_products, "the 2SLS weighting matrix")
    if not np.isfinite(W).all():
        raise NumericalError("the 2SLS weighting matrix cannot be computed")
    return W


def project_gradient(gradient: Floats, theta: Floats, bounds: Floats) -> Floats:
    """Cut what points out of the bounds from the gradient, ``(P,)``."""
    projected = gradient.copy()
    at_lower = theta <= bounds[:, 0]
    at_upper = theta >= bounds[:, 1]
    projected[at_lower] = np.minimum(projected[at_lower], 0.0)
    projected[at_upper] = np.maximum(projected[at_upper], 0.0)
    return projected


def reduce_hessian(hessian: Floats, theta: Floats, bounds: Floats) -> Floats:
    """Set rows and columns of parameters at their bounds to zero, ``(P, P)``."""
    reduced = hessian.copy()
    at_bound = (theta <= bounds[:, 0]) | (theta >= bounds[:, 1])
    reduced[at_bound, :] = 0.0
    reduced[:, at_bound] = 0.0
    return reduced


def _eigenvalues(matrix: Floats) -> Floats:
    if matrix.size == 0 or not np.isfinite(matrix).all():
        return np.full(matrix.shape[0], np.nan)
    return np.asarray(np.linalg.eigvalsh(matrix), dtype=np.float64)


def _failed(sums: object) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    status = sums.status  # type: ignore[attr-defined]
    return np.isin(status, (InversionStatus.MAX_EVALUATIONS, InversionStatus.NONFINITE))


def _conclusion(step: int, options: GmmOptions) -> str:
    if step == 0:
        return "Updating the weighting matrix and mean utilities"
    if step < options.n_steps:
        return "Updating the weighting matrix"
    return "Computing standard errors"


def _warn(message: str) -> None:
    warnings.warn(message, NumericalWarning, stacklevel=4)
