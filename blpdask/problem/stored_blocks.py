"""The blocks of a problem that lives in a store, made on the worker that asks.

A source carries the store's path and fingerprint and a recipe: which formulas, which
instruments, which nodes, which levels of absorbed effects. What it loads depends on it
and on the store's contents alone, so that every worker, and every retry, makes the same
bits. It travels once a bundle and is small: groups and levels of effects that are large
are filed beside the store, and a process reads them once. Every load opens the store
anew: a store that was replaced or damaged is an error, and one that was mended is read.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from ..errors import Faults, InputError, StoreError
from ..integration.keyed import count_nodes, draw_markets
from ..integration.rules import Rule, RuleOptions
from ..moments.grouped_sums import subtract_levels
from ..partitions.block_store import BlockStore, open_expected
from ..partitions.residency import RESIDENT
from ..partitions.scratch import Scratch, unwritable
from ..partitions.sealed import digest, read_sealed, write_sealed
from ..partitions.source import count_bytes
from ..partitions.store_schema import DescribedNodes
from ..records import (
    Equation,
    Floats,
    Integers,
    LinearRows,
    MarketBlock,
    SupplyRows,
)
from .availability import RULE, WRONG, flatten_availability, wrong_availability
from .clusters import stack_ways
from .demand_problem import scaled
from .demographics import Demographics, evaluate_by_product
from .fields import read_matrix, some
from .formulas import DesignMatrix, ParsedFormula
from .groupings import Grouping
from .stored_nests import NestRecipe
from .stored_supply import (
    SupplyRecipe,
    covariance_instruments,
    missing_firms,
    supply_equation,
    supply_rows,
)

Columns = dict[str, np.ndarray[Any, Any]]

#: Bytes of groups and levels up to which they travel with the source itself.
CARRIED_BYTES = 2**20


@dataclass(frozen=True, slots=True, eq=False)
class Lookups:
    """What the groups of rows need: as large as all levels together.

    Attributes
    ----------
    effects, clusters, levels
        As in :class:`BlockRecipe`.
    cost_effects, cost_levels
        As in :class:`~blpdask.problem.stored_supply.SupplyRecipe`.
    """

    effects: tuple[Grouping, ...] = ()
    clusters: tuple[Grouping, ...] = ()
    levels: tuple[Floats, ...] = ()
    cost_effects: tuple[Grouping, ...] = ()
    cost_levels: tuple[Floats, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class BlockRecipe:
    """How the columns of a block become X1, X2, Z and draws.

    Attributes
    ----------
    linear, random, demographics
        Formulas of X1, of X2 and of demographics; None where there are none.
    exogenous
        Columns of X1 that are instruments too.
    absorb_instruments
        Whether covariances of moments are those of absorbed instruments.
    excluded
        Names of the columns of excluded instruments.
    n_node_columns
        Columns of nodes, at most K2.
    nodes
        The rule that draws them, None where they are stored.
    effects, clusters
        How rows are coded; a grouping a way of clusters.
    levels
        For each effect ``(G, MD)`` what to subtract from instruments; empty where
        nothing is absorbed, or not yet.
    supply
        How columns become the supply side's, None where there is none.
    nests
        How products are coded by nest, None where there are none.
    availability
        Names of the columns of a_ij of agents, none where all products are there.
    epsilon_scale
        Scale of the extreme-value errors.
    numbered
        Variables of demographics that differ over products, with their columns.
    types
        How agents are coded by type, None where they have none.
    """

    linear: ParsedFormula
    random: ParsedFormula | None
    demographics: ParsedFormula | None
    exogenous: tuple[int, ...]
    absorb_instruments: bool
    excluded: tuple[str, ...]
    n_node_columns: int
    nodes: DescribedNodes | None
    effects: tuple[Grouping, ...] = ()
    clusters: tuple[Grouping, ...] = ()
    levels: tuple[Floats, ...] = ()
    supply: SupplyRecipe | None = None
    nests: NestRecipe | None = None
    availability: tuple[str, ...] = ()
    epsilon_scale: float = 1.0
    numbered: tuple[tuple[str, tuple[str, ...]], ...] = ()
    types: NestRecipe | None = None

    @property
    def agent_names(self) -> list[str]:
        """Columns of agents, nodes and weights apart."""
        numbered, names = dict(self.numbered), set[str]()
        if self.demographics is not None:
            names = set(self.demographics.names - set(numbered))
        if self.types is not None:
            names.add(self.types.column)
        return [
            *sorted(names),
            *(n for own in numbered.values() for n in own),
            *self.availability,
        ]

    @property
    def n_by_product(self) -> int:
        """Count the columns of demographics that differ over products."""
        if self.demographics is None:
            return 0
        named = [ParsedFormula((t,), ()).names for t in self.demographics.terms]
        return sum(not names.isdisjoint(dict(self.numbered)) for names in named)

    @property
    def product_names(self) -> list[str]:
        """Columns of products that X and Z of all equations need."""
        matrix = ParsedFormula(self.linear.terms, ())
        groups = [name for grouping in self.effects for name in grouping.names]
        costs = [] if self.supply is None else self.supply.matrix_names
        listed = ["shares", *sorted(matrix.names), *self.excluded, *groups, *costs]
        return list(dict.fromkeys(listed))

    @property
    def is_raw(self) -> bool:
        """Tell whether there are effects that are still to be absorbed."""
        found = self.lookups
        demand = bool(found.effects) and not found.levels
        return demand or (bool(found.cost_effects) and not found.cost_levels)

    @property
    def lookups(self) -> Lookups:
        """What rows are looked up in."""
        found = Lookups(self.effects, self.clusters, self.levels)
        if self.supply is None:
            return found
        return dataclasses.replace(
            found, cost_effects=self.supply.effects, cost_levels=self.supply.levels
        )

    def knowing(self, lookups: Lookups) -> BlockRecipe:
        """Give the recipe other lookups."""
        supply = self.supply
        if supply is not None:
            supply = dataclasses.replace(
                supply, effects=lookups.cost_effects, levels=lookups.cost_levels
            )
        return dataclasses.replace(
            self,
            effects=lookups.effects,
            clusters=lookups.clusters,
            levels=lookups.levels,
            supply=supply,
        )

    @property
    def widths(self) -> tuple[int, int, int, int]:
        """Give K1, K2, MD and D."""
        K1, K2, D = (
            0 if formula is None else len(formula.terms)
            for formula in (self.linear, self.random, self.demographics)
        )
        return K1, K2, len(self.excluded) + len(self.exogenous), D

    @property
    def n_priced(self) -> int:
        """Count the columns of X1 and X2 that depend on prices."""
        formulas = [f for f in (self.linear, self.random) if f is not None]
        terms = [term for formula in formulas for term in formula.terms]
        return sum("prices" in ParsedFormula((term,), ()).names for term in terms)


class StoredBlocks:
    """A block source that reads a store."""

    def __init__(
        self, store: BlockStore, recipe: BlockRecipe, scratch: Scratch
    ) -> None:
        """Keep what travels: path, fingerprint, sizes and the recipe."""
        self._path = store.path
        self._fingerprint = store.fingerprint
        self._labels = store.description.block_labels
        self._bytes = _block_bytes(store, recipe)
        self._products = store.description.block_products
        self._row_bytes = _row_bytes(recipe)
        self._is_raw = recipe.is_raw
        self._edges = store.description.block_edges
        self._recipe = recipe
        self._scratch = scratch
        self._filed: tuple[Path, int] | None = None
        self.name = digest((self._fingerprint, recipe))
        #: Owns what this process keeps of the source.
        self._owner = self.name

    @property
    def recipe(self) -> BlockRecipe:
        """The recipe, whose lookups are read where they were filed.

        Raises
        ------
        StoreError
            Where they are gone or damaged.
        """
        if self._filed is None:
            return self._recipe
        path, size = self._filed
        lookups = RESIDENT.get(
            (self._owner, "lookups"), size, lambda: read_sealed(path)
        )
        return self._recipe.knowing(lookups)

    @property
    def scratch(self) -> Path:
        """Where workers leave what they share, as long as this source is in use."""
        return self._scratch.path

    def __len__(self) -> int:
        """Count the blocks."""
        return len(self._labels)

    def load(self, index: int) -> MarketBlock:
        """Give a block, read where this process does not hold it.

        Raises
        ------
        StoreError
            Where the store is not what it was, or values are not finite.
        """
        size = self.size(index)
        return RESIDENT.get((self._owner, index), size, lambda: self._make(index))

    def load_linear(self, index: int) -> LinearRows:
        """Give the linear rows of a block, held where all blocks fit with theirs.

        While effects are absorbed they are held as far as there is room: passes over
        them are many, and nothing is remembered of evaluations yet.
        """
        if not self._holds_rows:
            return self._make_linear(index)
        size = self._row_bytes * self._products[index]
        key = self._owner, index, "linear"
        return RESIDENT.get(key, size, lambda: self._make_linear(index))

    @property
    def _holds_rows(self) -> bool:
        """Tell whether rows are in nobody's way: the whole problem fits well."""
        if self._is_raw:
            return True
        rows = self._row_bytes * sum(self._products)
        return sum(self._bytes) + rows <= RESIDENT.budget / 2

    def _make_linear(self, index: int) -> LinearRows:
        """Read the linear rows of a block."""
        store = self._open()
        recipe = self.recipe
        names = list(recipe.product_names)
        for way in recipe.clusters:
            names += way.names
        columns = store.read("products", index, list(dict.fromkeys(names)))
        design, Z = self._linear_matrices(columns, index)
        effects = tuple(grouping.codes(columns) for grouping in recipe.effects)
        if recipe.absorb_instruments and recipe.levels:
            Z = subtract_levels(Z, effects, recipe.levels)
        equations = [Equation(design.values, np.ascontiguousarray(Z), effects)]
        arrays = {"X1": design.values, "ZD": Z}
        if (supply := recipe.supply) is not None:
            X3 = self._design(supply.formula, columns, "X3", index).values
            costs = supply_equation(
                supply, X3, columns, absorbed=recipe.absorb_instruments
            )
            equations.append(costs)
            arrays |= {"X3": X3, "ZS": costs.Z}
            ZC = covariance_instruments(supply, columns)
            arrays |= {} if ZC is None else {"ZC": ZC}
        self._check_finite(store, index, arrays)
        return LinearRows(
            rows=store.rows(index),
            equations=tuple(equations),
            clusters=stack_ways([way.codes(columns) for way in recipe.clusters]),
            ZC=arrays.get("ZC"),
        )

    def size(self, index: int) -> int:
        """Estimate the bytes of a block: its products, its agents."""
        return self._bytes[index]

    def describe(self, index: int) -> str:
        """Name a block, with its markets."""
        return f"block {index} ({self._labels[index]})"

    def only(self, indices: Iterable[int]) -> StoredBlocks:
        """Give the source with large lookups filed; it holds no blocks."""
        del indices
        return self._travelling

    @cached_property
    def _reading(self) -> StoredBlocks:
        """The source for blocks, which may be held longer than scratch must last."""
        reading = copy.copy(self)
        reading._scratch = copy.copy(self._scratch)
        return reading

    @cached_property
    def _travelling(self) -> StoredBlocks:
        """The source as it travels.

        Raises
        ------
        StoreError
            Where large lookups cannot be written beside the store.
        """
        recipe = self._recipe
        lookups = recipe.lookups
        size = count_bytes(lookups)
        if self._filed is not None or size <= CARRIED_BYTES:
            return self
        path = self.scratch / f"lookups-{self.name}"
        try:
            write_sealed(path, lookups, durable=False)
        except OSError as error:
            raise unwritable(path, error) from error
        light = copy.copy(self)
        light._recipe = recipe.knowing(Lookups())
        light._filed = (path, size)
        return light

    def _open(self) -> BlockStore:
        return open_expected(self._path, self._fingerprint)

    def _make(self, index: int) -> MarketBlock:
        """Read a block's columns and make the block."""
        store = self._open()
        columns = store.read("products", index, sorted(self._product_names))
        return self._block(store, columns, index)

    @property
    def _product_names(self) -> set[str]:
        """Columns of products that blocks are made of."""
        recipe = self.recipe
        random = recipe.random
        names = {*recipe.product_names, *(random.names if random is not None else ())}
        names |= set(recipe.supply.owner_names if recipe.supply is not None else ())
        return names | ({recipe.nests.column} if recipe.nests is not None else set())

    def _block(self, store: BlockStore, columns: Columns, index: int) -> MarketBlock:
        """Make a block of its columns."""
        recipe, random = self.recipe, self.recipe.random
        product_counts, _ = store.block_counts(index)
        X1, Z = self._linear_matrices(columns, index)
        if recipe.levels:
            effects = [grouping.codes(columns) for grouping in recipe.effects]
            Z = subtract_levels(Z, effects, recipe.levels)
        shares = np.asarray(columns["shares"], dtype=np.float64)
        X2 = self._design(random, columns, "X2", index)
        log_shares, logit_delta = _logit(shares, product_counts)
        people = self._agents(store, index, product_counts)
        block = MarketBlock(
            index=index,
            first_market=int(self._edges[index]),
            product_offsets=_offsets(product_counts),
            agent_offsets=people.offsets,
            X2=np.ascontiguousarray(scaled(X2.values.T, recipe.epsilon_scale)),
            log_shares=log_shares,
            logit_delta=logit_delta,
            draws=people.draws,
            weights=people.weights,
            ZD=np.ascontiguousarray(Z),
            supply=self._supply(store, columns, product_counts, X1, X2, index),
            linear=StoredRows(self._reading, index),
            nests=self._nests(store, columns, index),
            availability=people.availability,
            epsilon_scale=recipe.epsilon_scale,
            product_draws=people.product_draws,
            product_columns=people.product_columns,
            agent_types=people.types,
        )
        arrays = {"X2": X2.values, "ZD": Z, "log_shares": log_shares}
        self._check_finite(store, index, arrays)
        self._check_finite(store, index, {"logit_delta": logit_delta})
        agents = {"draws": people.draws, "weights": people.weights}
        self._check_finite(store, index, agents, people.offsets)
        return block

    def _nests(
        self, store: BlockStore, columns: Columns, index: int
    ) -> Integers | None:
        """Code the nests of a block, None where there are none."""
        nests = self.recipe.nests
        if nests is None:
            return None
        missing = np.flatnonzero(nests.missing(columns))
        if missing.size:
            what, expected = (
                "'nesting_ids' that are missing",
                "a nest for every product",
            )
            self._refuse(store, index, missing, what, expected)
        return nests.codes(columns)

    def _supply(
        self,
        store: BlockStore,
        columns: Columns,
        counts: Integers,
        X1: DesignMatrix,
        X2: DesignMatrix,
        index: int,
    ) -> SupplyRows | None:
        """Make the supply side of a block, None where there is none."""
        supply = self.recipe.supply
        if supply is None:
            return None
        missing = np.flatnonzero(missing_firms(supply, store.description, columns))
        if missing.size:
            what, expected = "'firm_ids' that are missing", "a firm for every product"
            self._refuse(store, index, missing, what, expected)
        X3 = self._design(supply.formula, columns, "X3", index).values
        scale = self.recipe.epsilon_scale
        rows = supply_rows(supply, X3, columns, _offsets(counts), X1, X2, scale)
        self._check_finite(store, index, {"ZS": rows.ZS, "prices": rows.prices})
        return rows

    def _linear_matrices(
        self, columns: Columns, index: int
    ) -> tuple[DesignMatrix, Floats]:
        """Compute X1 and Z, effects not absorbed, ``(N, K1)`` and ``(N, MD)``."""
        X1 = self._design(self.recipe.linear, columns, "X1", index)
        exogenous = X1.values[:, self.recipe.exogenous]
        excluded = read_matrix(columns, "demand_instruments", Faults("product_data"))
        if excluded is None or not self.recipe.excluded:
            return X1, exogenous
        return X1, np.hstack([excluded.astype(np.float64), exogenous])

    def _design(
        self, formula: ParsedFormula | None, columns: Columns, array: str, index: int
    ) -> DesignMatrix:
        """Evaluate a formula; where it fails, say in which block."""
        if formula is None:
            return DesignMatrix(np.empty((len(next(iter(columns.values()))), 0)), ())
        try:
            return formula.build(columns)
        except InputError as error:
            raise StoreError(
                f"found: {array} of {self.describe(index)} cannot be evaluated:\n"
                f"{error}\n  expected: finite numbers from every row\n  what to do: "
                "look at the rows (counted within the block) with store.read, then "
                "change the formula or mend the data and build the store again"
            ) from error

    def _agents(
        self, store: BlockStore, index: int, product_counts: Integers
    ) -> _People:
        """Read, or draw, the agents of a block."""
        recipe = self.recipe
        first, stop = self._edges[index], self._edges[index + 1]
        if recipe.random is None:
            none = np.zeros(stop - first + 1, dtype=np.int64)
            return _People(none, np.empty((0, 0)), np.empty(0))
        stored = [f"nodes{k}" for k in range(recipe.n_node_columns)]
        names = recipe.agent_names
        if recipe.nodes is None:
            counts = store.block_counts(index)[1]
            columns = store.read("agents", index, ["weights", *stored, *names])
            nodes = [columns[name].astype(np.float64) for name in stored]
            weights = columns["weights"].astype(np.float64)
            matrix = np.stack(nodes, axis=1) if nodes else np.empty((weights.size, 0))
        else:
            K2 = recipe.widths[1]
            built = draw_markets(
                as_rule(recipe.nodes), K2, recipe.nodes.seed, range(first, stop)
            )
            matrix, weights = built.nodes, built.weights
            columns = store.read("agents", index, names)
            available = store.block_counts(index)[1]
            counts = np.bincount(built.market_index, minlength=stop - first)
            kept = _first_rows(available, counts) if names else None
            columns = {name: values[kept] for name, values in columns.items()}
        sizes = np.repeat(product_counts, counts)
        # The nameless column says how many rows there are.
        people = self._demographics({**columns, "": weights}, sizes, index)
        by_product = people.by_product
        return _People(
            _offsets(counts),
            np.ascontiguousarray(np.hstack([matrix, people.values])),
            weights,
            self._available(store, index, columns, counts, sizes),
            None if by_product is None else flatten_availability(by_product, sizes),
            tuple(matrix.shape[1] + d for d in people.product_columns),
            self._types(store, index, columns, counts),
        )

    def _demographics(
        self, columns: Columns, sizes: Integers, index: int
    ) -> Demographics:
        """Evaluate demographics, once a product where they differ over products."""
        formula, numbered = self.recipe.demographics, dict(self.recipe.numbered)
        if formula is None or not numbered:
            return Demographics(
                self._design(formula, columns, "demographics", index).values, ()
            )
        own = {name for names in numbered.values() for name in names}
        return evaluate_by_product(
            {name: values for name, values in columns.items() if name not in own},
            columns,
            numbered,
            sizes,
            lambda table: self._design(formula, table, "demographics", index),
        )

    def _types(
        self, store: BlockStore, index: int, columns: Columns, counts: Integers
    ) -> Integers | None:
        """Code the types of a block's agents, None where they have none."""
        types = self.recipe.types
        if types is None:
            return None
        missing = np.flatnonzero(types.missing(columns))
        if missing.size:
            what, expected = f"'{types.column}' that are missing", "a type for all"
            self._refuse(store, index, missing, what, expected, _offsets(counts))
        return types.codes(columns)

    def _available(
        self,
        store: BlockStore,
        index: int,
        columns: Columns,
        counts: Integers,
        sizes: Integers,
    ) -> Floats | None:
        """Lay a_ij of a block out, None where all products are there for all."""
        names = self.recipe.availability
        if not names:
            return None
        values = np.column_stack([columns[name] for name in names]).astype(np.float64)
        wrong = np.flatnonzero(wrong_availability(values, sizes))
        if wrong.size:
            self._refuse(store, index, wrong, WRONG, RULE[0], _offsets(counts))
        return flatten_availability(values, sizes)

    def _check_finite(
        self,
        store: BlockStore,
        index: int,
        arrays: dict[str, Floats],
        offsets: Integers | None = None,
    ) -> None:
        """Raise where arrays, a row a product or agent, are not finite."""
        for array, values in arrays.items():
            if np.isfinite(values).all():
                continue
            bad = np.flatnonzero(~np.isfinite(values.reshape(len(values), -1)).all(1))
            what, expected = f"{array} that are not finite", "finite numbers"
            self._refuse(store, index, bad, what, expected, offsets)

    def _refuse(
        self,
        store: BlockStore,
        index: int,
        bad: Integers,
        what: str,
        expected: str,
        offsets: Integers | None = None,
    ) -> NoReturn:
        """Raise, naming the markets of bad rows, ``(n,)`` places in the block."""
        if offsets is None:
            offsets = _offsets(store.block_counts(index)[0])
        places = np.unique(np.searchsorted(offsets, bad, side="right") - 1)
        ids = store.market_ids()[self._edges[index] + places]
        raise StoreError(
            f"found: {bad.size} rows of {what} in {self.describe(index)}, markets "
            f"{some(ids)}\n  expected: {expected}\n  what to do: "
            "mend the data there and build the store again, or change the formula"
        )


