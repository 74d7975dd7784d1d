"""Loops that always run as they were read from disk.

What Numba has just compiled and what it reads back from its cache can differ in last
bits: on Nevo's data, derivatives in a process that had compiled its loops differed from
those of every later process. Workers must have one another's bits, so a loop that is
not on disk yet is compiled by a process that does nothing else, and read from disk by
those that compute.

Numba compiles anew for each type of its arguments, and to it an array that may not be
written to, as a store's and Dask's may not, is of another type than one that may. What
a loop only reads is therefore handed over in one way: contiguous, aligned, read-only.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba as nb
import numpy as np

from ..status import InversionStatus
from .loop_compiler import loop

#: Flags of an array that say whether it is contiguous, aligned and may be written to
#: (NumPy's ``NPY_ARRAY_C_CONTIGUOUS``, ``_ALIGNED`` and ``_WRITEABLE``), and those of
#: one that is handed over as it is.
_TELLING, _TIDY = 0x0001 | 0x0100 | 0x0400, 0x0001 | 0x0100
_CHILD = "from blpdask.kernels.loop_kept import compile_and_leave; compile_and_leave()"


class KeptLoop:
    """A compiled function that is kept on disk and called as it lies there."""

    def __init__(self, function: Callable[..., Any], fills: int) -> None:
        """Have ``function`` compiled when it is first called, or read it from disk.

        It fills its last ``fills`` arguments and only reads the others.
        """
        self.compiled: Any = loop(cache=True)(function)
        self._fills = fills
        self._where = function.__module__, function.__qualname__.partition(".")[0]
        self._known: set[tuple[Any, ...]] = set()
        self._lock = threading.Lock()
        functools.update_wrapper(self, function)

    def __call__(self, *arguments: Any) -> Any:
        """Call the function."""
        read, filled = arguments[: -self._fills], arguments[-self._fills :]
        given = (*map(only_read, read), *filled)
        kind = tuple(map(_kind, given))
        if kind not in self._known:
            self._load(tuple(map(nb.typeof, given)))
            self._known.add(kind)
        return self.compiled(*given)

    @property
    def stats(self) -> Any:
        """Where it is kept, and how often it was found there."""
        return self.compiled.stats

    def _load(self, signature: tuple[Any, ...]) -> None:
        """Have the function for arguments of some types."""
        with self._lock:
            if signature in self.compiled.overloads:
                return
            cache, target = self.compiled._cache, self.compiled.targetctx
            if cache.load_overload(signature, target) is None:
                _compile_elsewhere(self._where, signature)
            self.compiled.compile(signature)


def _compile_elsewhere(where: tuple[str, str], signature: tuple[Any, ...]) -> None:
    """Have a process compile a loop and leave it on disk.

    Where that fails, for a machine may forbid it, this process will compile.
    """
    asked = pickle.dumps((*where, signature))
    subprocess.run(
        [sys.executable, "-c", _CHILD], input=asked, check=False, capture_output=True
    )


def compile_and_leave() -> None:
    """Compile the loop that standard input names: what the process that is asked does.

    A loop is an attribute of its module, or what a function of the sources' fingerprint
    makes.
    """
    name, attribute, signature = pickle.load(sys.stdin.buffer)
    module = importlib.import_module(name)
    found = getattr(module, attribute)
    if not isinstance(found, KeptLoop):
        found = found(fingerprint_of_loops())
    found.compiled.compile(signature)


@functools.cache
def fingerprint_of_loops() -> str:
    """Hash the sources of all loops and the codes that they write.

    What has changed is compiled again.

    Numba's cache on disk looks at the file of the outermost function only, and at the
    values it closes over: the hash is one of them.
    """
    digest = hashlib.sha256(repr(list(InversionStatus)).encode())
    for path in sorted(Path(__file__).parent.glob("loop_*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def only_read(argument: Any) -> Any:
    """View arrays as contiguous, aligned and read-only, in named tuples too.

    One that is not contiguous or aligned is copied; what is all this stays as it is.
    """
    if isinstance(argument, np.ndarray):
        flags = argument.flags
        if flags.num & _TELLING == _TIDY:
            return argument
        tidy = flags.c_contiguous and flags.aligned
        view = argument.view() if tidy else argument.copy("C")
        view.setflags(write=False)
        return view
    if isinstance(argument, tuple):
        return type(argument)(*map(only_read, argument))
    return argument


def _kind(argument: Any) -> Any:
    """Tell arguments of different compiled types apart, quickly."""
    if isinstance(argument, np.ndarray):
        return argument.dtype.char, argument.ndim, argument.flags.num
    if isinstance(argument, tuple):
        return type(argument), *map(_kind, argument)
    return type(argument)


def kept(*, fills: int) -> Callable[[Callable[..., Any]], KeptLoop]:
    """Decorate a loop that a process calls from Python.

    Parameters
    ----------
    fills
        How many of its arguments, the last ones, it fills; it only reads the others.
    """
    return functools.partial(KeptLoop, fills=fills)
