"""Whose diversion does an experiment measure? Weights of agents, by what is done to j.

Where those go who leave product j is an average over agents i of where i goes, by
weights that depend on the experiment (Conlon and Mortimer 2021, "Empirical properties
of diversion ratios", RAND Journal of Economics 52):

    removal of j        w_i P_ij,                 of P_ijk / P_ij,
    a small dx_j        w_i ∂P_ij/∂x_j,           of -(∂P_ik/∂x_j) / (∂P_ij/∂x_j),
    average effect      w_i,
    of the untreated    w_i (1 - P_ij),

each over its sum. Without nests all agents' own diversion is P_ik / (1 - P_ij). With
α_ij = ∂u_ij/∂x_j, the price slope or a taste, or one for δ,

    ∂P_ij/∂x_j = α_ij P_ij (1 - P_ij + (t_h - 1) (1 - Q_ij)),

whose sign is kept: those who like what others mind have weights below zero, for they
come where others leave. 1 - P and 1 - Q are sums of what is left, not differences,
where one choice is most of all. Demand is that of :mod:`blpdask.kernels.contract`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from ..kernels.array_batches import Batch, gather, prepare
from ..kernels.array_nests import NestTastes
from ..kernels.array_shares import (
    Probabilities,
    ShareMap,
    move_tastes,
    price_slopes,
)
from ..records import Floats, MarketBlock, Tastes, TrialPrices

#: What is done to a product, and to whom.
Experiment = Literal["removal", "marginal", "ate", "atu"]


@dataclass(frozen=True, slots=True, eq=False)
class _Slopes:
    """How utilities of a batch move: ``(B, J)`` of δ, and of columns of X2."""

    alpha: Floats
    of_X2: dict[int, Floats]


def intervention_weights(
    block: MarketBlock,
    tastes: Tastes,
    trial: TrialPrices,
    experiment: Experiment,
    scratch_bytes: int = 2**26,
) -> Floats:
    """Compute weights of agents in each product's diversion, ``(N, max I)``.

    Parameters
    ----------
    block
        The markets, types of agents weighed; agents come in their order.
    tastes
        θ.
    trial
        Utilities of all products, and how they move with x.
    experiment
        What is done to a product, and to whom.
    scratch_bytes
        Bound on what of P is held beside the answer.

    Returns
    -------
    array
        Rows sum to one; NaN beyond the agents of a product's market, and where nobody
        minds what is done.

    Examples
    --------
    One product, of which a first agent buys half the time, and a second always:

    >>> none, one = np.empty((1, 0)), np.array([0, 1])
    >>> half, sides = np.array([0.5, 0.5]), np.array([[0.0], [800.0]])
    >>> market = MarketBlock(
    ...     0, 0, one, 2 * one, np.ones((1, 1)), *np.zeros((2, 1)), sides, half, none
    ... )
    >>> tastes = Tastes(np.ones((1, 1)), *np.zeros((3, 1), np.int64))
    >>> trial = TrialPrices(
    ...     *np.zeros((2, 1)), np.ones(1), market.X2, none.T, np.arange(0)
    ... )
    >>> intervention_weights(market, tastes, trial, "removal").round(4).tolist()
    [[0.3333, 0.6667]]
    >>> intervention_weights(market, tastes, trial, "marginal").round(4).tolist()
    [[1.0, 0.0]]
    """
    counts = np.diff(block.agent_offsets)
    found = np.full((block.n_products + 1, int(counts.max())), np.nan)
    totals = np.zeros(block.n_products + 1)
    on_host = move_tastes(tastes, np)
    with np.errstate(all="ignore"):
        for batch in prepare(replace(block, X2=trial.X2)).batches(scratch_bytes):
            at, slopes = gather(trial.delta, batch, np), _gather_slopes(trial, batch)
            share_map = ShareMap(batch, on_host, at, scratch_bytes, np)
            for part in share_map.probabilities(at, slice(None)):
                moved = _moved(share_map, part, slopes, experiment)
                moved = batch.weights[:, part.agents, None] * moved
                totals[batch.rows] += moved.sum(axis=1)
                first, stop, _ = part.agents.indices(batch.shape[1])
                own = np.arange(first, min(stop, batch.shape[1]))
                there = own < counts[batch.markets][:, None]
                moved = np.where(there[:, :, None], moved, np.nan)
                found[batch.rows[:, :, None], own] = moved.swapaxes(1, 2)
        found /= totals[:, None]
    return found[:-1]


def _gather_slopes(trial: TrialPrices, batch: Batch) -> _Slopes:
    """Arrange slopes of utilities by markets."""
    columns = zip(trial.X2_priced.tolist(), trial.X2_by_prices, strict=True)
    return _Slopes(
        gather(trial.alpha, batch, np),
        {k: gather(values, batch, np) for k, values in columns},
    )


def _moved(
    share_map: ShareMap, part: Probabilities, slopes: _Slopes, experiment: Experiment
) -> Floats:
    """Tell how much agents count, before their own weights, ``(B, i, J)``."""
    if experiment == "removal":
        return np.asarray(part.P)
    if experiment == "ate":
        return np.ones_like(part.P)
    left, beside = _left(part, share_map.nests)
    if experiment == "atu":
        return left
    alpha = price_slopes(
        share_map.batch, part.agents, slopes.alpha, slopes.of_X2, share_map.tastes, np
    )
    return np.asarray(alpha * part.P * (left + beside))


def _left(part: Probabilities, nests: NestTastes | None) -> tuple[Floats, Floats]:
    """Compute 1 - P_ij and (t_h - 1) (1 - Q_ij), ``(B, i, J)``."""
    P, P0, Q, M = part.P, part.P0, part.Q, part.M
    if nests is None:
        rest = P0 + np.where(P > 0.5, 0.0, P).sum(axis=2)
        return np.where(P > 0.5, rest[..., None], 1.0 - P), np.zeros_like(P)
    assert Q is not None and M is not None
    others = P0 + np.where(M > 0.5, 0.0, M).sum(axis=2)
    not_nest = np.where(M > 0.5, others[..., None], 1.0 - M)
    within = nests.expand(nests.sums(np.where(Q > 0.5, 0.0, Q)))
    not_product = np.where(Q > 0.5, within, 1.0 - Q)
    left = nests.expand(not_nest) + nests.expand(M) * not_product
    stretch = nests.stretch[:, None, :]
    return left, (stretch - 1.0) * not_product
