"""Where draws around modes should lie: at the parameters that they lead to.

Draws made at θ_c give a likelihood whose maximum θ̂(θ_c) differs from θ_c, much at first
and little once draws are where people's tastes are. With s the score of draws made at
θ, S the scores of people and

    d = (S'S)⁻¹ s,   λ = (s'd)^½

the step of Berndt, Hall, Hall and Hausman (1974) and its length in standard errors, the
search goes on from draws made anew, by the optimiser where λ > 5 and by d where it is
shorter, until λ < 0.02. Draws then stay, and Newton's method ends the search among
them.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from ..errors import NumericalWarning
from ..moments.choices import LikelihoodSums
from ..progress import Listener, StepEvent
from ..records import Floats
from .laplace_likelihood import LaplaceLikelihood
from .likelihood_covariances import invert_information, likelihood_covariances
from .likelihood_objective import LikelihoodObjective
from .optimizers.protocol import Objective, Outcome

#: Standard errors of a step after which draws are not made anew.
NEAR = 0.02
#: Standard errors of a step beyond which the optimiser searches.
FAR = 5.0
MAX_CENTRES = 40
#: Searches of the optimiser, after which θ is where it will be.
MAX_SEARCHES = 5
MAX_HALVINGS = 10


def search_recentred(
    objective: LikelihoodObjective,
    model: LaplaceLikelihood,
    optimizer: Callable[[Objective, Floats, Floats], Outcome],
    start: Floats,
    bounds: Floats,
    listener: Listener,
) -> Outcome:
    """Search with draws that follow θ, and leave them where they are at the end.

    Parameters
    ----------
    objective
        Of ``model``; it is given others of it.
    model
        With draws made at any parameters.
    optimizer
        What searches among draws.
    start, bounds
        ``(P,)`` and ``(P, 2)``.
    listener
        Told where draws are made anew.

    Returns
    -------
    Outcome
        Of the last search of the optimiser, at the last parameters. An optimiser that
        does not search leaves θ and the draws at the start.

    Warns
    -----
    NumericalWarning
        Where θ still moves when draws were made anew many times.
    """
    objective.use(model.centred(start))
    outcome = optimizer(objective, start, bounds)
    if outcome.evaluations == 0:
        return outcome
    theta, searches, length = outcome.theta, 1, np.nan
    for _ in range(MAX_CENTRES):
        listener(StepEvent(1, "Centring draws"))
        objective.use(model.centred(theta))
        sums = objective.finite_sums(theta, by_person=True)
        step, length = scoring_step(sums)
        if length <= NEAR:
            return replace(outcome, theta=theta)
        moved = _step(objective, theta, step, sums) if length <= FAR else None
        if moved is None:
            if searches == MAX_SEARCHES:
                break
            outcome, searches = optimizer(objective, theta, bounds), searches + 1
            moved = outcome.theta
        theta = moved
    objective.use(model.centred(theta))
    if not np.isnan(length):
        warnings.warn(_why(length), NumericalWarning, stacklevel=4)
    return replace(outcome, theta=theta, message=f"{outcome.message} {_why(length)}")


def _why(length: float) -> str:
    """Say why draws were left where they are though θ still moves."""
    if np.isnan(length):
        return (
            "Scores of people do not tell all parameters, so that draws were not "
            "centred where they should be."
        )
    return (
        f"Centring draws still moves θ by {length:.2g} standard errors: use more draws."
    )


def scoring_step(sums: LikelihoodSums) -> tuple[Floats, float]:
    """Compute d ``(P,)`` and λ; NaN where S'S cannot be inverted."""
    if sums.information.size:
        inverse = invert_information(sums.information)
    else:
        inverse = likelihood_covariances(
            "bhhh",
            hessian=np.empty((0, 0)),
            scores=sums.scores,
            weights=sums.weights,
        )
    step = inverse @ sums.score
    return step, float(np.sqrt(np.maximum(sums.score @ step, 0.0)))


def _step(
    objective: LikelihoodObjective, theta: Floats, step: Floats, sums: LikelihoodSums
) -> Floats | None:
    """Halve a step until LL grows; None where it never does."""
    for halving in range(MAX_HALVINGS):
        at = theta + step * 0.5**halving
        tried = objective.sums(at, derivatives=False)
        if not tried.nonfinite and tried.log_likelihood >= sums.log_likelihood:
            return at
    return None
