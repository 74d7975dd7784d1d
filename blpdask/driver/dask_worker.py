"""What runs on a Dask worker: a pass over a few blocks, and what blocks remember.

Blocks are loaded from their source and kept while the worker's budget allows it. What a
block remembers of a named pass is kept too, and is at the same time either sent to the
driver or, where it is large, written to a directory that all workers see: a worker that
dies takes nothing with it that cannot be had again, bit for bit.
"""

from __future__ import annotations

import pickle
import shutil
import time
import traceback
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import BlpdaskError
from ..partitions.residency import RESIDENT
from ..partitions.sealed import digest, read_sealed, write_sealed
from ..partitions.source import BlockSource, count_bytes
from .allocator import keep_freed_memory
from .cores import hold_libraries_at_one_thread
from .engine import Pass
from .faults import Event, Failed, Missing, OutOfMemory
from .ordered_sum import ordered_sum

#: Bytes of all blocks' memories of one pass up to which they travel to the driver.
CARRIED_BYTES = 8 * 2**20
#: Share of a worker's memory that blocks and their memories may fill.
RESIDENT_SHARE = 0.35
#: Seconds between two reports of a worker.
REPORT_SECONDS = 0.5
#: Seconds to wait for a file on a shared file system, and between two looks.
FILE_SECONDS, FILE_PAUSE = 10.0, 0.1
#: Folder of files of memories that nobody will ask for again.
UNWANTED = "unwanted"
#: Bytes of memories that are filed together: a file costs as much as so many bytes.
FILE_BYTES = 4 * 2**20
TOPIC = "blpdask-blocks"


@dataclass(frozen=True, slots=True)
class Filed:
    """Stands for a memory that lies in a file of the placement's directory.

    Attributes
    ----------
    first
        The first block in the file.
    """

    first: int


@dataclass(frozen=True, slots=True)
class Request:
    """A pass, as it is sent to all tasks.

    Attributes
    ----------
    placement
        Name of the placement.
    pass_, state, anchor, keep
        As in :meth:`blpdask.driver.engine.Placement.reduce`.
    alive
        Names of passes whose memories are still wanted.
    n_blocks
        Blocks of the whole placement.
    directory
        Where large memories are written, or None.
    """

    placement: str
    pass_: Pass
    state: Any
    anchor: str | None
    keep: str | None
    alive: frozenset[str]
    n_blocks: int
    directory: Path | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a task did.

    Attributes
    ----------
    records
        By block; records that may be added in any order come as one, under the first.
    memories
        By block, what the driver is to hold.
    done
        The blocks that were worked on.
    events
        What went wrong with the others.
    """

    records: dict[int, Any]
    memories: dict[int, Any]
    done: tuple[int, ...]
    events: tuple[Event, ...] = ()


@dataclass(frozen=True, slots=True)
class WorkerFigures:
    """What a worker's process holds: bytes kept, bytes read, peak memory."""

    held_bytes: int
    read_bytes: int
    peak_bytes: int


def open_bundle(source: BlockSource) -> BlockSource:
    """Hold a source on a worker; blocks are loaded when they are first asked for."""
    return source


def run_blocks(
    source: BlockSource,
    blocks: Sequence[int],
    request: Request,
    sent: dict[int, Any],
) -> Outcome:
    """Run a pass over some blocks, one after another.

    Parameters
    ----------
    source
        Loads the blocks.
    blocks
        Which ones.
    request
        The pass.
    sent
        Memories of the anchor that came along, by block.
    """
    _prepare_process()
    _forget_the_dead(request)
    files = _Files(request)
    records: dict[int, Any] = {}
    memories: dict[int, Any] = {}
    missing: list[int] = []
    reporter = _Reporter(request.placement)
    left = deque(blocks)
    try:
        while left:
            block = left[0]
            anchor = _find_anchor(request, block, sent, files)
            if isinstance(anchor, Missing):
                missing.append(left.popleft())
                continue
            record, memory = request.pass_(source.load(block), request.state, anchor)
            if request.keep is not None:
                memories[block] = _keep(request, block, memory, files)
            records[block] = record
            left.popleft()
            files.write(at_least=FILE_BYTES)
            reporter.done()
        files.write()
    except Exception as error:
        # What is not in a file yet is worked on again.
        undone = (*files.pending, *left) if files.refused else (*left, *files.pending)
        for block in files.pending:
            del records[block], memories[block]
        return _outcome(records, memories, missing, _event(error, undone))
    return _outcome(records, memories, missing)


