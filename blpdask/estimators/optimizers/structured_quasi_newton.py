"""Minimise a sum of squares in few evaluations, though its residual be large.

Half the objective, r'r / 2, has gradient J'r and Hessian J'J + Σ_m r_m ∇²r_m.
Gauss-Newton drops the sum, which stalls where the residual stays large, as it does at
an over-identified GMM estimate. Here a matrix S learns the sum from what evaluations
return anyway (:mod:`.second_order`); a step minimises a quadratic model in the bounds
and in a trust region scaled by the norms of J's columns (:mod:`.trust_region`); and the
model, J'J or J'J + S, is the one that predicted the last change of the objective
better, with hysteresis. It ends by the rules of :mod:`.endings`.

References
----------
J. E. Dennis, D. M. Gay and R. E. Welsch, 1981, "An adaptive nonlinear least-squares
algorithm", ACM Transactions on Mathematical Software 7, 348-368.

J. J. Moré, 1978, "The Levenberg-Marquardt algorithm: implementation and theory",
Lecture Notes in Mathematics 630, 105-116.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ...records import Floats
from .endings import Ending, StructuredOptions, at_rest, ending_of, scaled_slope
from .protocol import Evaluation, Objective, Outcome
from .second_order import structured_update
from .trust_region import QuadraticModel, box_step

_LEAST_RATIO = 1e-4
_POOR_RATIO, _GOOD_RATIO = 0.25, 0.75
_CLEARLY_WORSE = 1.5
_LEAST_REACH = 1e-4


@dataclass(frozen=True, slots=True)
class _Iterate:
    """The current point with what has been learned on the way to it."""

    theta: Floats
    residual: Floats
    jacobian: Floats
    second: Floats
    scale: Floats
    radius: float
    augmented: bool

    @property
    def model(self) -> QuadraticModel:
        """Build the quadratic model in force."""
        second = self.second if self.augmented else None
        return QuadraticModel(self.residual, self.jacobian, second, self.scale)


@dataclass(frozen=True, slots=True)
class _Trial:
    """A finite evaluation a step away, and how r'r / 2 fell and was said to fall."""

    theta: Floats
    residual: Floats
    jacobian: Floats
    step: Floats
    fall: float
    by_gauss_newton: float
    by_augmented: float


def minimize(
    objective: Objective,
    start: Floats,
    bounds: Floats,
    options: StructuredOptions | None = None,
) -> Outcome:
    """Minimise a sum of squares by structured quasi-Newton steps.

    Parameters
    ----------
    objective
        Returns residuals and their Jacobian with each evaluation.
    start
        ``(P,)`` first iterate, moved into the bounds where it is outside.
    bounds
        ``(P, 2)`` lower and upper bounds, infinite where there are none.
    options
        When to stop.

    Returns
    -------
    Outcome
        Its iterations are the accepted steps.
    """
    options = options or StructuredOptions()
    theta = np.clip(start, bounds[:, 0], bounds[:, 1])
    point = objective(theta)
    iterations, evaluations = 0, 1
    if not _usable(point):
        message = "the objective or its derivatives are not finite at the start"
        return Outcome(theta, False, iterations, evaluations, message)
    objective.accept(point)
    iterate = _first_iterate(point, options)
    while True:
        theta = _next_theta(iterate, bounds)
        ending = (
            ending_of(iterate.model, iterate.theta, bounds, options)
            or _out_of_iterations(iterations, options)
            or _no_move(iterate, theta, bounds, options)
        )
        if ending is not None:
            return _outcome(iterate, ending, iterations, evaluations)
        point = objective(theta)
        evaluations += 1
        trial = _assess(iterate, point)
        if trial is None:
            iterate = replace(iterate, radius=_length(iterate, theta) / 4)
            continue
        ending = _lost_in_noise(iterate, trial, bounds, options)
        if ending is not None:
            return _outcome(iterate, ending, iterations, evaluations)
        accepted = _accepts(iterate, trial, bounds, options)
        iterate = _learn(iterate, trial, accepted)
        if accepted:
            iterations += 1
            objective.accept(point)


