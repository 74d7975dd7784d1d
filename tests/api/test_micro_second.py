"""Second choices at the door: functions, formulas, groups, chunks, and what is refused.

What blocks hold is multiplied out and held against the user's own arrays, wherever
second choices remain once the first one's group is gone (1e-13).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import blpdask
from blpdask import MicroDataset, MicroMoment, MicroPart
from blpdask.api.micro_limits import read_limits
from blpdask.api.micro_tables import market_tables
from blpdask.problem.survey_arrays import SurveyLimits
from blpdask.records import MarketBlock
from tests.api import nevo
from tests.api.surveys import ones, says
from tests.problem.surveyed_second import expand_second

#: Whether the outside option may be first, and second.
SHAPES = [(False, False), (True, False), (False, True), (True, True)]
FIRM = 1


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blpdask.options, "verbose", False)


def problem(n_markets: int = 3, nests: Any = None) -> blpdask.Problem:
    """Nevo's, with firms among product_ids, and nests if given by firm."""
    products, agents = nevo.tables(n_markets)
    products = products[products["product_ids"] != products["product_ids"].iloc[2]]
    columns = {name: products[name].to_numpy() for name in products}
    own = columns.pop("product_ids")
    columns["product_ids0"] = own
    columns["product_ids1"] = columns["firm_ids"]
    if nests is not None:
        columns["nesting_ids"] = nests(columns["firm_ids"], own)
    return blpdask.Problem(
        (
            blpdask.Formulation("0 + prices"),
            blpdask.Formulation("1 + prices + sugar + mushy"),
        ),
        columns,
        blpdask.Formulation("0 + income + income_squared + age + child"),
        agents,
    )


def survey(
    problem: blpdask.Problem,
    moments: list[MicroMoment],
    blocks: int | None = None,
    limits: SurveyLimits | None = None,
) -> tuple[Any, list[MarketBlock], Any]:
    """Give blocks what moments ask of them."""
    micro = checked_two(problem, moments)
    parameters = problem.outline.lay_out(
        sigma=np.eye(4),
        pi=np.zeros((4, 4)),
        bounded=False,
        default_bounds=False,
        rho=np.full(problem.H, 0.3) if problem.H else None,
    )
    markets = market_tables(problem.demand, parameters, problem._agent_data)
    prepared = problem.demand.prepare(
        blocks, lambda found: micro.survey(found, markets, limits)
    )
    source = prepared.source
    return micro, [source.load(b) for b in range(len(source))], markets


def checked_two(problem: blpdask.Problem, moments: list[MicroMoment]) -> Any:
    """Check moments, where product_ids has two columns."""
    from blpdask.api.micro_setup import check_micro
    from blpdask.errors import Faults

    faults = Faults("solve")
    found = check_micro(moments, None, problem.outline.market_ids, 2, faults)
    faults.check()
    return found


def shaped(shape: tuple[bool, bool], function: Callable[..., Any]) -> Any:
    """Cut a function ``(I, 1 + J, 1 + J)`` of products and agents to a shape."""

    def compute(t: Any, p: Any, a: Any) -> Any:
        first, second = shape
        return function(p, a)[:, 1 - first :, 1 - second :]

    return compute


def choices(values: Any) -> Any:
    return np.r_[0.0, np.ravel(values)]


def characteristics(p: Any) -> Any:
    return choices(p.sugar), choices(p.prices)


def one(p: Any, a: Any) -> Any:
    return np.ones((a.size, 1 + p.size, 1 + p.size))


def by_agent(p: Any, a: Any) -> Any:
    return (1 + a.demographics[:, 2, None, None] ** 2) * one(p, a)


def by_table(p: Any, a: Any) -> Any:
    sugar, _ = characteristics(p)
    return 1 + np.abs(np.sin(np.add.outer(a.nodes[:, 0], sugar)))[:, :, None] * one(
        p, a
    )


def of_three(p: Any, a: Any) -> Any:
    sugar, prices = characteristics(p)
    return a.demographics[:, 0, None, None] * sugar[:, None] * prices * one(p, a)


