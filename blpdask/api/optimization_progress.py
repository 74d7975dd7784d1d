"""What custom optimisation routines see of each evaluation, under PyBLP's names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..estimators.optimizers.choose import OptimizerChoice
from ..estimators.optimizers.protocol import Evaluation
from ..records import Floats
from ..results.estimates import GmmEstimates

if TYPE_CHECKING:
    from .problem import Problem
    from .results import ProblemResults

#: Counts of results by market and step.
_BY_MARKET = ("fp_converged", "fp_iterations", "contraction_evaluations")

Wrap = Callable[[GmmEstimates], "ProblemResults"]


class OptimizationProgress:
    """An evaluation of the objective.

    ``delta``, ``xi``, ``omega``, ``beta``, ``sigma``, ``micro``,
    ``xi_by_theta_jacobian``, ``W``, bounds, labels and the other attributes that
    :class:`blpdask.ProblemResults` has are computed when the first of them is asked
    for, which costs about as much as an evaluation does; not in the step of
    continuously updated weights.

    Attributes
    ----------
    problem
        The :class:`blpdask.Problem`.
    theta
        ``(P,)`` where the objective was evaluated.
    objective, gradient
        q(θ), and ``(P, 1)`` its gradient, of size zero where it was not asked for.
    residual, residual_jacobian
        ``(M,)`` r of q = r'r, and ``(M, P)`` its Jacobian.
    """

    def __init__(self, evaluation: Evaluation, problem: Problem, wrap: Wrap) -> None:
        """Show an evaluation; ``wrap`` makes results of what is concluded from it."""
        gradient = evaluation.gradient
        self.problem = problem
        self.theta = evaluation.theta
        self.objective = np.array(evaluation.objective)
        self.gradient: Floats = (
            np.zeros((0, 1)) if gradient is None else np.array(gradient)[:, None]
        )
        self.residual = evaluation.residual
        self.residual_jacobian = evaluation.residual_jacobian
        self._evaluation, self._wrap = evaluation, wrap
        self._results: ProblemResults | None = None

    def __getattr__(self, name: str) -> Any:
        """Look further attributes up in results at θ."""
        if name.startswith("_"):
            raise AttributeError(name)
        if self._results is None:
            self._results = self._wrap(self._conclude())
        found = getattr(self._results, name)
        # Of steps there are several, of evaluations one.
        return np.ravel(found) if name in _BY_MARKET else found

    def _conclude(self) -> GmmEstimates:
        """Compute what a step would end with, were this its minimum."""
        conclude = self._evaluation.conclude
        if conclude is None:
            raise AttributeError(
                "found: further attributes of progress in a step of continuously "
                "updated weights\n  expected: theta, objective, gradient, residual and "
                "residual_jacobian\n  what to do: compute them from these, or choose "
                "another method"
            )
        found: GmmEstimates = conclude()
        return found


def watched(choice: OptimizerChoice, problem: Problem, wrap: Wrap) -> OptimizerChoice:
    """Let a custom routine see progress in the place of bare evaluations.

    Parameters
    ----------
    choice
        The optimiser; one of a name stays as it is.
    problem, wrap
        As of :class:`OptimizationProgress`.
    """
    method = choice.method
    if isinstance(method, str):
        return choice

    def watching(
        initial: Any,
        bounds: Any,
        objective_function: Any,
        callback: Any,
        **options: Any,
    ) -> Any:
        def evaluate(theta: Any) -> tuple[float, Any, OptimizationProgress]:
            objective, gradient, found = objective_function(theta)
            return objective, gradient, OptimizationProgress(found, problem, wrap)

        return method(initial, bounds, evaluate, callback, **options)

    return replace(choice, method=watching)
