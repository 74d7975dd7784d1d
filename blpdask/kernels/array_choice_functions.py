"""Functions of agents and choices, laid out for a batch of markets.

Factors of a block stay as they are; a batch knows the places of its agents and choices
among them, the outside option's where a product is padded.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import ModuleType

import numpy as np

from ..records import ChoiceFunctions, Integers, MarketBlock
from .array_batches import Array, Batch, to_host

#: Factors that are moved to the device.
_FACTORS = ("agents", "choices", "tables", "groups", "pairs", "triples")


@dataclass(frozen=True, slots=True)
class BatchFunctions:
    """Functions of a batch of markets.

    Attributes
    ----------
    functions
        Those of the block, factors on the device.
    people
        ``(B, I)`` places of agents among the block's.
    options
        ``(B, 1 + J)`` places of choices.
    cells
        ``(B, I, 1 + J)`` places in tables.
    choices
        ``(B, 1 + J)`` places of choices among their market's.
    pairs
        ``(B, 1 + J, 1 + J)`` places in pairs of choices.
    triples
        ``(B, I)`` where an agent's pairs of choices start.
    sizes
        ``(B,)`` 1 + J_t.
    """

    functions: ChoiceFunctions
    people: Array
    options: Array
    cells: Array
    choices: Array
    pairs: Array
    triples: Array
    sizes: Array

    def first(self, s: int, agents: slice) -> Array:
        """Compute what shape s has of first choices, ``(B, i or 1, 1 + J)``."""
        functions = self.functions
        return self._alone(functions.choice_terms[s], functions.table_terms[s], agents)

    def second(self, s: int, agents: slice) -> Array:
        """Compute what shape s has of second choices, ``(B, i or 1, 1 + J)``."""
        functions = self.functions
        terms = functions.second_choice_terms[s], functions.second_table_terms[s]
        return self._alone(*terms, agents)

    def row(self, s: int, j: int, agents: slice) -> Array:
        """Compute what shape s has of pairs of choices where j is the first.

        ``(B, i or 1, 1 + J)``, or one.
        """
        functions, found = self.functions, 1.0
        for term in functions.pair_terms[s]:
            if term >= 0:
                pairs = functions.pairs[int(term)]
                found = found * pairs[self.pairs[:, j]][:, None, :]
        for term in functions.triple_terms[s]:
            if term >= 0:
                starts = self.triples[:, agents, None]
                start = self.choices[:, j] * self.sizes
                places = starts + start[:, None, None] + self.choices[:, None, :]
                found = found * functions.triples[int(term)][places]
        return found

    def gone(self, s: int, j: int) -> Array:
        """Say which choices are removed with j, one or zero, ``(B, 1 + J)``."""
        groups = self.functions.groups[int(self.functions.removals[s])][self.options]
        return 1.0 * (groups == groups[:, j][:, None])

    def weigh(self, el: int, agents: slice, weights: Array) -> Array:
        """Multiply weights ``(B, i)`` by what function l has of agents."""
        for term in self.functions.agent_terms[el]:
            if term >= 0:
                own = self.functions.agents[int(term)][self.people[:, agents]]
                weights = weights * own
        return weights

    def _alone(
        self, choice_terms: Integers, table_terms: Integers, agents: slice
    ) -> Array:
        """Multiply factors of one choice."""
        functions, found = self.functions, 1.0 + 0.0 * self.options[:, None, :]
        for term in choice_terms:
            if term >= 0:
                found = found * functions.choices[int(term)][self.options][:, None, :]
        for term in table_terms:
            if term >= 0:
                found = found * functions.tables[int(term)][self.cells[:, agents]]
        return found


def move_functions(functions: ChoiceFunctions, xp: ModuleType) -> ChoiceFunctions:
    """Move factors to the device; what says which is whose stays."""
    moved = {name: xp.asarray(getattr(functions, name)) for name in _FACTORS}
    return replace(functions, **moved)


def of_batch(
    functions: ChoiceFunctions, block: MarketBlock, batch: Batch, xp: ModuleType
) -> BatchFunctions:
    """Find a batch's markets among the block's factors."""
    markets = to_host(batch.markets, xp)
    _, n_agents, n_products = batch.shape
    n, people = np.diff(block.product_offsets) + 1, np.diff(block.agent_offsets)
    choice, agent = np.arange(n_products + 1), np.arange(n_agents)
    own = n[markets][:, None]
    inside = np.where(choice < own, choice, 0)
    there = np.where(agent < people[markets][:, None], agent, 0)
    cells = _starts(n * people)[markets][:, None, None]
    cells = cells + there[..., None] * own[..., None] + inside[:, None, :]
    pairs = _starts(n**2)[markets][:, None, None]
    pairs = pairs + inside[..., None] * own[..., None] + inside[:, None, :]
    triples = _starts(n**2 * people)[markets][:, None] + there * own**2
    return BatchFunctions(
        functions,
        people=xp.asarray(block.agent_offsets[markets][:, None] + there),
        options=xp.asarray(
            (block.product_offsets[markets] + markets)[:, None] + inside
        ),
        cells=xp.asarray(cells),
        choices=xp.asarray(inside),
        pairs=xp.asarray(pairs),
        triples=xp.asarray(triples),
        sizes=xp.asarray(n[markets]),
    )


def _starts(sizes: Integers) -> Integers:
    """Say where each market's values start."""
    return np.asarray(np.cumsum(sizes) - sizes)
