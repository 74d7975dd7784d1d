"""Blocks of a store as problems of their own: the bits that estimation works with."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

import blpdask
from blpdask.driver.serial import SerialEngine
from blpdask.errors import StoreError
from blpdask.partitions.residency import RESIDENT
from blpdask.problem.availability import flatten_availability, unflatten_availability
from blpdask.problem.stored_places import places_of, read_whole, with_columns
from tests.api import test_stored_nests, test_stored_supply, test_type_shares
from tests.api.test_stored_supply import on_store
from tests.references.specifications import Specification, quietly

DRAWN = [
    *(("supply", seed) for seed in (1, 4, 5, 14, 24)),
    *(("nests", seed) for seed in (0, 1, 2, 3, 6, 16, 20)),
    *(("types", seed) for seed in (3, 7)),
]


def drawn(kind: str, seed: int) -> Specification:
    """Give the tables of a drawn problem."""
    if kind == "types":
        return test_type_shares.tables(seed)[0].specification
    module = test_stored_supply if kind == "supply" else test_stored_nests
    return module.drawn_tables(seed)[0]


def assert_same(found: Any, expected: Any, name: str) -> None:
    assert (found is None) == (expected is None), name
    if expected is not None:
        np.testing.assert_array_equal(found, expected, strict=True, err_msg=name)


def assert_is_the_block(demand: Any, source: Any, index: int) -> None:
    """Compare a problem with what the estimation's source loads."""
    block, rows = source.load(index), source.load_linear(index)
    tables, supply = demand.tables, demand.products.supply
    for name in (
        *("product_offsets", "agent_offsets", "log_shares", "logit_delta"),
        *("draws", "weights", "nests", "agent_types"),
    ):
        assert_same(getattr(tables, name), getattr(block, name), name)
    assert_same(np.ascontiguousarray(tables.X2.T), block.X2, "X2")
    assert_same(demand.products.X1, rows.equations[0].X, "X1")
    assert tables.product_columns == block.product_columns
    sizes = np.repeat(np.diff(block.product_offsets), np.diff(block.agent_offsets))
    for name in ("availability", "product_draws"):
        wide = getattr(tables, name)
        flat = None if wide is None else flatten_availability(wide, sizes)
        assert_same(flat, getattr(block, name), name)
    assert (supply is None) == (block.supply is None)
    if supply is not None:
        assert_same(supply.X3, rows.equations[1].X, "X3")
        for name in ("prices", "owners", "ownership", "X1_by_prices", "X2_by_prices"):
            assert_same(getattr(tables.supply, name), getattr(block.supply, name), name)


def ids_of(problem: Any, index: int) -> Any:
    """Give the markets of a block."""
    edges = problem.demand.economies().market_edges
    return problem.demand.outline.market_ids[edges[index] : edges[index + 1]]


@pytest.mark.parametrize(("kind", "seed"), DRAWN)
def test_a_block_is_the_one_that_is_estimated(
    tmp_path: Any, kind: str, seed: int
) -> None:
    problem = on_store(drawn(kind, seed), tmp_path / "s", blocks=4)
    with quietly():
        source = problem.demand.prepare(SerialEngine()).source
    economies, stop = problem.demand.economies(), 0
    for index in range(4):
        demand = economies.economy(index, ids_of(problem, index))
        assert_is_the_block(demand, source, index)
        assert economies.market_edges[index] == source.load(index).first_market
        assert economies.row_offsets[index] == stop
        stop += demand.n_products
    assert stop == economies.row_offsets[4] == problem.N


@pytest.mark.parametrize("rule", ["monte_carlo", "product"])
def test_agents_are_drawn_as_workers_draw_them(tmp_path: Any, rule: str) -> None:
    given = blpdask.Integration(rule, 4, {"seed": 3} if rule != "product" else None)
    with quietly():
        store = blpdask.simulate_store(
            tmp_path / "s", test_stored_supply.DESIGN, seed=3, blocks=3
        )
        problem = blpdask.Problem(
            test_stored_supply.simulated_formulas(), store, integration=given
        )
        source = problem.demand.prepare(SerialEngine()).source
    economies = problem.demand.economies()
    for index in range(3):
        demand = economies.economy(index, ids_of(problem, index))
        assert_is_the_block(demand, source, index)


def test_blocks_are_not_held(tmp_path: Any) -> None:
    problem = on_store(drawn("supply", 4), tmp_path / "s", blocks=4)
    before = RESIDENT.held_bytes
    problem.demand.economies().economy(2, ids_of(problem, 2))
    assert RESIDENT.held_bytes == before


def test_a_store_that_is_replaced_is_an_error(tmp_path: Any) -> None:
    path = tmp_path / "s"
    problem = on_store(drawn("supply", 4), path, blocks=4)
    economies, ids = problem.demand.economies(), ids_of(problem, 1)
    one = economies.economy(1, ids)
    assert pickle.loads(pickle.dumps(economies))._opened is None
    on_store(drawn("supply", 14), path, blocks=4, overwrite=True)
    with pytest.raises(StoreError, match="fingerprint"):
        economies.economy(1, ids)
    on_store(drawn("supply", 4), path, blocks=4, overwrite=True)
    again = economies.economy(1, ids)
    np.testing.assert_array_equal(again.tables.X2, one.tables.X2)
    (path / "zarr.json").unlink()
    with pytest.raises(StoreError, match="no block store"):
        economies.economy(1, ids)


def test_places_are_those_of_the_store(tmp_path: Any) -> None:
    specification = drawn("supply", 4)
    table = specification.products
    table = table.assign(
        product_ids=[f"p{i}" for i in table.groupby("market_ids").cumcount()]
    )
    with quietly():
        store = blpdask.build_store(tmp_path / "s", table, specification.agents)
        problem = on_store(specification, tmp_path / "t", blocks=4).demand
    places = places_of(problem)
    ordered = table.sort_values("market_ids", kind="stable")
    ids = places.products.unique_market_ids[places.products.market_codes]
    assert ids.tolist() == ordered["market_ids"].tolist()
    assert places.n_products == len(table)
    assert not np.asarray(places.products.X1).size
    fields = ("shares", "prices", "firm_ids", "product_ids", "nesting_ids")
    found = with_columns(places, store.blocks, fields).products
    for name in ("firm_ids", "product_ids", "prices"):
        values = np.ravel(found.ids[name]).tolist()
        assert values == ordered[name].tolist(), name
    np.testing.assert_array_equal(found.shares, ordered["shares"])
    assert "nesting_ids" not in found.ids
    assert read_whole(store.blocks, "product_ids").dtype == object


def test_pairs_of_agents_and_products_are_laid_out_and_back() -> None:
    sizes = np.array([2, 3, 1])
    flat = np.arange(12.0).reshape(2, 6)
    wide = unflatten_availability(flat, sizes, np.nan)
    assert wide is not None and wide.shape == (2, 3, 3)
    np.testing.assert_array_equal(
        wide[0], [[0, 1, np.nan], [2, 3, 4], [5, *[np.nan] * 2]]
    )
    np.testing.assert_array_equal(flatten_availability(wide, sizes), flat)
    assert unflatten_availability(None, sizes, 1.0) is None
