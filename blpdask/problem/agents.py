"""Agent data: integration nodes, weights and demographics of every market.

Nodes and weights come from the data or from an integration rule, demographics from a
formula of the data. With both data and a rule, each market keeps as many rows of
demographics as the rule builds.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from ..errors import DataWarning, Faults
from ..records import Floats, Integers
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
from .formulas import Column, ParsedFormula

#: The field of agents that names their types.
TYPES = "type_ids"
#: What a warning of weights adds where agents have types.
WITH_TYPES = "; with type_shares they are divided by the sums of their types"


class NodeRule(Protocol):
    """An integration rule, as :class:`blpdask.integration.rules.Rule` is one."""

    def build_markets(self, dimensions: int, n_markets: int) -> Any:
        """Build nodes and weights of all markets, stacked in market order."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Agents:
    """Agents sorted by market.

    Attributes
    ----------
    offsets
        ``(T + 1,)`` first row of each market, then A.
    nodes
        ``(A, n)`` integration nodes.
    demographics
        ``(A, D)``, zero in columns that differ over products.
    weights
        ``(A,)``.
    columns
        Columns of the demographics.
    market_codes
        ``(A,)`` market of each row.
    order
        ``(A,)`` row of the data that each sorted row was.
    availability
        ``(A, max J)`` a_ij, products in the order of their market; None where every
        product is there for all.
    product_demographics
        ``(S, A, max J)`` demographics that differ over products, zero beyond those of
        the market; None where there are none.
    product_columns
        ``(S,)`` which columns of the demographics those are.
    types, type_ids
        ``(A,)`` codes of the agents' types among their ``(R,)`` sorted names; None
        and none where agents have no types.
    """

    offsets: Integers
    nodes: Floats
    demographics: Floats
    weights: Floats
    columns: tuple[Column, ...]
    market_codes: Integers
    order: Integers
    availability: Floats | None = None
    product_demographics: Floats | None = None
    product_columns: tuple[int, ...] = ()
    types: Integers | None = None
    type_ids: tuple[Any, ...] = ()


def read_agents(
    data: Any,
    formula: ParsedFormula | None,
    rule: NodeRule | None,
    *,
    unique_market_ids: np.ndarray[Any, Any],
    product_counts: Integers,
    K2: int,
    weights_tol: float,
) -> Agents:
    """Read and check agents, with all faults in one message.

    Parameters
    ----------
    data
        Table with ``market_ids``, ``weights``, ``nodes0``, … and demographics; or None.
    formula
        Formula of the demographics, or None.
    rule
        Integration rule, or None to take nodes and weights from the data.
    unique_market_ids
        ``(T,)`` markets of the products, sorted.
    product_counts
        ``(T,)`` J_t.
    K2
        Number of random coefficients; zero asks for no agents.
    weights_tol
        Largest distance from one of a market's weights before a warning.

    Raises
    ------
    InputError
        With every fault of the data.
    """
    faults = Faults("agent_data")
    _check_presence(data, formula, rule, K2, faults)
    faults.check()
    T = unique_market_ids.size
    if K2 == 0:
        none = np.arange(T + 1, dtype=np.int64) * 0
        empty = np.empty((0, 0))
        return Agents(none, empty, empty, np.empty(0), (), none[:0], none[:0])
    if data is None:
        assert rule is not None
        built = rule.build_markets(K2, T)
        codes = np.asarray(built.market_index, dtype=np.int64)
        nobody = Demographics(np.empty((codes.size, 0)), ())
        return _sorted_agents(codes, built.nodes, nobody, built.weights, T)
    codes = _market_codes(data, unique_market_ids, faults)
    people = read_demographics(data, formula, codes, product_counts, faults)
    _check_length("demographics", people.values, codes, faults)
    availability = _availability(data, codes, product_counts, faults)
    _check_length("availability", availability, codes, faults)
    types, type_ids = _read_types(data, faults)
    _check_length("type_ids", types, codes, faults)
    if rule is None:
        nodes, weights = _given_nodes(data, K2, faults)
        _check_length("nodes", nodes, codes, faults)
        _check_length("weights", weights, codes, faults)
        faults.check()
        assert nodes is not None and weights is not None
        agents = _sorted_agents(codes, nodes, people, weights, T, availability)
    else:
        faults.check()
        agents, kept = _built_nodes(
            rule, codes, people, availability, K2, unique_market_ids, faults
        )
        types = None if types is None else types[kept]
    if types is not None:
        agents = replace(agents, types=types[agents.order], type_ids=type_ids)
    _warn_of_weights(agents, unique_market_ids, weights_tol)
    return agents


