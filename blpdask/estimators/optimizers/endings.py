"""When a structured quasi-Newton search is over, and if its end shows a minimum.

At an iterate with half objective f = r'r / 2, projected gradient g = J'r (zero where a
bound holds) and model Hessian H over the parameters that no bound holds,

- the gradient of the objective is small: max |2g| <= gtol;
- the fall still to be had is below rounding: Newton's decrement g'H⁻¹g / 2 <= ftol f,
  with H positive definite, and every |J_p'r| / (||J_p|| ||r||) <= 1e-6;
- or the search can move no further. It has then converged only if the decrement is at
  most 1e-12 max(1, f).

The decrement does not depend on the units of θ, the gradient does (J. J. Moré, 1978,
and J. E. Dennis, D. M. Gay and R. E. Welsch, 1981, section 6, for kindred tests).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...records import Floats
from .protocol import active_bounds, projected_gradient
from .trust_region import QuadraticModel, newton_decrement, spectrum

_SMALL_COSINE = 1e-6
_NEGLIGIBLE_FALL = 1e-12


@dataclass(frozen=True, slots=True)
class StructuredOptions:
    """When a structured quasi-Newton search stops.

    Attributes
    ----------
    gtol
        Bound on the largest element of the objective's projected gradient.
    ftol
        Bound on the predicted fall of the objective, relative to the objective.
    xtol
        Steps shorter than this, relative to θ and in scaled coordinates, end it.
    noise
        Relative error of the objective; changes below it are told apart by the
        gradient instead.
    max_iterations
        Accepted steps allowed.
    initial_radius
        Trust region at the start, in multiples of the start's scaled length.
    """

    gtol: float = 1e-8
    ftol: float = 1e-14
    xtol: float = 1e-15
    noise: float = 1e-13
    max_iterations: int = 1000
    initial_radius: float = 100.0


@dataclass(frozen=True, slots=True)
class Ending:
    """Whether a search ended at a minimum, and why it ended."""

    converged: bool
    message: str


def ending_of(
    model: QuadraticModel, theta: Floats, bounds: Floats, options: StructuredOptions
) -> Ending | None:
    """Say whether an iterate is a minimum to the tolerances asked for.

    Parameters
    ----------
    model
        The quadratic model in force at the iterate.
    theta
        ``(P,)`` the iterate.
    bounds
        ``(P, 2)`` its bounds.
    options
        The tolerances.

    Returns
    -------
    Ending or None
        ``None`` where the search should go on.
    """
    slope = scaled_slope(model, theta, bounds)
    if np.abs(2 * slope * model.scale).max(initial=0.0) <= options.gtol:
        return Ending(True, "the projected gradient is within gtol")
    size = float(model.residual @ model.residual)
    cosine = np.abs(slope).max(initial=0.0) / np.sqrt(size)
    if cosine > _SMALL_COSINE:
        return None
    if _fall_left(model, theta, bounds) <= options.ftol * size / 2:
        return Ending(True, "the predicted fall of the objective is within ftol")
    return None


def at_rest(model: QuadraticModel, theta: Floats, bounds: Floats, cause: str) -> Ending:
    """End a search that cannot move, converged if its model shows a minimum.

    Parameters
    ----------
    model
        The quadratic model in force at the iterate.
    theta
        ``(P,)`` the iterate.
    bounds
        ``(P, 2)`` its bounds.
    cause
        Why the search cannot move.

    Returns
    -------
    Ending
        With a message that tells which of the two it is.
    """
    fall = _fall_left(model, theta, bounds)
    level = float(model.residual @ model.residual) / 2
    if fall <= _NEGLIGIBLE_FALL * max(1.0, level):
        return Ending(True, f"{cause}; no fall of the objective is left to be had")
    if np.isinf(fall):
        return Ending(False, f"{cause}, where the model Hessian is not definite")
    return Ending(False, f"{cause}; a fall of {2 * fall:.1e} is still predicted")


def scaled_slope(model: QuadraticModel, theta: Floats, bounds: Floats) -> Floats:
    """Compute the projected J'r, ``(P,)``, in the model's scaled coordinates."""
    slope = model.jacobian.T @ model.residual
    return projected_gradient(theta, slope, bounds) / model.scale


def _fall_left(model: QuadraticModel, theta: Floats, bounds: Floats) -> float:
    """Compute Newton's decrement over the parameters that no bound holds."""
    slope = model.jacobian.T @ model.residual
    free = ~active_bounds(theta, slope, bounds)
    return newton_decrement(spectrum(model, free, np.zeros(theta.size)))
