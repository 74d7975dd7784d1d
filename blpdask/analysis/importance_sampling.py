"""Agents who matter for inside shares: importance sampling by acceptance.

Of many candidates, agent i of market t is accepted with probability (1 - P_i0) / M at
(θ̂, δ̂). Of those accepted I are kept, with the weights

    w_i = (1 / I) (1 - s_0) / (1 - P_i0),

so that shares at the estimate are those of the candidates, with less noise than as many
candidates would have (Berry, Levinsohn and Pakes 1995, section 6).

How even weights are, is said by effective numbers of draws, (Σ w)² / Σ w² for means,
(Σ w²)² / Σ w⁴ for variances and (Σ w²)³ / (Σ w³)² for skewness (Owen 2013, chapter 9).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..errors import Faults
from ..problem.agents import Agents
from ..problem.fields import some
from ..records import Floats, Integers
from .draw_jackknife import part_of_agents
from .estimated_markets import EstimatedMarkets, choices_in_parts


@dataclass(frozen=True, slots=True, eq=False)
class WeightDiagnostics:
    """How weights of markets' draws are spread.

    Attributes
    ----------
    sums
        ``(T,)`` Σ w.
    effective, for_variance, for_skewness
        ``(T,)`` effective numbers of draws.
    """

    sums: Floats
    effective: Floats
    for_variance: Floats
    for_skewness: Floats


def sample_agents(
    markets: EstimatedMarkets, draws: int, ar_constant: float, seed: int | None
) -> Agents:
    """Accept and keep agents of a problem, and weigh them.

    Parameters
    ----------
    markets
        A problem at an estimate, whose agents are the candidates.
    draws
        I, how many are kept of each market.
    ar_constant
        M.
    seed
        Of NumPy's legacy stream, from which markets in sorted order take uniform
        numbers, and then which of those accepted are kept.

    Raises
    ------
    InputError
        Where too few are accepted.
    """
    stream = np.random.RandomState(seed)
    demand, faults = markets.demand, Faults("importance_sampling")
    offsets, shares = demand.tables.product_offsets, demand.products.shares
    inside = demand.in_market_order(shares)
    rows, weights, short = [], [], []
    for t in range(demand.n_markets):
        probabilities = _inside(markets, t)
        cutoffs = stream.uniform(size=probabilities.size)
        accepted = np.flatnonzero(cutoffs < probabilities / ar_constant)
        if accepted.size < draws:
            short.append(f"{demand.products.unique_market_ids[t]}: {accepted.size}")
            continue
        kept = np.sort(stream.choice(accepted, size=draws, replace=False))
        share = inside[offsets[t] : offsets[t + 1]].sum()
        rows.append(demand.agents.offsets[t] + kept)
        weights.append(share / probabilities[kept] / draws)
    if short:
        faults.add(
            f"fewer than {draws} accepted agents in {len(short)} markets "
            f"({some(short)})",
            f"at least {draws}, for which about ar_constant * draws / (1 - s_0) "
            "candidates are needed",
            "pass more candidates by agent_data or integration, or ask for fewer draws",
        )
    faults.check()
    return _keep(demand.agents, np.concatenate(rows), np.concatenate(weights))


def diagnose(agents: Agents) -> WeightDiagnostics:
    """Compute diagnostics of the weights of agents."""

    def sums(power: int) -> Floats:
        return np.add.reduceat(agents.weights**power, agents.offsets[:-1])

    one, two, three, four = (sums(power) for power in (1, 2, 3, 4))
    return WeightDiagnostics(one, one**2 / two, two**2 / four, two**3 / three**2)


def _inside(markets: EstimatedMarkets, t: int) -> Floats:
    """Compute how likely each agent of a market is to buy, ``(I,)``."""
    parts = choices_in_parts(
        markets.block(t),
        markets.tastes,
        markets.delta_of(t),
        np.empty((markets.delta_of(t).size, 0)),
        cells_per_agent=markets.delta_of(t).size,
    )
    return np.concatenate([first.P[:, 1:].sum(axis=1) for _, first in parts])


def _keep(agents: Agents, rows: Integers, weights: Floats) -> Agents:
    """Keep some agents, in the order of their data, and weigh them."""
    kept = part_of_agents(agents, rows, 1)
    order = np.argsort(np.argsort(agents.order[rows], kind="stable"))
    return replace(kept, weights=weights, order=order.astype(np.int64))
