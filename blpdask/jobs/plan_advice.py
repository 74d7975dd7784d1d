"""What to change about a job's machines where a budget does not allow what is asked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .plan import JobPlan

#: Bytes that a worker needs for its libraries and for the block that it works on.
WORKER_BYTES = 400 * 2**20
#: Share of a machine's memory that one process should not exceed.
MACHINE_SHARE = 0.8
#: By how much threads must be faster than workers to be recommended.
CLEARLY = 0.8


def advise(plan: JobPlan) -> tuple[str, ...]:
    """Say what does not fit, and what would.

    Parameters
    ----------
    plan
        Blocks, bytes and seconds.
    """
    found = [*_about_memory(plan)]
    if plan.machines.kind == "dask":
        found += [*_about_blocks_on_workers(plan), *_about_workers(plan)]
    return tuple(found)


def in_words(n_bytes: float) -> str:
    """Write a number of bytes, say 1.50 GiB."""
    from dask.utils import format_bytes

    return str(format_bytes(int(n_bytes)))


def _about_memory(plan: JobPlan) -> Iterator[str]:
    """Compare this process with this machine."""
    needed, memory = plan.memory.driver, plan.machines.memory
    if needed > MACHINE_SHARE * memory:
        yield (
            f"This process will need {in_words(needed)} of the {in_words(memory)} that "
            "this machine has. Write the data to a store (blpdask store) and run the "
            f"job on it, or take a machine with {in_words(needed / MACHINE_SHARE)}."
        )


def _about_blocks_on_workers(plan: JobPlan) -> Iterator[str]:
    """Compare blocks with what workers can hold."""
    from ..driver.dask_engine import CARRIED_SOURCE_BYTES
    from ..driver.dask_worker import RESIDENT_SHARE

    memory, machines = plan.memory, plan.machines
    sent = not memory.from_store
    if sent and memory.data > CARRIED_SOURCE_BYTES:
        yield (
            f"The data are in memory, {in_words(memory.data)} of blocks, and at most "
            f"{in_words(CARRIED_SOURCE_BYTES)} travel to a cluster: the run would be "
            "refused. Write them to a store on a disk that all workers see (blpdask "
            "store) and run the job on that."
        )
    if memory.read_again or (sent and memory.busiest > machines.room):
        per_worker = in_words(memory.busiest / RESIDENT_SHARE)
        workers = -(-memory.data // machines.room) if machines.room else plan.blocks
        many = (
            f"about {workers} workers of {in_words(machines.worker_memory)} or "
            if workers <= plan.blocks
            else ""
        )
        what = (
            f"read {in_words(memory.read_again)} again at every evaluation"
            if memory.read_again
            else f"are sent up to {in_words(memory.busiest)} of blocks each, for which "
            f"they have {in_words(machines.room)}"
        )
        yield (
            f"Workers {what}. It takes {many}{machines.count} of {per_worker} to hold "
            "all blocks."
        )


def _about_workers(plan: JobPlan) -> Iterator[str]:
    """Compare workers with blocks, with this machine and with its threads."""
    machines, count = plan.machines, plan.machines.count
    memory = in_words(machines.worker_memory)
    if machines.worker_memory < WORKER_BYTES:
        yield (
            f"A worker of {memory} has too little for itself: libraries alone take "
            f"most of {in_words(WORKER_BYTES)}."
        )
    if count > plan.blocks:
        yield (
            f"There are {plan.blocks} blocks, so that at most {plan.blocks} of the "
            f"{count} workers have work."
        )
    if count > machines.cores or count * machines.worker_memory > machines.memory:
        yield (
            f"This machine has {machines.cores} cores and {in_words(machines.memory)}: "
            f"{count} workers of {memory} belong on several machines (dask scheduler, "
            "dask worker, blpdask run --scheduler-file)."
        )
    elif plan.time.here < CLEARLY * plan.time.warm:
        yield (
            f"Threads of this process take {plan.time.here:.2g} s an evaluation: on "
            "this machine, leave workers out."
        )
