"""Questions about results whose data are in a store: the answers of memory, by blocks.

Invariants: every answer about a store is that about the same rows in memory, to 1e-10
and in the store's order, whatever the arguments and however blocks are cut; engines
give the same bits; a question about one market reads one block; arguments have the
faults that they have in memory, all said at once, and markets that fail are named in
one warning.
"""

from __future__ import annotations

import inspect
import warnings
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest

import blpdask
from blpdask import Formulation, Integration, Iteration
from blpdask.api.demand_methods import DemandMethods
from blpdask.api.firm_methods import FirmMethods
from blpdask.api.stored_answers import StoredAnswers, join
from blpdask.errors import BlpdaskError, InputError, NumericalWarning
from blpdask.integration.keyed import draw_markets
from blpdask.problem.stored_economy import EconomyBlocks
from tests.api import (
    test_economy_methods,
    test_stored_nests,
    test_stored_supply,
    test_type_shares,
)
from tests.api.test_economy_methods import ASKED
from tests.api.test_stored_supply import on_store, quietly_solved
from tests.driver.clusters import Killer, cluster
from tests.references.specifications import FIXED, distance, quietly

#: Logs of costs, ownership, shares in X3, effects, prices squared, in logs, interacted.
SUPPLY = (1, 4, 5, 13, 14, 24)
#: Nests, one ρ or one each, distances of products, availability, scales; some plain.
NESTS = (0, 1, 2, 3, 6, 10, 16, 20)
PROBLEMS = [
    *(("supply", seed) for seed in SUPPLY),
    *(("nests", seed) for seed in NESTS),
    *(("types", seed) for seed in (3, 7)),
    *(("truth", seed) for seed in (1, 5, 8, 101, 103)),
]
ALL = {**ASKED, "compute_hhi": {}}
TRUTH = ("sigma", "pi", "rho", "beta", "gamma")
AT_POINT: dict[str, Any] = {**FIXED, "method": "1s", "check_optimality": "gradient"}
OF_FIRMS = (
    *("compute_costs", "compute_approximate_prices", "compute_prices"),
    *("compute_passthrough", "compute_profit_hessians", "compute_markups"),
    *("compute_profits", "compute_hhi"),
)


