"""Blocks of a store with what surveys ask of them: as in memory, and light to send.

Invariants: tables that functions see are those of the same data in memory, field by
field; so is what blocks hold; sources of one content have one name, and what is kept is
one source's own; functions are called once a market while there is room; every fault of
functions is raised at once, as in memory.
"""

from __future__ import annotations

import pickle
import threading
from typing import Any

import numpy as np
import pandas as pd
import pytest

import blpdask
from blpdask import MicroDataset, MicroMoment, MicroPart
from blpdask.api.micro_tables import market_tables
from blpdask.driver.dask_engine import DaskEngine
from blpdask.driver.serial import SerialEngine
from blpdask.driver.threads import ThreadsEngine
from blpdask.errors import InputError
from blpdask.partitions.residency import RESIDENT
from blpdask.problem import stored_blocks
from blpdask.problem.stored_survey_tables import AgentFields
from blpdask.problem.stored_surveys import StoredSurveys, SurveyedBlocks
from blpdask.problem.survey_arrays import SurveyLimits
from blpdask.problem.survey_findings import survey_bytes
from blpdask.problem.survey_inspection import inspect_blocks
from blpdask.progress import silent
from blpdask.records import ChoiceFunctions
from tests.api.surveys import ones
from tests.api.test_micro_second import checked_two

MARKETS = 11


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blpdask.options, "verbose", False)


def tables(*, integer_ids: bool = False, rich: bool = True) -> tuple[Any, Any]:
    """Make products and agents, shuffled, with all that tables can have."""
    rng = np.random.default_rng(5)
    sizes = rng.integers(2, 5, MARKETS)
    ids: Any = np.arange(MARKETS) * 3 if integer_ids else np.array(list("abcdefghijk"))
    markets = np.repeat(ids, sizes)
    n = markets.size
    products: dict[str, Any] = {
        "market_ids": markets,
        "shares": rng.uniform(0.05, 0.15, n),
        "prices": rng.uniform(1, 3, n),
        "x": rng.integers(0, 4, n),
        "w": rng.normal(size=n),
        "firm_ids": rng.choice(["Ayr", "Bath", "Ely"], n),
        "clustering_ids": rng.integers(0, 4, n),
        "product_ids0": np.concatenate([np.arange(size) for size in sizes]),
        "product_ids1": rng.choice(["new", "old"], n),
        "demand_instruments0": rng.normal(size=n),
        "demand_instruments1": rng.normal(size=n),
        "supply_instruments0": rng.normal(size=n),
    }
    people = np.repeat(ids, 6)
    agents: dict[str, Any] = {
        "market_ids": people,
        "agent_ids": [f"person {i}" for i in range(people.size)],
        "weights": 1 / 6,
        "nodes0": rng.normal(size=people.size),
        "nodes1": rng.normal(size=people.size),
        "income": rng.normal(size=people.size),
    }
    if rich:
        products["nesting_ids"] = rng.integers(0, 2, n)
        for j in range(4):
            agents[f"distance{j}"] = rng.uniform(size=people.size)
            agents[f"availability{j}"] = rng.uniform(0.5, 1, people.size)
        agents["type_ids"] = rng.choice(["poor", "rich"], people.size)
    found = pd.DataFrame(products), pd.DataFrame(agents)
    shuffled = [one.sample(frac=1, random_state=2) for one in found]
    return shuffled[0].reset_index(drop=True), shuffled[1].reset_index(drop=True)


def problems(
    path: Any,
    data: tuple[Any, Any],
    *,
    absorb: str | None = None,
    rich: bool = True,
    integration: Any = None,
) -> tuple[Any, Any]:
    """Build a problem in memory, and on a store of four blocks."""
    formulations = (
        blpdask.Formulation("1 + prices + x", absorb),
        blpdask.Formulation("1 + prices + I(x ** 2)"),
        blpdask.Formulation("1 + x + w", absorb),
    )
    people = blpdask.Formulation("0 + income + distance" if rich else "0 + income")
    arguments: dict[str, Any] = {"epsilon_scale": 1.0 if rich else 0.7}
    if rich:
        arguments.pop("epsilon_scale")
    held = blpdask.Problem(
        formulations, data[0], people, data[1], integration, **arguments
    )
    store = blpdask.build_store(path, *data, blocks=4)
    stored = blpdask.Problem(
        formulations, store, people, integration=integration, **arguments
    )
    return held, stored


