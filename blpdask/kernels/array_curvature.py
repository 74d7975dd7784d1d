"""How a batch of markets' shares respond to δ and to θ.

    A  = ∂s/∂δ' = diag(s) - P' diag(w) P,
    ∂s_j/∂θ_p = x_jk Σ_i w_i P_ij v_ip - Σ_i w_i P_ij v_ip x̄_ik,
    x̄_ik = Σ_l P_il x_lk,

with v_ip the derivative of agent i's coefficient on p's characteristic k; all
parameters are two columns each of one batched matrix product. Solved is not s(δ) = S
but

    log(s_j / s_0) = log(S_j / S_0),
    G = ∂log(s / s_0)/∂δ' = diag(s)⁻¹ A + 1 1'A / s_0,
    ∂δ/∂θ = -G⁻¹ ∂log(s / s_0)/∂θ              (implicit function theorem),

which has the same solution, is linear in δ for the plain logit, and is well conditioned
however small a share or the outside share is, where A is not.

References: Berry (1994); Nevo (2000), appendix.
"""

from __future__ import annotations

from dataclasses import dataclass

from .array_batches import Array
from .array_linear_algebra import cholesky, invert_matrices, solve
from .array_shares import ShareMap, coefficients_by_theta


@dataclass(frozen=True, slots=True)
class Curvature:
    """First derivatives of b markets' shares.

    Attributes
    ----------
    residual
        ``(b, J)`` log(S_j / S_0) - log(s_j / s_0), zero where padded.
    A
        ``(b, J, J)`` ∂s/∂δ', the identity's rows where padded.
    G
        ``(b, J, J)`` ∂log(s / s_0)/∂δ'.
    by_theta
        ``(b, J, P)`` ∂log(s / s_0)/∂θ; ``(b, J, 0)`` where not asked for.
    """

    residual: Array
    A: Array
    G: Array
    by_theta: Array


@dataclass(frozen=True, slots=True)
class Formed:
    """What is known of b markets once A is formed at their δ.

    Attributes
    ----------
    polish
        ``(b, J)`` the Newton step from δ.
    delta_by_theta
        ``(b, J, P)`` ∂δ/∂θ; NaN where not solvable.
    factor
        ``(b, J, J)`` lower Cholesky factor of A; NaN where A is not definite.
    finite, definite
        ``(b,)`` whether all is finite, and whether A is positive definite.
    """

    polish: Array
    delta_by_theta: Array
    factor: Array
    finite: Array
    definite: Array


def form(share_map: ShareMap, delta: Array, index: Array) -> Formed:
    """Differentiate δ(θ) and take a Newton step in the markets of ``index``.

    Parameters
    ----------
    share_map
        The batch's share map.
    delta : (b, J)
        Mean utilities of those markets.
    index : (b,)
        Their places in the batch.

    Returns
    -------
    Formed
        Step, derivatives and factor.
    """
    xp = share_map.xp
    at = curvature(share_map, delta, index, tangents=True)
    right = xp.concatenate([at.residual[..., None], -at.by_theta], axis=2)
    solution = solve(at.G, right, xp)
    finite = xp.isfinite(solution).all(axis=(1, 2)) & xp.isfinite(at.G).all(axis=(1, 2))
    finite = finite & xp.isfinite(at.residual).all(axis=1)
    solution = xp.where(finite[:, None, None], solution, xp.nan)
    factor, definite = cholesky(at.A, xp)
    return Formed(
        polish=solution[..., 0],
        delta_by_theta=solution[..., 1:],
        factor=xp.where(finite[:, None, None], factor, xp.nan),
        finite=finite,
        definite=definite,
    )


def curvature(
    share_map: ShareMap, delta: Array, index: Array | slice, tangents: bool
) -> Curvature:
    """Compute residual, A, G and, where asked for, ∂log(s / s_0)/∂θ of some markets.

    The outside good is carried as one more product, last, with x = 0: its share and
    slopes are sums over agents too. Where rules with negative weights leave it no
    positive share, log s itself is differentiated.
    """
    xp, tastes = share_map.xp, share_map.tastes
    batch = share_map.batch.take(index)
    n_markets, n_products = delta.shape
    n_parameters = tastes.rows.size if tangents else 0
    shares = xp.array(batch.padding)
    outside = 1.0 - batch.weights.sum(axis=1)
    cross = xp.zeros((n_markets, n_products + 1, n_products))
    slopes = xp.zeros((n_markets, n_products + 1, 2 * n_parameters))
    XT = batch.X2.transpose(0, 2, 1)
    for agents, P, P0 in share_map.probabilities(delta, index):
        weights = batch.weights[:, agents]
        shares += (weights[:, None, :] @ P)[:, 0, :]
        outside += (weights * P0).sum(axis=1)
        weighted = xp.concatenate([P, P0[..., None]], axis=2) * weights[..., None]
        weighted = weighted.transpose(0, 2, 1)
        cross += weighted @ P
        if n_parameters > 0:
            v = coefficients_by_theta(batch.draws[:, agents], tastes, xp)
            v_means = v * (P @ XT)[..., tastes.rows]
            slopes += weighted @ xp.concatenate([v, v_means], axis=2)
    identity, inside = xp.eye(n_products), 1.0 - batch.padding
    per_outside = xp.where(outside > 0.0, 1.0 / outside, 0.0)[:, None]
    log_outside = xp.where(outside > 0.0, batch.log_outside - xp.log(outside), 0.0)
    by_theta = XT[..., tastes.rows[:n_parameters]] * slopes[:, :-1, :n_parameters]
    by_theta = (by_theta - slopes[:, :-1, n_parameters:]) / shares[..., None]
    outside_by_theta = -slopes[:, -1, n_parameters:] * per_outside
    outside_by_delta = -cross[:, -1] * per_outside
    G = identity - cross[:, :-1] / shares[..., None]
    return Curvature(
        residual=batch.log_shares - xp.log(shares) - inside * log_outside[:, None],
        A=identity * shares[..., None] - cross[:, :-1],
        G=G - inside[..., None] * outside_by_delta[:, None, :],
        by_theta=by_theta - inside[..., None] * outside_by_theta[:, None, :],
    )


def chord_inverse(factor: Array, share_map: ShareMap) -> Array:
    """Turn factors of A at an earlier solution into G⁻¹ there, ``(B, J, J)``.

    At a solution s = S, so G⁻¹ = A⁻¹ (diag(S) - S S'), A⁻¹ = L'⁻¹ L⁻¹. Markets without
    a factor (NaN) have NaN.
    """
    xp, batch = share_map.xp, share_map.batch
    inverse = invert_matrices(factor, xp)
    inverse = inverse.transpose(0, 2, 1) @ inverse
    shares = xp.exp(batch.log_shares)
    inside = shares * (1.0 - batch.padding)
    means = (inverse @ inside[..., None]) * inside[:, None, :]
    return inverse * shares[:, None, :] - means
