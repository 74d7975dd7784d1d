"""Choices of people that live in a store: what is known of them, and their blocks.

Formulas are evaluated where a block is loaded. A categorical variable has the levels
of all blocks, whichever of them a block's rows have: rows that go through all levels
are put below a block's own before the formula is evaluated, and taken away again. What
must hold of all rows together,

    V_x = Σ_s Σ_{j ∈ C_s} (x_sj - x̄_s)(x_sj - x̄_s)'   not singular,

is summed over blocks on the engine that will estimate.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..choice_records import ChoiceBlock
from ..errors import Faults, InputError, StoreError
from ..integration.rules import Rule
from ..moments.choice_attributes import AttributeSums, attributes_pass
from ..partitions.block_store import BlockStore, open_expected
from ..partitions.scratch import Scratch
from ..partitions.sealed import digest
from ..records import Floats
from . import formula_data
from .choice_checks import check_spread
from .drawn_blocks import DrawnBlocks, Draws
from .fields import some
from .formula_columns import Column, DesignMatrix
from .formula_expressions import Variable, leaves
from .formulas import ParsedFormula

#: What earlier columns must leave of a column: sums of squares know no less.
TOLERANCE = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class PeopleRecipe:
    """How columns of a block become X.

    Attributes
    ----------
    formula
        Of X, an intercept included where it has one.
    kept
        Places of the columns that are X's.
    levels
        Levels of categorical variables, in order.
    weighted
        Whether the store has weights.
    """

    formula: ParsedFormula
    kept: tuple[int, ...]
    levels: Mapping[str, tuple[Any, ...]]
    weighted: bool


class StoredPeople:
    """A source of people without draws that reads a store."""

    def __init__(self, store: BlockStore, recipe: PeopleRecipe) -> None:
        """Keep what travels: path, fingerprint, sizes and the recipe."""
        description = store.description
        self._path, self._fingerprint = store.path, store.fingerprint
        self._labels = description.block_labels
        edges, K = description.block_edges, len(recipe.kept)
        self._bytes = tuple(
            8 * (rows * K + 2 * situations + 2 * (stop - first))
            for rows, situations, first, stop in zip(
                description.block_products,
                description.block_agents,
                edges[:-1],
                edges[1:],
                strict=True,
            )
        )
        self._recipe = recipe
        beside = store.path.with_name(f"{store.path.name}.rows")
        self._scratch = Scratch(beside / "scratch")
        self.name = digest((store.fingerprint, recipe))

    @property
    def scratch(self) -> Path:
        """Where workers leave what they share, as long as this source is in use."""
        return self._scratch.path

    def __len__(self) -> int:
        """Count the blocks."""
        return len(self._labels)

    def load(self, index: int) -> ChoiceBlock:
        """Read a block.

        Raises
        ------
        StoreError
            Where the store is not what it was.
        InputError
            Where X is not finite, with the people whose it is.
        """
        store, recipe = open_expected(self._path, self._fingerprint), self._recipe
        names = ["situation_ids", "chosen", *["weights"] * recipe.weighted]
        columns = store.read("products", index, names)
        rows, situations = store.block_counts(index)
        X = evaluate_block(store, index, recipe.formula, recipe.levels).values
        person_rows = _offsets(rows)
        ids = columns["situation_ids"]
        first = np.flatnonzero(np.append(True, ids[1:] != ids[:-1]))
        offsets = np.append(np.union1d(first, person_rows[:-1]), len(ids))
        person_offsets = _offsets(situations)
        chosen = np.flatnonzero(columns["chosen"])
        _check_situations(self.describe(index), offsets, person_offsets, chosen)
        weights = np.ones(rows.size)
        if recipe.weighted:
            weights = columns["weights"][person_rows[:-1]].astype(np.float64)
        return ChoiceBlock(
            X=np.ascontiguousarray(X[:, list(recipe.kept)]),
            chosen=chosen.astype(np.int64),
            situation_offsets=offsets.astype(np.int64),
            person_offsets=person_offsets,
            weights=weights,
            draws=np.empty((rows.size, 1, 0)),
        )

    def size(self, index: int) -> int:
        """Estimate the bytes of a block."""
        return self._bytes[index]

    def carried_size(self, index: int) -> int:
        """Say that nothing of a block travels."""
        del index
        return 0

    def describe(self, index: int) -> str:
        """Name a block, with its people."""
        return f"block {index} ({self._labels[index]})"

    def only(self, indices: Iterable[int]) -> StoredPeople:
        """Give the source itself: it holds no blocks."""
        del indices
        return self


def evaluate_block(
    store: BlockStore,
    index: int,
    formula: ParsedFormula,
    levels: Mapping[str, tuple[Any, ...]],
) -> DesignMatrix:
    """Evaluate a formula in a block's rows, ``(N, K)``, with the levels of all blocks.

    Raises
    ------
    InputError
        Where it is not finite, with the people whose values are missing.
    """
    named = store.read("products", index, sorted(formula.names))
    for name, own in levels.items():
        column = store.description.column("products", name)
        if column is not None and column.kind == "text":
            named[name] = np.array([*own, None], dtype=object)[named[name]]
    n_rows = store.description.block_products[index]
    try:
        built = formula.build(_padded(named, levels, n_rows))
    except InputError as error:
        raise _locate(store, index, named, error) from error
    return DesignMatrix(values=built.values[:n_rows], columns=built.columns)


def _padded(
    named: Mapping[str, Any], levels: Mapping[str, tuple[Any, ...]], n_rows: int
) -> dict[str, Any]:
    """Put rows below those of a block that go through all levels."""
    most = max([1, *map(len, levels.values())])
    padded: dict[str, Any] = {}
    for name, values in named.items():
        if name not in levels:
            # Whatever the formula does with numbers it does with the block's own.
            padded[name] = np.append(values, np.full(most, values[0]))
            continue
        own = levels[name]
        every = np.empty(most, dtype=object)
        every[:] = [own[place % len(own)] for place in range(most)]
        padded[name] = np.append(values, every.astype(values.dtype))
    return padded or {"": np.empty(n_rows + most)}


def _locate(
    store: BlockStore, index: int, named: Mapping[str, Any], error: InputError
) -> InputError:
    """Say whose values a formula cannot be evaluated at."""
    edges = store.description.block_edges
    ids = store.market_ids()[edges[index] : edges[index + 1]]
    people = np.repeat(np.arange(ids.size), store.block_counts(index)[0])
    faults = Faults("choice_data")
    for name, values in named.items():
        if values.dtype.kind == "f":
            missing = ~np.isfinite(values)
        else:
            missing = np.array([value is None for value in values])
        if wrong := ids[np.unique(people[missing])].tolist():
            faults.add(
                f"NaN, infinite or missing values of '{name}' in {int(missing.sum())} "
                f"rows of {store.description.describe(index)}: person {some(wrong)}",
                "finite numbers, and a level in every row",
                "drop those situations or fill them in, and build the store again",
            )
    if not len(faults):
        faults.extend(error)
    return InputError(faults.subject, tuple(faults))


class StoredChoiceTable:
    """What is known of choices in a store, under the names of a table in memory.

    Attributes
    ----------
    store
        The store.
    columns
        ``(K,)`` characteristics.
    clusters
        None: scores of people are summed, of which clusters would need all.
    """

    def __init__(self, store: BlockStore, formula: ParsedFormula) -> None:
        """Check a formula against a store's columns, and find levels.

        Raises
        ------
        InputError
            With every fault of the formula.
        """
        formula = ParsedFormula(formula.terms, ())
        faults = Faults("choice_data")
        described = [column.name for column in store.description.products]
        for name in sorted(formula.names - set(described)):
            faults.add(
                f"no column '{name}' in the store {store.path}",
                f"one of {some(described)}",
                "correct the formula, or build the store with that column",
            )
        faults.check()
        levels = _find_levels(store, formula)
        columns = evaluate_block(store, 0, formula, levels).columns
        kept = tuple(k for k, column in enumerate(columns) if column.names)
        if not kept:
            faults.add(
                "a formula without variables",
                "characteristics that differ over the alternatives of a situation",
                "add one, as in Formulation('0 + prices')",
            )
        faults.check()
        self.store = store
        self.columns: tuple[Column, ...] = tuple(columns[k] for k in kept)
        self.clusters = None
        self.demographic_columns: tuple[Column, ...] = ()
        self.people = StoredPeople(
            store, PeopleRecipe(formula, kept, levels, "weights" in described)
        )
        self._sums: AttributeSums | None = None

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the characteristics, ``(K,)``."""
        return tuple(column.name for column in self.columns)

    @property
    def n_people(self) -> int:
        """Count the people, I."""
        return self.store.description.n_markets

    @property
    def n_situations(self) -> int:
        """Count the situations of all people, S."""
        return sum(self.store.description.block_agents)

    @property
    def n_rows(self) -> int:
        """Count the alternatives of all situations, N."""
        return sum(self.store.description.block_products)

    def blocks(self, rule: Rule, kinds: tuple[str, ...]) -> DrawnBlocks:
        """Give a source of blocks with draws for coefficients of ``kinds``."""
        edges = np.array(self.store.description.block_edges, dtype=np.int64)
        # What is kept in memory is known by what it is made of, in every process.
        own = (rule, tuple(kinds)) if kinds else ()
        name = digest((self.people.name, own))
        return DrawnBlocks(self.people, Draws.of(rule, kinds, edges), name=name)

    def inspect(self, engine: Any, *, centred: Sequence[int] = ()) -> None:
        """Sum squares of characteristics over blocks, once, and check them.

        Columns at places ``centred`` may be combinations of others.

        Raises
        ------
        InputError
            Where situations do not tell the coefficients of all columns apart, or
            values are not finite.
        """
        if self._sums is not None:
            return
        placement = engine.place(self.people)
        try:
            sums: AttributeSums = placement.reduce(attributes_pass, None)
        finally:
            placement.close()
        faults = Faults("choice_data")
        differs = sums.differs > 0
        check_spread(
            self.labels, differs, sums.squares, TOLERANCE, faults, centred=centred
        )
        faults.check()
        self._sums = sums

    @property
    def deviations(self) -> Floats:
        """Standard deviations of characteristics within situations, ``(K,)``.

        They are known after :meth:`inspect`.
        """
        sums = self._sums
        assert sums is not None
        return np.asarray(np.sqrt(np.diag(sums.squares) / sums.rows))

    def __getattr__(self, name: str) -> Any:
        """Refuse what only a table in memory has."""
        if name.startswith("_"):
            raise AttributeError(name)
        raise StoreError(
            f"found: '{name}' of choices that stay in {self.store.path}\n  expected: "
            "questions that are answered block by block\n  what to do: make the "
            "problem from a DataFrame for this question, of some people if need be"
        )


