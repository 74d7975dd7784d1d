"""Minimise by a function of the user's, called in PyBLP's form.

    method(initial, bounds, objective_function, iteration_callback, **options)
        -> (final, converged)

where ``objective_function(theta) -> (objective, gradient, progress)``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...errors import Faults
from ...records import Floats
from .protocol import Evaluation, Objective, Outcome
from .recorder import Recorder

CustomMethod = Callable[..., tuple[Floats, bool]]


@dataclass(frozen=True, slots=True)
class CustomOptions:
    """Which function, with which options.

    Attributes
    ----------
    method
        The function.
    settings
        Passed to it by keyword.
    compute_gradient
        Whether it is given gradients; they are ``None`` otherwise.
    """

    method: CustomMethod
    settings: Mapping[str, Any] = field(default_factory=dict)
    compute_gradient: bool = True


def minimize(
    objective: Objective, start: Floats, bounds: Floats, options: CustomOptions
) -> Outcome:
    """Minimise by a function of the user's.

    Parameters
    ----------
    objective
        Each of its evaluations is the method's ``progress``: ``progress.residual`` and
        ``progress.residual_jacobian`` are there for methods made for least squares.
    start
        ``(P,)`` first values; the method gets a copy.
    bounds
        ``(P, 2)`` bounds; the method gets pairs of floats.
    options
        The function and its options.

    Returns
    -------
    Outcome
        As the method says.

    Raises
    ------
    InputError
        If the method does not return P values and a flag.
    """
    recorder = Recorder(objective, derivatives=options.compute_gradient)

    def objective_function(theta: Any) -> tuple[float, Floats | None, Evaluation]:
        values = np.asarray(theta, dtype=np.float64).reshape(np.shape(start))
        found = recorder.evaluate_anew(values)
        gradient = None if found.gradient is None else np.array(found.gradient)
        return found.objective, gradient, found

    answer = options.method(
        np.array(start, dtype=np.float64),
        [(float(lower), float(upper)) for lower, upper in bounds],
        objective_function,
        recorder.end_iteration,
        **options.settings,
    )
    final, converged = _read(answer, np.size(start))
    return Outcome(
        theta=final,
        converged=converged,
        iterations=recorder.iterations,
        evaluations=recorder.evaluations,
        message="the custom method ended",
    )


def _read(answer: object, count: int) -> tuple[Floats, bool]:
    """Check what a custom method returned."""
    faults = Faults("the custom optimization method")
    if not isinstance(answer, tuple) or len(answer) != 2:
        faults.add(
            found=f"it returned {type(answer).__name__}",
            expected="a pair: final values and whether they converged",
            remedy="end the method with 'return final, converged'",
        )
        faults.check()
        raise AssertionError
    final, converged = answer
    values = np.array(final, dtype=np.float64).reshape(-1)
    if values.size != count:
        faults.add(
            found=f"it returned {values.size} final values",
            expected=f"{count}, one for each parameter",
            remedy="return an array like its argument 'initial'",
        )
    faults.check()
    return values, bool(converged)
