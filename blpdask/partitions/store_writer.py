"""Write a block store block by block: it is whole, or it is not there.

    NAME/zarr.json               description, fingerprint, CRC32
    NAME/markets/…               ids, J_t, I_t and sums of weights of all markets
    NAME/blocks_weight_bounds    least and largest weights of each block
    NAME/levels/products/3/…     levels of a text column, by its place
    NAME/blocks/00012/…          J_t and I_t; numbers and integers of products, agents

Everything is written under a temporary name beside the store and renamed at the end.
What a killed build leaves is removed by the next build of the same store: a lock tells
it from a build that is under way.
"""

from __future__ import annotations

import dataclasses
import itertools
import shutil
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np

from ..errors import StoreError
from ..records import Floats, Integers
from .sealed import digest
from .store_schema import ATTRIBUTE, StoreDescription, write_description
from .stored_arrays import pack_levels, write_array

#: The array of the bounds of weights in each block.
WEIGHT_BOUNDS = "blocks_weight_bounds"


@dataclass(frozen=True, slots=True, eq=False)
class BlockColumns:
    """The columns of a block, rows sorted by market, a column a row of a matrix.

    Attributes
    ----------
    product_counts, agent_counts
        ``(T,)`` J_t and I_t; I_t is zero where no agents are stored.
    weight_sums
        ``(T,)`` sums of agents' weights, NaN where there are none.
    weight_bounds
        ``(2,)`` the least and the largest of agents' weights, NaN as the sums.
    rows
        ``(N,)`` places of the products among the rows that the user gave.
    product_numbers, product_integers
        ``(k, N)`` float64 and int64, columns in the order of the description.
    agent_numbers, agent_integers
        ``(k, A)``.
    """

    product_counts: Integers
    agent_counts: Integers
    weight_sums: Floats
    weight_bounds: Floats
    rows: Integers
    product_numbers: Floats
    product_integers: Integers
    agent_numbers: Floats
    agent_integers: Integers