def _outcome(
    iterate: _Iterate, ending: Ending, iterations: int, evaluations: int
) -> Outcome:
    """Report the last iterate and how the search ended there."""
    return Outcome(
        iterate.theta, ending.converged, iterations, evaluations, ending.message
    )


def _usable(point: Evaluation) -> bool:
    """Tell whether a point has finite numbers whose squares are finite too."""
    if point.residual is None or point.residual_jacobian is None:
        raise TypeError("structured steps need the residual and its Jacobian")
    if not point.finite:
        return False
    with np.errstate(over="ignore"):
        squares = np.sum(point.residual_jacobian**2) * (point.residual @ point.residual)
    return bool(np.isfinite(squares))


def _first_iterate(point: Evaluation, options: StructuredOptions) -> _Iterate:
    """Start with Gauss-Newton and a trust region around the start's scaled length."""
    residual, jacobian = _arrays(point)
    scale = _scale(point.theta, jacobian, np.zeros(point.theta.size))
    length = float(np.linalg.norm(scale * point.theta))
    return _Iterate(
        theta=point.theta,
        residual=residual,
        jacobian=jacobian,
        second=np.zeros((point.theta.size, point.theta.size)),
        scale=scale,
        radius=options.initial_radius * (length or 1.0),
        augmented=False,
    )


def _scale(theta: Floats, jacobian: Floats, before: Floats) -> Floats:
    """Scale parameters by the largest norms that their columns of J have had.

    A column can vanish where the objective is only flat at first order, as it is in a
    standard deviation at zero. Its parameter is then scaled as if moving it by its own
    size, or by one, mattered a little, so that the trust region bounds it too.
    """
    scale = np.maximum(before, np.linalg.norm(jacobian, axis=0))
    size = np.maximum(1.0, np.abs(theta))
    least = _LEAST_REACH * float((scale * size).max(initial=0.0))
    scale = np.maximum(scale, least / size)
    return np.where(scale > 0, scale, 1.0)


def _arrays(point: Evaluation) -> tuple[Floats, Floats]:
    """Take r and J of an evaluation that is known to have them."""
    assert point.residual is not None
    assert point.residual_jacobian is not None
    return point.residual, point.residual_jacobian


def _next_theta(iterate: _Iterate, bounds: Floats) -> Floats:
    """Take the model's step, landing exactly on any bound that it reaches."""
    lower, upper = bounds[:, 0] - iterate.theta, bounds[:, 1] - iterate.theta
    step = box_step(iterate.model, lower, upper, iterate.radius)
    theta = np.where(step >= upper, bounds[:, 1], iterate.theta + step)
    return np.clip(np.where(step <= lower, bounds[:, 0], theta), *bounds.T)


def _length(iterate: _Iterate, theta: Floats) -> float:
    """Measure the step to ``theta`` in the trust region's norm."""
    return float(np.linalg.norm(iterate.scale * (theta - iterate.theta)))


def _out_of_iterations(iterations: int, options: StructuredOptions) -> Ending | None:
    """End where no more iterations are allowed."""
    if iterations < options.max_iterations:
        return None
    return Ending(False, "the limit on iterations was reached")


def _no_move(
    iterate: _Iterate, theta: Floats, bounds: Floats, options: StructuredOptions
) -> Ending | None:
    """End where a step is too short to matter."""
    reach = float(np.linalg.norm(iterate.scale * iterate.theta))
    if _length(iterate, theta) > options.xtol * reach:
        return None
    cause = "steps became shorter than xtol"
    return at_rest(iterate.model, iterate.theta, bounds, cause)


def _assess(iterate: _Iterate, point: Evaluation) -> _Trial | None:
    """Compare how the objective changed with what both models said."""
    if not _usable(point):
        return None
    residual, jacobian = _arrays(point)
    step = point.theta - iterate.theta
    model = iterate.model
    change = (iterate.residual - residual) @ (iterate.residual + residual)
    return _Trial(
        theta=point.theta,
        residual=residual,
        jacobian=jacobian,
        step=step,
        fall=float(change) / 2,
        by_gauss_newton=replace(model, second=None).reduction(step),
        by_augmented=replace(model, second=iterate.second).reduction(step),
    )


