"""Turn what a user calls an engine into an engine."""

from __future__ import annotations

import sys
from typing import Any

from ..errors import Faults
from .engine import Engine
from .serial import SerialEngine
from .threads import ThreadsEngine

NAMES = ("serial", "threads", "dask")


def choose_engine(engine: object = None, n_threads: int | None = None) -> Engine:
    """Choose an engine from a name, a Dask client, an address, or one ready made.

    Parameters
    ----------
    engine
        ``None``, the active Dask client if there is one, else threads of this process;
        ``"serial"``; ``"threads"``; ``"dask"``, the active Dask client; a
        ``distributed.Client``; the address of a scheduler, such as
        ``"tcp://host:8786"``; or an object with ``place``.
    n_threads
        Threads of the embedded engine, by default one a usable core.

    Raises
    ------
    InputError
        Where the name is unknown, or where there is no active client to be used.
    ClusterError
        Where a scheduler does not answer.
    """
    if engine is None and n_threads is None and (client := active_client()):
        return _dask_engine(client)
    if engine is None or engine == "threads":
        return ThreadsEngine(n_threads)
    if engine == "serial":
        return SerialEngine()
    if hasattr(engine, "place"):
        return engine  # type: ignore[return-value]
    if engine == "dask" and (client := active_client()):
        return _dask_engine(client)
    if isinstance(engine, str) and "://" in engine:
        return _dask_engine(_connected(engine))
    if hasattr(engine, "scheduler_info"):
        return _dask_engine(engine)
    faults = Faults("engine")
    if engine == "dask":
        faults.add(
            "engine='dask' without an active Dask client",
            "a distributed.Client in this process",
            "make one, say with blpdask.parallel(4), or pass the scheduler's address",
        )
    else:
        faults.add(
            f"engine={engine!r}",
            f"None, one of {', '.join(map(repr, NAMES))}, a distributed.Client, the "
            "address of a scheduler, or an engine object",
            "leave engine out to use threads of this process",
        )
    faults.check()
    raise AssertionError  # pragma: no cover


def active_client() -> Any:
    """Give this process's Dask client, None where there is none.

    Where nobody has imported ``distributed`` nobody has made a client.
    """
    if "distributed" not in sys.modules:
        return None
    from distributed import default_client

    try:
        client: Any = default_client()
    except ValueError:
        return None
    return client if client.status == "running" else None


def _dask_engine(client: Any) -> Engine:
    from .dask_engine import DaskEngine

    return DaskEngine(client)


def _connected(address: str) -> Any:
    """Connect to a scheduler, or use this process's client of it."""
    client = active_client()
    if client is not None and client.scheduler.address == address:
        return client
    from .clusters import connect

    return connect(address)
