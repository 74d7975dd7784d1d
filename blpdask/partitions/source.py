"""Where blocks come from: something that travels to a worker and loads blocks there.

A source is picklable and knows every block by its place. What it loads depends on its
name and the place alone, so that a block that was lost with its worker is the same
block when it is loaded again elsewhere.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np


class BlockSource(Protocol):
    """Blocks at rest."""

    @property
    def name(self) -> str:
        """A digest or other text: two sources of one name load the same blocks."""
        ...

    @property
    def scratch(self) -> Path | None:
        """A directory that all who load blocks share; None where blocks travel."""
        ...

    def __len__(self) -> int:
        """Count the blocks."""
        ...

    def load(self, index: int) -> Any:
        """Load one block."""
        ...

    def size(self, index: int) -> int:
        """Estimate the bytes of a loaded block."""
        ...

    def describe(self, index: int) -> str:
        """Name a block for people, with its markets."""
        ...

    def only(self, indices: Iterable[int]) -> BlockSource:
        """Give the same source with what is needed to load these blocks alone."""
        ...


class HeldBlocks:
    """Blocks in memory, which travel as they are.

    Examples
    --------
    >>> held = HeldBlocks(["to be", "or not"])
    >>> len(held), held.load(1), held.describe(1)
    (2, 'or not', 'block 1')
    """

    def __init__(
        self,
        blocks: Sequence[Any] | Mapping[int, Any],
        *,
        name: str = "",
        labels: Sequence[str] = (),
        n_blocks: int | None = None,
    ) -> None:
        """Hold blocks, by place where only some of ``n_blocks`` are held."""
        self._blocks = dict(
            blocks.items() if isinstance(blocks, Mapping) else enumerate(blocks)
        )
        self._labels = tuple(labels)
        self._n_blocks = len(self._blocks) if n_blocks is None else n_blocks
        self.name = name or f"held-{id(self._blocks):x}"
        self.scratch: Path | None = None

    def __len__(self) -> int:
        """Count the blocks of the whole, held here or not."""
        return self._n_blocks

    def load(self, index: int) -> Any:
        """Give a block."""
        return self._blocks[index]

    def size(self, index: int) -> int:
        """Add up the bytes of a block's arrays."""
        return count_bytes(self._blocks[index])

    def describe(self, index: int) -> str:
        """Name a block, by its label where it has one."""
        if not self._labels:
            return f"block {index}"
        return f"block {index} ({self._labels[index]})"

    def only(self, indices: Iterable[int]) -> HeldBlocks:
        """Hold these blocks alone."""
        return HeldBlocks(
            {index: self._blocks[index] for index in indices},
            name=self.name,
            labels=self._labels,
            n_blocks=self._n_blocks,
        )


def as_source(blocks: BlockSource | Sequence[Any]) -> BlockSource:
    """Take a source as it is, and hold a sequence of blocks."""
    if hasattr(blocks, "load"):
        return cast("BlockSource", blocks)
    return HeldBlocks(blocks)


def count_bytes(value: Any) -> int:
    """Add up the bytes of the arrays in a record, a sequence or an array."""
    if isinstance(value, np.ndarray):
        return value.nbytes
    if isinstance(value, bytes):
        return len(value)
    if dataclasses.is_dataclass(value):
        fields = dataclasses.fields(value)
        return sum(count_bytes(getattr(value, field.name)) for field in fields)
    if isinstance(value, tuple | list):
        return sum(map(count_bytes, value))
    return 0 if value is None else 8