def _ratio(iterate: _Iterate, trial: _Trial) -> float:
    """Divide the fall of the objective by the fall predicted."""
    predicted = _predicted(iterate, trial)
    return trial.fall / predicted if predicted > 0 else -1.0


def _predicted(iterate: _Iterate, trial: _Trial) -> float:
    """Recall the fall that the model in force predicted."""
    return trial.by_augmented if iterate.augmented else trial.by_gauss_newton


def _within_noise(iterate: _Iterate, trial: _Trial, options: StructuredOptions) -> bool:
    """Tell whether both falls, had and predicted, are below the objective's noise."""
    level = options.noise * float(iterate.residual @ iterate.residual) / 2
    return abs(trial.fall) <= level and _predicted(iterate, trial) <= level


def _flatter(iterate: _Iterate, trial: _Trial, bounds: Floats) -> bool:
    """Tell whether a step halved the projected gradient, in scaled coordinates."""
    there = replace(iterate.model, residual=trial.residual, jacobian=trial.jacobian)
    before = np.linalg.norm(scaled_slope(iterate.model, iterate.theta, bounds))
    return bool(np.linalg.norm(scaled_slope(there, trial.theta, bounds)) < before / 2)


def _lost_in_noise(
    iterate: _Iterate, trial: _Trial, bounds: Floats, options: StructuredOptions
) -> Ending | None:
    """End where neither the objective nor its gradient shows progress any more."""
    if not _within_noise(iterate, trial, options) or _flatter(iterate, trial, bounds):
        return None
    cause = "the objective changes by no more than its rounding noise"
    return at_rest(iterate.model, iterate.theta, bounds, cause)


def _accepts(
    iterate: _Iterate, trial: _Trial, bounds: Floats, options: StructuredOptions
) -> bool:
    """Accept a fall that was foretold or, within noise, a flatter point."""
    if _within_noise(iterate, trial, options):
        return _flatter(iterate, trial, bounds)
    return _ratio(iterate, trial) > _LEAST_RATIO


def _learn(iterate: _Iterate, trial: _Trial, accepted: bool) -> _Iterate:
    """Choose the next model and radius and, after an accepted step, update S."""
    radius = _next_radius(iterate, trial)
    augmented = _next_model(iterate, trial)
    if not accepted:
        return replace(iterate, radius=radius, augmented=augmented)
    turned = trial.jacobian.T @ trial.residual
    second = structured_update(
        second=iterate.second,
        step=trial.step,
        structured=turned - iterate.jacobian.T @ trial.residual,
        change=turned - iterate.jacobian.T @ iterate.residual,
        scale=iterate.scale,
    )
    return _Iterate(
        theta=trial.theta,
        residual=trial.residual,
        jacobian=trial.jacobian,
        second=second,
        scale=_scale(trial.theta, trial.jacobian, iterate.scale),
        radius=radius,
        augmented=augmented,
    )


def _next_radius(iterate: _Iterate, trial: _Trial) -> float:
    """Follow the length of steps, doubled where the model served, cut where not."""
    length = _length(iterate, trial.theta)
    ratio = _ratio(iterate, trial)
    if ratio < _POOR_RATIO:
        slope = -float(iterate.jacobian @ trial.step @ iterate.residual)
        cut = slope / (2 * (slope - trial.fall)) if slope > trial.fall else 0.5
        cut = min(max(cut, 0.1), 0.5) if trial.fall < 0 else 0.5
        return cut * min(length, iterate.radius)
    if ratio >= _GOOD_RATIO or length < 0.9 * iterate.radius:
        return 2 * length
    return iterate.radius


def _next_model(iterate: _Iterate, trial: _Trial) -> bool:
    """Leave a model whose prediction was clearly worse than the other's."""
    gauss_newton = abs(trial.fall - trial.by_gauss_newton)
    augmented = abs(trial.fall - trial.by_augmented)
    if iterate.augmented:
        return _CLEARLY_WORSE * gauss_newton >= augmented
    if not iterate.second.any():
        return False
    return _CLEARLY_WORSE * augmented < gauss_newton
