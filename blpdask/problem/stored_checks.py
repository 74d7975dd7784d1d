"""Check formulas against the columns of a store, before any row is read."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import Faults
from ..integration.keyed import count_nodes
from ..partitions.block_store import BlockStore
from ..partitions.store_schema import DescribedNodes
from .availability import AVAILABILITY, check_availability_width
from .demographics import check_demographics_width, numbered_columns
from .fields import matrix_columns, some
from .formula_expressions import Variable, leaves
from .formula_terms import Factor, Term
from .formulas import ParsedFormula
from .stored_blocks import as_rule
from .supply_checks import add_no_owners, check_costs_formula, check_width


@dataclass(frozen=True, slots=True)
class StoredFormulas:
    """Formulas of X1, X2, demographics and X3 (costs); None where there are none."""

    linear: ParsedFormula
    random: ParsedFormula | None = None
    demographics: ParsedFormula | None = None
    cost: ParsedFormula | None = None


def check_formulas(
    store: BlockStore, formulas: StoredFormulas, nodes: DescribedNodes | None
) -> None:
    """Check that a store has what a problem needs, all faults in one message.

    Raises
    ------
    InputError
        With every fault.
    """
    faults = Faults(f"problem on the store {store.path}")
    _check_matrix(store, "products", "X1", formulas.linear, faults)
    _check_matrix(store, "products", "X2", formulas.random, faults)
    _check_matrix(store, "agents", "demographics", formulas.demographics, faults)
    _check_absorbed(store, formulas.linear, faults)
    if formulas.cost is not None:
        _check_supply(store, formulas.cost, faults)
    named = [f.names for f in (formulas.linear, formulas.random) if f is not None]
    if not any("prices" in names for names in named):
        faults.add(
            "prices neither in X1 nor in X2",
            "prices in at least one of them",
            "add prices to a formula",
        )
    for array, formula in (("X1", formulas.linear), ("X2", formulas.random)):
        if formula is not None and "shares" in formula.names:
            faults.add(
                f"shares in the formula of {array}",
                "characteristics only",
                f"take shares out of the formula of {array}",
            )
    _check_agents(store, formulas, nodes, faults)
    faults.check()


def _check_matrix(
    store: BlockStore,
    table: str,
    array: str,
    formula: ParsedFormula | None,
    faults: Faults,
) -> None:
    """Check that variables are there and numeric, and not marked as categories."""
    numbered: dict[str, tuple[str, ...]] = {}
    if table == "agents" and formula is not None:
        columns = [column.name for column in store.description.columns(table)]
        numbered = numbered_columns(columns, formula)
        largest = int(store.market_counts()[0].max(initial=0))
        check_demographics_width(numbered, largest, faults)
    for factor in _factors(() if formula is None else formula.terms):
        variables = dict.fromkeys(leaf.name for leaf in leaves(factor.expression))
        for name in (n for v in variables for n in numbered.get(v, (v,))):
            column = store.description.column(table, name)
            if column is None:
                _add_missing(store, table, name, faults)
            elif factor.marked or column.kind == "text":
                faults.add(
                    f"the categorical variable '{factor.label}' in {array}",
                    "numeric variables: a store's formulas make no dummies",
                    f"absorb it in {'X3' if array == 'X3' else 'X1'} "
                    f"(absorb='C({name})'), or store its dummies as columns",
                )


def _check_supply(store: BlockStore, formula: ParsedFormula, faults: Faults) -> None:
    """Check that X3 can be made, and that something says who prices what."""
    check_costs_formula(formula, faults)
    _check_matrix(store, "products", "X3", formula, faults)
    _check_absorbed(store, formula, faults)
    names = [column.name for column in store.description.products]
    ownership = matrix_columns(names, "ownership")
    instruments = (
        name
        for side in ("supply", "covariance")
        for name in matrix_columns(names, f"{side}_instruments")
    )
    for name in (*instruments, *ownership):
        column = store.description.column("products", name)
        if column is not None and column.kind == "text":
            faults.add(f"'{name}' that is not numeric", "numbers", "convert it")
    if ownership:
        largest = int(store.market_counts()[0].max(initial=0))
        check_width(len(ownership), largest, faults)
    elif "firm_ids" not in names:
        add_no_owners(faults)


def _check_absorbed(store: BlockStore, formula: ParsedFormula, faults: Faults) -> None:
    """Check that effects to absorb are there, numbers among them marked by C."""
    for factor in _factors(formula.absorbed):
        assert isinstance(factor.expression, Variable)
        name = factor.expression.name
        column = store.description.column("products", name)
        if name == "market_ids":
            is_text = not store.description.integer_ids
        elif column is None:
            _add_missing(store, "products", name, faults)
            continue
        else:
            is_text = column.kind == "text"
        if not factor.marked and not is_text:
            faults.add(
                f"the numeric variable '{name}'",
                "categorical variables",
                f"write C({name}) if its numbers are labels",
            )


def _check_agents(
    store: BlockStore,
    formulas: StoredFormulas,
    nodes: DescribedNodes | None,
    faults: Faults,
) -> None:
    """Check that there are agents where X2 is formulated, and enough of them."""
    names = {column.name for column in store.description.agents}
    stored = sum(store.description.block_agents) > 0
    if formulas.random is None:
        if formulas.demographics is not None:
            faults.add(
                "agent_formulation although X2 is not formulated",
                "agents only with random coefficients",
                "formulate X2 or leave agent_formulation out",
            )
        return
    if nodes is None and not stored:
        faults.add(
            "neither agents in the store nor integration",
            "at least one of them, because X2 is formulated",
            "pass an Integration, or build the store with agent_data or integration",
        )
    elif nodes is None and "weights" not in names:
        faults.add(
            f"no column 'weights' among {some(sorted(names))} of agents",
            "weights, or an integration rule that gives them",
            "pass an Integration, or build the store with weights",
        )
    available = matrix_columns(names, AVAILABILITY) if stored else ()
    if available:
        largest = int(store.market_counts()[0].max(initial=0))
        check_availability_width(len(available), largest, faults)
    if nodes is not None and stored and (formulas.demographics or available):
        wanted = count_nodes(as_rule(nodes), len(formulas.random.terms))
        short = np.flatnonzero(store.market_counts()[1] < wanted)
        if short.size:
            faults.add(
                f"fewer agents than the rule's nodes in {short.size} markets "
                f"({some(store.market_ids()[short])})",
                f"at least {wanted} agents in every market",
                "store more agents or make the integration rule smaller",
            )


def _factors(terms: tuple[Term, ...]) -> list[Factor]:
    """List the factors of terms, each once."""
    return list({f.label: f for term in terms for f in term.factors}.values())


def _add_missing(store: BlockStore, table: str, name: str, faults: Faults) -> None:
    names = [column.name for column in store.description.columns(table)]
    faults.add(
        f"no column '{name}' among {some(names) or 'none'} of {table}",
        f"a column '{name}'",
        "change the formula, or build the store with that column",
    )
