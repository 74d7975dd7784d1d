"""Record an estimation in a directory, or go on with the one that is recorded there.

What identifies an estimation is the data, the parameters and every option that its
numbers depend on; the engine and its threads are not among them.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from ..driver.engine import Engine
from ..driver.recording import RecordingEngine
from ..errors import DataWarning, Faults
from ..partitions.checkpoints import Checkpoints
from ..partitions.run_log import RunLog, this_origin
from ..partitions.sealed import digest
from ..partitions.source import HeldBlocks
from ..problem.prepared import PreparedDemand
from ..progress import Listener, StepEvent


@contextmanager
def recorded(
    engine: Engine,
    directory: Path | None,
    contents: Callable[[], Any],
    settings: Mapping[str, Any],
    listener: Listener,
) -> Iterator[Engine]:
    """Give an engine that records what it computes, or the same where none is wanted.

    Parameters
    ----------
    engine
        Where blocks are worked on.
    directory
        Of the recording; None for none.
    contents
        Gives the data, by which the recording is known.
    settings
        Everything else that the numbers depend on, by name; functions count by what
        they do.
    listener
        Told how much is replayed, and when that is over.

    Raises
    ------
    blpdask.errors.StoreError
        Where the recording there cannot be used, or the disk refuses.
    """
    if directory is None:
        yield engine
        return
    parts = {"data": contents(), **settings}
    known = {name: digest(part) for name, part in parts.items()}
    with closing(RunLog(directory, known)) as log:
        if log.recorded:
            listener(StepEvent(0, _replaying(log)))
            _compare_versions(log)
        checkpoints = Checkpoints(directory)
        yield RecordingEngine(
            engine,
            log,
            checkpoints=checkpoints,
            when_replayed=lambda: listener(StepEvent(0, "Replayed; computing again")),
        )
        log.finish()
        checkpoints.clear()


def contents_of(problem: PreparedDemand) -> Any:
    """Give the data of a problem, whose blocks are read where they are in memory."""
    source = problem.source
    contents: Any = source.name
    if isinstance(source, HeldBlocks):
        contents = [source.load(index) for index in range(len(source))]
    return (contents, problem.market_ids.tolist(), problem.block_edges)


def check_directory(resume: Any, faults: Faults) -> Path | None:
    """Read the directory of a recording."""
    if resume is None:
        return None
    if not isinstance(resume, str | Path) or Path(resume).is_file():
        faults.add(
            f"resume={resume!r}",
            "a directory, new or of an earlier call, or None",
            "name a directory of this estimation's own",
        )
        return None
    return Path(resume).absolute()


def _replaying(log: RunLog) -> str:
    """Say how much is not computed again."""
    end = ", to its end" if log.finished else ""
    return (
        f"Replaying {log.recorded} recorded sums over blocks "
        f"({log.recorded_seconds:.1f} s of computation){end}"
    )


def _compare_versions(log: RunLog) -> None:
    """Warn where what is replayed was computed by other versions."""
    here = this_origin()
    if log.origin != here:
        warnings.warn(
            f"the recording in {log.directory} was begun with {log.origin}; what is "
            f"computed now is computed with {here}, and last digits may differ",
            DataWarning,
            stacklevel=2,
        )
