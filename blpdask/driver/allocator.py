"""What becomes of freed memory: kept by a worker, given back by a driver.

Dask's nanny tells the C library to give freed memory back at once, from 64 KiB on, and
with that to map every larger array anew. A kernel asks for the same scratch memory at
every evaluation: measured on an evaluation of 400 markets of 10,000 agents, mapping it
page by page costs a third of a worker's time.

A driver handles data of blocks now and then, and never the same arrays again. By itself
the C library would keep the heap that they were in: half as much again as the driver
needs, where a store has ten million products.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache

#: Arrays up to this size come from the heap, and so much of its end is kept, in bytes.
HEAP_ARRAY_BYTES, KEPT_BYTES = 32 * 2**20, 64 * 2**20
#: Arrays from this size on are mapped, where freed memory is given back, in bytes.
MAPPED_BYTES = 64 * 2**10
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


def keep_freed_memory() -> bool:
    """Keep the heap; False where the C library is not glibc."""
    return _set_thresholds(HEAP_ARRAY_BYTES, KEPT_BYTES)


def give_freed_memory_back() -> bool:
    """Give back what is free, and what will be; False where it is not glibc."""
    set_ = _set_thresholds(MAPPED_BYTES, MAPPED_BYTES)
    return set_ and _function("malloc_trim")(0) >= 0


@contextmanager
def freed_memory_given_back() -> Iterator[None]:
    """Give freed memory back for the length of a block, whichever way it ends."""
    give_freed_memory_back()
    try:
        yield
    finally:
        keep_freed_memory()


def _set_thresholds(mapped: int, kept: int) -> bool:
    """Set sizes from which arrays are mapped, and up to which free memory is kept."""
    mallopt = _function("mallopt")
    done = mallopt(_M_MMAP_THRESHOLD, mapped), mallopt(_M_TRIM_THRESHOLD, kept)
    return all(done)


@cache
def _function(name: str) -> Callable[..., int]:
    """Find a function of glibc; where the C library is another, one that gives zero."""
    try:
        found: Callable[..., int] = getattr(ctypes.CDLL(None), name)
    except (AttributeError, OSError, TypeError):
        return lambda *arguments: 0
    return found
