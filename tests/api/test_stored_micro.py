"""Micro moments on stores: the numbers of the same problem in memory.

Invariants: objective, gradient, estimates and standard errors are those in memory to
1e-12, and have the same bits in one thread and in two; all that is refused in memory is
refused; a solve that was recorded goes on, or is replayed, to the same bits.
"""

from __future__ import annotations

import warnings
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest

import blpdask
from blpdask import MicroDataset, MicroMoment, MicroPart
from blpdask.errors import BlpdaskError, DataWarning, InputError, StoreError
from blpdask.jobs.store import _drawn_agents
from blpdask.partitions.run_log import keep_first
from tests.api import nevo
from tests.api.surveys import moments_of, ones, says
from tests.api.test_resume import bits as bits_in_memory
from tests.api.test_resume import count
from tests.api.test_stored_supply import bits
from tests.references.drawn_micro import draw_micro
from tests.references.specifications import (
    FIXED,
    Specification,
    build_here,
    distance,
    quietly,
    solve_here,
)

#: Nests and supply; second choices of groups; distances and availability with supply;
#: effects absorbed; sample covariances.
SEEDS = (0, 3, 4, 5, 33, 37)
NAMES = (
    *("objective", "gradient", "beta", "gamma", "sigma_se", "pi_se", "rho_se"),
    *("beta_se", "gamma_se", "updated_W", "parameter_covariances", "moments"),
    *("micro", "micro_values", "micro_covariances", "micro_by_theta_jacobian"),
)
START: dict[str, Any] = {"sigma": nevo.SIGMA, "pi": nevo.PI, "method": "1s"}
AT_START = {**START, "optimization": blpdask.Optimization("return")}


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blpdask.options, "verbose", False)


def as_tables(specification: Specification, seed: int) -> Specification:
    """Give a problem rows in no order of markets, and agents that its rule draws."""
    products = {n: np.asarray(v) for n, v in dict(specification.products).items()}
    keys = np.random.default_rng(seed).uniform(size=len(products["shares"]))
    for t in np.unique(products["market_ids"]):
        own = products["market_ids"] == t
        keys[own] = np.sort(keys[own])  # agents know products by their order
    order = np.argsort(keys)
    agents = specification.agents
    if specification.rule is not None:
        table = None if agents is None else pd.DataFrame(dict(agents))
        agents = _drawn_agents(build_here(specification), table)
    shuffled = {name: values[order] for name, values in products.items()}
    return replace(specification, products=shuffled, agents=agents, rule=None)


