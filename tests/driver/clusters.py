"""Local clusters for tests, and ways to hurt them: only pids that they started."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psutil

from blpdask.driver.clusters import local_client


@contextmanager
def cluster(n_workers: int, **options: Any) -> Iterator[Any]:
    """Start a cluster for the length of a block."""
    with local_client(n_workers, memory_limit="2GiB", **options) as client:
        yield client


def worker_pids(client: Any) -> dict[str, int]:
    """Give the process of each worker, by address."""
    return client.run(os.getpid)


class Killer:
    """Kills a random worker every so many seconds until it is stopped."""

    def __init__(self, client: Any, every: float, seed: int = 0) -> None:
        self.deaths = 0
        self._client = client
        self._every = every
        self._random = random.Random(seed)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Killer:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(self._every):
            with suppress(psutil.NoSuchProcess):
                workers = [worker for n in nannies() for worker in workers_of(n)]
                if workers:
                    self._random.choice(workers).kill()
                    self.deaths += 1


def nannies() -> list[psutil.Process]:
    """List the nannies that this process has started and that are alive."""
    return [p for p in psutil.Process().children() if "spec" in _command(p)]


def workers_of(nanny: psutil.Process) -> list[psutil.Process]:
    """List the workers of a nanny."""
    try:
        children = nanny.children()
    except psutil.NoSuchProcess:
        return []
    return [p for p in children if any("spawn_main" in part for part in _command(p))]


def _command(process: psutil.Process) -> list[str]:
    """Give a process's command; none where it has ended."""
    try:
        return list(process.cmdline())
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return []


def has_ended(pid: int) -> bool:
    """Tell whether a process ends within seconds: its parent may be slow to notice."""
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return True
        process.wait(timeout=10)
    except psutil.NoSuchProcess:
        return True
    except psutil.TimeoutExpired:
        return process.status() == psutil.STATUS_ZOMBIE
    return True
