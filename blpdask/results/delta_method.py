"""Standard errors of functions of the parameters: the delta method.

With V the covariance of √N (ψ̂ - ψ), ψ all estimated parameters, those in θ and those
concentrated out of the objective alike, and f differentiable at ψ̂,

    Cov f(ψ̂) = F V F' / N,        F = ∂f/∂ψ'.

F comes from central differences D(h) = (f(ψ + h) - f(ψ - h)) / 2h, extrapolated twice,

    R(h) = (4 D(h/2) - D(h)) / 3,     F ≈ (16 R(h/2) - R(h)) / 15,

with h = ε^(1/5) times the scale on which f bends, for an error that is O(h⁶) + O(ε/h).
That scale is taken to be |ψ_p|, but no less than a hundredth of its standard error.
Where f is not smooth on that scale, E = F - R(h/2) is not small, and a warning says so:
where roots of the diagonal of E V E' / N are beyond a thousandth of standard errors.
They are made as these are, since what is about collinear parameters cancels in both.

References
----------
Newey and McFadden (1994), "Large Sample Estimation and Hypothesis Testing"; Press,
Teukolsky, Vetterling and Flannery (2007), "Numerical Recipes", section 5.7.
"""

from __future__ import annotations

import itertools
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import Faults, NumericalWarning
from ..progress import BlocksEvent, Listener, silent
from ..records import Floats
from .estimates import GmmEstimates
from .parameter_places import ParameterMatrices, parameter_places, place_parameters
from .test_statistic import TestStatistic
from .text_tables import Header, format_number, text_table

Function = Callable[[ParameterMatrices], Any]

#: h over the scale of a parameter.
_STEP = float(np.finfo(np.float64).eps) ** 0.2
#: Evaluations a parameter takes.
DIFFERENCES = 6
#: The least scale of a parameter, over its standard error.
_LEAST_SCALE = 0.01
#: Error of the differences, over the standard error it makes, that a warning is worth.
_ROUGH = 1e-3
#: The same over the value itself: less is rounding, as where f does not move at all.
_NOISE = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class DeltaMethod:
    """A function of the parameters at the estimates.

    Attributes
    ----------
    value, standard_errors
        f(ψ̂) and its standard errors, of the shape that f gives.
    covariances
        ``(n, n)`` Cov f(ψ̂), of its n elements row by row; of the estimates, not of √N
        times their errors.
    jacobian
        ``(n, P + C)`` F, columns in the order of ``parameters``.
    """

    value: Floats
    standard_errors: Floats
    covariances: Floats
    jacobian: Floats

    def wald_test(self, null: Any = 0.0) -> TestStatistic:
        """Test that f(ψ) is ``null``, all elements at once.

        Parameters
        ----------
        null
            A number, or an array of the shape of ``value``.

        Raises
        ------
        InputError
            Where the elements are not linearly independent.
        """
        gap = np.ravel(self.value - np.asarray(null, dtype=np.float64))
        scale = np.sqrt(np.diag(self.covariances))
        faults = Faults("Wald test")
        with np.errstate(invalid="ignore", divide="ignore"):
            correlations = self.covariances / np.outer(scale, scale)
        finite = bool(np.isfinite(correlations).all())
        if not finite or np.linalg.matrix_rank(correlations) < gap.size:
            faults.add(
                f"singular covariances of {gap.size} numbers",
                "numbers of which none follows from the others, with standard errors",
                "test fewer of them, or look for parameters without standard errors",
            )
        faults.check()
        standardised = gap / scale
        statistic = standardised @ np.linalg.solve(correlations, standardised)
        return TestStatistic(float(statistic), gap.size, "Wald")

    def __str__(self) -> str:
        """Print values with errors in parentheses."""
        table = np.atleast_2d(self.value)
        errors = np.atleast_2d(self.standard_errors)
        if table.ndim > 2:
            table = table.reshape(-1, table.shape[-1])
            errors = errors.reshape(table.shape)
        rows = []
        for values, spread in zip(table, errors, strict=True):
            rows.append([format_number(v) for v in values])
            rows.append([f"({format_number(s)})" for s in spread])
        header: list[Header] = [str(k) for k in range(table.shape[1])]
        return text_table("Function of Parameters (SEs in Parentheses)", header, rows)

    __repr__ = __str__