@dataclass(frozen=True, slots=True, eq=False)
class _People:
    """Agents of a block, named as in :class:`blpdask.records.MarketBlock`."""

    offsets: Integers
    draws: Floats
    weights: Floats
    availability: Floats | None = None
    product_draws: Floats | None = None
    product_columns: tuple[int, ...] = ()
    types: Integers | None = None


@dataclass(frozen=True, slots=True, eq=False)
class StoredRows:
    """Linear rows of a block in a store: reads them when called."""

    source: StoredBlocks
    index: int

    def __call__(self) -> LinearRows:
        """Read the rows."""
        return self.source.load_linear(self.index)


class StoredColumns:
    """A block source that loads columns of products by name and holds nothing."""

    def __init__(
        self, store: BlockStore, names: Sequence[str], scratch: Scratch
    ) -> None:
        """Keep the path, the fingerprint and the names."""
        self._path: Path = store.path
        self._scratch = scratch
        self._fingerprint = store.fingerprint
        self._labels = store.description.block_labels
        self._sizes = store.description.block_products
        self._names = tuple(names)
        self.name = digest((self._fingerprint, self._names))

    @property
    def scratch(self) -> Path:
        """Where workers leave what they share, as long as this source is in use."""
        return self._scratch.path

    def __len__(self) -> int:
        """Count the blocks."""
        return len(self._labels)

    def load(self, index: int) -> Columns:
        """Read the columns of a block."""
        store = open_expected(self._path, self._fingerprint)
        return store.read("products", index, self._names)

    def size(self, index: int) -> int:
        """Estimate the bytes of a block."""
        return 8 * self._sizes[index] * len(self._names)

    def describe(self, index: int) -> str:
        """Name a block, with its markets."""
        return f"block {index} ({self._labels[index]})"

    def only(self, indices: Iterable[int]) -> StoredColumns:
        """Give the source itself, which holds no blocks."""
        del indices
        return self


