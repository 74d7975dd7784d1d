"""Keep what a run writes in a directory that is complete or not there at all.

A run writes beside its output, into ``<output>.partial-1`` say, and renames that to
``<output>`` when everything is in it. Whatever interrupts it, what is already written
stays, and nothing half-written ever carries the name of the output. The run can then be
resumed in that same directory, by one process at a time.
"""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import Faults, InputError
from ..partitions.run_lock import RunLock, is_locked
from .resolve import same_job
from .yaml_text import read_yaml

RESOLVED = "resolved.yaml"
RESULTS = "results"
SUMMARY = "summary.json"
ESTIMATES = "estimates.csv"
STARTS = "starts.csv"
EVALUATIONS = "evaluations.jsonl"
LOG = "log.txt"
LOCK = "run.lock"

_PARTIAL = re.compile(r"\.partial-\d+$")


@dataclass(frozen=True, slots=True)
class RunDirectory:
    """Where a run writes, and what that is called once it is complete.

    Attributes
    ----------
    partial
        Directory that the run writes into.
    output
        What it is renamed to.
    """

    partial: Path
    output: Path

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other processes from working here.

        Raises
        ------
        blpdask.errors.StoreError
            If one does.
        """
        lock = RunLock(self.partial / LOCK)
        try:
            yield
        finally:
            lock.release()

    def complete(self) -> None:
        """Put the directory under its own name, in place of an earlier run's."""
        earlier = None
        if self.output.exists():
            earlier = _free_name(self.output, "replaced")
            self.output.rename(earlier)
        self.partial.rename(self.output)
        if earlier is not None:
            shutil.rmtree(earlier)


def open_run_directory(output: Path, resolved: str, force: bool) -> RunDirectory:
    """Make the directory that a run writes into.

    Parameters
    ----------
    output
        What the directory is called once the run is complete.
    resolved
        The resolved job, which is the first thing written.
    force
        Whether to replace the run of another job.

    Returns
    -------
    RunDirectory
        A new directory beside ``output``.

    Raises
    ------
    blpdask.errors.InputError
        If ``output`` holds anything but a run, or that of another job.
    """
    check_output(output, resolved, force)
    output.parent.mkdir(parents=True, exist_ok=True)
    partial = _free_name(output, "partial")
    partial.mkdir()
    (partial / RESOLVED).write_text(resolved, encoding="utf-8")
    return RunDirectory(partial=partial, output=output)


def reopen_run_directory(path: Path, force: bool) -> RunDirectory:
    """Find the directory of a run that did not finish.

    Parameters
    ----------
    path
        That directory, or the output that it was to become: then the newest beside it.
    force
        Whether to replace the run of another job that has the output's name.

    Raises
    ------
    blpdask.errors.InputError
        If there is none, or its output may not be written.
    """
    path = path.absolute()
    partial: Path | None = path
    if not _PARTIAL.search(path.name):
        partial = max(partials(path), key=_age, default=None)
    faults = Faults(f"blpdask resume {path}")
    if partial is None and (path / RESULTS).is_dir():
        faults.add(
            "a run that is complete, and none beside it that is not",
            "a run that did not finish",
            f"show it: blpdask show {path}",
        )
    elif partial is None or not (partial / RESOLVED).is_file():
        faults.add(
            f"no run that did not finish: no {RESOLVED} in {partial or path}",
            f"a directory such as {partial or path.with_name(path.name + '.partial-1')}"
            ", or the output that it was to become",
            "check the path; a run that is stopped says where it is",
        )
    faults.check()
    assert partial is not None
    output = partial.with_name(_PARTIAL.sub("", partial.name))
    check_output(output, (partial / RESOLVED).read_text(encoding="utf-8"), force)
    return RunDirectory(partial=partial, output=output)


def partials(output: Path) -> list[Path]:
    """Find the directories of runs that did not finish, beside their output."""
    if not output.parent.is_dir():
        return []
    return [
        path
        for path in output.parent.iterdir()
        if _PARTIAL.sub("", path.name) == output.name != path.name
        and (path / RESOLVED).is_file()
    ]


def unfinished_alike(directory: RunDirectory) -> list[Path]:
    """Find earlier runs of the same job that did not finish and are not under way."""
    job = _job_of(directory.partial)
    return [
        path
        for path in sorted(partials(directory.output), key=_age)
        if path != directory.partial
        and not is_locked(path / LOCK)
        and same_job(_job_of(path), job)
    ]


def resume_command(directory: RunDirectory) -> str:
    """Write the command that goes on with a run that did not finish."""
    command = f"blpdask resume {shlex.quote(str(directory.partial))}"
    job, output = _job_of(directory.partial), directory.output
    other = (output / RESOLVED).is_file() and not same_job(_job_of(output), job)
    return f"{command} --force" if other else command


def check_output(output: Path, resolved: str, force: bool) -> None:
    """Refuse to replace what is not an earlier run of the same job.

    Parameters
    ----------
    output
        Directory that a run would write.
    resolved
        Its resolved job.
    force
        Whether the run of another job may be replaced.
    """
    if not output.exists() or (output.is_dir() and not any(output.iterdir())):
        return
    faults = Faults(str(output))
    if not (output / RESOLVED).is_file():
        faults.add(
            "something there that no run has written",
            "a directory that is new, empty, or of an earlier run",
            "choose another with --output",
        )
    elif not force and not same_job(_job_of(output), read_yaml(resolved, "").content):
        faults.add(
            "the results of another job (other options or other data)",
            "a directory that is new, or of this same job",
            "choose another with --output, or replace that run with --force",
        )
    faults.check()


def _job_of(directory: Path) -> Any:
    """Read the resolved job of an earlier run; what cannot be read is another job."""
    path = directory / RESOLVED
    try:
        return read_yaml(path.read_text(encoding="utf-8"), str(path)).content
    except (InputError, OSError, UnicodeDecodeError):
        return None


def _age(partial: Path) -> int:
    """Say when a run began."""
    return (partial / RESOLVED).stat().st_mtime_ns


def _free_name(output: Path, word: str) -> Path:
    """Find the first name beside the output that nothing has."""
    number = 1
    while (path := output.with_name(f"{output.name}.{word}-{number}")).exists():
        number += 1
    return path
