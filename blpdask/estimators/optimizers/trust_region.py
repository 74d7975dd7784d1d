"""Which step minimises a quadratic model in a box and a scaled ball.

With residual r, Jacobian J, second-order term S (zero for Gauss-Newton), scales d and
θ's distances to its bounds l and u,

    min_p  g'p + p'Hp / 2,   g = J'r,   H = J'J + S,
    subject to  l <= p <= u,   ||D p|| <= Δ,   D = diag(d).

In scaled coordinates, over the parameters that are not held at a bound, H has an
eigen-decomposition (from the singular values of J D⁻¹ where S is zero, which halves
the digits lost), and the multiplier of the ball is a root of a scalar equation that
Newton's method solves in the form 1/||p|| = 1/Δ, indefinite H and the hard case
included (J. J. Moré and D. C. Sorensen, 1983, "Computing a trust region step", SIAM J.
Sci. Stat. Comput. 4, 553-572). The box is met by an active set.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...records import Floats

Flags = NDArray[np.bool_]
_ROUNDING = float(np.finfo(np.float64).eps)


@dataclass(frozen=True, slots=True)
class QuadraticModel:
    """The half objective r'r / 2 near an iterate.

    Attributes
    ----------
    residual
        ``(M,)`` r.
    jacobian
        ``(M, P)`` J.
    second
        ``(P, P)`` S, the approximation of Σ_m r_m ∇²r_m; ``None`` for Gauss-Newton.
    scale
        ``(P,)`` d > 0.
    """

    residual: Floats
    jacobian: Floats
    second: Floats | None
    scale: Floats

    def gradient(self, step: Floats) -> Floats:
        """Differentiate the model at ``step`` ``(P,)``."""
        slope: Floats = self.jacobian.T @ (self.residual + self.jacobian @ step)
        return slope if self.second is None else slope + self.second @ step

    def reduction(self, step: Floats) -> float:
        """Predict r'r / 2 at the iterate less that after ``step`` ``(P,)``."""
        change = self.jacobian @ step
        fall = -float(change @ (self.residual + change / 2))
        return (
            fall if self.second is None else fall - float(step @ self.second @ step) / 2
        )


@dataclass(frozen=True, slots=True)
class Spectrum:
    """A quadratic model over free parameters, in scaled eigen-coordinates.

    Attributes
    ----------
    values
        ``(F,)`` curvatures.
    vectors
        ``(F, F)`` their directions, in columns.
    slope
        ``(F,)`` gradient along each direction.
    """

    values: Floats
    vectors: Floats
    slope: Floats


def box_step(
    model: QuadraticModel, lower: Floats, upper: Floats, radius: float
) -> Floats:
    """Minimise a model in a box and a scaled ball.

    Parameters
    ----------
    model
        The quadratic model.
    lower, upper
        ``(P,)`` bounds of the step, lower <= 0 <= upper.
    radius
        Δ > 0.

    Returns
    -------
    Floats
        ``(P,)`` a feasible step that lowers the model at least as much as the best
        point on the projected path of steepest descent.

    Notes
    -----
    Parameters that a step would take past a bound are held there, and a held one whose
    multiplier has the wrong sign is freed, while the model improves. Without active
    bounds this is the exact solution.
    """
    slope = model.gradient(np.zeros(lower.size))
    held = ((lower >= 0) & (slope >= 0)) | ((upper <= 0) & (slope <= 0))
    best, fall = np.zeros(lower.size), -np.inf
    for _ in range(2 * lower.size + 1):
        step, held = _hold_and_solve(model, held, best, lower, upper, radius)
        if model.reduction(step) <= fall:
            break
        best, fall = step, model.reduction(step)
        pull = model.gradient(step) / model.scale
        wrong = held & (((step <= lower) & (pull < 0)) | ((step >= upper) & (pull > 0)))
        if not wrong.any():
            break
        held[np.argmax(np.where(wrong, np.abs(pull), -1.0))] = False
    if not ((best <= lower) | (best >= upper)).any():
        return best
    descent = _descent_path(model, slope, lower, upper, radius)
    return best if fall >= model.reduction(descent) else descent


