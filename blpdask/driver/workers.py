"""Which workers a cluster has, and which of them have gone silent."""

from __future__ import annotations

import time
from concurrent.futures import CancelledError
from typing import Any

from .faults import AllPaused, Event, NoWorkers, Silent


class WorkerWatch:
    """Who is there, and who has not been heard of for how long.

    Heartbeats are told apart by their times on the scheduler's clock; how old the last
    one is, is measured on this process's clock, which may be another machine's.
    """

    def __init__(self, client: Any) -> None:
        """Watch the workers of a client's cluster."""
        self._client = client
        self._heard: dict[str, tuple[float, float]] = {}
        self._alone_since: float | None = None
        self._paused_since: float | None = None

    def threads(self) -> dict[str, int]:
        """Give the threads of each worker that is there, by address."""
        return {w: int(found["nthreads"]) for w, found in sorted(self._workers())}

    def look(self) -> list[Event]:
        """List workers that are silent, or that there are none."""
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
        if all(found.get("status") == "paused" for found in workers.values()):
            self._paused_since = self._paused_since or now
            events.append(AllPaused(tuple(workers), now - self._paused_since))
        else:
            self._paused_since = None
        return events

    def _workers(self) -> list[tuple[str, Any]]:
        try:
            return list(
                self._client.scheduler_info(n_workers=-1).get("workers", {}).items()
            )
        except (OSError, CancelledError, RuntimeError):
            return []


def evict_worker(client: Any, worker: str) -> None:
    """Take a silent worker out of the cluster, so that its tasks run elsewhere."""

    async def remove(dask_scheduler: Any) -> None:
        await dask_scheduler.remove_worker(
            worker, stimulus_id="blpdask-silent-worker", close=True
        )

    client.run_on_scheduler(remove)


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
