"""The supply side of a problem in a store is that of the problem in memory.

Invariants: blocks have the same bits but for absorbed instruments, which agree to
rounding; evaluations at the same θ have the same bits where nothing is absorbed; the
cut of blocks and the engine do not matter; nothing is wrong in silence.
"""

from __future__ import annotations

import dataclasses
import pickle

import numpy as np
import pytest

from blpdask.driver.serial import SerialEngine
from blpdask.driver.threads import ThreadsEngine
from blpdask.errors import DataWarning, InputError, StoreError
from blpdask.moments.demand import DemandState, demand_pass
from blpdask.moments.supply import CostState
from blpdask.partitions.source import count_bytes
from blpdask.problem.absorption_options import AbsorptionControls
from blpdask.problem.agents import read_agents
from blpdask.problem.demand_problem import prepare_demand
from blpdask.problem.formulas import parse
from blpdask.problem.ownership import stacked_ownership
from blpdask.problem.products import read_products
from blpdask.problem.stored_checks import StoredFormulas
from blpdask.problem.stored_problem import StoredProblem
from blpdask.records import InversionControls, PriceTastes, Tastes
from tests.problem.stores import build, tables

#: Effects absorbed in X1, and in X3.
ABSORB = [
    (None, None),
    ("city", None),
    (None, "city + C(firm_ids)"),
    ("city + C(firm_ids)", "C(product_ids)"),
    ("city", "city"),
]


def products_with_costs(n_markets=30, **changed):
    """Make products of firms that have names, with cost shifters, and agents."""
    products, agents = tables(n_markets)
    rng = np.random.default_rng(9)
    names = np.array(["Zed", "Abe", "Mo"], dtype=object)
    columns = {
        "firm": products["firm_ids"],
        "firm_ids": names[products["firm_ids"]],
        "w": rng.normal(size=len(products)),
        "supply_instruments0": rng.normal(size=len(products)),
        "supply_instruments1": rng.normal(size=len(products)),
        **changed,
    }
    return products.assign(**columns), agents


def with_weights(products, n_more=0):
    """Add weights that differ by firm and on whom, NaN beyond each market."""
    markets, firms = (
        products[name].astype("category").cat.codes.to_numpy(np.int64)
        for name in ("market_ids", "firm")
    )
    rng = np.random.default_rng(3)
    kappa = rng.uniform(0.1, 0.9, (3, 3))
    weights = stacked_ownership(markets, firms)
    for row, (market, firm) in enumerate(zip(markets, firms, strict=True)):
        others = firms[markets == market]
        weights[row, : others.size] = kappa[firm, others]
    beyond = np.full((len(products), n_more), np.nan)
    both = np.hstack([weights, beyond])
    named = {f"ownership{k}": column for k, column in enumerate(both.T)}
    return products.assign(**named)


def formulas(absorb=None, cost_absorb=None, costs="1 + w + x", **changed):
    linear = "1 + prices + x + I(x ** 2) + prices:x"
    given = {
        "linear": parse(linear, absorb),
        "random": parse("1 + log(prices) + x"),
        "demographics": parse("0 + income"),
        "cost": parse(costs, cost_absorb),
    }
    return StoredFormulas(**(given | changed))


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
        found.cost,
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


def compare_supply(block, expected, *, exactly):
    """Compare the supply side of two blocks, and both equations' linear rows."""
    for field in dataclasses.fields(expected.supply):
        one, two = (getattr(b.supply, field.name) for b in (block, expected))
        if field.name == "ZS" and not exactly:
            np.testing.assert_allclose(one, two, rtol=0, atol=1e-12)
        else:
            np.testing.assert_array_equal(one, two, err_msg=field.name, strict=True)
        assert one.flags.c_contiguous
    rows, others = block.linear(), expected.linear()
    assert len(rows.equations) == len(others.equations) == 2
    costs, other = rows.equations[1], others.equations[1]
    np.testing.assert_array_equal(costs.X, other.X, strict=True)
    np.testing.assert_allclose(costs.Z, other.Z, rtol=0, atol=1e-12)
    assert len(costs.effects) == len(other.effects)
    for one, two in zip(costs.effects, other.effects, strict=True):
        np.testing.assert_array_equal(one, two, strict=True)


