"""Post-estimation gives what the installed PyBLP gives, at the same parameters.

To 1e-8 in norm, for problems of :mod:`tests.references.drawn_supply` and
:mod:`tests.references.drawn_nests` and for solved simulations: every method, at prices,
owners, costs and agents other than the data's too. Where PyBLP is wrong a test says
so, and holds what is here against the definition.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest

import blpdask
from blpdask.problem.fields import field_names
from tests.references.drawn_nests import draw_nests
from tests.references.drawn_simulation import draw_simulation
from tests.references.drawn_supply import draw_supply
from tests.references.specifications import (
    FIXED,
    build_here,
    build_there,
    distance,
    quietly,
    solve_here,
    solve_there,
)
from tests.references.test_simulation_live import solved as simulated

pyblp = pytest.importorskip("pyblp")

TOLERANCE = 1e-8
DRAWN: dict[str, Callable[[int], Any]] = {"supply": draw_supply, "nests": draw_nests}
SIMULATED = (0, 1, 2, 3, 5, 8, 9, 11, 100, 101, 102, 103, 104, 105, 107, 110)
CASES = [
    *(("supply", seed) for seed in (0, 3, 7, 12, 14, 20, 21, 23)),
    *(("nests", seed) for seed in (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 16, 22, 34)),
    *(("simulated", seed) for seed in SIMULATED),
]
#: What drawn problems cross together.
FEATURES = frozenset(
    {
        *("ownership", "nests", "nested logit", "distances", "availability", "both"),
        *("scale", "linear", "log", "logit", "costs_type=log", "demographics"),
        *("quantities", "log(prices) in X1", "log(prices) in X2", "no X2"),
    }
)


@cache
def solved(family: str, seed: int) -> tuple[Any, Any]:
    """Evaluate a problem, or solve a simulation, in both packages."""
    if family == "simulated":
        return simulated(seed)
    drawn = DRAWN[family](seed)
    here, there = build_here(drawn.specification), build_there(drawn.specification)
    arguments = {**drawn.solution, **FIXED, "method": "1s"}
    arguments |= {"check_optimality": "gradient", "initial_update": False}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return solve_here(here, **arguments), solve_there(there, **arguments)


def both(family: str, seed: int, method: str, **arguments: Any) -> tuple[Any, Any]:
    """Ask both packages the same."""
    here, there = solved(family, seed)
    theirs = {
        name: pyblp.Integration(*value[1:]) if name == "integration" else value
        for name, value in arguments.items()
    }
    ours = {
        name: blpdask.Integration(*value[1:]) if name == "integration" else value
        for name, value in arguments.items()
    }
    with quietly(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return getattr(here, method)(**ours), getattr(there, method)(**theirs)


def gap(family: str, seed: int, method: str, **arguments: Any) -> float:
    """Measure how far apart both answers are."""
    return distance(*both(family, seed, method, **arguments))


def products_of(family: str, seed: int) -> dict[str, Any]:
    """Give the products of a case."""
    if family == "simulated":
        data = solved(family, seed)[0].product_data
        return {n: data[n][:, 0] for n in ("market_ids", "firm_ids", "prices")}
    products = dict(DRAWN[family](seed).specification.products)
    N = products["prices"].size
    products.setdefault("firm_ids", np.random.default_rng(seed).integers(0, 3, N))
    return products


def kappa_of(products: dict[str, Any]) -> np.ndarray:
    """Give weights on others' profits that are not symmetric."""
    data = {name: products[name] for name in ("market_ids", "firm_ids")}
    with quietly():
        return blpdask.build_ownership(
            data, lambda f, g: 1.0 if f == g else 0.1 * (1 + f) + 0.05 * g
        )


def has_owners(family: str, seed: int) -> bool:
    """Tell whether data say who sets prices."""
    return (
        family == "simulated"
        or "firm_ids" in DRAWN[family](seed).specification.products
    )


def is_scaled(family: str, seed: int) -> bool:
    """Tell whether errors have a scale other than one."""
    return scale_of(family, seed) != 1.0


def scale_of(family: str, seed: int) -> float:
    """Give the scale of errors."""
    if family == "simulated":
        return float(draw_simulation(seed).arguments.get("epsilon_scale", 1.0))
    return float(DRAWN[family](seed).specification.options.get("epsilon_scale", 1.0))


