"""Mixed logit with draws around the modes of people's tastes, as a likelihood's model.

The draws depend on parameters θ_c (:mod:`blpdask.model.laplace_draws`), which a model
holds: :mod:`.recentring` moves them to where the likelihood is maximal.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from ..choice_records import MixedCoefficients
from ..model.mixed_coefficients import mixed_tastes
from ..moments.choices import warm_choice_kernels
from ..moments.laplace_choices import CentredState, centred_pass
from ..records import Floats
from .likelihood_model import LikelihoodPass, SimulatedLikelihood


@dataclass(frozen=True, slots=True, eq=False)
class LaplaceLikelihood:
    """Mixed logit by maximum simulated likelihood, draws being where choices say.

    Attributes
    ----------
    coefficients
        What varies and how.
    backend
        ``numba``, ``numpy`` or ``cupy``.
    centre
        ``(P,)`` θ_c.
    corrected
        Whether the bias of the logarithm of a mean of draws is taken away.
    summed
        Whether sums of outer products of scores stand for scores of people.
    """

    coefficients: MixedCoefficients
    backend: str
    centre: Floats
    corrected: bool = False
    summed: bool = False

    @property
    def work(self) -> LikelihoodPass:
        """Sum log P_i and scores."""
        return centred_pass

    @property
    def warm(self) -> Callable[[], None]:
        """Compile kernels of choices."""
        return partial(warm_choice_kernels, self.backend)

    def at(self, theta: Floats, *, derivatives: bool, by_person: bool) -> CentredState:
        """Read θ and θ_c as kernels do."""
        plain = SimulatedLikelihood(
            self.coefficients, self.backend, self.corrected, self.summed
        )
        return CentredState(
            here=plain.at(theta, derivatives=derivatives, by_person=by_person),
            centre=mixed_tastes(self.coefficients, self.centre),
            kinds=self.coefficients.random_kinds,
        )

    def centred(self, centre: Floats) -> LaplaceLikelihood:
        """Give the model with draws around the modes at ``centre`` ``(P,)``."""
        return replace(self, centre=np.array(centre, np.float64))