def _check_presence(
    data: Any, formula: Any, rule: Any, K2: int, faults: Faults
) -> None:
    """Check that what is passed fits together before any of it is read."""
    if K2 == 0:
        given = {"agent_formulation": formula, "agent_data": data, "integration": rule}
        for name in [name for name, value in given.items() if value is not None]:
            faults.add(
                f"{name} although X2 is not formulated",
                "agents only with random coefficients",
                f"formulate X2 or leave {name} out",
            )
    elif data is None and rule is None:
        faults.add(
            "neither agent_data nor integration",
            "at least one of them, because X2 is formulated",
            "pass agent_data with nodes and weights, or an Integration",
        )
    elif data is None and formula is not None:
        faults.add(
            "agent_formulation without agent_data",
            "demographics in agent_data",
            "pass agent_data with the columns that the formula names",
        )


def _market_codes(
    data: Any, unique_market_ids: np.ndarray[Any, Any], faults: Faults
) -> Integers:
    """Match agents to the products' markets; faults where either has none."""
    ids = read_vector(data, "market_ids", faults, required=True)
    if ids is None:
        return np.empty(0, np.int64)
    place = {market: t for t, market in enumerate(unique_market_ids)}
    own, unique = factorize(ids)
    if (own < 0).any():
        faults.add(
            f"{(own < 0).sum()} agents without a market (NaN in market_ids)",
            "a market for every agent",
            "fill market_ids in or drop those rows",
        )
        own = own[own >= 0] if unique.size else own[:0]
    unknown = [market for market in unique if market not in place]
    if unknown:
        faults.add(
            f"{len(unknown)} markets with agents but no products ({some(unknown)})",
            "products in every market that has agents",
            "drop those agents or add the products",
        )
    present = set(unique)
    lonely = [market for market in unique_market_ids if market not in present]
    if lonely:
        faults.add(
            f"{len(lonely)} markets with products but no agents ({some(lonely)})",
            "agents in every market that has products",
            "add agents for those markets or drop their products",
        )
    codes = np.array([place.get(market, -1) for market in unique], dtype=np.int64)
    return codes[own] if unique.size else np.empty(0, np.int64)


def _availability(
    data: Any, codes: Integers, product_counts: Integers, faults: Faults
) -> Floats | None:
    """Read how far each product of an agent's market is there for the agent."""
    values = read_matrix(data, AVAILABILITY, faults)
    if values is None:
        return None
    if values.dtype.kind not in "biuf":
        faults.add("'availability' that is not numeric", "numbers", "convert it")
        return None
    numbers = np.asarray(values, dtype=np.float64)
    if len(values) != codes.size or (codes < 0).any():
        return numbers
    sizes = product_counts[codes]
    if not check_availability_width(values.shape[1], sizes.max(initial=0), faults):
        return None
    bad = wrong_availability(numbers, sizes)
    if bad.any():
        faults.add(f"{bad.sum()} {WRONG}", *RULE)
    inside = np.arange(values.shape[1]) < sizes[:, None]
    found: Floats = np.where(inside, numbers, 1.0)
    return found


def _read_types(data: Any, faults: Faults) -> tuple[Integers | None, tuple[Any, ...]]:
    """Code agents' types, and list their sorted names; None where there are none."""
    ids = read_vector(data, TYPES, faults)
    if ids is None:
        return None, ()
    codes, unique = factorize(ids)
    if (codes < 0).any():
        faults.add(
            f"{(codes < 0).sum()} agents without a type (NaN in {TYPES})",
            "a type for every agent, or no such column",
            f"fill {TYPES} in, or drop the column",
        )
    return codes, tuple(unique.tolist())


