"""Dask clusters: one of this machine's own, or a way to one that is there.

Workers are processes of their own, started from the command line as they would be on
another machine: a script needs no ``if __name__ == "__main__"``, and a worker that is
killed is started again by its nanny. Everything listens on loopback only. Workers leave
when their scheduler, which lives in this process, is gone.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import Faults
from .faults import ClusterError
from .orphans import PARENT

#: Seconds of silence after which the scheduler itself gives a worker up.
WORKER_TTL = "30s"
#: Workers that may die under a task before the scheduler gives the task up.
ALLOWED_FAILURES = 3
#: How long after a death Dask ends the worker's nanny where the worker is not there:
#: never, for it may be slow to start, or have died once more just then.
LOST_WORKER_TIMEOUT = "1000 days"
#: Between two looks of Dask's processes at themselves; by default they look so often
#: that it takes three per cent of two cores.
LOOK_INTERVAL = "2s"
#: Seconds between two looks at a nanny, which is started again where it has ended.
NANNY_SECONDS = 1.0
#: Settings of Dask that hold while a cluster of this machine's own is there.
SETTINGS = {
    "distributed.scheduler.worker-ttl": WORKER_TTL,
    "distributed.scheduler.allowed-failures": ALLOWED_FAILURES,
    "distributed.deploy.lost-worker-timeout": LOST_WORKER_TIMEOUT,
    "distributed.admin.tick.interval": LOOK_INTERVAL,
    "distributed.admin.system-monitor.interval": LOOK_INTERVAL,
}
#: Seconds to wait for a cluster's scheduler.
CONNECT_SECONDS = 20
#: Extra memory a worker may claim, as a share of the machine's.
MEMORY_SHARE = 0.8


@contextmanager
def local_client(
    n_workers: int,
    *,
    threads_per_worker: int = 1,
    memory_limit: int | str | None = None,
    profile: bool = False,
) -> Iterator[Any]:
    """Start a cluster of this machine and give its client, for the length of a block.

    Parameters
    ----------
    n_workers
        Number of worker processes.
    threads_per_worker
        Threads of each.
    memory_limit
        Of each, in bytes or as "2GiB"; by default an equal part of most of the
        machine's memory.
    profile
        Whether workers sample what they do, a hundred times a second, for Dask's
        performance reports.

    Raises
    ------
    ClusterError
        Where the workers do not come.
    """
    import dask
    from distributed import Client

    _keep_quiet_when_interrupted()
    with dask.config.set(SETTINGS):
        cluster = _start_cluster(n_workers, threads_per_worker, memory_limit, profile)
        try:
            with Client(cluster, set_as_default=True) as client:
                try:
                    client.wait_for_workers(n_workers, timeout=60)
                except TimeoutError:
                    there = len(client.scheduler_info(n_workers=-1)["workers"])
                    raise ClusterError(
                        f"found: {there} of {n_workers} workers after a minute\n"
                        "  expected: all of them\n  what to do: start fewer, or look "
                        "at what they print"
                    ) from None
                yield client
        finally:
            cluster.close(timeout=10)


def _start_cluster(
    n_workers: int,
    threads_per_worker: int,
    memory_limit: int | str | None,
    profile: bool,
) -> Any:
    """Start a scheduler in this process and workers in processes of their own."""
    from distributed import Scheduler
    from distributed.deploy.spec import SpecCluster

    if memory_limit is None:
        memory_limit = _equal_part(n_workers)
    worker = {
        "cls": _worker_class(),
        "options": {
            "options": {
                "nthreads": threads_per_worker,
                "memory_limit": memory_limit,
                "dashboard_address": "127.0.0.1:0",
                "dashboard": False,
                "host": "127.0.0.1",
                "preload_nanny": ["blpdask.driver.orphans"],
                "config": {**SETTINGS, "distributed.worker.profile.enabled": profile},
            }
        },
    }
    return SpecCluster(
        workers=dict.fromkeys(range(n_workers), worker),
        worker=worker,
        scheduler={
            "cls": Scheduler,
            "options": {
                "host": "127.0.0.1",
                "port": 0,
                "dashboard": False,
                "dashboard_address": "127.0.0.1:0",
            },
        },
        name="blpdask",
        silence_logs=40,
    )


def connect(address: str | None = None, scheduler_file: str | None = None) -> Any:
    """Connect to a scheduler by its address or its file, and give the client.

    Raises
    ------
    ClusterError
        Where it does not answer.
    """
    from distributed import Client

    if scheduler_file is not None and not Path(scheduler_file).is_file():
        raise ClusterError(
            f"found: no file {scheduler_file}\n  expected: what a scheduler wrote "
            "(dask scheduler --scheduler-file FILE)\n  what to do: start the scheduler "
            "first, on a file system that is seen here"
        )
    _keep_quiet_when_interrupted()
    where = address or f"the scheduler of {scheduler_file}"
    try:
        return Client(address, scheduler_file=scheduler_file, timeout=CONNECT_SECONDS)
    except (OSError, TimeoutError, ValueError) as error:
        raise ClusterError(
            f"found: {where} does not answer ({error})\n  expected: a Dask scheduler\n"
            "  what to do: start one (dask scheduler, then dask worker ADDRESS), or "
            "correct the address"
        ) from error


def check_workers(n_workers: Any, faults: Faults) -> None:
    """Check a number of workers."""
    whole = isinstance(n_workers, int | np.integer) and not isinstance(n_workers, bool)
    if not whole or n_workers < 1:
        faults.add(f"{n_workers!r} workers", "a whole number, at least 1", "correct it")


class _NothingToCancel(logging.Filter):
    """Drops what a client says that is interrupted before its call has begun.

    It cancels what it has not made yet: a NameError in its event loop, of no matter to
    anybody (``distributed.utils.sync``).
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Say whether to keep a record."""
        error = record.exc_info[1] if record.exc_info else None
        return not (isinstance(error, NameError) and "future" in str(error))


_NOTHING_TO_CANCEL = _NothingToCancel()


def _keep_quiet_when_interrupted() -> None:
    """Keep what Ctrl-C leads to inside of Dask out of what users read.

    A cluster is silent until it has closed; what its scheduler was still sending to a
    worker that Ctrl-C ended first may be found undeliverable, and said, after that.
    """
    logging.getLogger("tornado.application").addFilter(_NOTHING_TO_CANCEL)
    for speaker in "distributed.batched", "distributed.core":
        logging.getLogger(speaker).setLevel(logging.WARNING)


def _equal_part(n_workers: int) -> int:
    """Give each worker an equal part of most of the machine's memory, in bytes."""
    from distributed.system import MEMORY_LIMIT

    return int(MEMORY_SHARE * MEMORY_LIMIT / n_workers)


