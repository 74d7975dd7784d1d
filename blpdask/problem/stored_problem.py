"""A demand problem whose data stay in a block store.

What is known at once comes from the store's description and its first block. The rest,
Z'X and Z'Z of all equations with effects absorbed, is sums over blocks, made on the
engine that will estimate: nothing as long as the data comes to the driver. Absorbing
effects finds their levels α, and a worker subtracts them from the rows that it loads,

    M Z = Z - Σ_e α_e[codes_e],       Z'M X1 = (M Z)'(M X1).

What was found can be kept in a directory (:mod:`.kept_sums`), and is then read. Rows of
results lie beside the store as long as the problem, which results hold on to, lives.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..driver.allocator import freed_memory_given_back
from ..driver.cores import single_threaded_libraries
from ..driver.engine import Engine
from ..errors import DataWarning, Faults, InputError
from ..integration.keyed import count_nodes
from ..partitions.block_store import BlockStore
from ..partitions.residency import RESIDENT
from ..partitions.scratch import Scratch
from ..partitions.sealed import digest
from ..partitions.store_schema import DescribedNodes
from ..progress import Listener, StepEvent, silent
from ..records import Floats, Integers
from .absorption_options import AbsorptionControls
from .absorption_over_blocks import absorb_over_blocks
from .agents import WITH_TYPES
from .availability import AVAILABILITY
from .clusters import FIELD, check_groups, check_ways
from .demographics import numbered_columns
from .fields import matrix_columns, some
from .formulas import Column, ParsedFormula
from .groupings import find_groupings
from .kept_sums import PREPARATION, KeptSums, read_kept, write_kept
from .outline import DemandOutline
from .prepared import PreparedDemand
from .stored_blocks import (
    BlockRecipe,
    Lookups,
    StoredBlocks,
    StoredColumns,
    as_rule,
)
from .stored_checks import StoredFormulas, check_formulas
from .stored_economy import EconomyBlocks
from .stored_nests import NestRecipe, read_stored_nests
from .stored_sums import SumsState, stored_sums_pass, warn_of_collinearity
from .stored_supply import supply_recipe
from .stored_surveys import StoredSurveys, SurveyedBlocks
from .stored_types import read_stored_types


class StoredProblem:
    """A demand problem on a store.

    Attributes
    ----------
    store
        The store.
    formulas
        Formulas of X1, X2, X3 and demographics.
    types
        ``(K2,)`` names of the types of random coefficients.
    nodes
        The rule that nodes are drawn by, None where they are stored.
    epsilon_scale
        Scale of the extreme-value errors, ε.
    outline
        Dimensions and names.
    """

    def __init__(
        self,
        store: BlockStore,
        formulas: StoredFormulas,
        *,
        add_exogenous: bool,
        absorption: AbsorptionControls,
        types: tuple[str, ...],
        nodes: DescribedNodes | None = None,
        cost_absorption: AbsorptionControls | None = None,
        weights_tol: float = np.inf,
        collinear: tuple[float, float] = (0.0, 0.0),
        epsilon_scale: float = 1.0,
    ) -> None:
        """Check formulas against the store's columns and evaluate its first block.

        Parameters
        ----------
        store
            Open.
        formulas
            Of X1, X2, X3 and demographics.
        add_exogenous
            Whether exogenous columns of X1 and X3 are added to the instruments; if not,
            effects are not absorbed into the instruments either.
        absorption, cost_absorption
            When the absorption of effects stops, in demand and supply.
        types
            ``(K2,)`` types of random coefficients.
        nodes
            The rule that nodes are drawn by, the store's own where None.
        weights_tol
            Largest distance from one of a market's weights before a warning.
        collinear
            Absolute and relative bounds below which a column is collinear.
        epsilon_scale
            Scale of the extreme-value errors.

        Raises
        ------
        InputError
            With every fault of the formulas.
        StoreError
            Where the first block cannot be read.
        """
        self.store = store
        self.formulas = formulas
        self.types = types
        self.epsilon_scale = epsilon_scale
        self._absorption = absorption
        self._cost_absorption = cost_absorption or absorption
        self._collinear = collinear
        own = store.description.nodes
        self.nodes = (nodes or own) if formulas.random is not None else None
        check_formulas(store, formulas, self.nodes)
        self._nests, self._nesting_ids = read_stored_nests(store)
        self._agent_types: NestRecipe | None = None
        self._type_ids: tuple[Any, ...] = ()
        if formulas.random is not None:
            self._agent_types, self._type_ids = read_stored_types(store)
        # Whole columns of a block are read for the sake of their names.
        with freed_memory_given_back():
            self._recipe, columns = self._read_recipe(add_exogenous)
        self.outline = self._outline(columns)
        if self.nodes is None and formulas.random is not None:
            self._warn_of_weights(weights_tol)
        beside = store.path.with_name(f"{store.path.name}.rows")
        self._scratch = Scratch(beside / "scratch")
        self._kept: KeptSums | None = None
        self._prepared: PreparedDemand | None = None

    def prepare(
        self,
        engine: Engine,
        listener: Listener = silent,
        directory: Path | None = None,
    ) -> PreparedDemand:
        """Sum over the blocks what an estimator needs, once.

        Parameters
        ----------
        engine
            Where blocks are read.
        listener
            Told of every pass.
        directory
            Of a recording, where the sums are read if they are kept there.

        Raises
        ------
        InputError
            If effects have missing levels.
        StoreError
            Where a block cannot be read or has values that are not finite, or what is
            kept is damaged or of another problem.
        """
        if directory is not None:
            found = read_kept(directory, self._fingerprint())
            if found is not None:
                self._kept = self._kept or found
                listener(StepEvent(0, "Sums of the whole data are read, as prepared"))
        if self._kept is None:
            with single_threaded_libraries():
                self._kept = self._sum(engine, listener)
        if self._prepared is None:
            self._prepared = self._prepare(self._kept)
        return self._prepared

    def keep(self, directory: Path) -> None:
        """Keep what was summed in a directory, where it is not there already.

        Parameters
        ----------
        directory
            Of a recording that is known to be of this problem.

        Raises
        ------
        StoreError
            Where the disk refuses.
        """
        if self._kept is not None and not (directory / PREPARATION).exists():
            write_kept(directory, self._kept)

    def surveyed(self, surveys: StoredSurveys) -> SurveyedBlocks:
        """Give the blocks of the problem, which is prepared, with what surveys ask."""
        assert self._kept is not None
        recipe = self._recipe.knowing(self._kept.lookups)
        return SurveyedBlocks(self.store, recipe, self._scratch, surveys)

    def economies(self) -> EconomyBlocks:
        """Give the blocks as problems in memory, of which questions are asked."""
        return EconomyBlocks(self.store, self._recipe, self._scratch, self.outline)

    @property
    def n_product_ids(self) -> int:
        """Count the columns of ``product_ids``."""
        names = [column.name for column in self.store.description.products]
        return len(matrix_columns(names, "product_ids"))

    def in_market_order(self, values: Floats) -> Floats:
        """Give rows as they are: those of a store are in its order, by market."""
        return values

    def agents_by_market(self) -> tuple[Integers, tuple[float, float]]:
        """Give I_t of all markets, ``(T,)``, and the bounds of all agents' weights."""
        if self.nodes is None:
            return self.store.market_counts()[1], self.store.weight_bounds()
        T = self.outline.market_ids.size
        size = self.outline.n_agents // T
        return np.full(T, size), (1 / size, 1 / size)

    def with_nodes(self, nodes: DescribedNodes | None) -> StoredProblem:
        """Give the same problem nodes of another rule, the store's own where None."""
        add_exogenous = self._recipe.absorb_instruments
        return StoredProblem(
            self.store,
            self.formulas,
            add_exogenous=add_exogenous,
            absorption=self._absorption,
            types=self.types,
            nodes=nodes,
            cost_absorption=self._cost_absorption,
            collinear=self._collinear,
            epsilon_scale=self.epsilon_scale,
        )

    def _read_recipe(
        self, add_exogenous: bool
    ) -> tuple[BlockRecipe, tuple[Sequence[Column], ...]]:
        """Evaluate the first block for the columns, and choose the instruments."""
        formulas = self.formulas
        columns = tuple(
            _columns_of(self.store, formula, table)
            for formula, table in (
                (formulas.linear, "products"),
                (formulas.random, "products"),
                (formulas.demographics, "agents"),
                (formulas.cost, "products"),
            )
        )
        exogenous = [
            place
            for place, column in enumerate(columns[0])
            if add_exogenous and "prices" not in column.names
        ]
        description = self.store.description
        names = [column.name for column in description.products]
        others = [column.name for column in description.agents]
        recipe = BlockRecipe(
            linear=formulas.linear,
            random=formulas.random,
            demographics=formulas.demographics,
            exogenous=tuple(exogenous),
            absorb_instruments=add_exogenous,
            excluded=matrix_columns(names, "demand_instruments"),
            n_node_columns=self._count_node_columns(len(columns[1])),
            nodes=self.nodes,
            supply=None
            if formulas.cost is None
            else supply_recipe(
                description, formulas.cost, columns[3], add_exogenous=add_exogenous
            ),
            nests=self._nests,
            availability=matrix_columns(others, AVAILABILITY)
            if formulas.random is not None and any(description.block_agents)
            else (),
            epsilon_scale=self.epsilon_scale,
            numbered=()
            if formulas.demographics is None
            else tuple(numbered_columns(others, formulas.demographics).items()),
            types=self._agent_types,
        )
        return recipe, columns

    def _count_node_columns(self, K2: int) -> int:
        """Count the columns of nodes that are used, at most K2."""
        if self.formulas.random is None:
            return 0
        if self.nodes is not None:
            return K2
        names = {column.name for column in self.store.description.agents}
        return next((k for k in range(K2) if f"nodes{k}" not in names), K2)

    def _outline(self, columns: tuple[Sequence[Column], ...]) -> DemandOutline:
        """Gather dimensions and names."""
        description, recipe = self.store.description, self._recipe
        T = description.n_markets
        n_agents = sum(description.block_agents)
        if recipe.random is None:
            n_agents = 0
        elif recipe.nodes is not None:
            n_agents = T * count_nodes(as_rule(recipe.nodes), len(columns[1]))
        excluded = [f"demand_instruments{m}" for m in range(len(recipe.excluded))]
        costs: list[str] = []
        n_covariance = 0
        if (supply := recipe.supply) is not None:
            costs = [f"supply_instruments{m}" for m in range(len(supply.excluded))]
            costs += [columns[3][k].name for k in supply.exogenous]
            n_covariance = len(supply.covariances)
        return DemandOutline(
            market_ids=self.store.market_ids(),
            n_products=sum(description.block_products),
            n_agents=n_agents,
            types=self.types,
            X1_columns=tuple(columns[0]),
            X2_columns=tuple(columns[1]),
            agent_columns=tuple(columns[2]),
            n_node_columns=recipe.n_node_columns,
            ZD_names=(*excluded, *(columns[0][k].name for k in recipe.exogenous)),
            n_effects=len(self.formulas.linear.absorbed),
            has_clusters=bool(self._cluster_names),
            X3_columns=tuple(columns[3]),
            ZS_names=tuple(costs),
            n_cost_effects=len(_absorbed_terms(self.formulas.cost)),
            nesting_ids=self._nesting_ids,
            type_ids=self._type_ids,
            ZC_names=tuple(f"covariance_instruments{m}" for m in range(n_covariance)),
        )

    def _warn_of_weights(self, tolerance: float) -> None:
        """Warn of stored weights that do not sum to one."""
        sums = self.store.weight_sums()
        off = np.abs(sums - 1) > tolerance
        if off.any():
            warnings.warn(
                f"integration weights do not sum to one in {off.sum()} of {off.size} "
                f"markets ({some(self.outline.market_ids[off])}): sums lie between "
                f"{sums[off].min():.6g} and {sums[off].max():.6g}. This is right for "
                "importance sampling; else check the weights, or set "
                "options.weights_tol = numpy.inf not to be told"
                + (WITH_TYPES if self._type_ids else ""),
                DataWarning,
                stacklevel=4,
            )

    def _fingerprint(self) -> str:
        """Name what is prepared: the data, the formulas, how effects are absorbed."""
        named = (self.store.fingerprint, self._recipe, self._absorption)
        costs = (self._cost_absorption, _absorbed_terms(self.formulas.cost))
        supply = () if self.formulas.cost is None else costs
        return digest((*named, self.formulas.linear.absorbed_terms, *supply))

    def _sum(self, engine: Engine, listener: Listener) -> KeptSums:
        """Find groups, absorb effects and sum."""
        lookups = self._find_groups(engine, listener)
        recipe = self._recipe.knowing(lookups)
        raw = StoredBlocks(self.store, recipe, self._scratch)
        placement = engine.place(raw)
        placement.listen(listener)
        try:
            absorbed = [
                absorb_over_blocks(
                    placement,
                    columns="data",
                    level_counts=counts,
                    controls=controls,
                    equation=equation,
                    listener=listener,
                ).levels
                for equation, (counts, controls) in enumerate(
                    zip(_level_counts(recipe), self._controls, strict=True)
                )
            ]
            listener(StepEvent(0, "Summing over blocks"))
            state = SumsState(tuple(absorbed), recipe.absorb_instruments)
            sums = placement.reduce(stored_sums_pass, state)
        finally:
            placement.close()
        if any(absorbed):
            RESIDENT.drop(lambda owner: owner == raw.name)
        # What kernels need is what to subtract from instruments.
        of_instruments = [
            tuple(np.ascontiguousarray(alpha[:, K:]) for alpha in levels)
            for levels, K in zip(absorbed, self._X_counts, strict=True)
        ]
        levels, cost_levels = (*of_instruments, ())[:2]
        return KeptSums(
            fingerprint=self._fingerprint(),
            lookups=dataclasses.replace(
                lookups, levels=levels, cost_levels=cost_levels
            ),
            sums=dataclasses.replace(sums, ZtX=np.ascontiguousarray(sums.ZtX)),
        )

    @property
    def _controls(self) -> tuple[AbsorptionControls, ...]:
        """Say of each equation when the absorption of its effects stops."""
        both = self._absorption, self._cost_absorption
        return both[: len(self._X_counts)]

    @property
    def _X_counts(self) -> tuple[int, ...]:
        """Count the columns of X of each equation."""
        K1, K3 = len(self.outline.X1_columns), len(self.outline.X3_columns)
        return (K1,) if self.formulas.cost is None else (K1, K3)

    def _prepare(self, kept: KeptSums) -> PreparedDemand:
        """Give an estimator what was summed, and where the blocks are."""
        lookups, sums = kept.lookups, kept.sums
        recipe = self._recipe.knowing(lookups)
        counts = tuple(way.n_groups for way in lookups.clusters)
        MD, MS = len(self.outline.ZD_names), len(self.outline.ZS_names)
        warn_of_collinearity(sums, self.outline, self._collinear)
        return PreparedDemand(
            source=StoredBlocks(self.store, recipe, self._scratch),
            n_products=self.outline.n_products,
            n_agents=self.outline.n_agents,
            n_random=len(self.outline.X2_columns),
            market_ids=self.outline.market_ids,
            product_counts=self.store.market_counts()[0],
            block_edges=np.array(self.store.description.block_edges, dtype=np.int64),
            ZtX=sums.ZtX,
            ZtZ=np.ascontiguousarray(sums.ZtZ, dtype=np.float64),
            moment_counts=(MD, MS)[: len(self._X_counts)],
            X_counts=self._X_counts,
            level_counts=_level_counts(recipe),
            absorption=self._controls,
            n_clusters=min(counts, default=0),
            clusters_of_markets=bool((sums.n_divided == 0).any()),
            cluster_counts=counts,
            rows_at=self._scratch.path / "rows",
            n_covariance=len(self.outline.ZC_names),
        )

    @property
    def _cluster_names(self) -> tuple[str, ...]:
        """List the columns of clusters, one a way."""
        names = [column.name for column in self.store.description.products]
        return matrix_columns(names, FIELD)

    def _find_groups(self, engine: Engine, listener: Listener) -> Lookups:
        """Find the groups of effects of all equations and of clusters."""
        demand = self.formulas.linear.absorbed_terms
        supply = _absorbed_terms(self.formulas.cost)
        terms = [*demand, *supply]
        terms += [(name,) for name in self._cluster_names]
        names = sorted({name for term in terms for name in term})
        described = [self.store.description.column("products", n) for n in names]
        different = list(dict.fromkeys(terms))
        groupings = find_groupings(
            different,
            StoredColumns(self.store, names, self._scratch),
            engine,
            texts=frozenset(c.name for c in described if c and c.kind == "text"),
            listener=listener,
        )
        by_term = dict(zip(different, groupings, strict=True))
        found = tuple(by_term[term] for term in terms)
        split = len(demand)
        clusters = found[split + len(supply) :]
        faults = Faults("product_data")
        for way in clusters:
            check_groups(way.names[0], way.n_groups, 0, faults)
        check_ways(len(clusters), faults)
        faults.check()
        return Lookups(
            effects=found[:split],
            clusters=clusters,
            cost_effects=found[split : split + len(supply)],
        )


