"""Open what a job is to run on, and close again what was opened.

Workers that a job names by number are processes of this machine, which live as long as
the run; a cluster that it names by its scheduler is only visited. Where the blocks are
worked on never changes a number.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import Faults

if TYPE_CHECKING:
    from .schema import EngineOptions, Job

#: Seconds to wait for a scheduler to write its file.
FILE_SECONDS = 20.0
_CLUSTERS = ("workers", "scheduler", "scheduler_file")
#: Options that say where a job runs; a new answer replaces the whole old one.
_PLACES = ("kind", "threads", "worker_memory", *_CLUSTERS)


def engine_changes(given: Mapping[str, Any]) -> list[str]:
    """Write what a command line says of the engine as changes of a job's options.

    A place that the command line names takes that of the file altogether: ``--workers
    4`` on a job that names a scheduler leaves no scheduler.

    Parameters
    ----------
    given
        Options of the group ``engine`` by name; None for those not given.

    Examples
    --------
    >>> engine_changes({"kind": None, "threads": None})
    []
    >>> engine_changes({"kind": "dask", "threads": None})
    ['engine.threads=null', 'engine.kind="dask"']
    """
    said = {name: value for name, value in given.items() if value is not None}
    dropped: tuple[str, ...] = ()
    if not said.keys().isdisjoint(("threads", *_CLUSTERS)):
        dropped = _PLACES
    elif said.get("kind") == "dask":
        dropped = ("threads",)
    elif "kind" in said:
        dropped = _PLACES
    changes = [f"engine.{name}=null" for name in dropped if name not in said]
    return changes + [f"engine.{name}={json.dumps(v)}" for name, v in said.items()]


@contextmanager
def engine_of(job: Job, report: Path | None = None) -> Iterator[Any]:
    """Give what ``Problem.solve`` takes as its engine, for the length of a block.

    The client of a cluster is this process's active one meanwhile, which is what
    ``engine="dask"`` means.

    Parameters
    ----------
    job
        A resolved job.
    report
        Where to write Dask's performance report, an HTML page; None for none.

    Raises
    ------
    blpdask.errors.InputError
        If there can be no report, or if the scheduler's file is not there.
    blpdask.driver.faults.ClusterError
        If the scheduler does not answer, or if workers do not come.
    """
    options = job.engine
    _check_report(report, options)
    if options.kind != "dask":
        yield options.kind
        return
    with ExitStack() as opened:
        client = opened.enter_context(_client_of(options, profile=report is not None))
        if report is not None:
            from distributed import performance_report

            opened.enter_context(performance_report(str(report)))
        yield client


def count_workers(options: EngineOptions) -> int:
    """Say how many workers a job starts: what it says, or one a usable core."""
    from ..driver.threads import usable_cores

    return options.workers or usable_cores()


def without_cluster(job: Job) -> Job:
    """Give the same job on threads of this process."""
    update = {**dict.fromkeys(_PLACES), "kind": "threads"}
    return job.model_copy(update={"engine": job.engine.model_copy(update=update)})


@contextmanager
def _client_of(options: EngineOptions, *, profile: bool) -> Iterator[Any]:
    """Start workers, or visit a cluster that is there."""
    from ..driver.clusters import connect, local_client

    if options.scheduler is None and options.scheduler_file is None:
        memory = options.worker_memory
        n_workers = count_workers(options)
        with local_client(n_workers, memory_limit=memory, profile=profile) as client:
            yield client
        return
    address = options.scheduler
    if options.scheduler_file is not None:
        address = _read_address(Path(options.scheduler_file))
    with connect(address) as client:
        yield client


def _read_address(path: Path) -> str:
    """Read a scheduler's address from its file, which it may be about to write."""
    faults = Faults(f"engine.scheduler_file = {path}")
    expected = "the file of a scheduler that runs: dask scheduler --scheduler-file FILE"
    deadline = time.monotonic() + FILE_SECONDS
    found = ""
    while time.monotonic() < deadline:
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            return str(content["address"])
        except FileNotFoundError:
            found = f"no such file after {FILE_SECONDS:.0f} s"
        except (OSError, ValueError, KeyError, TypeError) as error:
            found = f"no address in it ({type(error).__name__}: {error})"
        time.sleep(0.1)
    faults.add(found, expected, "start the scheduler, or correct the path")
    faults.check()
    raise AssertionError  # pragma: no cover


def _check_report(report: Path | None, options: EngineOptions) -> None:
    """Refuse a performance report that could not be written after the run."""
    import importlib.util

    if report is None:
        return
    faults = Faults(f"--performance-report {report}")
    if options.kind != "dask":
        faults.add(
            f"engine.kind {options.kind}",
            "a Dask cluster, which is what such a report is about",
            "add --workers, --scheduler or --scheduler-file, or leave the report out",
        )
    if importlib.util.find_spec("bokeh") is None:
        faults.add(
            "the package bokeh is not installed",
            "bokeh, which draws the report",
            "pip install bokeh",
        )
    if not report.absolute().parent.is_dir():
        faults.add(
            f"no directory {report.absolute().parent}",
            "a file in a directory that is there",
            "make it, or choose another",
        )
    faults.check()