def _check_length(
    name: str, values: Floats | Integers | None, codes: Integers, faults: Faults
) -> None:
    """Check that agents have a value a row, unless another fault explains it."""
    if values is not None and values.size and codes.size and len(values) != codes.size:
        faults.add(
            f"{len(values)} rows of {name} but {codes.size} of market_ids",
            "columns of one length",
            "pass one table with a row an agent and market",
        )


def _given_nodes(
    data: Any, K2: int, faults: Faults
) -> tuple[Floats | None, Floats | None]:
    """Read nodes (at most K2 columns are used) and weights from the data."""
    weights = read_numbers(data, "weights", faults, required=True)
    raw = read_matrix(data, "nodes", faults)
    if raw is None:
        n = 0 if weights is None else weights.size
        return np.empty((n, 0)), weights
    nodes = as_finite(raw, "nodes", faults)
    return (None if nodes is None else nodes[:, :K2]), weights


def _built_nodes(
    rule: NodeRule,
    codes: Integers,
    people: Demographics,
    availability: Floats | None,
    K2: int,
    unique_market_ids: np.ndarray[Any, Any],
    faults: Faults,
) -> tuple[Agents, Integers]:
    """Build nodes by the rule and keep as many rows of demographics a market.

    Gives those rows too.
    """
    T = unique_market_ids.size
    built = rule.build_markets(K2, T)
    built_codes = np.asarray(built.market_index, dtype=np.int64)
    wanted = np.bincount(built_codes, minlength=T)
    available = np.bincount(codes, minlength=T)
    short = unique_market_ids[available < wanted]
    if short.size:
        faults.add(
            f"fewer agents than the rule's nodes in {short.size} markets "
            f"({some(short)})",
            f"at least {int(wanted.max())} agents in every market",
            "add agents or make the integration rule smaller",
        )
    faults.check()
    order = np.argsort(codes, kind="stable")
    firsts = np.concatenate([[0], np.cumsum(available)])
    rank = np.arange(codes.size) - firsts[codes[order]]
    kept = order[rank < wanted[codes[order]]]
    agents = _sorted_agents(
        built_codes,
        built.nodes,
        people.take(kept),
        built.weights,
        T,
        None if availability is None else availability[kept],
    )
    return agents, kept


def _sorted_agents(
    codes: Integers,
    nodes: Floats,
    people: Demographics,
    weights: Floats,
    T: int,
    availability: Floats | None = None,
) -> Agents:
    order = np.argsort(codes, kind="stable")
    offsets = np.concatenate([[0], np.cumsum(np.bincount(codes, minlength=T))])
    people = people.take(order)
    return Agents(
        offsets=offsets.astype(np.int64),
        nodes=np.asarray(nodes, dtype=np.float64)[order],
        demographics=np.asarray(people.values, dtype=np.float64),
        weights=np.asarray(weights, dtype=np.float64).ravel()[order],
        columns=people.columns,
        market_codes=codes[order],
        order=order,
        availability=None if availability is None else availability[order],
        product_demographics=people.by_product,
        product_columns=people.product_columns,
    )


def _warn_of_weights(
    agents: Agents, unique_market_ids: np.ndarray[Any, Any], tolerance: float
) -> None:
    T = unique_market_ids.size
    sums = np.bincount(agents.market_codes, weights=agents.weights, minlength=T)
    off = np.abs(sums - 1) > tolerance
    if off.any():
        warnings.warn(
            f"integration weights do not sum to one in {off.sum()} of {T} markets "
            f"({some(unique_market_ids[off])}): sums lie between {sums[off].min():.6g} "
            f"and {sums[off].max():.6g}. This is right for importance sampling; else "
            "check the weights, or set options.weights_tol = numpy.inf not to be told"
            + (WITH_TYPES if agents.type_ids else ""),
            DataWarning,
            stacklevel=3,
        )
