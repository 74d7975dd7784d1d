"""Data that stay on disk: build, simulate and open block stores.

A store is a directory that holds products and agents, cut into blocks of whole markets.
A :class:`blpdask.Problem` on a store reads a block when it works on it, on whichever
machine that is, and never holds all of the data in one place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import options
from ..errors import Faults
from ..integration.rules import Rule, refuse_centred
from ..partitions.block_store import BlockStore
from ..partitions.store_schema import DescribedNodes
from ..problem.store_builder import build_block_store
from .integration import Integration
from .store_text import Pace, store_html, store_text

if TYPE_CHECKING:
    import pandas as pd

    from ..simulation.design import MarketDesign

Progress = Callable[[str], None]


class Store:
    """An open block store; made by :func:`build_store` and its siblings.

    Attributes
    ----------
    blocks
        The record behind it.
    """

    def __init__(self, blocks: BlockStore) -> None:
        """Keep the record."""
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
    def N(self) -> int:
        """Number of products, all markets together."""
        return sum(self.blocks.description.block_products)

    @property
    def T(self) -> int:
        """Number of markets."""
        return self.blocks.description.n_markets

    @property
    def I(self) -> int:  # noqa: E743
        """Number of stored agents, all markets together."""
        return sum(self.blocks.description.block_agents)

    def __len__(self) -> int:
        """Count the blocks."""
        return len(self.blocks)

    def read(
        self, block: int, table: str = "products", columns: Sequence[str] | None = None
    ) -> pd.DataFrame:
        """Read a block as a DataFrame, sorted by market.

        Parameters
        ----------
        block
            Place of the block, from 0.
        table
            ``"products"``, whose index are the rows' places in the data that the store
            was built from, or ``"agents"``.
        columns
            Which ones, all where None.

        Raises
        ------
        InputError
            If there is no such block, table or column.
        StoreError
            If what is at rest is not what was written.
        """
        import pandas as pd

        names = _check_read(self.blocks, block, table, columns)
        found = self.blocks.read(table, block, names)
        for name in names:
            column = self.blocks.description.column(table, name)
            if column is not None and column.kind == "text":
                # The last level serves the code -1 of missing values.
                levels = [*self.blocks.levels(table, name), None]
                found[name] = np.array(levels, dtype=object)[found[name]]
        counts = self.blocks.block_counts(block)[table == "agents"]
        edges = self.blocks.description.block_edges
        ids = self.blocks.market_ids()[edges[block] : edges[block + 1]]
        index = self.blocks.rows(block) if table == "products" else None
        markets = pd.Series(np.repeat(ids, counts)).infer_objects().to_numpy()
        return pd.DataFrame({"market_ids": markets, **found}, index=index)

    def verify(self, progress: Progress | None = None) -> None:
        """Read everything and compare it with what was written.

        Parameters
        ----------
        progress
            Told how far it is, every two seconds.

        Raises
        ------
        StoreError
            At the first thing that is not what was written.
        """
        self.blocks.verify(Pace(_progress(progress)))

    def __str__(self) -> str:
        """Say what the store holds."""
        return store_text(self.blocks)

    def __repr__(self) -> str:
        """Print as ``str`` does."""
        return str(self)

    def _repr_html_(self) -> str:
        """Show what the store holds in a notebook."""
        return store_html(self.blocks)


def build_store(
    path: str | Path,
    product_data: Any,
    agent_data: Any = None,
    *,
    integration: Integration | None = None,
    columns: Sequence[str] | None = None,
    blocks: int | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Store:
    """Write products and agents to a store, checked and cut into blocks.

    Parameters
    ----------
    path
        Directory of the store. It is whole or not there, whatever happens meanwhile.
    product_data
        Table with ``market_ids``, ``shares``, ``prices``, ``demand_instruments0``, …
        and for a supply side ``firm_ids`` or ``ownership0``, …, which may be NaN beyond
        the products of a market, ``supply_instruments0``, … and
        ``covariance_instruments0``, …: a DataFrame, a mapping of arrays, a structured
        array, or a path to Parquet: a file, a directory of files, or a list of them.
        Parquet is read in parts, never whole, and rows may be in any order.
    agent_data
        Table with ``market_ids``, ``weights``, ``nodes0``, … and demographics, in any
        of these forms; or None.
    integration
        Rule that draws nodes and weights on the machines that need them, instead of
        storing them. Each market has a stream of its own, keyed by the seed and the
        market's place (:mod:`blpdask.integration.keyed`).
    columns
        Columns of products to keep, all where None; those that every problem needs and
        instruments are kept in any case.
    blocks
        Number of blocks, chosen from the data where None.
    overwrite
        Whether a store that is there may be replaced.
    progress
        Function that is told what is being done, every two seconds; ``print`` will do.

    Returns
    -------
    Store
        The store, open.

    Raises
    ------
    InputError
        With every fault of the data, and the markets and blocks where they are.
    StoreError
        Where something is there that may not be replaced.

    Examples
    --------
    >>> import tempfile
    >>> data = {
    ...     "market_ids": [1, 1, 2],
    ...     "shares": [0.2, 0.3, 0.4],
    ...     "prices": [1.0, 2.0, 1.5],
    ... }
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     store = build_store(f"{folder}/shops", data)
    ...     store.N, store.T, len(store)
    (3, 2, 1)
    """
    faults = Faults("build_store")
    _check_common(integration, blocks, progress, faults)
    if isinstance(columns, str) or not isinstance(columns, Sequence | None):
        faults.add(
            f"columns={columns!r}", "a list of names, or None", "pass a list of names"
        )
    faults.check()
    built = build_block_store(
        Path(path).absolute(),
        product_data,
        agent_data,
        nodes=described(integration),
        columns=columns,
        n_blocks=blocks,
        overwrite=overwrite,
        tell=Pace(_progress(progress)),
    )
    return Store(built)


def simulate_store(
    path: str | Path,
    design: MarketDesign | Mapping[str, Any] | None = None,
    seed: int = 0,
    *,
    integration: Integration | None = None,
    blocks: int | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Store:
    """Simulate markets of known truth straight into a store, a block at a time.

    Parameters
    ----------
    path
        Directory of the store.
    design
        A :class:`blpdask.simulation.markets.MarketDesign`, or options of one by name.
    seed
        Of all draws; a market's data depend on the design, the seed and its number.
    integration
        Rule that draws nodes and weights instead of storing those of the agents who
        made the shares; their demographics are stored still.
    blocks, overwrite, progress
        As in :func:`build_store`.

    Raises
    ------
    InputError
        With every fault of the design.
    StoreError
        Where something is there that may not be replaced.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     store = simulate_store(f"{folder}/truth", {"n_markets": 20}, seed=1)
    ...     store.T, store.N, store.I
    (20, 240, 4000)
    """
    from ..simulation.design import MarketDesign
    from ..simulation.store import simulate_block_store

    faults = Faults("simulate_store")
    _check_common(integration, blocks, progress, faults)
    if design is not None and not isinstance(design, MarketDesign | Mapping):
        faults.add(
            f"design of type {type(design).__name__}",
            "a MarketDesign, or a dictionary of its attributes",
            "pass {'n_markets': 100}, for example",
        )
    elif isinstance(design, Mapping):
        known = MarketDesign.__slots__
        for name in sorted(set(design) - set(known)):
            faults.add(
                f"the option '{name}' of design",
                f"one of {', '.join(known)}",
                "correct or remove it",
            )
    faults.check()
    if not isinstance(design, MarketDesign):
        design = MarketDesign(**(design or {}))
    built = simulate_block_store(
        Path(path).absolute(),
        design,
        seed,
        nodes=described(integration),
        n_blocks=blocks,
        overwrite=overwrite,
        tell=Pace(_progress(progress)),
    )
    return Store(built)


def open_store(path: str | Path) -> Store:
    """Open a store.

    Parameters
    ----------
    path
        Its directory.

    Raises
    ------
    StoreError
        Where there is none, of another schema, or with a damaged description.
    """
    return Store(BlockStore.open(path))


def described(integration: Integration | None) -> DescribedNodes | None:
    """Describe the nodes of a rule, with a seed drawn where it has none."""
    if integration is None:
        return None
    rule = integration.rule.seeded()
    if rule.is_centred:
        refuse_centred(rule.specification)
    _refuse_mirrored(rule)
    return DescribedNodes(
        specification=rule.specification,
        size=rule.size,
        seed=rule.options.seed or 0,
        discard=rule.options.discard,
        scramble=rule.options.scramble,
    )


def _refuse_mirrored(rule: Rule) -> None:
    """Refuse antithetic draws, which descriptions of nodes in stores do not tell."""
    if not rule.options.antithetic:
        return
    faults = Faults("integration")
    faults.add(
        "antithetic draws for a store",
        "draws that a store can describe: not mirrored",
        "leave the option antithetic out",
    )
    faults.check()


def _progress(progress: Progress | None) -> Progress | None:
    """Choose who is told: the given function, or the printer where verbose."""
    if progress is not None or not options.verbose:
        return progress
    return options.verbose_output


def _check_common(integration: Any, blocks: Any, progress: Any, faults: Faults) -> None:
    """Check the arguments that builders share."""
    if integration is not None and not isinstance(integration, Integration):
        faults.add(
            f"integration of type {type(integration).__name__}",
            "an Integration or None",
            "wrap it: Integration(…)",
        )
    whole = isinstance(blocks, int | np.integer) and not isinstance(blocks, bool)
    if blocks is not None and (not whole or blocks < 1):
        faults.add(
            f"blocks={blocks!r}", "a positive number of blocks, or None", "correct it"
        )
    if progress is not None and not callable(progress):
        faults.add(
            f"progress of type {type(progress).__name__}",
            "a function that takes a text, or None",
            "pass a function, such as print",
        )


def _check_read(
    store: BlockStore, block: int, table: str, columns: Sequence[str] | None
) -> list[str]:
    """Check what is to be read and list its columns."""
    faults = Faults("read")
    if not 0 <= block < len(store):
        faults.add(
            f"block {block}", f"a number from 0 to {len(store) - 1}", "correct it"
        )
    if table not in ("products", "agents"):
        faults.add(f"table {table!r}", "'products' or 'agents'", "choose one")
        faults.check()
    names = [column.name for column in store.description.columns(table)]
    for name in [name for name in columns or () if name not in names]:
        faults.add(
            f"no column '{name}' of {table}", f"one of {', '.join(names)}", "correct it"
        )
    faults.check()
    return names if columns is None else list(columns)