def features_of(family: str, seed: int) -> set[str]:
    """Say what a case exercises."""
    here, _ = solved(family, seed)
    economy = here.estimated_economy("test")
    demand = economy.demand
    drawn = draw_simulation(seed) if family == "simulated" else DRAWN[family](seed)
    found = set(drawn.features) & FEATURES
    found |= set(demand.types) & FEATURES
    for matrix, columns in (
        ("X1", demand.products.X1_columns),
        ("X2", demand.products.X2_columns),
    ):
        if any(column.name == "log(prices)" for column in columns):
            found.add(f"log(prices) in {matrix}")
    supply = demand.products.supply
    if supply is not None and supply.ownership is not None:
        found.add("ownership")
    if supply and any("shares" in column.names for column in supply.X3_columns):
        found.add("quantities")
    if demand.agents.demographics.shape[1]:
        found.add("demographics")
    if not demand.types:
        found.add("no X2")
    return found


def test_the_draws_cross_every_feature() -> None:
    crossed = set().union(*(features_of(*case) for case in CASES))
    assert len(CASES) >= 30
    assert crossed >= FEATURES, FEATURES - crossed


@pytest.mark.parametrize(("family", "seed"), CASES)
def test_substitution(family: str, seed: int) -> None:
    names: list[Any] = ["prices", "x1", *([] if is_scaled(family, seed) else [None])]
    gaps = {}
    for name in names:
        gaps["elasticities", name] = gap(
            family, seed, "compute_elasticities", name=name
        )
        gaps["aggregate", name] = gap(
            family, seed, "compute_aggregate_elasticities", factor=0.05, name=name
        )
        if name is not None:
            for method in ("compute_demand_jacobians", "compute_demand_hessians"):
                gaps[method, name] = gap(family, seed, method, name=name)
    gaps["long run"] = gap(family, seed, "compute_long_run_diversion_ratios")
    gaps["delta"] = gap(family, seed, "compute_diversion_ratios", name=None)
    wrong = {name: value for name, value in gaps.items() if not value <= TOLERANCE}
    assert not wrong


@pytest.mark.parametrize(("family", "seed"), CASES)
def test_diversion_is_what_is_documented(family: str, seed: int) -> None:
    """PyBLP divides ∂s_j/∂p_k, not ∂s_k/∂p_j, which slopes that differ tell apart."""
    ours, theirs = both(family, seed, "compute_diversion_ratios")
    _, jacobians = both(family, seed, "compute_demand_jacobians")
    markets = products_of(family, seed)["market_ids"]
    expected = np.full_like(theirs, np.nan)
    for market in np.unique(markets):
        rows = np.flatnonzero(markets == market)
        S = jacobians[rows, : rows.size]
        ratios = -S.T / S.diagonal()[:, None]
        np.fill_diagonal(ratios, S.sum(axis=0) / S.diagonal())
        expected[rows, : rows.size] = ratios
    assert distance(ours, expected) <= TOLERANCE
    assert np.abs(np.nansum(ours, axis=1) - 1).max() < 1e-10
    here, _ = solved(family, seed)
    economy = here.estimated_economy("test").demand.products
    columns = [*economy.X1_columns, *economy.X2_columns]
    if all(c.names <= {"prices"} and c.is_linear_in("prices") for c in columns):
        assert distance(ours, theirs) <= TOLERANCE


@pytest.mark.parametrize(("family", "seed"), CASES)
def test_choices(family: str, seed: int) -> None:
    products = products_of(family, seed)
    prices = 1.03 * products["prices"]
    here, _ = solved(family, seed)
    delta = here.delta + 0.1
    asked: list[dict[str, Any]] = [{}, {"prices": prices}, {"delta": delta}]
    asked.append({"prices": prices, "delta": delta})
    gaps = {}
    for number, arguments in enumerate(asked):
        for method in ("compute_probabilities", "compute_shares"):
            gaps[method, number] = gap(family, seed, method, **arguments)
    gaps["delta"] = gap(family, seed, "compute_delta")
    wrong = {name: value for name, value in gaps.items() if not value <= TOLERANCE}
    assert not wrong


