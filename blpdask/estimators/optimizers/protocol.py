"""What passes between an estimator and an optimiser.

An estimator offers an objective q(θ) = r(θ)'r(θ), its gradient 2 J'r and, where it has
them, the residual r and its Jacobian J = ∂r/∂θ'. An optimiser offers a function

    minimize(objective, start, bounds, options) -> Outcome.

Estimators know no optimiser and optimisers no economics.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ...records import Floats


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The objective at one θ.

    Attributes
    ----------
    theta
        ``(P,)`` where it was evaluated.
    objective
        q(θ), equal to r'r where there is a residual.
    gradient
        ``(P,)`` ∂q/∂θ = 2 J'r; ``None`` where not asked for.
    residual
        ``(M,)`` r(θ); ``None`` where the objective is not a sum of squares.
    residual_jacobian
        ``(M, P)`` J = ∂r/∂θ'; ``None`` where not asked for.
    conclude
        Computes all else that the estimator knows at ``theta``; ``None`` where it does
        not say.
    """

    theta: Floats
    objective: float
    gradient: Floats | None = None
    residual: Floats | None = None
    residual_jacobian: Floats | None = None
    conclude: Callable[[], Any] | None = field(default=None, repr=False, compare=False)

    @property
    def finite(self) -> bool:
        """Whether every number that is present is finite."""
        arrays = (self.gradient, self.residual, self.residual_jacobian)
        return bool(
            np.isfinite(self.objective)
            and all(np.isfinite(array).all() for array in arrays if array is not None)
        )


class Objective(Protocol):
    """What an optimiser minimises."""

    def __call__(self, theta: Floats, *, derivatives: bool = True) -> Evaluation:
        """Evaluate at ``theta`` ``(P,)``."""
        ...

    def accept(self, evaluation: Evaluation) -> None:
        """Learn that an evaluation became an iterate.

        The estimator may start later inversions there. Optimisers call this by rules
        that depend on the sequence of evaluations alone.
        """
        ...


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an optimisation ended.

    Attributes
    ----------
    theta
        ``(P,)`` the final iterate.
    converged
        Whether the stopping rule that ended it shows a local minimum.
    iterations
        Major iterations, counted as the method counts them.
    evaluations
        Objectives computed.
    message
        Why it ended, in words.
    """

    theta: Floats
    converged: bool
    iterations: int
    evaluations: int
    message: str


def active_bounds(theta: Floats, gradient: Floats, bounds: Floats) -> NDArray[np.bool_]:
    """Flag parameters at a bound that the objective's descent pushes outwards."""
    at_lower = (theta <= bounds[:, 0]) & (gradient >= 0)
    at_upper = (theta >= bounds[:, 1]) & (gradient <= 0)
    return np.asarray(at_lower | at_upper)


def projected_gradient(theta: Floats, gradient: Floats, bounds: Floats) -> Floats:
    """Zero the gradient's elements that point out of the box.

    Parameters
    ----------
    theta
        ``(P,)`` parameters within their bounds.
    gradient
        ``(P,)`` gradient of the objective.
    bounds
        ``(P, 2)`` lower and upper bounds, infinite where there are none.

    Returns
    -------
    Floats
        ``(P,)`` zero at a first-order optimum of the bounded problem.
    """
    return np.where(active_bounds(theta, gradient, bounds), 0.0, gradient)
