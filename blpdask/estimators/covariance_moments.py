"""The family of moments E[(ξω - m) Z_C] = 0 of an evaluation that blocks remember.

See :mod:`blpdask.moments.error_products` for the mathematics. An evaluation takes
effects out of δ - X1 b and c̃ - X3 b where there are any, and sums once. Derivatives,
where effects are absorbed, ask of each instrument one sum more and to take effects out
of z_C ∘ ω and z_C ∘ ξ. All of β and γ count as parameters of these sums, from which
both ∂m/∂θ and ∂m/∂b are taken.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..driver.engine import Placement
from ..errors import NumericalError
from ..model.linear_places import LinearPlaces
from ..model.parameters import Parameters
from ..moments.error_products import ProductState, ProductSums, products_pass
from ..moments.objective import FurtherMoments
from ..moments.weighting import invert_covariances
from ..problem.prepared import PreparedDemand
from ..records import Floats
from .absorbed_scores import sum_absorbed_scores
from .conclusion import take_out_effects

_SCORES = "products of errors"


class CovarianceMoments:
    """Moments of products of errors; implements the protocol of families."""

    def __init__(
        self,
        problem: PreparedDemand,
        placement: Placement,
        parameters: Parameters,
        mean: float,
    ) -> None:
        """Lay the derivatives out: Σ, Π and ρ, then all of β and γ."""
        self._problem = problem
        self._placement = placement
        self._mean = mean
        own = parameters.places
        K1, K3 = problem.X_counts
        self._places = LinearPlaces(
            own.n_nonlinear, (np.arange(K1), np.arange(K3)), own.columns[0][own.priced]
        )
        beta, gamma = (own.n_nonlinear + columns for columns in own.columns)
        self._of_theta = np.r_[np.arange(own.n_nonlinear), beta, K1 + gamma]

    @property
    def initial_weights(self) -> Floats:
        """Give (Z_C'Z_C / N)⁻¹, ``(MC, MC)``.

        Raises
        ------
        NumericalError
            Where covariance instruments are exactly collinear.
        """
        n = self._problem.n_covariance
        S = self._problem.ZtZ[-n:, -n:] / self._problem.n_products
        W = invert_covariances(S, "the weighting matrix of covariance moments")
        if not np.isfinite(W).all():
            raise NumericalError("the weights of covariance moments are not finite")
        return W

    def __call__(
        self, theta: Floats, b: Floats, name: str, derivatives: bool
    ) -> FurtherMoments:
        """Sum the moments and, where wanted, their derivatives.

        Parameters
        ----------
        theta
            ``(P,)``.
        b
            ``(K, 1)`` β, then γ, complete; NaN where an evaluation failed.
        name
            Of the evaluation at θ that blocks remember.
        derivatives
            Whether derivatives are wanted; zeros where not.
        """
        del theta
        N, n = self._problem.n_products, self._problem.n_covariance
        by_psi = np.zeros((n, self._places.size))
        if np.isfinite(b).all():
            values, slopes = self._sum(b, name, derivatives)
            by_psi = slopes if derivatives else by_psi
        else:
            values, by_psi = np.full(n, np.nan), np.full_like(by_psi, np.nan)
        first = self._places.n_nonlinear
        return FurtherMoments(
            values=values / N,
            by_theta=by_psi[:, self._of_theta] / N,
            by_b=by_psi[:, first:] / N,
        )

    def _sum(self, b: Floats, name: str, derivatives: bool) -> tuple[Floats, Floats]:
        """Sum moments ``(MC,)`` and derivatives ``(MC, P + K)`` over rows."""
        problem, placement = self._problem, self._placement
        errors = take_out_effects(problem, placement, b[:, 0], name)
        state = ProductState(errors, self._mean, self._places if derivatives else None)
        if not (derivatives and any(problem.level_counts)):
            sums: ProductSums = placement.reduce(products_pass, state, anchor=name)
            return sums.values, sums.by_psi
        rows = []
        for column in range(problem.n_covariance):
            own = replace(state, places=None, column=column)
            sums = placement.reduce(products_pass, own, anchor=name, keep=_SCORES)
            rows.append(sum_absorbed_scores(problem, placement, self._places, _SCORES))
            placement.forget(_SCORES)
        return sums.values, np.vstack(rows)


def covariance_moments(
    problem: PreparedDemand, placement: Placement, parameters: Parameters, mean: float
) -> tuple[CovarianceMoments, ...]:
    """Give the family, or nothing where there are no covariance instruments.

    Parameters
    ----------
    problem, placement, parameters
        The problem, where its blocks are, and the layout of θ.
    mean
        m.
    """
    if not problem.n_covariance:
        return ()
    return (CovarianceMoments(problem, placement, parameters, mean),)
