"""Values of a survey's parts that are linear in one another, where it looks.

The values of a dataset's parts, a row a cell of positive weight, make a matrix V whose
triangular factor R, V = QR, has on its diagonal the norm of what the columns before
leave of each. It is held against atol + rtol sd(v), as PyBLP does. Rows are never all
there at once: if V_b = Q_b R_b then R is that of the stacked R_b.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import DataWarning
from ..records import Floats


@dataclass(frozen=True, slots=True, eq=False)
class ValueFactor:
    """What is known of a matrix of values, P parts, without its rows.

    Attributes
    ----------
    n
        Rows.
    sums, squares
        ``(P,)`` of columns, and of their squares.
    R
        ``(at most P, P)`` triangular factor.
    """

    n: int
    sums: Floats
    squares: Floats
    R: Floats

    def joined(self, other: ValueFactor) -> ValueFactor:
        """Add rows."""
        return ValueFactor(
            self.n + other.n,
            self.sums + other.sums,
            self.squares + other.squares,
            _triangle(np.vstack([self.R, other.R])),
        )

    def collinear(self, atol: float, rtol: float) -> list[int]:
        """List the columns that the columns before them explain."""
        left = np.zeros(self.sums.size)
        left[: len(self.R)] = np.abs(np.diag(self.R))
        spread = np.sqrt(
            np.maximum(self.squares / self.n - (self.sums / self.n) ** 2, 0.0)
        )
        return np.flatnonzero(left < atol + rtol * spread).tolist()


def factor_values(values: Floats) -> ValueFactor:
    """Factor a matrix of values, ``(n, P)``."""
    return ValueFactor(
        len(values),
        values.sum(axis=0),
        np.einsum("np,np->p", values, values),
        _triangle(values),
    )


class ValueFactors:
    """Values of parts as they are evaluated, until a block's are all there."""

    def __init__(self) -> None:
        """Begin with none."""
        self._values: dict[str, list[Floats]] = {}
        self._found: dict[int, ValueFactor] = {}

    def add(self, part: str, values: Floats) -> None:
        """Take values of a part, by its label, where weights are positive."""
        self._values.setdefault(part, []).append(values)

    def close(self, dataset: int, parts: Iterable[str]) -> None:
        """Factor the values of a dataset's parts, and let go of them."""
        columns = [np.concatenate(self._values.pop(p, [np.empty(0)])) for p in parts]
        # Of a part at fault there are not all values.
        if len(columns) > 1 and columns[0].size and _are_alike(columns):
            self._found[dataset] = factor_values(np.column_stack(columns))

    def take(self) -> tuple[tuple[int, ValueFactor], ...]:
        """Give what a block's values made of each dataset, and begin anew."""
        found, self._found = self._found, {}
        return tuple(found.items())


def join_factors(found: Iterable[tuple[int, ValueFactor]]) -> dict[int, ValueFactor]:
    """Join the factors of datasets on blocks, in order, by dataset."""
    whole: dict[int, ValueFactor] = {}
    for dataset, factor in found:
        before = whole.get(dataset)
        whole[dataset] = factor if before is None else before.joined(factor)
    return whole


def warn_of_collinear_parts(
    factor: ValueFactor, labels: Sequence[str], dataset: str, atol: float, rtol: float
) -> None:
    """Warn of parts whose values other parts of a dataset explain, naming them."""
    found = [labels[p] for p in factor.collinear(atol, rtol)]
    if found:
        warnings.warn(
            f"collinear micro parts: [{', '.join(found)}] can be written in terms of "
            f"the parts before them on the micro dataset '{dataset}'; leave out the "
            "moments of some, or set options.detect_micro_collinearity = False not to "
            "be told",
            DataWarning,
            stacklevel=2,
        )


def _triangle(values: Floats) -> Floats:
    """Give the triangular factor of a matrix."""
    return np.asarray(np.linalg.qr(values, mode="r"))


def _are_alike(columns: Sequence[Floats]) -> bool:
    return len({column.size for column in columns}) == 1
