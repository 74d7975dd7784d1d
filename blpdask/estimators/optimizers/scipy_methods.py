"""Minimise by one of SciPy's methods, under the names that PyBLP gives them.

Options go to :func:`scipy.optimize.minimize` as they are. Two are not SciPy's own:
``keep_feasible`` makes bounds strict for methods that can, and ``hess`` replaces the
BFGS approximation that ``"trust-constr"`` uses by default. Major iterations are counted
by SciPy's callback.

SciPy's ``"bfgs"`` gives up with "precision loss" where no step lowers q any more, and
calls it a failure. Whether it is one is decided by what the quadratic model of q at the
end, with the approximate inverse Hessian B, says is left to gain (Nocedal and Wright
2006, equation 6.3, at its minimiser -Bg):

    gain = g'B g / 2;    converged where gain <= eps |q|,

for a gain below the spacing of doubles at q cannot be told from none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...records import Floats
from .protocol import Objective, Outcome
from .recorder import Recorder

#: Methods that heed bounds and use gradients.
BOUNDED_METHODS = ("l-bfgs-b", "tnc", "slsqp", "trust-constr")
#: Methods that use gradients and ignore bounds.
UNBOUNDED_METHODS = ("cg", "bfgs", "newton-cg")
#: Methods that use neither.
SIMPLE_METHODS = ("nelder-mead", "powell")
#: What BFGS returns as ``status`` where its line search finds no lower value.
LINE_SEARCH_FAILED = 2


@dataclass(frozen=True, slots=True)
class ScipyOptions:
    """Which SciPy method, with which of its options.

    Attributes
    ----------
    method
        SciPy's name in lower case.
    settings
        Options by SciPy's names, ``keep_feasible`` and ``hess``.
    compute_gradient
        Whether the method is given gradients or differentiates numerically itself.
    """

    method: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    compute_gradient: bool = True


def minimize(
    objective: Objective, start: Floats, bounds: Floats, options: ScipyOptions
) -> Outcome:
    """Minimise by a SciPy method.

    Parameters
    ----------
    objective
        Its residual is not used.
    start
        ``(P,)`` first values.
    bounds
        ``(P, 2)`` bounds, which :data:`UNBOUNDED_METHODS` and :data:`SIMPLE_METHODS`
        ignore.
    options
        The method and its options.

    Returns
    -------
    Outcome
        Converged where SciPy says so, or where q has no digits left to lower.
    """
    import scipy.optimize

    settings = dict(options.settings)
    recorder = Recorder(objective, derivatives=options.compute_gradient)
    hessian = settings.pop("hess", None)
    if options.method == "trust-constr" and hessian is None:
        hessian = scipy.optimize.BFGS()
    result = scipy.optimize.minimize(
        lambda theta: recorder.evaluate(theta).objective,
        np.array(start, dtype=np.float64),
        method=options.method,
        jac=_gradient_of(recorder) if options.compute_gradient else None,
        hess=hessian,
        bounds=_scipy_bounds(
            bounds, options.method, settings.pop("keep_feasible", None)
        ),
        callback=lambda *_: recorder.end_iteration(),
        options=settings,
    )
    exhausted = options.method == "bfgs" and _is_exhausted(result)
    return Outcome(
        theta=np.array(result.x, dtype=np.float64),
        converged=bool(result.success) or exhausted,
        iterations=recorder.iterations,
        evaluations=recorder.evaluations,
        message=(
            "What is left to gain is below the rounding of the objective."
            if exhausted
            else str(result.message)
        ),
    )


def _is_exhausted(result: Any) -> bool:
    """Say whether BFGS ended where its model sees no gain that q could show."""
    if result.status != LINE_SEARCH_FAILED:
        return False
    gain = result.jac @ result.hess_inv @ result.jac / 2
    return bool(0 <= gain <= np.finfo(np.float64).eps * abs(result.fun))


def _gradient_of(recorder: Recorder) -> Any:
    """Return the function that SciPy asks for gradients."""

    def gradient(theta: Floats) -> Floats:
        found = recorder.evaluate(theta).gradient
        if found is None:
            raise TypeError("the objective returned no gradient")
        return found

    return gradient


def _scipy_bounds(bounds: Floats, method: str, keep_feasible: bool | None) -> Any:
    """Put bounds in SciPy's form, or none for a method that ignores them."""
    if method not in BOUNDED_METHODS:
        return None
    if keep_feasible is None:
        return [(float(lower), float(upper)) for lower, upper in bounds]
    import scipy.optimize

    return scipy.optimize.Bounds(bounds[:, 0], bounds[:, 1], keep_feasible)
