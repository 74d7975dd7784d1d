"""Roots of moments: θ at which as many moments as there are parameters are zero.

With B = Σ_i w_i² m_i m_i' the distance from a root is

    λ = (g' B⁻¹ g)^½,

which is in standard errors whatever the units of moments. Levenberg and Marquardt's
method, within regions of trust, minimises the sum of squares λ² at B of the start;
Newton's method then goes on until nothing but rounding is left. Where moments jump,
steps of one Jacobian are taken, shorter after those that lead away, and the nearest
point is kept.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import scipy.linalg

from ..errors import NumericalError
from ..moments.choice_moments import MomentSums
from ..records import Floats

#: λ of what is a root; rounding often ends Newton's steps before, at the smaller.
AT_REST, TOLERANCE = 1e-6, 1e-13
MAX_EVALUATIONS, MAX_STEPS = 100, 20
#: Steps of one Jacobian, and what of a step is left after one that leads away.
CHORDS, SHORTER = 25, 0.6

Evaluate = Callable[[Floats], MomentSums]


@dataclass(frozen=True, slots=True, eq=False)
class Root:
    """Where a search for a root ended.

    Attributes
    ----------
    theta
        ``(P,)``.
    sums
        Moments and their Jacobian there.
    distance
        λ there; NaN where moments are collinear.
    evaluations, iterations
        Of both methods.
    """

    theta: Floats
    sums: MomentSums
    distance: float
    evaluations: int
    iterations: int


def find_root(evaluate: Evaluate, start: Floats) -> Root:
    """Search for a root from ``start`` ``(P,)`` on.

    Parameters
    ----------
    evaluate
        Gives moments and their Jacobian at θ.
    start
        First θ.

    Raises
    ------
    NumericalError
        Where moments are not finite at the start.
    """
    seen = _Seen(evaluate)
    first = seen(start)
    if first.nonfinite:
        raise NumericalError(describe_nonfinite(first, start))
    factor = _factor(first)
    if factor is None:
        return Root(start, first, np.nan, seen.evaluations, 0)
    from scipy.optimize import least_squares

    def scaled(values: Floats) -> Floats:
        return np.asarray(scipy.linalg.solve_triangular(factor, values, lower=True))

    with np.errstate(all="ignore"):  # far from any root; a search steps back
        found = least_squares(
            lambda theta: scaled_or_nan(scaled, seen(theta).moments),
            start,
            jac=lambda theta: scaled(seen(theta).jacobian),
            method="trf",
            x_scale="jac",
            **dict.fromkeys(("ftol", "xtol", "gtol"), 1e-12),
            max_nfev=MAX_EVALUATIONS,
        )
    return _polish(seen, found.x, int(found.njev))


def find_near_root(
    moments: Evaluate, jacobian: Floats, start: Floats, *, near: float
) -> Root:
    """Search for where moments that jump are close to zero.

    Parameters
    ----------
    moments
        Gives moments at θ; their Jacobian is not looked at.
    jacobian
        ``(P, P)`` about what ∂g/∂θ' is.
    start
        ``(P,)`` first θ.
    near
        λ that is close enough.

    Raises
    ------
    NumericalError
        Where moments are not finite at the start.
    """
    sums = moments(start)
    if sums.nonfinite:
        raise NumericalError(describe_nonfinite(sums, start))
    best = Root(start, sums, distance_from_root(sums), 1, 0)
    length = 1.0
    while best.distance > near and best.evaluations < CHORDS:
        step = _newton_step(replace(best.sums, jacobian=jacobian))
        if step is None:
            break
        theta = best.theta + length * step
        sums = moments(theta)
        distance, evaluations = distance_from_root(sums), best.evaluations + 1
        if not sums.nonfinite and distance < best.distance:
            best = Root(theta, sums, distance, evaluations, best.iterations + 1)
            length = min(1.0, length / SHORTER)
        else:
            best, length = replace(best, evaluations=evaluations), length * SHORTER
    return best


def scaled_or_nan(scaled: Callable[[Floats], Floats], moments: Floats) -> Floats:
    """Scale moments, which where they are not finite are not numbers."""
    finite = np.isfinite(moments).all()
    return scaled(moments) if finite else np.full_like(moments, np.nan)


def distance_from_root(sums: MomentSums) -> float:
    """Compute λ; NaN where B is not positive definite."""
    factor = _factor(sums)
    if factor is None:
        return float("nan")
    own = scipy.linalg.solve_triangular(factor, sums.moments, lower=True)
    return float(np.sqrt(own @ own))


def describe_nonfinite(sums: MomentSums, theta: Floats) -> str:
    """Say how many people's moments are not finite, and where."""
    at = ", ".join(f"{value:.6g}" for value in theta)
    return (
        f"found: moments, or their derivatives, of {sums.nonfinite} of {sums.people} "
        f"people that are not finite at θ = ({at})\n"
        "  expected: finite ones\n"
        "  what to do: scale characteristics to the order of one, or give another start"
    )


class _Seen:
    """Moments at θ, evaluated once where they are asked for twice in turn."""

    def __init__(self, evaluate: Evaluate) -> None:
        self._evaluate = evaluate
        self._at: Floats = np.empty(0)
        self._sums: MomentSums | None = None
        self.evaluations = 0

    def __call__(self, theta: Floats) -> MomentSums:
        if self._sums is None or not np.array_equal(theta, self._at):
            self._at, self._sums = np.array(theta), self._evaluate(theta)
            self.evaluations += 1
        return self._sums


def _factor(sums: MomentSums) -> Floats | None:
    """Factor B, lower; None where it is not positive definite."""
    B = sums.by_person.T @ sums.by_person
    size = np.sqrt(np.diag(B))
    try:
        correlations = B / np.outer(size, size)
        return np.asarray(size[:, None] * scipy.linalg.cholesky(correlations, lower=1))
    except (scipy.linalg.LinAlgError, ValueError):
        return None


def _polish(seen: _Seen, theta: Floats, iterations: int) -> Root:
    """Take Newton steps as long as λ falls."""
    sums = seen(theta)
    distance = distance_from_root(sums)
    for _ in range(MAX_STEPS):
        step = _newton_step(sums)
        if not distance > TOLERANCE or step is None:
            break
        tried = seen(theta + step)
        moved = distance_from_root(tried)
        if tried.nonfinite or not moved < distance:
            break
        theta, sums, distance = theta + step, tried, moved
        iterations += 1
    return Root(theta, sums, distance, seen.evaluations, iterations)


def _newton_step(sums: MomentSums) -> Floats | None:
    """Solve ∂g/∂θ' d = -g; None where that has no solution."""
    try:
        return np.asarray(np.linalg.solve(sums.jacobian, -sums.moments))
    except np.linalg.LinAlgError:
        return None
