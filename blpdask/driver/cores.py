"""The one place where the threads of numerical libraries are fixed.

Blocks are the unit of parallelism. BLAS inside a block uses one thread: more would
fight with the engine's own threads and, splitting sums differently, change last bits.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache


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
    """Hold BLAS and OpenMP at one thread for the duration of a computation."""
    # A limit holds for libraries that are loaded: load the one that kernels will call.
    import scipy.linalg.cython_blas  # noqa: F401
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=1):
        yield