def _absorbed_terms(formula: ParsedFormula | None) -> tuple[tuple[str, ...], ...]:
    """List the variables of each absorbed effect; none where there is no formula."""
    return () if formula is None else formula.absorbed_terms


def _level_counts(recipe: BlockRecipe) -> tuple[tuple[int, ...], ...]:
    """Count the groups of each equation's effects."""
    effects = [recipe.effects]
    if recipe.supply is not None:
        effects.append(recipe.supply.effects)
    return tuple(tuple(grouping.n_groups for grouping in own) for own in effects)


def _columns_of(
    store: BlockStore, formula: ParsedFormula | None, table: str
) -> Sequence[Column]:
    """Evaluate a formula on the first block for its columns."""
    if formula is None:
        return ()
    terms = ParsedFormula(formula.terms, ())
    numbered: dict[str, tuple[str, ...]] = {}
    if table == "agents":
        names = [column.name for column in store.description.agents]
        numbered = numbered_columns(names, terms)
    stored = {name: numbered.get(name, (name,))[0] for name in sorted(terms.names)}
    read = store.read(table, 0, list(stored.values()))
    columns = {name: read[own] for name, own in stored.items()}
    columns[""] = np.empty(0) if columns else np.empty(1)
    if terms.names:
        del columns[""]
    try:
        return ParsedFormula(formula.terms, formula.absorbed).build(columns).columns
    except InputError as error:
        faults = Faults(f"formulas, on {store.description.describe(0)} of the store")
        faults.extend(error)
        faults.check()
        raise
