"""Read the choices that a job is about: a table, public data, or a simulated panel."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import Faults
from .choice_schema import ChoiceDataOptions, ChoiceJob
from .data import compare_with_record, fingerprint, read_table
from .sources import add_missing_table, locate_source, locate_store

_PUBLIC = "data:"


@dataclass(frozen=True, slots=True)
class ChoiceData:
    """A table of choices, an alternative a row, or an open store of them."""

    table: Any

    def record(self) -> dict[str, Any]:
        """Describe the data so that they can be known again."""
        if hasattr(self.table, "fingerprint"):
            return {"store": {"fingerprint": self.table.fingerprint}}
        table = {"rows": len(self.table), "sha256": fingerprint(self.table)}
        return {"choices": table}


def add_missing_choices(
    data: ChoiceDataOptions, directory: Path, faults: Faults
) -> None:
    """Add a fault where the data are not where the job says they are."""
    source = data.source
    if source is not None and source.startswith(_PUBLIC):
        from ..api.choice_data_sets import choice_tables

        name = source.removeprefix(_PUBLIC)
        if name not in choice_tables():
            faults.add(
                f"data.source = {source}",
                f"data: and one of {', '.join(choice_tables())}",
                "choose one; 'blpdask data list' says what they hold",
            )
    elif source is not None:
        add_missing_table(source, directory, "data.source", faults)
    if data.store is not None and not locate_store(data.store, directory).is_dir():
        faults.add(
            f"data.store = {data.store}, and there is no such directory",
            "a store of choices, its path relative to the job file",
            "check the path",
        )


def read_choice_data(job: ChoiceJob, directory: Path) -> ChoiceData:
    """Read, fetch or simulate the choices of a job.

    Raises
    ------
    blpdask.errors.InputError
        If a table cannot be read, or is not the one that the job's record names.
    """
    data = ChoiceData(_read(job.data, directory))
    compare_with_record(job.record, data.record())
    return data


def _read(data: ChoiceDataOptions, directory: Path) -> Any:
    """Read the table, give its columns their names and add a lag."""
    if data.store is not None:
        from ..api.choice_stores import open_choice_store

        return open_choice_store(locate_store(data.store, directory))
    if data.simulated is not None:
        import pandas as pd

        from ..simulation.household_panels import simulate_panel

        table = pd.DataFrame(simulate_panel(**data.simulated.model_dump()).data)
    elif data.source is not None and data.source.startswith(_PUBLIC):
        from ..api.choice_data_sets import load_choices

        table = load_choices(data.source.removeprefix(_PUBLIC))
    else:
        assert data.source is not None
        faults = Faults("data")
        path = locate_source(data.source, directory)
        table = read_table(path, "source", faults)
        faults.check()
    table = table.rename(columns=data.rename)
    if data.lag is not None:
        from ..api.choice_lags import build_lagged_choices

        lagged = build_lagged_choices(table)
        table = table.assign(**{data.lag: lagged.values})[lagged.kept]
    return table