class StoreWriter:
    """A store under construction; leave the ``with`` block and it is there, or gone."""

    def __init__(
        self, path: Path, description: StoreDescription, *, overwrite: bool = False
    ) -> None:
        """Say what will be written where.

        Parameters
        ----------
        path
            Directory of the store.
        description
            Columns, nodes and block edges; the rest is filled in while writing.
        overwrite
            Whether a store that is there may be replaced.

        Raises
        ------
        StoreError
            Where something is there that may not be replaced.
        """
        self.path = path
        self.overwrite = overwrite
        check_target(path, overwrite=overwrite)
        self._description = description
        self._partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}.partial")
        self._blocks: dict[int, BlockColumns] = {}
        self._digests: dict[int, str] = {}
        self._lock: IO[str] | None = None
        self._root: Any = None

    def __enter__(self) -> StoreWriter:
        """Make the temporary directory, and remove those that killed builds left."""
        import zarr

        self.path.parent.mkdir(parents=True, exist_ok=True)
        remove_remains(self.path)
        self._partial.mkdir()
        self._lock = _lock(self._partial)
        self._root = zarr.open_group(str(self._partial / "store"), mode="w")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Remove the temporary directory, out of which a whole store was moved."""
        shutil.rmtree(self._partial, ignore_errors=True)
        if self._lock is not None:
            self._lock.close()

    @property
    def scratch(self) -> Path:
        """A directory that goes when the writer ends."""
        scratch = self._partial / "scratch"
        scratch.mkdir(exist_ok=True)
        return scratch

    def add(self, index: int, columns: BlockColumns) -> None:
        """Write a block; each once, in any order."""
        arrays = block_arrays(columns)
        for name, values in arrays.items():
            write_array(self._root, f"blocks/{index:05d}/{name}", values)
        self._digests[index] = digest(arrays)
        empty = np.empty((0, 0)), np.empty((0, 0), np.int64)
        self._blocks[index] = dataclasses.replace(
            columns,
            rows=columns.rows[:0],
            product_numbers=empty[0],
            product_integers=empty[1],
            agent_numbers=empty[0],
            agent_integers=empty[1],
        )

    def finish(
        self,
        market_ids: np.ndarray[Any, Any],
        levels: Mapping[tuple[str, int], Any],
        n_firms: int = 0,
        *,
        block_edges: tuple[int, ...] | None = None,
        unit: str = "markets",
    ) -> None:
        """Write what is not in blocks and move the store to its place.

        Parameters
        ----------
        market_ids
            ``(T,)`` sorted.
        levels
            Levels of text columns, by table and place of the column.
        n_firms
            Distinct firms.
        block_edges
            ``(B + 1,)`` where they were not known before all blocks were written.
        unit
            What blocks are made of, for their names.
        """
        others = self._market_arrays(market_ids)
        for (table, place), values in levels.items():
            others[f"levels/{table}/{place}"] = pack_levels(values)
        for name, array in others.items():
            write_array(self._root, name, array)
        edges = block_edges or self._description.block_edges
        blocks = [self._blocks[index] for index in sorted(self._blocks)]
        description = dataclasses.replace(
            self._description,
            block_edges=edges,
            integer_ids=others["markets/ids"].dtype == np.int64,
            n_firms=n_firms,
            block_products=tuple(int(b.product_counts.sum()) for b in blocks),
            block_agents=tuple(int(b.agent_counts.sum()) for b in blocks),
            block_labels=tuple(
                f"{unit} {market_ids[first]} to {market_ids[stop - 1]}"
                for first, stop in itertools.pairwise(edges)
            ),
            block_digests=tuple(self._digests[b] for b in sorted(self._digests)),
            other_digests={name: digest(array) for name, array in others.items()},
        )
        self._root.attrs[ATTRIBUTE] = write_description(description)
        self._move()

    def _market_arrays(
        self, market_ids: np.ndarray[Any, Any]
    ) -> dict[str, np.ndarray[Any, Any]]:
        """Bring together what is as long as the markets, or as the blocks."""
        blocks = [self._blocks[index] for index in sorted(self._blocks)]
        joined = {
            f"markets/{name}": np.concatenate([getattr(b, name) for b in blocks])
            for name in ("product_counts", "agent_counts", "weight_sums")
        }
        bounds = np.stack([block.weight_bounds for block in blocks])
        return {
            "markets/ids": pack_ids(market_ids),
            **joined,
            WEIGHT_BOUNDS: bounds,
        }

    def _move(self) -> None:
        """Rename the whole store, over one that may be replaced."""
        check_target(self.path, overwrite=self.overwrite)
        if self.path.exists():
            self.path.rename(self._partial / "replaced")
        (self._partial / "store").rename(self.path)


def block_arrays(columns: BlockColumns) -> dict[str, np.ndarray[Any, Any]]:
    """Name the arrays of a block as they are stored."""
    counts = np.stack([columns.product_counts, columns.agent_counts])
    integers = np.vstack([columns.rows[None], columns.product_integers])
    return {
        "counts": counts.astype(np.int64),
        "product_numbers": columns.product_numbers,
        "product_integers": integers.astype(np.int64),
        "agent_numbers": columns.agent_numbers,
        "agent_integers": columns.agent_integers,
    }


def pack_ids(ids: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Write market ids as integers where they are, else as JSON."""
    plain = [x.item() if isinstance(x, np.generic) else x for x in ids]
    if all(type(x) is int and abs(x) < 2**63 for x in plain):
        return np.array(plain, dtype=np.int64)
    return pack_levels(plain)


def check_target(path: Path, *, overwrite: bool) -> None:
    """Refuse to write over anything but a store that may be replaced."""
    if not path.exists():
        return
    description = path / "zarr.json"
    is_store = description.is_file() and ATTRIBUTE in description.read_text()
    if not overwrite or not is_store:
        raise StoreError(
            f"found: {path} exists{'' if is_store else ' and is no block store'}\n  "
            "expected: the name of a new store\n  what to do: choose another name"
            + (", or pass overwrite=True to replace the store" if is_store else "")
        )


def remove_remains(path: Path) -> None:
    """Remove temporary directories of builds of a store that are no longer alive."""
    for partial in path.parent.glob(f".{path.name}.*.partial"):
        lock = _lock(partial)
        if lock is not None:
            shutil.rmtree(partial, ignore_errors=True)
            lock.close()


def _lock(directory: Path) -> IO[str] | None:
    """Hold a directory as long as this process lives; None where another holds it."""
    import fcntl

    file = (directory / "lock").open("a")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        return None
    return file