def of_second(p: Any, a: Any) -> Any:
    """Give prices of second choices, and nothing sensible where they are the first."""
    _, prices = characteristics(p)
    return prices * one(p, a) + np.where(np.eye(1 + p.size), np.nan, 0.0)


def of_pairs(p: Any, a: Any) -> Any:
    sugar, prices = characteristics(p)
    pairs = np.cos(np.subtract.outer(sugar, prices))
    return a.demographics[:, 1, None, None] * pairs * one(p, a)


def of_tables(p: Any, a: Any) -> Any:
    sugar, prices = characteristics(p)
    first = np.sin(np.add.outer(a.nodes[:, 0], sugar))
    second = np.cos(np.add.outer(a.nodes[:, 1], prices))
    return first[:, :, None] * second[:, None, :]


def of_first_and_table(p: Any, a: Any) -> Any:
    sugar, prices = characteristics(p)
    second = np.cos(np.add.outer(a.nodes[:, 1], prices))
    return sugar[:, None] * second[:, None, :]


def whole(p: Any, a: Any) -> Any:
    sugar, prices = characteristics(p)
    sums = sugar[:, None] + prices
    return np.sin(a.nodes[:, 2, None, None] + sums)


VALUES = (of_three, of_second, of_pairs, of_tables, of_first_and_table, whole)
WEIGHTS = {"one": one, "by agent": by_agent, "by table": by_table}


def moments_of(
    shape: tuple[bool, bool], weights: Any, index: int | None, markets: Any = None
) -> list[MicroMoment]:
    """Two datasets, one of second choices and one of first ones."""
    compute = shaped(shape, weights)
    dataset = MicroDataset("second", 100, compute, index, markets)
    parts = [MicroPart(f.__name__, dataset, shaped(shape, f)) for f in VALUES]
    first = MicroPart("first", MicroDataset("d", 10, ones), ones)
    return [
        *[
            MicroMoment(part.name, 0.5, part, lambda v: v[0], lambda v: [1.0])
            for part in parts
        ],
        MicroMoment("first", 1.0, first),
    ]


def check_blocks(micro: Any, blocks: Any, markets: Any, index: int | None) -> None:
    """Multiply functions out and compare with the user's own arrays."""
    layout = micro.setup.targets.layout
    ours = [d for d in micro.datasets if d.name == "second"]
    assert len(ours) == 1
    parts = [p for p in micro.parts if p.dataset is ours[0]]
    for block in blocks:
        rows = block.surveys
        d = micro.datasets.index(ours[0])
        functions = expand_second(rows.functions, block)
        squares = expand_second(rows.squares, block)
        for t in range(block.n_markets):
            market = markets(block.first_market + t)
            J = market.n_products
            codes = np.arange(1 + J)
            if index is not None:
                ids = market.products.product_ids[:, index]
                codes[1:] = 1 + np.unique(ids, return_inverse=True)[1]
            kept = codes[:, None] != codes
            W = np.zeros((market.n_agents, 1 + J, 1 + J))
            v = [np.zeros_like(W) for _ in parts]
            inside = ours[0].market_ids
            if inside is None or market.market_id in inside:
                given = ours[0].compute_weights(
                    market.market_id, market.products, market.agents
                )
                own = (slice(None), *(slice(-n, None) for n in given.shape[1:]))
                W[own] = given
                for x, part in zip(v, parts, strict=True):
                    x[own] = part.compute_values(
                        market.market_id, market.products, market.agents
                    )
            W *= kept
            v = [np.where(W > 0, x, 0.0) for x in v]
            for place, part in enumerate(micro.parts):
                if part in parts:
                    expected = W * v[parts.index(part)]
                    close(functions[t][place], expected)
            close(functions[t][layout.n_parts + d], W)
            for place, (p, q) in enumerate(layout.pairs):
                if micro.parts[p] in parts:
                    x, y = (v[parts.index(micro.parts[r])] for r in (p, q))
                    close(squares[t][place], W * x * y)


def close(found: Any, expected: Any) -> None:
    np.testing.assert_allclose(found, expected, rtol=1e-13, atol=0)


