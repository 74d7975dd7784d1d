"""The negative simulated log-likelihood a person, as an optimiser sees it.

    q(θ) = -LL(θ) / Σ_i w_i,   LL(θ) = Σ_i w_i log P_i(θ),

whose gradient is of like size however many people there are. An evaluation is one
reduction over blocks.
"""

from __future__ import annotations

import time

import numpy as np

from ..driver.engine import Placement
from ..errors import NumericalError
from ..moments.choices import LikelihoodSums
from ..progress import EvaluationEvent, Listener
from ..records import Floats
from .likelihood_model import LikelihoodModel
from .optimizers.protocol import Evaluation


class LikelihoodObjective:
    """q(θ) of a simulated likelihood; implements the optimisers' protocol."""

    def __init__(
        self,
        *,
        placement: Placement,
        model: LikelihoodModel,
        weight: float,
        listener: Listener,
        number: int = 0,
    ) -> None:
        """Evaluate on a placement of people whose weights sum to ``weight``.

        ``number`` is that of the start, for the listener.
        """
        self._placement = placement
        self._model = model
        self._weight = weight
        self._listener = listener
        self._number = number
        self._best = np.inf
        self.accepted = 0
        self.evaluations = 0

    def __call__(self, theta: Floats, *, derivatives: bool = True) -> Evaluation:
        """Evaluate q at ``theta`` ``(P,)``.

        Where some probabilities are not finite q is infinite, so that searches step
        back.

        Raises
        ------
        NumericalError
            Where the very first evaluation is such a one.
        """
        sums = self.sums(theta, derivatives=derivatives)
        if sums.nonfinite and self.evaluations == 1:
            raise NumericalError(describe_nonfinite(sums, theta))
        at, value = np.array(theta), -sums.log_likelihood / self._weight
        gradient = -sums.score / self._weight if derivatives else None
        return Evaluation(at, np.inf if sums.nonfinite else value, gradient)

    def use(self, model: LikelihoodModel) -> None:
        """Evaluate another model from now on."""
        self._model = model

    def accept(self, evaluation: Evaluation) -> None:
        """Count an iterate."""
        del evaluation
        self.accepted += 1

    def sums(
        self, theta: Floats, *, derivatives: bool = True, by_person: bool = False
    ) -> LikelihoodSums:
        """Sum LL and its score over blocks, and tell the listener."""
        began = time.perf_counter()
        state = self._model.at(
            np.asarray(theta, np.float64), derivatives=derivatives, by_person=by_person
        )
        sums: LikelihoodSums = self._placement.reduce(self._model.work, state)
        self.evaluations += 1
        self._tell(theta, sums, time.perf_counter() - began)
        return sums

    def finite_sums(self, theta: Floats, *, by_person: bool = False) -> LikelihoodSums:
        """Sum LL and its score where all probabilities must be finite.

        Raises
        ------
        NumericalError
            Where they are not.
        """
        sums = self.sums(theta, by_person=by_person)
        if sums.nonfinite:
            raise NumericalError(describe_nonfinite(sums, theta))
        return sums

    def _tell(self, theta: Floats, sums: LikelihoodSums, seconds: float) -> None:
        objective = -sums.log_likelihood
        best = objective < self._best
        self._best = min(self._best, objective) if best else self._best
        norm = float(np.abs(sums.score).max()) if sums.score.size else np.nan
        self._listener(
            EvaluationEvent(
                step=1,
                start=self._number,
                number=self.evaluations,
                iterations=max(self.accepted - 1, 0),
                objective=objective,
                gradient_norm=norm,
                best=bool(best),
                seconds=seconds,
                share_maps=0,
                markets_failed=sums.nonfinite,
                theta=tuple(float(value) for value in theta),
            )
        )


def describe_nonfinite(sums: LikelihoodSums, theta: Floats) -> str:
    """Say how many people's probabilities are not finite, and where."""
    at = ", ".join(f"{value:.6g}" for value in theta)
    return (
        f"found: log-probabilities, or their derivatives, of {sums.nonfinite} of "
        f"{sums.people} people that are not finite at θ = ({at})\n"
        "  expected: finite ones\n"
        "  what to do: scale characteristics to the order of one, or start nearer to "
        "zero; exponentials of lognormal coefficients overflow easily"
    )
