"""Run a job: from a file to a directory of results.

Five stages: read the job and check it; read the data; build the problem; solve it,
writing every sum and every evaluation down; save. Whatever stops a run, what it has
computed stays, and the run can be resumed from there.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import InputError, NumericalError, StoreError
from ..partitions.run_log import LOG as SUMS
from ..progress import Event, Listener, StepEvent, silent
from .kinds import JobKind, kind_of_job
from .listeners import (
    evaluation_listener,
    log_listener,
    read_evaluations,
    run_log,
    tell_all,
)
from .load import load_job
from .resolve import write_resolved
from .run_directory import (
    ESTIMATES,
    EVALUATIONS,
    LOG,
    RESULTS,
    STARTS,
    SUMMARY,
    RunDirectory,
    open_run_directory,
    resume_command,
    unfinished_alike,
)


@dataclass(frozen=True, slots=True)
class PreparedJob:
    """A job that can be solved: its options, its tables and its problem."""

    job: Any
    data: Any
    problem: Any

    @property
    def kind(self) -> JobKind:
        """What kind of job it is."""
        return kind_of_job(self.job)


@dataclass(frozen=True, slots=True)
class FinishedRun:
    """What a run found, and where it is.

    Attributes
    ----------
    output
        Directory of the run.
    results
        Its results.
    summary
        Its figures, which ``summary.json`` holds too.
    """

    output: Path
    results: Any
    summary: dict[str, Any]


def prepare_job(path: Path | str, overrides: Sequence[str] = ()) -> PreparedJob:
    """Read a job and its data, and build its problem.

    Parameters
    ----------
    path
        The job file.
    overrides
        Texts of the form ``option.path=value`` that replace what the file says.

    Raises
    ------
    blpdask.errors.InputError
        With every fault of the file, or of the data.
    """
    loaded = load_job(path, overrides)
    kind = kind_of_job(loaded.job)
    job = kind.resolve(loaded.job, loaded.path.parent)
    data = kind.read(job, loaded.path.parent)
    with quiet():
        problem = kind.build(job, data)
    kind.check(job, data, problem)
    return PreparedJob(job=job, data=data, problem=problem)


def run_job(
    prepared: PreparedJob,
    *,
    output: Path | None = None,
    force: bool = False,
    listener: Listener = silent,
) -> FinishedRun:
    """Solve a job and save its results.

    Parameters
    ----------
    prepared
        The job.
    output
        Directory to write, by default ``results/<name>``.
    force
        Whether to replace the run of another job that is there.
    listener
        Called with every event, beside the files that are always written.

    Returns
    -------
    FinishedRun
        Results, whether or not the optimiser converged.

    Raises
    ------
    blpdask.errors.InputError
        If the directory or a parameter's shape is refused.

    Notes
    -----
    An exception that stops the run, KeyboardInterrupt included, carries a note that
    says what is kept and where, and how to go on.
    """
    directory = open_run_directory(
        (output or Path("results") / prepared.job.name).absolute(),
        write_resolved(prepared.job, prepared.data),
        force,
    )
    for earlier in unfinished_alike(directory):
        command = resume_command(RunDirectory(earlier, directory.output))
        text = "An earlier run of this job did not finish, and this is a new one."
        listener(StepEvent(0, f"{text} Go on with that one: {command}"))
    return solve_in(prepared, directory, listener)


def solve_in(
    prepared: PreparedJob, directory: RunDirectory, listener: Listener
) -> FinishedRun:
    """Solve in a directory, save there, and give the directory its name.

    Parameters
    ----------
    prepared
        The job.
    directory
        New, or of the same job's run that did not finish, which then goes on.
    listener
        Called with every event, those that are replayed included.

    Raises
    ------
    blpdask.errors.StoreError
        If another process works there, or what was recorded cannot be used.
    """
    job, partial = prepared.job, directory.partial
    with directory.alone(), _noting(directory):
        began = time.perf_counter()
        replayed = len(read_evaluations(partial / EVALUATIONS))
        results = _solve(prepared, partial, listener)
        seconds = time.perf_counter() - began
        summary = prepared.kind.summarise(job, results, seconds, replayed)
        summary |= prepared.kind.answer(job, prepared.data, results, partial)
        several = job.solve.starts is not None
        starts = prepared.kind.starts(results) if several else None
        _save(results, summary, starts, partial)
    with _noting(directory):
        directory.complete()
    return FinishedRun(output=directory.output, results=results, summary=summary)


def evaluate_job(prepared: PreparedJob) -> Any:
    """Evaluate the objective of a job once, at its starting values, for results there.

    Parameters
    ----------
    prepared
        The job.
    """
    arguments = prepared.kind.trial(prepared.job)
    return prepared.problem.solve(**arguments, progress=silent)


def check_arguments(prepared: PreparedJob) -> None:
    """Let a solve check its arguments, and stop it before it computes anything.

    Raises
    ------
    blpdask.errors.InputError
        With every fault of the arguments.
    """

    def stop(event: Event) -> None:
        raise _ArgumentsAreGood

    with suppress(_ArgumentsAreGood):
        prepared.problem.solve(**prepared.kind.arguments(prepared.job), progress=stop)


class _ArgumentsAreGood(Exception):
    """A solve came as far as its first event."""


@contextmanager
def quiet() -> Iterator[None]:
    """Let the problem not print itself, as it does for scripts."""
    from .. import options

    verbose = options.verbose
    options.verbose = False
    try:
        yield
    finally:
        options.verbose = verbose


@contextmanager
def _noting(directory: RunDirectory) -> Iterator[None]:
    """Add to whatever stops a run what is kept of it."""
    try:
        yield
    except BaseException as error:
        error.add_note(_what_is_kept(directory, error))
        raise


def _solve(prepared: PreparedJob, partial: Path, listener: Listener) -> Any:
    """Solve the problem, writing down sums, evaluations, steps and warnings."""

    def show_warning(text: str) -> None:
        listener(StepEvent(0, text))

    arguments = prepared.kind.arguments(prepared.job) | {"resume": partial}
    with (
        run_log(partial / LOG, show_warning) as log,
        evaluation_listener(partial / EVALUATIONS) as evaluations,
    ):
        log.info("job %s begins", prepared.job.name)
        results = prepared.problem.solve(
            **arguments, progress=tell_all(evaluations, log_listener(log), listener)
        )
        log.info("the search ended, converged: %s", results.converged)
    return results


def _save(results: Any, summary: dict[str, Any], starts: Any, partial: Path) -> None:
    """Write results, estimates and summary; the results get their name last."""
    for left in partial.glob(f"*{RESULTS}*"):  # by a run that was killed in here
        shutil.rmtree(left)
    unfinished = partial / f"{RESULTS}.unfinished"
    text = json.dumps(summary, indent=2) + "\n"
    try:
        results.save(unfinished)
        results.to_frame().to_csv(partial / ESTIMATES, index=False)
        if starts is not None:
            starts.to_csv(partial / STARTS, index=False)
        (partial / SUMMARY).write_text(text, encoding="utf-8")
        unfinished.rename(partial / RESULTS)
    except OSError as error:
        raise StoreError(
            f"found: the results cannot be written to {partial}: {error.strerror}\n"
            "  expected: a disk with room\n  what to do: make room, then resume the run"
        ) from error


def _what_is_kept(directory: RunDirectory, error: BaseException) -> str:
    """Say what a run that was stopped leaves; faults of the input leave nothing."""
    evaluations = read_evaluations(directory.partial / EVALUATIONS)
    recorded = (directory.partial / SUMS).exists()
    if isinstance(error, InputError) and not evaluations and not recorded:
        shutil.rmtree(directory.partial)
        return "Nothing was evaluated, and nothing is kept."
    kept = f"Kept in {directory.partial}: the resolved job, the log and "
    kept += f"{len(evaluations)} evaluations ({EVALUATIONS})"
    last = evaluations[-1]["step"] if evaluations else 0
    values = [
        e for e in evaluations if e["objective"] is not None and e["step"] == last
    ]
    if values:
        best = min(values, key=lambda evaluation: float(evaluation["objective"]))
        kept += (
            f", of which the lowest objective of GMM step {last} is "
            f"{best['objective']:.9g}"
        )
    kept = f"{kept}. There are no results."
    if _would_end_alike(error):
        return kept
    return f"{kept}\nGo on from there: {resume_command(directory)}"


def _would_end_alike(error: BaseException) -> bool:
    """Whether a run that is resumed would be stopped by the same error again."""
    damaged = isinstance(error, StoreError) and error.__cause__ is None
    return damaged or isinstance(error, InputError | NumericalError)
