"""The generalised method of moments on a demand problem, in one step or more.

A step minimises q(θ) = c ḡ(θ)'W ḡ(θ) (Hansen 1982; Berry, Levinsohn and Pakes 1995),
evaluates once more from scratch at the minimum, so that the numbers reported depend on
θ̂ alone and not on the path to it, and updates W for the next step. Steps end after
one or two, when weights have settled (:mod:`.iterated`), or with one of continuously
updated weights (:mod:`.continuous_step`).
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import scipy.linalg

from ..driver.cores import single_threaded_libraries
from ..driver.engine import Engine, Placement
from ..errors import NumericalError, NumericalWarning
from ..model.inversion import InversionMemory, compilation_notice
from ..model.parameters import Parameters
from ..moments.demand import warm_kernels
from ..moments.objective import LinearGmm, prepare_linear_gmm
from ..moments.weighting import invert_covariances
from ..problem.fields import some
from ..problem.prepared import PreparedDemand
from ..problem.surveys import MicroSetup
from ..progress import Listener, StepEvent, silent
from ..records import Floats, Integers
from ..results.estimates import GmmEstimates
from .agent_types import check_agent_types
from .conclusion import StepRecord, conclude_step
from .continuous_step import continuous_step
from .continuous_update import ContinuousUpdate
from .covariance_moments import covariance_moments
from .finite_differences import central_differences
from .further_moments import Further
from .gmm_objective import (
    INITIAL,
    Evaluated,
    GmmObjective,
    Reweight,
    failures,
)
from .gmm_options import GmmOptions
from .iterated import check_next_weights, have_settled
from .micro_moments import MicroFamily, MicroRecord
from .optimizers.protocol import Objective, Outcome
from .simulation_error import Resampling, SimulationError, simulation_covariances

#: An optimiser with its options bound: objective, start (P,), bounds (P, 2) -> Outcome.
Optimizer = Callable[[Objective, Floats, Floats], Outcome]
#: Number of the start that evaluations beside a search are called by.
_ASIDE = -1


@dataclass(frozen=True, slots=True)
class Minimum:
    """Where one starting point led.

    Attributes
    ----------
    start, outcome
        ``(P,)`` and how the search from there ended.
    objective
        q at its end.
    failed
        Whether inversions failed there, which makes its objective meaningless.
    """

    start: Floats
    outcome: Outcome
    objective: float
    failed: bool

    @property
    def rank(self) -> tuple[bool, bool, float]:
        """Order minima: failed ones last, then those not finite, then by objective."""
        finite = bool(np.isfinite(self.objective))
        return self.failed, not finite, self.objective if finite else 0.0


@dataclass(frozen=True, slots=True)
class GmmRun:
    """The steps of an estimation, first to last, and where starting points led."""

    steps: tuple[GmmEstimates, ...]
    minima: tuple[Minimum, ...]


def estimate_gmm(
    problem: PreparedDemand,
    parameters: Parameters,
    *,
    engine: Engine,
    optimizer: Optimizer,
    options: GmmOptions,
    W: Floats | None = None,
    delta: Floats | None = None,
    starts: Sequence[Floats] = (),
    listener: Listener = silent,
    resampling: Resampling | None = None,
    micro: MicroSetup | None = None,
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
        ``(M, M)`` weighting matrix of the first step, 2SLS where None.
    delta
        ``(N,)`` δ where the first inversions start, in the order of markets, plain
        logit's where None.
    starts
        Further starting points ``(P,)`` of the first step, of which the best is kept.
    listener
        Told of every evaluation and step.
    resampling
        How agents are redrawn at the end of each step, not at all where None.
    micro
        Surveys whose moments follow all others.
    """
    with single_threaded_libraries():
        placement = engine.place(problem.source)
        placement.listen(listener)
        placement.warm(partial(warm_kernels, options.backend))
        try:
            check_agent_types(problem, placement, parameters)
            run = _Run(problem, parameters, placement, optimizer, options, listener)
            run.resampling = resampling
            if micro is not None:
                run.micro = MicroFamily(micro, placement, parameters, options.backend)
            if delta is not None:
                run.start_from(delta)
            return run.all_steps(W, starts)
        finally:
            placement.close()


