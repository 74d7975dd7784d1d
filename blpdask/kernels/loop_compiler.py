"""The one place for compiler switches.

Loops release the GIL, divide by zero as NumPy does, and are compiled when first called.
``reorder`` lets sums be reordered and fused so that loops vectorise, NaN and infinity
keeping their meaning, because a kernel reports them.

An integer written out in a call is a type of its own to the function that is called,
which is compiled anew for each: ``np.int64(10)`` is not.
"""

from __future__ import annotations

import functools

import numba as nb

_REORDER = {"contract", "reassoc", "nsz", "arcp"}

loop = functools.partial(nb.njit, nogil=True, error_model="numpy")
exact = loop()
#: Compiled as part of its one caller, not before it and then again with it.
inlined = loop(inline="always")
fused = loop(fastmath={"contract"})
reorder = loop(fastmath=_REORDER)
