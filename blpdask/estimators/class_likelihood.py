"""Latent classes as a likelihood: what a search needs of them, block by block."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from ..model.latent_classes import LatentClasses
from ..moments.choices import warm_choice_kernels
from ..moments.latent_classes import ClassState, latent_class_pass
from ..records import Floats
from .likelihood_model import LikelihoodPass


@dataclass(frozen=True, slots=True)
class LatentClassLikelihood:
    """Latent classes of logits or of mixed logits.

    Attributes
    ----------
    coefficients
        How classes differ.
    backend
        ``numba``, ``numpy`` or ``cupy``.
    """

    coefficients: LatentClasses
    backend: str

    @property
    def work(self) -> LikelihoodPass:
        """Sum log P_i and scores."""
        return latent_class_pass

    @property
    def warm(self) -> Callable[[], None]:
        """Compile kernels of choices."""
        return partial(warm_choice_kernels, self.backend)

    def at(self, theta: Floats, *, derivatives: bool, by_person: bool) -> ClassState:
        """Send θ as it is."""
        return ClassState(
            classes=self.coefficients,
            theta=theta,
            backend=self.backend,
            derivatives=derivatives,
            by_person=by_person,
        )
