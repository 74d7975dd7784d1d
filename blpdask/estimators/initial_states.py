"""Mixed logit of panels with habit whose first states the model makes itself.

Parameters are those of mixed logit; the likelihood has a factor more, the chance of the
first state at each draw (:mod:`blpdask.moments.initial_states`).
"""

from __future__ import annotations

from dataclasses import dataclass

from ..moments.initial_states import initial_states_pass
from .likelihood_model import LikelihoodPass, SimulatedLikelihood


@dataclass(frozen=True, slots=True)
class InitialStatesLikelihood(SimulatedLikelihood):
    """Maximum simulated likelihood of choices and first states.

    Blocks are :class:`blpdask.moments.initial_states.InitialBlock`.
    """

    @property
    def work(self) -> LikelihoodPass:
        """Sum log P_i, first states included, and scores."""
        return initial_states_pass
