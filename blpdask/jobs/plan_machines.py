"""Who will work on the blocks of a job, and what they can keep in memory.

A worker keeps blocks in a share of its memory, first come, and reads the rest again at
every evaluation (:mod:`blpdask.partitions.residency`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..driver.homes import cut_bundles
from ..errors import Faults
from ..partitions.source import BlockSource, HeldBlocks
from .cluster import count_workers
from .schema import EngineOptions


@dataclass(frozen=True, slots=True)
class Machines:
    """Who works on the blocks.

    Attributes
    ----------
    kind
        ``"serial"``, ``"threads"`` or ``"dask"``.
    count
        Threads of this process, or workers of one thread each.
    cores
        Cores that this process may use.
    memory
        Bytes of this machine.
    worker_memory
        Bytes of each worker; all of this machine's where there are no workers.
    room
        Bytes of blocks that each worker keeps.
    """

    kind: str
    count: int
    cores: int
    memory: int
    worker_memory: int
    room: int


def find_machines(engine: EngineOptions) -> Machines:
    """Say who works on the blocks, and with how much memory.

    Parameters
    ----------
    engine
        A resolved job's.
    """
    from dask.utils import parse_bytes
    from distributed.system import MEMORY_LIMIT

    from ..driver.clusters import MEMORY_SHARE
    from ..driver.dask_worker import RESIDENT_SHARE
    from ..driver.threads import usable_cores
    from ..partitions.residency import RESIDENT

    if engine.scheduler is not None or engine.scheduler_file is not None:
        faults = Faults("blpdask plan")
        faults.add(
            "a job that names a scheduler, which a plan does not call",
            "how many workers there will be, and how much memory each has",
            "say so, as in --workers 16 --worker-memory 8GiB",
        )
        faults.check()
    kind, total = engine.kind or "threads", int(MEMORY_LIMIT)
    if kind != "dask":
        count = 1 if kind == "serial" else engine.threads or usable_cores()
        budget = RESIDENT.budget
        return Machines(kind, count, usable_cores(), total, total, budget)
    count = count_workers(engine)
    memory = int(MEMORY_SHARE * total / count)
    if engine.worker_memory is not None:
        memory = int(parse_bytes(engine.worker_memory))
    room = int(RESIDENT_SHARE * memory)
    return Machines(kind, count, usable_cores(), total, memory, room)


def is_from_store(source: BlockSource) -> bool:
    """Whether workers read blocks themselves; else they are sent them."""
    return not isinstance(source, HeldBlocks)


def deal_out(n_blocks: int, machines: Machines) -> list[tuple[int, ...]]:
    """Deal blocks out as the engine does: to workers, or all to this process."""
    return cut_bundles(n_blocks, machines.count if machines.kind == "dask" else 1)


def keep_first_come(sizes: Sequence[int], room: int) -> int:
    """Count the bytes that are kept when blocks come one after another.

    Examples
    --------
    >>> keep_first_come([4, 4, 1], room=6)
    5
    """
    kept = 0
    for size in sizes:
        if kept + size <= room:
            kept += size
    return kept