def laid_out(problem: Any) -> Any:
    """Lay parameters out: Σ is diagonal, without an entry of its first column."""
    outline = problem.outline
    beta = [-1.0 if "prices" in c.names else None for c in outline.X1_columns]
    return outline.lay_out(
        sigma=np.diag([0.0, 1.0, float(outline.n_node_columns > 1)]),
        pi=np.zeros((problem.K2, problem.D)),
        rho=np.full(problem.H, 0.2) if problem.H else None,
        beta=beta,
        bounded=False,
        default_bounds=False,
    )


def fields_of(problem: Any) -> AgentFields:
    outline = problem.outline
    return AgentFields(
        n_nodes=outline.n_node_columns,
        K2=problem.K2,
        node_columns=tuple(laid_out(problem).node_columns),
        demographics=tuple(column.name for column in outline.agent_columns),
        type_ids=outline.type_ids,
    )


def source_of(problem: Any, moments: Any, **limits: Any) -> SurveyedBlocks:
    """Give the blocks of a problem on a store with what moments ask."""
    problem.demand.prepare(SerialEngine())
    questions = checked_two(problem, moments).questions(SurveyLimits(**limits))
    return problem.demand.surveyed(StoredSurveys(questions, fields_of(problem)))


def seen_on_store(problem: Any, engine: Any = None) -> dict[Any, tuple[Any, Any]]:
    """Collect the tables that a function sees."""
    seen: dict[Any, tuple[Any, Any]] = {}

    def look(t: Any, products: Any, agents: Any) -> Any:
        seen[t] = products, agents
        return ones(t, products, agents)

    part = MicroPart("p", MicroDataset("d", 10, look), ones)
    source = source_of(problem, [MicroMoment("m", 1, part)])
    inspect_blocks(source, engine or SerialEngine(), silent)
    return seen


@pytest.mark.parametrize("rich", [False, True])
@pytest.mark.parametrize("integer_ids", [False, True])
def test_tables_are_those_in_memory(
    tmp_path: Any, rich: bool, integer_ids: bool
) -> None:
    data = tables(integer_ids=integer_ids, rich=rich)
    held, stored = problems(tmp_path / "s", data, rich=rich)
    seen = seen_on_store(stored)
    markets = market_tables(held.demand, laid_out(held), held._agent_data)
    assert list(seen) == held.unique_market_ids.tolist()
    for t, market_id in enumerate(held.unique_market_ids):
        expected = markets(t)
        for found, table in zip(
            seen[market_id], (expected.products, expected.agents), strict=True
        ):
            assert found.dtype == table.dtype
            for name in table.dtype.names:
                one, other = found[name], table[name]
                assert one.shape == other.shape, name
                if name in ("ZD", "ZS", "X1", "X3"):
                    np.testing.assert_allclose(one, other, rtol=1e-14, atol=1e-14)
                else:
                    assert (one == other).all(), name
                if one.dtype == object and one.size:
                    assert type(one.flat[0]) is type(other.flat[0]), name


