"""Second derivatives of a market's shares by a characteristic, J x J x J of them.

With α_ij = ∂u_ij/∂x_j, α'_ij = ∂α_ij/∂x_j, t_h = 1 / (1 - ρ_h), or one without nests,
τ_h = t_h - 1, h the nest of j, and X_jk = P_k + 1[k∈h] τ_h Q_k of an agent,

    ∂P_j/∂x_k       = α_k P_j (1[j=k] t_h - X_jk),
    ∂²P_j/∂x_k∂x_l  = α_k α_l P_j (X_jk X_jl + P_k X_kl)
                      + 1[k,l∈h] α_k α_l P_j τ_h t_h Q_k Q_l
                      - 1[j=k] t_h α_j α_l P_j X_jl - 1[j=l] t_h α_j α_k P_j X_jk
                      - 1[k=l] (t_k α_k² + α'_k) P_j X_jk
                      + 1[j=k=l] t_h (t_h α_j² + α'_j) P_j.

Sums over agents are products of matrices: of w P_j, and of α_k α_l times

    2 P_k P_l + 1[k~l] τ P_k Q_l,   τ_h Q_k P_l,  τ_h P_k Q_l,  τ_h (τ_h + t_h) Q_k Q_l

for all j, k and l, k~l being of one nest; where k, where l, and where both are in that
of j. Demand is that of :mod:`blpdask.kernels.contract`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from ..kernels.array_batches import gather, prepare
from ..kernels.array_shares import ShareMap, move_tastes, price_slopes
from ..records import Floats, MarketBlock, Tastes, TrialPrices
from .agent_types import weigh_types

#: Products of two probabilities held at a time.
HELD = 2**20


@dataclass(frozen=True, slots=True, eq=False)
class _Agents:
    """Some agents' w P, P, Q, α and α', ``(i, J)``, the last two perhaps ``(1, J)``."""

    weighted: Floats
    P: Floats
    Q: Floats
    alpha: Floats
    bend: Floats


def demand_hessian(
    market: MarketBlock,
    tastes: Tastes,
    trial: TrialPrices,
    curvature: tuple[Floats, Floats],
) -> Floats:
    """Compute ∂²s_j/∂x_k∂x_l of one market as [j, k, l], ``(J, J, J)``.

    Parameters
    ----------
    market, tastes
        A block of one market, and θ.
    trial
        Where, and how utilities over ε move with x.
    curvature
        Second derivatives by x there, over ε: ``(J,)`` of what is linear in β, ``(R,
        J)`` of the columns of X2 that depend on x.
    """
    n = market.n_products
    members = np.zeros((n, 0), np.bool_)
    stretch = np.ones(n)
    if market.nests is not None:
        codes = np.unique(market.nests)
        members = market.nests[:, None] == codes
        stretch = 1.0 / (1.0 - tastes.rho[market.nests])
    found, squares = np.zeros((n, n, n)), np.zeros((n, n))
    alone, crossed = np.zeros(n), np.zeros((n, n))
    nests = [np.flatnonzero(own) for own in members.T]
    j = np.arange(n)
    for some in _agents(market, tastes, trial, curvature):
        _add_pairs(some, nests, stretch, found)
        bent = stretch * some.alpha**2 + some.bend
        alone += (some.weighted * bent).sum(axis=0)
        crossed += _moved(some, some.alpha * some.weighted, some.alpha, nests, stretch)
        squares += _moved(some, some.weighted, bent, nests, stretch)
    crossed = stretch[:, None] * crossed
    found[j, j, :] -= crossed
    found[j, :, j] -= crossed
    found[:, j, j] -= squares
    found[j, j, j] += stretch * alone
    return found


def _agents(
    market: MarketBlock,
    tastes: Tastes,
    trial: TrialPrices,
    curvature: tuple[Floats, Floats],
) -> Iterator[_Agents]:
    """Yield the market's agents, as many at a time as may be held."""
    market = replace(weigh_types(market, tastes), X2=trial.X2)
    (batch,) = prepare(market).groups
    held = max(8 * HELD // market.n_products, 1)
    at, on_host = gather(trial.delta, batch, np), move_tastes(tastes, np)
    slopes = dict(
        zip(trial.X2_priced.tolist(), trial.X2_by_prices[:, None], strict=True)
    )
    bends = dict(zip(trial.X2_priced.tolist(), curvature[1][:, None], strict=True))
    with np.errstate(all="ignore"):
        share_map = ShareMap(batch, on_host, at, held, np)
        for agents, P, _, Q, _ in share_map.probabilities(at, slice(None)):
            by = batch, agents
            alpha = price_slopes(*by, trial.alpha[None], slopes, on_host, np)
            bend = price_slopes(*by, curvature[0][None], bends, on_host, np)
            weighted = batch.weights[0, agents, None] * P[0]
            yield _Agents(
                weighted, P[0], P[0] if Q is None else Q[0], alpha[0], bend[0]
            )


def _add_pairs(
    some: _Agents, nests: list[np.ndarray], stretch: Floats, found: Floats
) -> None:
    """Add what has a j, a k and an l to ``found`` ``(J, J, J)``."""
    u, q = some.alpha * some.P, some.alpha * some.Q
    pairs = 2.0 * u[:, :, None] * u[:, None, :]
    for own in nests:
        t = stretch[own[0]]
        pairs[np.ix_(np.arange(len(u)), own, own)] += (
            (t - 1.0) * u[:, own, None] * q[:, None, own]
        )
    found += _sum(some.weighted, pairs)
    for own in nests:
        t, mine = stretch[own[0]], some.weighted[:, own]
        every = np.arange(stretch.size)
        mixed = (t - 1.0) * _sum(mine, q[:, own, None] * u[:, None, :])
        found[np.ix_(own, own, every)] += mixed
        found[np.ix_(own, every, own)] += mixed.transpose(0, 2, 1)
        both = _sum(mine, q[:, own, None] * q[:, None, own])
        found[np.ix_(own, own, own)] += (t - 1.0) * (2.0 * t - 1.0) * both


def _sum(weighted: Floats, pairs: Floats) -> Floats:
    """Sum w P_j times what k and l have over agents."""
    summed = weighted.T @ pairs.reshape(len(pairs), -1)
    return np.asarray(summed.reshape(-1, *pairs.shape[1:]))


def _moved(
    some: _Agents, left: Floats, by: Floats, nests: list[np.ndarray], stretch: Floats
) -> Floats:
    """Compute Σ_i left_ij by_ik X_ijk ``(J, J)``."""
    found = left.T @ (by * some.P)
    for own in nests:
        within = left[:, own].T @ (by * some.Q)[:, own]
        found[np.ix_(own, own)] += (stretch[own[0]] - 1.0) * within
    return np.asarray(found)
