"""Micro moments in words: what is compared with what, in tables and in files.

Functions of the user's are not kept with results; names, what was observed and where
are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ..records import Floats
from .text_tables import Header, format_number, text_table


@dataclass(frozen=True, slots=True)
class MicroLine:
    """A part of a moment.

    Attributes
    ----------
    part, dataset
        Names.
    observations
        N_d.
    n_markets
        Markets of the dataset; None for all.
    """

    part: str
    dataset: str
    observations: int
    n_markets: int | None


@dataclass(frozen=True, slots=True)
class MicroSummary:
    """A micro moment.

    Attributes
    ----------
    name
        Of the moment.
    observed
        f̄.
    lines
        Its parts.
    """

    name: str
    observed: float
    lines: tuple[MicroLine, ...]


def micro_table(
    moments: Sequence[MicroSummary],
    values: Floats | None = None,
    digits: int = 7,
) -> str:
    """Print micro moments, a line a part, as PyBLP does.

    Parameters
    ----------
    moments
        The moments.
    values
        ``(MM,)`` f(v), or None before there are estimates.
    digits
        Of numbers.
    """
    estimated: list[Header] = [] if values is None else ["Estimated", "Difference"]
    header: list[Header] = ["Observed", *estimated, "Moment"]
    header += ["Part", "Dataset", "Observations", "Markets"]
    rows = []
    for m, moment in enumerate(moments):
        cells = [format_number(moment.observed, digits)]
        if values is not None:
            value = float(np.ravel(values)[m])
            both = (value, moment.observed - value)
            cells += [format_number(number, digits) for number in both]
        cells.append(moment.name)
        for line in moment.lines:
            rows.append([*cells, *_cells(line)])
            cells = [""] * len(cells)
    title = "Micro Moments" if values is None else "Estimated Micro Moments"
    return text_table(title, header, rows)


def as_plain(moments: Sequence[MicroSummary]) -> list[dict[str, Any]]:
    """Write moments as JSON has them."""
    return [asdict(moment) for moment in moments]


def from_plain(plain: Sequence[Mapping[str, Any]]) -> tuple[MicroSummary, ...]:
    """Read moments from JSON."""
    return tuple(
        MicroSummary(
            name=moment["name"],
            observed=moment["observed"],
            lines=tuple(MicroLine(**line) for line in moment["lines"]),
        )
        for moment in plain
    )


def _cells(line: MicroLine) -> list[str]:
    """Write a part."""
    markets = "All" if line.n_markets is None else str(line.n_markets)
    return [line.part, line.dataset, str(line.observations), markets]
