"""Which workers a cluster has, and which of them are silent or full."""

from __future__ import annotations

import time
from concurrent.futures import CancelledError
from typing import Any

from .faults import Event, NoWorkers, Paused, Silent

#: Seconds that a worker has to end before it is removed.
RESTART_SECONDS = 10


class WorkerWatch:
    """Who is there, and for how long who has been silent, or full and idle.

    Heartbeats are told apart by their times on the scheduler's clock; how old the last
    one is, is measured on this process's clock, which may be another machine's.
    """

    def __init__(self, client: Any) -> None:
        """Watch the workers of a client's cluster."""
        self._client = client
        self._heard: dict[str, tuple[float, float]] = {}
        self._alone_since: float | None = None
        self._paused_since: dict[str, float] = {}

    def threads(self) -> dict[str, int]:
        """Give the threads of each worker that is there, by address."""
        return {w: int(found["nthreads"]) for w, found in sorted(self._workers())}

    def look(self) -> list[Event]:
        """List workers that are silent or full, or that there are none."""
        now = time.monotonic()
        workers = dict(self._workers())
        self._heard = {
            worker: self._heard[worker]
            if self._heard.get(worker, (None,))[0] == found["last_seen"]
            else (found["last_seen"], now)
            for worker, found in workers.items()
        }
        if not workers:
            self._alone_since = self._alone_since or now
            return [NoWorkers(now - self._alone_since)]
        self._alone_since = None
        events: list[Event] = [
            Silent(worker, now - heard) for worker, (_, heard) in self._heard.items()
        ]
        self._paused_since = {
            worker: self._paused_since.get(worker, now)
            for worker, found in workers.items()
            if _is_full(found)
        }
        if self._paused_since:
            seconds = {w: now - since for w, since in self._paused_since.items()}
            events.append(Paused(seconds, others=len(workers) - len(seconds)))
        return events

    def _workers(self) -> list[tuple[str, Any]]:
        try:
            return list(
                self._client.scheduler_info(n_workers=-1).get("workers", {}).items()
            )
        except (OSError, CancelledError, RuntimeError):
            return []


def _is_full(found: Any) -> bool:
    """Tell whether a worker has paused for want of memory and works on nothing."""
    counts = found.get("metrics", {}).get("task_counts", {})
    return found.get("status") == "paused" and not counts.get("executing")


def evict_worker(client: Any, worker: str) -> None:
    """Take a silent worker out of the cluster, so that its tasks run elsewhere."""

    async def remove(dask_scheduler: Any) -> None:
        await dask_scheduler.remove_worker(
            worker, stimulus_id="blpdask-silent-worker", close=True
        )

    client.run_on_scheduler(remove)


def restart_workers(client: Any, workers: tuple[str, ...]) -> None:
    """Start workers again, with memories that are empty, without waiting for them."""

    async def restart(dask_scheduler: Any) -> None:
        await dask_scheduler.restart_workers(
            list(workers),
            timeout=RESTART_SECONDS,
            wait_for_workers=False,
            on_error="return",
            stimulus_id="blpdask-full-worker",
        )

    client.run_on_scheduler(restart)


def find_stranded(client: Any, keys: list[Any]) -> dict[Any, bool]:
    """Find tasks that wait for a worker, or whose inputs do, though workers are there.

    Such tasks are "no-worker" to the scheduler, which tries them again only when a
    worker comes that they prefer.

    Returns
    -------
    dict
        For each such task whether a worker has died while it worked on it.
    """

    def look(dask_scheduler: Any) -> dict[Any, bool]:
        tasks = dask_scheduler.tasks
        found: dict[Any, bool] = {}
        # A task that is not there is still on its way to the scheduler.
        for key in [key for key in keys if key in tasks]:
            concerned = (tasks[key], *tasks[key].dependencies)
            if any(task.state == "no-worker" for task in concerned):
                found[key] = tasks[key].suspicious > 0
        return found

    found: dict[Any, bool] = client.run_on_scheduler(look)
    return found
