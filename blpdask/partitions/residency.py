"""What a process keeps in memory of what is at rest, within a budget of bytes.

An evaluation visits every block once, in order, again and again. Under that pattern
dropping the least recently used block would drop each one just before it is asked for;
what fits is kept instead, and the rest is read again at every visit.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

Value = TypeVar("Value")

#: Bytes kept where nobody says otherwise.
DEFAULT_BUDGET = 4 * 2**30


class Residency:
    """Values by key, up to a budget; what does not fit is made anew when asked for.

    Examples
    --------
    >>> residency = Residency(budget=10)
    >>> residency.get("one", 6, lambda: "first"), residency.get("two", 6, lambda: "2nd")
    ('first', '2nd')
    >>> residency.held_bytes
    6
    """

    def __init__(self, budget: int = DEFAULT_BUDGET) -> None:
        """Keep nothing yet."""
        self.budget = budget
        self.held_bytes = 0
        self.read_bytes = 0
        self._values: dict[Hashable, tuple[int, Any]] = {}
        self._pinned: set[Hashable] = set()
        self._lock = threading.Lock()

    def get(self, key: Hashable, size: int, make: Callable[[], Value]) -> Value:
        """Give a value, made where it is not kept, and keep it where it fits.

        Parameters
        ----------
        key
            What the value is known by. The first entry of a tuple is its owner.
        size
            Its bytes, about.
        make
            Makes it.
        """
        with self._lock:
            if key in self._values:
                return self._values[key][1]  # type: ignore[no-any-return]
        value = make()
        with self._lock:
            self.read_bytes += size
            if key not in self._values:
                self._make_room(key, size)
                if self.held_bytes + size <= self.budget:
                    self._values[key] = (size, value)
                    self.held_bytes += size
        return value

    def peek(self, key: Hashable) -> Any:
        """Give a value that is kept, None where none is."""
        with self._lock:
            return self._values.get(key, (0, None))[1]

    def offer(self, key: Hashable, size: int, value: Any, *, always: bool) -> None:
        """Keep a value where there is room, or always; nothing makes room for it."""
        with self._lock:
            if key in self._values:
                self._remove(key)
            if always or self.held_bytes + size <= self.budget:
                self._values[key] = (size, value)
                self.held_bytes += size
            if always:
                self._pinned.add(key)

    def drop(self, unwanted: Callable[[Hashable], bool]) -> None:
        """Let go of everything whose owner is unwanted."""
        with self._lock:
            for key in [key for key in self._values if unwanted(owner_of(key))]:
                self._remove(key)

    def _make_room(self, key: Hashable, size: int) -> None:
        """Let go of other owners' values, oldest first, while there is no room.

        What is always to be kept stays.
        """
        for other in list(self._values):
            if self.held_bytes + size <= self.budget:
                return
            if owner_of(other) != owner_of(key) and other not in self._pinned:
                self._remove(other)

    def _remove(self, key: Hashable) -> None:
        size, _ = self._values.pop(key)
        self.held_bytes -= size
        self._pinned.discard(key)


def owner_of(key: Hashable) -> Hashable:
    """Give the owner of a key: its first entry, or itself."""
    return key[0] if isinstance(key, tuple) else key


#: The blocks that this process keeps; the one place where a process has such a memory.
RESIDENT = Residency()
