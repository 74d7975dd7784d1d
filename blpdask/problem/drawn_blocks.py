"""Blocks of people whose draws are made where the blocks are loaded.

Draws take I R D numbers, mostly more than the choices themselves. A person's are a
function of the rule and of the person's place among all people, so that blocks travel
without them and whoever loads a block makes those of its people: the same bits as if
all had been drawn at once. A process keeps what it has loaded within its budget
(:mod:`blpdask.partitions.residency`) and makes the rest again.
"""

from __future__ import annotations

import uuid
import weakref
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from ..choice_records import ChoiceBlock
from ..integration.ranges import StreamState, find_starts
from ..integration.rules import Rule
from ..partitions.residency import RESIDENT
from ..partitions.source import BlockSource
from ..records import Floats, Integers
from .choice_draws import count_draws, draw_variates, is_shared, weigh_draws


@dataclass(frozen=True, eq=False)
class Draws:
    """How the draws of blocks are made.

    Attributes
    ----------
    rule
        With a seed.
    kinds
        ``(D,)`` of the random coefficients.
    edges
        ``(B + 1,)`` first person of each block, then I.
    starts
        Where the rule's stream stands at the first person of each block, by block,
        where it runs on from person to person.
    """

    rule: Rule
    kinds: tuple[str, ...]
    edges: Integers
    starts: Mapping[int, StreamState]

    @classmethod
    def of(cls, rule: Rule, kinds: Sequence[str], edges: Integers) -> Draws:
        """Find where streams stand."""
        firsts = edges[:-1].tolist() if kinds and not is_shared(rule) else ()
        starts = find_starts(rule.base, len(kinds), firsts)
        known = {b: start for b, start in enumerate(starts) if start is not None}
        return cls(rule, tuple(kinds), edges, known)

    def make(self, block: int) -> Floats:
        """Make the draws of a block's people, ``(I, R, D)``."""
        first, stop = int(self.edges[block]), int(self.edges[block + 1])
        start = self.starts.get(block)
        return draw_variates(
            self.rule, self.kinds, stop - first, first=first, start=start
        )

    @cached_property
    def log_weights(self) -> Floats:
        """Weights of draws, as :class:`blpdask.choice_records.ChoiceBlock` has them."""
        return weigh_draws(self.rule, self.kinds)

    def size(self, block: int) -> int:
        """Count the bytes of a block's draws."""
        shared = is_shared(self.rule)
        n_people = 1 if shared else int(self.edges[block + 1] - self.edges[block])
        return 8 * n_people * count_draws(self.rule, self.kinds) * len(self.kinds)

    def only(self, blocks: Iterable[int]) -> Draws:
        """Keep what is needed for some blocks."""
        kept = {b: self.starts[b] for b in blocks if b in self.starts}
        return replace(self, starts=kept)


class DrawnBlocks:
    """A source of people without draws, and how these are made.

    Examples
    --------
    >>> import numpy as np
    >>> from ..integration.rules import RuleOptions
    >>> from ..partitions.source import HeldBlocks
    >>> two = np.array([0, 1, 2])
    >>> people = ChoiceBlock(
    ...     X=np.ones((4, 1)), chosen=2 * two[:2], situation_offsets=2 * two,
    ...     person_offsets=two, weights=np.ones(2), draws=np.empty((2, 1, 0)),
    ... )
    >>> rule = Rule("sobol", 8, RuleOptions(seed=0))
    >>> made = Draws.of(rule, ["normal"], np.array([0, 2]))
    >>> DrawnBlocks(HeldBlocks([people]), made).load(0).draws.shape
    (2, 8, 1)
    """

    def __init__(self, people: BlockSource, draws: Draws, *, name: str = "") -> None:
        """Pair blocks with draws.

        Parameters
        ----------
        people
            Loads blocks whose draws are of no use.
        draws
            Makes those that are.
        name
            What both are known by, wherever they are; of this object where empty, and
            what is kept under it then goes with the object.
        """
        self._people = people
        self._draws = draws
        self.name = name or f"drawn-{uuid.uuid4().hex}"
        if not name:
            weakref.finalize(self, _let_go, self.name)

    @property
    def scratch(self) -> Path | None:
        """A directory that all who load blocks share, that of the people."""
        return self._people.scratch

    def __len__(self) -> int:
        """Count the blocks."""
        return len(self._people)

    def load(self, index: int) -> ChoiceBlock:
        """Give a block with its draws, made where this process does not hold them."""
        make = partial(self._make, index)
        return RESIDENT.get((self.name, index), self.size(index), make)

    def size(self, index: int) -> int:
        """Estimate the bytes of a block with its draws."""
        return self._people.size(index) + self._draws.size(index)

    def carried_size(self, index: int) -> int:
        """Estimate the bytes of a block that travel: not those of draws."""
        return self._people.size(index)

    def describe(self, index: int) -> str:
        """Name a block, with its people."""
        return self._people.describe(index)

    def only(self, indices: Iterable[int]) -> DrawnBlocks:
        """Give the source with what is needed to load these blocks alone."""
        kept = list(indices)
        return DrawnBlocks(
            self._people.only(kept), self._draws.only(kept), name=self.name
        )

    def _make(self, index: int) -> ChoiceBlock:
        """Load a block and make its draws."""
        people: Any = self._people.load(index)
        block: ChoiceBlock = replace(
            people,
            draws=self._draws.make(index),
            log_weights=self._draws.log_weights,
        )
        return block


def _let_go(name: str) -> None:
    """Drop blocks that nobody will ask for again."""
    RESIDENT.drop(lambda owner: owner == name)
