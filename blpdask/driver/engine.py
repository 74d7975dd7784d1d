"""The seam between estimators and machines: map a pass over blocks, add its records.

An estimator places its blocks once and then asks for sums; it does not know whether
they come from this thread, from a pool or from a cluster. An engine knows no economics:
a pass is any importable function

    pass_(block, state, anchor) -> (record, memory)

of a block, of the state that is sent to all blocks, and of what the block remembered at
a named earlier pass. Because the anchor is named by the estimator and not "whatever the
worker did last", a pass is a pure function of its arguments, and every engine gives the
same bits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

from .ordered_sum import ordered_sum

Answer = TypeVar("Answer")
Pass = Callable[[Any, Any, Any], tuple[Any, Any]]


class BlockMap(Protocol):
    """Calls a function of an index for 0..n-1 and returns the answers in that order."""

    def __call__(self, function: Callable[[int], Answer], n: int) -> list[Answer]:
        """Map ``function`` over ``range(n)``."""
        ...


class Engine(Protocol):
    """A way to work on blocks."""

    name: str

    def place(self, blocks: Sequence[Any]) -> Placement:
        """Put blocks where they are worked on, once."""
        ...


class Placement(Protocol):
    """Blocks where they are worked on, with what they remember of named passes."""

    def reduce(
        self,
        pass_: Pass,
        state: Any,
        *,
        anchor: str | None = None,
        keep: str | None = None,
    ) -> Any:
        """Run a pass over every block and add its records in block order.

        Parameters
        ----------
        pass_
            Function of (block, state, anchor memory) to (record, memory).
        state
            Sent to every block.
        anchor
            Name of the earlier pass whose memories are handed back, if any.
        keep
            Name under which this pass's memories are kept, if at all.
        """
        ...

    def recall(self, name: str) -> list[Any]:
        """Return the memories of a named pass in block order."""
        ...

    def remember(self, name: str, memories: Sequence[Any]) -> None:
        """Hand every block a memory under a name, as if a pass had left it."""
        ...

    def forget(self, *names: str) -> None:
        """Drop the memories of named passes; unknown names are no error."""
        ...

    def close(self) -> None:
        """Let go of what the placement holds."""
        ...


class LocalPlacement:
    """Blocks in this process; engines differ only in how they map over them."""

    def __init__(self, blocks: Sequence[Any], block_map: BlockMap) -> None:
        """Hold the blocks and no memories."""
        self._blocks = list(blocks)
        self._map = block_map
        self._memories: dict[str, list[Any]] = {}

    def reduce(
        self,
        pass_: Pass,
        state: Any,
        *,
        anchor: str | None = None,
        keep: str | None = None,
    ) -> Any:
        """Run a pass over every block and add its records in block order."""
        anchors = self._memories[anchor] if anchor else [None] * len(self._blocks)

        def run(index: int) -> tuple[Any, Any]:
            return pass_(self._blocks[index], state, anchors[index])

        answers = self._map(run, len(self._blocks))
        if keep is not None:
            self._memories[keep] = [memory for _, memory in answers]
        return ordered_sum([record for record, _ in answers])

    def recall(self, name: str) -> list[Any]:
        """Return the memories of a named pass in block order."""
        return list(self._memories[name])

    def remember(self, name: str, memories: Sequence[Any]) -> None:
        """Hand every block a memory under a name."""
        self._memories[name] = list(memories)

    def forget(self, *names: str) -> None:
        """Drop the memories of named passes."""
        for name in names:
            self._memories.pop(name, None)

    def close(self) -> None:
        """Drop blocks and memories."""
        self._blocks = []
        self._memories = {}
