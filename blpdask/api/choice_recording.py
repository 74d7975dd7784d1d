"""What a recording of an estimation of choices is known by, and where it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..errors import Faults
from ..problem.choice_table import ChoiceTable
from ..problem.stored_choices import StoredChoiceTable
from .recorded import check_directory


def contents_of_choices(table: ChoiceTable | StoredChoiceTable) -> Any:
    """Give the choices of a table, or the fingerprint of a store and its columns."""
    if isinstance(table, StoredChoiceTable):
        return (table.store.fingerprint, table.labels)
    return (
        table.X,
        table.labels,
        table.chosen,
        table.situation_offsets,
        table.person_offsets,
        table.weights,
        table.clusters,
        table.demographics,
    )


def choice_directory(resume: Any, initial_states: Any = None) -> Path | None:
    """Read the directory of a recording.

    Raises
    ------
    InputError
        Where it is none, or what is estimated is not known by its data.
    """
    faults = Faults("solve")
    directory = check_directory(resume, faults)
    if directory is not None and initial_states is not None:
        faults.add(
            "resume with initial_states",
            "one or the other: what came before is not in a recording",
            "leave resume out",
        )
    faults.check()
    return directory