@pytest.mark.parametrize(("family", "seed"), CASES)
def test_other_agents(family: str, seed: int) -> None:
    here, _ = solved(family, seed)
    economy = here.estimated_economy("test")
    if not economy.demand.types:
        pytest.skip("no agents")
    rule = ("Integration", "product", 5, None)
    arguments: dict[str, Any] = {"integration": rule}
    if economy.formula is not None or economy.demand.agents.availability is not None:
        arguments = {"agent_data": some_agents(economy)}
    wrong = {}
    for method in ("compute_delta", "compute_shares", "compute_probabilities"):
        found = gap(family, seed, method, **arguments)
        if not found <= TOLERANCE:
            wrong[method] = found
    assert not wrong


def some_agents(economy: Any) -> dict[str, Any]:
    """Give every other agent of each market, with nodes and weights of their own."""
    table, K2 = economy.table, len(economy.demand.types)
    names = field_names(table)
    ids = np.asarray(table["market_ids"]).ravel()
    kept = np.zeros(ids.size, np.bool_)
    for market in np.unique(ids):
        kept[np.flatnonzero(ids == market)[::2]] = True
    drawn = ("nodes", "weights")
    found = {n: np.asarray(table[n])[kept] for n in names if not n.startswith(drawn)}
    _, place, counts = np.unique(ids[kept], return_inverse=True, return_counts=True)
    nodes = np.random.default_rng(ids.size).normal(size=(place.size, K2))
    return found | {"weights": 1 / counts[place.ravel()], "nodes": nodes}


@pytest.mark.parametrize(("family", "seed"), CASES)
def test_firms(family: str, seed: int) -> None:
    products = products_of(family, seed)
    merged = np.where(products["firm_ids"] == 2, 1, products["firm_ids"])
    kappa = kappa_of(products)
    owners: list[dict[str, Any]] = [{"firm_ids": merged}, {"ownership": kappa}]
    owners += [{}] if has_owners(family, seed) else []
    gaps = {}
    for number, own in enumerate(owners):
        gaps["costs", number] = gap(family, seed, "compute_costs", **own)
        gaps["pass", number] = gap(family, seed, "compute_passthrough", **own)
    costs = both(family, seed, "compute_costs", firm_ids=merged)[1]
    prices, shares = 1.05 * products["prices"], np.full(costs.shape, 0.01)
    for number, own in enumerate(owners):
        gaps["approximate", number] = gap(
            family, seed, "compute_approximate_prices", costs=0.9 * costs, **own
        )
    for method in ("compute_markups", "compute_profits", "compute_profit_hessians"):
        gaps[method] = gap(family, seed, method, prices=prices, costs=costs)
        if has_owners(family, seed):
            gaps[method, "at the data"] = gap(family, seed, method)
    gaps["profits"] = gap(family, seed, "compute_profits", shares=shares, costs=costs)
    gaps["hhi"] = gap(family, seed, "compute_hhi", firm_ids=merged)
    gaps["hhi at"] = gap(family, seed, "compute_hhi", firm_ids=merged, shares=shares)
    wrong = {name: value for name, value in gaps.items() if not value <= TOLERANCE}
    assert not wrong