class _Run:
    """One estimation under way: what its steps share."""

    def __init__(
        self,
        problem: PreparedDemand,
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
        self.origin: str | None = None
        self.keep_factors = factor_bytes(problem) <= options.factor_bytes
        self.minima: tuple[Minimum, ...] = ()
        self.resampling: Resampling | None = None
        self.micro: MicroFamily | None = None

    def start_from(self, delta: Floats) -> None:
        """Hand the blocks a δ ``(N,)``, in the order of markets, to start from."""
        parts = np.split(delta, np.cumsum(self.problem.block_sizes)[:-1])
        nothing = np.empty(0)
        self.placement.remember(
            INITIAL,
            [
                InversionMemory(None, part, np.empty((part.size, 0)), nothing)
                for part in parts
            ],
        )
        self.anchor = self.origin = INITIAL

    def all_steps(self, W: Floats | None, starts: Sequence[Floats]) -> GmmRun:
        """Run the initial update where wanted, then the steps."""
        W = self.first_weights() if W is None else W
        theta = self.parameters.theta
        steps: list[GmmEstimates] = []
        first = 0 if self.options.initial_update else 1
        if self.problem.n_random:
            notice = compilation_notice(self.options.backend)
            if notice is not None:
                self.listener(StepEvent(first, notice))
        last = 1 if self.options.estimator == "cue" else self.options.n_steps
        for step in range(first, last + 1):
            estimates = self.one_step(step, W, theta, starts if step == 1 else ())
            steps.append(estimates)
            if self._is_done(steps):
                break
            if step < last:
                check_next_weights(estimates)
            W, theta = estimates.updated_W, estimates.theta
        if self.options.estimator == "cue":
            steps.append(self.continuous_step(steps[-1]))
        return GmmRun(tuple(steps), self.minima)

    def first_weights(self) -> Floats:
        """Give W of the first step: 2SLS, and what families of moments say."""
        own = [family.initial_weights for family in self._families(self.parameters)]
        W = two_stage_weights(self.problem)
        return np.asarray(scipy.linalg.block_diag(W, *own)) if own else W

    def _is_done(self, steps: list[GmmEstimates]) -> bool:
        """Tell whether iterated steps end here, with a warning where they should not.

        A last step that did not settle is marked as not converged.
        """
        options, number = self.options, steps[-1].step
        if options.estimator != "iterated" or number == 0:
            return False
        if have_settled(steps, options.steps_tolerance):
            return True
        if number < options.n_steps:
            return False
        note = (
            f"weights and estimates did not settle to {options.steps_tolerance:g} in "
            f"{options.n_steps} steps"
        )
        _warn(note)
        notes = (*steps[-1].warnings, note)
        steps[-1] = replace(steps[-1], converged=False, warnings=notes)
        return True

    def continuous_step(self, before: GmmEstimates) -> GmmEstimates:
        """Minimise with continuously updated weights, from estimates."""
        step = before.step + 1

        def make_objective(
            parameters: Parameters, linear: LinearGmm, update: ContinuousUpdate
        ) -> GmmObjective:
            return self._objective(linear, step, 0, parameters, update)

        estimates, name = continuous_step(
            self.problem,
            self.placement,
            self.parameters,
            self.options,
            before,
            make_objective=make_objective,
            optimizer=self.optimizer,
            listener=self.listener,
            name_markets=self._name_markets,
        )
        self._move_anchor(name)
        return estimates

    def _move_anchor(self, name: str) -> None:
        """Start what follows from a step's final evaluation."""
        if self.anchor not in {None, self.origin}:
            self.placement.forget(str(self.anchor))
        self.anchor = name

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
        objective = self._searched(linear, step, 0)
        outcome = Outcome(theta, True, 0, 0, "nothing to optimise")
        seconds = 0.0
        if step > 0 and self.parameters.size > 0:
            self.listener(StepEvent(step, "Optimising"))
            outcome, seconds = self._optimize(objective, linear, step, theta, starts)
        self.listener(StepEvent(step, _conclusion(step, self.options)))
        final = objective.evaluate(outcome.theta, from_scratch=True, forgive=True)
        if final.failed:
            final = self._try_again(objective, outcome.theta, final)
        counted = tuple(objective.history)
        estimates = conclude_step(
            self.problem,
            self.placement,
            self.parameters,
            _of_fixed_weights(self.options),
            linear,
            final,
            StepRecord(
                step=step,
                outcome=outcome,
                hessian=self._hessian(objective, final, step),
                history=counted,
                optimization_time=seconds,
                began=began,
            ),
            self._name_markets,
            self._resample(linear, final, step),
            self._micro(final),
        )
        objective.release(keep=final.name)
        self._move_anchor(final.name)
        return estimates

    def _searched(self, linear: LinearGmm, step: int, start: int) -> GmmObjective:
        """Give the objective of a search, whose evaluations can be concluded."""
        conclude = partial(self._conclude_at, linear, step)
        return self._objective(linear, step, start, conclude=conclude)

    def _conclude_at(self, linear: LinearGmm, step: int, theta: Floats) -> GmmEstimates:
        """Compute what a step would end with, were θ its minimum; warnings are kept."""
        began = time.perf_counter()
        objective = self._objective(linear, step, _ASIDE)
        final = objective.evaluate(theta, from_scratch=True, forgive=True)
        record = StepRecord(
            step=step,
            outcome=Outcome(theta, False, 0, 0, "the search goes on"),
            hessian=np.full((theta.size, theta.size), np.nan),
            history=tuple(objective.history),
            optimization_time=0.0,
            began=began,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NumericalWarning)
            found = conclude_step(
                self.problem,
                self.placement,
                self.parameters,
                _of_fixed_weights(self.options),
                linear,
                final,
                record,
                self._name_markets,
                micro=self._micro(final),
            )
        objective.release()
        return found

    def _objective(
        self,
        linear: LinearGmm,
        step: int,
        start: int,
        parameters: Parameters | None = None,
        reweight: Reweight | None = None,
        conclude: Callable[[Floats], GmmEstimates] | None = None,
    ) -> GmmObjective:
        parameters = self.parameters if parameters is None else parameters
        return GmmObjective(
            placement=self.placement,
            parameters=parameters,
            linear=linear,
            options=self.options,
            anchor=self.anchor,
            origin=self.origin,
            step=step,
            start=start,
            listener=self.listener,
            name_markets=self._name_markets,
            keep_factors=self.keep_factors,
            reweight=reweight,
            further=self._families(parameters),
            quasi=self.problem.quasi,
            conclude=conclude,
        )

    def _families(self, parameters: Parameters) -> tuple[Further, ...]:
        """List the moments that follow the linear ones, those of covariances first."""
        own = covariance_moments(
            self.problem, self.placement, parameters, self.options.covariance_mean
        )
        return tuple(own) if self.micro is None else (*own, self.micro)

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
                objective if number == 0 else self._searched(linear, step, number)
            )
            outcome = self.optimizer(searched, start, bounds)
            value, failed = 0.0, False
            if starts:
                end = searched.evaluate(outcome.theta)
                value, failed = end.point.objective, end.failed
            minima.append(Minimum(np.array(start), outcome, value, failed))
            if number:
                searched.release()
                objective.history.extend(searched.history)
        if starts:
            self.minima = tuple(minima)
        best = min(minima, key=lambda minimum: minimum.rank)
        if not best.outcome.converged:
            _warn(f"the optimiser did not converge: {best.outcome.message}")
        return best.outcome, time.perf_counter() - began

    def _try_again(
        self, objective: GmmObjective, theta: Floats, final: Evaluated
    ) -> Evaluated:
        """Evaluate from the last anchor where inversions from scratch failed."""
        again = objective.evaluate(theta)
        if failures(again.sums).size < failures(final.sums).size:
            return again
        return objective.evaluate(theta, from_scratch=True)

    def _resample(
        self, linear: LinearGmm, final: Evaluated, step: int
    ) -> SimulationError | None:
        """Redraw the agents at the estimates, where that is wanted and they hold."""
        if self.resampling is None:
            return None
        if final.failed:
            note = "simulation error is left out, since inversions failed"
            _warn(note)
            return SimulationError(np.zeros_like(linear.W), 0, 0, (note,))
        self.listener(StepEvent(step, "Resampling agents"))
        return simulation_covariances(
            self.problem,
            self.placement,
            self.parameters,
            final.theta,
            final.point,
            linear,
            self.resampling,
            self.options,
            anchor=final.name,
            step=step,
            listener=self.listener,
        )

    def _micro(self, final: Evaluated) -> MicroRecord | None:
        """Compute micro moments and their covariances at the end of a step."""
        if self.micro is None:
            return None
        return self.micro.conclude(final.theta, final.name)

    def _name_markets(self, places: Integers) -> str:
        return some(self.problem.market_ids[places])

    def _hessian(self, objective: GmmObjective, final: Evaluated, step: int) -> Floats:
        """Differentiate the gradient centrally, every inversion from the final one."""
        P = self.parameters.size
        if self.options.check_optimality != "both" or P == 0 or step == 0:
            return np.full((P, P), np.nan)

        def gradient(theta: Floats) -> Floats:
            evaluated = objective.evaluate(theta, anchor=final.name, keep=False)
            return evaluated.point.gradient

        hessian = central_differences(gradient, final.theta, self.options.epsilon)
        return (hessian + hessian.T) / 2


