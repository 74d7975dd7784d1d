"""What transfers are worth to agents, and what they cost who pays them.

With α_i the slope of agent i's utility by prices (:mod:`blpdask.model.price_slopes`)
and b_i what is paid for the choice of a product of E, utility rises by -α_i b_i there,
and a market's payer spends

    Σ_i w_i b_i Σ_{j ∈ E} P_ij.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ..model.agent_types import weigh_types
from ..model.price_slopes import first_slopes
from ..model.probabilities import choice_probabilities
from ..model.responses import RespondingMarkets
from ..partitions.source import HeldBlocks
from ..problem.transfers import Transfer
from ..records import JOINED, Floats, Tastes
from .economy import Economy


@dataclass(frozen=True, slots=True, eq=False)
class PaidChoices:
    """A block of markets whose choices are paid for: what an engine places.

    Attributes
    ----------
    at
        The markets and their utilities.
    amounts, eligible
        ``(Q, A)`` and ``(Q, N)`` b_i and 1(j ∈ E) of Q transfers.
    """

    at: RespondingMarkets
    amounts: Floats
    eligible: Floats


@dataclass(frozen=True, slots=True, eq=False)
class AgentSlopes:
    """Slopes of blocks: ``alpha`` ``(A,)`` α_i over ε."""

    alpha: Floats = field(metadata=JOINED)


@dataclass(frozen=True, slots=True, eq=False)
class Spending:
    """What is spent in markets of blocks, ``(T,)`` per consumer."""

    costs: Floats = field(metadata=JOINED)


def agent_slopes(economy: Economy) -> Floats:
    """Compute α_i of the first product of agents' markets, ``(A,)`` by market.

    Slopes are of utilities, not over ε, at the prices of the data.
    """
    blocks = economy.blocks(economy.at("prices"))
    found: AgentSlopes = economy.reduce(blocks, slopes_pass, economy.tastes)
    return economy.demand.epsilon_scale * found.alpha


def transfer_costs(
    economy: Economy, transfers: Sequence[Transfer], prices: Floats | None = None
) -> Floats:
    """Add up what transfers cost in each market, ``(T,)`` per consumer.

    Parameters
    ----------
    economy
        All markets, with the transfers among their utilities.
    transfers
        Each of them.
    prices
        ``(n,)`` p; those of the data where None.
    """
    amounts = np.array([transfer.amounts for transfer in transfers])
    variables = economy.demand.products.variables
    eligible = np.array([variables[t.name][economy.rows] for t in transfers])
    source = economy.blocks(economy.at("prices", prices))
    blocks, rows, people = [], 0, 0
    for index in range(len(source)):
        block = source.load(index)
        first, rows = rows, rows + block.markets.n_products
        begin, people = people, people + block.markets.weights.size
        own = amounts[:, begin:people], eligible[:, first:rows]
        blocks.append(PaidChoices(block, *own))
    found: Spending = economy.reduce(HeldBlocks(blocks), spending_pass, economy.tastes)
    return found.costs


def slopes_pass(
    block: RespondingMarkets, tastes: Tastes, memory: None
) -> tuple[AgentSlopes, None]:
    """Compute slopes of a block's agents: what an engine maps over blocks."""
    del memory
    return AgentSlopes(first_slopes(block.markets, tastes, block.trial)), None


def spending_pass(
    block: PaidChoices, tastes: Tastes, memory: None
) -> tuple[Spending, None]:
    """Add up what is spent in a block's markets: what an engine maps over blocks."""
    del memory
    trial = block.at.trial
    markets = weigh_types(replace(block.at.markets, X2=trial.X2), tastes)
    P = choice_probabilities(markets, tastes, trial.delta)
    inside = np.arange(P.shape[1]) < np.diff(markets.agent_offsets)[:, None]
    spent = np.zeros(markets.weights.size)
    for amounts, eligible in zip(block.amounts, block.eligible, strict=True):
        chosen = np.add.reduceat(eligible[:, None] * P, markets.product_offsets[:-1])
        spent += amounts * chosen[inside]
    costs = np.add.reduceat(markets.weights * spent, markets.agent_offsets[:-1])
    return Spending(costs), None
