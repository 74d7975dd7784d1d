"""An engine that writes every sum down and, started again, reads it instead.

Estimators and optimisers are functions of the sums that they are given: given the same
sums, they ask for the same next ones. So a run that was killed goes on by being run
again. Sums that were recorded are handed over without being computed, until the
recording ends; from there, work goes on with the same bits.

A reduction is known by a key,

    key = digest(data, pass, state, key of its anchor, name),

so that what is replayed is what is asked for, or an error. What blocks remember of
replayed passes is not computed until somebody needs it. A memory is a pure function of
the block, the state and the anchor's memory, so it is made then by running its passes
again, from the last checkpoint on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ..partitions.checkpoints import Checkpoints
from ..partitions.run_log import RunLog
from ..partitions.sealed import digest
from ..partitions.source import BlockSource, as_source
from ..progress import Listener
from .checkpointing import Schedule
from .engine import Engine, Pass, Placement, Task

#: Least seconds between checkpoints.
CHECKPOINT_SECONDS = 30.0
#: Begins the names of memories that are held on the way to others.
_PASSING = "passing "


@dataclass(frozen=True, slots=True, eq=False)
class Recipe:
    """How to make what blocks remember of a pass.

    Attributes
    ----------
    key
        Of the reduction that left it.
    pass_, state, anchor
        Its arguments, the anchor by its own recipe.
    given
        The memories themselves where they were handed over and not computed.
    """

    key: str
    pass_: Pass | None = None
    state: Any = None
    anchor: Recipe | None = None
    given: Sequence[Any] = ()


class RecordingEngine:
    """Any engine, with its reductions recorded in a log."""

    def __init__(
        self,
        engine: Engine,
        log: RunLog,
        *,
        checkpoints: Checkpoints | None = None,
        checkpoint_seconds: float | None = None,
        when_replayed: Callable[[], None] = lambda: None,
    ) -> None:
        """Record what ``engine`` computes.

        Parameters
        ----------
        engine
            Where blocks are worked on.
        log
            What is replayed, then written.
        checkpoints
            Where memories are kept, beside the log where None.
        checkpoint_seconds
            Least time between two of them, :data:`CHECKPOINT_SECONDS` where None.
        when_replayed
            Called once, before the first reduction that is computed after others were
            replayed.
        """
        self.name = engine.name
        self._engine = engine
        self._log = log
        self._checkpoints = checkpoints or Checkpoints(log.directory)
        self._seconds = (
            CHECKPOINT_SECONDS if checkpoint_seconds is None else checkpoint_seconds
        )
        self._when_replayed = when_replayed
        self._placements = 0

    def place(self, blocks: BlockSource | Sequence[Any]) -> RecordingPlacement:
        """Place blocks on the engine."""
        source = as_source(blocks)
        root = digest((self._log.fingerprint, self._placements, len(source)))
        self._placements += 1
        return RecordingPlacement(
            self._engine.place(source),
            self._log,
            root=root,
            n_blocks=len(source),
            schedule=Schedule(self._checkpoints, self._seconds),
            when_replayed=self._when_replayed,
        )


class RecordingPlacement:
    """Placed blocks whose reductions are replayed, then computed and recorded."""

    def __init__(
        self,
        placement: Placement,
        log: RunLog,
        *,
        root: str,
        n_blocks: int,
        schedule: Schedule,
        when_replayed: Callable[[], None],
    ) -> None:
        """Stand at the beginning of the log, with nothing remembered."""
        self._placement = placement
        self._log = log
        self._root = root
        self._n_blocks = n_blocks
        self._schedule = schedule
        self._when_replayed: Callable[[], None] | None = (
            when_replayed if log.recorded else None
        )
        self._held: dict[str, str] = {}
        self._recipes: dict[str, Recipe] = {}

    def reduce(
        self,
        pass_: Pass,
        state: Any,
        *,
        anchor: str | None = None,
        keep: str | None = None,
    ) -> Any:
        """Replay a reduction, or run it and write it down."""
        base = "" if anchor is None else self._key_of(anchor)
        key = digest((self._root, pass_, state, base, keep))
        replayed = self._log.replay(key, getattr(pass_, "__qualname__", str(pass_)))
        if replayed is not None and keep is not None:
            self._promise(keep, key, pass_, state, anchor)
        if replayed is not None and replayed.is_there:
            return replayed.record
        if replayed is None:
            self._go_on(anchor)
        self._materialise(anchor)
        began = time.perf_counter()
        record = self._placement.reduce(pass_, state, anchor=anchor, keep=keep)
        seconds = time.perf_counter() - began
        if keep is not None:
            self._held[keep] = key
        if replayed is not None:
            return record
        if keep is not None:
            self._recipes.pop(keep, None)
        return self._log.append(key, seconds, record)

    def collect(
        self, pass_: Pass, state: Any, *, anchor: str | None = None
    ) -> Iterator[Any]:
        """Run a pass over every block and give its records one by one, unrecorded."""
        self._materialise(anchor)
        return self._placement.collect(pass_, state, anchor=anchor)

    def replicate(
        self, task: Task, state: Any, items: Sequence[int]
    ) -> Iterator[tuple[int, Any]]:
        """Run a task over all blocks once an item, unrecorded."""
        return self._placement.replicate(task, state, items)

    def listen(self, listener: Listener) -> None:
        """Tell a listener how far long passes have come."""
        self._placement.listen(listener)

    def warm(self, function: Callable[[], None]) -> None:
        """Run a function once in every other process."""
        self._placement.warm(function)

    def remember(self, name: str, memories: Sequence[Any]) -> None:
        """Hand every block a memory under a name."""
        key = digest((self._root, name, list(memories)))
        self._placement.remember(name, memories)
        self._held[name] = key
        self._recipes[name] = Recipe(key, given=memories)

    def forget(self, *names: str) -> None:
        """Drop the memories of named passes."""
        self._placement.forget(*names)
        for name in names:
            self._held.pop(name, None)
            self._recipes.pop(name, None)

    def close(self) -> None:
        """Let go of the blocks; the log stays open."""
        self._placement.close()

    def _key_of(self, name: str) -> str:
        """Give the key of the reduction that left a named memory."""
        return self._held[name] if name in self._held else self._recipes[name].key

    def _promise(
        self, name: str, key: str, pass_: Pass, state: Any, anchor: str | None
    ) -> None:
        """Remember how to make a memory that a replayed pass would have left."""
        base = None if anchor is None else self._recipes[anchor]
        if self._held.pop(name, None) is not None:
            self._placement.forget(name)
        self._recipes[name] = Recipe(key, pass_, state, base)

    def _go_on(self, anchor: str | None) -> None:
        """Leave the replay behind, and keep what the next pass starts from."""
        if self._when_replayed is not None:
            self._when_replayed()
            self._when_replayed = None
        self._schedule.start()
        if anchor is not None:
            self._materialise(anchor)
            self._schedule.keep(self._held[anchor], self._placement, anchor)

    def _materialise(self, name: str | None) -> None:
        """See to it that the blocks remember a named pass.

        Passes on the way to it are run again, from the nearest memory that is held or
        kept at rest.
        """
        if name is None or name in self._held:
            return
        names = {recipe.key: known for known, recipe in self._recipes.items()}
        way: list[tuple[str, Recipe]] = []
        recipe: Recipe | None = self._recipes[name]
        base: str | None = None
        while recipe is not None and base is None:
            called = names.get(recipe.key, _PASSING + recipe.key)
            if self._is_ready(called, recipe):
                base = called
            else:
                way.append((called, recipe))
                recipe = recipe.anchor
        for called, recipe in reversed(way):
            self._run_again(called, recipe, base)
            base = called

    def _is_ready(self, name: str, recipe: Recipe) -> bool:
        """Hand the blocks a memory that need not be computed; say whether they have it.

        It is there already, or was handed over before, or is kept at rest.
        """
        if name in self._held:
            return True
        memories: Sequence[Any] | None = recipe.given
        if not memories:
            memories = self._schedule.read(recipe.key, self._n_blocks)
        if not memories:
            return False
        self._placement.remember(name, memories)
        self._held[name] = recipe.key
        return True

    def _run_again(self, name: str, recipe: Recipe, base: str | None) -> None:
        """Run a replayed pass for what the blocks remember of it."""
        assert recipe.pass_ is not None
        self._placement.reduce(recipe.pass_, recipe.state, anchor=base, keep=name)
        self._held[name] = recipe.key
        if base is not None and base.startswith(_PASSING):
            self._placement.forget(base)
            del self._held[base]
