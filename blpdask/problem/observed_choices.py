"""Observations of a survey as rows: whom each is integrated over, and what was chosen.

An observation n has a market, demographics and choices; over what is not observed of
it, it is integrated with I_n rows of nodes ν_i and weights w_i, which come with the
data or are built by a rule:

    P_n ∝ Σ_{i∈I_n} w_i P_ij W_dij.

Where a rule builds nodes there is one row of data an observation; they are stored once
and not once a node.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import Faults
from ..records import Floats, Integers
from .agents import Agents, NodeRule
from .availability import (
    AVAILABILITY,
    RULE,
    WRONG,
    check_availability_width,
    wrong_availability,
)
from .demographics import Demographics, read_demographics
from .fields import (
    as_finite,
    factorize,
    read_matrix,
    read_numbers,
    read_vector,
    some,
)
from .formulas import ParsedFormula

CHOICES = ("choice_indices", "second_choice_indices")


@dataclass(frozen=True, slots=True, eq=False)
class ObservedChoices:
    """Observations and the rows that they are integrated over.

    Attributes
    ----------
    ids
        ``(n,)`` what observations are called, sorted.
    market_codes
        ``(n,)`` markets of observations.
    choices
        First choices ``(n,)`` and second choices, as far as they are given.
    offsets
        ``(n + 1,)`` first row of each observation, then R.
    data_rows
        ``(R,)`` row of the data that each row is of.
    nodes, weights
        ``(R, K2)`` and ``(R,)``.
    people
        Demographics, a row each of the data.
    availability
        ``(·, max J)`` a_ij, a row each of the data, or None.
    agent_ids
        ``(·,)`` of the data, or None.
    """

    ids: np.ndarray[Any, Any]
    market_codes: Integers
    choices: tuple[Integers, ...]
    offsets: Integers
    data_rows: Integers
    nodes: Floats
    weights: Floats
    people: Demographics
    availability: Floats | None
    agent_ids: np.ndarray[Any, Any] | None

    @property
    def size(self) -> int:
        """Count the observations, n."""
        return self.market_codes.size


@dataclass(frozen=True, slots=True)
class NodeColumns:
    """Which random coefficients nodes are of.

    Attributes
    ----------
    K2
        How many random coefficients there are.
    free
        ``(n,)`` columns of Σ with entries that are not zero.
    """

    K2: int
    free: Integers

    def spread(self, nodes: Floats, faults: Faults) -> Floats:
        """Give nodes ``(R, m)`` a column for each coefficient, ``(R, K2)``."""
        if nodes.shape[1] >= self.K2:
            return nodes[:, : self.K2]
        n = self.free.size
        if nodes.shape[1] < n:
            faults.add(
                f"{nodes.shape[1]} columns of nodes",
                f"at least {n}, one a column of sigma with a non-zero entry",
                "add columns nodes0, nodes1, …, or pass an integration",
            )
            return np.empty((len(nodes), self.K2))
        found = np.zeros((len(nodes), self.K2))
        found[:, self.free] = nodes[:, :n]
        return found


def read_observed(
    data: Any,
    formula: ParsedFormula | None,
    rule: NodeRule | None,
    *,
    unique_market_ids: np.ndarray[Any, Any],
    product_counts: Integers,
    demographics: tuple[str, ...],
    node_columns: NodeColumns,
    integrated: bool = True,
) -> ObservedChoices:
    """Read and check observations, with all faults in one message.

    Parameters
    ----------
    data
        Table with ``market_ids``, demographics and, if they were observed,
        ``choice_indices`` and ``second_choice_indices``; without a rule with
        ``micro_ids``, sorted, ``nodes0``, … and ``weights``, too.
    formula
        Of the demographics, or None.
    rule
        That builds nodes and weights of each row, or None.
    unique_market_ids, product_counts
        ``(T,)`` markets of the products, sorted, and J_t.
    demographics
        Names of the problem's demographics.
    node_columns
        Which random coefficients nodes are of.
    integrated
        Whether observations are to be integrated over nodes; if not each row is one,
        of unknown nodes.

    Raises
    ------
    InputError
        With every fault of the data.
    """
    faults = Faults("micro_data")
    codes = _market_codes(data, unique_market_ids, faults)
    faults.check()
    people = read_demographics(data, formula, codes, product_counts, faults)
    names = tuple(column.name for column in people.columns)
    if not len(faults) and names != demographics:
        faults.add(
            f"demographics {', '.join(names) or 'none'}",
            f"those of the problem: {', '.join(demographics)}",
            "give categories of micro_data the levels that they have in agent_data",
        )
    choices = [_read_choices(data, name, codes.size, faults) for name in CHOICES]
    if choices[0] is None and choices[1] is not None:
        faults.add(f"'{CHOICES[1]}' alone", "first choices too", f"add {CHOICES[0]}")
    ids, offsets, rows, nodes, weights = _read_nodes(
        data, rule, codes.size, node_columns, integrated=integrated, faults=faults
    )
    availability = _availability(data, codes, product_counts, faults)
    agent_ids = read_vector(data, "agent_ids", faults)
    faults.check()
    assert nodes is not None and weights is not None
    nodes = node_columns.spread(nodes, faults)
    given = tuple(choice for choice in choices if choice is not None)
    if integrated and rule is None:
        _check_constant(("market_ids", codes), offsets, faults)
        for name, choice in zip(CHOICES, given, strict=False):
            _check_constant((name, choice), offsets, faults)
    faults.check()
    firsts = rows[offsets[:-1]]
    return ObservedChoices(
        ids=ids,
        market_codes=codes[firsts],
        choices=tuple(choice[firsts] for choice in given),
        offsets=offsets,
        data_rows=rows,
        nodes=nodes,
        weights=weights,
        people=people,
        availability=availability,
        agent_ids=agent_ids,
    )


def observe_agents(
    agents: Agents,
    order: Integers,
    rule: NodeRule | None,
    node_columns: NodeColumns,
    agent_ids: np.ndarray[Any, Any] | None,
) -> ObservedChoices:
    """Take a problem's agents as observations, each with weight one.

    Parameters
    ----------
    agents
        The problem's.
    order
        Which of them, sorted by market, in the order of observations.
    rule
        That builds nodes of each, which keep their own where None.
    node_columns
        Which random coefficients nodes are of.
    agent_ids
        ``(A,)`` what agents sorted by market are called, or None.
    """
    faults = Faults("agents")
    n = order.size
    if rule is None:
        ids, offsets = np.arange(n).astype(object), np.arange(n + 1)
        rows, nodes, weights = np.arange(n), agents.nodes[order], np.ones(n)
    else:
        ids, offsets, rows, nodes, weights = _build(rule, n, node_columns)
    nodes = node_columns.spread(nodes, faults)
    faults.check()
    by_product = agents.product_demographics
    return ObservedChoices(
        ids=ids,
        market_codes=agents.market_codes[order],
        choices=(),
        offsets=offsets,
        data_rows=rows,
        nodes=nodes,
        weights=weights,
        people=Demographics(
            agents.demographics[order],
            agents.columns,
            None if by_product is None else by_product[:, order],
            agents.product_columns,
        ),
        availability=None
        if agents.availability is None
        else agents.availability[order],
        agent_ids=None if agent_ids is None else agent_ids[order],
    )


def _read_nodes(
    data: Any,
    rule: NodeRule | None,
    n: int,
    node_columns: NodeColumns,
    *,
    integrated: bool,
    faults: Faults,
) -> tuple[np.ndarray[Any, Any], Integers, Integers, Floats | None, Floats | None]:
    """Give ids and offsets of observations; data rows, nodes and weights of rows."""
    rows = np.arange(n)
    if not integrated:
        unknown = np.full((n, node_columns.K2), np.nan)
        return rows.astype(object), np.arange(n + 1), rows, unknown, np.ones(n)
    if rule is not None:
        return _build(rule, n, node_columns)
    ids, offsets = _read_ids(data, n, faults)
    weights = read_numbers(data, "weights", faults, required=True)
    raw = read_matrix(data, "nodes", faults)
    nodes = np.empty((n, 0)) if raw is None else as_finite(raw, "nodes", faults)
    return ids, offsets, rows, nodes, weights


def _build(
    rule: NodeRule, n: int, node_columns: NodeColumns
) -> tuple[np.ndarray[Any, Any], Integers, Integers, Floats, Floats]:
    """Build nodes of n observations; give ids, offsets, rows, nodes and weights."""
    built = rule.build_markets(node_columns.free.size, n)
    rows = np.asarray(built.market_index, dtype=np.int64)
    counts = np.bincount(rows, minlength=n)
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    ids = np.arange(n).astype(object)
    return ids, offsets, rows, np.asarray(built.nodes), np.ravel(built.weights)


def _market_codes(
    data: Any, unique_market_ids: np.ndarray[Any, Any], faults: Faults
) -> Integers:
    """Match observations to the products' markets."""
    ids = read_vector(data, "market_ids", faults, required=True)
    if ids is None:
        return np.empty(0, np.int64)
    own, unique = factorize(ids)
    place = {market: t for t, market in enumerate(unique_market_ids)}
    unknown = [market for market in unique if market not in place]
    if unknown or (own < 0).any() or not own.size:
        faults.add(
            f"observations in {len(unknown)} markets without products "
            f"({some(unknown)}), {(own < 0).sum()} without a market, and "
            f"{own.size} in all",
            "market_ids of product_data",
            "correct market_ids of micro_data, or drop those rows",
        )
        return np.empty(0, np.int64)
    codes: Integers = np.array([place[market] for market in unique], np.int64)[own]
    return codes


