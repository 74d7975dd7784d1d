"""What a likelihood's search needs of a model: parameters, and a pass over blocks.

A model says what is sent to all blocks at θ, and names the function that an engine maps
over them; what it returns adds up to :class:`blpdask.moments.choices.LikelihoodSums`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from ..choice_records import MixedCoefficients
from ..model.mixed_coefficients import mixed_tastes
from ..moments.choices import (
    LikelihoodState,
    LikelihoodSums,
    likelihood_pass,
    warm_choice_kernels,
)
from ..records import Floats

LikelihoodPass = Callable[[Any, Any, None], tuple[LikelihoodSums, None]]


class LikelihoodModel(Protocol):
    """Parameters θ and their likelihood, block by block."""

    @property
    def coefficients(self) -> Any:
        """What varies and how: has ``size`` P and ``parameter_labels`` ``(P,)``."""
        ...

    @property
    def work(self) -> LikelihoodPass:
        """Sum log-likelihoods and scores over a block's people: importable by name."""
        ...

    @property
    def warm(self) -> Callable[[], None]:
        """Load or compile what :attr:`work` needs."""
        ...

    def at(self, theta: Floats, *, derivatives: bool, by_person: bool) -> Any:
        """Make what is sent to all blocks at θ ``(P,)``."""
        ...


@dataclass(frozen=True, slots=True)
class SimulatedLikelihood:
    """Mixed logit by maximum simulated likelihood.

    Attributes
    ----------
    coefficients
        What varies and how.
    backend
        ``numba``, ``numpy`` or ``cupy``.
    corrected
        Whether the bias of the logarithm of a mean of draws is taken away.
    summed
        Whether sums of outer products of scores stand for scores of people, which are
        too many to be held together.
    """

    coefficients: MixedCoefficients
    backend: str
    corrected: bool = False
    summed: bool = False

    @property
    def work(self) -> LikelihoodPass:
        """Sum log P_i and scores."""
        return likelihood_pass

    @property
    def warm(self) -> Callable[[], None]:
        """Compile kernels of choices."""
        return partial(warm_choice_kernels, self.backend)

    def at(
        self, theta: Floats, *, derivatives: bool, by_person: bool
    ) -> LikelihoodState:
        """Read θ as kernels do."""
        return LikelihoodState(
            tastes=mixed_tastes(self.coefficients, theta),
            backend=self.backend,
            derivatives=derivatives,
            by_person=by_person,
            corrected=self.corrected,
            summed=self.summed,
        )
