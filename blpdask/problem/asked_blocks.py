"""Blocks of a store that are asked a question, each with the rows that belong to it.

What is as long as the data, δ̂ and arguments of the question, is cut where a source for
some blocks is made, so that each worker gets the rows of its own blocks and no others.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..partitions.sealed import digest
from ..partitions.source import count_bytes
from ..records import Floats
from .demand_problem import DemandProblem
from .stored_economy import EconomyBlocks


@dataclass(frozen=True, slots=True, eq=False)
class BlockRows:
    """What of arrays as long as the data, or the markets, belongs to a block.

    Attributes
    ----------
    market_ids
        ``(T,)``.
    delta
        ``(N,)`` δ̂.
    arguments
        Rows of arguments of a question, by name.
    """

    market_ids: np.ndarray[Any, Any]
    delta: Floats
    arguments: dict[str, np.ndarray[Any, Any]]


@dataclass(frozen=True, slots=True, eq=False)
class AskedBlock:
    """A block that is asked a question: what an engine works on.

    Attributes
    ----------
    demand
        The block as a problem.
    first_market
        Place of its first market among all.
    rows
        What belongs to it.
    """

    demand: DemandProblem
    first_market: int
    rows: BlockRows


class AskedBlocks:
    """A block source of blocks that are asked a question.

    What is as long as the data is cut where a source for some blocks is made, so that
    each worker gets the rows of its own.
    """

    def __init__(
        self,
        economies: EconomyBlocks,
        blocks: Sequence[int],
        read: Callable[[slice, slice], BlockRows],
        *,
        name: Any,
    ) -> None:
        """Keep what blocks are made of.

        Parameters
        ----------
        economies
            Give problems.
        blocks
            Places of those that are asked, in the store.
        read
            Gives what belongs to markets and their rows.
        name
            Names the question among all about this store.
        """
        self._economies = economies
        self._blocks = tuple(blocks)
        self._read = read
        self._held: dict[int, BlockRows] | None = None
        self.name = digest((economies.name, self._blocks, name))

    @property
    def scratch(self) -> Path:
        """Where workers leave what they share, as long as this source is in use."""
        return self._economies.scratch

    def __len__(self) -> int:
        """Count the blocks."""
        return len(self._blocks)

    def load(self, index: int) -> AskedBlock:
        """Read a block."""
        block, rows = self._blocks[index], self._rows(index)
        return AskedBlock(
            demand=self._economies.economy(block, rows.market_ids),
            first_market=int(self._economies.market_edges[block]),
            rows=rows,
        )

    def size(self, index: int) -> int:
        """Estimate the bytes of a block."""
        block, rows = self._blocks[index], 0
        if self._held is not None:
            rows = count_bytes(self._held[index].delta)
        return self._economies.size(block) + rows

    def describe(self, index: int) -> str:
        """Name a block, with its markets."""
        return self._economies.describe(self._blocks[index])

    def only(self, indices: Iterable[int]) -> AskedBlocks:
        """Give the same source with the rows of these blocks alone."""
        other = copy.copy(self)
        other._held = {index: self._rows(index) for index in indices}
        del other._read
        return other

    def _rows(self, index: int) -> BlockRows:
        """Give what belongs to a block."""
        if self._held is not None:
            return self._held[index]
        block, economies = self._blocks[index], self._economies
        markets, rows = (
            slice(*places[block : block + 2].tolist())
            for places in (economies.market_edges, economies.row_offsets)
        )
        return self._read(markets, rows)
