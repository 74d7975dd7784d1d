"""Moments that follow the linear ones, of an evaluation that blocks remember.

Whoever has such moments, of surveys or of products of two equations' errors, computes
them in passes of its own over blocks that remember δ(θ) and ∂δ/∂θ: the objective knows
no more of them than :class:`Further` says.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from ..moments.objective import FurtherMoments
from ..records import Floats


class Further(Protocol):
    """A family of moments m(θ, b)."""

    @property
    def initial_weights(self) -> Floats:
        """Give the family's block of the first step's W, ``(F, F)``."""

    def __call__(
        self, theta: Floats, b: Floats, name: str, derivatives: bool
    ) -> FurtherMoments:
        """Compute the moments.

        Parameters
        ----------
        theta
            ``(P,)``.
        b
            ``(K, 1)`` β, then γ, complete.
        name
            Of the evaluation at θ that blocks remember.
        derivatives
            Whether derivatives are wanted; zeros where not.
        """


def bring_further(
    families: Sequence[Further],
    theta: Floats,
    b: Floats,
    name: str,
    derivatives: bool,
) -> FurtherMoments | None:
    """Compute the moments of all families and put them together; None without any."""
    if not families:
        return None
    found = [family(theta, b, name, derivatives) for family in families]
    return FurtherMoments(
        values=np.concatenate([one.values for one in found]),
        by_theta=np.vstack([one.by_theta for one in found]),
        by_b=np.vstack([one.by_b for one in found]),
    )