def test_nodes_of_rules_are_spread_over_columns_of_sigma(tmp_path: Any) -> None:
    """On a store each market draws from a stream of its own."""
    data = tables(rich=False)
    rule = blpdask.Integration("halton", 5, {"seed": 1})
    _, stored = problems(tmp_path / "s", data, rich=False, integration=rule)
    seen = seen_on_store(stored)
    source = stored.prepare(SerialEngine(), silent).source
    block = source.load(1)
    for t in range(block.n_markets):
        market_id = stored.unique_market_ids[block.first_market + t]
        agents = seen[market_id][1]
        rows = slice(*block.agent_offsets[t : t + 2])
        np.testing.assert_array_equal(agents.nodes, block.draws[rows, :3])
        np.testing.assert_array_equal(agents.demographics, block.draws[rows, 3:])
        assert agents.agent_ids.shape == (5, 0)
    two = pd.DataFrame(data[1]).drop(columns=["nodes1"])
    held, stored = problems(tmp_path / "t", (data[0], two), rich=False)
    assert fields_of(stored).node_columns == (1,)
    nodes = seen_on_store(stored)["c"][1].nodes
    given = two[two["market_ids"] == "c"]["nodes0"]
    np.testing.assert_array_equal(nodes[:, 1], given)
    np.testing.assert_array_equal(nodes[:, [0, 2]], 0.0)
    del held


def test_absorbed_effects_leave_instruments_and_no_x1_or_x3(tmp_path: Any) -> None:
    held, stored = problems(tmp_path / "s", tables(), absorb="C(clustering_ids)")
    seen = seen_on_store(stored)
    markets = market_tables(held.demand, laid_out(held), held._agent_data)
    for t, market_id in enumerate(held.unique_market_ids):
        found, expected = seen[market_id][0], markets(t).products
        for name in ("ZD", "ZS", "X2"):
            np.testing.assert_allclose(
                found[name], expected[name], rtol=1e-10, atol=1e-12
            )
        left_out = set(expected.dtype.names) - set(found.dtype.names)
        assert left_out == {"X1", "X3"}
    part = MicroPart("p", MicroDataset("d", 10, ones), lambda t, p, a: p.X1)
    source = source_of(stored, [MicroMoment("m", 1, part)])
    with pytest.raises(InputError, match="recarray has no attribute X1"):
        inspect_blocks(source, SerialEngine(), silent)


def moments() -> list[MicroMoment]:
    """First and second choices, functions and formulas, one part alone in a dataset."""
    everyone = MicroDataset("everyone", 500, ones)
    buyers = MicroDataset(
        "buyers", 100, lambda t, p, a: np.ones((a.size, p.size)), None, ["b", "g"]
    )
    rivals = MicroDataset("rivals", 50, "inside * second(inside)", 1)
    prices = MicroPart(
        "p", buyers, lambda t, p, a: np.outer(a.nodes[:, 1], p.prices[:, 0])
    )
    strange = MicroPart(
        "q",
        everyone,
        lambda t, p, a: np.cos(np.add.outer(a.nodes[:, 1], np.r_[0, p.X2[:, 1]])),
    )
    return [
        MicroMoment.mean("income", value=0.1, dataset=everyone, given="inside"),
        MicroMoment("p", 0.1, prices),
        MicroMoment("q", 0.5, strange),
        MicroMoment.mean("x * second(prices)", value=1, dataset=rivals),
        MicroMoment.covariance("x", "second(x)", value=0, dataset=rivals),
    ]


@pytest.mark.parametrize("rich", [False, True])
def test_blocks_hold_what_they_hold_in_memory(tmp_path: Any, rich: bool) -> None:
    data = tables(rich=rich)
    data[0]["product_ids1"] = data[0].get("nesting_ids", data[0]["firm_ids"])
    held, stored = problems(tmp_path / "s", data, rich=rich)
    source = source_of(stored, moments())
    found = inspect_blocks(source, SerialEngine(), silent)
    micro = checked_two(stored, moments())
    markets = market_tables(held.demand, laid_out(held), held._agent_data)
    expected = held.demand.prepare(4, lambda b: micro.survey(b, markets)).source
    assert len(source) == len(expected) == 4
    for index in range(4):
        one, other = source.load(index), expected.load(index)
        assert one.surveys is not None
        assert survey_bytes(one.surveys) == found.sizes[index]
        for kind in ("functions", "squares"):
            a, b = getattr(one.surveys, kind), getattr(other.surveys, kind)
            for name in ChoiceFunctions.__dataclass_fields__:
                np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
    spread = found.spreads[[part.name for part in micro.parts].index("p")]
    own = [m for m in map(markets, range(MARKETS)) if m.market_id in ("b", "g")]
    values = [np.outer(m.agents.nodes[:, 1], m.products.prices) for m in own]
    assert spread.low == min(v.min() for v in values)
    assert spread.high == max(v.max() for v in values)


