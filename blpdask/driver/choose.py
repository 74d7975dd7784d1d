"""Turn what a user calls an engine into an engine."""

from __future__ import annotations

from ..errors import Faults
from .engine import Engine
from .serial import SerialEngine
from .threads import ThreadsEngine

NAMES = ("serial", "threads")


def choose_engine(engine: object = None, n_threads: int | None = None) -> Engine:
    """Choose an engine: ``None`` and ``"threads"``, ``"serial"``, or one ready made.

    Parameters
    ----------
    engine
        A name, an object with ``place``, or None for threads of this process.
    n_threads
        Threads of the embedded engine, by default one a usable core.

    Raises
    ------
    InputError
        Where the name is unknown.
    """
    if engine is None or engine == "threads":
        return ThreadsEngine(n_threads)
    if engine == "serial":
        return SerialEngine()
    if hasattr(engine, "place"):
        return engine  # type: ignore[return-value]
    faults = Faults("engine")
    faults.add(
        f"engine={engine!r}",
        f"None, one of {', '.join(map(repr, NAMES))}, or an engine object",
        "leave engine out to use threads of this process",
    )
    faults.check()
    raise AssertionError  # pragma: no cover
