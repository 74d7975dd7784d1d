"""The continuously updated objective: weights of the same θ as the moments.

Hansen, Heaton and Yaron (1996, Journal of Business & Economic Statistics 14) minimise

    q(ψ) = c ḡ(ψ)'S(ψ)⁻¹ ḡ(ψ),                  c = N or 1,

over ψ, which stacks θ and all of β and γ: given θ no linear equation solves for the
linear parameters, since they move S. With S = C C', h = S⁻¹ḡ and ∂S/∂ψ = Γ + Γ' the
residual is r = √c C⁻¹ḡ, so that q = r'r, and

    ½ ∂q/∂ψ = c (∂ḡ/∂ψ - Γh)'h,            J = √c C⁻¹(∂ḡ/∂ψ - Γh)

is a Jacobian of r up to a turn of r, which is of no consequence for q: there are
factors C that move by ΓC⁻¹' and not by a triangle. It is that of the efficient score
(Newey and Smith 2004, Econometrica 72). Where effects are absorbed Γh in J is taken
from within blocks, and a multiple of r' is added to J, such that J'r is half the
gradient, which is exact.

An evaluation takes effects out of y - X b, sums S, and sums what the gradient needs
(:mod:`blpdask.moments.continuous`): two reductions more than δ, or three, and those of
two columns an equation from which effects are absorbed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import scipy.linalg

from ..driver.engine import Placement
from ..model.parameters import Parameters
from ..moments.clusters import add_clusters, signs_of
from ..moments.continuous import ScoreState, ScoreSums, score_pass
from ..moments.covariances import MomentSums, error_covariances, moment_covariances
from ..moments.errors import ErrorState
from ..moments.objective import GmmPoint
from ..moments.weighting import is_clustered
from ..problem.prepared import PreparedDemand
from ..records import Floats
from .absorbed_scores import sum_absorbed_scores
from .conclusion import sum_moments_at, take_out_effects
from .gmm_options import GmmOptions

_SCORES = "scores"


@dataclass(frozen=True, slots=True)
class Covariances:
    """S at one ψ, the sums it is made of, and the errors' state."""

    S: Floats
    sums: MomentSums
    errors: ErrorState


