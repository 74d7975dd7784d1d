"""Tables of text: a title, a header, rows, and what stands above a column."""

from __future__ import annotations

from collections.abc import Sequence

Header = str | tuple[str, str]


def text_table(
    title: str, header: Sequence[Header], rows: Sequence[Sequence[str]]
) -> str:
    """Lay out a table of centred cells.

    Parameters
    ----------
    title
        Printed above, with a colon.
    header
        One cell a column, of one line or a pair of lines.
    rows
        Cells of each row, at most one a column.

    Examples
    --------
    >>> print(text_table("Sizes", ["T", ("Random", "Draws")], [["94", "20"]]))
    Sizes:
    ==========
         Random
    T    Draws
    --   ------
    94     20
    ==========
    """
    tall = any(isinstance(cell, tuple) for cell in header)
    top = [_line(cell, 0) for cell in header] if tall else []
    bottom = [_line(cell, 1) for cell in header]
    padded = [[*row, *[""] * (len(header) - len(row))] for row in rows]
    widths = [
        max(len(line[c]) for line in [*([top] if tall else []), bottom, *padded])
        for c in range(len(header))
    ]
    lines = [_join(top, widths)] if tall else []
    lines += [_join(bottom, widths), _join(["-" * w for w in widths], widths)]
    lines += [_join(row, widths) for row in padded]
    rule = "=" * max(len(line) for line in lines)
    return "\n".join([f"{title}:", rule, *lines, rule])


def format_number(value: float, digits: int = 7) -> str:
    """Write a number with its sign in scientific notation, as PyBLP does.

    Examples
    --------
    >>> format_number(-30.0977552)
    '-3.009776E+01'
    """
    return f"{value:+.{digits - 1}E}"


def _line(cell: Header, line: int) -> str:
    if isinstance(cell, tuple):
        return cell[line]
    return cell if line == 1 else ""


def _join(cells: Sequence[str], widths: Sequence[int]) -> str:
    joined = "   ".join(c.center(w) for c, w in zip(cells, widths, strict=True))
    return joined.rstrip()
