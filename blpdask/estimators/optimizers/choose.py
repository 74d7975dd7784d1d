"""Which optimiser a name stands for, what it can do, and how to run it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from numbers import Real
from typing import Any

import numpy as np

from ...errors import Faults
from ...records import Floats
from . import custom_method, scipy_methods, structured_quasi_newton
from .custom_method import CustomMethod, CustomOptions
from .endings import StructuredOptions
from .protocol import Objective, Outcome
from .scipy_methods import (
    BOUNDED_METHODS,
    SIMPLE_METHODS,
    UNBOUNDED_METHODS,
    ScipyOptions,
)

#: The structured quasi-Newton method's names.
STRUCTURED_METHODS = ("structured", "nl2sol")
#: Every name of a method.
METHODS = (
    *STRUCTURED_METHODS,
    *BOUNDED_METHODS,
    *UNBOUNDED_METHODS,
    *SIMPLE_METHODS,
    "return",
)


@dataclass(frozen=True, slots=True)
class OptimizerChoice:
    """An optimiser with its options, ready to be called.

    Attributes
    ----------
    method
        One of :data:`METHODS`, or a function (see :mod:`.custom_method`).
    settings
        The method's own options, by name.
    compute_gradient
        Whether it is given analytic gradients.
    """

    method: str | CustomMethod = "structured"
    settings: Mapping[str, Any] = field(default_factory=dict)
    compute_gradient: bool = True

    @property
    def supports_bounds(self) -> bool:
        """Whether bounds are heeded; where not, only equal bounds mean anything."""
        return callable(self.method) or self.method in (
            *STRUCTURED_METHODS,
            *BOUNDED_METHODS,
            "return",
        )

    @property
    def bounds_by_default(self) -> bool:
        """Whether PyBLP's default bounds (σ_kk >= 0) go with this method.

        They do with PyBLP's own methods that support bounds. The structured method
        needs none, and a σ that a bound holds at zero can hide a better minimum.
        """
        return self.supports_bounds and self.method not in STRUCTURED_METHODS

    def __call__(self, objective: Objective, start: Floats, bounds: Floats) -> Outcome:
        """Minimise from ``start`` ``(P,)`` within ``bounds`` ``(P, 2)``."""
        if not isinstance(self.method, str):
            custom = CustomOptions(self.method, self.settings, self.compute_gradient)
            return custom_method.minimize(objective, start, bounds, custom)
        if self.method == "return":
            message = "the starting values were returned, as asked"
            return Outcome(np.array(start, dtype=np.float64), True, 0, 0, message)
        if self.method in STRUCTURED_METHODS:
            structured = StructuredOptions(**self.settings)
            return structured_quasi_newton.minimize(
                objective, start, bounds, structured
            )
        scipy = ScipyOptions(self.method, self.settings, self.compute_gradient)
        return scipy_methods.minimize(objective, start, bounds, scipy)


def check_choice(choice: OptimizerChoice, faults: Faults) -> None:
    """Add every fault of a choice.

    Parameters
    ----------
    choice
        The choice.
    faults
        Where its faults go.
    """
    if not isinstance(choice.method, str):
        return
    if choice.method == "knitro":
        faults.add(
            found="method 'knitro'",
            expected="a method that this package can run",
            remedy="use 'structured', or wrap Knitro in a function and pass that",
        )
    elif choice.method not in METHODS:
        faults.add(
            found=f"method {choice.method!r}",
            expected=f"one of {', '.join(METHODS)}, or a function",
            remedy="choose one of these; 'structured' suits most problems",
        )
    else:
        _check_gradient(choice, faults)
        _check_settings(choice, faults)


def _check_gradient(choice: OptimizerChoice, faults: Faults) -> None:
    """Check that gradients are given to methods that need them and to no others."""
    if choice.method in SIMPLE_METHODS and choice.compute_gradient:
        faults.add(
            found=f"compute_gradient=True with method {choice.method!r}",
            expected="compute_gradient=False, as the method uses no gradient",
            remedy="set compute_gradient=False, or choose another method",
        )
    needing = (*STRUCTURED_METHODS, "newton-cg")
    if choice.method in needing and not choice.compute_gradient:
        faults.add(
            found=f"compute_gradient=False with method {choice.method!r}",
            expected="compute_gradient=True, as the method needs derivatives",
            remedy="set compute_gradient=True, or choose another method",
        )


def _check_settings(choice: OptimizerChoice, faults: Faults) -> None:
    """Check options of the methods that are not SciPy's."""
    if choice.method == "return" and choice.settings:
        faults.add(
            found=f"options {', '.join(map(str, choice.settings))} of method 'return'",
            expected="none, as it does nothing",
            remedy="leave method_options out",
        )
    if choice.method not in STRUCTURED_METHODS:
        return
    known = [item.name for item in fields(StructuredOptions)]
    for name, value in choice.settings.items():
        if name not in known:
            faults.add(
                found=f"option {name!r} of method {choice.method!r}",
                expected=f"one of {', '.join(known)}",
                remedy="remove or rename it",
            )
        elif not isinstance(value, Real) or not float(value) >= 0:
            faults.add(
                found=f"option {name!r} is {value!r}",
                expected="a number, zero or above",
                remedy="correct it",
            )