class ContinuousUpdate:
    """Turns a GMM objective with fixed weights into the continuously updated one."""

    def __init__(
        self,
        problem: PreparedDemand,
        placement: Placement,
        parameters: Parameters,
        options: GmmOptions,
    ) -> None:
        """Keep what does not change; nothing is concentrated out of ``parameters``."""
        self._problem = problem
        self._placement = placement
        self._parameters = parameters
        self._options = options
        self._scale = float(problem.n_products) if options.scale_objective else 1.0

    def __call__(self, point: GmmPoint, anchor: str, derivatives: bool) -> GmmPoint:
        """Update the weights of an evaluation that blocks remember.

        Parameters
        ----------
        point
            Of the fixed weights; its moments and their derivatives stay.
        anchor
            Name of the evaluation.
        derivatives
            Whether the gradient is wanted.

        Returns
        -------
        GmmPoint
            Infinite where S is not positive definite, NaN where moments are not finite.
        """
        if not np.isfinite(point.moments).all():
            return _worthless(point, np.nan)
        found = self.covariances(point, anchor)
        root = _root(found.S)
        if root is None:
            return _worthless(point, np.inf)

        def solve(values: Floats) -> Floats:
            return np.asarray(scipy.linalg.solve_triangular(root, values, lower=True))

        r = np.sqrt(self._scale) * solve(point.moments)
        updated = replace(point, objective=float(r @ r), residual=r)
        if not derivatives:
            return updated
        h = scipy.linalg.solve_triangular(
            root, solve(point.moments), lower=True, trans="T"
        )
        by_psi, crossed = self._slopes_of_S(found, point, anchor, h)
        half = self._scale * (point.moments_by_theta.T @ h - by_psi)
        J = np.sqrt(self._scale) * solve(point.moments_by_theta - crossed)
        if r @ r > 0:
            J = J + np.outer(r, half - J.T @ r) / (r @ r)
        return replace(updated, gradient=2.0 * half, residual_by_theta=J)

    def covariances(self, point: GmmPoint, anchor: str) -> Covariances:
        """Sum S at an evaluation that blocks remember."""
        options, problem = self._options, self._problem
        errors = take_out_effects(problem, self._placement, point.b[:, 0], anchor)
        sums = sum_moments_at(
            self._placement,
            errors,
            point.moments,
            center=options.center_moments,
            clustered=is_clustered(options.W_type),
            anchor=anchor,
            product_mean=options.covariance_mean,
        )
        S = moment_covariances(
            sums,
            options.W_type,
            center=options.center_moments,
            ZtZ=problem.ZtZ,
            equations=problem.moment_equations,
        )
        return Covariances(S, sums, errors)

    def _slopes_of_S(
        self, found: Covariances, point: GmmPoint, anchor: str, h: Floats
    ) -> tuple[Floats, Floats]:
        """Compute ½ h'(∂S/∂ψ)h, ``(P,)``, and Γh, ``(M, P)``."""
        placement, places = self._placement, self._parameters.places
        state = self._state(found, point, h)
        counts = self._problem.level_counts
        keep = _SCORES if any(counts) else None
        sums: ScoreSums = placement.reduce(score_pass, state, anchor=anchor, keep=keep)
        crossed = sums.crossed / self._problem.n_products
        by_psi = sums.by_psi
        if keep is not None:
            by_psi = sum_absorbed_scores(self._problem, placement, places, keep)
            placement.forget(keep)
        return by_psi / self._problem.n_products, crossed

    def _state(self, found: Covariances, point: GmmPoint, h: Floats) -> ScoreState:
        """Say what a_e is computed from, by the kind of S."""
        options, problem, sums = self._options, self._problem, found.sums
        N, E = problem.n_products, int(problem.moment_equations[-1]) + 1
        center = options.center_moments
        state = ScoreState(
            errors=found.errors,
            places=self._parameters.places,
            h=h,
            centre=float(h @ point.moments) if center else 0.0,
            clusters=np.empty(0, np.int64),
            scores=np.empty(0),
            mean_score=0.0,
            kappa=np.empty((0, 0)),
            means=np.empty(0),
            product_mean=options.covariance_mean,
        )
        if options.W_type == "unadjusted":
            own = h[:, None] * (problem.moment_equations[:, None] == np.arange(E))
            kappa = problem.ZtZ @ own / N
            return replace(state, kappa=kappa, means=error_covariances(sums)[0])
        if not is_clustered(options.W_type):
            return state
        m = sums.g / N if center else np.zeros_like(sums.g)
        clusters, sizes, g = add_clusters(
            sums.clusters, sums.cluster_sizes, sums.cluster_g, m
        )
        scores = g @ h
        mean = float(signs_of(clusters) * sizes @ scores) / N if center else 0.0
        return replace(state, clusters=clusters, scores=scores, mean_score=mean)


def _root(S: Floats) -> Floats | None:
    """Factor S = C C'; None where it is not positive definite to working precision.

    Moments are brought to one scale, on which rounding is judged.
    """
    scale = np.sqrt(S.diagonal().clip(0.0))
    if not (np.isfinite(S).all() and (scale > 0).all()):
        return None
    try:
        root = np.linalg.cholesky(S / np.outer(scale, scale))
    except np.linalg.LinAlgError:
        return None
    least = float(root.diagonal().min(initial=1.0)) ** 2
    if least < 10 * S.shape[0] * float(np.finfo(np.float64).eps):
        return None
    return np.asarray(scale[:, None] * root)


def is_positive_definite(S: Floats) -> bool:
    """Tell whether S can be inverted and weighs with."""
    return _root(S) is not None


def _worthless(point: GmmPoint, value: float) -> GmmPoint:
    """Give a point that no optimiser accepts."""
    return replace(
        point,
        objective=value,
        gradient=np.full_like(point.gradient, np.nan),
        residual=np.full_like(point.residual, np.nan),
        residual_by_theta=np.full_like(point.residual_by_theta, np.nan),
    )
