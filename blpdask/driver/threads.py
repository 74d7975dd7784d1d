"""The embedded engine: threads of this process share the blocks.

Kernels release the GIL, so threads really run side by side. Each thread takes the next
block that nobody has taken, which balances blocks of unequal cost; the answers are put
in block order, so that who computed what does not matter.
"""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

from ..partitions.source import BlockSource, as_source
from .engine import Answer, LocalPlacement
from .serial import map_serially


class ThreadsEngine:
    """Work on blocks in threads of this process."""

    name = "threads"

    def __init__(self, n_threads: int | None = None) -> None:
        """Use ``n_threads`` threads, by default one a usable core."""
        self.n_threads = n_threads or usable_cores()

    def place(self, blocks: BlockSource | Sequence[Any]) -> ThreadsPlacement:
        """Hold the blocks in this process, with as many threads as can be busy."""
        blocks = as_source(blocks)
        return ThreadsPlacement(blocks, max(1, min(self.n_threads, len(blocks))))


class ThreadsPlacement(LocalPlacement):
    """Blocks in this process, shared by the threads of a pool."""

    def __init__(self, blocks: BlockSource | Sequence[Any], n_threads: int) -> None:
        """Start a pool where more than one thread is wanted."""
        self._threads = n_threads
        self._pool = ThreadPoolExecutor(n_threads) if n_threads > 1 else None
        super().__init__(blocks, self._map_in_threads)

    def _map_in_threads(
        self, function: Callable[[int], Answer], n: int
    ) -> list[Answer]:
        """Call a function for 0..n-1, each thread taking the next index."""
        if self._pool is None:
            return map_serially(function, n)
        answers: list[Answer | None] = [None] * n
        counter = itertools.count()
        stop = threading.Event()

        def work() -> None:
            while not stop.is_set() and (index := next(counter)) < n:
                answers[index] = function(index)

        futures = [self._pool.submit(work) for _ in range(self._threads)]
        try:
            for future in futures:
                future.result()
        finally:
            # After a failure or Ctrl-C, threads finish their block and take no other.
            stop.set()
        return cast("list[Answer]", answers)

    def close(self) -> None:
        """Stop the threads and drop the blocks."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
        super().close()


def usable_cores() -> int:
    """Count the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
