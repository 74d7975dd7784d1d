"""Find the table, or the store, that a job names.

A source is a path relative to the job file, or ``pyblp:NAME`` for the example data that
come with an installed PyBLP (Conlon and Gortmaker 2020). Those are found next to that
package without importing it: ``NEVO_PRODUCTS_LOCATION`` is ``data/nevo_products.csv``.
"""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

from ..errors import Faults
from .schema import DataOptions

_EXAMPLE = re.compile(r"pyblp:(.*)")
_EXAMPLE_NAME = re.compile(r"[A-Z]+(_[A-Z]+)*_LOCATION")
_FORMATS = (".csv", ".parquet")


def locate_source(source: str, directory: Path) -> Path:
    """Find the file of a source.

    Parameters
    ----------
    source
        A path, relative to ``directory``, or ``pyblp:NAME``.
    directory
        Directory of the job file.

    Raises
    ------
    blpdask.errors.InputError
        If there is no such file, or PyBLP is not installed.
    """
    faults = Faults("data")
    path = _locate(source, directory, "source", faults)
    faults.check()
    assert path is not None
    return path


def locate_store(store: str, directory: Path) -> Path:
    """Name the directory of a store, a path relative to ``directory``."""
    return (directory / Path(store).expanduser()).resolve()


def add_missing_sources(data: DataOptions, directory: Path, faults: Faults) -> None:
    """Add a fault for every table or store that is not where the job says it is.

    Parameters
    ----------
    data
        Where the job says its tables are.
    directory
        Directory of the job file.
    faults
        What the faults are added to.
    """
    for name in ("products", "agents"):
        table = getattr(data, name)
        if table is not None:
            add_missing_table(table.source, directory, f"data.{name}.source", faults)
    if data.store is not None:
        path = locate_store(data.store, directory)
        if not path.is_dir():
            faults.add(
                f"data.store = {data.store}, and there is no directory {path}",
                "a store, its path relative to the job file",
                "check the path, or make the store: blpdask store JOB --output DIR",
            )


def add_missing_table(
    source: str, directory: Path, option: str, faults: Faults
) -> None:
    """Add a fault where a table is not where an option says it is."""
    _locate(source, directory, option, faults)


def _locate(source: str, directory: Path, option: str, faults: Faults) -> Path | None:
    """Find the file of a source, or add the fault that it is not there."""
    example = _EXAMPLE.fullmatch(source)
    if example:
        return _locate_example(example.group(1), option, faults)
    path = directory / Path(source).expanduser()
    if path.suffix.lower() not in _FORMATS:
        faults.add(
            f"{option} = {source}",
            "a file that ends in .csv or .parquet, or pyblp:NAME",
            "save the table as CSV or Parquet",
        )
    elif not path.is_file():
        faults.add(
            f"{option} = {source}, and there is no file {path}",
            "an existing file, its path relative to the job file",
            "check the path",
        )
    else:
        return path
    return None


def _locate_example(name: str, option: str, faults: Faults) -> Path | None:
    """Find a table of PyBLP's examples."""
    if not _EXAMPLE_NAME.fullmatch(name):
        faults.add(
            f"{option} = pyblp:{name}",
            "a name of pyblp.data, in capitals and ending in _LOCATION",
            "say pyblp:NEVO_PRODUCTS_LOCATION",
        )
        return None
    package = importlib.util.find_spec("pyblp")
    if package is None or not package.submodule_search_locations:
        faults.add(
            f"{option} = pyblp:{name}, and PyBLP is not installed",
            "PyBLP, which these example data come with",
            "pip install 'blpdask[examples]'",
        )
        return None
    folder = Path(package.submodule_search_locations[0]) / "data"
    path = folder / f"{name.removesuffix('_LOCATION').lower()}.csv"
    if not path.is_file():
        known = sorted(f"{file.stem.upper()}_LOCATION" for file in folder.glob("*.csv"))
        faults.add(
            f"{option} = pyblp:{name}", f"one of {', '.join(known)}", "choose one"
        )
        return None
    return path