def _find_levels(
    store: BlockStore, formula: ParsedFormula
) -> dict[str, tuple[Any, ...]]:
    """Find the levels of categorical variables, block by block."""
    found: dict[str, tuple[Any, ...]] = {}
    factors = [factor for term in formula.terms for factor in term.factors]
    for factor in factors:
        for name in {leaf.name for leaf in leaves(factor.expression)}:
            column = store.description.column("products", name)
            if column is not None and column.kind == "text":
                found[name] = tuple(store.levels("products", name).tolist())
            elif factor.marked and isinstance(factor.expression, Variable):
                values = np.empty(0)
                for block in range(len(store)):
                    read = store.read("products", block, [name])[name]
                    values = np.union1d(values.astype(read.dtype), read)
                found[name] = formula_data.factorize(values)[0]
    return found


def _offsets(counts: Any) -> Any:
    """Turn counts ``(n,)`` into offsets ``(n + 1,)``."""
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)


def _check_situations(where: str, offsets: Any, people: Any, chosen: Any) -> None:
    """Check that situations are those that were counted, with one choice each."""
    inside = chosen.size == len(offsets) - 1 == people[-1]
    if inside:
        inside = bool(((chosen >= offsets[:-1]) & (chosen < offsets[1:])).all())
    if not inside:
        raise StoreError(
            f"found: {where} of a store whose situations are not as they were counted\n"
            "  expected: one chosen alternative in each\n  what to do: build the store "
            "again with build_choice_store"
        )
