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
however small a share or the outside share is, where A is not. With nests it is what
:mod:`.array_nests` solves, and A that of :mod:`blpdask.kernels.contract`.

References: Berry (1994); Nevo (2000), appendix.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType

from .array_batches import Array, Batch, to_host
from .array_linear_algebra import cholesky, invert_matrices, solve
from .array_nests import (
    NestTastes,
    inverse_odds,
    log_slopes,
    odds,
    odds_slopes,
    rho_slopes,
)
from .array_shares import (
    DeviceTastes,
    Probabilities,
    ShareMap,
    coefficients_by_theta,
    product_coefficients_by_theta,
)


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
    nests = None if share_map.nests is None else share_map.nests.take(index)
    n_markets, n_products = delta.shape
    shares = xp.array(batch.padding)
    outside = 1.0 - batch.weights.sum(axis=1)
    cross = xp.zeros((n_markets, n_products + 1, n_products))
    within = 0.0
    slopes = xp.zeros((n_markets, n_products + 1, tastes.size if tangents else 0))
    for found in share_map.probabilities(delta, index):
        weights = batch.weights[:, found.agents]
        shares += (weights[:, None, :] @ found.P)[:, 0, :]
        outside += (weights * found.P0).sum(axis=1)
        both = xp.concatenate([found.P, found.P0[..., None]], axis=2)
        weighted = (both * weights[..., None]).transpose(0, 2, 1)
        cross += weighted @ found.P
        if nests is not None:
            within = within + weighted[:, :-1] @ found.Q
        if tangents:
            slopes += _share_slopes(batch, tastes, nests, found, weighted, xp)
    identity, inside = xp.eye(n_products), 1.0 - batch.padding
    per_outside = xp.where(outside > 0.0, 1.0 / outside, 0.0)[:, None]
    level = xp.where(outside > 0.0, batch.log_outside - xp.log(outside), 0.0)
    A = identity * shares[..., None] - cross[:, :-1]
    if nests is not None:
        same = nests.members @ nests.members.transpose(0, 2, 1)
        stretch = nests.stretch[..., None]
        A = identity * (stretch * shares[..., None]) - cross[:, :-1]
        A = A - (stretch - 1.0) * same * within
    outside_by_theta = slopes[:, -1] * per_outside
    outside_by_delta = -cross[:, -1] * per_outside
    G = odds_slopes(A, shares, nests, xp)
    by_theta = odds_slopes(slopes[:, :-1], shares, nests, xp)
    change = batch.log_shares - xp.log(shares)
    return Curvature(
        residual=odds(change, shares, level, batch, nests, xp),
        A=A,
        G=G - inside[..., None] * outside_by_delta[:, None, :],
        by_theta=by_theta - inside[..., None] * outside_by_theta[:, None, :],
    )


def _share_slopes(
    batch: Batch,
    tastes: DeviceTastes,
    nests: NestTastes | None,
    found: Probabilities,
    weighted: Array,
    xp: ModuleType,
) -> Array:
    """Compute what some agents add to ∂s/∂θ, and to ∂s_0/∂θ, ``(b, J + 1, P)``."""
    if nests is not None:
        return _nested_share_slopes(batch, tastes, nests, found, weighted, xp)
    XT = batch.X2.transpose(0, 2, 1)
    v = coefficients_by_theta(batch.draws[:, found.agents], tastes, xp)
    v_means = v * (found.P @ XT)[..., tastes.rows]
    sums = weighted @ xp.concatenate([v, v_means], axis=2)
    n = v.shape[2]
    own = XT[..., tastes.rows] * sums[:, :-1, :n] - sums[:, :-1, n:]
    return xp.concatenate([own, -sums[:, -1:, n:]], axis=1)


def _nested_share_slopes(
    batch: Batch,
    tastes: DeviceTastes,
    nests: NestTastes,
    found: Probabilities,
    weighted: Array,
    xp: ModuleType,
) -> Array:
    """Do the same with nests, one parameter at a time."""
    Q, M, moved = found.Q, found.M, []
    slopes = product_coefficients_by_theta(batch, found.agents, tastes, xp)
    for k, v in zip(to_host(tastes.rows, xp), slopes, strict=True):
        x = nests.stretch * batch.X2[:, int(k)]
        moved.append(log_slopes(v * x[:, None, :], Q, M, nests))
    available = batch.available(found.agents)
    for which in tastes.free_nests:
        own = which[batch.nest_codes]
        moved.append(rho_slopes(Q, M, available, nests, own, xp)[:2])
    sums = []
    for logs, log_outside in moved:
        both = xp.concatenate([logs, log_outside[..., None]], axis=2)
        sums.append((weighted.transpose(0, 2, 1) * both).sum(axis=1))
    return xp.stack(sums, axis=2)


def chord_inverse(factor: Array, share_map: ShareMap) -> Array:
    """Turn factors of A at an earlier solution into G⁻¹ there, ``(B, J, J)``.

    At a solution s = S, so G⁻¹ = A⁻¹ (diag(S) - S S'), A⁻¹ = L'⁻¹ L⁻¹, and with nests
    what ``array_nests`` says. Markets without a factor (NaN) have NaN.
    """
    xp, batch = share_map.xp, share_map.batch
    inverse = invert_matrices(factor, xp)
    inverse = inverse.transpose(0, 2, 1) @ inverse
    shares = xp.exp(batch.log_shares)
    inside = shares * (1.0 - batch.padding)
    if share_map.nests is not None:
        moved = inverse_odds(inside, share_map.nests, xp)
        return inverse @ (moved + xp.eye(shares.shape[1]) * batch.padding[..., None])
    means = (inverse @ inside[..., None]) * inside[:, None, :]
    return inverse * shares[:, None, :] - means
