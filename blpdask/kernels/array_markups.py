"""The array backend's markups: first-order conditions of prices, batch by batch.

One source for CPUs and GPUs. Equations are in :mod:`blpdask.kernels.contract`, the way
derivatives are taken is that of :mod:`blpdask.kernels.loop_markups`:

    Δη = S,   (Δη)_j = Σ_i w_i α_ij P_ij m_ij,
    ∂η/∂θ = -Δ⁻¹ r,   r_j = Σ_i w_i [(α̇P + αṖ)_ij m_ij + α_ij P_ij ṁ_ij],
    m_ij = a_ij - H_jj η_j,   a_ij = Σ_k H_jk P_ik η_k,

and with nests m_ij = a_ij + (t_h - 1) b_ij - t_h H_jj η_j,
b_ij = Σ_{k∈h} H_jk Q_ik η_k.

References: Berry, Levinsohn and Pakes (1995), section 3.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from ..records import Floats, Integers, Markups, PriceTastes, SupplyRows, Tastes
from .array_batches import (
    Array,
    Batch,
    PreparedBlock,
    gather,
    to_host,
)
from .array_linear_algebra import solve
from .array_nests import log_slopes, rho_slopes
from .array_shares import (
    Probabilities,
    ShareMap,
    move_tastes,
    price_slopes,
    product_coefficients_by_theta,
)


@dataclass(frozen=True, slots=True)
class Conditions:
    """What first-order conditions of B markets are made of.

    Attributes
    ----------
    alpha
        ``(B, J)`` the part of ∂u_ij/∂p_j that is linear in β, zero where padded.
    alpha_by_beta
        Its derivatives by the free entries of β, ``(B, J)`` each.
    X2_by_prices
        ∂x2/∂p of each column of X2 that depends on prices, by its place in X2.
    H
        ``(B, J, J)`` ownership, zero where padded.
    shares
        ``(B, J)`` S, zero where padded.
    delta_by_theta
        ``(B, J, P)``.
    """

    alpha: Array
    alpha_by_beta: list[Array]
    X2_by_prices: dict[int, Array]
    H: Array
    shares: Array
    delta_by_theta: Array


def markups(
    block: PreparedBlock,
    supply: SupplyRows,
    product_offsets: Integers,
    tastes: Tastes,
    price_tastes: PriceTastes,
    delta: Floats,
    delta_by_theta: Floats,
    scratch_bytes: int,
) -> Markups:
    """Solve Δη = S for η in every market and differentiate along δ(θ).

    Parameters
    ----------
    block, supply
        The markets and their supply side.
    product_offsets
        ``(T + 1,)`` first product row of each market, then N.
    tastes, price_tastes
        θ.
    delta, delta_by_theta
        ``(N,)`` and ``(N, P)`` of the inversion at θ; ``(N, 0)`` where derivatives are
        not wanted.
    scratch_bytes
        Bound on the cache of probabilities of one batch.
    """
    xp = block.xp
    derivatives = delta_by_theta.shape[1] == tastes.size
    n_columns = tastes.size + price_tastes.free.size if derivatives else 0
    squares = np.diff(product_offsets) ** 2
    places = xp.asarray(np.cumsum(squares) - squares)
    eta = xp.zeros(block.n_products + 1)
    eta_by_theta = xp.zeros((block.n_products + 1, n_columns))
    on_device, at = move_tastes(tastes, xp), xp.asarray(delta)
    with np.errstate(all="ignore"):
        for batch in block.batches(scratch_bytes):
            there = gather(at, batch, xp)
            share_map = ShareMap(batch, on_device, there, scratch_bytes, xp)
            conditions = _conditions(
                supply, batch, places, price_tastes, delta_by_theta, xp
            )
            Delta = _form(share_map, there, conditions)
            solution = solve(Delta, conditions.shares[..., None], xp)[..., 0]
            eta[batch.rows] = solution
            if n_columns:
                right = _differentiate(share_map, there, conditions, solution)
                eta_by_theta[batch.rows] = -solve(Delta, right, xp)
    found, slopes = to_host(eta, xp)[:-1], to_host(eta_by_theta, xp)[:-1]
    return Markups(
        np.where(np.isfinite(found), found, np.nan),
        np.where(np.isfinite(slopes), slopes, np.nan),
    )


def _conditions(
    supply: SupplyRows,
    batch: Batch,
    places: Array,
    price_tastes: PriceTastes,
    delta_by_theta: Floats,
    xp: ModuleType,
) -> Conditions:
    """Arrange the rows that the batch needs."""

    def rows(values: Any) -> Array:
        return gather(xp.asarray(values), batch, xp)

    inside = 1.0 - batch.padding
    n_random = delta_by_theta.shape[1]
    slopes = [rows(column) for column in delta_by_theta.T]
    return Conditions(
        alpha=rows(supply.X1_by_prices.T @ price_tastes.beta),
        alpha_by_beta=[rows(supply.X1_by_prices[b]) for b in price_tastes.free],
        X2_by_prices={
            int(k): rows(values)
            for k, values in zip(supply.X2_priced, supply.X2_by_prices, strict=True)
        },
        H=ownership_of(supply, batch, places, xp),
        shares=xp.exp(batch.log_shares) * inside,
        delta_by_theta=xp.stack(slopes, axis=2)
        if n_random
        else xp.zeros((*batch.rows.shape, 0)),
    )


def ownership_of(
    supply: SupplyRows, batch: Batch, places: Array, xp: ModuleType
) -> Array:
    """Arrange H as ``(B, J, J)``, zero where padded.

    ``places`` ``(T,)`` says where each market's weights start among the block's.
    """
    place, sizes = xp.arange(batch.rows.shape[1]), batch.sizes[:, None, None]
    inside = (place[:, None] < sizes) & (place < sizes)
    if not supply.ownership.size:
        owners = gather(xp.asarray(supply.owners), batch, xp)
        return (owners[:, :, None] == owners[:, None, :]) * inside
    flat = places[batch.markets][:, None, None] + place[:, None] * sizes + place
    held = xp.concatenate([xp.asarray(supply.ownership), xp.zeros(1)])
    return held[xp.where(inside, flat, supply.ownership.size)]


def _form(share_map: ShareMap, delta: Array, found: Conditions) -> Array:
    """Form Δ = H ∘ (Γ - diag Λ), ``(B, J, J)``, the identity's rows where padded."""
    xp, batch, nests = share_map.xp, share_map.batch, share_map.nests
    n = delta.shape[1]
    cross, Lambda = xp.zeros((*delta.shape, n)), xp.zeros(delta.shape)
    within = xp.zeros((*delta.shape, n)) if nests is not None else None
    for chunk in share_map.probabilities(delta, slice(None)):
        alpha = price_slopes(
            batch, chunk.agents, found.alpha, found.X2_by_prices, share_map.tastes, xp
        )
        weighted = batch.weights[:, chunk.agents, None] * alpha * chunk.P
        Lambda += weighted.sum(axis=1)
        cross += weighted.transpose(0, 2, 1) @ chunk.P
        if within is not None:
            within += weighted.transpose(0, 2, 1) @ chunk.Q
    if nests is not None:
        same = nests.members @ nests.members.transpose(0, 2, 1)
        cross += (nests.stretch - 1.0)[..., None] * same * within
        Lambda = Lambda * nests.stretch
    identity = xp.eye(n)
    Delta = found.H * (cross - identity * Lambda[..., None])
    return Delta + identity * batch.padding[..., None]