def _event(error: Exception, undone: tuple[int, ...]) -> Event:
    """Say what went wrong at the first of the blocks that are not done."""
    if isinstance(error, MemoryError):
        return OutOfMemory(undone, f"{error} on {_worker_name()}")
    return Failed(undone[0], undone[1:], _portable(error), _worker_name())


def run_item(source: BlockSource, task: Any, state: Any, item: int) -> Outcome:
    """Run one whole replicate on this worker."""
    _prepare_process()
    try:
        return Outcome({item: task(source, state, item)}, {}, (item,))
    except MemoryError as error:
        event: Event = OutOfMemory((item,), f"{error} on {_worker_name()}")
    except Exception as error:
        event = Failed(item, (), _portable(error), _worker_name())
    return Outcome({}, {}, (), (event,))


def forget_placement(placement: str) -> None:
    """Let go of everything that blocks of a placement remember."""
    RESIDENT.drop(lambda owner: _is_of(owner, placement))


def worker_figures() -> WorkerFigures:
    """Tell what this process holds."""
    import psutil

    return WorkerFigures(
        held_bytes=RESIDENT.held_bytes,
        read_bytes=RESIDENT.read_bytes,
        peak_bytes=_peak() or psutil.Process().memory_info().rss,
    )


def _peak() -> int:
    """Give the most memory that this process has had, zero where nobody says."""
    status = Path("/proc/self/status")
    if not status.is_file():
        return 0
    (line,) = [x for x in status.read_text().splitlines() if x.startswith("VmHWM")]
    return int(line.split()[1]) * 1024


def memory_path(directory: Path, name: str, first: int) -> Path:
    """Name the file of memories of a named pass that begins with a block's."""
    return directory / digest(name) / f"{first:06d}"


def remove_memories(directory: Path, name: str) -> None:
    """Take away the files of a named pass; one a name is left to be written over."""
    unwanted = memory_path(directory, name, 0).parent
    with suppress(OSError):
        (directory / UNWANTED).mkdir(exist_ok=True)
        for file in unwanted.iterdir():
            file.replace(directory / UNWANTED / file.name)
    shutil.rmtree(unwanted, ignore_errors=True)


def _outcome(
    records: dict[int, Any],
    memories: dict[int, Any],
    missing: list[int],
    *events: Event,
) -> Outcome:
    """Gather what was done, adding what may be added in any order."""
    if missing:
        events = (Missing(tuple(missing)), *events)
    done = tuple(records)
    if records and getattr(next(iter(records.values())), "order_free", False):
        records = {next(iter(records)): ordered_sum(list(records.values()))}
    return Outcome(records, memories, done, events)


def _find_anchor(
    request: Request, block: int, sent: dict[int, Any], files: _Files
) -> Any:
    """Find what a block remembers of the anchor; Missing where only others know."""
    if request.anchor is None:
        return None
    key = ((request.placement, request.anchor), block)
    found = RESIDENT.peek(key)
    if found is not None:
        return found
    if block not in sent:
        return Missing((block,))
    found, filed = sent[block], isinstance(sent[block], Filed)
    if filed:
        found = files.read(found.first, block)
    RESIDENT.offer(key, count_bytes(found), found, always=not filed)
    return found


def _await_file(path: Path) -> None:
    """Wait a little for a file that another machine has written to show up here."""
    for _ in range(int(FILE_SECONDS / FILE_PAUSE)):
        if path.exists():
            return
        time.sleep(FILE_PAUSE)


def _keep(request: Request, block: int, memory: Any, files: _Files) -> Any:
    """Keep a block's memory here, and send it or have it written down."""
    assert request.keep is not None
    size = count_bytes(memory)
    carried = size * request.n_blocks <= CARRIED_BYTES or request.directory is None
    key = ((request.placement, request.keep), block)
    RESIDENT.offer(key, size, memory, always=carried)
    return memory if carried else files.add(block, size, memory)


