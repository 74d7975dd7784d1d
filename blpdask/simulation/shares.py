"""Market shares when the agents are known exactly.

    s_jt = 1/I Σ_i e^{δ_jt + μ_ijt} / (1 + Σ_k e^{δ_kt + μ_ikt}),

the logit integral over the I agents of each market (Berry, Levinsohn and Pakes 1995).
Markets of equal numbers of products are computed side by side. This is a second,
independent writing of what the kernels compute: a truth must not come from the code
that it is to test.
"""

from __future__ import annotations

import numpy as np

from ..records import Floats, Integers

_BATCH = 2**22  # choice probabilities held at a time, 32 MiB of them


def simulated_shares(
    offsets: Integers, delta: Floats, X2: Floats, tastes: Floats
) -> Floats:
    """Integrate choice probabilities over the agents of every market.

    Parameters
    ----------
    offsets
        ``(T + 1,)`` first product row of each market, then N.
    delta
        ``(N,)`` mean utilities.
    X2
        ``(N, K2)`` characteristics with random coefficients.
    tastes
        ``(T, I, K2)`` each agent's deviation Σν + Πd from the mean tastes.

    Returns
    -------
    array
        ``(N,)`` shares.
    """
    sizes = np.diff(offsets)
    shares = np.empty_like(delta)
    for size in np.unique(sizes):
        markets = np.flatnonzero(sizes == size)
        batch = max(1, _BATCH // int(size * tastes.shape[1]))
        for first in range(0, markets.size, batch):
            some = markets[first : first + batch]
            rows = offsets[some][:, None] + np.arange(size)
            shares[rows] = _equal_markets(delta[rows], X2[rows], tastes[some])
    return shares


def _equal_markets(delta: Floats, X2: Floats, tastes: Floats) -> Floats:
    """Integrate over markets with as many products: (B, J), (B, J, K2), (B, I, K2)."""
    utilities = tastes @ X2.transpose(0, 2, 1)
    utilities += delta[:, None, :]
    best = np.maximum(utilities.max(axis=2, keepdims=True), 0.0)
    utilities -= best
    odds = np.exp(utilities, out=utilities)
    odds /= np.exp(-best) + odds.sum(axis=2, keepdims=True)
    shares: Floats = odds.mean(axis=1)
    return shares
