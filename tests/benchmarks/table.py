"""One table: what was measured, a peer's number beside blpdask's.

The peer is PyBLP, and in the case of choices of people xlogit.

A row is a measure of a case. Its numbers are samples, one a repeat, and the table shows
their medians; the JSON file keeps all.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Literal

from .measure import Span

Comparison = Literal["ratio", "apart", "none"]
HEADERS = ("case", "measure", "unit", "peer", "blpdask", "peer : blpdask", "note")


@dataclass(frozen=True, slots=True)
class Row:
    """One measure.

    Attributes
    ----------
    case, measure, unit
        What was measured.
    peer, blpdask
        Samples, one a repeat; empty where a package has no such thing.
    comparison
        ``"ratio"`` of the medians, how far they are ``"apart"`` (relative to the
        larger), or ``"none"``.
    digits
        Significant digits shown.
    note
        What a reader needs to know.
    """

    case: str
    measure: str
    unit: str = ""
    peer: tuple[float, ...] = ()
    blpdask: tuple[float, ...] = ()
    comparison: Comparison = "ratio"
    digits: int = 4
    note: str = ""

    @property
    def compared(self) -> float | None:
        """Compare the medians."""
        if not self.peer or not self.blpdask or self.comparison == "none":
            return None
        ours, theirs = median(self.blpdask), median(self.peer)
        if self.comparison == "ratio":
            return theirs / ours if ours else None
        larger = max(abs(ours), abs(theirs))
        return abs(ours - theirs) / larger if larger else 0.0


@dataclass(frozen=True, slots=True)
class Table:
    """Rows, and the machine that they belong to."""

    facts: Mapping[str, str]
    rows: tuple[Row, ...]


def time_rows(
    case: str,
    measure: str,
    peer: Sequence[Span],
    blpdask: Sequence[Span],
    *,
    scale: float = 1.0,
    unit: str = "s",
    note: str = "",
) -> list[Row]:
    """Make two rows, of wall and of CPU seconds."""
    return [
        Row(
            case,
            f"{measure}, {kind}",
            unit,
            tuple(scale * getattr(span, name) for span in peer),
            tuple(scale * getattr(span, name) for span in blpdask),
            note=note,
        )
        for kind, name in (("wall", "wall"), ("CPU", "cpu"))
    ]


def render(table: Table) -> str:
    """Write the facts as a list and the rows as a Markdown table."""
    facts = "\n".join(f"- {name}: {value}" for name, value in table.facts.items())
    lines = [HEADERS, *[_cells(row) for row in table.rows]]
    widths = [max(len(line[k]) for line in lines) for k in range(len(HEADERS))]
    ruler = "|".join("-" * (width + 2) for width in widths)
    text = [_line(line, widths) for line in lines]
    return "\n".join([facts, "", text[0], f"|{ruler}|", *text[1:]])


def write_json(table: Table, path: Path) -> None:
    """Write facts and rows with all their samples."""
    rows = [{**asdict(row), "compared": row.compared} for row in table.rows]
    content = {"facts": dict(table.facts), "rows": rows}
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = (cell.ljust(w) for cell, w in zip(cells, widths, strict=True))
    return f"| {' | '.join(padded)} |"


def _cells(row: Row) -> tuple[str, ...]:
    compared = row.compared
    said = ""
    if compared is not None:
        apart = row.comparison == "apart"
        said = f"{compared:.1e} apart" if apart else f"{_number(compared, 3)} x"
    return (
        row.case,
        row.measure,
        row.unit,
        _median(row.peer, row.digits),
        _median(row.blpdask, row.digits),
        said,
        row.note,
    )


def _median(samples: Sequence[float], digits: int) -> str:
    return _number(median(samples), digits) if samples else ""


def _number(value: float, digits: int) -> str:
    """Write significant digits, without an exponent where that stays short."""
    if float(value).is_integer() and abs(value) < 1e9:
        return str(int(value))
    if 10**digits <= abs(value) < 1e9:
        return f"{value:.0f}"
    return f"{value:.{digits}g}"
