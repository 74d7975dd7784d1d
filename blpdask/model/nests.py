"""Mean utilities of the nested logit, in closed form.

Without random coefficients, and where they start (Berry 1994, equation 28),

    δ_j = ε [log S_j - log S_0 - ρ_h log(S_j / S_h)],   S_h = Σ_{k∈h} S_k,
    ∂δ_j/∂ρ_h = -ε log(S_j / S_h),

with ε the scale of the extreme-value errors, and ρ zero where there are no nests.
"""

from __future__ import annotations

import numpy as np

from ..records import Floats, MarketBlock, Tastes


def logit_delta(block: MarketBlock, tastes: Tastes) -> Floats:
    """Compute δ ``(N,)`` of the logit or nested logit."""
    delta = block.logit_delta
    if block.nests is not None:
        delta = delta - tastes.rho[block.nests] * log_conditional_shares(block)
    return delta if block.epsilon_scale == 1.0 else block.epsilon_scale * delta


def logit_delta_by_rho(block: MarketBlock, tastes: Tastes) -> Floats:
    """Compute ∂δ/∂ρ ``(N, R)``."""
    slopes = np.zeros((block.n_products, tastes.size - tastes.rows.size))
    if block.nests is not None and slopes.size:
        places = tastes.rho_places[block.nests]
        free = np.flatnonzero(places >= 0)
        logs = block.epsilon_scale * log_conditional_shares(block)
        slopes[free, places[free]] = -logs[free]
    return slopes


def log_conditional_shares(block: MarketBlock) -> Floats:
    """Compute log(S_j / S_h) ``(N,)``."""
    assert block.nests is not None
    sizes = np.diff(block.product_offsets)
    markets = np.repeat(np.arange(sizes.size), sizes)
    pairs = markets * (int(block.nests.max(initial=0)) + 1) + block.nests
    _, nests = np.unique(pairs, return_inverse=True)
    totals = np.bincount(nests, weights=np.exp(block.log_shares))
    return np.asarray(block.log_shares - np.log(totals)[nests])
