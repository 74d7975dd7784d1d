"""See tasks on a cluster through, whatever happens to workers.

The runner submits, waits, fetches and looks; what to do about what it sees is decided
by :class:`blpdask.driver.faults.FaultPolicy`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass, replace
from typing import Any

from .dask_worker import Outcome
from .faults import (
    Event,
    Evict,
    FaultPolicy,
    GiveUp,
    Instruction,
    Lost,
    Paused,
    Restart,
    SchedulerLost,
    Submit,
)
from .workers import WorkerWatch, evict_worker, find_stranded, restart_workers

#: Seconds between two looks at the workers while waiting for them.
TICK = 1.0
#: Seconds to wait for a result that is there, at first.
FETCH_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Task:
    """Some blocks under way.

    Attributes
    ----------
    bundle
        The bundle that they are of.
    blocks
        Their places.
    with_memory
        Whether what they should remember is sent along.
    alone
        Whether nothing else may be under way.
    """

    bundle: int
    blocks: tuple[int, ...]
    with_memory: bool = False
    alone: bool = False


class TaskRunner:
    """Runs the tasks of one pass."""

    def __init__(
        self,
        client: Any,
        policy: FaultPolicy,
        *,
        watch: WorkerWatch,
        submit: Callable[[Task], Any],
        drop: Callable[[Task], None],
        bundle_of: Callable[[int], int],
        tick: Callable[[], None],
    ) -> None:
        """Prepare to run tasks.

        Parameters
        ----------
        client
            Of the cluster.
        policy
            Says what to do about faults.
        watch
            Looks at the workers.
        submit
            Sends a task and gives its future.
        drop
            Forgets what a task that was lost was working on.
        bundle_of
            Gives the bundle of a block.
        tick
            Called about once a second while waiting.
        """
        self._client = client
        self._policy = policy
        self._watch = watch
        self._submit = submit
        self._drop = drop
        self._bundle_of = bundle_of
        self._tick = tick
        self._waiting: deque[Task] = deque()
        self._alone: list[Task] = []
        self._under_way: dict[Any, Task] = {}
        self._patience: dict[Any, float] = {}
        self._done = 0

    def run(
        self, tasks: Sequence[Task], window: int | None = None
    ) -> Iterator[Outcome]:
        """Give the outcomes of tasks in any order, ``window`` under way at most."""
        self._waiting.extend(tasks)
        every = window is None
        delayed = False
        try:
            while self._waiting or self._under_way or self._alone:
                if self._client.status != "running":
                    self._obey_all(self._look())
                self._send(window)
                if not self._wait(every=every) or delayed:
                    self._obey_all(self._look())
                    self._obey_all(self._take_stranded())
                    self._tick()
                delayed = False
                ended = [f for f in self._under_way if f.status != "pending"]
                fetched = self._fetch_together(ended)
                for future in ended:
                    found: Outcome | Event | None = fetched.get(future)
                    if found is None:
                        found = self._fetch(future, self._under_way[future])
                    if found is None:
                        delayed = True
                        continue
                    task = self._under_way.pop(future)
                    if isinstance(found, Outcome):
                        self._done += 1
                        yield found
                        self._obey_all(found.events)
                    else:
                        self._drop(task)
                        self._obey_all([found])
        finally:
            if self._under_way:
                self._client.cancel(list(self._under_way), force=True)

    def _send(self, window: int | None) -> None:
        """Submit what waits; what must be alone, when nothing else is under way."""
        while self._waiting and (window is None or len(self._under_way) < window):
            task = self._waiting.popleft()
            self._under_way[self._submit(task)] = task
        if self._alone and not self._under_way:
            task = self._alone.pop()
            self._under_way[self._submit(task)] = task

    def _again(self, submit: Submit) -> None:
        """Queue blocks once more, in a task for each of their bundles."""
        for bundle in sorted({self._bundle_of(block) for block in submit.blocks}):
            blocks = tuple(b for b in submit.blocks if self._bundle_of(b) == bundle)
            memory = submit.with_memory or submit.alone
            task = Task(bundle, blocks, memory, submit.alone)
            (self._alone if submit.alone else self._waiting).append(task)

    def _wait(self, *, every: bool) -> bool:
        """Wait until every task has ended, or one; no longer than a tick."""
        from distributed import wait

        when = "ALL_COMPLETED" if every else "FIRST_COMPLETED"
        try:
            wait(list(self._under_way), timeout=TICK, return_when=when)
        except TimeoutError:
            return False
        except CancelledError:
            return True
        return True

    def _fetch_together(self, futures: list[Any]) -> dict[Any, Outcome]:
        """Fetch outcomes in one message, as many as come without trouble."""
        finished = [future for future in futures if future.status == "finished"]

        async def gather() -> Any:
            return await self._client.gather(finished, asynchronous=True)

        try:
            outcomes = self._client.sync(gather, callback_timeout=FETCH_SECONDS)
        except Exception:
            # One by one, whatever it is becomes an event.
            return {}
        return dict(zip(finished, outcomes, strict=True))

    def _fetch(self, future: Any, task: Task) -> Outcome | Event | None:
        """Give the outcome of a task that has ended, or the event that ended it.

        None where the outcome was lost with its worker and is being computed again.
        """
        if self._client.status != "running":
            return SchedulerLost(f"the client is {self._client.status}")
        patience = self._patience.get(future.key, FETCH_SECONDS)
        try:
            outcome: Outcome = future.result(timeout=patience)
            return outcome
        except CancelledError as error:
            return _cancelled(error, task)
        except TimeoutError:
            self._patience[future.key] = 2 * patience
            return None
        except Exception as error:
            cause = f"{type(error).__name__}: {error}"
            return Lost(task.blocks, cause, alone=task.alone)

    def _take_stranded(self) -> list[Event]:
        """Take back tasks that wait for a worker which is gone for good.

        Where all workers die at once, the scheduler keeps softly placed tasks waiting
        for the address that they preferred, even after other workers have come.
        """
        if self._client.status != "running" or not self._watch.threads():
            return []
        keys = [future.key for future in self._under_way]
        stranded = find_stranded(self._client, keys)
        events: list[Event] = []
        for future in [f for f in self._under_way if f.key in stranded]:
            task = self._under_way.pop(future)
            self._client.cancel([future], force=True)
            self._drop(task)
            suspect = stranded[future.key]
            events.append(Lost(task.blocks, "all workers died", suspect, task.alone))
        return events

    def _look(self) -> list[Event]:
        """Look at the scheduler, and at the workers' heartbeats and memory."""
        if self._client.status != "running":
            return [SchedulerLost(f"the client is {self._client.status}")]
        return [
            replace(event, done=self._done) if isinstance(event, Paused) else event
            for event in self._watch.look()
        ]

    def _obey_all(self, events: Sequence[Event]) -> None:
        """Ask the policy about events and do what it says."""
        for event in events:
            for instruction in self._policy.handle(event):
                self._obey(instruction)

    def _obey(self, instruction: Instruction) -> None:
        if isinstance(instruction, GiveUp):
            raise instruction.error
        if isinstance(instruction, Evict):
            evict_worker(self._client, instruction.worker)
        elif isinstance(instruction, Restart):
            restart_workers(self._client, instruction.workers)
        else:
            self._again(instruction)


def _cancelled(error: BaseException, task: Task) -> Event:
    """Tell a lost scheduler from a lost task."""
    reason = str(getattr(error, "reason", error))
    if "connection-lost" in reason or "closed" in reason:
        return SchedulerLost(reason)
    return Lost(task.blocks, reason, suspect=False)
