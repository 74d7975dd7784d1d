"""How fixed points are iterated: PyBLP's ``Iteration``, and recycled Newton.

The default, ``Iteration("newton")``, is not PyBLP's: see the README's table.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..errors import Faults
from ..model.inversion import Iterate
from ..partitions.sealed import digest
from ..records import APART, Floats, InversionControls

KERNEL_METHODS = ("newton", "simple", "squarem", "return")
ROOT_METHODS = (
    "broyden1",
    "broyden2",
    "anderson",
    "krylov",
    "diagbroyden",
    "df-sane",
    "hybr",
    "lm",
)
_DEFAULTS: dict[str, dict[str, Any]] = {
    "newton": {"atol": 1e-14, "max_evaluations": 1000},
    "simple": {"atol": 1e-14, "rtol": 0, "max_evaluations": 5000, "norm": None},
    "squarem": {
        "atol": 1e-14,
        "rtol": 0,
        "max_evaluations": 5000,
        "norm": None,
        "scheme": 3,
        "step_min": 1.0,
        "step_max": 1.0,
        "step_factor": 4.0,
    },
    "return": {},
}


class Iteration:
    """Configure how mean utilities are iterated to a fixed point.

    Parameters
    ----------
    method
        ``"newton"`` (recycled Newton, the default of :meth:`Problem.solve`),
        ``"simple"``, ``"squarem"``, ``"return"`` (keep the starting values), one of
        SciPy's root finders ``"broyden1"``, ``"broyden2"``, ``"anderson"``,
        ``"krylov"``, ``"diagbroyden"``, ``"df-sane"``, ``"hybr"``, ``"lm"``, or a
        function ``method(initial, contraction, callback, **options) -> (final,
        converged)`` where ``contraction(x) -> (x, weights, jacobian)``.
    method_options
        Options of the method; ``atol`` (sup norm of the last change of δ) and
        ``max_evaluations`` for those of this package.
    compute_jacobian
        Whether ``"hybr"`` and ``"lm"`` may use derivatives; accepted for PyBLP scripts,
        which reach their speed here with ``"newton"``.
    universal_display
        Accepted for PyBLP scripts.

    Examples
    --------
    >>> Iteration("squarem", {"atol": 1e-12})
    Iteration('squarem', {'atol': 1e-12})
    """

    def __init__(
        self,
        method: str | Callable[..., tuple[Floats, bool]],
        method_options: Mapping[str, Any] | None = None,
        compute_jacobian: bool = False,
        universal_display: bool = False,
    ) -> None:
        """Check the method and its options."""
        del universal_display
        faults = Faults("Iteration")
        options = _check_options(method, method_options, faults)
        if compute_jacobian and method in KERNEL_METHODS:
            faults.add(
                f"compute_jacobian=True with method {method!r}",
                "a method that takes a Jacobian from outside: 'hybr' or 'lm'",
                "leave compute_jacobian out",
            )
        faults.check()
        self._method = method
        self._given = dict(method_options or {})
        self._options = options

    def __repr__(self) -> str:
        """Show how the object was made."""
        options = f", {self._given!r}" if self._given else ""
        return f"Iteration({self._method!r}{options})"

    def __str__(self) -> str:
        """Say the method and its options in a sentence."""
        return f"Configured to iterate with {self._method} and options {self._options}."

    def controls(self, scratch_bytes: int) -> InversionControls:
        """Express the configuration as the kernels read it."""
        if self._method not in KERNEL_METHODS:
            return InversionControls(method="return", scratch_bytes=scratch_bytes)
        o = self._options
        return InversionControls(
            method=str(self._method),
            atol=float(o.get("atol", 1e-14)),
            max_evaluations=int(o.get("max_evaluations", 1)),
            scheme=int(o.get("scheme", 3)),
            step_min=float(o.get("step_min", 1.0)),
            step_max=float(o.get("step_max", 1.0)),
            step_factor=float(o.get("step_factor", 4.0)),
            scratch_bytes=scratch_bytes,
        )

    def iterate(self) -> Iterate | None:
        """Give the routine that solves one market, where kernels have none."""
        options = self._options
        needs_python = options.get("norm") is not None or options.get("rtol")
        if self._method in KERNEL_METHODS and not needs_python:
            return None
        described = tuple(options.items()), digest((self._method, options))
        if self._method in ROOT_METHODS:
            return RootFinder(str(self._method), *described)
        if callable(self._method):
            return CustomRoutine(self._method, *described)
        return FixedPoint(str(self._method), *described)


@dataclass(frozen=True, slots=True)
class RootFinder:
    """Find the root of x - g(x) with one of SciPy's routines.

    Attributes
    ----------
    method, options
        SciPy's routine and its options.
    named
        Digest of both from before the first call: a function of the user's may change
        what it holds while it is called, and a recording must know it again.
    """

    method: str
    options: tuple[tuple[str, Any], ...] = field(metadata=APART)
    named: str

    def __call__(
        self, contraction: Callable[[Floats], Floats], start: Floats
    ) -> tuple[Floats, bool, int, int]:
        """Solve one market; return δ, convergence, iterations, evaluations."""
        import scipy.linalg
        import scipy.optimize

        options = dict(self.options)
        if self.method not in {"hybr", "lm"}:
            key = "fnorm" if self.method == "df-sane" else "tol_norm"
            options.setdefault(key, _sup_norm)
        counts = {"evaluations": 0, "iterations": 0, "bad": 0}

        def residual(x: Floats) -> Floats:
            counts["evaluations"] += 1
            moved = contraction(np.asarray(x, dtype=np.float64))
            if not np.isfinite(moved).all():
                counts["bad"] += 1
                return np.zeros_like(x)
            return x - moved

        def step(*_: object) -> None:
            counts["iterations"] += 1

        callback = None if self.method in {"hybr", "lm"} else step
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore", scipy.linalg.LinAlgWarning)
            try:
                found = scipy.optimize.root(
                    residual,
                    start,
                    method=self.method,
                    callback=callback,
                    options=options,
                )
            except (ValueError, np.linalg.LinAlgError):
                # Some of SciPy's routines raise where they lose their way.
                return start, False, counts["iterations"], counts["evaluations"]
        iterations = counts["iterations"] if callback else counts["evaluations"]
        converged = bool(found.success) and not counts["bad"]
        return np.asarray(found.x), converged, iterations, counts["evaluations"]


@dataclass(frozen=True, slots=True)
class CustomRoutine:
    """Call a user's routine by PyBLP's convention.

    Attributes
    ----------
    method, options, named
        The routine, and as in :class:`RootFinder`.
    """

    method: Callable[..., tuple[Floats, bool]] = field(metadata=APART)
    options: tuple[tuple[str, Any], ...] = field(metadata=APART)
    named: str

    def __call__(
        self, contraction: Callable[[Floats], Floats], start: Floats
    ) -> tuple[Floats, bool, int, int]:
        """Solve one market; return δ, convergence, iterations, evaluations."""
        counts = {"evaluations": 0, "iterations": 0}

        def evaluate(x: Floats) -> tuple[Floats, None, None]:
            counts["evaluations"] += 1
            return contraction(np.asarray(x, dtype=np.float64)), None, None

        def step() -> None:
            counts["iterations"] += 1

        found, converged = self.method(start, evaluate, step, **dict(self.options))
        final = np.asarray(found, dtype=np.float64).reshape(start.shape)
        return final, bool(converged), counts["iterations"], counts["evaluations"]


@dataclass(frozen=True, slots=True)
class FixedPoint:
    """Iterate x ← g(x) with a relative tolerance or a norm of the user's.

    Attributes
    ----------
    method, options, named
        As in :class:`RootFinder`.
    """

    method: str
    options: tuple[tuple[str, Any], ...] = field(metadata=APART)
    named: str

    def __call__(
        self, contraction: Callable[[Floats], Floats], start: Floats
    ) -> tuple[Floats, bool, int, int]:
        """Solve one market; return δ, convergence, iterations, evaluations."""
        options = dict(self.options)
        norm = options["norm"] or _sup_norm
        x = start
        for evaluation in range(1, options["max_evaluations"] + 1):
            moved = contraction(x)
            if not np.isfinite(moved).all():
                return x, False, evaluation, evaluation
            change, x = norm(moved - x), moved
            if change < options["atol"] + options["rtol"] * norm(x):
                return x, True, evaluation, evaluation
        return x, False, options["max_evaluations"], options["max_evaluations"]


def _sup_norm(x: Floats) -> float:
    return float(np.abs(x).max())


def _check_options(
    method: object, given: Mapping[str, Any] | None, faults: Faults
) -> dict[str, Any]:
    """Merge options with defaults; faults where they cannot be."""
    names = (*KERNEL_METHODS, *ROOT_METHODS)
    if not callable(method) and method not in names:
        faults.add(
            f"method {method!r}",
            f"one of {', '.join(names)}, or a function",
            "correct the name",
        )
        return {}
    if given is not None and not isinstance(given, Mapping):
        faults.add(
            f"method_options of type {type(given).__name__}", "a dict", "pass a dict"
        )
        return {}
    options = {**_DEFAULTS.get(str(method), {}), **(given or {})}
    if method in KERNEL_METHODS:
        _check_values(str(method), options, faults)
    return options


def _check_values(method: str, options: dict[str, Any], faults: Faults) -> None:
    known = _DEFAULTS[method]
    for name in [name for name in options if name not in known]:
        faults.add(
            f"option {name!r} of method {method!r}",
            f"one of {', '.join(known)}" if known else "no options",
            "remove it or correct its name",
        )
    checks = {
        "atol": lambda v: isinstance(v, int | float) and v >= 0,
        "rtol": lambda v: isinstance(v, int | float) and v >= 0,
        "max_evaluations": lambda v: isinstance(v, int) and v >= 1,
        "norm": lambda v: v is None or callable(v),
        "scheme": lambda v: v in (1, 2, 3),
        "step_max": lambda v: isinstance(v, int | float) and v > 0,
        "step_min": lambda v: isinstance(v, int | float),
        "step_factor": lambda v: isinstance(v, int | float) and v > 0,
    }
    for name, value in options.items():
        if name in checks and not checks[name](value):
            faults.add(
                f"{name}={value!r}",
                "a sensible value (tolerances not negative, counts at least one, "
                "scheme 1, 2 or 3)",
                f"correct {name}",
            )
    if method == "squarem" and not options["step_min"] <= options["step_max"]:
        faults.add("step_min above step_max", "step_min <= step_max", "swap them")
