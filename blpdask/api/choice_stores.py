"""Choices of people that stay on disk: build and open their stores.

A store is a directory that holds choices, cut into blocks of whole people. A
:class:`blpdask.ChoiceProblem` on a store reads a block, evaluates its formula and makes
its people's draws where it works on it, and never holds all rows in one place.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .. import options
from ..errors import Faults, StoreError
from ..partitions.block_store import BlockStore
from ..problem.choice_store_builder import build_choice_blocks
from .store_text import Pace

Progress = Callable[[str], None]


class ChoiceStore:
    """An open store of choices; made by :func:`build_choice_store`.

    Attributes
    ----------
    blocks
        The record behind it: its markets are people, its products alternatives.
    """

    def __init__(self, blocks: BlockStore) -> None:
        """Keep the record.

        Raises
        ------
        StoreError
            Where it holds something else than choices.
        """
        names = {column.name for column in blocks.description.products}
        if not {"situation_ids", "chosen"} <= names:
            raise StoreError(
                f"found: {blocks.path}, a store without 'situation_ids' and 'chosen'\n"
                "  expected: a store of choices\n  what to do: build it with "
                "blpdask.build_choice_store; blpdask.open_store opens products"
            )
        self.blocks = blocks

    @property
    def path(self) -> Path:
        """Directory of the store."""
        return self.blocks.path

    @property
    def fingerprint(self) -> str:
        """Digest of the contents: stores of one fingerprint hold the same data."""
        return self.blocks.fingerprint

    @property
    def I(self) -> int:  # noqa: E743
        """Number of people."""
        return self.blocks.description.n_markets

    @property
    def S(self) -> int:
        """Number of situations, of all people together."""
        return sum(self.blocks.description.block_agents)

    @property
    def N(self) -> int:
        """Number of alternatives, of all situations together."""
        return sum(self.blocks.description.block_products)

    def __len__(self) -> int:
        """Count the blocks."""
        return len(self.blocks)

    def verify(self, progress: Progress | None = None) -> None:
        """Read everything and compare it with what was written.

        Raises
        ------
        StoreError
            At the first thing that is not what was written.
        """
        self.blocks.verify(Pace(_progress(progress)))

    def __str__(self) -> str:
        """Say what the store holds."""
        names = ", ".join(c.name for c in self.blocks.description.products)
        return (
            f"Store of choices {self.path}\n{self.I} people, {self.S} situations, "
            f"{self.N} alternatives in {len(self)} blocks\nColumns: {names}\n"
            f"Fingerprint: {self.fingerprint}"
        )

    def __repr__(self) -> str:
        """Print as ``str`` does."""
        return str(self)


def build_choice_store(
    path: str | Path,
    choice_data: Any,
    *,
    columns: Sequence[str] | None = None,
    blocks: int | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> ChoiceStore:
    """Write choices of people to a store, checked and cut into blocks of people.

    Parameters
    ----------
    path
        Directory of the store. It is whole or not there, whatever happens meanwhile.
    choice_data
        Table as :class:`blpdask.ChoiceProblem` takes it: a DataFrame, a mapping of
        arrays, a structured array, or a path to Parquet: a file, a directory of files,
        or a list of them. Parquet is read in parts, never whole, and rows may be in any
        order. Or an iterable of such tables, such as ``pandas.read_csv(path,
        chunksize=100_000)``, in which the rows of a person follow one another. Ids of
        situations are best integers: texts are gathered while the store is built.
    columns
        Columns to keep beside ids, ``chosen`` and ``weights``; all where None.
    blocks
        Number of blocks, chosen from the data where None.
    overwrite
        Whether a store that is there may be replaced.
    progress
        Function that is told what is being done, every two seconds; ``print`` will do.

    Returns
    -------
    ChoiceStore
        The store, open. Rows that are not available and situations of a single
        alternative are not in it.

    Raises
    ------
    InputError
        With the faults of the data, and the people whose they are.
    StoreError
        Where something is there that may not be replaced.

    Examples
    --------
    >>> import tempfile
    >>> data = {
    ...     "person_ids": [1, 1, 1, 1, 2, 2],
    ...     "situation_ids": [1, 1, 2, 2, 1, 1],
    ...     "chosen": [0, 1, 1, 0, 1, 0],
    ...     "prices": [1.0, 2.0, 1.5, 1.0, 2.0, 2.5],
    ... }
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     store = build_choice_store(f"{folder}/choices", data)
    ...     store.I, store.S, store.N
    (2, 3, 6)
    """
    faults = Faults("build_choice_store")
    if not isinstance(path, str | Path):
        faults.add(
            f"a path of type {type(path).__name__}",
            "the directory of the store, then the choices",
            "call build_choice_store('stores/choices', table)",
        )
    whole = isinstance(blocks, int | np.integer) and not isinstance(blocks, bool)
    if blocks is not None and (not whole or blocks < 1):
        faults.add(
            f"blocks={blocks!r}", "a positive number of blocks, or None", "correct it"
        )
    if isinstance(columns, str) or not isinstance(columns, Sequence | None):
        faults.add(
            f"columns={columns!r}", "a list of names, or None", "pass a list of names"
        )
    if progress is not None and not callable(progress):
        faults.add(
            f"progress of type {type(progress).__name__}",
            "a function that takes a text, or None",
            "pass a function, such as print",
        )
    faults.check()
    built = build_choice_blocks(
        Path(path).absolute(),
        choice_data,
        columns=columns,
        n_blocks=blocks,
        overwrite=overwrite,
        tell=Pace(_progress(progress)),
    )
    return ChoiceStore(built)


def open_choice_store(path: str | Path) -> ChoiceStore:
    """Open a store of choices.

    Parameters
    ----------
    path
        Its directory.

    Raises
    ------
    StoreError
        Where there is none, or one of something else.
    """
    return ChoiceStore(BlockStore.open(path))


def _progress(progress: Progress | None) -> Progress | None:
    """Choose who is told: the given function, or the printer where verbose."""
    if progress is not None or not options.verbose:
        return progress
    return options.verbose_output