@pytest.mark.parametrize("add_exogenous", [True, False])
@pytest.mark.parametrize("weights", [False, True])
@pytest.mark.parametrize(("absorb", "cost_absorb"), ABSORB)
def test_a_supply_side_is_the_same_in_a_store_and_in_memory(
    tmp_path, absorb, cost_absorb, weights, add_exogenous
):
    products, agents = products_with_costs()
    if weights:
        products = with_weights(products, n_more=2)
    found = formulas(absorb, cost_absorb, "1 + w + shares")
    memory = held(products, agents, found, add_exogenous).prepare(4)
    problem = stored(
        build(tmp_path / "s", products, agents, n_blocks=4), found, add_exogenous
    )
    store = problem.prepare(SerialEngine())
    for name in (
        "moment_counts",
        "X_counts",
        "level_counts",
        "absorption",
        "n_clusters",
        "clusters_of_markets",
    ):
        assert getattr(store, name) == getattr(memory, name), name
    assert store.has_supply
    for name in ("ZtX", "ZtZ"):
        one, two = (getattr(p, name) for p in (store, memory))
        assert one.dtype == two.dtype
        scale = np.abs(two).max()
        np.testing.assert_allclose(one, two, rtol=0, atol=1e-13 * scale)
    MD, K1 = store.moment_counts[0], store.X_counts[0]
    assert not store.ZtX[:MD, K1:].any() and not store.ZtX[MD:, :K1].any()
    assert store.ZtZ[:MD, MD:].any()
    source = pickle.loads(pickle.dumps(store.source))
    assert source.name == store.source.name
    for index in range(4):
        block, expected = source.load(index), memory.source.load(index)
        compare_supply(block, expected, exactly=cost_absorb is None)
        kept = dataclasses.replace(block, linear=None)
        # Offsets are counted as numbers of products and agents.
        offsets = 8 * (block.product_offsets.size + block.agent_offsets.size)
        more = 8 * (block.n_products + kept.supply.X2_priced.size + 2)
        assert abs(count_bytes(kept) - source.size(index)) <= offsets + more


def state():
    """Evaluate at some θ: two columns of nodes, income, and β on prices."""
    loadings = np.array([[0.4, 0, 0.1], [0.1, 0.5, 0.2], [0.3, 0.1, 0]])
    rows, columns = np.nonzero(loadings)
    tastes = Tastes(loadings, np.zeros(3, np.int64), rows, columns)
    priced = PriceTastes(np.array([-2.0, 0.1]), np.arange(2))
    return DemandState(
        theta=loadings[rows, columns],
        tastes=tastes,
        controls=InversionControls(),
        backend="numba",
        costs=CostState(priced),
    )


@pytest.mark.parametrize("weights", [False, True])
def test_evaluations_have_the_bits_of_memory(tmp_path, weights):
    products, agents = products_with_costs()
    if weights:
        products = with_weights(products)
    memory = held(products, agents, formulas()).prepare(5)
    store = stored(build(tmp_path / "s", products, agents, n_blocks=5)).prepare(
        SerialEngine()
    )
    sums = []
    for source, engine in (
        (memory.source, SerialEngine()),
        (store.source, SerialEngine()),
        (store.source, ThreadsEngine(2)),
    ):
        placement = engine.place(source)
        sums.append(placement.reduce(demand_pass, state()))
        placement.close()
    assert sums[0].ZtCosts.size == 5 and sums[0].ZtCosts_by_theta.shape == (5, 9)
    assert np.abs(sums[0].ZtCosts).max() < 1e4
    assert not sums[0].cost_status.any()
    for other in sums[1:]:
        for field in dataclasses.fields(other):
            one, two = getattr(sums[0], field.name), getattr(other, field.name)
            np.testing.assert_array_equal(one, two, err_msg=field.name, strict=True)