@pytest.mark.parametrize("seed", SIMULATED)
def test_mergers(seed: int) -> None:
    """Prices after a merger and at lower costs, also where costs follow quantities."""
    here, there = solved("simulated", seed)
    merged = np.where(here.product_data.firm_ids == 2, 1, here.product_data.firm_ids)
    costs = 0.9 * there.costs
    for constant in (True, False):
        arguments = {"firm_ids": merged, "costs": costs, "constant_costs": constant}
        assert gap("simulated", seed, "compute_prices", **arguments) <= TOLERANCE
    plain = ("simple", {"atol": 1e-12})
    with quietly(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ours = here.compute_prices(
            merged, prices=costs, iteration=blpdask.Iteration(*plain)
        )
        theirs = there.compute_prices(
            merged, prices=costs, iteration=pyblp.Iteration(*plain)
        )
    assert distance(ours, theirs) <= TOLERANCE


@pytest.mark.parametrize(("family", "seed"), CASES)
def test_surplus(family: str, seed: int) -> None:
    """PyBLP leaves utilities undivided by the scale of errors; its slope is divided."""
    if is_scaled(family, seed):
        return
    arguments: list[dict[str, Any]] = [{}, {"keep_all": True}]
    gaps = [gap(family, seed, "compute_consumer_surpluses", **a) for a in arguments]
    here, _ = solved(family, seed)
    economy = here.estimated_economy("test").demand.products
    columns = [*economy.X1_columns, *economy.X2_columns]
    if all(c.is_linear_in("prices") for c in columns):
        prices = 1.04 * products_of(family, seed)["prices"]
        gaps.append(gap(family, seed, "compute_consumer_surpluses", prices=prices))
    if "product_ids" in economy.ids:
        gone = economy.ids["product_ids"][:2, 0].tolist()
        gaps.append(
            gap(family, seed, "compute_consumer_surpluses", eliminate_product_ids=gone)
        )
    assert max(gaps) <= TOLERANCE, gaps


@pytest.mark.parametrize(("family", "seed"), CASES[::3])
def test_one_market(family: str, seed: int) -> None:
    products = products_of(family, seed)
    markets = products["market_ids"]
    market = np.unique(markets)[1]
    rows = markets == market
    size = int(rows.sum())
    own = {"firm_ids": products["firm_ids"][rows] % 2, "market_id": market}
    kappa = {"ownership": np.eye(size) + 0.2, "market_id": market}
    prices = {"prices": 1.02 * products["prices"][rows], "market_id": market}
    costs = 0.5 * products["prices"][rows]
    asked: dict[str, list[dict[str, Any]]] = {
        "compute_elasticities": [{"market_id": market}],
        "compute_demand_jacobians": [{"market_id": market}],
        "compute_demand_hessians": [{"market_id": market}],
        "compute_long_run_diversion_ratios": [{"market_id": market}],
        "compute_aggregate_elasticities": [{"market_id": market}],
        "compute_probabilities": [prices],
        "compute_shares": [prices],
        "compute_delta": [{"market_id": market}],
        "compute_costs": [own, kappa],
        "compute_approximate_prices": [own | {"costs": costs}],
        "compute_passthrough": [own, kappa],
        "compute_markups": [prices | {"costs": costs}],
        "compute_profits": [prices | {"costs": costs}],
        "compute_profit_hessians": [prices | {"costs": costs}],
        "compute_hhi": [own],
        "extract_diagonals": [
            {"matrices": np.arange(size**2).reshape(size, -1), "market_id": market}
        ],
        "extract_diagonal_means": [
            {"matrices": np.arange(size**2).reshape(size, -1), "market_id": market}
        ],
    }
    if not is_scaled(family, seed):
        asked["compute_consumer_surpluses"] = [{"market_id": market, "keep_all": True}]
    gaps = {
        (method, number): gap(family, seed, method, **arguments)
        for method, several in asked.items()
        for number, arguments in enumerate(several)
    }
    wrong = {name: value for name, value in gaps.items() if not value <= TOLERANCE}
    assert not wrong


@pytest.mark.parametrize(
    ("family", "seed"), [case for case in CASES if is_scaled(*case)]
)
def test_scaled_errors(family: str, seed: int) -> None:
    """PyBLP's ∂s/∂δ is that of δ/ε, and its log-sum that of V: neither is divided."""
    scale = scale_of(family, seed)
    ours, theirs = both(family, seed, "compute_elasticities", name=None)
    assert distance(scale * ours, theirs) <= TOLERANCE
    here, there = solved(family, seed)
    step, markets = 1e-5, products_of(family, seed)["market_ids"]
    market = np.unique(markets)[0]
    rows = np.flatnonzero(markets == market)
    ends = []
    for move in (step, -step):
        delta = here.delta.copy()
        delta[rows[0]] += move
        with quietly():
            ends.append(there.compute_shares(delta=delta)[rows, 0])
    slopes = (ends[0] - ends[1]) / (2 * step)
    shares = (ends[0] + ends[1]) / 2
    found = ours[rows, 0] * shares / here.delta[rows[0]]
    assert distance(found, slopes) < 1e-7


def test_asymmetric_slopes_tell_diversion_apart() -> None:
    for family, seed in CASES:
        ours, theirs = both(family, seed, "compute_diversion_ratios")
        if distance(ours, theirs) > 1e-3:
            return
    raise AssertionError("no case has slopes that differ over products")


def test_concentration_is_of_what_is_sold() -> None:
    """PyBLP's documentation leaves out the division that its code does."""
    ours, theirs = both("simulated", 0, "compute_hhi", firm_ids=None)
    assert distance(ours, theirs) <= TOLERANCE
    here, _ = solved("simulated", 0)
    with quietly():
        alone = here.compute_hhi(firm_ids=np.zeros(here.delta.size))
    assert np.allclose(alone, 1e4, rtol=1e-14)
