"""Whose diversion does an experiment measure? Weights of agents, market by market.

Equations are those of :mod:`blpdask.model.intervention_weights`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ..model.agent_types import weigh_types
from ..model.intervention_weights import Experiment, intervention_weights
from ..model.responses import RespondingMarkets
from ..records import JOINED, Floats, Tastes
from .economy import Economy


@dataclass(frozen=True, slots=True)
class WeightState:
    """θ, the experiment, and how many columns of agents there are."""

    tastes: Tastes
    experiment: Experiment
    width: int


@dataclass(frozen=True, slots=True, eq=False)
class AgentWeights:
    """Weights of agents of blocks, ``(N, max I)``, NaN beyond a market's."""

    values: Floats = field(metadata=JOINED)


def diversion_weights(
    economy: Economy, experiment: Experiment, variable: str | None
) -> Floats:
    """Compute weights of agents in each product's diversion, ``(n, max I)``.

    Parameters
    ----------
    economy
        At its parameters.
    experiment
        What is done to a product, and to whom.
    variable
        What is moved a little, δ where None; of no matter in other experiments.
    """
    blocks = economy.blocks(economy.at(variable))
    width = int(economy.agent_counts.max())
    state = WeightState(economy.tastes, experiment, width)
    found: AgentWeights = economy.reduce(blocks, weights_pass, state)
    return found.values


def weights_pass(
    block: RespondingMarkets, state: WeightState, memory: None
) -> tuple[AgentWeights, None]:
    """Weigh a block's agents: what an engine maps over blocks."""
    del memory
    markets = weigh_types(block.markets, state.tastes)
    own = intervention_weights(markets, state.tastes, block.trial, state.experiment)
    found = np.full((markets.n_products, state.width), np.nan)
    found[:, : own.shape[1]] = own
    return AgentWeights(found), None
