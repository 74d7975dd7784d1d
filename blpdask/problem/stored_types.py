"""Types of agents in a store: codes that are the same in every block.

As of nests (:mod:`.stored_nests`), names are known with the store and codes are places
among sorted names, as :func:`blpdask.problem.agents.read_agents` gives them in memory.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..partitions.block_store import BlockStore
from ..partitions.store_schema import StoredColumn
from .agents import TYPES
from .stored_nests import NestRecipe, read_names

#: Names under which a table may have the types of its agents.
NAMES = (TYPES, f"{TYPES}0")


def type_column(columns: Iterable[StoredColumn]) -> StoredColumn | None:
    """Find the column of types; None where there is none."""
    named = {column.name: column for column in columns}
    return next((named[name] for name in NAMES if name in named), None)


def read_stored_types(
    store: BlockStore,
) -> tuple[NestRecipe | None, tuple[Any, ...]]:
    """Give how agents' types are coded, and their sorted names; None without types.

    Raises
    ------
    StoreError
        Where what is at rest is not what was written.
    """
    column = type_column(store.description.agents)
    if column is None or not any(store.description.block_agents):
        return None, ()
    return read_names(store, "agents", column)
