"""Arrays of agents by choices as products of few factors, each kept once in a block.

Weights and values of surveys are mostly outer products: v_ij = a_i c_j. Many share
their c, characteristics of products or the indicator of a purchase, at any scale:

    v_ij = a_i c_j   within 4 ε |v_ij|,   a_i = v_ij* / c_j*,   j* = argmax_j |v_ij|,

so that zeros are zeros of both. An array is held against the factors that are there,
then against columns of the data, then against its own rows; what is no product is kept
as a table. What surveys do not ask for, the outside option of an array that begins with
the first product or markets elsewhere, matches anything.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from ..records import Floats, Integers

NONE = -1
_TOLERANCE = 4 * float(np.finfo(np.float64).eps)
#: Cells that a factor is tried on before all are.
_SAMPLE = 512


@dataclass(frozen=True, slots=True)
class Split:
    """Which factors an array is the product of; -1 where it has none of a kind.

    Attributes
    ----------
    agent, choice, table
        Of agents, of first choices and of both.
    second_choice, second_table
        Of second choices, and of agents and those.
    pair, triple
        Of first and second choices, and of agents and both.
    """

    agent: int = NONE
    choice: int = NONE
    table: int = NONE
    second_choice: int = NONE
    second_table: int = NONE
    pair: int = NONE
    triple: int = NONE


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """Where the cells of an array are, agents first, market after market.

    Attributes
    ----------
    agents, choices, places
        ``(V,)`` agent among A, choice among N + T and place in a table of each cell.
    rows
        ``(R,)`` agents that have cells.
    starts, widths
        ``(R,)`` first cell of each of them, and how many there are.
    """

    agents: Integers
    choices: Integers
    places: Integers
    rows: Integers
    starts: Integers
    widths: Integers


def lay_out_cells(
    product_offsets: Integers, agent_offsets: Integers, outside: Sequence[bool | None]
) -> Cells:
    """Lay out the cells of arrays.

    Parameters
    ----------
    product_offsets, agent_offsets
        ``(T + 1,)`` of the block.
    outside
        ``(T,)`` whether the arrays of a market begin with the outside option; None
        where there are none.
    """
    agents, choices, places, rows, widths = [], [], [], [], []
    before = 0
    for t, with_outside in enumerate(outside):
        n = int(agent_offsets[t + 1] - agent_offsets[t])
        K = int(product_offsets[t + 1] - product_offsets[t]) + 1
        if with_outside is not None:
            own = np.arange(K)[0 if with_outside else 1 :]
            people = np.arange(n)
            agents.append(np.repeat(agent_offsets[t] + people, own.size))
            choices.append(np.tile(product_offsets[t] + t + own, n))
            places.append((before + K * people[:, None] + own).ravel())
            rows.append(agent_offsets[t] + people)
            widths.append(np.full(n, own.size))
        before += n * K
    width = _joined(widths)
    starts = np.cumsum(width) - width
    return Cells(
        agents=_joined(agents),
        choices=_joined(choices),
        places=_joined(places),
        rows=_joined(rows),
        starts=starts.astype(np.int64),
        widths=width,
    )


class Factors:
    """The factors of a block's arrays, each once."""

    def __init__(
        self, n_cells: int, agent_columns: Floats, choice_columns: Floats
    ) -> None:
        """Begin with columns of the data.

        Parameters
        ----------
        n_cells
            V + A, the size of a table.
        agent_columns, choice_columns
            ``(·, A)`` and ``(·, N + T)`` that may be factors.
        """
        self._n_cells = n_cells
        self._agents = Pool(agent_columns)
        self._choices = Pool(choice_columns)
        self._tables: list[Floats] = []

    def split(
        self, values: Floats, cells: Cells, tolerance: float = _TOLERANCE
    ) -> Split:
        """Find the factors of an array's cells ``(V,)``, within a relative error."""
        found = self.factor_out(values, cells, tolerance)
        if found is None:
            return Split(table=self.keep_table(values, cells))
        place, choice, agent = found

        def fits(other: Floats) -> bool:
            return _fits(values, cells, other, choice, tolerance)

        return Split(self.use_agent(agent, cells.rows, tolerance, fits), place)

    def factor_out(
        self, values: Floats, cells: Cells, tolerance: float
    ) -> tuple[int, Floats, Floats] | None:
        """Find a factor of choices; None where there is none.

        Returns
        -------
        tuple
            Its place, the factor ``(N + T,)``, and what is left to agents ``(A,)``.
        """
        agents = partial(row_factor, values, cells, find_pivots(values, cells))
        size = self._agents.size
        for place, choice in self._choices.candidates():
            agent = agents(choice, size, tolerance)
            if agent is not None:
                return self._choices.use(place), choice, agent
        own = self._own_choice(values, cells)
        agent = agents(own, size, tolerance)
        return None if agent is None else (self._choices.add(own), own, agent)

    def use_agent(
        self,
        agent: Floats,
        rows: Integers,
        tolerance: float,
        fits: Callable[[Floats], bool] = lambda other: True,
    ) -> int:
        """Use a factor of agents, or one that is near it in some rows and fits."""
        own = agent[rows]
        for place, other in self._agents.candidates():
            near = np.abs(other[rows] - own) <= tolerance * np.abs(own)
            if near.all() and fits(other):
                return self._agents.use(place)
        return self._agents.add(agent)

    @property
    def choices(self) -> Pool:
        """Factors of choices, ``(N + T,)`` each."""
        return self._choices

    def arrays(self) -> tuple[Floats, Floats, Floats]:
        """Give factors ``(FA, A)`` and ``(FC, N + T)``, and tables ``(FT, V + A)``."""
        tables = np.array(self._tables).reshape(len(self._tables), self._n_cells)
        return self._agents.used(), self._choices.used(), tables

    def _own_choice(self, values: Floats, cells: Cells) -> Floats:
        """Take an array's own rows, the first of each market that is not zero."""
        choice = np.zeros(self._choices.size)
        if not values.size:
            return choice
        found = np.flatnonzero(np.add.reduceat(values != 0, cells.starts))
        markets = cells.choices[cells.starts + cells.widths - 1][found]
        _, firsts = np.unique(markets, return_index=True)
        for row in found[firsts]:
            own = slice(cells.starts[row], cells.starts[row] + cells.widths[row])
            choice[cells.choices[own]] = values[own]
        return choice

    def keep_table(self, values: Floats, cells: Cells) -> int:
        """Keep an array as it is, once."""
        table = np.zeros(self._n_cells)
        table[cells.places] = values
        for place, other in enumerate(self._tables):
            if np.array_equal(table, other):
                return place
        self._tables.append(table)
        return len(self._tables) - 1


