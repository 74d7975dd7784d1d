"""Second derivatives of firms' profits by prices, without J x J x J tensors.

With m = p - c and a_ik = Σ_j H_kj P_ij m_j, what the owner of k earns on agent i, the
derivative by p_k of that owner's profits is

    H_kk s_k + Σ_i w_i α_ik P_ik (H_kk m_k - a_ik),

whose derivative by p_l, with ∂s_k/∂p_l = 1[k=l] Λ_k - Σ_i w_i α_il P_ik P_il, is

    H_kk ∂s_k/∂p_l + H_kl ∂s_l/∂p_k
    + 1[k=l] Σ_i w_i (α'_ik + α_ik²) P_ik (H_kk m_k - a_ik)
    - Σ_i w_i α_ik α_il P_ik P_il (H_kk m_k + H_kl m_l - 2 a_ik),

where α' = ∂α/∂p. Sums over agents are three products of matrices. Prices of an owner
are a local best response where his rows and columns are negative definite.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from ..kernels.array_shares import move_tastes, random_coefficients
from ..records import Floats, MarketBlock, Tastes, TrialPrices

#: Probabilities held at a time.
HELD = 2**20


def profit_hessians(
    block: MarketBlock,
    tastes: Tastes,
    trial: TrialPrices,
    curvature: tuple[Floats, Floats],
    margins: Floats,
) -> Floats:
    """Compute the Hessians of all markets, row-major, one after another, ``(F,)``.

    Parameters
    ----------
    block, tastes
        Markets with their owners, and θ.
    trial
        Utilities at the prices where Hessians are wanted.
    curvature
        Second derivatives by prices there: ``(N,)`` of what is linear in β, ``(R, N)``
        of the columns of X2 that depend on prices.
    margins
        ``(N,)`` m.
    """
    assert block.supply is not None
    owners, ownership = block.supply.owners, block.supply.ownership
    on_host = move_tastes(tastes, np)
    people = list(pairwise(block.agent_offsets))
    found, place = [], 0
    for t, (first, stop) in enumerate(pairwise(block.product_offsets)):
        rows, n = slice(first, stop), stop - first
        H = (owners[rows, None] == owners[None, rows]).astype(np.float64)
        if ownership.size:
            H = ownership[place : place + n * n].reshape(n, n)
        place += n * n
        agents = slice(*people[t])
        coefficients = random_coefficients(block.draws[agents], on_host, np)
        found.append(
            _hessian(
                coefficients,
                block.weights[agents],
                _rows_of(trial, rows),
                (curvature[0][rows], curvature[1][:, rows]),
                margins[rows],
                H,
            ).ravel()
        )
    return np.concatenate(found)


def _rows_of(trial: TrialPrices, rows: slice) -> TrialPrices:
    """Keep one market's products."""
    return TrialPrices(
        prices=trial.prices[rows],
        delta=trial.delta[rows],
        alpha=trial.alpha[rows],
        X2=trial.X2[:, rows],
        X2_by_prices=trial.X2_by_prices[:, rows],
        X2_priced=trial.X2_priced,
    )


def _hessian(
    coefficients: Floats,
    weights: Floats,
    trial: TrialPrices,
    curvature: tuple[Floats, Floats],
    margins: Floats,
    H: Floats,
) -> Floats:
    """Compute one market's Hessian ``(J, J)``, some agents at a time."""
    n = margins.size
    own = np.diag(H) * margins
    Lambda, bend = np.zeros(n), np.zeros(n)
    cross, gram, earned = np.zeros((n, n)), np.zeros((n, n)), np.zeros((n, n))
    tile = max(1, HELD // n)
    for first in range(0, weights.size, tile):
        c, w = coefficients[first : first + tile], weights[first : first + tile, None]
        P = _probabilities(c, trial)
        alpha = trial.alpha + c[:, trial.X2_priced] @ trial.X2_by_prices
        alpha_by_prices = curvature[0] + c[:, trial.X2_priced] @ curvature[1]
        a = (P * margins) @ H.T
        moved = alpha * P
        weighted = w * moved
        Lambda += weighted.sum(axis=0)
        bend += (w * (alpha_by_prices + alpha**2) * P * (own - a)).sum(axis=0)
        cross += P.T @ weighted
        gram += weighted.T @ moved
        earned += (weighted * a).T @ moved
    shares_by_prices = np.diag(Lambda) - cross
    return (
        np.diag(H)[:, None] * shares_by_prices
        + H * shares_by_prices.T
        + np.diag(bend)
        - gram * (own[:, None] + H * margins)
        + 2 * earned
    )


def _probabilities(coefficients: Floats, trial: TrialPrices) -> Floats:
    """Compute P ``(I, J)`` without overflow."""
    utilities = coefficients @ trial.X2 + trial.delta
    highest = np.maximum(utilities.max(axis=1, keepdims=True), 0.0)
    odds = np.exp(utilities - highest)
    found: Floats = odds / (np.exp(-highest) + odds.sum(axis=1, keepdims=True))
    return found
