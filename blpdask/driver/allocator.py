"""Keep freed memory in a worker's process, for the next evaluation needs it again.

Dask's nanny tells the C library to give freed memory back at once, from 64 KiB on, and
with that to map every larger array anew. A kernel asks for the same scratch memory at
every evaluation: measured on an evaluation of 400 markets of 10,000 agents, mapping it
page by page costs a third of a worker's time.
"""

from __future__ import annotations

import ctypes
from functools import cache

#: Arrays up to this size come from the heap, and so much of its end is kept, in bytes.
HEAP_ARRAY_BYTES, KEPT_BYTES = 32 * 2**20, 64 * 2**20
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


@cache
def keep_freed_memory() -> bool:
    """Set glibc's thresholds, once a process; False where the C library is another."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    mapped = mallopt(_M_MMAP_THRESHOLD, HEAP_ARRAY_BYTES)
    kept = mallopt(_M_TRIM_THRESHOLD, KEPT_BYTES)
    return bool(mapped and kept)
