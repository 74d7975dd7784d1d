"""Markets at an estimate, one by one, with whichever agents are asked about.

What is asked after an estimate is asked of one market at a time: its probabilities with
its own agents, or with agents who were observed there, at (θ̂, δ̂), and how they move
along δ(θ), which is that of the problem's agents.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from ..model.cells import FirstChoices, first_choices
from ..model.inversion import solve_shares
from ..model.parameters import Parameters, tastes_at
from ..partitions.cut import cut_markets
from ..problem.demand_problem import DemandProblem
from ..problem.surveys import Markets
from ..records import (
    Floats,
    InversionControls,
    InversionStart,
    MarketBlock,
    Tastes,
)

#: Numbers of cells, times one and the parameters, that are held at once.
MOST_CELLS = 2**22


@dataclass(frozen=True, slots=True, eq=False)
class EstimatedMarkets:
    """A problem at an estimate.

    Attributes
    ----------
    demand
        The problem, in memory.
    parameters
        θ̂ as it was laid out.
    tastes
        θ̂ as kernels read it.
    delta
        ``(N,)`` δ̂ in the order of markets.
    tables
        Gives the markets' tables.
    """

    demand: DemandProblem
    parameters: Parameters
    tastes: Tastes
    delta: Floats
    tables: Markets

    def block(self, t: int) -> MarketBlock:
        """Give market t as a block, with the problem's agents."""
        return cut_markets(self.demand.tables, 0, t, t + 1)

    def delta_of(self, t: int) -> Floats:
        """Give δ̂ of market t, ``(J,)``."""
        offsets = self.demand.tables.product_offsets
        return self.delta[offsets[t] : offsets[t + 1]]

    def delta_by_theta(self, t: int, block: MarketBlock) -> Floats:
        """Compute ∂δ/∂θ of market t, ``(J, P)``, by the problem's own agents."""
        return solve_shares(
            block,
            self.tastes,
            InversionStart(self.delta_of(t), np.empty(0)),
            InversionControls(method="return"),
            backend="numba",
        ).delta_by_theta


def estimated_markets(
    demand: DemandProblem,
    parameters: Parameters,
    theta: Floats,
    delta: Floats,
    tables: Markets,
) -> EstimatedMarkets:
    """Put a problem at an estimate.

    Parameters
    ----------
    demand, parameters
        The problem and the layout of θ.
    theta
        ``(P,)`` θ̂.
    delta
        ``(N,)`` δ̂ in the user's order.
    tables
        Gives the markets' tables.
    """
    tastes = tastes_at(parameters, theta)
    ordered = demand.in_market_order(delta)
    return EstimatedMarkets(demand, parameters, tastes, ordered, tables)


def choices_in_parts(
    market: MarketBlock,
    tastes: Tastes,
    delta: Floats,
    delta_by_theta: Floats,
    *,
    cells_per_agent: int,
) -> Iterator[tuple[slice, FirstChoices]]:
    """Yield first choices of a market's agents, some agents at a time.

    Parameters
    ----------
    market
        A block of one market.
    tastes
        θ.
    delta, delta_by_theta
        ``(J,)`` δ and ``(J, P)`` ∂δ/∂θ; ``(J, 0)`` where no slopes are wanted.
    cells_per_agent
        How many numbers a parameter and agent will have.
    """
    n = market.weights.size
    width = cells_per_agent * (1 + delta_by_theta.shape[1])
    step = max(1, MOST_CELLS // width)
    for first in range(0, n, step):
        agents = slice(first, min(first + step, n))
        part = market if step >= n else some_agents(market, agents)
        yield agents, first_choices(part, tastes, delta, delta_by_theta)


def some_agents(market: MarketBlock, agents: slice) -> MarketBlock:
    """Keep some agents of a block of one market."""
    J, n = market.n_products, market.weights.size
    availability, product_draws = market.availability, market.product_draws
    if availability is not None:
        availability = availability.reshape(n, J)[agents].ravel()
    if product_draws is not None:
        S = len(product_draws)
        product_draws = product_draws.reshape(S, n, J)[:, agents].reshape(S, -1)
    weights = market.weights[agents]
    return replace(
        market,
        agent_offsets=np.array([0, weights.size]),
        draws=market.draws[agents],
        weights=weights,
        availability=availability,
        product_draws=product_draws,
        agent_types=None,
    )