def _worker_class() -> type:
    """Make the class of a worker that runs in a process of its own."""
    from distributed.deploy.spec import ProcessInterface

    class LocalWorker(ProcessInterface):  # type: ignore[misc]
        """A nanny with its worker, started from the command line."""

        def __init__(
            self, scheduler: str, name: Any = None, options: Any = None
        ) -> None:
            self._command = [
                *(sys.executable, "-m", "dask", "spec", scheduler, "--spec"),
                json.dumps(
                    {"cls": "distributed.Nanny", "opts": {**options, "name": name}}
                ),
            ]
            self._process: subprocess.Popen[bytes] | None = None
            self._watch: asyncio.Task[None]
            super().__init__()

        async def start(self) -> None:
            """Start the process; the worker reports to the scheduler by itself."""
            self._spawn()
            self._watch = asyncio.create_task(self._keep())
            await super().start()

        async def close(self) -> None:
            """Kill the nanny and its worker."""
            if self._process is not None:
                self._watch.cancel()
                _kill_with_children(self._process)
            self._process = None
            await super().close()

        def _spawn(self) -> None:
            quiet = {
                "DASK_DISTRIBUTED__LOGGING__DISTRIBUTED": "critical",
                PARENT: str(os.getpid()),
            }
            self._process = subprocess.Popen(
                self._command, env=os.environ | quiet, start_new_session=True
            )

        async def _keep(self) -> None:
            """Start the process again whenever it has ended."""
            while True:
                await asyncio.sleep(NANNY_SECONDS)
                if self._process is None or self._process.poll() is not None:
                    self._spawn()

    return LocalWorker


def _kill_with_children(process: subprocess.Popen[bytes]) -> None:
    """Kill a process that we started, if it is still there, and its children."""
    import psutil

    if process.poll() is not None:
        return
    children = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    for child in children:
        with suppress(psutil.NoSuchProcess):
            child.kill()
    process.wait()