def test_functions_are_called_once_a_market_while_there_is_room(
    tmp_path: Any, monkeypatch: Any
) -> None:
    _, stored = problems(tmp_path / "s", tables())
    calls: list[Any] = []
    lock = threading.Lock()

    def look(t: Any, p: Any, a: Any) -> Any:
        with lock:
            calls.append(t)
        return ones(t, p, a)

    part = MicroPart("p", MicroDataset("d", 10, look), ones)
    source = source_of(stored, [MicroMoment("m", 1, part)])
    found = inspect_blocks(source, ThreadsEngine(2), silent)
    sized = source.sized(found.sizes)
    first = [source.load(b) for b in range(4)]
    assert sorted(calls) == list("abcdefghijk")
    assert all(sized.load(b) is first[b] for b in range(4))
    plain = stored.prepare(SerialEngine(), silent).source
    added = [sized.size(b) - plain.size(b) for b in range(4)]
    assert added == found.sizes.tolist() and min(added) > 0
    monkeypatch.setattr(RESIDENT, "budget", 0)
    RESIDENT.drop(lambda owner: True)
    again = [sized.load(b) for b in range(4)]
    assert len(calls) == 2 * MARKETS
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(
            one.surveys.functions.agents, other.surveys.functions.agents
        )


def test_names_are_of_contents_and_what_is_kept_is_a_sources_own(
    tmp_path: Any,
) -> None:
    """A function may read what changes where no digest sees it."""
    _, stored = problems(tmp_path / "s", tables())
    scale = {"value": 1.0}

    def weights(t: Any, p: Any, a: Any) -> Any:
        return scale["value"] * ones(t, p, a)

    def source() -> SurveyedBlocks:
        part = MicroPart("p", MicroDataset("d", 10, weights), ones)
        return source_of(stored, [MicroMoment("m", 1, part)])

    one, other = source(), source()
    assert one.name == other.name
    assert one.name != source_of(stored, moments()).name
    before = one.load(0).surveys
    scale["value"] = 2.0
    after = other.load(0).surveys
    assert before is not None and after is not None
    assert not np.array_equal(before.functions.agents, after.functions.agents)
    assert one.load(0).surveys is before


