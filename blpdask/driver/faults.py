"""What to do when part of a pass does not come back: a policy, and no networking.

A pass is cut into tasks, each a few blocks on one worker. The engine turns what it sees
into events and obeys instructions; it decides nothing itself, so that every case can be
tested without a cluster.

- A worker that dies takes its tasks with it; the scheduler gives them to others by
  itself. Only a task whose workers die again and again comes back as lost: it is
  split in halves, which run while nothing else does, so that a bystander is not taken
  for the culprit; the block that is left in the end is tried a few times more.
- A task that runs out of memory is split in the same way.
- A task that misses what its blocks should remember is sent again with it.
- A pass is a pure function of its arguments: an exception that it raises would be
  raised again, and is reported at once with its block; only what the operating system
  refuses (a file system that is away for a moment) is tried again.
- A worker that has been silent for too long is evicted, once. One that has paused,
  for its memory is full, and works on nothing will never go on: it is started again;
  where that leads nowhere while all have paused, the pass is given up.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ..errors import BlpdaskError


class ClusterError(BlpdaskError):
    """A cluster cannot go on; what has been recorded is safe."""


@dataclass(frozen=True, slots=True)
class FaultLimits:
    """How patient an engine is.

    Attributes
    ----------
    deaths
        Times that a block alone may take its worker down or out of memory.
    retries
        Times that a refusal by the operating system is tried again.
    silence
        Seconds without a heartbeat after which a worker is evicted.
    no_workers
        Seconds to wait for a worker where there is none.
    paused
        Seconds after which a worker that has paused for want of memory, and works on
        nothing, is started again.
    restarts
        Times that this is tried while no task is completed.
    """

    deaths: int = 3
    retries: int = 2
    silence: float = 20.0
    no_workers: float = 120.0
    paused: float = 10.0
    restarts: int = 3


@dataclass(frozen=True, slots=True)
class Lost:
    """A task's workers died under it, or it was dropped by the scheduler.

    Attributes
    ----------
    blocks
        Blocks of the task.
    cause
        What was seen.
    suspect
        Whether the task may be what takes workers down.
    alone
        Whether nothing else was under way, so that no other task can be to blame.
    """

    blocks: tuple[int, ...]
    cause: str
    suspect: bool = True
    alone: bool = False


@dataclass(frozen=True, slots=True)
class OutOfMemory:
    """A task could not get the memory that it asked for."""

    blocks: tuple[int, ...]
    cause: str


@dataclass(frozen=True, slots=True)
class Missing:
    """Blocks whose memory of the anchor is not where they are worked on."""

    blocks: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Failed:
    """A pass raised an exception on a block; ``rest`` were not worked on."""

    block: int
    rest: tuple[int, ...]
    error: BaseException
    worker: str


@dataclass(frozen=True, slots=True)
class Silent:
    """A worker has sent no heartbeat for some seconds."""

    worker: str
    seconds: float


@dataclass(frozen=True, slots=True)
class NoWorkers:
    """There has been no worker for some seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Paused:
    """Workers have paused, their memory being full, and work on nothing.

    Attributes
    ----------
    seconds
        For how long, by worker.
    others
        Number of workers that have not.
    done
        Tasks that have been completed so far.
    """

    seconds: Mapping[str, float]
    others: int
    done: int = 0


@dataclass(frozen=True, slots=True)
class SchedulerLost:
    """The connection to the scheduler is gone."""

    cause: str


Event = (
    Lost | OutOfMemory | Missing | Failed | Silent | NoWorkers | Paused | SchedulerLost
)


@dataclass(frozen=True, slots=True)
class Submit:
    """Work on these blocks again.

    Attributes
    ----------
    blocks
        Which ones.
    with_memory
        Whether to send what they should remember.
    alone
        Whether to wait until nothing else is under way, and to let nothing begin.
    """

    blocks: tuple[int, ...]
    with_memory: bool = False
    alone: bool = False


@dataclass(frozen=True, slots=True)
class Evict:
    """Take a worker out of the cluster."""

    worker: str


@dataclass(frozen=True, slots=True)
class Restart:
    """Start these workers again."""

    workers: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class GiveUp:
    """Stop, and raise this error."""

    error: BaseException


Instruction = Submit | Evict | Restart | GiveUp