@pytest.mark.parametrize("index", [None, FIRM])
@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("shape", SHAPES)
def test_blocks_hold_what_functions_give(
    shape: tuple[bool, bool], weights: str, index: int | None
) -> None:
    markets = None if weights == "one" else ["C01Q1", "C03Q1"]
    moments = moments_of(shape, WEIGHTS[weights], index, markets)
    for blocks in (1, 2):
        micro, found, tables = survey(problem(), moments, blocks)
        check_blocks(micro, found, tables, index)


def test_each_array_is_kept_as_small_as_it_can_be() -> None:
    moments = moments_of((True, True), one, None)
    micro, (block,), tables = survey(problem(), moments, 1)
    functions = block.surveys.functions
    assert micro.parts[0].name == "of_three"
    by_kind = [
        functions.choice_terms,
        functions.table_terms,
        functions.second_choice_terms,
        functions.second_table_terms,
        functions.pair_terms,
        functions.triple_terms,
    ]

    def kinds(place: int) -> list[int]:
        s = functions.shapes[place]
        return [int((terms[s] >= 0).sum()) for terms in by_kind]

    assert [kinds(place) for place in range(6)] == [
        [1, 0, 1, 0, 0, 0],
        [0, 0, 1, 0, 0, 0],
        [0, 0, 0, 0, 1, 0],
        [0, 1, 0, 1, 0, 0],
        [1, 0, 0, 1, 0, 0],
        [0, 0, 0, 0, 0, 1],
    ]
    assert len(functions.pairs) == len(functions.triples) == 1
    assert len(functions.tables) == 3
    assert len(functions.choices) == 2  # sugar and prices, first or second
    assert len(functions.agents) == 2  # income, and its square
    assert functions.triples is block.surveys.squares.triples
    firsts, last = functions.removals[functions.shapes[6]], functions.size - 1
    assert firsts == -1 and functions.removals[functions.shapes[last]] == -1
    own = [tables(t) for t in range(3)]
    for row, name in enumerate(("prices", "sugar")):
        column = np.concatenate([choices(market.products[name]) for market in own])
        np.testing.assert_array_equal(functions.choices[row], column)


@pytest.mark.parametrize("chunks", [3, 7, 100, {"C01Q2": 4}])
def test_chunks_of_agents_change_nothing(chunks: Any) -> None:
    sizes: list[tuple[Any, int]] = []

    def look(t: Any, p: Any, a: Any) -> Any:
        sizes.append((t, a.size))
        return by_table(p, a)

    moments = moments_of((True, True), one, FIRM)
    dataset = MicroDataset("looked", 10, look)
    looked = MicroPart("looked", dataset, lambda t, p, a: of_three(p, a))
    moments += [MicroMoment("looked", 1, looked, lambda v: v[0], lambda v: [1.0])]
    limits = SurveyLimits(chunks=chunks)
    _, (given,), _ = survey(problem(), moments, 1)
    sizes.clear()
    micro, (found,), tables = survey(problem(), moments, 1, limits)
    check_blocks(micro, [found], tables, FIRM)
    for name in ("functions", "squares"):
        a, b = (getattr(x.surveys, name) for x in (given, found))
        for x, y in zip(expand_second(a, given), expand_second(b, found), strict=True):
            close(x, y)
        for field in ("shapes", "choice_terms", "pair_terms", "triple_terms"):
            np.testing.assert_array_equal(getattr(a, field), getattr(b, field))
    n = dict.fromkeys(("C01Q1", "C01Q2", "C03Q1"), chunks)
    if isinstance(chunks, dict):
        n = {"C01Q1": 1, "C01Q2": 4, "C03Q1": 1}
    cut = [
        (t, part.size)
        for t, k in n.items()
        for part in np.array_split(np.arange(20), k)
        if part.size
    ]
    assert sizes == cut


def test_chunks_are_read_from_options(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blpdask.options, "micro_computation_chunks", {"a": 3})
    limits = read_limits()
    assert (limits.chunks_of("a"), limits.chunks_of("b")) == (3, 1)
    monkeypatch.setattr(blpdask.options, "micro_computation_chunks", {"a": 0})
    monkeypatch.setattr(blpdask.options, "micro_bytes", "all")
    says(read_limits, "2 faults", "micro_computation_chunks = {'a': 0}", "'all'")


