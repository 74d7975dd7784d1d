"""Write a job down completely, so that it can be run again anywhere.

The resolved job has every default filled in, every seed written out, paths that do not
depend on the working directory, and a record of the versions and data it ran with. It
is itself a job.
"""

from __future__ import annotations

import platform
from importlib import metadata
from pathlib import Path
from typing import Any

from .consistency import SEEDED_RULES
from .schema import EngineOptions, Job, TableSource
from .sources import locate_store
from .yaml_text import write_yaml

_PACKAGES = ("numpy", "scipy", "pandas", "numba", "zarr", "formulaic", "cupy", "pyblp")


def resolve_job(job: Job, directory: Path) -> Job:
    """Fill in what a job leaves to its surroundings.

    Parameters
    ----------
    job
        The job.
    directory
        Directory of its file.

    Returns
    -------
    Job
        The same job with absolute paths and with its seed wherever one is used.
    """
    sources: dict[str, Any] = {
        name: TableSource(source=absolute_source(table.source, directory))
        for name in ("products", "agents")
        if (table := getattr(job.data, name)) is not None
    }
    if job.data.store is not None:
        sources["store"] = str(locate_store(job.data.store, directory))
    integration = job.integration
    if integration is not None and integration.specification in SEEDED_RULES:
        options = {"seed": job.seed, **integration.specification_options}
        integration = integration.model_copy(update={"specification_options": options})
    solve, resample = job.solve, job.solve.resample
    if resample is not None and resample.seed is None:
        seeded = resample.model_copy(update={"seed": job.seed})
        solve = solve.model_copy(update={"resample": seeded})
    return job.model_copy(
        update={
            "data": job.data.model_copy(update=sources),
            "integration": integration,
            "solve": solve,
            "engine": resolve_engine(job.engine, directory),
        }
    )


def resolve_engine(engine: EngineOptions, directory: Path) -> EngineOptions:
    """Say which kind of engine is meant, and where its scheduler's file is.

    Parameters
    ----------
    engine
        Options of the engine, which do not contradict one another.
    directory
        Directory of the job file.

    Examples
    --------
    >>> resolve_engine(EngineOptions(workers=4), Path("/jobs")).kind
    'dask'
    """
    update: dict[str, Any] = {"kind": kind_of(engine)}
    if engine.scheduler_file is not None:
        update["scheduler_file"] = absolute_source(engine.scheduler_file, directory)
    return engine.model_copy(update=update)


def kind_of(engine: EngineOptions) -> str:
    """Say which kind of engine is meant: dask where a cluster is named, else threads.

    Parameters
    ----------
    engine
        Options of the engine.
    """
    if engine.kind is not None:
        return engine.kind
    cluster = engine.workers or engine.scheduler or engine.scheduler_file
    return "dask" if cluster else "threads"


def write_resolved(job: Any, data: Any) -> str:
    """Write a resolved job with the record of its versions and data.

    Parameters
    ----------
    job
        A resolved job.
    data
        The tables that it reads.

    Returns
    -------
    str
        YAML, which is itself a job.
    """
    record = {"versions": versions(), "data": data.record()}
    content = _plain({**job.model_dump(), "record": record})
    comment = (
        f"The job {job.name} as it was run: every option with its default filled in.\n"
        "Run it again with: blpdask run resolved.yaml"
    )
    return write_yaml(content, comment)


def versions() -> dict[str, str]:
    """Give the versions of blpdask, of Python and of the packages that compute."""
    found = {"blpdask": _version("blpdask"), "python": platform.python_version()}
    found |= {name: _version(name) for name in _PACKAGES}
    return {name: version for name, version in found.items() if version}


def same_job(content: Any, other: Any) -> bool:
    """Whether two resolved jobs have the same options and the same data.

    Parameters
    ----------
    content, other
        What the two YAML files say. Versions may differ, and so may the engine, which
        never changes the numbers.
    """
    if not isinstance(content, dict) or not isinstance(other, dict):
        return False
    return _identity(content) == _identity(other)


def _identity(content: dict[str, Any]) -> dict[str, Any]:
    """Leave of a resolved job what decides its numbers."""
    kept = {k: v for k, v in content.items() if k not in ("engine", "description")}
    record = kept.pop("record", None)
    kept["data_record"] = record.get("data") if isinstance(record, dict) else None
    return kept


def absolute_source(source: str, directory: Path) -> str:
    """Make a path absolute; PyBLP's example data and public data stay as they are."""
    if source.startswith(("pyblp:", "data:")):
        return source
    return str((directory / Path(source).expanduser()).resolve())


def _plain(value: Any) -> Any:
    """Turn tuples into lists, all the way down."""
    if isinstance(value, dict):
        return {name: _plain(entry) for name, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(entry) for entry in value]
    return value


def _version(package: str) -> str:
    """Give the version of an installed package, or nothing."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""