def test_engines_and_cuts_do_not_matter(tmp_path):
    found = formulas("city", "city + C(product_ids)")
    sums = []
    for n_blocks, engine in (
        (1, SerialEngine()),
        (5, SerialEngine()),
        (5, ThreadsEngine(2)),
    ):
        store = build(
            tmp_path / "s", *products_with_costs(), n_blocks=n_blocks, overwrite=True
        )
        prepared = stored(store, found).prepare(engine)
        supply = prepared.source.recipe.supply
        assert len(supply.levels) == 2 and supply.levels[0].shape[1] == 4
        sums.append((prepared.ZtX, prepared.ZtZ, *supply.levels))
    for one, two in zip(sums[1], sums[2], strict=True):
        np.testing.assert_array_equal(one, two)
    # Levels are exact sums, whatever the cut.
    for one, two in zip(sums[0][2:], sums[1][2:], strict=True):
        assert one.tobytes() == two.tobytes()
    np.testing.assert_allclose(sums[0][0], sums[1][0], rtol=1e-12, atol=1e-12)


def test_sums_are_kept_and_those_of_other_costs_refused(tmp_path):
    store = build(tmp_path / "s", *products_with_costs(), n_blocks=4)
    found = formulas("city", "city + C(product_ids)")
    first = stored(store, found)
    calm = first.prepare(SerialEngine())
    first.keep(tmp_path / "run")
    again = stored(store, found).prepare(None, directory=tmp_path / "run")
    for name in ("ZtX", "ZtZ"):
        assert getattr(again, name).tobytes() == getattr(calm, name).tobytes()
    assert again.source.name == calm.source.name
    assert again.level_counts == calm.level_counts == ((3,), (3, 6))
    for index in range(4):
        one, two = (p.source._make(index).supply.ZS for p in (again, calm))
        assert one.tobytes() == two.tobytes()
    tight = {"cost_absorption": AbsorptionControls(tolerance=1e-9)}
    for other, options in (
        (formulas("city", "city"), {}),
        (formulas("city", "city + C(product_ids)", "1 + w"), {}),
        (dataclasses.replace(found, cost=None), {}),
        (found, tight),
        (found, {"add_exogenous": False}),
    ):
        with pytest.raises(StoreError, match="bring the same data and formulas back"):
            stored(store, other, **options).prepare(None, directory=tmp_path / "run")


def test_an_instrument_or_weight_without_a_number_is_read(tmp_path):
    """Columns named without a number are matrices of one column, as in memory."""
    products, agents = products_with_costs()
    products = products.drop(columns=["demand_instruments1", "supply_instruments1"])
    products = products.rename(
        columns=lambda name: name.replace("instruments0", "instruments")
    )
    found = formulas()
    memory = held(products, agents, found).prepare(2)
    problem = stored(build(tmp_path / "s", products, agents, n_blocks=2), found)
    store = problem.prepare(SerialEngine())
    assert store.moment_counts == memory.moment_counts == (4, 4)
    assert problem.outline.ZD_names[0] == "demand_instruments0"
    assert problem.outline.ZS_names[0] == "supply_instruments0"
    np.testing.assert_allclose(store.ZtZ, memory.ZtZ, rtol=1e-12)
    np.testing.assert_array_equal(
        store.source.load(1).supply.ZS, memory.source.load(1).supply.ZS
    )


