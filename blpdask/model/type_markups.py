"""How markups move with the shares of agents' types.

Δ, the matrix of first-order conditions Δη = S, is linear in weights as shares are, and
moves with λ directly and through δ:

    ∂η/∂λ = -Δ⁻¹ (Σ_r (∂λ_r/∂λ) Δ^r η + Δ̇ η),

where Δ^r is of type r alone (:mod:`blpdask.model.agent_types`) and Δ̇ moves with δ as
for a parameter of utilities that multiplies nothing. By the other form of the same
conditions (:mod:`blpdask.kernels.contract`),

    (Δ^r η)_j = s_j^r - H_jj Λ_j^r (η_j - ζ_j^r).

It is taken of w + w^r, where Λ is not zero for want of agents of a type who buy j; and
Δx = b is solved as Δ(η + εx) = S + εb, so that kernels do all of it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..kernels.contract import Backend
from ..records import (
    Floats,
    Integers,
    MarketBlock,
    Markups,
    PriceTastes,
    Tastes,
    TrialPrices,
)
from .agent_types import weigh_types, within_types

#: Of observed shares, how much εb is at most.
_LARGEST_MOVE = 0.5


def type_markups(
    kernels: Backend,
    block: MarketBlock,
    tastes: Tastes,
    price_tastes: PriceTastes,
    delta: Floats,
    delta_by_theta: Floats,
    scratch_bytes: int,
) -> Markups:
    """Compute η and ∂η/∂θ of a block with types; arguments as of the kernels' markups.

    ``delta_by_theta`` has the columns of λ too, or none.
    """
    whole, L = weigh_types(block, tastes), tastes.shares_by_theta.shape[1]
    if delta_by_theta.shape[1] == 0 or L == 0:
        return kernels.markups(
            whole, tastes, price_tastes, delta, delta_by_theta, scratch_bytes
        )
    still, order = _with_still_tastes(tastes, L)
    zeros = np.zeros((whole.draws.shape[0], 1))
    found = kernels.markups(
        replace(whole, draws=np.ascontiguousarray(np.hstack([whole.draws, zeros]))),
        still,
        price_tastes,
        delta,
        np.ascontiguousarray(delta_by_theta[:, order]),
        scratch_bytes,
    )
    eta_by_theta = found.eta_by_theta.copy()
    eta_by_theta[:, order] = found.eta_by_theta[:, : order.size]
    direct = _direct_slopes(
        kernels, block, whole, tastes, price_tastes, delta, found.eta, scratch_bytes
    )
    eta_by_theta[:, tastes.size : tastes.size + L] += direct
    # Where slopes are not there, neither are markups: the evaluation says so.
    lost = ~np.isfinite(direct).all(axis=1)
    bad = np.logical_or.reduceat(lost, block.product_offsets[:-1])
    eta = np.where(np.repeat(bad, np.diff(block.product_offsets)), np.nan, found.eta)
    return Markups(eta, eta_by_theta)


def _with_still_tastes(tastes: Tastes, L: int) -> tuple[Tastes, Integers]:
    """Add L parameters that move δ but no tastes: of a column of draws that is zero.

    Gives the tastes, and ``(P,)`` where in θ each of their parameters is.
    """
    K2, n_columns = tastes.loadings.shape
    n_tastes = tastes.rows.size
    still = replace(
        tastes,
        loadings=np.hstack([tastes.loadings, np.zeros((K2, 1))]),
        rows=np.concatenate([tastes.rows, np.zeros(L, np.int64)]),
        columns=np.concatenate([tastes.columns, np.full(L, n_columns)]),
    )
    places = np.arange(tastes.size + L)
    order = np.concatenate(
        [places[:n_tastes], places[tastes.size :], places[n_tastes : tastes.size]]
    )
    return still, order


def _direct_slopes(
    kernels: Backend,
    block: MarketBlock,
    whole: MarketBlock,
    tastes: Tastes,
    price_tastes: PriceTastes,
    delta: Floats,
    eta: Floats,
    scratch_bytes: int,
) -> Floats:
    """Compute -Δ⁻¹ Σ_r (∂λ_r/∂λ) Δ^r η, ``(N, L)``, at given δ."""
    supply, slopes = block.supply, tastes.shares_by_theta
    assert supply is not None
    trial = TrialPrices(
        prices=supply.prices,
        delta=delta,
        alpha=supply.X1_by_prices.T @ price_tastes.beta,
        X2=block.X2,
        X2_by_prices=supply.X2_by_prices,
        X2_priced=supply.X2_priced,
    )
    everywhere = np.ones(block.n_markets, np.bool_)
    applied = np.zeros((block.n_products, slopes.shape[0]))
    for r in np.flatnonzero((slopes != 0).any(axis=1)):
        of_type = _of_type(block, slopes.shape[0], int(r))
        both = replace(whole, weights=whole.weights + of_type)
        found = kernels.conditions(both, tastes, trial, eta, everywhere, scratch_bytes)
        with np.errstate(invalid="ignore", over="ignore"):
            total = found.shares - found.Lambda * (eta - found.zeta)
            applied[:, r] = total - np.exp(block.log_shares)
    right = applied @ slopes
    moved = [
        _solve_conditions(
            kernels, whole, tastes, price_tastes, delta, eta, b, scratch_bytes
        )
        for b in right.T
    ]
    return -np.column_stack(moved)


def _solve_conditions(
    kernels: Backend,
    whole: MarketBlock,
    tastes: Tastes,
    price_tastes: PriceTastes,
    delta: Floats,
    eta: Floats,
    right: Floats,
    scratch_bytes: int,
) -> Floats:
    """Solve Δx = b, ``(N,)``, as the change of η where S is moved towards b."""
    sizes = np.diff(whole.product_offsets)
    shares = np.exp(whole.log_shares)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.maximum.reduceat(np.abs(right) / shares, whole.product_offsets[:-1])
        step = np.repeat(np.where(ratio == 0, 1.0, _LARGEST_MOVE / ratio), sizes)
        moved = replace(whole, log_shares=np.log(shares + step * right))
        found = kernels.markups(
            moved,
            tastes,
            price_tastes,
            delta,
            np.empty((whole.n_products, 0)),
            scratch_bytes,
        )
        return np.asarray((found.eta - eta) / step)


def _of_type(block: MarketBlock, n_types: int, which: int) -> Floats:
    """Give the weights of one type alone, ``(A,)``; they sum to one in each market."""
    one = block.agent_types == which
    return np.asarray(np.where(one, within_types(block, n_types), 0.0))
