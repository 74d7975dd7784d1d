"""Agents of a market by parts, so that functions of many choices stay small.

Functions of surveys see all agents of a market, or one part of them after the other.
What they give is the same; what they need at once is less.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np

from ..records import Floats, MarketBlock
from .survey_arrays import SurveyDataset, SurveyLimits, SurveyPart
from .survey_expressions import ChoiceExpression
from .survey_market import SurveyedMarket

#: Bytes of one array of a formula, beyond which agents are cut.
_FORMULA_BYTES = 32 * 2**20


@dataclass(frozen=True, slots=True, eq=False)
class MarketPiece:
    """Some agents of a market.

    Attributes
    ----------
    place
        Of the market in the block.
    agents
        Which agents of the block.
    market
        Their tables.
    """

    place: int
    agents: slice
    market: SurveyedMarket


def cut_markets(
    block: MarketBlock,
    markets: Sequence[SurveyedMarket],
    limits: SurveyLimits,
    dataset: SurveyDataset,
    parts: Iterable[SurveyPart],
) -> list[MarketPiece]:
    """Cut the agents of markets into parts, as even as may be.

    Parameters
    ----------
    block, markets
        The block and its markets' tables.
    limits
        Says into how many.
    dataset, parts
        What is evaluated; formulas of second choices are cut further where need be.
    """
    functions = [dataset.weights, *[part.values for part in parts]]
    formulas = [f for f in functions if isinstance(f, ChoiceExpression)]
    free = len(formulas) == len(functions) and formulas[0].of_second
    pieces = []
    for t, market in enumerate(markets):
        n = limits.chunks_of(market.market_id)
        if free:
            size = 8 * market.n_agents * (1 + market.n_products) ** 2
            n = max(n, -(-size // _FORMULA_BYTES))
        first = int(block.agent_offsets[t])
        for own in _even(market.n_agents, n):
            agents = market.agents[own]
            part = market if n == 1 else replace(market, agents=cast("Any", agents))
            pieces.append(
                MarketPiece(t, slice(first + own.start, first + own.stop), part)
            )
    return pieces


class Evaluated:
    """Arrays that are evaluated when their turn comes, the first few to see what."""

    def __init__(self, arrays: Iterator[Floats | None]) -> None:
        """Evaluate up to the first array that is there."""
        self._rest = arrays
        self._head: list[Floats | None] = []
        self.n_axes = 0
        for array in arrays:
            self._head.append(array)
            if array is not None:
                self.n_axes = array.ndim
                break

    def __iter__(self) -> Iterator[Floats | None]:
        """Give all of them, once."""
        while self._head:
            yield self._head.pop(0)
        yield from self._rest


def _even(n: int, parts: int) -> Iterator[slice]:
    """Cut n agents into parts, leaving out those of nobody."""
    sizes = np.full(parts, n // parts)
    sizes[: n % parts] += 1
    ends = np.cumsum(sizes).tolist()
    for size, end in zip(sizes.tolist(), ends, strict=True):
        if size:
            yield slice(end - size, end)
