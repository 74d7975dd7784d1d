"""What surveys ask of blocks in a store: functions evaluated where a block is loaded.

The source of surveyed blocks carries the functions beside the recipe of the blocks, so
that what it loads has what surveys ask of it, the same bits wherever that is. Nothing
as long as the data comes to the driver: one pass over all blocks brings what it must
know (:mod:`.survey_inspection`). A process keeps what it has evaluated with the block
while there is room; where there is none, functions are called again. What is kept is
one source's own: a function may read what has changed since another source called it.
"""

from __future__ import annotations

import copy
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..errors import Faults
from ..partitions.block_store import BlockStore
from ..partitions.residency import RESIDENT
from ..partitions.scratch import Scratch
from ..partitions.sealed import digest
from ..partitions.source import count_bytes
from ..records import Integers, MarketBlock
from .stored_blocks import BlockRecipe, Columns, StoredBlocks, StoredRows
from .stored_survey_tables import (
    AgentFields,
    block_markets,
    id_columns,
    product_fields,
    product_matrices,
    read_ids,
)
from .survey_arrays import Evaluator
from .survey_block import SurveyedBlock, SurveyQuestions, survey_block
from .survey_findings import (
    SurveyFindings,
    findings_of,
    raise_from,
    survey_bytes,
    trace_of,
)
from .survey_market import SurveyedMarket
from .surveys import check_formulas


@dataclass(frozen=True, slots=True, eq=False)
class StoredSurveys:
    """What is asked of the blocks of a store, and of which agents.

    Attributes
    ----------
    questions
        What is asked.
    agents
        What agents are made of.
    """

    questions: SurveyQuestions
    agents: AgentFields


class SurveyedBlocks(StoredBlocks):
    """A block source that reads a store and evaluates the functions of surveys."""

    def __init__(
        self,
        store: BlockStore,
        recipe: BlockRecipe,
        scratch: Scratch,
        surveys: StoredSurveys,
    ) -> None:
        """Keep what travels, the functions too.

        Parameters
        ----------
        store, recipe, scratch
            As in :class:`.stored_blocks.StoredBlocks`.
        surveys
            What is asked.
        """
        super().__init__(store, recipe, scratch)
        self._surveys = surveys
        self._plain_owner = self._owner
        self.name = digest((self.name, surveys))
        self._owner = f"{self.name} {uuid.uuid4().hex}"

    @property
    def questions(self) -> SurveyQuestions:
        """What is asked."""
        return self._surveys.questions

    def load(self, index: int) -> MarketBlock:
        """Give a block, read and asked where this process does not hold it.

        Raises
        ------
        StoreError
            Where the store is not what it was, or values are not finite.
        InputError
            With every fault of the functions on this block.
        """
        held: MarketBlock | None = RESIDENT.peek((self._owner, index))
        if held is not None:
            return held
        surveyed, evaluator = self._ask(index)
        raise_from(evaluator.faults, [trace_of(evaluator)])
        assert surveyed is not None
        return self._hold(index, surveyed.block)

    def inspect(self, index: int) -> SurveyFindings:
        """Ask a block, and say what the functions were found to be there."""
        surveyed, evaluator = self._ask(index)
        if surveyed is not None and not evaluator.failed:
            self._hold(index, surveyed.block)
        return findings_of(self.questions, surveyed, evaluator)

    def sized(self, sizes: Integers) -> SurveyedBlocks:
        """Give the same source, which knows what surveys add to the bytes of blocks."""
        other = copy.copy(self)
        for name in ("_reading", "_travelling"):
            other.__dict__.pop(name, None)
        both = zip(self._bytes, sizes.tolist(), strict=True)
        other._bytes = tuple(own + added for own, added in both)
        return other

    def _hold(self, index: int, block: MarketBlock) -> MarketBlock:
        """Keep a block where there is room, now that its size is known."""
        assert block.surveys is not None
        size = count_bytes(replace(block, surveys=None)) + survey_bytes(block.surveys)
        return RESIDENT.get((self._owner, index), size, lambda: block)

    def _ask(self, index: int) -> tuple[SurveyedBlock | None, Evaluator]:
        """Read a block and evaluate what is asked of it; None where names are wrong."""
        store = self._open()
        names = self._product_names.union(id_columns(store.description.products))
        columns = store.read("products", index, sorted(names))
        held: MarketBlock | None = RESIDENT.peek((self._plain_owner, index))
        block = held or self._block(store, columns, index)
        # What is held of linear rows is this source's.
        block = replace(block, linear=StoredRows(self._reading, index))
        own = self._markets(store, block, columns)
        evaluator = Evaluator(Faults("micro_moments"), self.questions.limits)
        check_formulas(self.questions, own[0], evaluator)
        if evaluator.failed:
            return None, evaluator
        return survey_block(block, own, self.questions, evaluator), evaluator

    def _markets(
        self, store: BlockStore, block: MarketBlock, columns: Columns
    ) -> list[SurveyedMarket]:
        """Give the tables of a block's markets."""
        recipe, index = self.recipe, block.index
        market_ids = self._shared(
            "market_ids", lambda: store.market_ids().astype(object)
        )[block.first_market :][: block.n_markets]

        def decode(table: str, name: str, values: Any) -> np.ndarray[Any, Any]:
            column = store.description.column(table, name)
            if column is None or column.kind != "text":
                return np.asarray(values)
            levels = self._shared(
                f"levels of {table}.{name}",
                lambda: _with_missing(store.levels(table, name)),
            )
            return np.asarray(levels[values])

        agent_ids = None
        if store.description.column("agents", "agent_ids") and recipe.nodes is None:
            stored = store.read("agents", index, ["agent_ids"])["agent_ids"]
            agent_ids = decode("agents", "agent_ids", stored)
        X1, Z = self._linear_matrices(columns, index)
        X2 = self._design(recipe.random, columns, "X2", index)
        X3 = None
        if recipe.supply is not None:
            X3 = self._design(recipe.supply.formula, columns, "X3", index).values
        products = product_fields(
            read_ids(columns, market_ids, block, decode),
            columns,
            recipe,
            product_matrices(recipe, columns, block, X1.values, Z, X2.values, X3),
        )
        return block_markets(
            block, market_ids, products, self._surveys.agents, agent_ids
        )

    def _shared(
        self, name: str, make: Callable[[], np.ndarray[Any, Any]]
    ) -> np.ndarray[Any, Any]:
        """Give objects that tables of all blocks need, kept where there is room."""
        key = self._owner, name
        held: np.ndarray[Any, Any] | None = RESIDENT.peek(key)
        if held is not None:
            return held
        made = make()
        return RESIDENT.get(key, 64 * made.size, lambda: made)


def _with_missing(levels: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Add what missing values, of the code -1, are."""
    found = np.empty(len(levels) + 1, object)
    found[:-1] = levels
    return found
