"""The one place where the threads of numerical libraries are fixed.

Blocks are the unit of parallelism. BLAS inside a block uses one thread: more would
fight with the engine's own threads and, splitting sums differently, change last bits.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any


def hold_libraries_at_one_thread() -> None:
    """Hold BLAS and OpenMP at one thread for the life of a worker's process."""
    import scipy.linalg.cython_blas  # noqa: F401

    _hold_once()


@cache
def _hold_once() -> None:
    from threadpoolctl import threadpool_limits

    threadpool_limits(limits=1)


@contextmanager
def single_threaded_libraries() -> Iterator[None]:
    """Hold BLAS and OpenMP at one thread for the duration of a computation.

    Computations may overlap in several threads: libraries have their own number of
    threads again when the last one has ended.
    """
    _HOLD.enter()
    try:
        yield
    finally:
        _HOLD.leave()


class _Hold:
    """Limits libraries while anybody computes; libraries are the process's.

    threadpoolctl lets only the thread that set a limit change it, as long as that
    thread lives. So limits are set and lifted in threads that end at once.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._limits: Any = None

    def enter(self) -> None:
        """Set the limit for the first user."""
        # A limit holds for libraries that are loaded: load the one kernels will call.
        import scipy.linalg.cython_blas  # noqa: F401

        with self._lock:
            if self._users == 0:
                _in_a_thread(self._limit)
            self._users += 1

    def leave(self) -> None:
        """Lift the limit after the last user."""
        with self._lock:
            self._users -= 1
            if self._users == 0:
                _in_a_thread(self._limits.restore_original_limits)
                self._limits = None

    def _limit(self) -> None:
        from threadpoolctl import threadpool_limits

        self._limits = threadpool_limits(limits=1)


def _in_a_thread(function: Callable[[], None]) -> None:
    """Call a function in a thread of its own and wait for its end."""
    thread = threading.Thread(target=function)
    thread.start()
    thread.join()


_HOLD = _Hold()
