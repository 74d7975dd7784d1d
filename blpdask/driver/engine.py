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

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, TypeVar

from ..partitions.source import BlockSource, as_source
from ..progress import Listener, silent
from .block_counter import BlockCounter
from .ordered_sum import ordered_sum

Answer = TypeVar("Answer")
Pass = Callable[[Any, Any, Any], tuple[Any, Any]]
Task = Callable[[BlockSource, Any, int], Any]


class BlockMap(Protocol):
    """Calls a function of an index for 0..n-1 and returns the answers in that order."""

    def __call__(self, function: Callable[[int], Answer], n: int) -> list[Answer]:
        """Map ``function`` over ``range(n)``."""
        ...


class Engine(Protocol):
    """A way to work on blocks."""

    name: str

    def place(self, blocks: BlockSource | Sequence[Any]) -> Placement:
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

        Raises
        ------
        KeyError
            Where no pass of the anchor's name is remembered.
        """
        ...

    def collect(
        self, pass_: Pass, state: Any, *, anchor: str | None = None
    ) -> Iterator[Any]:
        """Run a pass over every block and give its records one by one, in block order.

        No more than a few blocks' records are held at a time.
        """
        ...

    def replicate(
        self, task: Task, state: Any, items: Sequence[int]
    ) -> Iterator[tuple[int, Any]]:
        """Run a task over all blocks once an item, whole, on one worker each.

        Items come back with their records in the order in which they are ready; no
        more than a few are under way at a time.

        Parameters
        ----------
        task
            Function of (source, state, item) to a record. It loads the blocks itself,
            in block order.
        state
            Sent with every item.
        items
            Numbers of the replicates.
        """
        ...

    def remember(self, name: str, memories: Sequence[Any]) -> None:
        """Hand every block a memory under a name, as if a pass had left it."""
        ...

    def listen(self, listener: Listener) -> None:
        """Tell a listener from now on how far long passes have come."""
        ...

    def warm(self, function: Callable[[], None]) -> None:
        """Run a function once in every other process, and wait for none of them."""
        ...

    def forget(self, *names: str) -> None:
        """Drop the memories of named passes; unknown names are no error."""
        ...

    def close(self) -> None:
        """Let go of what the placement holds."""
        ...


class LocalPlacement:
    """Blocks in this process; engines differ only in how they map over them."""

    #: How many things are worked on side by side; engines with threads say so.
    _threads = 1

    def __init__(
        self, blocks: BlockSource | Sequence[Any], block_map: BlockMap
    ) -> None:
        """Hold the source of the blocks and no memories."""
        self._source = as_source(blocks)
        self._map = block_map
        self._listener: Listener = silent
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
        anchors = self._anchors(anchor)
        counter = BlockCounter(len(self._source), self._listener)

        def run(index: int) -> tuple[Any, Any]:
            record, memory = pass_(self._source.load(index), state, anchors[index])
            counter.add(1)
            return record, memory if keep is not None else None

        answers = self._map(run, len(self._source))
        if keep is not None:
            self._memories[keep] = [memory for _, memory in answers]
        return ordered_sum([record for record, _ in answers])

    def collect(
        self, pass_: Pass, state: Any, *, anchor: str | None = None
    ) -> Iterator[Any]:
        """Run a pass over every block and give its records one by one."""
        anchors = self._anchors(anchor)
        for index in range(len(self._source)):
            yield pass_(self._source.load(index), state, anchors[index])[0]

    def replicate(
        self, task: Task, state: Any, items: Sequence[int]
    ) -> Iterator[tuple[int, Any]]:
        """Run a task over all blocks once an item, as many at once as are threads."""
        left = iter(items)
        while batch := list(itertools.islice(left, self._threads)):

            def run(place: int, batch: list[int] = batch) -> Any:
                return task(self._source, state, batch[place])

            yield from zip(batch, self._map(run, len(batch)), strict=True)

    def remember(self, name: str, memories: Sequence[Any]) -> None:
        """Hand every block a memory under a name."""
        self._memories[name] = list(memories)

    def listen(self, listener: Listener) -> None:
        """Tell a listener how far long passes have come."""
        self._listener = listener

    def warm(self, function: Callable[[], None]) -> None:
        """Do nothing: there is no other process."""
        del function

    def forget(self, *names: str) -> None:
        """Drop the memories of named passes."""
        for name in names:
            self._memories.pop(name, None)

    def close(self) -> None:
        """Drop blocks and memories."""
        self._memories = {}

    def _anchors(self, name: str | None) -> Sequence[Any]:
        """Give what the blocks remember of a named pass, nothing where none is."""
        return self._memories[name] if name else [None] * len(self._source)