def delta_method(
    estimates: GmmEstimates, function: Function, listener: Listener = silent
) -> DeltaMethod:
    """Compute a function of the parameters, with standard errors.

    Parameters
    ----------
    estimates
        With standard errors.
    function
        Takes :class:`~blpdask.results.parameter_places.ParameterMatrices`, gives a
        number or an array of them. What it takes from elsewhere, as from δ̂ or ξ̂, is
        held where it is.
    listener
        Is told of evaluations.

    Raises
    ------
    InputError
        Where the function gives what is not a finite number.

    Warns
    -----
    NumericalWarning
        Where differences of the function do not settle, as at a kink.
    """
    places = parameter_places(estimates)
    return function_of_parameters(
        lambda values: function(place_parameters(estimates, places, values)),
        np.array(estimates.parameters[:, 0]),
        estimates.parameter_covariances / estimates.n_products,
        listener,
    )


def function_of_parameters(
    function: Callable[[Floats], Any],
    psi: Floats,
    V: Floats,
    listener: Listener = silent,
) -> DeltaMethod:
    """Compute a function of parameters in a row, with standard errors.

    Parameters
    ----------
    function
        Takes parameters, gives a number or an array of them.
    psi, V
        ``(P,)`` estimates ψ̂ and ``(P, P)`` their covariances.
    listener
        Is told of evaluations.

    Raises
    ------
    InputError
        Where the function gives what is not a finite number.
    """
    with np.errstate(invalid="ignore"):
        spread = np.sqrt(V.diagonal())

    began, total = time.perf_counter(), 1 + DIFFERENCES * psi.size
    numbers = itertools.count(1)

    def evaluate(values: Floats) -> Floats:
        found = _numbers(function(values))
        seconds = time.perf_counter() - began
        listener(BlocksEvent(next(numbers), total, seconds, unit="evaluation"))
        return found

    value = evaluate(psi)
    F, E = _differentiate(evaluate, psi, spread, value)
    covariances = F @ V @ F.T
    covariances = (covariances + covariances.T) / 2
    with np.errstate(invalid="ignore"):
        errors = np.sqrt(covariances.diagonal())
        # Of a parameter without a standard error, the covariances have said enough.
        told = np.maximum(_ROUGH * errors, _NOISE * np.abs(np.ravel(value)))
        moved = np.sqrt(np.maximum(np.sum(E @ np.nan_to_num(V) * E, axis=1), 0.0))
        rough = moved > told
    if rough.any():
        warnings.warn(
            f"differences of the function do not settle in {rough.sum()} of its "
            f"{rough.size} elements: it has a kink or is noisy near the estimates, "
            "and the delta method does not hold there",
            NumericalWarning,
            stacklevel=4,
        )
    return DeltaMethod(value, errors.reshape(value.shape), covariances, F)


def check_function(given: Any) -> None:
    """Refuse what cannot be called.

    Raises
    ------
    InputError
        Where it cannot.
    """
    faults = Faults("delta_method")
    if not callable(given):
        faults.add(
            f"function={given!r}",
            "a function of results",
            "pass one, such as lambda at: at.beta[0, 0]",
        )
    faults.check()


def _numbers(given: Any) -> Floats:
    """Read what a function gave as finite numbers."""
    faults = Faults("delta_method")
    try:
        values = np.array(given, dtype=np.float64)
    except (TypeError, ValueError):
        values = np.empty(0)
        faults.add(
            f"a function that gives {type(given).__name__}",
            "a number or an array of numbers",
            "return numbers, such as numpy.hstack([...])",
        )
    if not np.isfinite(values).all():
        faults.add(
            f"{(~np.isfinite(values)).sum()} NaN or infinite numbers from the function",
            "finite numbers at the estimates and close to them",
            "leave out what is not finite",
        )
    faults.check()
    return values


def _differentiate(
    evaluate: Callable[[Floats], Floats], psi: Floats, spread: Floats, value: Floats
) -> tuple[Floats, Floats]:
    """Compute F, and E = F - R(h/2), by how much it moved last, ``(n, P + C)``."""
    F = np.zeros((value.size, psi.size))
    E = np.zeros_like(F)
    least = _LEAST_SCALE * np.nan_to_num(spread, posinf=0.0)
    for p, scale in enumerate(np.maximum(np.abs(psi), least)):
        h = _STEP * (scale if scale > 0 else 1.0)
        D = [_central(evaluate, psi, p, h / divisor) for divisor in (1, 2, 4)]
        R = [(4 * fine - coarse) / 3 for coarse, fine in itertools.pairwise(D)]
        F[:, p] = (16 * R[1] - R[0]) / 15
        E[:, p] = F[:, p] - R[1]
    return F, E


def _central(
    evaluate: Callable[[Floats], Floats], psi: Floats, p: int, h: float
) -> Floats:
    """Difference f about ψ in one parameter, ``(n,)``, by steps as rounded."""
    up, down = psi.copy(), psi.copy()
    up[p] += h
    down[p] -= h
    return np.ravel(evaluate(up) - evaluate(down)) / float(up[p] - down[p])
