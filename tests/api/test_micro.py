"""Micro moments at the door: arguments, and formulas beside functions."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

import blpdask
from blpdask import MicroDataset, MicroMoment, MicroPart
from tests.api import nevo
from tests.api.surveys import (
    PART,
    SURVEY,
    checked,
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


def test_classes_are_records_known_by_identity() -> None:
    other = MicroDataset("survey", 1000, ones)
    assert other != SURVEY and len({other, SURVEY}) == 2
    part = MicroPart("p", SURVEY, ones)
    assert part != MicroPart("p", SURVEY, ones)
    assert hash(MicroMoment("m", 1, part)) != hash(MicroMoment("m", 1, part))
    with pytest.raises(AttributeError):
        SURVEY.name = "x"  # type: ignore[misc]


def test_texts_are_pyblps() -> None:
    def make(package: Any) -> list[str]:
        some = [
            package.MicroDataset("all", 10, ones),
            package.MicroDataset("one", 10, ones, market_ids=["a"]),
            package.MicroDataset("two", 10, ones, market_ids=["a", "b"]),
        ]
        part = package.MicroPart("part", some[0], ones)
        both = [part, package.MicroPart("other", some[1], ones)]
        moments = [
            package.MicroMoment("m", 1.5, part),
            package.MicroMoment("m", [-0.25], both, np.sum, np.ones_like),
        ]
        return [*map(str, some), *map(repr, some), str(part), *map(str, moments)]

    assert make(blpdask) == make(pyblp)


def test_a_lone_part_is_its_own_moment() -> None:
    moment = MicroMoment("m", 1, MicroPart("p", SURVEY, ones))
    assert moment.compute_value is not None and moment.compute_gradient is not None
    assert moment.compute_value(np.array([3.5])) == 3.5
    np.testing.assert_array_equal(moment.compute_gradient(np.array([3.5])), [1.0])
    assert moment.value == 1.0 and len(moment.parts) == 1


@pytest.mark.parametrize(
    ("call", "parts"),
    [
        (
            lambda: MicroDataset(1, 0, 2, -1, ["a", "a"]),  # type: ignore[arg-type]
            (
                *("5 faults", "name=1", "observations=0", "compute_weights=2"),
                *("eliminated_product_ids_index=-1", "listed twice (a)"),
            ),
        ),
        (lambda: MicroDataset("d", 1.5, ones), ("observations=1.5",)),  # type: ignore[arg-type]
        (lambda: MicroDataset("d", True, ones), ("observations=True",)),
        (lambda: MicroDataset("d", 1, ones, market_ids=3), ("market_ids=3",)),
        (lambda: MicroDataset("d", 1, ones, market_ids=[]), ("no market_ids",)),
        (lambda: MicroDataset("d", 1, "1 +"), ("'1 +'", "not well formed")),
        (
            lambda: MicroPart(None, "survey", 3),  # type: ignore[arg-type]
            ("3 faults", "name=None", "dataset of type str", "compute_values=3"),
        ),
        (
            lambda: MicroMoment(None, "one", []),  # type: ignore[arg-type]
            ("5 faults", "name=None", "value='one'", "parts=[]", "compute_value=None"),
        ),
        (lambda: MicroMoment("m", [1, 2], PART), ("value=[1, 2]", "one finite number")),
        (lambda: MicroMoment("m", np.nan, PART), ("value=nan",)),
        (lambda: MicroMoment("m", 1, [PART]), ("2 faults", "compute_gradient=None")),
        (lambda: MicroMoment("m", 1, PART, 3), ("compute_value=3",)),  # type: ignore[arg-type]
        (
            lambda: MicroMoment("m", 1, [PART, PART], np.sum, np.ones_like),
            ("listed twice",),
        ),
        (
            lambda: MicroMoment(
                "m", 1, [PART, MicroPart("p", SURVEY, ones)], np.sum, np.ones_like
            ),
            ("two micro parts of the name 'p'",),
        ),
        (
            lambda: MicroMoment(
                "m",
                1,
                [PART, MicroPart("q", MicroDataset("survey", 1, ones), ones)],
                np.sum,
                np.ones_like,
            ),
            ("two micro datasets of the name 'survey'",),
        ),
        (
            lambda: MicroMoment.mean("x +", value=1, dataset=SURVEY),
            ("'x +'",),
        ),
    ],
)
def test_constructors_say_all_that_is_wrong(call: Any, parts: tuple[str, ...]) -> None:
    says(call, *parts)


def test_sequences_of_moments() -> None:
    problem = nevo.problem(blpdask, 3)
    one = MicroMoment("m", 1, PART)
    twice = [one, one]
    says(lambda: checked(problem, twice), "a micro moment that is listed twice")
    named = [one, MicroMoment("m", 2, PART)]
    says(lambda: checked(problem, named), "share a name (m)")
    lost = MicroDataset("lost", 1, ones, market_ids=["C01Q1", "nowhere"])
    other = MicroDataset("lost", 1, ones, 3)
    says(
        lambda: checked(
            problem,
            [
                MicroMoment("m", 1, MicroPart("p", lost, ones)),
                MicroMoment("n", 1, MicroPart("p", other, ones)),
            ],
        ),
        "1 markets of the micro dataset 'lost' that are not in the data (nowhere)",
        "eliminated_product_ids_index=3",
        "two micro parts of the name 'p'",
        "two micro datasets of the name 'lost'",
    )


def by_lambda() -> list[MicroMoment]:
    """Write out what formulas say."""

    def outside(values: Any) -> Any:
        return np.r_[0, values.flatten()]

    def part(name: str, function: Any) -> MicroPart:
        return MicroPart(name, SURVEY, function)

    income = 0
    return [
        MicroMoment(
            "a",
            0.1,
            part(
                "a",
                lambda t, p, a: np.outer(a.demographics[:, income], outside(p.prices)),
            ),
        ),
        MicroMoment(
            "b",
            0.5,
            [
                part(
                    "b0",
                    lambda t, p, a: np.outer(
                        a.demographics[:, income], outside(np.log(p.prices))
                    ),
                ),
                part("b1", lambda t, p, a: np.tile(outside(p.prices**0), (a.size, 1))),
            ],
            lambda v: v[0] / v[1],
            lambda v: [1 / v[1], -v[0] / v[1] ** 2],
        ),
    ]


def test_formulas_say_what_functions_say() -> None:
    problem = nevo.problem(blpdask, 3)
    formulas = [
        MicroMoment.mean("income * prices", value=0.1, dataset=SURVEY, name="a"),
        MicroMoment.mean(
            "income * log(prices)", value=0.5, dataset=SURVEY, given="inside", name="b"
        ),
    ]
    one, found, _ = survey(problem, formulas)
    other, expected, _ = survey(problem, by_lambda())
    for a, b in zip(found, expected, strict=True):
        for kind in ("functions", "squares"):
            for x, y in zip(
                expand(getattr(a.surveys, kind), a),
                expand(getattr(b.surveys, kind), b),
                strict=True,
            ):
                np.testing.assert_allclose(x, y, rtol=2e-15, atol=0)
    rng = np.random.default_rng(0)
    v = rng.uniform(0.5, 1.5, 2)
    for m in range(2):
        own = v[: len(one.setup.targets.parts[m])]
        for name in ("functions", "gradients"):
            np.testing.assert_allclose(
                getattr(one.setup.targets, name)[m](own),
                getattr(other.setup.targets, name)[m](own),
                rtol=1e-15,
            )


def test_formulas_share_parts() -> None:
    moments = [
        MicroMoment.mean("income", value=0.1, dataset=SURVEY, given="inside"),
        MicroMoment.mean("age", value=0.1, dataset=SURVEY, given="inside"),
        MicroMoment.share("inside", value=0.5, dataset=SURVEY),
        MicroMoment.covariance(
            "income", "age", value=0, dataset=SURVEY, given="inside"
        ),
        MicroMoment.covariance("age", "age", value=1, dataset=SURVEY, given="inside"),
    ]
    micro = checked(nevo.problem(blpdask, 3), moments)
    assert [part.name for part in micro.parts] == [
        "E[income * inside]",
        "E[inside]",
        "E[age * inside]",
        "E[income * age * inside]",
        "E[age * age * inside]",
    ]
    assert micro.setup.targets.parts == ((0, 1), (2, 1), (1,), (3, 0, 2, 1), (4, 2, 1))
    assert [moment.name for moment in moments] == [
        "E[income | inside]",
        "E[age | inside]",
        "P(inside)",
        "Cov(income, age | inside)",
        "Var(age | inside)",
    ]


def test_two_datasets_may_share_formulas() -> None:
    buyers = MicroDataset("buyers", 10, "inside")
    moments = [
        MicroMoment.mean("income", value=0.1, dataset=SURVEY, name="a"),
        MicroMoment.mean("income", value=0.1, dataset=buyers, name="b"),
    ]
    micro = checked(nevo.problem(blpdask, 3), moments)
    assert len(micro.parts) == 2
    np.testing.assert_array_equal(micro.setup.targets.layout.datasets, [0, 1])
    np.testing.assert_array_equal(micro.setup.targets.layout.observations, [1000, 10])


def test_formulas_follow_weights_without_the_outside_option() -> None:
    narrow = MicroDataset("narrow", 10, lambda t, p, a: np.ones((a.size, p.size)))
    wide = MicroDataset("wide", 10, "inside")
    problem = nevo.problem(blpdask, 3)
    x = [
        survey(problem, [MicroMoment.mean("log(prices)", value=-2, dataset=dataset)])[1]
        for dataset in (narrow, wide)
    ]
    for a, b in zip(*x, strict=True):
        for one, other in zip(
            expand(a.surveys.functions, a), expand(b.surveys.functions, b), strict=True
        ):
            np.testing.assert_allclose(one, other, rtol=1e-15)


def test_formulas_pickle() -> None:
    dataset = MicroDataset("buyers", 10, "inside", market_ids=["C01Q1", "C01Q2"])
    moments = [
        MicroMoment.mean("income", value=0.2, dataset=dataset, given="mushy"),
        MicroMoment.regression("age", "income", value=0.2, dataset=dataset),
    ]
    copies = pickle.loads(pickle.dumps(moments))
    assert [str(copy) for copy in copies] == [str(moment) for moment in moments]
    assert copies[0].parts[0].dataset is copies[1].parts[0].dataset
    v = np.array([0.5, 0.4, 0.7, 0.9])
    assert copies[1].compute_value(v) == moments[1].compute_value(v)  # type: ignore[misc]
    problem = nevo.problem(blpdask, 3)
    found, expected = survey(problem, copies)[1], survey(problem, moments)[1]
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(
            a.surveys.functions.agents, b.surveys.functions.agents
        )
