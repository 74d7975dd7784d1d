"""Where linear parameters sit in θ, and what they do to the two structural equations.

θ stacks free entries of Σ and Π, then of φ, by which no y moves, then of β, then of γ.
Given b, errors u = y - X b move with θ because y does, and because b may be part of θ:

    ∂ξ/∂θ = (∂δ/∂(Σ, Π), 0, -X1 of β in θ, 0),
    ∂ω/∂θ = (∂c̃/∂(Σ, Π), 0, ∂c̃/∂β of prices in θ, -X3 of γ in θ).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ..records import Floats, Integers


@dataclass(frozen=True, slots=True, eq=False)
class LinearPlaces:
    """Which linear parameters are in θ.

    Attributes
    ----------
    n_nonlinear
        Free entries of Σ and Π, which come first.
    columns
        For each equation, ``(P_b,)`` columns of X whose parameters are in θ, in order.
    priced
        ``(B,)`` places, among β in θ, of those on prices, by which costs move.
    n_phi
        Free entries of φ, which come between.
    """

    n_nonlinear: int
    columns: tuple[Integers, ...]
    priced: Integers
    n_phi: int = 0

    @property
    def first(self) -> int:
        """Give the place of the first linear parameter in θ."""
        return self.n_nonlinear + self.n_phi

    @property
    def size(self) -> int:
        """Count the parameters in θ, P."""
        return self.first + sum(columns.size for columns in self.columns)

    def spread(self, by_theta: Sequence[Floats | None]) -> tuple[Floats, ...]:
        """Put derivatives of each equation's y where their parameters are in θ.

        Parameters
        ----------
        by_theta
            Of δ or sums of it ``(n, P_nl)``, then of c̃ ``(n, P_nl + B)``.

        Returns
        -------
        tuple of array
            ``(n, P)`` each.
        """
        moved = np.arange(self.n_nonlinear)
        places = (moved, np.concatenate([moved, self.first + self.priced]))
        spread = []
        for own, values in zip(places, by_theta, strict=False):
            assert values is not None
            found = np.zeros((values.shape[0], self.size))
            found[:, own] = values
            spread.append(found)
        return tuple(spread)

    def columns_of(self, equation: int, X: Floats) -> Floats:
        """Put columns of X, or sums of it ``(n, K)``, where b is in θ; ``(n, P)``."""
        firsts = self.first + np.cumsum([0, *(c.size for c in self.columns)])
        first, stop = list(pairwise(firsts))[equation]
        found = np.zeros((X.shape[0], self.size))
        found[:, first:stop] = X[:, self.columns[equation]]
        return found
