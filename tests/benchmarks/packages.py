"""How either package is asked for the same thing.

Both invert shares to 1e-14, PyBLP by its default (SQUAREM from the plain logit's δ),
blpdask by its own. Objectives are scaled alike, so they are to be equal.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Literal

import numpy as np

from blpdask.progress import EvaluationEvent, Event, StepEvent
from blpdask.records import Floats

from .measure import Span, Stopwatch
from .problems import Data

Package = Literal["pyblp", "blpdask"]
PACKAGES: tuple[Package, ...] = ("pyblp", "blpdask")
#: How PyBLP's documentation estimates Nevo's problem.
DOCUMENTED = ("bfgs", {"gtol": 1e-5})
#: Steps away from the starting values, small as late in an estimation.
FACTORS = (1.0, 1.01, 0.99, 1.005, 0.995, 1.015, 0.985, 1.002, 0.998, 1.012)


@dataclass(frozen=True, slots=True)
class Path:
    """Evaluations of the objective and its gradient at given θ, one after another."""

    spans: tuple[Span, ...]
    objectives: Floats
    gradients: Floats


@dataclass(frozen=True, slots=True)
class Solution:
    """An estimation.

    Attributes
    ----------
    span
        Of ``problem.solve`` as a whole.
    optimization
        Of the optimiser; PyBLP's CPU seconds are not known and NaN.
    evaluations
        Of the objective by the optimiser.
    objective
        At the estimate.
    thetas
        ``(evaluations, P)`` where the optimiser evaluated; empty with PyBLP.
    objectives
        What it found there.
    """

    span: Span
    optimization: Span
    evaluations: int
    objective: float
    thetas: Floats
    objectives: Floats


class PathEnded(Exception):
    """Leaves ``solve`` before it computes what follows from a minimum."""


def load(package: Package) -> ModuleType:
    """Import a package and silence it."""
    module = importlib.import_module(package)
    module.options.verbose = False
    return module


def build_problem(package: Package, data: Data) -> Any:
    """Build the problem."""
    module = load(package)
    options = {} if data.absorb is None else {"absorb": data.absorb}
    linear = module.Formulation(data.linear, **options)
    agents = data.demographics
    return module.Problem(
        (linear, module.Formulation(data.random)),
        data.products,
        None if agents is None else module.Formulation(agents),
        data.agents,
    )


def starting_values(data: Data) -> Floats:
    """Give the free parameters ``(P,)``: of Σ, then of Π row by row."""
    pi = np.empty(0) if data.pi is None else data.pi[data.pi != 0]
    return np.concatenate([np.diag(data.sigma), pi])


def evaluate_path(
    package: Package,
    problem: Any,
    data: Data,
    thetas: Floats,
    *,
    cold: bool = False,
    threads: int | None = None,
    client: Any = None,
    before: Callable[[int], None] = lambda number: None,
) -> Path:
    """Evaluate objective and gradient at given θ through a custom optimiser.

    Parameters
    ----------
    package, problem, data
        What is evaluated.
    thetas
        ``(n, P)`` where.
    cold
        Whether blpdask, too, starts every inversion from the plain logit's δ, as PyBLP
        does, and not from its prediction.
    threads
        Threads of blpdask's engine, the serial engine where None.
    client
        Of the Dask cluster whose workers evaluate, none where None.
    before
        Called with the number of each evaluation, from 0, before it, and once more
        after the last.
    """
    module = load(package)
    options: dict[str, Any] = {"check_optimality": "gradient"}
    if package == "blpdask":
        options |= _engine(threads) if client is None else {"engine": client}
        options["delta_behavior"] = "logit" if cold else "anchor"

    def estimate(method: Any) -> None:
        optimization = module.Optimization(method)
        _solve(problem, data, options | {"optimization": optimization})

    return follow_path(estimate, thetas, before)


def follow_path(
    estimate: Callable[[Any], Any],
    thetas: Floats,
    before: Callable[[int], None] = lambda number: None,
) -> Path:
    """Evaluate at given θ what ``estimate`` is asked to optimise by a custom method.

    Parameters
    ----------
    estimate
        Estimates by the method that it is given.
    thetas
        ``(n, P)`` where.
    before
        As in :func:`evaluate_path`.
    """
    spans: list[Span] = []
    found: list[tuple[float, Floats]] = []

    def method(
        initial: Floats, bounds: Any, objective_function: Any, iteration_callback: Any
    ) -> tuple[Floats, bool]:
        del initial, bounds
        for number, theta in enumerate(thetas):
            before(number)
            watch = Stopwatch()
            objective, gradient, _ = objective_function(theta)
            spans.append(watch.read())
            found.append((objective, np.ravel(gradient)))
            iteration_callback()
        before(len(thetas))
        raise PathEnded

    with suppress(PathEnded):
        estimate(method)
    return Path(
        tuple(spans), np.array([q for q, _ in found]), np.array([g for _, g in found])
    )


def solve(package: Package, problem: Any, data: Data, *, hessian: bool) -> Solution:
    """Estimate in one step: PyBLP as documented, blpdask by its default.

    Parameters
    ----------
    package, problem, data
        What is estimated.
    hessian
        Whether the Hessian is computed at the end, as both do by default.
    """
    checks = {"check_optimality": "both" if hessian else "gradient"}
    if package == "pyblp":
        return _solve_pyblp(problem, data, checks)
    recorder = Recorder()
    options = checks | _engine(None) | {"progress": recorder}
    watch = Stopwatch()
    results = _solve(problem, data, options)
    span = watch.read()
    evaluations = int(results.objective_evaluations) - 1
    return Solution(
        span,
        recorder.optimization,
        evaluations,
        float(results.objective),
        np.array(recorder.thetas[:evaluations]),
        np.array(recorder.objectives[:evaluations]),
    )


class Recorder:
    """Listens to blpdask: where it evaluates, and how long its optimiser takes."""

    def __init__(self) -> None:
        self.thetas: list[tuple[float, ...]] = []
        self.objectives: list[float] = []
        self.optimization = Span(np.nan, np.nan)
        self._watch: Stopwatch | None = None

    def __call__(self, event: Event) -> None:
        """Note an evaluation, or when the optimiser begins and ends."""
        if isinstance(event, EvaluationEvent):
            self.thetas.append(event.theta)
            self.objectives.append(event.objective)
        elif isinstance(event, StepEvent) and self._watch is None:
            self._watch = Stopwatch()
        elif self._watch is not None and np.isnan(self.optimization.wall):
            self.optimization = self._watch.read()


def _solve_pyblp(problem: Any, data: Data, checks: dict[str, Any]) -> Solution:
    method, settings = DOCUMENTED
    optimization = load("pyblp").Optimization(method, settings)
    watch = Stopwatch()
    results = _solve(problem, data, checks | {"optimization": optimization})
    span = watch.read()
    return Solution(
        span,
        Span(float(results.optimization_time), np.nan),
        int(results.objective_evaluations) - 1,
        float(np.squeeze(results.objective)),
        np.empty((0, 0)),
        np.empty(0),
    )


def _solve(problem: Any, data: Data, options: dict[str, Any]) -> Any:
    return problem.solve(sigma=data.sigma, pi=data.pi, method="1s", **options)


def _engine(threads: int | None) -> dict[str, Any]:
    if threads is None:
        return {"engine": "serial"}
    return {"engine": "threads", "threads": threads}