def test_formulas_say_what_functions_say() -> None:
    """Whether they name second choices or not, conditional or not."""
    dataset = MicroDataset("second", 100, "inside * second(inside)")
    both = "inside * second(inside)"
    moments = [
        MicroMoment.mean("income * sugar * second(prices)", value=0, dataset=dataset),
        MicroMoment.covariance("prices", "second(prices)", value=0, dataset=dataset),
        MicroMoment.mean(
            "log(prices) * second(log(prices))", value=4, dataset=dataset, given=both
        ),
        MicroMoment.share("second(mushy)", value=0.4, dataset=dataset, given="mushy"),
    ]
    assert moments[1].name == "Cov(prices, second(prices))"
    micro, (block,), markets = survey(problem(), moments, 1)
    functions = expand_second(block.surveys.functions, block)
    names = [part.name for part in micro.parts]
    for t in range(3):
        market = markets(t)
        p, a = market.products, market.agents
        inside, (sugar, prices) = choices(p.prices**0), characteristics(p)
        mushy, logs = choices(p.mushy), choices(np.log(p.prices))
        W = np.outer(inside, inside) * (1 - np.eye(inside.size)) * one(p, a)
        expected = {
            "E[income * sugar * second(prices)]": a.demographics[:, 0, None, None]
            * np.outer(sugar, prices),
            "E[prices]": prices[:, None],
            "E[second(prices)]": prices,
            "E[prices * second(prices)]": np.outer(prices, prices),
            f"E[log(prices) * second(log(prices)) * {both}]": np.outer(logs, logs),
            f"E[{both}]": 1.0,
            "E[second(mushy) * mushy]": np.outer(mushy, mushy),
            "E[mushy]": mushy[:, None],
        }
        assert set(names) == set(expected)
        for place, name in enumerate(names):
            close(functions[t][place], W * expected[name])
        close(functions[t][-1], W)
    surveys = block.surveys.functions
    assert surveys.tables.size == surveys.pairs.size == surveys.triples.size == 0


def test_formulas_are_cut_where_they_are_large(monkeypatch: pytest.MonkeyPatch) -> None:
    from blpdask.problem import survey_pieces

    dataset = MicroDataset("second", 100, "second(1)")
    moments = [MicroMoment.mean("sugar * second(income)", value=0, dataset=dataset)]
    _, (given,), _ = survey(problem(), moments, 1)
    monkeypatch.setattr(survey_pieces, "_FORMULA_BYTES", 8 * 24**2)
    _, (found,), _ = survey(problem(), moments, 1)
    for x, y in zip(
        expand_second(given.surveys.functions, given),
        expand_second(found.surveys.functions, found),
        strict=True,
    ):
        np.testing.assert_array_equal(x, y)


def test_declared_moments_are_estimated_as_functions_are() -> None:
    """One objective, one gradient, one covariance of moments."""
    declared = MicroDataset("second", 100, "second(1)", FIRM)
    written = MicroDataset("second", 100, lambda t, p, a: one(p, a), FIRM)
    parts = [
        MicroPart(name, written, lambda t, p, a, f=f: f(p, a))
        for name, f in (("x", of_three), ("w", of_second))
    ]
    moments = (
        [
            MicroMoment.mean(
                "income * sugar * second(prices)", value=0, dataset=declared
            ),
            MicroMoment.mean("second(prices)", value=0.05, dataset=declared),
        ],
        [MicroMoment("x", 0.0, parts[0]), MicroMoment("w", 0.05, parts[1])],
    )
    a, b = (
        problem().solve(
            nevo.SIGMA,
            nevo.PI,
            method="1s",
            optimization=blpdask.Optimization("return"),
            micro_moments=own,
        )
        for own in moments
    )
    for name in ("objective", "gradient", "micro_values", "micro_covariances"):
        np.testing.assert_allclose(
            getattr(a, name), getattr(b, name), rtol=1e-11, err_msg=name
        )


# What is refused


