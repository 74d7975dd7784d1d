"""What markets are worth to groups of consumers, and what these buy.

    m_g = Σ_{i∈g} w_i / Σ_i w_i,   CS_g = Σ_{i∈g} w_i CS_i / Σ_{i∈g} w_i,
    P_g = Σ_{i∈g} w_i Σ_j P_ij / Σ_{i∈g} w_i,
    p_g = Σ_{i∈g} w_i Σ_j P_ij p_j / Σ_{i∈g} w_i Σ_j P_ij

for the agents i of a group g in each market, with CS_i of
:mod:`blpdask.analysis.welfare`. Groups of numbers are between weighted quantiles: up to
the k-th of Q are at least a share k / Q of all markets' agents.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from ..model.agent_types import weigh_types
from ..model.purchases import purchases
from ..model.responses import RespondingMarkets
from ..partitions.cut import cut_markets
from ..records import JOINED, Floats, Integers, Tastes, TrialPrices
from .economy import Economy
from .welfare import PricedChoices, surplus_pass

#: Part by which sums of weights may miss k / Q by rounding alone.
_ROUNDING = 1e-12


@dataclass(frozen=True, slots=True)
class BuyingState:
    """What is sent to every block: θ, and a bound on memory."""

    tastes: Tastes
    scratch_bytes: int


@dataclass(frozen=True, slots=True, eq=False)
class Buyers:
    """Agents of blocks, ``(A,)``: CS_i, Σ_j P_ij and Σ_j P_ij p_j."""

    surpluses: Floats = field(metadata=JOINED)
    buying: Floats = field(metadata=JOINED)
    paying: Floats = field(metadata=JOINED)


@dataclass(frozen=True, slots=True, eq=False)
class GroupMeans:
    """Of each market and group, ``(T, G)``: m_g, CS_g, P_g and p_g; NaN of nobody."""

    mass: Floats
    surpluses: Floats
    buying: Floats
    prices_paid: Floats


def buyers(economy: Economy, trial: TrialPrices) -> Buyers:
    """Compute what each agent gains, buys and pays.

    Parameters
    ----------
    economy
        At its parameters.
    trial
        Utilities of all rows.
    """
    state = BuyingState(economy.tastes, economy.scratch_bytes)
    found: Buyers = economy.reduce(economy.blocks(trial), buyers_pass, state)
    return found


def buyers_pass(
    block: RespondingMarkets, state: BuyingState, memory: None = None
) -> tuple[Buyers, None]:
    """Compute what agents of a block gain, buy and pay: what an engine maps."""
    trial = block.trial
    found, _ = surplus_pass(PricedChoices(block, None), state.tastes, memory)
    buying, paying = purchases(
        replace(block.markets, X2=trial.X2),
        state.tastes,
        trial.delta,
        trial.prices,
        state.scratch_bytes,
    )
    return Buyers(found.of_agents, buying, paying), None


def agent_weights(economy: Economy) -> Floats:
    """Give weights of the agents of the markets that are asked about, ``(A,)``."""
    tables, own = economy.tables(), economy.markets
    if not economy.tastes.type_shares.size:
        offsets = tables.agent_offsets
        return np.asarray(tables.weights[offsets[own.start] : offsets[own.stop]])
    parts = [
        weigh_types(cut_markets(tables, 0, t, t + 1), economy.tastes).weights
        for t in range(own.start, own.stop)
    ]
    return np.concatenate(parts)


def quantile_edges(values: Floats, weights: Floats, number: int) -> Floats:
    """Find the values that end groups of as equal weight as there can be, but the last.

    Parameters
    ----------
    values, weights
        ``(A,)``.
    number
        Q, how many groups; fewer where values are few.

    Examples
    --------
    >>> quantile_edges(np.array([3.0, 1.0, 2.0, 9.0]), np.full(4, 0.25), 2)
    array([2.])
    >>> quantile_edges(np.array([1.0, 1.0, 1.0, 2.0]), np.full(4, 0.25), 4)
    array([1.])
    """
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weights[order])
    wanted = np.arange(1, number) / number * reached[-1] * (1.0 - _ROUNDING)
    edges = np.unique(values[order][np.searchsorted(reached, wanted)])
    return np.asarray(edges[edges < values.max()])


def group_means(
    found: Buyers, weights: Floats, places: Integers, n_markets: int, n_groups: int
) -> GroupMeans:
    """Average agents over groups.

    Parameters
    ----------
    found
        What agents gain, buy and pay.
    weights
        ``(A,)``.
    places
        ``(A,)`` G t + g of an agent of market t and group g.
    n_markets, n_groups
        T and G.
    """

    def total(values: Floats) -> Floats:
        sums = np.bincount(places, weights * values, n_markets * n_groups)
        return np.asarray(sums.reshape(n_markets, n_groups))

    mass, bought = total(np.ones(weights.size)), total(found.buying)
    with np.errstate(divide="ignore", invalid="ignore"):
        return GroupMeans(
            mass=mass / mass.sum(axis=1, keepdims=True),
            surpluses=total(found.surpluses) / mass,
            buying=bought / mass,
            prices_paid=total(found.paying) / bought,
        )
