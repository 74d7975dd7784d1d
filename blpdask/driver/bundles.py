"""Bundles of blocks on the workers of a cluster: opened, at home, moved when they must.

A bundle is a future of a source that loads the bundle's blocks: when its worker dies,
the scheduler opens it again elsewhere. Scattered data and actors would be lost.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from ..partitions.source import BlockSource
from .dask_worker import open_bundle
from .faults import FaultLimits, FaultPolicy, GiveUp, NoWorkers, SchedulerLost
from .homes import assign_homes, cut_bundles
from .workers import WorkerWatch

#: Seconds between two looks for workers where there is none.
PAUSE = 0.1
#: Seconds between two looks for workers that have come or gone.
SETTLE_SECONDS = 1.0
_LARGE_GRAPH = "distributed.admin.large-graph-warning-threshold"
_GONE = ("cancelled", "lost", "error")


class Bundles:
    """The blocks of a source, dealt out to the threads of a cluster's workers."""

    def __init__(
        self,
        client: Any,
        source: BlockSource,
        *,
        name: str,
        n_bundles: int | None,
        limits: FaultLimits,
        watch: WorkerWatch,
    ) -> None:
        """Wait for workers and deal the blocks out.

        Parameters
        ----------
        client
            Of the cluster.
        source
            Loads the blocks.
        name
            Of the placement, in the names of futures.
        n_bundles
            How many, by default one a thread.
        limits
            How long to wait for workers.
        watch
            Looks at the workers.
        """
        self._client = client
        self._source = source
        self._name = name
        self._limits = limits
        self._watch = watch
        self._serial = 0
        self._settled = 0.0
        self._threads = self._wait_for_workers()
        self.blocks = cut_bundles(len(source), n_bundles or self.n_threads)
        self._homes: dict[int, str] = {}
        self._opened: dict[int, Any] = {}
        self._whole: Any = None
        self.settle()

    @property
    def n_threads(self) -> int:
        """Count the threads of all workers."""
        return sum(self._threads.values())

    @property
    def workers(self) -> tuple[str, ...]:
        """Give the addresses of the workers that were last seen."""
        return tuple(self._threads)

    def bundle_of(self, block: int) -> int:
        """Give the bundle of a block."""
        return block % len(self.blocks)

    def settle(self, *, at_once: bool = False) -> None:
        """Give bundles homes among the workers that are there now.

        Workers are looked for about once a second, or at once where one is missing.
        """
        now = time.monotonic()
        if not at_once and self._homes and now - self._settled < SETTLE_SECONDS:
            return
        self._settled = now
        threads = self._watch.threads()
        if threads == self._threads and self._homes:
            return
        self._threads = threads or self._wait_for_workers()
        homes = assign_homes(len(self.blocks), self._threads, self._homes)
        for bundle, home in homes.items():
            if self._homes.get(bundle) != home:
                self._opened.pop(bundle, None)
        self._homes = homes

    def home(self, bundle: int) -> list[str] | None:
        """Give the worker that a bundle should be on, as Dask wants it."""
        home = self._homes.get(bundle)
        return [home] if home else None

    def open(self, bundle: int) -> Any:
        """Give the future of a bundle, opened where it has none that is good."""
        found = self._opened.get(bundle)
        if found is None or found.status in _GONE:
            found = self._submit(self.blocks[bundle], bundle, self.home(bundle))
            self._opened[bundle] = found
        return found

    def open_whole(self) -> Any:
        """Give the future of all blocks, for tasks that work on the whole."""
        if self._whole is None or self._whole.status in _GONE:
            self._whole = self._submit(range(len(self._source)), -1, None)
        return self._whole

    def drop(self, bundle: int) -> None:
        """Forget a bundle's future, and look for a home again."""
        self._opened.pop(bundle, None)
        if bundle < 0:
            self._whole = None
        self.settle(at_once=True)

    def close(self) -> None:
        """Let go of all bundles."""
        self._opened, self._whole = {}, None

    def _submit(
        self, blocks: Iterable[int], bundle: int, workers: list[str] | None
    ) -> Any:
        """Send a source that loads some blocks."""
        import dask

        self._serial += 1
        with dask.config.set({_LARGE_GRAPH: "16GiB"}):
            return self._client.submit(
                open_bundle,
                self._source.only(blocks),
                key=("blpdask-bundle", self._name, self._serial, bundle),
                workers=workers,
                allow_other_workers=workers is not None,
                pure=False,
            )

    def _wait_for_workers(self) -> dict[str, int]:
        """Wait until there is a worker, as long as limits allow."""
        began = time.monotonic()
        policy = FaultPolicy(self._limits, str)
        while not (threads := self._watch.threads()):
            event: NoWorkers | SchedulerLost = NoWorkers(time.monotonic() - began)
            if self._client.status != "running":
                event = SchedulerLost(f"the client is {self._client.status}")
            for instruction in policy.handle(event):
                if isinstance(instruction, GiveUp):
                    raise instruction.error
            time.sleep(PAUSE)
        return threads