def spectrum(model: QuadraticModel, free: Flags, held_step: Floats) -> Spectrum:
    """Decompose a model over its free parameters, the others having moved.

    Parameters
    ----------
    model
        The quadratic model.
    free
        ``(P,)`` which parameters are free.
    held_step
        ``(P,)`` step of the others; zero where free.

    Returns
    -------
    Spectrum
        Curvatures within rounding of zero have their slope zeroed where it is within
        rounding too, so that a singular model asks for no step along them.
    """
    scaled = model.jacobian[:, free] / model.scale[free]
    residual = model.residual + model.jacobian @ held_step
    if model.second is None:
        left, singular, right = np.linalg.svd(scaled, full_matrices=False)
        values = np.zeros(scaled.shape[1])
        values[: singular.size] = singular**2
        vectors = np.linalg.qr(right.T, mode="complete")[0]
        vectors[:, : singular.size] = right.T
        slope = np.zeros(values.size)
        kept = singular > scaled.size * _ROUNDING * singular.max(initial=0.0)
        slope[: singular.size] = np.where(kept, singular * (left.T @ residual), 0.0)
        return Spectrum(values=values, vectors=vectors, slope=slope)
    second = model.second[free] / model.scale[free][:, None]
    hessian = scaled.T @ scaled + second[:, free] / model.scale[free]
    values, vectors = np.linalg.eigh(hessian)
    slope = vectors.T @ (scaled.T @ residual + second @ held_step)
    flat = np.abs(values) <= values.size * _ROUNDING * np.abs(values).max(initial=0.0)
    still = np.abs(slope) <= values.size * _ROUNDING * np.abs(slope).max(initial=0.0)
    slope[flat & still] = 0.0
    return Spectrum(values=values, vectors=vectors, slope=slope)


def newton_decrement(parts: Spectrum) -> float:
    """Predict how far r'r / 2 can still fall: ĝ'Λ⁻¹ĝ / 2, infinite where Λ < 0."""
    top = float(np.abs(parts.values).max(initial=0.0))
    if parts.values.min(initial=0.0) < -np.sqrt(_ROUNDING) * top:
        return np.inf
    moving = parts.slope != 0
    curvature = np.maximum(parts.values[moving], _ROUNDING * top)
    if not curvature.all():
        return np.inf
    return float(np.sum(parts.slope[moving] ** 2 / curvature)) / 2


def ball_step(parts: Spectrum, radius: float) -> Floats:
    """Minimise over ||q|| <= Δ in eigen-coordinates.

    Parameters
    ----------
    parts
        The model's spectrum.
    radius
        Δ >= 0.

    Returns
    -------
    Floats
        ``(F,)`` the global minimiser, in the scaled coordinates.
    """
    values, slope = parts.values, parts.slope
    lowest = float(values.min(initial=np.inf))
    least = max(0.0, -lowest)
    step = _shifted(values, slope, least)
    length = float(np.linalg.norm(step))
    if length <= radius:
        if lowest < 0:
            step[np.argmin(values)] = np.sqrt(max(radius**2 - length**2, 0.0))
        return np.asarray(parts.vectors @ step)
    floor, ceiling = least, float(np.linalg.norm(slope)) / radius - lowest
    shift = ceiling if not np.isfinite(length) else least
    for _ in range(100):
        step = _shifted(values, slope, shift)
        length = float(np.linalg.norm(step))
        if abs(length - radius) <= 1e-8 * radius:
            break
        floor, ceiling = (shift, ceiling) if length > radius else (floor, shift)
        rate = float(np.sum(step**2 / np.where(step == 0, 1.0, values + shift)))
        if np.isfinite(length):
            shift += (length / radius - 1) * length**2 / rate
        if not floor < shift < ceiling:
            shift = max((floor + ceiling) / 2, 1e-3 * ceiling)
    return np.asarray(parts.vectors @ step)


def _shifted(values: Floats, slope: Floats, shift: float) -> Floats:
    """Solve (Λ + λ) q = -ĝ, zero where ĝ is, infinite where only Λ + λ is zero."""
    step = np.zeros(values.size)
    moving = slope != 0
    curvature = np.maximum(values[moving] + shift, 0.0)
    with np.errstate(divide="ignore", over="ignore"):
        step[moving] = -slope[moving] / curvature
    return step


def _hold_and_solve(
    model: QuadraticModel,
    held: Flags,
    held_step: Floats,
    lower: Floats,
    upper: Floats,
    radius: float,
) -> tuple[Floats, Flags]:
    """Solve over free parameters, holding every one that would pass a bound."""
    held = held.copy()
    step = np.where(held, held_step, 0.0)
    while not held.all():
        left = radius**2 - float(np.sum((model.scale * step)[held] ** 2))
        if left <= 0:
            break
        parts = spectrum(model, ~held, step)
        solved = np.array(step)
        solved[~held] = ball_step(parts, float(np.sqrt(left))) / model.scale[~held]
        passed = ~held & ((solved < lower) | (solved > upper))
        if not passed.any():
            return solved, held
        held |= passed
        step = np.where(passed, np.clip(solved, lower, upper), step)
    return step, held


def _descent_path(
    model: QuadraticModel, slope: Floats, lower: Floats, upper: Floats, radius: float
) -> Floats:
    """Search the projected path of steepest descent, halving from the ball's edge."""
    direction = -slope / model.scale**2
    length = float(np.linalg.norm(model.scale * direction))
    reach = radius / length if length > 0 else 0.0
    best, fall = np.zeros(slope.size), 0.0
    for halving in range(30):
        step = np.clip(reach * direction / 2**halving, lower, upper)
        if model.reduction(step) > fall:
            best, fall = step, model.reduction(step)
        elif fall > 0:
            break
    return best