def as_rule(nodes: DescribedNodes) -> Rule:
    """Give the integration rule that a store describes."""
    options = RuleOptions(nodes.seed, nodes.discard, nodes.scramble)
    return Rule(nodes.specification, nodes.size, options)


def _block_sizes(store: BlockStore, recipe: BlockRecipe) -> tuple[tuple[int, int], ...]:
    """Count products and agents of each block."""
    description = store.description
    agents: Sequence[int] = description.block_agents
    if recipe.random is None:
        agents = [0] * len(store)
    elif recipe.nodes is not None:
        size = count_nodes(as_rule(recipe.nodes), recipe.widths[1])
        agents = (np.diff(description.block_edges) * size).tolist()
    return tuple(zip(description.block_products, agents, strict=True))


def _block_bytes(store: BlockStore, recipe: BlockRecipe) -> tuple[int, ...]:
    """Estimate the bytes of each block, its linear rows apart."""
    _, K2, MD, D = recipe.widths
    width = K2 + MD + 3 + (recipe.nests is not None)
    of_agents = K2 + D + 1 + (recipe.types is not None)
    weights = [0] * len(store)
    available = [0] * len(store)
    if pairs := bool(recipe.availability) + recipe.n_by_product:
        products, people = store.market_counts()
        if recipe.nodes is not None:
            people = np.full(people.size, count_nodes(as_rule(recipe.nodes), K2))
        firsts = np.array(store.description.block_edges[:-1])
        available = np.add.reduceat(pairs * products * people, firsts).tolist()
    if (supply := recipe.supply) is not None:
        width += 2 + supply.widths[1] + recipe.n_priced
        if supply.ownership:
            squares = store.market_counts()[0] ** 2
            firsts = np.array(store.description.block_edges[:-1])
            weights = np.add.reduceat(squares, firsts).tolist()
    return tuple(
        8 * (n_products * width + n_agents * of_agents + n_weights + n_available)
        for (n_products, n_agents), n_weights, n_available in zip(
            _block_sizes(store, recipe), weights, available, strict=True
        )
    )


def _row_bytes(recipe: BlockRecipe) -> int:
    """Count the bytes of a product's linear row."""
    K1, _, MD, _ = recipe.widths
    supply = recipe.supply
    costs = 0
    if supply is not None:
        costs = sum(supply.widths) + len(supply.effects) + len(supply.covariances)
    return 8 * (K1 + MD + 2 + len(recipe.effects) + costs)


def _logit(shares: Floats, counts: Integers) -> tuple[Floats, Floats]:
    """Compute log S_j and log S_j - log S_0, ``(N,)`` each."""
    codes = np.repeat(np.arange(counts.size), counts)
    outside = 1 - np.bincount(codes, weights=shares, minlength=counts.size)
    with np.errstate(all="ignore"):
        log_shares = np.log(shares)
        return log_shares, log_shares - np.log(outside)[codes]


def _offsets(counts: Integers) -> Integers:
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)


def _first_rows(available: Integers, wanted: Integers) -> Integers:
    """Give the places of each market's first rows, as many as wanted."""
    starts = np.repeat(_offsets(available)[:-1], wanted)
    ranks = np.arange(wanted.sum()) - np.repeat(_offsets(wanted)[:-1], wanted)
    return np.asarray(starts + ranks, dtype=np.int64)
