"""The engine for many processes and machines: blocks on the workers of a Dask cluster.

An evaluation sends one task a bundle of blocks (Dask costs about ten milliseconds a
round, however many bundles) and gets one record a block back, which the driver adds in
block order. Bundles are futures that load their blocks from the source, softly placed:
a bundle whose worker dies is opened again elsewhere and loads the same blocks. What
blocks remember of named passes is held by the driver while it is small, and written to
a directory that workers share when not. Neither the number of workers, nor of bundles,
nor any death can therefore change a bit of a result.
"""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..partitions.scratch import Scratch
from ..partitions.source import BlockSource, as_source
from ..progress import Listener, silent
from .allocator import give_freed_memory_back, keep_freed_memory
from .block_counter import BlockCounter
from .bundles import Bundles
from .cores import hold_libraries_at_one_thread
from .dask_worker import (
    Filed,
    Outcome,
    Request,
    WorkerFigures,
    forget_placement,
    remove_memories,
    run_blocks,
    run_item,
    worker_figures,
)
from .engine import Pass
from .faults import ClusterError, FaultLimits, FaultPolicy
from .ordered_sum import ordered_sum
from .reports import hub_of
from .task_runner import Task, TaskRunner
from .workers import WorkerWatch

#: Bytes of blocks, a thread, whose records are collected at a time.
COLLECTED_BYTES = 4 * 2**20
#: Bytes that a source in memory may have to travel through the scheduler.
CARRIED_SOURCE_BYTES = 2**30


class DaskEngine:
    """Work on blocks on the workers of a Dask cluster."""

    name = "dask"

    def __init__(
        self,
        client: Any,
        *,
        n_bundles: int | None = None,
        limits: FaultLimits | None = None,
    ) -> None:
        """Use a ``distributed.Client``.

        Parameters
        ----------
        client
            Of the cluster.
        n_bundles
            Bundles that blocks are dealt out to, by default one a thread of a worker.
        limits
            How patient to be.
        """
        self.client = client
        self.n_bundles = n_bundles
        self.limits = limits or FaultLimits()
        self._scratch = Scratch(Path(tempfile.gettempdir()) / "blpdask-scratch")

    def place(self, blocks: BlockSource | Sequence[Any]) -> DaskPlacement:
        """Open bundles of blocks on the workers.

        Raises
        ------
        ClusterError
            Where no worker comes, or where a source in memory is too large to travel.
        """
        source = as_source(blocks)
        if source.scratch is None:
            _check_size(source)
        return DaskPlacement(self, source, self._directory_for(source))

    def _directory_for(self, source: BlockSource) -> Path | None:
        """Give a directory that all workers see, where there is one."""
        if source.scratch is not None:
            return source.scratch
        workers = WorkerWatch(self.client).threads()
        if workers and all("://127.0.0.1:" in worker for worker in workers):
            return self._scratch.path
        return None


@dataclass(frozen=True, slots=True)
class Memories:
    """What blocks remember of a pass.

    Attributes
    ----------
    name
        What it is called on workers and in the directory: a name is used once, for
        workers may still hold what had the user's name before.
    held
        A memory a block, or a sign that it lies in the directory.
    """

    name: str
    held: list[Any]


