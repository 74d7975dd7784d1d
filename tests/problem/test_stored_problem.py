"""A problem in a store is the problem in memory: every block, every sum.

Invariants: blocks have the same bits, absorbed instruments agree to rounding; nodes
that are stored and nodes that are described by the rule that made them have the same
bits; the cut of blocks and the engine do not matter; nothing is wrong in silence.
"""

from __future__ import annotations

import dataclasses
import pickle

import numpy as np
import pandas as pd
import pytest

from blpdask.driver.serial import SerialEngine
from blpdask.driver.threads import ThreadsEngine
from blpdask.errors import DataWarning, InputError, StoreError
from blpdask.integration.keyed import draw_markets
from blpdask.integration.rules import Rule
from blpdask.partitions.residency import RESIDENT
from blpdask.partitions.store_schema import DescribedNodes
from blpdask.problem.absorption_options import AbsorptionControls
from blpdask.problem.agents import read_agents
from blpdask.problem.demand_problem import prepare_demand
from blpdask.problem.formulas import parse
from blpdask.problem.products import read_products
from blpdask.problem.stored_checks import StoredFormulas
from blpdask.problem.stored_problem import StoredProblem
from tests.problem.stores import build, tables

ABSORB = [
    None,
    "C(firm_ids)",
    "city + C(firm_ids)",
    "city:C(firm_ids) + market_ids",
    "C(product_ids):city:C(firm_ids)",
]


def formulas(linear="1 + prices + x + I(x ** 2)", absorb=None):
    return StoredFormulas(
        parse(linear, absorb), parse("1 + prices + x"), parse("0 + income")
    )


def stored(store, found=None, add_exogenous=True, **options):
    return StoredProblem(
        store,
        found or formulas(),
        add_exogenous=add_exogenous,
        absorption=AbsorptionControls(),
        types=("linear",) * 3,
        **options,
    )


def held(products, agents, found, add_exogenous=True):
    read = read_products(
        products,
        found.linear,
        found.random,
        add_exogenous=add_exogenous,
        absorption=AbsorptionControls(),
    )
    people = read_agents(
        agents,
        found.demographics,
        None,
        unique_market_ids=read.unique_market_ids,
        product_counts=np.bincount(read.market_codes),
        K2=3,
        weights_tol=np.inf,
    )
    return prepare_demand(read, people, ("linear",) * 3)


@pytest.mark.parametrize("add_exogenous", [True, False])
@pytest.mark.parametrize("absorb", ABSORB)
def test_a_problem_is_the_same_in_a_store_and_in_memory(
    tmp_path, absorb, add_exogenous
):
    products, agents = tables(30)
    found = formulas(absorb=absorb)
    memory = held(products, agents, found, add_exogenous).prepare(4)
    problem = stored(
        build(tmp_path / "s", products, agents, n_blocks=4), found, add_exogenous
    )
    store = problem.prepare(SerialEngine())
    names = ["n_products", "n_agents", "n_random", "level_counts", "n_clusters"]
    for name in names:
        assert getattr(store, name) == getattr(memory, name)
    assert store.market_ids.tolist() == memory.market_ids.tolist()
    assert store.product_counts.tolist() == memory.product_counts.tolist()
    assert store.block_edges.tolist() == memory.block_edges.tolist()
    assert store.ZtX.dtype == np.longdouble
    scale = np.abs(memory.ZtX).max()
    np.testing.assert_allclose(store.ZtX, memory.ZtX, rtol=0, atol=1e-13 * scale)
    scale = np.abs(memory.ZtZ).max()
    np.testing.assert_allclose(store.ZtZ, memory.ZtZ, rtol=0, atol=1e-13 * scale)
    source = pickle.loads(pickle.dumps(store.source))
    assert source.name == store.source.name
    for index in range(4):
        compare_blocks(source.load(index), memory.source.load(index))
        assert source.describe(index) == memory.source.describe(index)


def compare_blocks(block, expected):
    for field in dataclasses.fields(expected):
        if field.name in ("linear", "ZD"):
            continue
        one, two = getattr(block, field.name), getattr(expected, field.name)
        np.testing.assert_array_equal(one, two, err_msg=field.name, strict=True)
    assert block.X2.flags.c_contiguous and block.ZD.flags.c_contiguous
    assert block.draws.flags.c_contiguous
    np.testing.assert_allclose(block.ZD, expected.ZD, rtol=0, atol=1e-12)
    rows, others = block.linear(), expected.linear()
    np.testing.assert_array_equal(rows.rows, others.rows)
    np.testing.assert_array_equal(rows.clusters, others.clusters)
    ((demand,), (other,)) = rows.equations, others.equations
    np.testing.assert_array_equal(demand.X, other.X)
    np.testing.assert_allclose(demand.Z, other.Z, rtol=0, atol=1e-12)
    for one, two in zip(demand.effects, other.effects, strict=True):
        np.testing.assert_array_equal(one, two)


