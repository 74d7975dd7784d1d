"""Blocks of people that are asked a question, each with the situations it is about.

People, their draws and what they chose are those of the estimation; the situations that
they are asked about are of any table: of its own data, at other prices, without an
alternative. A question's rows are cut where a source for some blocks is made, so that
each worker gets those of its own people and no others.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..choice_records import ChoiceBlock
from ..kernels.choice_answers import Situations
from ..partitions.sealed import digest
from ..partitions.source import BlockSource, count_bytes
from ..records import Floats, Integers


@dataclass(frozen=True, slots=True, eq=False)
class AskedSituations:
    """Situations of people, and what else of their rows a question is about.

    Attributes
    ----------
    situations
        Of I people.
    codes
        ``(N,)`` places of alternatives among all; of size zero where they have none.
    values
        ``(N,)`` of the variable that the question is about, or of size zero.
    """

    situations: Situations
    codes: Integers
    values: Floats

    def of_people(self, first: int, stop: int) -> AskedSituations:
        """Take the situations of people from ``first`` to before ``stop``."""
        all_of = self.situations
        s0, s1 = (int(all_of.person_offsets[place]) for place in (first, stop))
        r0, r1 = (int(all_of.situation_offsets[place]) for place in (s0, s1))
        return AskedSituations(
            situations=Situations(
                X=all_of.X[r0:r1],
                situation_offsets=all_of.situation_offsets[s0 : s1 + 1] - r0,
                person_offsets=all_of.person_offsets[first : stop + 1] - s0,
                slopes=all_of.slopes[r0:r1],
            ),
            codes=self.codes[r0:r1],
            values=self.values[r0:r1],
        )


@dataclass(frozen=True, slots=True, eq=False)
class AskedPeople:
    """People who are asked: what an engine works on.

    Attributes
    ----------
    block
        The people, with draws and what they chose.
    asked
        What they are asked about.
    """

    block: ChoiceBlock
    asked: AskedSituations


class AskedChoices:
    """A block source of people who are asked a question."""

    def __init__(self, people: BlockSource, asked: AskedSituations) -> None:
        """Keep blocks of people, and situations of all of them."""
        self._people = people
        self._asked: AskedSituations | None = asked
        edges = np.cumsum([people.load(b).n_people for b in range(len(people))])
        self._edges: tuple[int, ...] = (0, *edges.tolist())
        self._held: dict[int, AskedSituations] = {}
        self.name = digest((people.name, asked))

    @property
    def scratch(self) -> Path | None:
        """Where workers leave what they share."""
        return self._people.scratch

    def __len__(self) -> int:
        """Count the blocks."""
        return len(self._people)

    def load(self, index: int) -> AskedPeople:
        """Load people and give them what they are asked."""
        return AskedPeople(self._people.load(index), self._cut(index))

    def size(self, index: int) -> int:
        """Estimate the bytes of a loaded block."""
        return self._people.size(index) + count_bytes(self._cut(index))

    def describe(self, index: int) -> str:
        """Name a block, with its people."""
        return self._people.describe(index)

    def only(self, indices: Iterable[int]) -> AskedChoices:
        """Give the same source with people and situations of these blocks alone."""
        kept = list(indices)
        other = copy.copy(self)
        other._held = {index: self._cut(index) for index in kept}
        other._people = self._people.only(kept)
        other._asked = None
        return other

    def _cut(self, index: int) -> AskedSituations:
        """Give what the people of a block are asked."""
        if self._asked is None:
            return self._held[index]
        return self._asked.of_people(*self._edges[index : index + 2])