class DaskPlacement:
    """Bundles of blocks on workers, and what blocks remember."""

    def __init__(
        self, engine: DaskEngine, source: BlockSource, directory: Path | None
    ) -> None:
        """Wait for workers and open the bundles."""
        self._engine = engine  # whose scratch directory goes with it
        self._client = engine.client
        self._limits = engine.limits
        self._source = source
        self._id = uuid.uuid4().hex
        self._directory = directory / self._id if directory else None
        self._memories: dict[str, Memories] = {}
        self._serial = 0
        self._watch = WorkerWatch(self._client)
        self._bundles = Bundles(
            self._client,
            source,
            name=self._id,
            n_bundles=engine.n_bundles,
            limits=engine.limits,
            watch=self._watch,
        )
        self._listener: Listener = silent
        self._counter = BlockCounter(len(source), silent)
        hub_of(self._client).listen(self._id, self._hear)
        self._warm: Callable[[], None] = hold_libraries_at_one_thread
        self._warmed: set[str] = set()
        # Until it is closed, and not where no worker came.
        self._gives_back = source.scratch is not None and give_freed_memory_back()

    def reduce(
        self,
        pass_: Pass,
        state: Any,
        *,
        anchor: str | None = None,
        keep: str | None = None,
    ) -> Any:
        """Run a pass over every block and add its records in block order."""
        request = self._request(pass_, state, anchor, keep)
        blocks = range(len(self._source))
        records: dict[int, Any] = {}
        memories: dict[int, Any] = {}
        done: list[int] = []
        for outcome in self._run(request, blocks, self._held(anchor)):
            records.update(outcome.records)
            memories.update(outcome.memories)
            done.extend(outcome.done)
        if sorted(done) != list(blocks):
            raise AssertionError(f"blocks {done} of {len(blocks)} were worked on")
        if request.keep is not None and keep is not None:
            self.forget(keep)
            held = [memories[block] for block in blocks]
            self._memories[keep] = Memories(request.keep, held)
        return ordered_sum([records[block] for block in sorted(records)])

    def collect(
        self, pass_: Pass, state: Any, *, anchor: str | None = None
    ) -> Iterator[Any]:
        """Run a pass over every block and give its records one by one."""
        request = self._request(pass_, state, anchor, None)
        for run in self._runs():
            records: dict[int, Any] = {}
            for outcome in self._run(request, run, self._held(anchor)):
                records.update(outcome.records)
                del outcome
            for block in run:
                yield records.pop(block)

    def replicate(
        self,
        task: Callable[[BlockSource, Any, int], Any],
        state: Any,
        items: Sequence[int],
    ) -> Iterator[tuple[int, Any]]:
        """Run whole replicates, each on one worker; give them as they complete."""

        def submit(one: Task) -> Any:
            whole, (item,) = self._bundles.open_whole(), one.blocks
            key = self._key("blpdask-replicate", item)
            return self._client.submit(
                run_item, whole, task, state, item, key=key, pure=False
            )

        self._bundles.settle()
        self._counter = BlockCounter(len(items), silent)
        runner = self._runner(submit, "replicate {}".format, lambda item: -1 - item)
        tasks = [Task(-1, (item,)) for item in items]
        for outcome in runner.run(tasks, window=2 * self._bundles.n_threads):
            yield from outcome.records.items()

    def remember(self, name: str, memories: Sequence[Any]) -> None:
        """Hand every block a memory under a name."""
        self.forget(name)
        self._memories[name] = Memories(self._own_name(name), list(memories))

    def listen(self, listener: Listener) -> None:
        """Tell a listener how far long passes have come."""
        self._listener = listener

    def warm(self, function: Callable[[], None]) -> None:
        """Run a function on every worker, and on those that will come."""
        self._warm = function
        self._warm_up()

    def forget(self, *names: str) -> None:
        """Drop the memories of named passes; workers follow at the next pass."""
        for name in names:
            memories = self._memories.pop(name, None)
            if memories is None or self._directory is None:
                continue
            if any(isinstance(memory, Filed) for memory in memories.held):
                remove_memories(self._directory, memories.name)

    def close(self) -> None:
        """Let go of the bundles, and of what workers remember."""
        import shutil

        workers = self._watch.threads() if self._client.status == "running" else ()
        self._tell("blpdask-forget", workers, forget_placement, self._id)
        self._bundles.close()
        self._memories = {}
        if self._gives_back:
            keep_freed_memory()
        if self._directory:
            shutil.rmtree(self._directory, ignore_errors=True)

    def figures(self) -> dict[str, WorkerFigures]:
        """Tell what each worker's process holds and has read."""
        found: dict[str, WorkerFigures] = self._client.run(worker_figures)
        return found

    def _request(
        self, pass_: Pass, state: Any, anchor: str | None, keep: str | None
    ) -> Request:
        if anchor is not None and anchor not in self._memories:
            raise KeyError(anchor)
        kept = None if keep is None else self._own_name(keep)
        alive = {memories.name for memories in self._memories.values()}
        return Request(
            placement=self._id,
            pass_=pass_,
            state=state,
            anchor=None if anchor is None else self._memories[anchor].name,
            keep=kept,
            alive=frozenset(alive | ({kept} if kept else set())),
            n_blocks=len(self._source),
            directory=self._directory,
        )

    def _own_name(self, name: str) -> str:
        """Make a name that no other memories of this placement ever have."""
        self._serial += 1
        return f"{name} #{self._serial}"

    def _held(self, anchor: str | None) -> Sequence[Any]:
        """Give what each block remembers under a name; nothing without one."""
        return () if anchor is None else self._memories[anchor].held

    def _run(
        self, request: Request, blocks: range, anchors: Sequence[Any]
    ) -> Iterator[Outcome]:
        """Run a pass over some blocks, a task a bundle."""
        self._bundles.settle()
        self._warm_up()
        self._counter = BlockCounter(len(blocks), self._listener)
        runner = self._runner(
            lambda task: self._submit(request, task, anchors),
            self._source.describe,
            self._bundles.bundle_of,
        )
        parts = [
            Task(bundle, tuple(block for block in part if block in blocks))
            for bundle, part in enumerate(self._bundles.blocks)
        ]
        return runner.run([task for task in parts if task.blocks])

    def _runner(
        self,
        submit: Callable[[Task], Any],
        describe: Callable[[int], str],
        bundle_of: Callable[[int], int],
    ) -> TaskRunner:
        return TaskRunner(
            self._client,
            FaultPolicy(self._limits, describe),
            watch=self._watch,
            submit=submit,
            drop=lambda task: self._bundles.drop(task.bundle),
            bundle_of=bundle_of,
            tick=self._counter.tell,
        )

    def _submit(self, request: Request, task: Task, anchors: Sequence[Any]) -> Any:
        """Send a task to the home of its bundle, or where the scheduler finds room."""
        sent = {
            block: anchors[block]
            for block in (task.blocks if anchors else ())
            if task.with_memory or isinstance(anchors[block], Filed)
        }
        return self._client.submit(
            run_blocks,
            self._bundles.open(task.bundle),
            task.blocks,
            request,
            sent,
            key=self._key("blpdask-blocks", task.bundle),
            workers=self._bundles.home(task.bundle),
            allow_other_workers=True,
            pure=False,
        )

    def _runs(self) -> Iterator[range]:
        """Cut the blocks into runs that are small enough to be collected at once."""
        first, size = 0, 0
        room = COLLECTED_BYTES * max(1, self._bundles.n_threads)
        for block in range(len(self._source)):
            size += self._source.size(block)
            if size >= room:
                yield range(first, block + 1)
                first, size = block + 1, 0
        if first < len(self._source):
            yield range(first, len(self._source))

    def _key(self, prefix: str, what: Any) -> tuple[Any, ...]:
        """Name a task; the prefix alone is what the scheduler keeps statistics of."""
        self._serial += 1
        return prefix, self._id, self._serial, what

    def _warm_up(self) -> None:
        """Warm those workers up that have not been yet."""
        new = set(self._bundles.workers) - self._warmed
        self._warmed |= new
        self._tell("blpdask-warm-up", sorted(new), self._warm)

    def _tell(
        self, prefix: str, workers: Iterable[str], function: Any, *arguments: Any
    ) -> None:
        """Run a function on some workers, and wait for none of them."""
        from distributed import fire_and_forget

        if self._client.status != "running":
            return
        for worker in workers:
            key = self._key(prefix, worker)
            fire_and_forget(
                self._client.submit(
                    function, *arguments, workers=[worker], key=key, pure=False
                )
            )

    def _hear(self, done: int) -> None:
        """Count blocks that a worker reports as done."""
        self._counter.count(done)


def _check_size(source: BlockSource) -> None:
    """Refuse to send more through the scheduler than it should hold."""
    # Of some blocks a part is made where they are loaded, and does not travel.
    size_of = getattr(source, "carried_size", source.size)
    size = sum(size_of(block) for block in range(len(source)))
    if size > CARRIED_SOURCE_BYTES:
        raise ClusterError(
            f"found: {size / 2**30:.1f} GiB of data in memory for a Dask cluster\n  "
            f"expected: at most {CARRIED_SOURCE_BYTES / 2**30:.0f} GiB, which travel "
            "through the scheduler\n  what to do: write the data to a store on a file "
            "system that all workers see (blpdask.build_store) and make the problem "
            "from it"
        )
