"""Groups of rows that lie in blocks: codes that are the same in every block.

The levels of a variable are its distinct values in all blocks, sorted; those of an
interaction are the distinct pairs of (levels so far, level of the next variable). A
pass over blocks finds each of these, and a worker looks its rows up by bisection. The
codes are those that :func:`blpdask.problem.absorption.group_codes` gives in memory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..driver.engine import Engine
from ..errors import Faults
from ..partitions.source import BlockSource
from ..progress import Listener, StepEvent
from ..records import Integers

Values = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True, eq=False)
class Grouping:
    """How rows of any block are coded.

    Attributes
    ----------
    names
        Variables, interacted.
    values
        Sorted distinct values of each variable found so far.
    pairs
        Sorted distinct keys of each interaction found so far.
    """

    names: tuple[str, ...]
    values: tuple[Values, ...] = ()
    pairs: tuple[Integers, ...] = ()

    @property
    def is_complete(self) -> bool:
        """Tell whether every pass that it needs was made."""
        return len(self.values) == len(self.names) == len(self.pairs) + 1

    @property
    def n_groups(self) -> int:
        """Count the groups."""
        return int((self.pairs[-1] if self.pairs else self.values[0]).size)

    def codes(self, columns: Mapping[str, Values]) -> Integers:
        """Code the rows of a block, ``(N,)``."""
        codes = np.searchsorted(self.values[0], columns[self.names[0]])
        for place, keys in enumerate(self.pairs, start=1):
            found = np.searchsorted(self.values[place], columns[self.names[place]])
            codes = np.searchsorted(keys, codes * self.values[place].size + found)
        return codes.astype(np.int64)

    @property
    def wants_variable(self) -> bool:
        """Tell whether the next pass is to find a variable's values, or pairs."""
        n_values = len(self.values)
        return n_values < len(self.names) and n_values <= len(self.pairs) + 1

    def unknown(self, columns: Mapping[str, Values]) -> Values:
        """Give the rows' values, or keys of pairs, that the next pass is to find."""
        if self.wants_variable:
            return columns[self.names[len(self.values)]]
        place = len(self.pairs) + 1
        found = np.searchsorted(self.values[place], columns[self.names[place]])
        return self.codes(columns) * self.values[place].size + found

    def extended(self, distinct: Values) -> Grouping:
        """Take in what a pass found."""
        if self.wants_variable:
            return Grouping(self.names, (*self.values, distinct), self.pairs)
        return Grouping(self.names, self.values, (*self.pairs, distinct))


@dataclass(frozen=True, slots=True)
class Distinct:
    """Distinct values of a block: one array for each grouping."""

    values: tuple[Values, ...]


def find_groupings(
    terms: Sequence[tuple[str, ...]],
    source: BlockSource,
    engine: Engine,
    *,
    texts: frozenset[str],
    listener: Listener,
) -> tuple[Grouping, ...]:
    """Find the groups that variables, or several interacted, make of all rows.

    Parameters
    ----------
    terms
        Variables of each grouping.
    source
        Loads the variables of a block by name.
    engine
        Where blocks are read.
    texts
        Variables that are codes of text, -1 where missing.
    listener
        Told of every pass.

    Raises
    ------
    InputError
        If a variable has missing values.
    """
    groupings = [Grouping(names) for names in terms]
    if not groupings:
        return ()
    placement = engine.place(source)
    try:
        while open_ := [g for g in groupings if not g.is_complete]:
            listener(StepEvent(0, "Finding the levels of effects"))
            union: list[Values] | None = None
            for distinct in placement.collect(distinct_pass, tuple(open_)):
                found = distinct.values
                union = (
                    list(found)
                    if union is None
                    else [np.union1d(a, b) for a, b in zip(union, found, strict=True)]
                )
            assert union is not None
            extended = iter(union)
            groupings = [
                g if g.is_complete else g.extended(next(extended)) for g in groupings
            ]
    finally:
        placement.close()
    _check_missing(groupings, texts)
    return tuple(groupings)


def distinct_pass(
    columns: Mapping[str, Values], groupings: tuple[Grouping, ...], memory: object
) -> tuple[Distinct, None]:
    """Find the distinct values of a block that groupings do not know yet."""
    del memory
    return Distinct(tuple(np.unique(g.unknown(columns)) for g in groupings)), None


def _check_missing(groupings: Sequence[Grouping], texts: frozenset[str]) -> None:
    """Refuse texts with missing levels."""
    faults = Faults("absorbed fixed effects and clusters")
    for grouping in groupings:
        for name, values in zip(grouping.names, grouping.values, strict=True):
            if name in texts and values[0] == -1:
                faults.add(
                    f"missing values in '{name}'",
                    "a group for every row",
                    "fill them in or drop the rows, and build the store again",
                )
    faults.check()
