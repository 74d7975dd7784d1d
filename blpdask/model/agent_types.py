"""Agents of several types in one block: their weights at λ, and what moves with λ.

    s_j(δ, θ) = Σ_r λ_r s_j^r(δ, θ),   s_j^r = Σ_{i∈r} (w_i / Σ_{i'∈r} w_i') s_ij

in each market (Berry, Carnall and Spiller 2006; Berry and Jia 2010). Weights enter
linearly, so that kernels see a block with other weights and need not know of types:

    ∂δ/∂λ = -A⁻¹ Σ_r (∂λ_r/∂λ) s^r(δ).

What λ does to markups is in :mod:`blpdask.model.type_markups`.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..kernels.contract import Backend
from ..records import Floats, Integers, Inversion, MarketBlock, Tastes
from ..status import InversionStatus


def has_types(block: MarketBlock, tastes: Tastes) -> bool:
    """Tell whether types have shares of their own."""
    return tastes.type_shares.size > 0 and block.agent_types is not None


def weigh_types(block: MarketBlock, tastes: Tastes) -> MarketBlock:
    """Give agents the weights λ_r w_i / Σ_{i'∈r} w_i', which types then are part of.

    Where a share is negative there are no market shares, and weights are NaN.
    """
    if not has_types(block, tastes):
        return block
    shares = tastes.type_shares
    if not (shares >= 0).all():
        shares = np.full_like(shares, np.nan)
    assert block.agent_types is not None
    weights = shares[block.agent_types] * within_types(block, shares.size)
    return replace(block, weights=weights, agent_types=None)


def no_shares(block: MarketBlock, tastes: Tastes, *, derivatives: bool) -> Inversion:
    """Say that shares cannot be inverted in any market, where a λ is negative."""
    N, J = block.n_products, np.diff(block.product_offsets)
    n_parameters = tastes.size + tastes.shares_by_theta.shape[1] if derivatives else 0
    zeros = np.zeros(block.n_markets, np.int64)
    return Inversion(
        delta=np.full(N, np.nan),
        delta_by_theta=np.full((N, n_parameters), np.nan),
        factor=np.full(int(J @ (J + 1)) // 2 if derivatives else 0, np.nan),
        status=np.full(block.n_markets, InversionStatus.NONFINITE, np.int64),
        iterations=zeros,
        evaluations=zeros,
    )


def add_share_slopes(
    kernels: Backend,
    block: MarketBlock,
    tastes: Tastes,
    found: Inversion,
    *,
    nest_by_nest: bool,
) -> Inversion:
    """Append ∂δ/∂λ to what kernels found of weighted types.

    Parameters
    ----------
    kernels
        Which found it.
    block
        With types and their weights as given.
    tastes
        θ.
    found
        With derivatives, in the kernels' units of δ.
    nest_by_nest
        Whether factors have products in the order of their nests, as those of loops.
    """
    slopes = tastes.shares_by_theta
    if not slopes.shape[1]:
        return found
    by_shares = np.column_stack(
        [
            kernels.shares(moved, tastes, found.delta)
            for moved in _moved(block, tastes, slopes)
        ]
    )
    order = np.arange(block.n_products)
    if nest_by_nest and block.nests is not None:
        markets = np.repeat(np.arange(block.n_markets), np.diff(block.product_offsets))
        order = np.lexsort((block.nests, markets))
    solved = np.empty_like(by_shares)
    solved[order] = solve_factors(found.factor, block.product_offsets, by_shares[order])
    status, evaluations = found.status.copy(), found.evaluations + slopes.shape[1]
    lost = ~np.isfinite(solved).all(axis=1)
    bad = np.logical_or.reduceat(lost, block.product_offsets[:-1])
    status[bad & (status != InversionStatus.MAX_EVALUATIONS)] = (
        InversionStatus.NONFINITE
    )
    return replace(
        found,
        delta_by_theta=np.hstack([found.delta_by_theta, -solved]),
        status=status,
        evaluations=evaluations,
    )


def solve_factors(factor: Floats, offsets: Integers, right: Floats) -> Floats:
    """Solve LL'x = b in every market, ``(N, L)``, markets of one size together.

    Parameters
    ----------
    factor
        As in :class:`blpdask.records.Inversion`.
    offsets
        ``(T + 1,)`` first row of each market, then N.
    right
        ``(N, L)`` b.
    """
    sizes = np.diff(offsets)
    firsts = np.cumsum(sizes * (sizes + 1) // 2) - sizes * (sizes + 1) // 2
    solved = np.empty_like(right)
    for J in np.unique(sizes):
        markets = np.flatnonzero(sizes == J)
        rows = offsets[markets][:, None] + np.arange(J)
        lower = np.zeros((markets.size, J, J))
        triangle = np.tril_indices(J)
        lower[:, *triangle] = factor[
            firsts[markets][:, None] + np.arange(triangle[0].size)
        ]
        known = np.isfinite(lower).all(axis=(1, 2))
        lower[~known] = np.eye(J)
        half = np.linalg.solve(lower, right[rows])
        found = np.linalg.solve(lower.transpose(0, 2, 1), half)
        found[~known] = np.nan
        solved[rows] = found
    return solved


def _moved(block: MarketBlock, tastes: Tastes, slopes: Floats) -> list[MarketBlock]:
    """Give the block the weights ∂w/∂λ of each share in θ."""
    assert block.agent_types is not None
    within = within_types(block, tastes.type_shares.size)
    return [
        replace(block, weights=by[block.agent_types] * within, agent_types=None)
        for by in slopes.T
    ]


def within_types(block: MarketBlock, n_types: int) -> Floats:
    """Divide weights by the sum of their type in their market, ``(A,)``."""
    groups = group_types(block, n_types)
    sums = np.bincount(
        groups, weights=block.weights, minlength=block.n_markets * n_types
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(block.weights / sums[groups])


def group_types(block: MarketBlock, n_types: int) -> Integers:
    """Give agents the number R t + r of their market and type, ``(A,)``."""
    assert block.agent_types is not None
    markets = np.repeat(np.arange(block.n_markets), np.diff(block.agent_offsets))
    return np.asarray(markets * n_types + block.agent_types)
