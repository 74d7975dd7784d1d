"""A model at parameters near its estimates, where the data still are what was chosen.

What is asked of a model, say an elasticity or a price after a merger, is a function of
its parameters ψ = (θ, β, γ) and, through them, of what they imply of observed shares S:

    f(ψ) = a(θ, β, γ, δ(θ)),     s(δ(θ), θ) = S,     ξ = δ(θ) - X1 β,

so that ∂f/∂ψ', which the delta method needs (:mod:`blpdask.results.delta_method`), has
the part of δ in it (Berry, Levinsohn and Pakes 1995; Nevo 2000, appendix). Costs that
answers take from observed prices follow in the same way.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..records import Floats
from ..results.parameter_places import ParameterMatrices, Place
from .demand_answers import mean_utilities
from .economy_methods import EconomyMethods
from .economy_questions import Question
from .estimated_economy import EstimatedEconomy

if TYPE_CHECKING:
    from .results import ProblemResults


class MovedResults(EconomyMethods):
    """What :meth:`blpdask.ProblemResults.delta_method` calls functions with.

    All questions of results can be asked, from ``compute_elasticities`` to
    ``simulate_merger``, and are answered at these parameters.

    Attributes
    ----------
    sigma, pi, rho, type_shares, phi, beta, gamma, sigma_squared
        Parameters, in the shapes of the estimates.
    """

    def __init__(
        self, matrices: ParameterMatrices, theta: Floats, at: EconomiesNear
    ) -> None:
        """Take parameters, and what gives their economy once it is asked for."""
        self.sigma, self.pi, self.rho = matrices.sigma, matrices.pi, matrices.rho
        self.type_shares, self.phi = matrices.type_shares, matrices.phi
        self.beta, self.gamma = matrices.beta, matrices.gamma
        self.sigma_squared = matrices.sigma_squared
        self._theta, self._at = theta, at

    def estimated_economy(self, what: str) -> EstimatedEconomy:
        """Give the problem at these parameters.

        Parameters
        ----------
        what
            Is asked for, for messages.
        """
        return self._at(what, self._theta, self.beta[:, 0], self.gamma[:, 0])


class EconomiesNear:
    """Gives economies at parameters near estimates; inverts once for each θ in a row.

    Parameters
    ----------
    results
        The estimates.
    engine, threads
        What inverts, as in :meth:`blpdask.Problem.solve`.
    """

    def __init__(self, results: ProblemResults, engine: Any, threads: int | None):
        """Keep what inversions start from."""
        self._results, self._engine, self._threads = results, engine, threads
        self._origin: EstimatedEconomy | None = None
        self._last: tuple[bytes, Floats] | None = None

    def __call__(
        self, what: str, theta: Floats, beta: Floats, gamma: Floats
    ) -> EstimatedEconomy:
        """Give the economy at parameters."""
        if self._origin is None:
            self._origin = self._results.estimated_economy(what)
        origin = self._origin
        if np.array_equal(theta, origin.theta):
            return replace(origin, beta=beta, gamma=gamma)
        if self._last is None or self._last[0] != theta.tobytes():
            moved = replace(origin, theta=theta)
            question = Question(moved, what, None, self._engine, self._threads)
            delta = mean_utilities(question, None, None, None, "safe_linear")
            self._last = theta.tobytes(), delta[:, 0]
        return replace(origin, theta=theta, beta=beta, gamma=gamma, delta=self._last[1])


def asked_of_results(
    function: Callable[[Any], Any],
    places: tuple[Place, ...],
    near: EconomiesNear,
    n_theta: int,
) -> Callable[[ParameterMatrices], Any]:
    """Turn a function of moved results into one of parameters alone.

    Parameters
    ----------
    function
        Takes :class:`MovedResults`.
    places
        Where each parameter stands, θ first.
    near
        Gives economies.
    n_theta
        How many parameters θ has.
    """

    def asked(matrices: ParameterMatrices) -> Any:
        theta = [getattr(matrices, p.matrix)[p.row, p.column] for p in places[:n_theta]]
        return function(MovedResults(matrices, np.array(theta, np.float64), near))

    return asked
