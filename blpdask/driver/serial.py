"""The reference engine: one block after another in this thread."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..partitions.source import BlockSource
from .engine import Answer, LocalPlacement


class SerialEngine:
    """Work on blocks one after another.

    Examples
    --------
    >>> import dataclasses
    >>> @dataclasses.dataclass
    ... class Count:
    ...     words: int
    >>> placement = SerialEngine().place(["to be", "or not"])
    >>> placement.reduce(lambda block, state, anchor: (Count(len(block)), None), None)
    Count(words=11)
    """

    name = "serial"

    def place(self, blocks: BlockSource | Sequence[Any]) -> LocalPlacement:
        """Hold the blocks in this process."""
        return LocalPlacement(blocks, map_serially)


def map_serially(function: Callable[[int], Answer], n: int) -> list[Answer]:
    """Call a function for 0..n-1, one after another."""
    return [function(index) for index in range(n)]
