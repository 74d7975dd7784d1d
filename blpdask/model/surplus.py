"""What agents expect of a market: inclusive values.

Of the best of all choices with utilities V_ij over the scale ε of the extreme-value
errors, agent i expects, up to Euler's constant and times ε (Small and Rosen 1981),

    log(1 + Σ_h e^{I_ih}),   I_ih = (1 - ρ_h) log Σ_{j∈h} a_ij e^{t_h V_ij},

where every product is a nest with ρ = 0 where there are none. Divided by -∂V_ij/∂p_j,
which is over ε too, it is consumer surplus in units of prices. Logarithms of sums are
taken beside their largest terms, so that no utility is too large, and that of one and
little more is as good as the little.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..kernels.array_batches import Batch, gather, prepare
from ..kernels.array_nests import NestTastes, nest_tastes
from ..kernels.array_shares import DeviceTastes, move_tastes, utilities
from ..records import Floats, MarketBlock, Tastes

#: Utilities held at a time.
HELD = 2**20


def inclusive_values(
    market: MarketBlock,
    tastes: Tastes,
    delta: Floats,
    X2: Floats,
    eliminated: NDArray[np.bool_] | None = None,
) -> Floats:
    """Compute log(1 + Σ_h e^{I_ih}) of every agent, ``(I,)``.

    Parameters
    ----------
    market, tastes
        A block of one market, or of more, and θ.
    delta, X2
        ``(J,)`` and ``(K2, J)`` over ε, as kernels see them.
    eliminated
        ``(J,)`` products that nobody can choose.

    Returns
    -------
    (I,) array
        In units of errors with a scale of one: times ε in those of utilities.

    Examples
    --------
    >>> none, offsets = np.empty((2, 0)), np.array([0, 2])
    >>> market = MarketBlock(
    ...     0, 0, offsets, offsets, none.T, *np.zeros((2, 2)), none, np.ones(2), none
    ... )
    >>> tastes = Tastes(np.empty((0, 0)), *np.empty((3, 0), np.int64))
    >>> inclusive_values(market, tastes, np.array([0.0, 800.0]), none.T).tolist()
    [800.0, 800.0]
    >>> without = np.array([False, True])
    >>> inclusive_values(market, tastes, np.zeros(2), none.T, without).round(6).tolist()
    [0.693147, 0.693147]
    """
    there = np.ones(market.n_products, np.bool_)
    if eliminated is not None:
        there = ~np.asarray(eliminated, np.bool_)
    gone = np.where(there, 0.0, -np.inf)
    on_host = move_tastes(tastes, np)
    found = np.empty(market.weights.size)
    with np.errstate(divide="ignore", invalid="ignore"):
        for batch in prepare(replace(market, X2=X2)).batches(8 * HELD):
            at = gather(delta, batch, np) + gather(gone, batch, np)
            sizes = np.diff(market.agent_offsets)[batch.markets]
            firsts = market.agent_offsets[:-1][batch.markets]
            values = _of_batch(batch, on_host, at)
            for first, size, own in zip(firsts, sizes, values, strict=True):
                found[first : first + size] = own[:size]
    return found


def _of_batch(batch: Batch, tastes: DeviceTastes, delta: Floats) -> Floats:
    """Compute inclusive values of a batch ``(B, I)``, some agents at a time."""
    nests = nest_tastes(batch, tastes.rho)
    n_markets, n_agents, n_products = batch.shape
    step = max(1, HELD // (n_markets * n_products))
    parts = []
    for first in range(0, n_agents, step):
        agents = slice(first, first + step)
        v = utilities(batch, delta, agents, tastes, np)
        available = batch.available(agents)
        parts.append(_inclusive(v, available, nests))
    return np.concatenate(parts, axis=1)


def _inclusive(v: Floats, available: Floats | None, nests: NestTastes | None) -> Floats:
    """Compute inclusive values from utilities ``(B, i, J)``, -∞ of what is gone."""
    if nests is not None:
        v = v * nests.stretch[:, None, :]
    if available is not None:
        v = v + np.log(available)
    if nests is None:
        return np.asarray(np.logaddexp(0.0, _log_sum(v)))
    found = np.zeros(v.shape[:2])
    for h in range(nests.rho.shape[1]):
        inside = nests.members[:, None, :, h] > 0.0
        own = (1.0 - nests.rho[:, None, h]) * _log_sum(np.where(inside, v, -np.inf))
        found = np.logaddexp(found, own)
    return found


def _log_sum(v: Floats) -> Floats:
    """Compute log Σ_j e^{v_j} over products, -∞ of nothing."""
    top = v.max(axis=2)
    shift = np.where(np.isneginf(top), 0.0, top)
    return np.asarray(shift + np.log(np.exp(v - shift[..., None]).sum(axis=2)))
