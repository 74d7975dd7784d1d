"""When what blocks remember is kept at rest: now and then, and at little cost."""

from __future__ import annotations

import time
from typing import Any

from ..partitions.checkpoints import Checkpoints
from .engine import Placement

#: Checkpoints are apart by so many times what the last one took.
SHARE = 20.0


class Schedule:
    """When memories are kept at rest: now and then, at little cost."""

    def __init__(self, checkpoints: Checkpoints, seconds: float) -> None:
        """Keep memories no more often than every ``seconds``."""
        self._checkpoints = checkpoints
        self._seconds = seconds
        self._due: float | None = None

    def start(self) -> None:
        """Start the clock, once."""
        if self._due is None:
            self._due = time.monotonic() + self._seconds

    def keep(self, key: str, placement: Placement, name: str) -> None:
        """Keep the memories of a name where it is time to."""
        began = time.monotonic()
        if self._due is None or began < self._due or self._checkpoints.has(key):
            return
        memories = placement.collect(memory_pass, None, anchor=name)
        written = self._checkpoints.write(key, memories)
        now = time.monotonic()
        self._due = now + max(self._seconds, SHARE * (now - began))
        if not written:
            self._due = float("inf")

    def read(self, key: str, n_blocks: int) -> list[Any] | None:
        """Read the memories of a computation where they are kept."""
        if not self._checkpoints.has(key):
            return None
        return self._checkpoints.read(key, n_blocks)


def memory_pass(block: Any, state: Any, anchor: Any) -> tuple[Any, None]:
    """Give what a block remembers as its record."""
    del block, state
    return anchor, None
