"""Micro moments as a family that follows the linear ones.

    ḡ_m = f̄_m - f_m(v(θ)),   ∂ḡ_m/∂θ = -∂f_m/∂v ∂v/∂θ,   S = N Cov(f̄),

which do not depend on β or γ (Petrin 2002; Berry, Levinsohn and Pakes 2004; Conlon and
Gortmaker 2025). Observations of surveys are independent of products' errors, so that S
and W have blocks. Their first W is zero: an update at the starting values comes before
the first step, as in PyBLP.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..driver.engine import Placement
from ..model.parameters import Parameters, tastes_at
from ..moments.objective import FurtherMoments
from ..moments.surveys import (
    MicroValues,
    SurveyState,
    SurveySums,
    micro_covariances,
    micro_values,
    surveys_pass,
)
from ..problem.surveys import MicroSetup
from ..records import Floats


@dataclass(frozen=True, slots=True, eq=False)
class MicroRecord:
    """Micro moments at an estimate.

    Attributes
    ----------
    values
        ``(MM,)`` f(v).
    micro
        ``(MM,)`` f̄ - f(v).
    by_theta
        ``(MM, P)`` ∂(f̄ - f(v))/∂θ.
    covariances
        ``(MM, MM)`` of observed moments.
    """

    values: Floats
    micro: Floats
    by_theta: Floats
    covariances: Floats


class MicroFamily:
    """Micro moments of evaluations that blocks remember."""

    def __init__(
        self,
        setup: MicroSetup,
        placement: Placement,
        parameters: Parameters,
        backend: str,
    ) -> None:
        """Keep what does not change."""
        self._setup = setup
        self._placement = placement
        self._parameters = parameters
        self._backend = backend

    @property
    def size(self) -> int:
        """Count the moments, MM."""
        return self._setup.targets.values.size

    @property
    def initial_weights(self) -> Floats:
        """Give zeros, ``(MM, MM)``."""
        return np.zeros((self.size, self.size))

    def __call__(
        self, theta: Floats, b: Floats, name: str, derivatives: bool
    ) -> FurtherMoments:
        """Compute the moments at θ; see :class:`.further_moments.Further`."""
        found = self._at(theta, name, derivatives)
        by_theta = np.zeros((self.size, theta.size))
        by_theta[:, : found.by_theta.shape[1]] = -found.by_theta
        return FurtherMoments(
            values=self._setup.targets.values - found.values,
            by_theta=by_theta,
            by_b=np.zeros((self.size, b.size)),
        )

    def conclude(self, theta: Floats, name: str) -> MicroRecord:
        """Compute moments and their covariances at an estimate.

        Parameters
        ----------
        theta
            ``(P,)``.
        name
            Of the evaluation there that blocks remember.
        """
        targets = self._setup.targets
        found = self._at(theta, name, True)
        covariances = self._setup.sample_covariances
        if covariances is None:
            squares = self._sum(theta, name, derivatives=False, squares=True)
            covariances = micro_covariances(targets, found, squares.sums)
        by_theta = np.zeros((self.size, theta.size))
        by_theta[:, : found.by_theta.shape[1]] = -found.by_theta
        return MicroRecord(
            values=found.values,
            micro=targets.values - found.values,
            by_theta=by_theta,
            covariances=covariances,
        )

    def _at(self, theta: Floats, name: str, derivatives: bool) -> MicroValues:
        """Compute parts and moments of an evaluation."""
        sums = self._sum(theta, name, derivatives=derivatives, squares=False)
        return micro_values(self._setup.targets, sums)

    def _sum(
        self, theta: Floats, name: str, *, derivatives: bool, squares: bool
    ) -> SurveySums:
        """Run one pass over all blocks."""
        state = SurveyState(
            tastes=tastes_at(self._parameters, theta),
            derivatives=derivatives,
            squares=squares,
            backend=self._backend,
        )
        sums: SurveySums = self._placement.reduce(surveys_pass, state, anchor=name)
        return sums