@dataclass(frozen=True, slots=True)
class Worth:
    """What purchases are worth to owners, of B markets.

    Attributes
    ----------
    HT
        ``(B, J, J)`` H_jk η_k, transposed.
    nested
        The same within nests, times t_h - 1; None without nests.
    own
        ``(B, J)`` t_h H_jj η_j.
    """

    HT: Array
    nested: Array | None
    own: Array

    def __call__(self, P: Array, Q: Array | None) -> Array:
        """Compute Σ_k H_jk P_ik η_k + (t_h - 1) Σ_{k∈h} H_jk Q_ik η_k."""
        return P @ self.HT if self.nested is None else P @ self.HT + Q @ self.nested


def _worth(share_map: ShareMap, found: Conditions, eta: Array) -> Worth:
    """Multiply ownership by markups."""
    xp, nests = share_map.xp, share_map.nests
    HT = found.H.transpose(0, 2, 1) * eta[..., None]
    own = (found.H * xp.eye(eta.shape[1])).sum(axis=2) * eta
    if nests is None:
        return Worth(HT, None, own)
    same = nests.members @ nests.members.transpose(0, 2, 1)
    nested = HT * same * (nests.stretch - 1.0)[:, None, :]
    return Worth(HT, nested, own * nests.stretch)


def _differentiate(
    share_map: ShareMap, delta: Array, found: Conditions, eta: Array
) -> Array:
    """Compute r, the derivative of Δη by θ at fixed η, ``(B, J, P + B)``."""
    xp, batch, tastes = share_map.xp, share_map.batch, share_map.tastes
    worth = _worth(share_map, found, eta)
    places = [int(k) for k in to_host(tastes.rows, xp)]
    right = xp.zeros((*delta.shape, tastes.size + len(found.alpha_by_beta)))
    total = xp.zeros(delta.shape)
    for chunk in share_map.probabilities(delta, slice(None)):
        P = chunk.P
        weights = batch.weights[:, chunk.agents, None]
        alpha = price_slopes(
            batch, chunk.agents, found.alpha, found.X2_by_prices, tastes, xp
        )
        margins = worth(P, chunk.Q) - worth.own[:, None, :]
        v = product_coefficients_by_theta(batch, chunk.agents, tastes, xp)
        for p in range(tastes.size):
            moved = found.delta_by_theta[..., p][:, None, :]
            if p < len(places):
                x = batch.X2[:, places[p]]
                moved = moved + v[p] * x[:, None, :]
            dP, dm = _moved(share_map, chunk, moved, p, worth, eta, found)
            terms = alpha * (dP * margins + P * dm)
            if p < len(places) and places[p] in found.X2_by_prices:
                slopes = found.X2_by_prices[places[p]][:, None, :]
                terms = terms + v[p] * slopes * P * margins
            right[..., p] += (weights * terms).sum(axis=1)
        total += (weights * P * margins).sum(axis=1)
    for b, alpha_by_beta in enumerate(found.alpha_by_beta):
        right[..., tastes.size + b] = alpha_by_beta * total
    return right