class _Files:
    """Files of memories that are too large to be sent, those of some blocks in each.

    Attributes
    ----------
    refused
        Whether the last file could not be written.
    """

    def __init__(self, request: Request) -> None:
        self._request = request
        self._unwritten: dict[str, Any] = {}
        self._size = 0
        self._read: tuple[Path, dict[str, Any]] | None = None
        self.refused = False

    @property
    def pending(self) -> tuple[int, ...]:
        """List the blocks whose memories are not written yet."""
        return tuple(map(int, self._unwritten))

    def add(self, block: int, size: int, memory: Any) -> Filed:
        """Take a memory; say where it will be."""
        self._unwritten[str(block)] = memory
        self._size += size
        return Filed(self.pending[0])

    def write(self, at_least: int = 0) -> None:
        """Write what there is, if it is so many bytes.

        Raises
        ------
        OSError
            Where the disk refuses, with the path, which a refusal to write has not.
        """
        request = self._request
        if not self._unwritten or self._size < at_least:
            return
        assert request.directory is not None and request.keep is not None
        path = memory_path(request.directory, request.keep, self.pending[0])
        old = request.directory / UNWANTED / path.name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_sealed(path, self._unwritten, durable=False, old=old)
        except OSError as error:
            self.refused = True
            raise OSError(error.errno, error.strerror, str(path)) from error
        self._unwritten, self._size = {}, 0

    def read(self, first: int, block: int) -> Any:
        """Read a block's memory of the anchor from the file that begins with ``first``.

        The last file is held: blocks follow one another as they were written.
        """
        request = self._request
        assert request.directory is not None and request.anchor is not None
        path = memory_path(request.directory, request.anchor, first)
        if self._read is None or self._read[0] != path:
            self._read = None
            _await_file(path)
            self._read = path, read_sealed(path)
        return self._read[1][str(block)]


def _forget_the_dead(request: Request) -> None:
    """Let go of memories of this placement that nobody will ask for again."""

    def dead(owner: Any) -> bool:
        return _is_of(owner, request.placement) and owner[1] not in request.alive

    RESIDENT.drop(dead)


def _is_of(owner: Any, placement: str) -> bool:
    return isinstance(owner, tuple) and len(owner) == 2 and owner[0] == placement


def _prepare_process() -> None:
    """Hold libraries at one thread, keep freed memory and set the budget."""
    hold_libraries_at_one_thread()
    keep_freed_memory()
    limit = _memory_limit()
    if limit:
        RESIDENT.budget = int(RESIDENT_SHARE * limit)


def _memory_limit() -> int:
    """Give the memory limit of this worker in bytes, zero where there is none."""
    from distributed import get_worker

    try:
        worker: Any = get_worker()
    except ValueError:
        return 0
    return int(worker.memory_manager.memory_limit or 0)


def _worker_name() -> str:
    from distributed import get_worker

    try:
        return str(get_worker().address)
    except ValueError:
        return "this process"


def _portable(error: Exception) -> BaseException:
    """Give an exception that can travel, with the place where it was raised."""
    where = traceback.extract_tb(error.__traceback__)[-1]
    if not isinstance(error, BlpdaskError):
        error.add_note(f"raised at {where.filename}:{where.lineno}, in {where.name}")
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


class _Reporter:
    """Tells the driver now and then how many blocks are done."""

    def __init__(self, placement: str) -> None:
        self._placement = placement
        self._count = 0
        self._last = time.monotonic()

    def done(self) -> None:
        """Count a block, and report where the last report is some time ago."""
        self._count += 1
        now = time.monotonic()
        if now - self._last >= REPORT_SECONDS:
            self._last = now
            self._send()

    def _send(self) -> None:
        from distributed import get_worker

        try:
            worker: Any = get_worker()
        except ValueError:
            return
        worker.log_event(TOPIC, {"placement": self._placement, "done": self._count})
        self._count = 0