def _read_choices(data: Any, name: str, n: int, faults: Faults) -> Integers | None:
    """Read places of choices."""
    values = read_numbers(data, name, faults)
    if values is None:
        return None
    if len(values) != n or (values < 0).any() or (values != np.floor(values)).any():
        faults.add(
            f"'{name}' that are not {n} whole numbers from zero",
            "places of choices in their market",
            f"correct {name}",
        )
        return None
    return values.astype(np.int64)


def _read_ids(
    data: Any, n: int, faults: Faults
) -> tuple[np.ndarray[Any, Any], Integers]:
    """Read which observation each row is of; give their ids and offsets."""
    nothing = np.empty(0, object), np.zeros(1, np.int64)
    ids = read_vector(data, "micro_ids", faults, required=True)
    if ids is None:
        return nothing
    codes, unique = factorize(ids)
    if len(codes) != n or (codes < 0).any() or (np.diff(codes) < 0).any():
        faults.add(
            "micro_ids that are missing in rows, or not sorted",
            "rows sorted by micro_ids, from smallest to largest",
            "sort micro_data by micro_ids",
        )
        return nothing
    counts = np.bincount(codes, minlength=unique.size)
    return unique, np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)


def _availability(
    data: Any, codes: Integers, product_counts: Integers, faults: Faults
) -> Floats | None:
    """Read how far each product of its market is there for an observation."""
    values = read_matrix(data, AVAILABILITY, faults)
    if values is None:
        return None
    numbers = np.asarray(values, dtype=np.float64)
    sizes = product_counts[codes]
    if not check_availability_width(values.shape[1], sizes.max(initial=0), faults):
        return None
    bad = wrong_availability(numbers, sizes)
    if bad.any():
        faults.add(f"{bad.sum()} {WRONG}", *RULE)
    inside = np.arange(values.shape[1]) < sizes[:, None]
    return np.where(inside, numbers, 1.0)


def _check_constant(
    named: tuple[str, Integers], offsets: Integers, faults: Faults
) -> None:
    """Check that the rows of an observation have one value."""
    name, values = named
    same = np.repeat(values[offsets[:-1]], np.diff(offsets)) == values
    if not same.all():
        faults.add(
            f"{name} that differ over the rows of an observation",
            f"one value of {name} for each of micro_ids",
            "correct micro_ids, or that column",
        )
