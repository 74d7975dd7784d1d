"""A problem in a store, a block at a time, as questions at parameters need it.

What demand and firms do at parameters they do market by market: an answer a to a
question about all of a store's blocks is the answers about each, side by side,

    a(x, θ̂, δ̂) = (a(x_1, θ̂, δ̂_1), ..., a(x_B, θ̂, δ̂_B)).

Here a block becomes a problem in memory of its own: the numbers of X1, X2, X3 and of
agents are those that estimation works with, bit for bit, codes of nests and of agents'
types are those of the whole store, and there are neither effects nor instruments, which
only estimation needs.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ..partitions.block_store import BlockStore
from ..partitions.scratch import Scratch
from ..records import Integers
from .absorption_options import AbsorptionControls
from .agents import Agents
from .availability import unflatten_availability
from .demand_problem import DemandProblem, prepare_demand
from .fields import matrix_columns
from .formulas import ParsedFormula
from .outline import DemandOutline
from .products import Products, read_products
from .stored_blocks import BlockRecipe, Columns, StoredBlocks

#: Fields of products, beside those of formulas, that questions are about.
ID_FIELDS = ("firm_ids", "product_ids", "ownership")


class EconomyBlocks(StoredBlocks):
    """Gives the blocks of a store as problems in memory; keeps none of them."""

    def __init__(
        self,
        store: BlockStore,
        recipe: BlockRecipe,
        scratch: Scratch,
        outline: DemandOutline,
    ) -> None:
        """Keep what travels.

        Parameters
        ----------
        store, recipe, scratch
            As in :class:`.stored_blocks.StoredBlocks`.
        outline
            Names of the whole problem.
        """
        super().__init__(store, without_moments(recipe), scratch)
        # Names of markets are many; those of a block come with its question.
        self._outline = replace(outline, market_ids=np.empty(0, np.int64))
        names = [column.name for column in store.description.products]
        self._ids = {field: matrix_columns(names, field) for field in ID_FIELDS}
        self._opened: tuple[tuple[int, ...], BlockStore] | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Travel without the store, which is opened where blocks are read."""
        return {**self.__dict__, "_opened": None}

    @property
    def row_offsets(self) -> Integers:
        """First row of each block, then N, ``(B + 1,)``."""
        return np.concatenate([[0], np.cumsum(self._products)]).astype(np.int64)

    @property
    def market_edges(self) -> Integers:
        """First market of each block, then T, ``(B + 1,)``."""
        return np.array(self._edges, np.int64)

    def economy(self, index: int, market_ids: np.ndarray[Any, Any]) -> DemandProblem:
        """Read a block and make a problem of it.

        Parameters
        ----------
        index
            Place of the block.
        market_ids
            ``(T,)`` of its markets.

        Raises
        ------
        StoreError
            Where the store is not what it was.
        """
        store = self._open()
        ids = {name for names in self._ids.values() for name in names}
        columns = store.read("products", index, self._product_names | ids | {"prices"})
        counts, _ = store.block_counts(index)
        people = self._agents(store, index, counts)
        n = self.recipe.n_node_columns
        sizes = np.repeat(counts, np.diff(people.offsets))
        agents = Agents(
            offsets=people.offsets,
            nodes=people.draws[:, :n],
            demographics=people.draws[:, n:],
            weights=people.weights,
            columns=self._outline.agent_columns,
            market_codes=np.repeat(np.arange(counts.size), np.diff(people.offsets)),
            order=np.arange(people.weights.size),
            availability=unflatten_availability(people.availability, sizes, 1.0),
            product_demographics=unflatten_availability(
                people.product_draws, sizes, 0.0
            ),
            product_columns=tuple(column - n for column in people.product_columns),
            types=people.types,
            type_ids=self._outline.type_ids,
        )
        products = replace(
            self._read_products(store, columns, counts, index),
            unique_market_ids=market_ids,
        )
        scale = self.recipe.epsilon_scale
        return prepare_demand(products, agents, self._outline.types, scale)

    def _open(self) -> BlockStore:
        """Open the store, anew where its description is not the file it was."""
        try:
            found = (self._path / "zarr.json").stat()
        except OSError:
            return super()._open()
        signature = found.st_ino, found.st_mtime_ns, found.st_size
        if self._opened is None or self._opened[0] != signature:
            self._opened = signature, super()._open()
        return self._opened[1]

    def _read_products(
        self, store: BlockStore, columns: Columns, counts: Integers, index: int
    ) -> Products:
        """Make products of a block's columns.

        Text stays codes but where users name it: firms are only compared.
        """
        recipe = self.recipe
        formulas = [recipe.linear, recipe.random]
        formulas.append(None if recipe.supply is None else recipe.supply.formula)
        linear, random, cost = (
            None if formula is None else ParsedFormula(formula.terms, ())
            for formula in formulas
        )
        assert linear is not None
        named = {n for f in (linear, random, cost) if f is not None for n in f.names}
        wanted = {"shares", "prices", *self._ids["firm_ids"], *self._ids["ownership"]}
        data = {name: columns[name] for name in sorted(named | wanted)}
        data["market_ids"] = np.repeat(np.arange(counts.size), counts)
        products = read_products(
            data,
            linear,
            random,
            cost,
            add_exogenous=False,
            absorption=AbsorptionControls(),
        )
        ids = {n: v for n, v in products.ids.items() if n in (*ID_FIELDS, "prices")}
        named_columns = [
            decoded(store, name, columns[name]) for name in self._ids["product_ids"]
        ]
        if named_columns:
            ids["product_ids"] = np.column_stack(named_columns)
        return replace(
            products,
            ids=ids,
            nests=self._nests(store, columns, index),
            nesting_ids=np.array(self._outline.nesting_ids, object),
        )


def without_moments(recipe: BlockRecipe) -> BlockRecipe:
    """Leave out of a recipe what only moments need: effects and instruments."""
    supply = recipe.supply
    if supply is not None:
        supply = replace(
            supply, exogenous=(), excluded=(), effects=(), levels=(), covariances=()
        )
    return replace(
        recipe,
        exogenous=(),
        absorb_instruments=False,
        excluded=(),
        effects=(),
        clusters=(),
        levels=(),
        supply=supply,
    )


def decoded(
    store: BlockStore, name: str, values: np.ndarray[Any, Any]
) -> np.ndarray[Any, Any]:
    """Give a column of products as users know it: texts in place of their codes."""
    column = store.description.column("products", name)
    if column is None or column.kind != "text":
        return values
    # The last level serves the code -1 of missing values.
    levels = [*store.levels("products", name), None]
    return np.asarray(np.array(levels, dtype=object)[values])