class FaultPolicy:
    """Answers events of one pass with instructions.

    Examples
    --------
    >>> policy = FaultPolicy(FaultLimits(), describe="block {}".format)
    >>> [submit.blocks for submit in policy.handle(Lost((0, 1, 2), "killed"))]
    [(0,), (1, 2)]
    """

    def __init__(self, limits: FaultLimits, describe: Callable[[int], str]) -> None:
        """Begin with no faults; ``describe`` names a block with its markets."""
        self._limits = limits
        self._describe = describe
        self._deaths: Counter[int] = Counter()
        self._retries: Counter[int] = Counter()
        self._evicted: set[str] = set()
        self._restarts: Counter[int] = Counter()

    def handle(self, event: Event) -> list[Instruction]:
        """Say what to do about an event."""
        if isinstance(event, Missing):
            return [Submit(event.blocks, with_memory=True)]
        if isinstance(event, Lost | OutOfMemory):
            return self._isolate(event)
        if isinstance(event, Failed):
            return self._answer_failure(event)
        if isinstance(event, Silent):
            return self._answer_silence(event)
        if isinstance(event, NoWorkers):
            return self._answer_absence(event)
        if isinstance(event, Paused):
            return self._answer_pause(event)
        return [GiveUp(_scheduler_lost(event.cause))]

    def _isolate(self, event: Lost | OutOfMemory) -> list[Instruction]:
        """Split a task in halves; count the deaths of a block that is alone."""
        blocks = event.blocks
        if isinstance(event, Lost) and not event.suspect:
            return [Submit(blocks)]
        if len(blocks) > 1:
            middle = len(blocks) // 2
            halves = blocks[:middle], blocks[middle:]
            return [Submit(half, alone=True) for half in halves]
        (block,) = blocks
        if isinstance(event, Lost) and not event.alone:
            return [Submit(blocks, alone=True)]
        self._deaths[block] += 1
        if self._deaths[block] < self._limits.deaths:
            return [Submit(blocks, alone=True)]
        what = "takes its worker down" if isinstance(event, Lost) else "needs more"
        what += "" if isinstance(event, Lost) else " memory than its worker has"
        return [
            GiveUp(
                ClusterError(
                    f"found: {self._describe(block)} {what}, {self._deaths[block]} "
                    f"times when tried alone ({event.cause})\n  expected: a block that "
                    "a worker can work on\n  what to do: look at the workers' logs; "
                    "give workers more memory, or cut the data into more blocks "
                    "(blocks=...); other blocks were not lost"
                )
            )
        ]

    def _answer_failure(self, event: Failed) -> list[Instruction]:
        """Try again what the operating system refused; report everything else."""
        if isinstance(event.error, OSError):
            self._retries[event.block] += 1
            if self._retries[event.block] <= self._limits.retries:
                return [Submit((event.block, *event.rest))]
            return [GiveUp(_refused(self._describe(event.block), event))]
        note = f"in {self._describe(event.block)}, on worker {event.worker}"
        if note not in getattr(event.error, "__notes__", ()):
            event.error.add_note(note)
        return [GiveUp(event.error)]

    def _answer_silence(self, event: Silent) -> list[Instruction]:
        """Evict a worker that has been silent for too long, once."""
        if event.seconds < self._limits.silence or event.worker in self._evicted:
            return []
        self._evicted.add(event.worker)
        return [Evict(event.worker)]

    def _answer_pause(self, event: Paused) -> list[Instruction]:
        """Restart workers that are full, a few times while nothing gets done."""
        limits = self._limits
        full = tuple(w for w, time in event.seconds.items() if time >= limits.paused)
        if not full:
            return []
        self._restarts[event.done] += 1
        if self._restarts[event.done] > limits.restarts and not event.others:
            return [GiveUp(_always_full(full, limits.restarts))]
        return [Restart(full)]

    def _answer_absence(self, event: NoWorkers) -> list[Instruction]:
        """Wait a bounded time for workers to come."""
        if event.seconds < self._limits.no_workers:
            return []
        return [
            GiveUp(
                ClusterError(
                    f"found: no worker for {event.seconds:.0f} s\n  expected: at least "
                    "one\n  what to do: start workers (dask worker ADDRESS), with more "
                    "memory if the last ones ran out of it, and run again; a run that "
                    "records its reductions resumes where it was"
                )
            )
        ]


def _always_full(workers: tuple[str, ...], restarts: int) -> ClusterError:
    return ClusterError(
        f"found: all workers have paused, their memory being full ({workers[0]} among "
        f"them), and again after {restarts} restarts\n  expected: workers with room "
        "for a block and what is computed of it\n  what to do: give workers more "
        "memory, run fewer threads in each, or cut the data into more blocks"
    )


def _refused(block: str, event: Failed) -> ClusterError:
    error = ClusterError(
        f"found: {block} cannot be worked on, on worker {event.worker}: {event.error}\n"
        "  expected: files that workers may read and write, and a disk with room\n  "
        "what to do: make room or give permission there, and run again; a run that "
        "records its reductions resumes where it was"
    )
    error.__cause__ = event.error
    return error


def _scheduler_lost(cause: str) -> ClusterError:
    return ClusterError(
        f"found: the scheduler is gone ({cause})\n  expected: a scheduler that lasts "
        "as long as the computation\n  what to do: start a cluster and run again; a "
        "run that records its reductions resumes where it was"
    )
