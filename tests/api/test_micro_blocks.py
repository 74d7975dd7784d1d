"""What blocks are told of micro moments, and what functions may not give.

Functions are held against the user's own arrays, multiplied out (1e-15), and their
means, at PyBLP's δ, against PyBLP's micro values.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest

import blpdask
from blpdask import MicroDataset, MicroMoment, MicroPart
from blpdask.api.micro_tables import market_tables
from blpdask.errors import DataWarning
from blpdask.moments.surveys import SurveySums, micro_values
from tests.api import nevo
from tests.api.surveys import (
    PART,
    SURVEY,
    check_blocks,
    checked,
    moments_of,
    ones,
    says,
    survey,
)
from tests.problem.surveyed import expand

pyblp = pytest.importorskip("pyblp")


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blpdask.options, "verbose", False)
    monkeypatch.setattr(pyblp.options, "verbose", False)


@pytest.mark.parametrize("blocks", [1, 2, 4])
def test_blocks_hold_what_functions_give(blocks: int) -> None:
    problem = nevo.problem(blpdask, 4)
    micro, found, markets = survey(problem, moments_of(blpdask), blocks)
    assert len(found) == blocks
    check_blocks(micro, found, markets)


def test_demographics_by_product_and_availability() -> None:
    products, agents = nevo.tables(3)
    rng = np.random.default_rng(0)
    products = products[products["product_ids"] != products["product_ids"].iloc[1]]
    agents = agents.copy()
    most = products["market_ids"].value_counts().max()
    for j in range(most):
        agents[f"distance{j}"] = rng.uniform(size=len(agents))
        agents[f"availability{j}"] = rng.integers(0, 2, len(agents))
    agents["agent_ids"] = np.arange(len(agents))
    seen: list[tuple[Any, ...]] = []

    def look(t: Any, p: Any, a: Any) -> Any:
        shapes = (a.demographics.shape, a.availability.shape, a.agent_ids.shape)
        seen.append((t, p.size, a.size, *shapes))
        return np.ones((a.size, p.size))

    dataset = MicroDataset("d", 10, look)
    distances = MicroPart("distance", dataset, lambda t, p, a: a.demographics[:, 1])
    problem = blpdask.Problem(
        (
            blpdask.Formulation("0 + prices", absorb="C(product_ids)"),
            blpdask.Formulation("1 + prices + sugar + mushy"),
        ),
        products,
        blpdask.Formulation("0 + income + distance"),
        agents,
    )
    micro, found, markets = survey(problem, [MicroMoment("m", 0.5, distances)])
    check_blocks(micro, found, markets)
    for _, J, n, demographics, availability, ids in seen:
        assert demographics == (n, 2, J)
        assert availability == (n, J) and ids == (n, 1)
    by_formula = MicroMoment.mean("distance", value=0.5, dataset=dataset, name="m")
    _, formula, _ = survey(problem, [by_formula])
    for a, b in zip(found, formula, strict=True):
        for x, y in zip(
            expand(a.surveys.functions, a), expand(b.surveys.functions, b), strict=True
        ):
            np.testing.assert_array_equal(x, y)


def test_tables_have_pyblps_fields() -> None:
    """With its shapes, types and numbers, market by market."""
    ours, theirs = nevo.problem(blpdask, 3), nevo.problem(pyblp, 3)
    parameters = ours.outline.lay_out(
        sigma=nevo.SIGMA, pi=nevo.PI, bounded=False, default_bounds=False
    )
    markets = market_tables(ours.demand, parameters, ours._agent_data)
    for t, market_id in enumerate(ours.unique_market_ids):
        market = markets(t)
        assert market.market_id == market_id
        for table, own in (
            (theirs.products, market.products),
            (theirs.agents, market.agents),
        ):
            expected = table[table.market_ids.flatten() == market_id]
            for name in expected.dtype.names:
                if name == "demand_ids":
                    continue
                assert own[name].shape == expected[name].shape, name
                assert own[name].dtype == expected[name].dtype, name
                if own[name].dtype == object or not own[name].size:
                    assert (own[name] == expected[name]).all(), name
                else:
                    np.testing.assert_allclose(
                        own[name], expected[name], rtol=0, atol=1e-13, err_msg=name
                    )
            assert (own.prices if "prices" in own.dtype.names else own.nodes).size


def test_nodes_are_spread_over_the_columns_of_sigma() -> None:
    products, agents = nevo.tables(3)
    problem = blpdask.Problem(
        (
            blpdask.Formulation("0 + prices", absorb="C(product_ids)"),
            blpdask.Formulation("1 + prices + sugar + mushy"),
        ),
        products,
        blpdask.Formulation("0 + income"),
        agents.drop(columns=["nodes2", "nodes3"]),
    )
    parameters = problem.outline.lay_out(
        sigma=np.diag([0, 1.0, 0, 2.0]),
        pi=np.zeros((4, 1)),
        bounded=False,
        default_bounds=False,
    )
    own = market_tables(problem.demand, parameters, None)(0).agents
    given = agents[agents["market_ids"] == problem.unique_market_ids[0]]
    np.testing.assert_array_equal(own.nodes[:, [1, 3]], given[["nodes0", "nodes1"]])
    np.testing.assert_array_equal(own.nodes[:, [0, 2]], 0.0)


def test_functions_are_called_once_a_market_and_only_where_the_survey_is() -> None:
    calls: list[Any] = []

    def look(t: Any, p: Any, a: Any) -> Any:
        calls.append(t)
        return ones(t, p, a)

    problem = nevo.problem(blpdask, 4)
    ids = problem.unique_market_ids
    dataset = MicroDataset("d", 10, look, market_ids=ids[[0, 3]])
    moments = [
        MicroMoment(str(i), 1, MicroPart(str(i), dataset, ones)) for i in range(3)
    ]
    survey(problem, moments)
    assert calls == [ids[0], ids[3]]


@pytest.mark.parametrize("blocks", [1, 3])
def test_means_at_pyblps_delta_are_pyblps(blocks: int) -> None:
    """At given θ: P from δ and μ by plain NumPy, functions multiplied out."""
    theirs = nevo.problem(pyblp, 4).solve(
        nevo.SIGMA,
        nevo.PI,
        method="1s",
        optimization=pyblp.Optimization("return"),
        micro_moments=moments_of(pyblp),
        check_optimality="gradient",
    )
    ours = nevo.problem(blpdask, 4)
    micro, found, markets = survey(ours, moments_of(blpdask), blocks)
    delta = theirs.delta[np.argsort(ours.demand.products.market_codes, kind="stable")]
    size, n_squares = found[0].surveys.functions.size, found[0].surveys.squares.size
    sums, squares, place = np.zeros(size), np.zeros(n_squares), 0
    for block in found:
        functions = expand(block.surveys.functions, block)
        pairs = expand(block.surveys.squares, block)
        for t in range(block.n_markets):
            market = markets(block.first_market + t)
            J, agents = market.products.size, market.agents
            taste = agents.nodes @ nevo.SIGMA.T + agents.demographics @ nevo.PI.T
            u = np.exp(delta[place : place + J, 0] + taste @ market.products.X2.T)
            u = np.hstack([np.ones((agents.size, 1)), u])
            P = agents.weights * u / u.sum(axis=1, keepdims=True)
            sums += (functions[t] * P).sum(axis=(1, 2))
            squares += (pairs[t] * P).sum(axis=(1, 2))
            place += J
    targets = micro.setup.targets
    values = micro_values(targets, SurveySums(sums, np.zeros((size, 0))))
    np.testing.assert_allclose(values.values, theirs.micro_values[:, 0], rtol=1e-12)
    from blpdask.moments.surveys import micro_covariances

    covariances = micro_covariances(targets, values, squares)
    np.testing.assert_allclose(covariances, theirs.micro_covariances, rtol=1e-9)


# What is wrong with functions


def moment(function: Any, dataset: Any = SURVEY, value: float = 1.0) -> MicroMoment:
    return MicroMoment("m", value, MicroPart("p", dataset, function))


def weighted(function: Any) -> MicroMoment:
    return moment(ones, MicroDataset("d", 10, function))


def nan_at_first(t: Any, p: Any, a: Any) -> Any:
    values = ones(t, p, a)
    values[0, 0] = np.nan
    return values


@pytest.mark.parametrize(
    ("moment", "parts"),
    [
        (
            weighted(lambda t, p, a: np.ones(p.size)),
            ("the micro dataset 'd' of shape (24,) in market C01Q1", "(20, 24)"),
        ),
        (weighted(lambda t, p, a: -ones(t, p, a)), ("500 weights", "negative")),
        (weighted(lambda t, p, a: 0 * ones(t, p, a)), ("all zero",)),
        (weighted(nan_at_first), ("1 weights", "not finite")),
        (
            weighted(lambda t, p, a: np.ones((a.size, p.size, 2 + p.size))),
            ("of shape (20, 24, 26) in market C01Q1", "for second choices"),
        ),
        (
            weighted(lambda t, p, a: p.nothing),
            ("AttributeError in compute_weights of the micro dataset 'd'", "C01Q1"),
        ),
        (weighted(lambda t, p, a: "many"), ("ValueError in compute_weights",)),
        (
            moment(lambda t, p, a: np.ones((a.size, p.size))),
            ("values of the micro part 'p' on 'survey' of shape (20, 24)", "(20, 25)"),
        ),
        (moment(nan_at_first), ("1 values", "not finite")),
        (moment(lambda t, p, a: 1 / 0), ("ZeroDivisionError in compute_values",)),
        (moment("log(prices)"), ("20 values", "given 'inside'")),
        (moment("sugars"), ("no column 'sugars' for the micro part 'p'", "sugar")),
        (moment(ones, value=1.5), ("value=1.5", "between 1 and 1")),
        (
            MicroMoment.mean("mushy", value=-0.5, dataset=SURVEY, given="inside"),
            ("value=-0.5", "between 0 and 1", "the model's mean"),
        ),
        (
            MicroMoment.correlation("income", "prices", value=2, dataset=SURVEY),
            ("value=2", "between -1 and 1"),
        ),
        (
            MicroMoment.mean("age", value=0, dataset=SURVEY, given="mushy - mushy"),
            ("a condition that holds nowhere in the micro moment 'E[age | mushy",),
        ),
        (
            MicroMoment.covariance("age", "age", value=-1, dataset=SURVEY),
            ("value=-1", "between 0 and inf"),
        ),
    ],
)
def test_what_functions_give_is_checked(
    moment: MicroMoment, parts: tuple[str, ...]
) -> None:
    problem = nevo.problem(blpdask, 3)
    says(lambda: survey(problem, [moment]), *parts)


def test_weights_that_change_sign_bound_no_mean() -> None:
    moment = MicroMoment.mean("mushy", value=7, dataset=SURVEY, given="nodes0")
    survey(nevo.problem(blpdask, 3), [moment])


def test_faults_of_all_functions_are_said_at_once() -> None:
    problem = nevo.problem(blpdask, 3)

    def fails(t: Any, p: Any, a: Any) -> Any:
        raise KeyError("x")

    moments = [
        replace(weighted(lambda t, p, a: np.ones(3)), name="a"),
        MicroMoment("b", 1, MicroPart("q", SURVEY, fails)),
        MicroMoment("c", 1, MicroPart("r", SURVEY, nan_at_first)),
    ]
    error = says(lambda: survey(problem, moments), "3 faults")
    assert isinstance(error.__cause__, KeyError)


def test_values_may_be_undefined_where_nobody_is_recorded() -> None:
    inside = MicroDataset("inside", 10, "inside")
    with_nan = MicroMoment(
        "m",
        1,
        MicroPart(
            "p",
            inside,
            lambda t, p, a: np.where(np.arange(1 + p.size) == 0, np.nan, ones(t, p, a)),
        ),
    )
    problem = nevo.problem(blpdask, 3)
    for block in survey(problem, [with_nan])[1]:
        for values in expand(block.surveys.functions, block):
            np.testing.assert_array_equal(values[0], values[1])


def test_wrong_gradients_are_told_of() -> None:
    part = MicroPart("q", SURVEY, lambda t, p, a: 3 * ones(t, p, a))
    problem = nevo.problem(blpdask, 3)

    def pair(gradient: Any, value: Any = lambda v: v[0] / v[1]) -> list[MicroMoment]:
        return [MicroMoment("m", 1, [PART, part], value, gradient)]

    survey(problem, pair(lambda v: [1 / v[1], -v[0] / v[1] ** 2]))
    with pytest.warns(DataWarning, match=r"'m' gives \(0.33333, 0.11111\)") as told:
        survey(problem, pair(lambda v: [1 / v[1], v[0] / v[1] ** 2]))
    assert "differences of compute_value give (0.33333, -0.11111)" in str(told[0])
    with np.errstate(all="ignore"):
        undefined = pair(lambda v: [np.nan, np.nan], lambda v: v[0] / (v[1] - 3))
        survey(problem, undefined)


def test_functions_of_parts_are_checked_when_called() -> None:
    part = MicroPart("q", SURVEY, ones)
    bad = MicroMoment("m", 1, [PART, part], lambda v: v, lambda v: [1.0])
    targets = checked(nevo.problem(blpdask, 3), [bad]).setup.targets
    says(lambda: targets.functions[0](np.ones(2)), "compute_value", "2 numbers")
    says(lambda: targets.gradients[0](np.ones(2)), "compute_gradient", "2 numbers")


# Petrin's survey


@cache
def petrin() -> tuple[Any, Any]:
    products = pd.read_csv(pyblp.data.PETRIN_PRODUCTS_LOCATION)
    agents = pd.read_csv(pyblp.data.PETRIN_AGENTS_LOCATION)
    agents = agents.groupby("market_ids").head(100)
    return products, agents.assign(weights=0.01)


def petrin_moments() -> list[MicroMoment]:
    """Ten moments of sixteen parts (Petrin 2002), observed values roughly his."""
    survey = MicroDataset("CEX", 29125, ones)

    def part(name: str, d: int, c: int) -> MicroPart:
        return MicroPart(
            name,
            survey,
            lambda t, p, a: np.outer(a.demographics[:, d], np.r_[0, p.X2[:, c]]),
        )

    columns = {"mi": 7, "sw": 8, "su": 9, "pv": 10}
    below = {name: part(f"E[{name}]", 0, c) for name, c in columns.items()}

    def ratio(name: str, value: float, *parts: MicroPart) -> MicroMoment:
        return MicroMoment(
            name,
            value,
            parts,
            lambda v: v[0] / v[1],
            lambda v: [1 / v[1], -v[0] / v[1] ** 2],
        )

    moments = [
        ratio(
            f"E[{d} | {c}]", value, part(f"E[{d} * {c}]", place, columns[c]), below[c]
        )
        for d, place, value in (("age", 5, 0.75), ("fs", 6, 3.2))
        for c in columns
    ]
    for d, place in (("mid", 7), ("high", 8)):
        moments.append(
            ratio(
                f"P(inside | {d})",
                0.1,
                part(f"P(inside, {d})", place, 0),
                MicroPart(
                    f"P({d})",
                    survey,
                    lambda t, p, a, place=place: np.outer(
                        a.demographics[:, place], np.ones(1 + p.size)
                    ),
                ),
            )
        )
    return moments


def petrin_formulas() -> list[MicroMoment]:
    """Say the same in formulas."""
    survey = MicroDataset("CEX", 29125, "1")
    pairs = [(d, c) for d in ("age", "fs") for c in ("mi", "sw", "su", "pv")]
    pairs += [("inside", "mid"), ("inside", "high")]
    values = {"age": 0.75, "fs": 3.2, "inside": 0.1}
    return [
        MicroMoment.mean(x, value=values[x], dataset=survey, given=given)
        for x, given in pairs
    ]


def test_petrins_parts_share_few_factors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blpdask.options, "collinear_atol", 0)
    monkeypatch.setattr(blpdask.options, "collinear_rtol", 0)
    products, agents = petrin()
    years = sorted(products["market_ids"].unique())[6:8]
    problem = blpdask.Problem(
        (
            blpdask.Formulation("1 + hpwt + space + air + mpd + fwd"),
            blpdask.Formulation(
                "1 + I(-prices) + hpwt + space + air + mpd + fwd + mi + sw + su + pv"
            ),
        ),
        products[products["market_ids"].isin(years)],
        blpdask.Formulation(
            "1 + I(low / income) + I(mid / income) + I(high / income) + "
            "I(log(fs) * fv) + age + fs + mid + high"
        ),
        agents[agents["market_ids"].isin(years)],
    )
    micro, blocks, markets = survey(problem, petrin_moments(), blocks=2)
    assert (len(micro.parts), len(micro.datasets), micro.size) == (16, 1, 10)
    for block in blocks:
        functions, squares = block.surveys.functions, block.surveys.squares
        assert (functions.size, squares.size) == (17, 16 * 17 // 2)
        assert len(functions.agents) == 4  # age, fs, mid, high
        assert len(functions.choices) == 5  # minivans, …, and the indicator inside
        assert functions.tables.size == 0
        assert len(functions.choice_terms) == 6
        assert len(squares.choice_terms) <= 12
        assert squares.agents is functions.agents
        rows = block.weights.size + block.n_products + block.n_markets
        assert functions.agents.nbytes + functions.choices.nbytes < 5 * 8 * rows
    check_blocks(micro, blocks, markets)
    told = survey(problem, petrin_formulas(), blocks=2)[1]
    for block, formula in zip(blocks, told, strict=True):
        own, other = block.surveys, formula.surveys
        for kind in ("functions", "squares"):
            for one, two in zip(
                expand(getattr(own, kind), block),
                expand(getattr(other, kind), formula),
                strict=True,
            ):
                np.testing.assert_allclose(one, two, rtol=2e-15, atol=0)
