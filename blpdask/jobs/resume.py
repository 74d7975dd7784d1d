"""Go on with a run that was stopped, in the directory that it left.

The directory holds the resolved job, which says what data it is about, and every sum
over those data that was computed. The job is solved again with these in place of what
was computed (:mod:`blpdask.driver.recording`), so that it ends with the same bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..partitions.run_log import LOG, keep_first
from ..progress import Listener, silent
from .run import FinishedRun, PreparedJob, prepare_job, solve_in
from .run_directory import RESOLVED, RunDirectory, reopen_run_directory


@dataclass(frozen=True, slots=True)
class ReopenedRun:
    """A run that did not finish: its job, ready to be solved, and where it is."""

    prepared: PreparedJob
    directory: RunDirectory


def reopen_run(
    path: Path,
    overrides: Sequence[str] = (),
    *,
    keep: int | None = None,
    force: bool = False,
) -> ReopenedRun:
    """Read the job of a run that did not finish, and its data.

    Parameters
    ----------
    path
        Directory that the run wrote into, or the output that it was to become.
    overrides
        Of options that never change the numbers: those of the engine.
    keep
        How many of the recorded sums to keep, where those after them cannot be used.
    force
        Whether to replace the run of another job that has the output's name.

    Raises
    ------
    blpdask.errors.InputError
        If there is no such run, or its data have changed.
    blpdask.errors.StoreError
        If not so many sums are whole.
    """
    directory = reopen_run_directory(path, force)
    prepared = prepare_job(directory.partial / RESOLVED, overrides)
    if keep is not None:
        keep_first(directory.partial, keep)
    return ReopenedRun(prepared=prepared, directory=directory)


def cut_recording(directory: Path, keep: int) -> bool:
    """Keep the first sums of a recording that no job made but a call of ``solve``.

    Parameters
    ----------
    directory
        Its directory.
    keep
        How many sums to keep.

    Returns
    -------
    bool
        Whether there is such a recording; where not, nothing is done.
    """
    if (directory / RESOLVED).exists() or not (directory / LOG).is_file():
        return False
    keep_first(directory, keep)
    return True


def resume_run(reopened: ReopenedRun, *, listener: Listener = silent) -> FinishedRun:
    """Go on with a run that did not finish, to the results it would have had.

    Parameters
    ----------
    reopened
        The run.
    listener
        Called with every event, those that are replayed included.

    Raises
    ------
    blpdask.errors.StoreError
        If another process works on it, or what it recorded cannot be used.
    """
    return solve_in(reopened.prepared, reopened.directory, listener)
