"""Products and agents at rest, cut into blocks of whole markets.

A store is a directory with a Zarr v3 group, see :mod:`blpdask.partitions.store_writer`.
Opening one reads its description alone; a block is read column by column when it is
asked for, and every byte that is read is checked.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import StoreError
from ..records import Floats, Integers
from .sealed import digest
from .store_schema import ATTRIBUTE, StoreDescription, damaged, read_description
from .store_writer import WEIGHT_BOUNDS, BlockColumns, block_arrays
from .stored_arrays import read_array, unpack_levels


@dataclass(frozen=True, slots=True)
class BlockStore:
    """A block store: where it is and what it says of itself.

    Attributes
    ----------
    path
        Its directory.
    description
        Columns, blocks and digests.
    fingerprint
        Digest of the contents.
    """

    path: Path
    description: StoreDescription
    fingerprint: str

    @classmethod
    def open(cls, path: str | Path) -> BlockStore:
        """Open a store.

        Raises
        ------
        StoreError
            Where there is none, of another schema, or with a damaged description.
        """
        directory = Path(path).absolute()
        attributes = _read_attributes(directory)
        description = read_description(attributes, str(directory))
        if description.fingerprint != attributes["fingerprint"]:
            raise damaged(
                f"the description of {directory}",
                f"its fingerprint is {description.fingerprint} but it says "
                f"{attributes['fingerprint']}",
            )
        return cls(directory, description, description.fingerprint)

    def __len__(self) -> int:
        """Count the blocks."""
        return self.description.n_blocks

    def market_ids(self) -> np.ndarray[Any, Any]:
        """Read the sorted ids of all markets, ``(T,)`` integers or objects."""
        if not self.description.integer_ids:
            return unpack_levels(self._read("markets/ids", (-1,), np.uint8))
        return self._read("markets/ids", (self.description.n_markets,), np.int64)

    def market_counts(self) -> tuple[Integers, Integers]:
        """Read J_t and I_t of all markets, ``(T,)`` each; I_t of stored agents."""
        shape = (self.description.n_markets,)
        return (
            self._read("markets/product_counts", shape, np.int64),
            self._read("markets/agent_counts", shape, np.int64),
        )

    def weight_sums(self) -> Floats:
        """Read the sums of stored weights of all markets, ``(T,)``; NaN without."""
        shape = (self.description.n_markets,)
        return self._read("markets/weight_sums", shape, np.float64)

    def weight_bounds(self) -> tuple[float, float]:
        """Give the least and the largest of all stored weights; NaN without.

        Stores that were built before bounds were stored are read through.
        """
        if WEIGHT_BOUNDS not in self.description.other_digests:
            return self._find_weight_bounds()
        bounds = self._read(WEIGHT_BOUNDS, (len(self), 2), np.float64)
        return float(bounds[:, 0].min()), float(bounds[:, 1].max())

    def _find_weight_bounds(self) -> tuple[float, float]:
        """Read the weights of every block for their bounds."""
        low, high = np.inf, -np.inf
        for block in range(len(self)):
            weights = self.read("agents", block, ["weights"])["weights"]
            low, high = min(low, weights.min()), max(high, weights.max())
        return float(low), float(high)

    def levels(self, table: str, name: str) -> np.ndarray[Any, Any]:
        """Read the sorted levels of a text column of ``products`` or ``agents``."""
        columns = self.description.columns(table)
        place = [column.name for column in columns].index(name)
        return unpack_levels(self._read(f"levels/{table}/{place}", (-1,), np.uint8))

    def block_counts(self, block: int) -> tuple[Integers, Integers]:
        """Read J_t and I_t of a block's markets."""
        edges = self.description.block_edges
        shape = 2, edges[block + 1] - edges[block]
        counts: Integers = self._read_block(block, "counts", shape, np.int64)
        return counts[0], counts[1]

    def rows(self, block: int) -> Integers:
        """Read the places of a block's products among the user's rows, ``(N,)``."""
        return np.asarray(self._matrix(block, "products", "integers")[0])

    def read(
        self, table: str, block: int, names: Collection[str]
    ) -> dict[str, np.ndarray[Any, Any]]:
        """Read columns of a block, rows sorted by market.

        Parameters
        ----------
        table
            ``products`` or ``agents``.
        block
            Place of the block.
        names
            Of columns that the store has, or ``market_ids`` for the place of each row's
            market among all markets.

        Returns
        -------
        dict
            ``(N,)`` float64 or int64 each; codes of text columns.

        Raises
        ------
        StoreError
            Where what is at rest is not what was written.
        """
        places = self.description.places(table)
        wanted = {name: places[name] for name in names if name != "market_ids"}
        matrices = {
            matrix: self._matrix(block, table, matrix)
            for matrix in dict.fromkeys(matrix for matrix, _ in wanted.values())
        }
        # Products' rows come before their integers.
        shift = {"numbers": 0, "integers": int(table == "products")}
        found = {
            name: matrices[matrix][place + shift[matrix]]
            for name, (matrix, place) in wanted.items()
        }
        if "market_ids" in names:
            counts = self.block_counts(block)[table == "agents"]
            edges = self.description.block_edges
            markets = np.arange(edges[block], edges[block + 1])
            found["market_ids"] = np.repeat(markets, counts)
        return found

    def verify(self, listener: Callable[[str], None] | None = None) -> None:
        """Read everything and compare it with the digests of when it was written.

        Parameters
        ----------
        listener
            Told of each block before it is read.

        Raises
        ------
        StoreError
            At the first thing that is not what was written.
        """
        description = self.description
        self._verify_others()
        for block in range(len(self)):
            if listener is not None:
                listener(f"Verifying block {block + 1} of {len(self)}")
            if (
                digest(block_arrays(self._columns(block)))
                != (description.block_digests[block])
            ):
                raise damaged(
                    f"{description.describe(block)} of {self.path}",
                    "it is not the block that was written: its digest is another",
                )

    def _verify_others(self) -> None:
        """Compare what is not in blocks with its digests."""
        shape = (self.description.n_markets,)
        for name, expected in self.description.other_digests.items():
            if name == WEIGHT_BOUNDS:
                array = self._read(name, (len(self), 2), np.float64)
            elif name == "markets/weight_sums":
                array = self._read(name, shape, np.float64)
            elif name.startswith("levels/") or (
                name == "markets/ids" and not self.description.integer_ids
            ):
                array = self._read(name, (-1,), np.uint8)
            else:
                array = self._read(name, shape, np.int64)
            if digest(array) != expected:
                raise damaged(
                    str(self.path / name), "its digest is not that of what was written"
                )

    def _columns(self, block: int) -> BlockColumns:
        """Read the whole of a block."""
        product_counts, agent_counts = self.block_counts(block)
        integers = self._matrix(block, "products", "integers")
        return BlockColumns(
            product_counts=product_counts,
            agent_counts=agent_counts,
            weight_sums=np.empty(0),
            weight_bounds=np.empty(0),
            rows=integers[0],
            product_numbers=self._matrix(block, "products", "numbers"),
            product_integers=integers[1:],
            agent_numbers=self._matrix(block, "agents", "numbers"),
            agent_integers=self._matrix(block, "agents", "integers"),
        )

    def _matrix(self, block: int, table: str, kind: str) -> np.ndarray[Any, Any]:
        """Read all columns of a kind of a block, ``(k, N)``."""
        description = self.description
        kinds = [column.kind == "number" for column in description.columns(table)]
        width = sum(kinds) if kind == "numbers" else len(kinds) - sum(kinds)
        width += kind == "integers" and table == "products"
        sizes = (
            description.block_products
            if table == "products"
            else description.block_agents
        )
        dtype = np.float64 if kind == "numbers" else np.int64
        name = f"{table.removesuffix('s')}_{kind}"
        return self._read_block(block, name, (width, sizes[block]), dtype)

    def _read_block(
        self, block: int, name: str, shape: tuple[int, ...], dtype: Any
    ) -> np.ndarray[Any, Any]:
        where = self.description.describe(block)
        return read_array(self.path, f"blocks/{block:05d}/{name}", shape, dtype, where)

    def _read(
        self, name: str, shape: tuple[int, ...], dtype: Any
    ) -> np.ndarray[Any, Any]:
        return read_array(self.path, name, shape, dtype)


def open_expected(path: str | Path, fingerprint: str) -> BlockStore:
    """Open a store that must have certain contents.

    Raises
    ------
    StoreError
        Where it has others.
    """
    store = BlockStore.open(path)
    if store.fingerprint != fingerprint:
        raise StoreError(
            f"found: {path} with the fingerprint {store.fingerprint}\n  expected: the "
            f"store of the fingerprint {fingerprint}, which was opened before\n  what "
            "to do: bring that store back, or open this one anew and start again"
        )
    return store


def _read_attributes(directory: Path) -> Any:
    """Read the attributes of the root group, without Zarr so that errors are ours."""
    try:
        root = json.loads((directory / "zarr.json").read_text(encoding="utf-8"))
        return root["attributes"].get(ATTRIBUTE)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise damaged(str(directory / "zarr.json"), str(error)) from error