@pytest.fixture(autouse=True)
def quiet():
    with quietly(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@cache
def at_truth(seed: int) -> tuple[Any, Any]:
    """Give a simulation's tables, whose prices are an equilibrium, and its results."""
    simulated = test_economy_methods.solved(seed)
    problem = simulated.to_problem()
    truth = {n: getattr(simulated.simulation, n) for n in TRUTH}
    truth = {name: values for name, values in truth.items() if values.size}
    return simulated, quietly_solved(problem, **truth, **AT_POINT)


def truth_on_store(seed: int, path: str, blocks: int) -> Any:
    """Give results of the same with its tables in a store."""
    simulated, expected = at_truth(seed)
    own = simulated.simulation
    table = simulated._with_instruments()
    agents = own.agent_data if own.K2 else None
    store = blpdask.build_store(path, table, agents, blocks=blocks)
    problem = blpdask.Problem(
        own.product_formulations,
        store,
        own.agent_formulation,
        rc_types=own.rc_types,
        epsilon_scale=own.epsilon_scale,
        costs_type=own.costs_type,
    )
    truth = {n: getattr(expected, n) for n in TRUTH if getattr(expected, n).size}
    return quietly_solved(problem, **truth, **AT_POINT)


def drawn(kind: str, seed: int) -> tuple[Any, dict[str, Any], Any]:
    """Give a drawn problem, how it is solved, and its results in memory."""
    if kind == "types":
        found, expected = test_type_shares.tables(seed)
        arguments = {**found.solution, "type_shares": found.shares}
        return found.specification, arguments, expected
    module = test_stored_supply if kind == "supply" else test_stored_nests
    return module.drawn_tables(seed)


@cache
def _folder() -> Any:
    import tempfile

    return tempfile.TemporaryDirectory()


@cache
def solved(kind: str, seed: int, blocks: int = 4) -> Any:
    """Solve a drawn problem on a store."""
    path = f"{_folder().name}/{kind}-{seed}-{blocks}"
    if kind == "truth":
        return truth_on_store(seed, path, blocks)
    specification, arguments, _ = drawn(kind, seed)
    problem = on_store(specification, path, blocks=blocks)
    return quietly_solved(problem, **arguments)


def ask(results: Any, method: str, /, **arguments: Any) -> Any:
    return getattr(results, method)(**arguments)


def pair(kind: str, seed: int) -> tuple[Any, Any, Any]:
    """Give results on a store, in memory, and the rows of memory in its order."""
    expected = at_truth(seed)[1] if kind == "truth" else drawn(kind, seed)[2]
    markets = expected.problem.products.market_ids[:, 0].astype(str)
    return solved(kind, seed), expected, np.argsort(markets, kind="stable")


def has_firms(results: Any) -> bool:
    return results.problem.K3 > 0


def assert_same_answers(
    found: Any, expected: Any, order: Any, name: str, arguments: dict[str, Any]
) -> None:
    """Compare an answer with memory's, whose arguments are rows of memory."""
    own = {
        key: value[order]
        if isinstance(value, np.ndarray) and len(value) == order.size
        else value
        for key, value in arguments.items()
    }
    answer, other = ask(found, name, **own), ask(expected, name, **arguments)
    assert answer.dtype == other.dtype
    T = found.problem.T
    in_order = other if len(other) == T != order.size else other[order]
    assert distance(answer, in_order) <= 1e-10, name


@pytest.mark.parametrize(("kind", "seed"), PROBLEMS)
def test_answers_are_those_of_memory(kind: str, seed: int) -> None:
    found, expected, order = pair(kind, seed)
    asked = 0
    for name, arguments in ALL.items():
        if name in OF_FIRMS and not has_firms(found):
            continue
        assert_same_answers(found, expected, order, name, arguments)
        asked += 1
    assert asked >= 10


@pytest.mark.parametrize(("kind", "seed"), PROBLEMS[::2])
def test_variables_are_those_of_memory(kind: str, seed: int) -> None:
    found, expected, order = pair(kind, seed)
    for name in ("x1", None):
        for method in (
            *("compute_elasticities", "compute_diversion_ratios"),
            "compute_aggregate_elasticities",
        ):
            assert_same_answers(found, expected, order, method, {"name": name})
    for arguments in ({"factor": 0.01}, {"factor": -0.5, "name": "x1"}):
        name = "compute_aggregate_elasticities"
        assert_same_answers(found, expected, order, name, arguments)


@pytest.mark.parametrize(("kind", "seed"), PROBLEMS)
def test_rows_of_arguments_go_with_their_blocks(kind: str, seed: int) -> None:
    found, expected, order = pair(kind, seed)
    rng = np.random.default_rng(seed)
    N = order.size
    p = expected.problem.products.prices[:, 0] * rng.uniform(0.95, 1.05, N)
    delta = np.asarray(expected.delta)[:, 0] + rng.normal(0, 0.1, N)
    for name, arguments in (
        ("compute_shares", {"prices": p}),
        ("compute_shares", {"prices": p[:, None], "delta": delta}),
        ("compute_probabilities", {"delta": delta}),
        ("compute_consumer_surpluses", {"prices": p}),
    ):
        assert_same_answers(found, expected, order, name, arguments)
    costs, shares = 0.7 * p, rng.uniform(0.001, 0.01, N)
    for name, arguments in (
        ("compute_markups", {"prices": p, "costs": costs}),
        ("compute_profits", {"prices": p, "shares": shares, "costs": costs}),
        ("compute_profit_hessians", {"prices": p, "costs": costs}),
    ):
        assert_same_answers(found, expected, order, name, arguments)


@pytest.mark.parametrize(("kind", "seed"), PROBLEMS)
def test_owners_go_with_their_blocks(kind: str, seed: int) -> None:
    found, expected, order = pair(kind, seed)
    rng = np.random.default_rng(seed)
    ids = expected.problem.products.market_ids[:, 0]
    # Mixed kinds of names, and firms that some blocks do not have.
    firms = np.array([7, "b", 2.5, "a"], object)[rng.integers(0, 4, order.size)]
    firms[ids == ids.min()] = "alone"
    table = {"market_ids": ids, "firm_ids": firms}
    weights = blpdask.build_ownership(
        table, lambda f, g: 1.0 if f == g else 0.2 + 0.1 * (str(f) < str(g))
    )
    costs = 0.8 * expected.problem.products.prices[:, 0]
    names = ["compute_costs", "compute_passthrough", "compute_approximate_prices"]
    for name in [*names, *(["compute_prices"] if kind == "truth" else [])]:
        more = {"costs": costs} if name.endswith("prices") else {}
        for owners in ({"firm_ids": firms}, {"ownership": weights}):
            assert_same_answers(found, expected, order, name, {**owners, **more})
    for arguments in (
        {"firm_ids": firms},
        {"firm_ids": firms.tolist(), "shares": rng.uniform(0.001, 0.01, order.size)},
    ):
        own = {n: np.array(v, object)[order].tolist() for n, v in arguments.items()}
        answers = found.compute_hhi(**own), expected.compute_hhi(**arguments)
        assert distance(*answers) <= 1e-12


@pytest.mark.parametrize("seed", [1, 8, 103])
def test_a_merger_changes_prices_and_shares_follow(seed: int) -> None:
    found, expected, order = pair("truth", seed)
    firms = expected.problem.products.firm_ids[:, 0]
    merged = np.where(firms == 2, 1, firms)
    p = expected.compute_prices(firm_ids=merged)
    q = found.compute_prices(firm_ids=merged[order])
    assert np.isfinite(p).all()
    assert distance(q, p[order]) <= 1e-10
    assert distance(q, expected.problem.products.prices[order]) > 1e-4
    for more in (
        {"iteration": Iteration("simple", {"atol": 1e-11})},
        {"constant_costs": False},
        {"prices": 1.01 * p},
    ):
        arguments = {"firm_ids": merged, **more}
        assert_same_answers(found, expected, order, "compute_prices", arguments)
    moved = found.compute_shares(q), expected.compute_shares(p)[order]
    assert distance(*moved) <= 1e-10


@pytest.mark.parametrize("names", [None, ("Fiat", "Ford", "BMW", "Audi")])
@pytest.mark.parametrize("seed", [1, 103])
def test_a_whole_merger_is_that_of_memory(
    tmp_path: Any, monkeypatch: Any, seed: int, names: Any
) -> None:
    found, expected, order = pair("truth", seed)
    mergers: dict[Any, Any] = {2: 1}
    if names:
        table = at_truth(seed)[0]._with_instruments()
        firms = np.array(names, object)[table.firm_ids[:, 0].astype(int)]
        table = {n: table[n] for n in table.dtype.names} | {"firm_ids": firms}
        kind = type(at_truth(seed)[0])
        monkeypatch.setattr(kind, "_with_instruments", lambda self: table)
        found = truth_on_store(seed, str(tmp_path / "s"), 3)
        problem = at_truth(seed)[0].to_problem()
        truth = {n: getattr(expected, n) for n in TRUTH if getattr(expected, n).size}
        expected = quietly_solved(problem, **truth, **AT_POINT)
        mergers = {"BMW": "Ford"}
    one, other = (r.simulate_merger(mergers) for r in (found, expected))
    for name, value in other.summary().items():
        np.testing.assert_allclose(one.summary()[name], value, rtol=1e-9)
    for name in ("market_ids", "firm_ids", "new_firm_ids"):
        assert getattr(one, name).tolist() == getattr(other, name)[order].tolist()
    for name in ("prices", "new_prices", "shares", "new_shares", "costs"):
        assert distance(getattr(one, name), getattr(other, name)[order]) <= 1e-10
    for name in ("hhi", "new_hhi", "surpluses", "new_surpluses"):
        assert distance(getattr(one, name), getattr(other, name)) <= 1e-10
    assert distance(one.new_prices, one.prices) > 1e-4
    with pytest.raises(InputError, match="mergers of firms that own nothing"):
        found.simulate_merger({"nobody": "else"})


@pytest.mark.parametrize("seed", [1, 5])
def test_one_market_reads_one_block(monkeypatch: Any, seed: int) -> None:
    found, expected, _ = pair("truth", seed)
    read: list[int] = []
    economy = EconomyBlocks.economy

    def counted(self: EconomyBlocks, index: int, market_ids: Any) -> Any:
        read.append(index)
        return economy(self, index, market_ids)

    monkeypatch.setattr(EconomyBlocks, "economy", counted)
    ids = expected.problem.products.market_ids[:, 0]
    p = expected.problem.products.prices[:, 0]
    edges = found.problem.demand.economies().market_edges
    for block in range(4):
        t = int(edges[block + 1]) - 1
        market = np.unique(ids)[t]
        J = int((ids == market).sum())
        for name, arguments in ALL.items():
            read.clear()
            answer = ask(found, name, market_id=market, **arguments)
            other = ask(expected, name, market_id=market, **arguments)
            assert distance(answer, other) <= 1e-10, name
            assert read == [block]
        moved = 1.1 * p[ids == market]
        answers = (r.compute_shares(moved, market_id=market) for r in (found, expected))
        assert distance(*answers) <= 1e-12
        answers = (
            r.compute_prices([*"ab", *"c" * (J - 2)][:J], market_id=market)
            for r in (found, expected)
        )
        assert distance(*answers) <= 1e-10
        matrices = found.compute_elasticities(market_id=market)
        answers = (
            r.extract_diagonals(matrices, market_id=market) for r in (found, expected)
        )
        assert distance(*answers) == 0


def test_matrices_give_their_diagonals() -> None:
    found, expected, order = pair("supply", 4)
    for name in ("extract_diagonals", "extract_diagonal_means"):
        own = ask(found, name, matrices=found.compute_elasticities())
        other = ask(expected, name, matrices=expected.compute_elasticities())
        other = other if name.endswith("means") else other[order]
        assert distance(own, other) <= 1e-12
    with pytest.raises(InputError, match="stacked matrices of shape"):
        found.extract_diagonals(np.zeros((3, 3)))


def as_bits(results: Any, engine: Any) -> list[bytes]:
    """Ask everything on an engine."""
    p = 1.02 * results.problem_prices
    found = [
        ask(results, name, engine=engine, **arguments)
        for name, arguments in ASKED.items()
    ]
    found.append(results.compute_shares(p, engine=engine))
    return [answer.tobytes() for answer in found]


@pytest.mark.parametrize(("kind", "seed"), [("truth", 1), ("nests", 16)])
def test_engines_have_the_same_bits(kind: str, seed: int) -> None:
    found, expected, order = pair(kind, seed)
    found.problem_prices = expected.problem.products.prices[order]
    serial = as_bits(found, "serial")
    assert as_bits(found, "threads") == serial
    assert as_bits(found, None) == serial
    with cluster(2) as client:
        assert as_bits(found, client) == serial
        # An active client is found by itself, by questions without engine= too.
        assert distance(found.compute_hhi(), expected.compute_hhi()) <= 1e-12
        with pytest.raises(InputError, match="threads=2 with a Dask cluster"):
            found.compute_costs(engine=client, threads=2)


@pytest.mark.parametrize("blocks", [1, 40])
def test_cuts_do_not_matter(blocks: int) -> None:
    one, other = solved("truth", 1), solved("truth", 1, blocks)
    for name, arguments in ALL.items():
        answers = (ask(r, name, **arguments) for r in (one, other))
        assert distance(*answers) <= 1e-12, name


@pytest.mark.slow
def test_answers_survive_their_workers() -> None:
    found = solved("truth", 1, 40)
    expected = found.compute_prices(engine="serial")
    asked = 0
    with cluster(2) as client, Killer(client, every=6.0) as killer:
        while killer.deaths < 2 and asked < 100:
            np.testing.assert_array_equal(found.compute_prices(engine=client), expected)
            asked += 1
    assert killer.deaths >= 2


def test_agents_are_drawn_by_the_rule_of_the_store(tmp_path: Any) -> None:
    """The same nodes as data, drawn here, are answered in memory."""
    rule = Integration("monte_carlo", 30, {"seed": 2})
    with quietly():
        store = blpdask.simulate_store(
            tmp_path / "s",
            {**test_stored_supply.DESIGN, "n_markets": 20},
            seed=3,
            integration=rule,
            blocks=3,
        )
    formulas = (
        Formulation("0 + prices + x1 + x2", "C(product_ids)"),
        Formulation("0 + prices + I(x1 * prices)"),
        Formulation("1 + x1 + z1"),
    )
    table = pd.concat([store.read(block) for block in range(3)]).sort_index()
    drawn_here = draw_markets(rule.rule, 2, 2, range(20))
    ids = np.unique(table["market_ids"])[drawn_here.market_index]
    agents = pd.DataFrame(drawn_here.nodes, columns=["nodes0", "nodes1"])
    agents = agents.assign(market_ids=ids, weights=drawn_here.weights)
    arguments = {**test_stored_supply.COSTS, "check_optimality": "gradient"}
    found, expected = (
        quietly_solved(problem, **arguments)
        for problem in (
            blpdask.Problem(formulas, store),
            blpdask.Problem(formulas, table, None, agents),
        )
    )
    order = np.argsort(table["market_ids"].to_numpy(), kind="stable")
    for name, asked in ALL.items():
        assert_same_answers(found, expected, order, name, asked)


def plain_logit(path: Any, **options: Any) -> tuple[Any, Any, Any]:
    """Solve the plain logit of a table on a store and in memory."""
    rng = np.random.default_rng(0)
    sizes = rng.integers(1, 6, 30)
    N = int(sizes.sum())
    names = np.array(["m", "a", "z"])
    table = pd.DataFrame(
        {
            "market_ids": np.repeat(rng.permutation(30), sizes),
            "firm_ids": names[rng.integers(0, 3, N)],
            "product_ids": np.concatenate([np.arange(J) for J in sizes]),
            "shares": rng.uniform(0.01, 0.15, N),
            "prices": rng.uniform(1, 3, N),
            "x": rng.normal(size=N),
            "region": names[rng.integers(0, 3, N)],
            "demand_instruments0": rng.normal(size=N),
        }
    ).sample(frac=1, random_state=1)
    table["brand"] = [f"b{j}" for j in table.pop("product_ids")]
    table = table.rename(columns={"brand": "product_ids"}).reset_index(drop=True)
    for name in options.pop("without", ()):
        table = table.drop(columns=name)
    # Some blocks have not all regions.
    table.loc[table["market_ids"] < 12, "region"] = "a"
    for name, values in options.items():
        table[name] = values(table)
    formulation = Formulation("0 + prices + x", "C(region)")
    store = blpdask.build_store(path, table, blocks=5)
    found, expected = (
        blpdask.Problem(formulation, data).solve(method="1s") for data in (store, table)
    )
    return found, expected, np.argsort(table["market_ids"].to_numpy(), kind="stable")


def test_the_plain_logit_is_answered(tmp_path: Any) -> None:
    found, expected, order = plain_logit(tmp_path / "s")
    for name, arguments in ALL.items():
        assert_same_answers(found, expected, order, name, arguments)
    once = found.compute_consumer_surpluses(
        eliminate_product_ids=(one for one in ["b0", "b4"])
    )
    again = expected.compute_consumer_surpluses(eliminate_product_ids=["b0", "b4"])
    assert distance(once, again) <= 1e-12
    with pytest.raises(InputError, match=r"1 eliminate_product_ids .*\(c1\)"):
        found.compute_consumer_surpluses(eliminate_product_ids=["b1", "c1"])
    for market in (3, 29):
        answers = (
            results.compute_consumer_surpluses(
                eliminate_product_ids=["b0", "b4"], market_id=market
            )
            for results in (found, expected)
        )
        assert distance(*answers) <= 1e-12


def test_ownership_without_a_supply_side_says_who_sets_prices(tmp_path: Any) -> None:
    def column(k: int) -> Any:
        def values(table: Any) -> Any:
            sizes = table["market_ids"].map(table["market_ids"].value_counts())
            places = table.groupby("market_ids").cumcount()
            weights = np.where(places == k, 1.0, 0.3)
            return np.where(k < sizes, weights, np.nan)

        return values

    columns = {f"ownership{k}": column(k) for k in range(5)}
    found, expected, order = plain_logit(
        tmp_path / "s", without=["firm_ids"], **columns
    )
    for name in OF_FIRMS[:-1]:
        assert_same_answers(found, expected, order, name, {})
    with pytest.raises(InputError, match="no firm_ids in product_data"):
        found.compute_hhi()
    alone, _, _ = plain_logit(tmp_path / "t", without=["firm_ids"])
    with pytest.raises(InputError, match="neither firm_ids nor ownership"):
        alone.compute_costs()


def told(call: Any) -> list[Any]:
    """Give the warnings of a call."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call()
    return caught


@pytest.mark.parametrize("engine", ["serial", "threads"])
@pytest.mark.parametrize("one", [False, True])
def test_markets_that_fail_are_named_once(engine: str, one: bool) -> None:
    found, expected, order = pair("supply", 4)
    rng = np.random.default_rng(0)
    rows = order if not one else slice(None)
    firms = rng.integers(0, 2, order.size)
    arguments: dict[str, Any] = {
        "iteration": Iteration("simple", {"max_evaluations": 1, "atol": 1e-12})
    }
    ids = expected.problem.products.market_ids[:, 0]
    if one:
        arguments["market_id"] = ids.max()
        firms = firms[ids == ids.max()]
    (own,) = told(lambda: found.compute_prices(firms[rows], engine=engine, **arguments))
    (other,) = told(lambda: expected.compute_prices(firms, **arguments))
    assert own.category is other.category is NumericalWarning
    assert str(own.message) == str(other.message)
    assert own.filename == other.filename == __file__
    assert f"in {1 if one else found.problem.T} markets" in str(own.message)


WRONG: list[tuple[str, dict[str, Any]]] = [
    ("compute_elasticities", {"name": "nobody", "market_id": "nowhere"}),
    ("compute_demand_jacobians", {"name": None, "backend": "abacus"}),
    ("compute_shares", {"prices": [1.0, 2.0], "delta": "high", "market_id": -1}),
    ("compute_prices", {"firm_ids": [1], "costs": np.nan, "iteration": "simple"}),
    ("compute_costs", {"ownership": np.ones((3, 2)), "threads": 0}),
    ("compute_costs", {"engine": "steam"}),
    ("compute_hhi", {"firm_ids": [None], "shares": np.ones(3)}),
    ("compute_aggregate_elasticities", {"factor": 0, "name": "firm_ids"}),
    ("compute_delta", {"fp_type": "loose", "iteration": 3}),
    ("compute_consumer_surpluses", {"eliminate_product_ids": "b", "prices": [1]}),
    ("extract_diagonal_means", {"matrices": 1.0, "market_id": "nowhere"}),
]


@pytest.mark.parametrize(("name", "arguments"), WRONG)
def test_faults_are_those_of_memory(
    monkeypatch: Any, name: str, arguments: dict[str, Any]
) -> None:
    found, expected, _ = pair("supply", 4)
    with pytest.raises(InputError) as other:
        ask(expected, name, **arguments)
    monkeypatch.setattr(EconomyBlocks, "economy", None)
    with pytest.raises(InputError) as own:
        ask(found, name, **arguments)
    assert str(own.value) == str(other.value)


def test_weights_that_are_missing_are_said(monkeypatch: Any) -> None:
    found, expected, _ = pair("supply", 4)
    weights = np.full((found.problem.N, 9), np.nan)
    messages = []
    for results in (found, expected):
        with pytest.raises(InputError, match="missing weights") as caught:
            results.compute_costs(ownership=weights)
        messages.append(str(caught.value))
    assert messages[0] == messages[1]


def test_other_agents_are_refused(monkeypatch: Any) -> None:
    found, _, _ = pair("supply", 4)
    monkeypatch.setattr(EconomyBlocks, "economy", None)
    rule = Integration("product", 3)
    for name in ("compute_shares", "compute_probabilities", "compute_delta"):
        with pytest.raises(InputError) as caught:
            ask(found, name, agent_data={}, integration=rule)
        assert len(caught.value.faults) == 2
        assert "integration, of a problem whose data are in the store" in str(
            caught.value
        )


def test_what_blocks_cannot_answer_says_so(tmp_path: Any) -> None:
    found, _, _ = pair("supply", 4)
    for call in (
        lambda: found.bootstrap(2),
        found.compute_optimal_instruments,
        lambda: found.importance_sampling(5),
        lambda: found.delta_method(lambda at: at.compute_costs().mean()),
        lambda: found.estimated_economy("anything"),
    ):
        with pytest.raises(BlpdaskError, match="whose data are in the store"):
            call()
    found.save(tmp_path / "saved")
    with pytest.raises(BlpdaskError, match="results without their problem"):
        blpdask.read_results(tmp_path / "saved").compute_costs()


def test_every_array_that_results_compute_is_answered() -> None:
    """What is added to results is answered by blocks without more ado."""
    for floor in (DemandMethods, FirmMethods):
        for name, method in vars(floor).items():
            signature = inspect.signature(method) if callable(method) else None
            if not name.startswith("compute_") or signature is None:
                continue
            asked = getattr(StoredAnswers, name)
            by_blocks = asked is not method
            expected = (
                "market_id" in signature.parameters
                and signature.return_annotation == "Floats"
            )
            assert by_blocks == expected, name
            assert inspect.signature(asked) == signature
            assert getattr(blpdask.ProblemResults, name) is method


def test_a_solve_in_memory_answers_itself() -> None:
    _, expected, _ = pair("supply", 4)
    assert expected.compute_costs.__func__ is FirmMethods.compute_costs
    assert expected.compute_costs.__self__ is expected


def test_other_nodes_are_asked_after_a_solve_with_them() -> None:
    """What the refusal of other agents advises; shares of the data come back."""
    found, expected, order = pair("supply", 4)
    _, arguments, _ = drawn("supply", 4)
    rule = Integration("monte_carlo", 5, {"seed": 1})
    other = found.problem.with_agents(integration=rule)
    again = quietly_solved(other, **arguments)
    shares = expected.problem.products.shares[order]
    assert distance(again.compute_shares(), shares) <= 1e-10
    assert distance(again.delta, found.delta) > 1e-3


def test_plots_are_drawn(tmp_path: Any) -> None:
    pytest.importorskip("matplotlib").use("Agg")
    found, expected, _ = plain_logit(tmp_path / "s")
    axes = found.plot_elasticities(7)
    other = expected.plot_elasticities(7)
    labels = [
        [text.get_text() for text in ax.get_xticklabels()] for ax in (axes, other)
    ]
    assert labels[0] == labels[1] and labels[0][0].startswith("b")
    found.plot_diversion_ratios(7, long_run=True)
    found.plot_markups()
    found.plot_costs()


def test_answers_of_blocks_are_joined() -> None:
    rng = np.random.default_rng(0)
    parts = [rng.normal(size=(n, w, w)) for n, w in ((3, 2), (1, 4), (2, 1))]
    found = join(list(parts))
    assert found.shape == (6, 4, 4)
    for part, rows in zip(parts, (found[:3], found[3:4], found[4:]), strict=True):
        w = part.shape[1]
        np.testing.assert_array_equal(rows[:, :w, :w], part)
        assert np.isnan(rows).sum() == rows.size - part.size