def test_engines_and_cuts_do_not_matter(tmp_path):
    found = formulas(absorb="city + C(firm_ids)")
    sums = []
    for n_blocks, engine in (
        (1, SerialEngine()),
        (5, SerialEngine()),
        (5, ThreadsEngine(2)),
    ):
        store = build(tmp_path / "s", *tables(30), n_blocks=n_blocks, overwrite=True)
        prepared = stored(store, found).prepare(engine)
        levels = prepared.source.recipe.levels
        sums.append((prepared.ZtX, *levels))
    for one, two in zip(sums[1], sums[2], strict=True):
        np.testing.assert_array_equal(one, two)
    # Levels are exact sums, whatever the cut.
    for one, two in zip(sums[0][1:], sums[1][1:], strict=True):
        assert one.tobytes() == two.tobytes()
    np.testing.assert_allclose(sums[0][0], sums[1][0], rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize(
    "specification", ["monte_carlo", "halton", "mlhs", "sobol", "product"]
)
def test_stored_and_described_nodes_are_the_same_bits(tmp_path, specification):
    products, _ = tables(20)
    size = 3 if specification == "product" else 8
    nodes = DescribedNodes(specification, size, seed=4, discard=1000, scramble=True)
    built = draw_markets(Rule(specification, size), 3, 4, range(20))
    markets = np.unique(products["market_ids"])
    table = pd.DataFrame(built.nodes, columns=["nodes0", "nodes1", "nodes2"])
    table["weights"] = built.weights
    table["market_ids"] = markets[built.market_index]
    found = dataclasses.replace(formulas(), demographics=None)
    one = stored(build(tmp_path / "a", products, table, n_blocks=3), found)
    two = stored(build(tmp_path / "b", products, nodes=nodes, n_blocks=3), found)
    three = stored(one.store, found).with_nodes(nodes)
    assert one.outline.n_agents == two.outline.n_agents == len(table)
    sources = [p.prepare(SerialEngine()).source for p in (one, two, three)]
    for index in range(3):
        blocks = [source.load(index) for source in sources]
        for name in ("draws", "weights", "agent_offsets"):
            first, *others = (getattr(block, name) for block in blocks)
            for other in others:
                np.testing.assert_array_equal(first, other, strict=True)


def test_described_nodes_keep_the_first_demographics_of_each_market(tmp_path):
    products, agents = tables(20)
    nodes = DescribedNodes("halton", 3, seed=4, discard=1000, scramble=True)
    store = build(tmp_path / "s", products, agents, n_blocks=3)
    source = stored(store, nodes=nodes).prepare(SerialEngine()).source
    order = np.argsort(agents["market_ids"].to_numpy(), kind="stable")
    expected = agents["income"].to_numpy()[order].reshape(20, 5)[:, :3].ravel()
    found = np.concatenate([source.load(index).draws[:, 3] for index in range(3)])
    assert found.tobytes() == expected.tobytes()
    many = dataclasses.replace(nodes, size=6)
    with pytest.raises(InputError, match="fewer agents than the rule's nodes in 20"):
        stored(store, nodes=many)


def test_without_random_coefficients_there_are_no_agents(tmp_path):
    products, agents = tables()
    found = StoredFormulas(parse("1 + prices + x"))
    for agent_data in (None, agents):
        store = build(tmp_path / "s", products, agent_data, n_blocks=2, overwrite=True)
        prepared = stored(store, found).prepare(SerialEngine())
        block = prepared.source.load(1)
        assert prepared.n_agents == prepared.n_random == block.weights.size == 0
        assert block.X2.shape == (0, block.n_products)
        assert block.draws.shape == (0, 0)
        assert not block.agent_offsets.any()


def test_blocks_are_held_within_the_budget(tmp_path, monkeypatch):
    problem = stored(build(tmp_path / "s", *tables(), n_blocks=3))
    source = problem.prepare(SerialEngine()).source
    assert source.load(1) is source.load(1)
    assert source.load(1).linear() is source.load(1).linear()
    monkeypatch.setattr(RESIDENT, "budget", 0)
    RESIDENT.drop(lambda owner: owner == source.name)
    first, second = source.load(1), source.load(1)
    assert first is not second
    compare_blocks(first, second)
    assert first.linear() is not first.linear()


def test_a_source_refuses_a_store_that_was_replaced(tmp_path, monkeypatch):
    monkeypatch.setattr(RESIDENT, "budget", 0)
    path = tmp_path / "s"
    store = build(path, *tables(), n_blocks=3)
    source = stored(store).prepare(SerialEngine()).source
    other = build(path, *tables(seed=1), n_blocks=3, overwrite=True)
    message = rf"(?s){other.fingerprint}.*expected.*{store.fingerprint}"
    with pytest.raises(StoreError, match=message):
        source.load(0)
    build(path, *tables(), n_blocks=3, overwrite=True)
    source.load(0)


def test_a_damaged_block_is_an_error_until_it_is_mended(tmp_path, monkeypatch):
    monkeypatch.setattr(RESIDENT, "budget", 0)
    store = build(tmp_path / "s", *tables(), n_blocks=3)
    problem = stored(store)
    path = store.path / "blocks/00001/agent_numbers/c/0/0"
    good = path.read_bytes()
    path.write_bytes(good[:100] + bytes([good[100] ^ 4]) + good[101:])
    for engine in (SerialEngine(), ThreadsEngine(2)):
        with pytest.raises(StoreError, match=r"block 1 \(markets m.. to m..\)"):
            problem.prepare(engine)
    path.write_bytes(good)
    problem.prepare(SerialEngine())


def test_values_that_formulas_make_infinite_are_named(tmp_path):
    products, agents = tables()
    products["y"] = np.arange(len(products)) % len(products) + 1.0
    last = products.index[products["market_ids"] == "m11"][0]
    products.loc[last, "y"] = -1.0
    store = build(tmp_path / "s", products, agents, n_blocks=3)
    problem = stored(store, formulas("1 + prices + log(y)"))
    with pytest.raises(StoreError, match=r"(?s)X1 of block 2 .*'log\(y\)' not finite"):
        problem.prepare(SerialEngine())


def test_formulas_that_do_not_fit_are_refused_with_all_faults(tmp_path):
    products, agents = tables()
    store = build(tmp_path / "s", products, agents.drop(columns="weights"), n_blocks=3)
    bad = StoredFormulas(
        parse("1 + city + C(product_ids) + shares", absorb="firm_ids + town"),
        parse("1 + y"),
        parse("0 + wealth"),
    )
    with pytest.raises(InputError) as caught:
        stored(store, bad)
    message = str(caught.value)
    for part in (
        "categorical variable 'city' in X1",
        "categorical variable 'C(product_ids)' in X1",
        "absorb='C(city)'",
        "shares in the formula of X1",
        "the numeric variable 'firm_ids'",
        "no column 'town'",
        "no column 'y'",
        "no column 'wealth'",
        "prices neither in X1 nor in X2",
        "no column 'weights'",
    ):
        assert part in message
    with pytest.raises(InputError, match="neither agents in the store nor integration"):
        stored(
            build(tmp_path / "t", products),
            dataclasses.replace(formulas(), demographics=None),
        )


def test_missing_levels_of_effects_are_refused(tmp_path):
    products, agents = tables()
    products.loc[5, "city"] = None
    store = build(tmp_path / "s", products, agents, n_blocks=3)
    with pytest.raises(InputError, match="missing values in 'city'"):
        stored(store, formulas(absorb="city")).prepare(SerialEngine())
    # -1 among integers is a level like any other.
    products["firm_ids"] -= 1
    store = build(tmp_path / "t", products, agents, n_blocks=3)
    prepared = stored(store, formulas(absorb="C(firm_ids)")).prepare(SerialEngine())
    assert prepared.level_counts == ((3,),)


def test_collinear_columns_and_odd_weights_are_warned_of(tmp_path):
    products, agents = tables()
    products["again"] = 2 * products["x"] + 1
    agents["weights"] *= 0.5
    store = build(tmp_path / "s", products, agents, n_blocks=3)
    with pytest.warns(DataWarning, match="do not sum to one in 12 of 12 markets"):
        problem = stored(
            store,
            formulas("1 + prices + x + again"),
            weights_tol=1e-10,
            collinear=(1e-10, 1e-10),
        )
    with pytest.warns(DataWarning) as caught:
        problem.prepare(SerialEngine())
    messages = [str(warning.message) for warning in caught]
    assert len(messages) == 2
    assert "collinear columns of X1: [again]" in messages[0]
    assert "collinear columns of ZD: [again]" in messages[1]