def _moved(
    share_map: ShareMap,
    chunk: Probabilities,
    moved: Array,
    p: int,
    worth: Worth,
    eta: Array,
    found: Conditions,
) -> tuple[Array, Array]:
    """Compute Ṗ and ṁ ``(B, i, J)`` by parameter p, utilities moving by ``moved``."""
    xp, nests, tastes = share_map.xp, share_map.nests, share_map.tastes
    P, Q = chunk.P, chunk.Q
    if nests is None:
        dP = P * (moved - (P * moved).sum(axis=2)[..., None])
        return dP, worth(dP, None)
    u = nests.stretch[:, None, :] * moved
    logs, _ = log_slopes(u, Q, chunk.M, nests)
    dQ = Q * (u - nests.expand(nests.sums(Q * u)))
    r = p - int(tastes.rows.size)
    if r < 0:
        dP = P * logs
        return dP, worth(dP, dQ)
    which = tastes.free_nests[r][share_map.batch.nest_codes]
    available = share_map.batch.available(chunk.agents)
    of_P, _, of_Q = rho_slopes(Q, chunk.M, available, nests, which, xp)
    dP, dQ = P * (logs + of_P), dQ + Q * of_Q
    same = nests.members @ nests.members.transpose(0, 2, 1)
    b = Q @ (found.H.transpose(0, 2, 1) * eta[..., None] * same)
    own = (found.H * xp.eye(eta.shape[1])).sum(axis=2) * eta
    square = nests.expand(which) * nests.stretch * nests.stretch
    return dP, worth(dP, dQ) + square[:, None, :] * (b - own[:, None, :])