def two_stage_weights(problem: PreparedDemand) -> Floats:
    """Compute the 2SLS weighting matrix, (Z'Z / N)⁻¹ of each equation, ``(M, M)``.

    Raises
    ------
    NumericalError
        Where instruments are exactly collinear.
    """
    equations = problem.moment_equations
    own = equations[:, None] == equations
    M = sum(problem.moment_counts)
    S = np.where(own, problem.ZtZ, 0.0)[:M, :M] / problem.n_products
    W = invert_covariances(S, "the 2SLS weighting matrix")
    if not np.isfinite(W).all():
        raise NumericalError("the 2SLS weighting matrix cannot be computed")
    return W


def factor_bytes(problem: PreparedDemand) -> int:
    """Count the bytes of the factors of all share Jacobians, 4 Σ_t J_t (J_t + 1)."""
    J = problem.product_counts
    return 4 * int(J @ (J + 1))


def _conclusion(step: int, options: GmmOptions) -> str:
    if step == 0:
        return "Updating the weighting matrix and mean utilities"
    if options.estimator == "iterated":
        return "Updating the weighting matrix and computing standard errors"
    if step < options.n_steps:
        return "Updating the weighting matrix"
    return "Computing standard errors"


def _of_fixed_weights(options: GmmOptions) -> GmmOptions:
    """Name the estimator of a step whose weights are fixed."""
    return (
        replace(options, estimator="steps") if options.estimator == "cue" else options
    )


def _warn(message: str) -> None:
    warnings.warn(message, NumericalWarning, stacklevel=4)