def test_sources_travel_light_and_load_the_same_blocks(
    tmp_path: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr(stored_blocks, "CARRIED_BYTES", 100)
    _, stored = problems(tmp_path / "s", tables(), absorb="C(clustering_ids)")
    survey = MicroDataset("everyone", 500, "1")
    asked = [MicroMoment.mean("income * x", value=0.1, dataset=survey)]
    source = source_of(stored, asked)
    inspect_blocks(source, SerialEngine(), silent)
    sent = pickle.dumps(source.only([1]))
    assert len(sent) < 16 * 1024
    copy = pickle.loads(sent)
    RESIDENT.drop(lambda owner: owner == source._owner)
    one, other = source.load(1), copy.load(1)
    assert one is other  # what one process holds is shared
    RESIDENT.drop(lambda owner: owner == source._owner)
    again = copy.load(1)
    np.testing.assert_array_equal(one.ZD, again.ZD)
    np.testing.assert_array_equal(
        one.surveys.functions.choices, again.surveys.functions.choices
    )
    assert one.linear is not None and again.linear is not None
    np.testing.assert_array_equal(one.linear().rows, again.linear().rows)


# What is wrong with functions


def weighted(function: Any) -> MicroMoment:
    return MicroMoment("m", 1, MicroPart("p", MicroDataset("d", 10, function), ones))


def valued(function: Any) -> MicroMoment:
    part = MicroPart("p", MicroDataset("d", 10, ones), function)
    return MicroMoment("m", 1, part)


def mixed(t: Any, p: Any, a: Any) -> Any:
    first = ones(t, p, a)
    return first if t < "f" else np.repeat(first[:, :, None], 1 + p.size, axis=2)


@pytest.mark.parametrize(
    ("moment", "words"),
    [
        (
            weighted(lambda t, p, a: 0 * ones(t, p, a)),
            ("weights of the micro dataset 'd' that are all zero",),
        ),
        (
            weighted(lambda t, p, a: np.ones(p.size)),
            ("the micro dataset 'd' of shape", "in market a"),
        ),
        (
            valued(lambda t, p, a: np.ones((a.size, p.size))),
            ("values of the micro part 'p' on 'd' of shape", "in market a"),
        ),
        (
            valued(lambda t, p, a: {"a": ones(t, p, a)}[t]),
            ("KeyError in compute_values of the micro part 'p' on 'd' in market b",),
        ),
        (
            MicroMoment("m", 1, MicroPart("p", MicroDataset("d", 10, mixed), mixed)),
            ("of first choices in some markets", "make two datasets"),
        ),
        (weighted("log(prices)"), ("weights", "not finite", "in market a")),
    ],
)
@pytest.mark.parametrize("engine", [SerialEngine(), ThreadsEngine(2)])
def test_faults_are_raised_as_in_memory(
    tmp_path: Any, moment: MicroMoment, words: tuple[str, ...], engine: Any
) -> None:
    held, stored = problems(tmp_path / "s", tables())
    source = source_of(stored, [moment])
    with pytest.raises(InputError) as caught:
        inspect_blocks(source, engine, silent)
    for word in words:
        assert word in str(caught.value)
    assert len(caught.value.faults) == 1
    if "of first choices in some" in words[0]:
        return
    micro = checked_two(held, [moment])
    markets = market_tables(held.demand, laid_out(held), held._agent_data)
    with pytest.raises(InputError) as expected:
        held.demand.prepare(4, lambda blocks: micro.survey(blocks, markets))
    assert caught.value.faults == expected.value.faults


def test_all_faults_of_all_functions_are_raised_together(tmp_path: Any) -> None:
    """Of each function the first block's, with the first error's traceback."""
    _, stored = problems(tmp_path / "s", tables())

    def late(t: Any, p: Any, a: Any) -> Any:
        if t == "k":
            raise RuntimeError("too late")
        return ones(t, p, a)

    asked = [
        MicroMoment("m", 1, MicroPart("p", MicroDataset("d", 10, late), ones)),
        MicroMoment(
            "n",
            1,
            MicroPart("q", MicroDataset("e", 10, ones), lambda t, p, a: np.nan),
        ),
    ]
    source = source_of(stored, asked)
    with pytest.raises(InputError, match="2 faults") as caught:
        inspect_blocks(source, SerialEngine(), silent)
    assert "too late" in str(caught.value)
    (note,) = caught.value.__notes__
    assert "Traceback" in note and "in late" in note
    with pytest.raises(InputError, match="RuntimeError in compute_weights"):
        source.load(3)
    names = [MicroMoment.mean("y * z", value=0, dataset=MicroDataset("d", 10, "1"))]
    with pytest.raises(InputError, match="2 faults") as caught:
        inspect_blocks(source_of(stored, names), SerialEngine(), silent)
    assert "no column 'y'" in str(caught.value)
    assert "no column 'z'" in str(caught.value)


def test_functions_that_cannot_be_sent_are_named(tmp_path: Any) -> None:
    _, stored = problems(tmp_path / "s", tables())
    lock = threading.Lock()

    def locked(t: Any, p: Any, a: Any) -> Any:
        with lock:
            return ones(t, p, a)

    source = source_of(stored, [weighted(locked)])
    inspect_blocks(source, ThreadsEngine(2), silent)
    with pytest.raises(InputError) as caught:
        inspect_blocks(source, DaskEngine(None), silent)
    assert "compute_weights of the micro dataset 'd' that cannot be sent" in str(
        caught.value
    )
    assert "or use engine='threads'" in str(caught.value)
