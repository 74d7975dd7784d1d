"""The one place where the threads of numerical libraries are fixed.

Blocks are the unit of parallelism. BLAS inside a block uses one thread: more would
fight with the engine's own threads and, splitting sums differently, change last bits.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any


@cache
def hold_libraries_at_one_thread() -> None:
    """Hold BLAS and OpenMP at one thread for the life of a worker's process."""
    _HOLD.enter()


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
    """Limits libraries while anybody computes; libraries are the process's."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._limits: Any = None

    def enter(self) -> None:
        """Set the limit for the first user."""
        # A limit holds for libraries that are loaded: load the one kernels will call.
        import scipy.linalg.cython_blas  # noqa: F401
        from threadpoolctl import threadpool_limits

        with self._lock:
            if self._users == 0:
                _let_this_thread_set_limits()
                self._limits = threadpool_limits(limits=1)
            self._users += 1

    def leave(self) -> None:
        """Lift the limit after the last user."""
        with self._lock:
            self._users -= 1
            if self._users == 0:
                _let_this_thread_set_limits()
                self._limits.restore_original_limits()
                self._limits = None
                _let_this_thread_set_limits()


def _let_this_thread_set_limits() -> None:
    """Let threadpoolctl forget which thread has set a limit.

    Version 3.8 passes over in silence what other threads ask for as long as that one
    lives. Here users are counted, in whichever threads they are.
    """
    import threadpoolctl

    controller: Any = getattr(threadpoolctl, "OpenBLASController", None)
    if hasattr(controller, "clear_controlling_thread"):
        controller.clear_controlling_thread(force=True)


_HOLD = _Hold()
