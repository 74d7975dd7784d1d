"""What a block store says of itself: columns, blocks, how nodes are given, digests.

The description sits in the attributes of the store's root group as JSON with its
CRC32. It holds nothing as long as the markets, so that opening a store costs the same
whatever its size. The fingerprint is the digest of the description, which holds the
digest of every block: two stores of one fingerprint have the same contents.
"""

from __future__ import annotations

import dataclasses
import json
import zlib
from dataclasses import dataclass, field
from typing import Any, Literal

from ..errors import StoreError
from .sealed import digest

SCHEMA = 1
#: Under which the description lies among the attributes of the root group.
ATTRIBUTE = "blpdask_block_store"

Kind = Literal["number", "integer", "text"]


@dataclass(frozen=True, slots=True)
class StoredColumn:
    """A column of products or agents.

    Attributes
    ----------
    name
        As the user's.
    kind
        ``number`` is stored as float64, ``integer`` as int64, ``text`` (all that is
        neither) as codes of sorted levels, -1 where missing.
    dtype
        What it was before.
    """

    name: str
    kind: Kind
    dtype: str


@dataclass(frozen=True, slots=True)
class DescribedNodes:
    """An integration rule that workers draw nodes by, keyed by market.

    Attributes
    ----------
    specification, size, discard, scramble
        The rule, see :class:`blpdask.integration.rules.Rule`.
    seed
        Of the keyed stream, see :mod:`blpdask.integration.keyed`.
    """

    specification: str
    size: int
    seed: int
    discard: int
    scramble: bool


@dataclass(frozen=True, slots=True)
class StoreDescription:
    """A block store without its arrays.

    Attributes
    ----------
    products, agents
        Columns; none of agents where none are stored.
    nodes
        How nodes are described, None where they are stored or there are none.
    n_firms
        Distinct values of ``firm_ids``, zero where there are none.
    integer_ids
        Whether market ids are stored as integers rather than as JSON.
    block_edges
        ``(B + 1,)`` first market of each block, then T.
    block_products, block_agents
        ``(B,)`` rows of each block.
    block_labels
        ``(B,)`` names of each block's markets.
    block_digests
        ``(B,)`` digests of each block's arrays.
    other_digests
        Digests of all other arrays, by their names.
    """

    products: tuple[StoredColumn, ...]
    agents: tuple[StoredColumn, ...]
    nodes: DescribedNodes | None
    block_edges: tuple[int, ...]
    n_firms: int = 0
    integer_ids: bool = False
    block_products: tuple[int, ...] = ()
    block_agents: tuple[int, ...] = ()
    block_labels: tuple[str, ...] = ()
    block_digests: tuple[str, ...] = ()
    other_digests: dict[str, str] = field(default_factory=dict)

    @property
    def fingerprint(self) -> str:
        """Name the contents."""
        return digest(json.dumps(dataclasses.asdict(self), sort_keys=True))

    @property
    def n_blocks(self) -> int:
        """Count the blocks, B."""
        return len(self.block_edges) - 1

    @property
    def n_markets(self) -> int:
        """Count the markets, T."""
        return self.block_edges[-1]

    def columns(self, table: str) -> tuple[StoredColumn, ...]:
        """List the columns of ``products`` or ``agents``."""
        return self.products if table == "products" else self.agents

    def column(self, table: str, name: str) -> StoredColumn | None:
        """Find a column by its name."""
        return next((c for c in self.columns(table) if c.name == name), None)

    def places(self, table: str) -> dict[str, tuple[str, int]]:
        """Say in which matrix of a block, and in which row of it, each column lies."""
        found = {}
        counts = {"numbers": 0, "integers": 0}
        for column in self.columns(table):
            matrix = "numbers" if column.kind == "number" else "integers"
            found[column.name] = (matrix, counts[matrix])
            counts[matrix] += 1
        return found

    def describe(self, block: int) -> str:
        """Name a block, with its markets."""
        return f"block {block} ({self.block_labels[block]})"


def write_description(description: StoreDescription) -> dict[str, Any]:
    """Turn a description into attributes."""
    content = dataclasses.asdict(description)
    return {
        "schema": SCHEMA,
        "fingerprint": description.fingerprint,
        "crc32": _checksum(content),
        "content": content,
    }


def read_description(attributes: Any, where: str) -> StoreDescription:
    """Read a description from the attributes of a store's root group.

    Raises
    ------
    StoreError
        Where it is not that of a store, of another schema, or damaged.
    """
    if not isinstance(attributes, dict) or "schema" not in attributes:
        raise StoreError(
            f"found: {where}, which is no block store\n  expected: a directory made by "
            "blpdask.build_store\n  what to do: check the path; a build that was "
            "interrupted leaves no store"
        )
    if attributes["schema"] != SCHEMA:
        raise StoreError(
            f"found: {where}, a block store of schema {attributes['schema']}\n  "
            f"expected: schema {SCHEMA}, that of this version\n  what to do: build it "
            "again, or read it with the version of blpdask that built it"
        )
    try:
        content = attributes["content"]
        if _checksum(content) != attributes["crc32"]:
            raise damaged(f"the description of {where}", "its checksum is wrong")
        return _from_json(content)
    except (KeyError, TypeError) as error:
        raise damaged(f"the description of {where}", repr(error)) from error


def damaged(what: str, detail: str) -> StoreError:
    """Say what of a store is not what was written."""
    return StoreError(
        f"found: {what} is damaged ({detail})\n  expected: what was written\n  what to "
        "do: restore it from a copy of the store, or build the store again"
    )


def _checksum(content: Any) -> int:
    """Sum up JSON, whatever the order of its keys."""
    # Tuples become lists, as they are when read.
    return zlib.crc32(json.dumps(content, sort_keys=True).encode())


def _from_json(content: dict[str, Any]) -> StoreDescription:
    """Undo :func:`dataclasses.asdict` and what JSON does to tuples."""
    plain: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in content.items()
    }
    for table in ("products", "agents"):
        plain[table] = tuple(StoredColumn(**column) for column in content[table])
    if content["nodes"] is not None:
        plain["nodes"] = DescribedNodes(**content["nodes"])
    return StoreDescription(**plain)