def test_formulas_and_owners_that_do_not_fit_are_refused_with_all_faults(tmp_path):
    products, agents = products_with_costs()
    products = products.drop(columns="firm_ids")
    store = build(tmp_path / "s", products, agents, n_blocks=3)
    with pytest.raises(InputError) as caught:
        stored(store, formulas(None, "firm + town", "1 + city + y"))
    message = str(caught.value)
    for part in (
        "the categorical variable 'city' in X3",
        "absorb it in X3 (absorb='C(city)')",
        "no column 'y'",
        "no column 'town'",
        "the numeric variable 'firm'",
        "a supply side without 'firm_ids' or 'ownership'",
    ):
        assert part in message
    assert len(caught.value.faults) == 5
    with pytest.raises(InputError, match="prices in the formula of X3"):
        stored(store, formulas(costs="1 + prices"))
    narrow = with_weights(products).drop(columns=["ownership4", "ownership5"])
    narrow["ownership1"] = narrow["ownership1"].astype(str)
    store = build(tmp_path / "t", narrow, agents, n_blocks=3)
    with pytest.raises(InputError) as caught:
        stored(store)
    message = str(caught.value)
    assert "'ownership1' that is not numeric" in message
    assert "4 columns of ownership" in message
    assert "6, as many as the largest market has products" in message


def test_what_is_missing_is_named_with_its_markets(tmp_path):
    products, agents = products_with_costs()
    gone = products.copy()
    gone.loc[[4, 7], "firm_ids"] = None
    problem = stored(build(tmp_path / "s", gone, agents, n_blocks=1))
    with pytest.raises(StoreError, match="2 rows of 'firm_ids' that are missing in"):
        problem.prepare(SerialEngine())
    weighted = with_weights(products)
    weighted.loc[[4, 7, 9], "ownership1"] = np.nan
    weighted.loc[5, "supply_instruments1"] = np.inf
    with pytest.raises(InputError) as caught:
        build(tmp_path / "t", weighted, agents, n_blocks=2)
    message = str(caught.value)
    assert "3 rows of ownership with missing weights (rows" in message
    assert "a weight for each product of the market, NaN beyond" in message
    assert "NaN or infinite values of 'supply_instruments1'" in message
    assert len(caught.value.faults) == 2
    weighted["supply_instruments0"] = "much"
    with pytest.raises(InputError, match="'supply_instruments0' that is not numeric"):
        build(tmp_path / "t", weighted, agents, n_blocks=2)
    # Weights that are there, and missing firms that nobody asks for, are no fault.
    both = with_weights(gone)
    stored(build(tmp_path / "u", both, agents)).prepare(SerialEngine())


def test_costs_that_are_not_finite_are_named(tmp_path):
    products, agents = products_with_costs()
    products["v"] = 1.0
    products.loc[products["market_ids"] == "m29", "v"] = -1.0
    store = build(tmp_path / "s", products, agents, n_blocks=3)
    problem = stored(store, formulas(costs="1 + log(v)"))
    with pytest.raises(StoreError, match=r"(?s)X3 of block 2 .*'log\(v\)' not finite"):
        problem.prepare(SerialEngine())


def test_collinear_costs_are_warned_of(tmp_path):
    products, agents = products_with_costs()
    products["again"] = 2 * products["w"] + 1
    products["of_city"] = products["city"].astype("category").cat.codes.astype(float)
    store = build(tmp_path / "s", products, agents, n_blocks=3)
    found = formulas(None, "city", "0 + w + again + of_city")
    with pytest.warns(DataWarning) as caught:
        stored(store, found, collinear=(1e-10, 1e-10)).prepare(SerialEngine())
    told = [str(warning.message) for warning in caught]
    assert len(told) == 2
    for message, name in zip(told, ("X3", "ZS"), strict=True):
        expected = f"collinear columns of {name} (effects are absorbed): "
        assert message.startswith(expected + "[again, of_city]")


def test_columns_of_a_store_keep_instruments_of_both_sides(tmp_path):
    products, agents = products_with_costs()
    names = ["w", "x", "firm_ids", "city"]
    store = build(tmp_path / "s", products, agents, columns=names)
    kept = {column.name for column in store.description.products}
    assert {"supply_instruments0", "supply_instruments1", *names} <= kept
    assert "firm" not in kept
    assert stored(store).outline.ZS_names[:2] == (
        "supply_instruments0",
        "supply_instruments1",
    )
