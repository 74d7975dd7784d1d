"""Say which public data sets there are, which are fetched, and what to cite."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from ..results.text_tables import text_table
from .data_cache import data_folder, state_of
from .data_sets import DATA_SETS, DataSet

_HEADER = (
    "Name",
    "Fetched",
    "Choices",
    "Alternatives",
    "People",
    "From",
    "Licence of project",
)
_WIDTH = 88


def data_table(data_sets: Sequence[DataSet] = DATA_SETS) -> str:
    """List public data sets: sizes, whence, what is fetched, contents and sources.

    Examples
    --------
    >>> print(data_table(())[:12])
    Public data:
    """
    folder = data_folder()
    rows = [
        [
            data_set.name,
            state_of(data_set, folder).value,
            f"{data_set.choices:,}",
            f"{data_set.alternatives:,}",
            f"{data_set.people:,}",
            f"{data_set.wheel.package} {data_set.wheel.version}",
            data_set.wheel.licence,
        ]
        for data_set in data_sets
    ]
    return "\n".join(
        [
            text_table("Public data", _HEADER, rows),
            "Alternatives: at most. The data's own terms are not stated by the "
            "projects: cite sources.",
            *(_describe(data_set) for data_set in data_sets),
            f"\nFetched data are in {folder}. Fetch with: blpdask data fetch NAME",
        ]
    )


def _describe(data_set: DataSet) -> str:
    """Say what a data set holds and what to cite."""
    text = f"{data_set.name}: {data_set.contents} Source: {data_set.source}"
    return "\n" + textwrap.fill(
        text,
        _WIDTH,
        subsequent_indent="  ",
        break_long_words=False,
        break_on_hyphens=False,
    )
