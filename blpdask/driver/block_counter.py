"""How far a long pass has come, told now and then."""

from __future__ import annotations

import threading
import time

from ..progress import BlocksEvent, Listener

#: Seconds before the first report of a pass, and between two of them.
REPORT_SECONDS = 1.0


class BlockCounter:
    """Counts blocks that are done and tells a listener, about once a second.

    Examples
    --------
    >>> counter = BlockCounter(4, print, every=0.0)
    >>> counter.add(3)  # doctest: +ELLIPSIS
    BlocksEvent(done=3, total=4, seconds=...)
    """

    def __init__(
        self, total: int, listener: Listener, *, every: float = REPORT_SECONDS
    ) -> None:
        """Begin to count ``total`` blocks."""
        self._total = total
        self._listener = listener
        self._every = every
        self._done = 0
        self._began = self._last = time.monotonic()
        self._lock = threading.Lock()

    def add(self, blocks: int) -> None:
        """Count blocks as done."""
        self.count(blocks)
        self.tell()

    def count(self, blocks: int) -> None:
        """Count blocks as done, and tell nobody yet."""
        with self._lock:
            self._done += blocks

    def tell(self) -> None:
        """Tell the listener, unless it was told a moment ago."""
        now = time.monotonic()
        with self._lock:
            if now - self._last < self._every:
                return
            self._last = now
            done = min(self._done, self._total)
        self._listener(BlocksEvent(done, self._total, now - self._began))