class Pool:
    """Rows that may be factors, and which of them are; the first is one everywhere."""

    def __init__(self, columns: Floats) -> None:
        """Begin with columns, ``(·, size)``."""
        self.size = columns.shape[1]
        self._rows = [np.ones(self.size), *columns]
        self._used: list[int] = []

    def candidates(self) -> list[tuple[int, Floats]]:
        """List the rows, one everywhere first, then those in use."""
        order = dict.fromkeys([0, *self._used, *range(len(self._rows))])
        return [(place, self._rows[place]) for place in order]

    def use(self, place: int) -> int:
        """Use a row, and give its place among those in use; none for ones."""
        if place == 0:
            return NONE
        if place not in self._used:
            self._used.append(place)
        return self._used.index(place)

    def add(self, row: Floats) -> int:
        """Use a row that was not there."""
        self._rows.append(row)
        return self.use(len(self._rows) - 1)

    def used(self) -> Floats:
        """Give the rows in use."""
        rows = [self._rows[place] for place in self._used]
        return np.array(rows).reshape(len(rows), self.size)


def row_factor(
    values: Floats,
    cells: Cells,
    pivots: Integers,
    column: Floats,
    size: int,
    tolerance: float,
) -> Floats | None:
    """Find the factor of rows beside one of columns; None where there is none.

    Parameters
    ----------
    values, cells
        An array's cells, those of a row side by side.
    pivots
        What :func:`find_pivots` finds in them.
    column
        The factor of columns.
    size
        How many rows there are; those without cells get one.
    tolerance
        Relative error that is allowed.
    """
    with np.errstate(all="ignore"):
        most = values[pivots]
        found = np.where(most == 0, 0.0, most / column[cells.choices[pivots]])
    row = np.ones(size)
    row[cells.rows] = found
    return row if _fits(values, cells, row, column, tolerance) else None


def find_pivots(values: Floats, cells: Cells) -> Integers:
    """Find the cell of each row where an array is largest."""
    sizes = np.abs(values)
    if not sizes.size:
        return np.empty(0, np.int64)
    most = np.repeat(np.maximum.reduceat(sizes, cells.starts), cells.widths)
    places = np.where(sizes == most, np.arange(sizes.size), sizes.size)
    return np.minimum.reduceat(places, cells.starts)


def _fits(
    values: Floats, cells: Cells, agent: Floats, choice: Floats, tolerance: float
) -> bool:
    """Tell whether an array is the product of two factors, in some cells, then all."""
    step = max(1, values.size // _SAMPLE)
    for part in (slice(None, None, step), slice(None)):
        own = values[part]
        with np.errstate(all="ignore"):
            found = agent[cells.agents[part]] * choice[cells.choices[part]]
            if not (np.abs(own - found) <= tolerance * np.abs(own)).all():
                return False
    return True


def _joined(parts: Sequence[Integers]) -> Integers:
    """Join arrays of whole numbers, of which there may be none."""
    return np.concatenate([np.empty(0, np.int64), *parts]).astype(np.int64)