@cache
def drawn(seed: int) -> tuple[Specification, dict[str, Any], Any]:
    """Give a drawn problem, how it is solved, and its results in memory."""
    found = draw_micro(seed)
    arguments = {**found.solution, **FIXED, "micro_moments": found.moments(blpdask)}
    if found.sample_covariances is not None:
        arguments["micro_sample_covariances"] = found.sample_covariances
    with quietly(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        specification = as_tables(found.specification, seed)
        return (
            specification,
            arguments,
            solve_here(build_here(specification), **arguments),
        )


@pytest.mark.parametrize("seed", SEEDS)
def test_drawn_problems_are_the_same_on_a_store(tmp_path: Any, seed: int) -> None:
    specification, arguments, expected = drawn(seed)
    store = blpdask.build_store(
        tmp_path / "s", specification.products, specification.agents, blocks=3
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        problem = build_here(replace(specification, products=store, agents=None))
        found = solve_here(problem, engine="serial", **arguments)
        again = solve_here(problem, threads=2, **arguments)
    assert bits(again) == bits(found)
    assert found.MM == expected.MM > 0
    for name in NAMES:
        gap = distance(getattr(found, name), getattr(expected, name))
        assert gap <= 1e-12, (name, gap)
    names = [moment.name for moment in arguments["micro_moments"]]
    assert "Estimated Micro Moments:" in str(found)
    assert all(name in str(found) for name in names)


def formulations() -> tuple[blpdask.Formulation, ...]:
    return (
        blpdask.Formulation("0 + prices", absorb="C(product_ids)"),
        blpdask.Formulation("1 + prices + sugar + mushy"),
    )


def on_store(path: Any, n_markets: int = 6, **options: Any) -> blpdask.Problem:
    store = blpdask.build_store(path, *nevo.tables(n_markets), **options)
    people = blpdask.Formulation("0 + income + income_squared + age + child")
    return blpdask.Problem(formulations(), store, people)


def test_a_search_ends_where_it_does_in_memory(tmp_path: Any) -> None:
    """With functions and formulas, effects absorbed, weights updated."""
    survey = MicroDataset("survey", 1000, "inside")
    asked = [
        MicroMoment.mean("income", given="mushy", value=0.2, dataset=survey),
        MicroMoment.covariance("income", "prices", value=0.001, dataset=survey),
        *moments_of(blpdask)[:2],
    ]
    arguments = {**START, "method": "2s", "micro_moments": asked}
    arguments["optimization"] = blpdask.Optimization("structured", {"gtol": 1e-6})
    expected = nevo.problem(blpdask, 30).solve(**arguments)
    found = on_store(tmp_path / "s", 30, blocks=4).solve(**arguments)
    assert found.converged and expected.converged
    for name in ("objective", "sigma", "pi", "beta", "micro_values"):
        assert distance(getattr(found, name), getattr(expected, name)) <= 1e-6, name


def test_what_functions_cannot_give_is_refused(tmp_path: Any) -> None:
    problem = on_store(tmp_path / "s", blocks=3)

    def asked(moment: MicroMoment) -> Any:
        return lambda: problem.solve(**AT_START, micro_moments=[moment])

    def part(values: Any = ones, weights: Any = ones, **options: Any) -> MicroPart:
        return MicroPart("p", MicroDataset("d", 10, weights, **options), values)

    nobody = part(weights=lambda t, p, a: 0 * ones(t, p, a))
    says(asked(MicroMoment("m", 1, nobody)), "the micro dataset 'd' that are all zero")
    narrow = part(lambda t, p, a: np.ones((a.size, p.size)))
    says(asked(MicroMoment("m", 1, narrow)), "the micro part 'p' on 'd' of shape")
    nowhere = part(market_ids=["C01Q1", "nowhere"])
    says(asked(MicroMoment("m", 1, nowhere)), "not in the data (nowhere)")
    says(asked(MicroMoment("m", 2, part())), "value=2", "between 1 and 1")
    groups = part(eliminated_product_ids_index=1)
    says(asked(MicroMoment("m", 1, groups)), "a number below 1, the columns of")
    typo = MicroMoment.mean("sugars", value=1, dataset=MicroDataset("d", 10, "1"))
    says(asked(typo), "no column 'sugars'")
    says(
        lambda: problem.solve(
            **{**AT_START, "method": "cue"}, micro_moments=moments_of(blpdask)
        ),
        "micro_moments with method='cue'",
    )


def test_what_is_known_in_memory_alone_says_so(tmp_path: Any) -> None:
    problem, asked = on_store(tmp_path / "s", blocks=3), moments_of(blpdask)
    results = problem.solve(**AT_START, micro_moments=asked)
    for call in (
        lambda: results.compute_micro_values(asked),
        lambda: results.simulate_micro_data(asked[0].parts[0].dataset),
    ):
        with pytest.raises(BlpdaskError, match="whose data are in the store"):
            call()


def test_verbose_solves_print_what_is_matched(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    printed: list[str] = []
    problem = on_store(tmp_path / "s", blocks=3)
    monkeypatch.setattr(blpdask.options, "verbose", True)
    monkeypatch.setattr(blpdask.options, "verbose_output", printed.append)
    problem.solve(**AT_START, micro_moments=moments_of(blpdask))
    assert "Micro Moments:" in printed[0] and "E[age sugar] / E[age]" in printed[0]
    assert any("Evaluating the functions of micro moments" in line for line in printed)


def test_recorded_solves_are_replayed_and_go_on(tmp_path: Any) -> None:
    """Other functions, or other observed values, are of something else."""

    def asked(value: float = 0.2, scale: float = 1.0) -> list[MicroMoment]:
        survey = MicroDataset("survey", 1000, lambda t, p, a: scale * ones(t, p, a))
        return [MicroMoment.mean("income", given="mushy", value=value, dataset=survey)]

    problem = on_store(tmp_path / "s", blocks=3)
    directory = tmp_path / "recorded"
    arguments = {**START, "resume": directory}
    arguments["optimization"] = blpdask.Optimization("bfgs", {"maxiter": 3})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        calm = problem.solve(
            **{**arguments, "resume": None}, micro_moments=asked(), engine="serial"
        )
        first = problem.solve(**arguments, micro_moments=asked())
        replayed = problem.solve(**arguments, micro_moments=asked())
        keep_first(directory, count(directory) // 2)
        resumed = problem.solve(**arguments, micro_moments=asked())
    assert bits(first) == bits(replayed) == bits(resumed) == bits(calm)
    with pytest.raises(StoreError, match="of another estimation"):
        problem.solve(**arguments, micro_moments=asked(0.3))
    with pytest.raises(StoreError, match="of another estimation"):
        problem.solve(**arguments, micro_moments=asked(scale=2.0))


COLLINEAR = [
    ("two", "1 + income * prices", "1 + 2 * income * prices", ()),
    ("three", "income * prices", "2 * income * prices", ("E[2 * income * prices]",)),
]


@pytest.mark.parametrize("stored", [False, True])
@pytest.mark.parametrize(("name", "x", "y", "told"), COLLINEAR)
@pytest.mark.parametrize("second", [False, True])
def test_collinear_parts_are_told_of_where_wanted(
    tmp_path: Any,
    monkeypatch: pytest.MonkeyPatch,
    stored: bool,
    name: str,
    x: str,
    y: str,
    told: tuple[str, ...],
    second: bool,
) -> None:
    n = 3
    problem = on_store(tmp_path / "s", n) if stored else nevo.problem(blpdask, n)
    survey = MicroDataset(name, 100, "inside * second(inside)" if second else "inside")
    asked = [
        MicroMoment.mean(x, value=0.1 if told else 1, dataset=survey),
        MicroMoment.mean(y, value=0.2 if told else 1, dataset=survey),
    ]
    parts = [moment.parts[0].name for moment in asked]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # covariances of moments are singular
        warnings.simplefilter("error", DataWarning)
        checks = {**AT_START, "check_optimality": "gradient"}
        W = np.diag(np.r_[np.ones(problem.MD), 0.0, 0.0])
        problem.solve(**checks, micro_moments=asked, W=W)
        monkeypatch.setattr(blpdask.options, "detect_micro_collinearity", True)
        if not told:
            problem.solve(**checks, micro_moments=asked, W=W)
            return
        with pytest.raises(DataWarning) as caught:
            problem.solve(**checks, micro_moments=asked, W=W)
    assert f"collinear micro parts: [{parts[1]}]" in str(caught.value)
    assert f"on the micro dataset '{name}'" in str(caught.value)
    monkeypatch.setattr(blpdask.options, "collinear_atol", 0)
    monkeypatch.setattr(blpdask.options, "collinear_rtol", 0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # covariances of moments are singular
        warnings.simplefilter("error", DataWarning)
        problem.solve(**checks, micro_moments=asked, W=W)


def test_collinearity_is_pyblps(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same parts are told of, among several, where weights are zero somewhere."""
    pyblp = pytest.importorskip("pyblp")
    for package in (blpdask, pyblp):
        monkeypatch.setattr(package.options, "verbose", False)
        monkeypatch.setattr(package.options, "detect_micro_collinearity", True)

    def asked(package: Any) -> list[Any]:
        def weights(t: Any, p: Any, a: Any) -> Any:
            return np.outer(np.ones(a.size), p.mushy)

        dataset = package.MicroDataset("d", 100, weights)

        def part(name: str, function: Any) -> Any:
            return package.MicroPart(name, dataset, function)

        def income(t: Any, p: Any, a: Any) -> Any:
            return np.outer(a.demographics[:, 0], np.ones(p.size))

        def by_mushy(t: Any, p: Any, a: Any) -> Any:
            return np.outer(a.demographics[:, 0], p.mushy) + (p.mushy == 0).T

        def sugar(t: Any, p: Any, a: Any) -> Any:
            return np.outer(a.demographics[:, 0], p.sugar)

        def sums(t: Any, p: Any, a: Any) -> Any:
            return 2 * income(t, p, a) - sugar(t, p, a)

        parts = [
            part("income", income),
            part("by mushy", by_mushy),
            part("sugar", sugar),
            part("sums", sums),
        ]
        return [package.MicroMoment(one.name, 0.1, one) for one in parts]

    def told(package: Any) -> list[str]:
        problem = nevo.problem(package, 3)
        optimization = package.Optimization("return")
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            problem.solve(
                nevo.SIGMA,
                nevo.PI,
                method="1s",
                optimization=optimization,
                micro_moments=asked(package),
                check_optimality="gradient",
                W=np.diag(np.r_[np.ones(problem.MD), np.zeros(4)]),
            )
        return [str(w.message) for w in caught if "ollinear" in str(w.message)]

    (here,) = told(blpdask)
    (there,) = told(pyblp)
    assert "[by mushy, sums]" in here
    assert "['by mushy', 'sums']" in there


def test_bits_of_memory_do_not_change_with_detection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    problem = nevo.problem(blpdask, 4)
    arguments = {**AT_START, "micro_moments": moments_of(blpdask), "engine": "serial"}
    plain = bits_in_memory(problem.solve(**arguments))
    monkeypatch.setattr(blpdask.options, "detect_micro_collinearity", True)
    assert bits_in_memory(problem.solve(**arguments)) == plain


def test_indices_of_groups_count_stored_columns(tmp_path: Any) -> None:
    """A column of groups is found whether product_ids are numbered or not."""
    products, agents = nevo.tables(3)
    products = products.rename(columns={"product_ids": "product_ids0"})
    products["product_ids1"] = products["firm_ids"]
    linear = blpdask.Formulation("0 + prices")
    people = blpdask.Formulation("0 + income + income_squared + age + child")
    store = blpdask.build_store(tmp_path / "s", products, agents, blocks=2)
    problems = (
        blpdask.Problem((linear, formulations()[1]), products, people, agents),
        blpdask.Problem((linear, formulations()[1]), store, people),
    )
    survey = MicroDataset("rivals", 50, "inside * second(inside)", 1)
    moment = MicroMoment.mean("sugar * second(sugar)", value=50, dataset=survey)
    # Z'Z, of which no effects were absorbed, has a condition number of 1e9.
    W = np.eye(problems[0].MD + 1)
    start = {"sigma": nevo.SIGMA, "pi": nevo.PI, "method": "1s", "W": W, **FIXED}
    one, other = (solve_here(p, **start, micro_moments=[moment]) for p in problems)
    assert distance(other.micro_values, one.micro_values) <= 1e-12
    assert distance(other.gradient, one.gradient) <= 1e-12
    wrong = replace_index(survey, 2)
    with pytest.raises(InputError, match="a number below 2"):
        problems[1].solve(
            **AT_START,
            micro_moments=[
                MicroMoment.mean("second(sugar)", value=50, dataset=wrong),
            ],
        )


def replace_index(dataset: MicroDataset, index: int) -> MicroDataset:
    return MicroDataset(
        dataset.name, dataset.observations, dataset.compute_weights, index
    )
