"""The step of continuously updated weights, from the estimates of a step before it.

All of β and γ are in ψ while it minimises; what is reported is laid out as elsewhere,
with W = S(ψ̂)⁻¹ and, of a Hessian of ψ in blocks of θ and of what is concentrated out
elsewhere, that of the objective minimised over the latter,

    H = H_θθ - H_θb H_bb⁻¹ H_bθ.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from ..driver.engine import Placement
from ..errors import NumericalError, NumericalWarning
from ..model.parameters import Parameters
from ..model.widened import Widened, widen
from ..moments.objective import LinearGmm, prepare_linear_gmm
from ..moments.weighting import invert_covariances
from ..problem.prepared import PreparedDemand
from ..progress import Listener, StepEvent
from ..records import Floats, Integers
from ..results.estimates import GmmEstimates
from .conclusion import StepRecord, conclude_step
from .continuous_update import ContinuousUpdate, is_positive_definite
from .finite_differences import central_differences
from .gmm_objective import Evaluated, GmmObjective
from .gmm_options import GmmOptions
from .optimizers.protocol import Objective, Outcome

#: Makes an objective of a layout, fixed weights, and what updates them.
MakeObjective = Callable[[Parameters, LinearGmm, ContinuousUpdate], GmmObjective]
Optimizer = Callable[[Objective, Floats, Floats], Outcome]


def continuous_step(
    problem: PreparedDemand,
    placement: Placement,
    parameters: Parameters,
    options: GmmOptions,
    before: GmmEstimates,
    *,
    make_objective: MakeObjective,
    optimizer: Optimizer,
    listener: Listener,
    name_markets: Callable[[Integers], str],
) -> tuple[GmmEstimates, str]:
    """Minimise the continuously updated objective from estimates.

    Parameters
    ----------
    problem, placement, parameters, options
        As of other steps.
    before
        The step before.
    make_objective
        Makes objectives on the placement.
    optimizer, listener, name_markets
        What minimises, who is told, and how markets are called.

    Returns
    -------
    tuple
        Estimates, and the name of the evaluation there, which blocks remember.

    Raises
    ------
    NumericalError
        Where S is not positive definite at the start.
    """
    began = time.perf_counter()
    step = before.step + 1
    wide = widen(parameters, np.vstack([before.beta, before.gamma]))
    update = ContinuousUpdate(problem, placement, wide.parameters, options)
    fixed = _linear(problem, wide.parameters, before.W, options)
    objective = make_objective(wide.parameters, fixed, update)
    listener(StepEvent(step, "Optimising with continuously updated weights"))
    b = np.vstack([before.beta, before.gamma])[parameters.concentrated, 0]
    start = wide.stack(before.theta, b)
    _check_start(objective, update, start)
    clock = time.perf_counter()
    outcome = optimizer(objective, start, wide.parameters.bounds)
    seconds = time.perf_counter() - clock
    if not outcome.converged:
        message = f"the optimiser did not converge: {outcome.message}"
        warnings.warn(message, NumericalWarning, stacklevel=4)
    listener(StepEvent(step, "Computing standard errors"))
    final = objective.evaluate(outcome.theta, from_scratch=True, forgive=True)
    S = update.covariances(final.point, final.name).S
    W = invert_covariances(S, "the covariance matrix of the moments")
    narrow = _narrow(final, wide)
    record = StepRecord(
        step=step,
        outcome=replace(outcome, theta=narrow.theta),
        hessian=_hessian(objective, final, wide, options),
        history=tuple(objective.history),
        optimization_time=seconds,
        began=began,
    )
    estimates = conclude_step(
        problem,
        placement,
        parameters,
        options,
        _linear(problem, parameters, W, options),
        narrow,
        record,
        name_markets,
    )
    objective.release(keep=final.name)
    return estimates, final.name


def _linear(
    problem: PreparedDemand, parameters: Parameters, W: Floats, options: GmmOptions
) -> LinearGmm:
    """Prepare the linear part with weights."""
    return prepare_linear_gmm(
        ZtX=problem.ZtX,
        concentrated=parameters.concentrated,
        W=W,
        n_observations=problem.n_products,
        scale_objective=options.scale_objective,
    )


def _check_start(
    objective: GmmObjective, update: ContinuousUpdate, start: Floats
) -> None:
    """Refuse to search where S cannot be inverted."""
    at_start = objective.evaluate(start, derivatives=False)
    S = update.covariances(at_start.point, at_start.name).S
    if np.isfinite(S).all() and not is_positive_definite(S):
        raise NumericalError(
            "found: a covariance matrix of the moments that is not positive definite "
            f"(condition number {np.linalg.cond(S):.1e}) where continuous updating "
            "starts\n  expected: one that can be inverted at every parameter\n  "
            "what to do: drop collinear instruments, have more clusters than moments, "
            "or choose another W_type"
        )


def _narrow(final: Evaluated, wide: Widened) -> Evaluated:
    """Lay an evaluation out as those are in which b is concentrated out."""
    point, own = final.point, wide.theta
    return replace(
        final,
        theta=final.theta[own],
        point=replace(
            point,
            gradient=point.gradient[own],
            moments_by_theta=point.moments_by_theta[:, own],
            moments_by_b=point.moments_by_theta[:, wide.concentrated],
            residual_by_theta=point.residual_by_theta[:, own],
        ),
    )


def _hessian(
    objective: GmmObjective, final: Evaluated, wide: Widened, options: GmmOptions
) -> Floats:
    """Differentiate the gradient centrally, and minimise over b; ``(P, P)``."""
    own, out = wide.theta, wide.concentrated
    if options.check_optimality != "both" or own.size == 0:
        return np.full((own.size, own.size), np.nan)

    def gradient(psi: Floats) -> Floats:
        evaluated = objective.evaluate(psi, anchor=final.name, keep=False)
        return evaluated.point.gradient

    H = central_differences(gradient, final.theta, options.epsilon)
    if not np.isfinite(H).all():
        return np.full((own.size, own.size), np.nan)
    H = (H + H.T) / 2
    across = H[np.ix_(out, own)]
    reduced = (
        H[np.ix_(own, own)]
        - across.T @ np.linalg.pinv(H[np.ix_(out, out)], hermitian=True) @ across
    )
    return np.asarray((reduced + reduced.T) / 2)