def second(function: Any, values: Any = None, index: Any = None) -> list[MicroMoment]:
    dataset = MicroDataset("d", 10, function, index)
    values = function if values is None else values
    return [MicroMoment("m", 1.0, MicroPart("p", dataset, values), sum, lambda v: [1])]


def test_functions_that_are_no_products_may_be_too_large() -> None:
    moments = moments_of((True, True), one, None)
    says(
        lambda: survey(problem(), moments, 1, SurveyLimits(whole_bytes=1000)),
        "1 fault",
        "the micro part 'whole' on 'second'",
        "is no product",
        f"{3 * 20 * 24**2 * 8 / 2**20:.1f} MiB",
        "micro_bytes",
    )
    enough = SurveyLimits(whole_bytes=3 * 20 * 24**2 * 8)
    for blocks in (1, 3):
        survey(problem(), moments, blocks, enough)


def test_options_bound_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blpdask.options, "micro_bytes", 10)
    says(
        lambda: problem().solve(
            nevo.SIGMA, nevo.PI, micro_moments=moments_of((True, True), whole_one, None)
        ),
        "the micro dataset 'second'",
        "raise options.micro_bytes",
    )


def whole_one(p: Any, a: Any) -> Any:
    return 2 + whole(p, a)


def test_second_choices_are_asked_for_everywhere_or_nowhere() -> None:
    def sometimes(t: Any, p: Any, a: Any) -> Any:
        return one(p, a) if t == "C01Q2" else one(p, a)[:, 0]

    says(
        lambda: survey(problem(), second(sometimes)),
        "of shape (20, 24, 24) in market C01Q2, after others of first choices",
        "make two datasets",
    )


def test_all_agents_of_a_market_have_one_shape() -> None:
    def uneven(t: Any, p: Any, a: Any) -> Any:
        return one(p, a)[:, int(a.size < 7) :]

    says(
        lambda: survey(problem(), second(uneven), None, SurveyLimits(chunks=3)),
        "of shape (6, 23, 24) in market C01Q1",
        "one shape for all agents of a market",
    )


def test_formulas_of_second_choices_need_such_a_dataset() -> None:
    dataset = MicroDataset("d", 10, "inside")
    moment = MicroMoment.mean("second(prices)", value=0, dataset=dataset)
    says(
        lambda: survey(problem(), [moment]),
        "second(...) in the micro part 'E[second(prices)]' on 'd'",
        "'inside * second(inside)'",
    )
    for text in ("second(second(prices))", "second(prices, sugar)", "second()"):
        says(lambda text=text: MicroDataset("d", 10, text), "the call 'second(")
    lost = MicroMoment.mean("second(pricess)", value=0, dataset=dataset)
    says(lambda: survey(problem(), [lost]), "no column 'pricess'")


@pytest.mark.parametrize("shape", SHAPES)
def test_groups_are_parts_of_nests_or_unions_of_them(shape: tuple[bool, bool]) -> None:
    def check(nests: Any) -> None:
        moments = moments_of(shape, one, FIRM)
        micro, found, tables = survey(problem(3, nests), moments, 1)
        check_blocks(micro, found, tables, FIRM)

    check(lambda firms, own: firms)
    check(lambda firms, own: np.ones_like(firms))
    check(lambda firms, own: own)  # firms are unions of their products
    with pytest.raises(blpdask.errors.InputError) as caught:
        check(lambda firms, own: np.arange(firms.size) % 2)
    assert "groups of products of the micro dataset 'second', removed together" in str(
        caught.value
    )
    assert "overlap nests in market C01Q1" in str(caught.value)
    own = moments_of(shape, one, None)
    survey(problem(3, lambda firms, own: np.arange(firms.size) % 2), own, 1)


def test_solve_reads_chunks_from_options(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []

    def look(t: Any, p: Any, a: Any) -> Any:
        sizes.append(a.size)
        return one(p, a)

    monkeypatch.setattr(blpdask.options, "micro_computation_chunks", 3)
    problem().solve(
        nevo.SIGMA,
        nevo.PI,
        method="1s",
        optimization=blpdask.Optimization("return"),
        micro_moments=second(look, lambda t, p, a: of_three(p, a)),
    )
    assert sizes == [7, 7, 6] * 3
