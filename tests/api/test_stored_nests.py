"""Nests, availability and scaled errors on stores: the numbers of the same in memory.

Row-long results of a store are in its order: by market, and as given within.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest

import blpdask
from blpdask.errors import InputError, StoreError
from blpdask.problem import store_tables
from tests.api.test_stored_supply import (
    as_tables,
    bits,
    market_order,
    on_store,
    quietly_solved,
)
from tests.driver.clusters import cluster
from tests.references.drawn_nests import KINDS, draw_nests
from tests.references.specifications import (
    FIXED,
    Specification,
    build_here,
    distance,
    quietly,
)

#: Drawn problems of every kind, with supply and without.
SEEDS = (0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12, 13, 14, 15, 16, 20, 22, 25)
NAMES = (
    *("objective", "gradient", "beta", "rho", "sigma_se", "rho_se", "beta_se", "W"),
    *("updated_W", "parameter_covariances", "moments", "moments_jacobian"),
)
ROWS = ("delta", "xi", "xi_fe")
OF_SUPPLY = ("gamma", "gamma_se"), ("omega", "tilde_costs", "clipped_costs")


@cache
def drawn_tables(seed: int) -> tuple[Specification, dict[str, Any], Any]:
    """Give a drawn problem, how it is solved, and its results in memory."""
    drawn = draw_nests(seed)
    specification = as_tables(drawn.specification)
    arguments = {**drawn.solution, **FIXED}
    expected = quietly_solved(build_here(specification), **arguments)
    return specification, arguments, expected


def assert_close(found: Any, expected: Any, order: Any, supply: bool) -> None:
    more, rows = OF_SUPPLY if supply else ((), ())
    for name in (*NAMES, *more):
        gap = distance(getattr(found, name), getattr(expected, name))
        assert gap <= 1e-10, (name, gap)
    for name in (*ROWS, *rows):
        gap = distance(getattr(found, name), getattr(expected, name)[order])
        assert gap <= 1e-10, (name, gap)


def test_the_seeds_cross_every_kind() -> None:
    crossed = frozenset().union(*(draw_nests(seed).features for seed in SEEDS))
    kinds = {f"{kind} and supply={flag}" for kind in KINDS for flag in (False, True)}
    shapes = {f"rho {shape}" for shape in ("one", "each", "fixed", "zero")}
    assert crossed >= kinds | shapes, (kinds | shapes) - crossed


@pytest.mark.parametrize("blocks", [1, 3])
@pytest.mark.parametrize("seed", SEEDS)
def test_a_drawn_problem_is_the_same_on_a_store(
    tmp_path: Any, seed: int, blocks: int
) -> None:
    specification, arguments, expected = drawn_tables(seed)
    problem = on_store(specification, tmp_path / "s", blocks=blocks)
    held = build_here(specification)
    assert str(problem) == str(held)
    assert problem.H == held.H
    np.testing.assert_array_equal(problem.unique_nesting_ids, held.unique_nesting_ids)
    found = quietly_solved(problem, **arguments)
    assert found.rho_labels == expected.rho_labels
    assert found.theta_labels == expected.theta_labels
    supply = specification.cost is not None
    assert_close(found, expected, market_order(specification), supply)


@pytest.mark.parametrize("seed", SEEDS[:6])
def test_engines_have_the_same_bits(tmp_path: Any, seed: int) -> None:
    specification, arguments, _ = drawn_tables(seed)

    def solve(engine: Any, name: str) -> Any:
        problem = on_store(specification, tmp_path / name, blocks=4)
        return quietly_solved(problem, **arguments, engine=engine)

    expected = solve("serial", "s")
    assert bits(solve("threads", "t")) == bits(expected)
    if seed == SEEDS[3]:
        with cluster(2) as client:
            assert bits(solve(client, "u")) == bits(expected)


def nested_logit(ids: Any, kind: str | None = None) -> Specification:
    """Give the nested logit of seed 0 with other names of its three nests."""
    specification, _, _ = drawn_tables(0)
    table = specification.products.copy()
    table["nesting_ids"] = table["nesting_ids"].map(dict(zip("abc", ids, strict=True)))
    if kind is not None:
        table = table.rename(columns={"nesting_ids": kind})
    return replace(specification, products=table)


@pytest.mark.parametrize(
    "ids",
    [(30, 4, 5), (2.5, 1e20, -1.0), ("z", "y", "x"), (True, False, "x"), (10, 9, 2)],
    ids=str,
)
def test_nests_may_have_any_names(tmp_path: Any, ids: Any) -> None:
    specification = nested_logit(ids)
    problem, held = on_store(specification, tmp_path / "s"), build_here(specification)
    assert problem.outline.nesting_ids == held.outline.nesting_ids
    assert [type(name) for name in problem.outline.nesting_ids] == [
        type(name) for name in held.outline.nesting_ids
    ]
    arguments = {**drawn_tables(0)[1], "rho": [0.1, 0.3, 0.6]}
    arguments.pop("rho_bounds", None)
    found, expected = (quietly_solved(p, **arguments) for p in (problem, held))
    assert found.rho_labels == expected.rho_labels
    order = market_order(specification)
    assert_close(found, expected, order, specification.cost is not None)


def test_a_column_of_a_matrix_has_nests_too(tmp_path: Any) -> None:
    specification = nested_logit(("a", "b", "c"), "nesting_ids0")
    assert on_store(specification, tmp_path / "s").H == 3


def test_stores_that_do_not_know_their_nests_are_read(
    tmp_path: Any, monkeypatch: Any
) -> None:
    from blpdask.partitions import store_writer

    specification = nested_logit((30, 4, 5))
    whole = on_store(specification, tmp_path / "s", blocks=3)
    finish = store_writer.StoreWriter.finish

    def forget(writer: Any, ids: Any, levels: Any, n_firms: int = 0) -> None:
        products = writer._description.products
        kept = {k: v for k, v in levels.items() if products[k[1]].kind == "text"}
        finish(writer, ids, kept, n_firms)

    monkeypatch.setattr(store_writer.StoreWriter, "finish", forget)
    older = on_store(specification, tmp_path / "t", blocks=3)
    description = older.demand.store.description
    assert len(description.other_digests) < len(
        whole.demand.store.description.other_digests
    )
    assert older.outline.nesting_ids == whole.outline.nesting_ids == (4, 5, 30)


def test_parquet_in_parts_is_the_table_whole(tmp_path: Any, monkeypatch: Any) -> None:
    pytest.importorskip("pyarrow")
    specification, arguments, expected = drawn_tables(4)  # nests and availability
    assert isinstance(specification.agents, pd.DataFrame)
    products, agents = tmp_path / "products.parquet", tmp_path / "agents.parquet"
    specification.products.to_parquet(products, row_group_size=16)
    specification.agents.to_parquet(agents, row_group_size=16)
    monkeypatch.setattr(store_tables, "ROWS", 16)
    parts = replace(specification, products=products, agents=agents)
    found = quietly_solved(on_store(parts, tmp_path / "s", blocks=3), **arguments)
    order = market_order(specification)
    assert_close(found, expected, order, specification.cost is not None)


def availability_of(seed: int = 3) -> tuple[Specification, dict[str, Any]]:
    specification, arguments, _ = drawn_tables(seed)
    assert "availability0" in specification.agents
    return specification, arguments


def test_described_nodes_keep_the_first_agents_availability(tmp_path: Any) -> None:
    """As in memory, each market keeps as many rows of agents as the rule has nodes."""
    specification, arguments = availability_of()
    rule = blpdask.Integration("product", 2)
    with quietly():
        store = blpdask.build_store(
            tmp_path / "s", specification.products, specification.agents, blocks=3
        )
    K2 = len(specification.options["rc_types"])
    sigma = 0.3 * np.eye(K2)
    asked = {**arguments, "sigma": sigma}
    asked.pop("sigma_bounds", None)
    found, expected = (
        quietly_solved(problem.with_agents(integration=rule), **asked)
        for problem in (
            build_here(replace(specification, products=store, agents=None)),
            build_here(specification),
        )
    )
    order = market_order(specification)
    assert_close(found, expected, order, specification.cost is not None)


def distances_of(seed: int = 2) -> tuple[Specification, dict[str, Any]]:
    specification, arguments, _ = drawn_tables(seed)
    assert "distance0" in specification.agents
    return specification, arguments


def test_described_nodes_keep_the_first_agents_distances(tmp_path: Any) -> None:
    specification, arguments = distances_of()
    rule = blpdask.Integration("product", 2)
    with quietly():
        store = blpdask.build_store(
            tmp_path / "s", specification.products, specification.agents, blocks=3
        )
    asked = {**arguments, "sigma": 0.3 * np.eye(len(arguments["pi"]))}
    asked.pop("sigma_bounds", None)
    found, expected = (
        quietly_solved(problem.with_agents(integration=rule), **asked)
        for problem in (
            build_here(replace(specification, products=store, agents=None)),
            build_here(specification),
        )
    )
    order = market_order(specification)
    assert_close(found, expected, order, specification.cost is not None)


def test_distances_interact_with_other_demographics(tmp_path: Any) -> None:
    """Formulas are evaluated once a product, terms of both kinds side by side."""
    specification, arguments = distances_of()
    agents = specification.agents.copy()
    people = len(agents)
    agents["age"] = np.random.default_rng(5).uniform(0.5, 1.5, people)
    some = replace(
        specification, agents=agents, demographics="0 + distance*age + I(distance**2)"
    )
    rows = len(arguments["pi"])
    pi = np.random.default_rng(6).uniform(-0.3, 0.3, (rows, 4))
    asked = {**arguments, "pi": pi}
    found = quietly_solved(on_store(some, tmp_path / "s", blocks=2), **asked)
    expected = quietly_solved(build_here(some), **asked)
    assert_close(found, expected, market_order(some), some.cost is not None)
    plain = agents.drop(columns=[n for n in agents if n.startswith("distance")])
    constant = replace(some, agents=plain.assign(distance=0.7))
    other = quietly_solved(on_store(constant, tmp_path / "t", blocks=2), **asked)
    assert distance(other.delta, found.delta) > 1e-3


def test_distances_that_are_missing_or_text_are_named(tmp_path: Any) -> None:
    specification, _ = distances_of()
    agents = specification.agents.copy()
    names = [name for name in agents if name.startswith("distance")]
    assert agents[names].isna().to_numpy().any()
    agents.loc[[3, 5], "distance0"] = np.nan
    wrong = replace(specification, agents=agents)
    with pytest.raises(InputError) as caught:
        on_store(wrong, tmp_path / "s", blocks=2)
    message = str(caught.value)
    assert "2 NaN or infinite values of 'distance0' (rows 3, 5;" in message
    narrow = replace(specification, agents=specification.agents.drop(columns=names[-1]))
    with pytest.raises(InputError, match=f"{len(names) - 1} columns distance0, …"):
        on_store(narrow, tmp_path / "s", blocks=2)
    words = specification.agents.assign(distance1="far")
    with pytest.raises(InputError, match="categorical variable 'distance' in demog"):
        on_store(replace(specification, agents=words), tmp_path / "t")
    # What one formula needs of one product only is missing where that is not there.
    last = replace(specification, demographics=f"0 + {names[-1]}")
    with pytest.raises(InputError, match=f"rows of '{names[-1]}' not finite"):
        on_store(last, tmp_path / "u", blocks=2)


def test_scales_and_nests_do_not_go_together(tmp_path: Any) -> None:
    specification = nested_logit(("a", "b", "c"))
    with quietly():
        store = blpdask.build_store(tmp_path / "s", specification.products)
    stored = replace(
        specification,
        products=store,
        options={**specification.options, "epsilon_scale": 0.5},
    )
    with pytest.raises(InputError, match=r"epsilon_scale=0\.5 with nesting_ids"):
        build_here(stored)
    wrong = replace(stored, options={**stored.options, "epsilon_scale": -1})
    with pytest.raises(InputError, match="epsilon_scale=-1"):
        build_here(wrong)
    with pytest.raises(InputError, match="no rho"):
        quietly_solved(build_here(replace(stored, options={})))


def test_what_is_missing_is_named_with_its_markets(tmp_path: Any) -> None:
    specification = nested_logit(("a", "b", "c"))
    table = specification.products.copy()
    table.loc[[1, 4], "nesting_ids"] = None
    gone = replace(specification, products=table)
    problem = on_store(gone, tmp_path / "s", blocks=2)
    with pytest.raises(StoreError, match="rows of 'nesting_ids' that are missing in"):
        quietly_solved(problem, **drawn_tables(0)[1])
    specification, _ = availability_of()
    agents = specification.agents.copy()
    agents.loc[3, "availability0"] = np.nan
    agents.loc[5, "availability0"] = -0.5
    with pytest.raises(InputError) as caught:
        on_store(replace(specification, agents=agents), tmp_path / "t", blocks=2)
    message = str(caught.value)
    assert "2 agents with missing or negative availability (rows 3, 5;" in message
    assert "numbers from zero, and NaN only beyond a market's products" in message
    agents["availability1"] = "yes"
    with pytest.raises(InputError, match="'availability1' that is not numeric"):
        on_store(replace(specification, agents=agents), tmp_path / "t", blocks=2)


def test_too_few_columns_of_availability_are_refused(tmp_path: Any) -> None:
    specification, _ = availability_of()
    names = [n for n in specification.agents if n.startswith("availability")]
    agents = specification.agents.drop(columns=names[-1])
    with pytest.raises(InputError, match=f"{len(names) - 1} columns of availability"):
        on_store(replace(specification, agents=agents), tmp_path / "s")


def test_bytes_of_blocks_are_counted(tmp_path: Any) -> None:
    from blpdask.driver.serial import SerialEngine
    from blpdask.partitions.source import count_bytes

    for seed in (2, 3, 4):
        specification, _, _ = drawn_tables(seed)
        problem = on_store(specification, tmp_path / f"{seed}", blocks=3)
        with quietly():
            source = problem.demand.prepare(SerialEngine()).source
        for index in range(len(source)):
            block = source.load(index)
            assert (block.product_draws is None) != (block.availability is None)
            offsets = 8 * (block.product_offsets.size + block.agent_offsets.size)
            more = 8 * (block.n_products + 100)
            found = count_bytes(replace(block, linear=None))
            assert abs(found - source.size(index)) <= offsets + more


def test_a_recording_replays_nests(tmp_path: Any) -> None:
    specification, arguments, _ = drawn_tables(4)
    plain = quietly_solved(on_store(specification, tmp_path / "s"), **arguments)
    stored = on_store(specification, tmp_path / "t")
    run = tmp_path / "run"
    for _ in range(2):
        found = quietly_solved(stored, **arguments, resume=run)
        assert bits(found) == bits(plain)
