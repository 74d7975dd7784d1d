"""Names of what varies are found among columns, and those that are none are told."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import blpdask
from blpdask.choice_records import MixedCoefficients
from blpdask.errors import DataWarning, Faults, InputError
from blpdask.problem.choice_coefficients import AskedCoefficients, name_coefficients
from blpdask.problem.choice_table import read_choices
from blpdask.problem.formulas import parse
from tests.problem.test_choice_table import ragged

FORMULA = parse("0 + x + y + I(x ** 2) + x:y")
PEOPLE = parse("1 + income + C(group)")


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blpdask.options, "verbose", False)


def grouped(n_people: int = 40) -> pd.DataFrame:
    frame = ragged(n_people)
    return frame.assign(group=(frame["income"] % 3).map({0: "a", 1: "b", 2: "c"}))


def named(**asked: Any) -> tuple[MixedCoefficients, list[str]]:
    """Name coefficients of the formulas above; give the faults too."""
    frame, faults = grouped(), Faults("random")
    columns = FORMULA.build(frame).columns
    people = [c for c in PEOPLE.build(frame).columns if c.names]
    asked.setdefault("shifts", {})
    found = name_coefficients(AskedCoefficients(**asked), columns, people, faults)
    return found, [fault.found for fault in faults]


def test_columns_are_found_by_name_or_label() -> None:
    found, faults = named(
        random={"x**2": "normal", "x:y": "uniform"},
        correlated=(("x*y", "I(x ** 2)"),),
        shifts={"x:y": ("income", "group['c']"), "y": ("C(group)", "income")},
    )
    assert faults == []
    assert found.labels == ("x", "y", "x**2", "x*y")
    assert found.kinds == ("fixed", "fixed", "normal", "uniform")
    assert found.correlated == ((2, 3),)
    assert found.demographics == ("income", "group['b']", "group['c']")
    assert found.shifted == ((1, 0), (1, 1), (1, 2), (3, 0), (3, 2))


def test_all_demographics_shift_all_random_means_by_default() -> None:
    kinds = {"x": "normal", "y": "component", "x**2": "exponential", "x*y": "censored"}
    found, faults = named(random=kinds, shifts=None)
    assert faults == []
    assert found.shifted == ((0, 0), (0, 1), (0, 2), (3, 0), (3, 1), (3, 2))
    found, faults = named(random={"x": "component"}, shifts=None)
    assert faults == ["demographics, and no random coefficient with a mean to shift"]


def test_the_column_that_pays_is_negated_by_name() -> None:
    found, faults = named(wtp="I(x ** 2)", random={"y": "normal"})
    assert faults == [] and found.scaling == 2
    assert found.labels == ("x", "y", "-(x**2)", "x*y")
    assert found.parameter_labels == (
        *("wtp.x", "wtp.y", "-(x**2)", "wtp.x*y", "sd.wtp.y"),
    )
    found, faults = named(random_scale=True)
    assert found.parameter_labels[-1] == "sd.scale" and found.scaling == 4


NAMES: list[tuple[dict[str, Any], list[str]]] = [
    ({"random": {"z": "normal"}}, ["no column 'z' of the formulation, which random"]),
    ({"wtp": "group"}, ["no column 'group', which wtp names"]),
    ({"wtp": "price"}, ["no column 'price', which wtp names"]),
    (
        {"wtp": "x", "random": {"x": "normal"}},
        ["wtp='x', whose coefficient is of kind 'normal'"],
    ),
    (
        {"wtp": "x", "random": {"x": "component"}},
        ["wtp='x', whose coefficient is of kind 'component'"],
    ),
    ({"shifts": {"z": ("income",)}}, ["no column 'z', which shifts names"]),
    ({"shifts": {"x": ("age",)}}, ["no column 'age', which shifts of 'x' names"]),
    (
        {"random": {"x": "exponential"}, "shifts": {"x": ("income",)}},
        ["shifts of 'x', of kind 'exponential'"],
    ),
    (
        {"random": {"x": "normal"}, "correlated": (("x", "z"),)},
        ["no column 'z', which correlated names"],
    ),
    (
        {"random": {"x": "normal"}, "correlated": (("x",),)},
        ["a group (x) of correlated"],
    ),
    (
        {"random": {"x**2": "normal"}, "correlated": (("x**2", "I(x ** 2)"),)},
        ["a group (x**2, I(x ** 2)) of correlated"],
    ),
    (
        {
            "random": {"x": "normal", "y": "truncated"},
            "correlated": (("x", "y", "x*y"),),
        },
        ["'y' of kind 'truncated' among", "'x*y' of kind 'fixed' among"],
    ),
    (
        {
            "random": {"x": "normal", "y": "normal", "x*y": "normal"},
            "correlated": (("x", "y"), ("y", "x*y")),
        },
        ["[y] in several groups"],
    ),
    (
        {"random": {"x": "normal", "y": "truncated"}, "correlated": True},
        ["correlated coefficients of which fewer than two are random and not"],
    ),
    (
        {"random": {"z": "normal"}, "wtp": "q", "shifts": {"z": ("a", "b")}},
        ["no column 'z' of", "no column 'q'", "no column 'z', which shifts"],
    ),
]


@pytest.mark.parametrize(("asked", "expected"), NAMES)
def test_names_that_are_none_come_together(
    asked: dict[str, Any], expected: list[str]
) -> None:
    _, faults = named(**asked)
    for words in expected:
        assert sum(words in fault for fault in faults) == 1, faults


def faults_of(frame: pd.DataFrame, formula: str = "0 + x + y", **given: Any) -> Any:
    with pytest.raises(InputError) as caught:
        blpdask.ChoiceProblem(blpdask.Formulation(formula), frame, **given)
    return [fault.found for fault in caught.value.faults]


RANDOM = {"x": "normal"}


@pytest.mark.parametrize(
    ("demographics", "found"),
    [
        ("0 + x", "values of 'x' among demographics that differ within 40 people"),
        ("0 + age", "no variable 'age'"),
        ("1", "demographics without variables"),
        ("0 + income + I(2 * income)", "columns [x:2*income] that within situations"),
        ("0 + C(group)", "columns [x:group['c'], x:group['b']"),
        ("0 + C(group)", "columns [x:group['c']]"),
        ("0 + one", "columns [x:one] that within"),
        ("0 + lost", "1 of"),
    ],
)
def test_faults_of_demographics(demographics: str, found: str) -> None:
    frame = grouped().assign(one=1.0)
    frame["lost"] = np.where(np.arange(len(frame)) == 3, np.nan, 1.0)
    faults = faults_of(
        frame, random=RANDOM, demographics=blpdask.Formulation(demographics)
    )
    if demographics == "0 + C(group)":
        assert any("columns [x:group['c']]" in fault for fault in faults)
    else:
        assert any(found in fault for fault in faults), faults


def test_an_interaction_and_a_shift_are_one_too_many() -> None:
    faults = faults_of(
        grouped(),
        "0 + x + y + x:income",
        demographics=blpdask.Formulation("0 + income"),
        shifts={"x": "income"},
    )
    assert "columns [x:income] that within situations are combinations" in faults[0]


def test_faults_of_tables_and_names_come_together() -> None:
    frame = grouped().assign(weights=lambda f: np.arange(len(f)) + 1.0)
    faults = faults_of(
        frame,
        random={"z": "normal", "y": "normal"},
        demographics=blpdask.Formulation("0 + x"),
        shifts={"y": ["age"]},
        wtp="price",
        correlated=[["y", "w"]],
    )
    words = ["weights that differ", "'z'", "'x' among", "'age'", "'price'", "'w'"]
    assert len(faults) == len(words)
    for word in words:
        assert any(word in fault for fault in faults)


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({"demographics": "income"}, "demographics of type str"),
        (
            {"demographics": blpdask.Formulation("income", absorb="C(group)")},
            "absorb='C(group)' in demographics",
        ),
        ({"shifts": {"x": "income"}}, "shifts without demographics"),
        ({"shifts": ["x"]}, "shifts=['x']"),
        ({"shifts": {"x": 3}}, "shifts={'x': 3}"),
        ({"wtp": 1}, "wtp of type int"),
        ({"wtp": "x", "random_scale": True}, "random_scale=True with wtp='x'"),
        ({"random_scale": 1}, "random_scale=1"),
        ({"correlated": "x"}, "correlated='x'"),
        ({"correlated": ["x", "y"]}, "correlated=['x', 'y']"),
        ({"correlated": []}, "correlated=[]"),
        ({"correlated": True, "random_scale": True}, "of which 0 are random"),
        (
            {"correlated": True, "random": {"x": "normal", "y": "truncated"}},
            "of which 1 are random and not truncated",
        ),
        ({"random": {"x": "truncate"}}, "kind 'truncate' of 'x'"),
    ],
)
def test_faults_of_arguments(given: dict[str, Any], found: str) -> None:
    assert any(found in fault for fault in faults_of(grouped(), **given))


def test_payment_needs_something_to_pay_for() -> None:
    faults = faults_of(grouped(), "0 + x", wtp="x")
    assert faults == ["wtp='x' with no other column"]


def test_components_may_be_combinations_but_not_shared() -> None:
    frame = grouped()
    dummies = {f"a{j}": 1.0 * (frame["alternative_ids"] == j) for j in range(4)}
    frame = frame.assign(**dummies)
    formula = "0 + x + a0 + a1 + a2 + a3"
    assert "combinations" in faults_of(frame, formula)[0]
    problem = blpdask.ChoiceProblem(
        blpdask.Formulation(formula),
        frame,
        random={name: "component" for name in dummies},
    )
    assert (problem.K, problem.D, problem.coefficients.size) == (5, 4, 5)
    faults = faults_of(frame, "0 + x + income", random={"income": "component"})
    assert "'income' is the same for all alternatives" in faults[0]


def test_demographics_where_rows_are_left_out() -> None:
    """Unavailable rows may have any demographics; people without rows have none."""
    frame = grouped(6)
    extra = frame.iloc[[0, 3]].assign(
        alternative_ids=9, chosen=0, income=np.nan, availability=0.0
    )
    single = frame.iloc[[1]].assign(person_ids="q", chosen=1, income=77.0)
    gone = frame.iloc[[1]].assign(person_ids="a", chosen=0, availability=0.0)
    everyone = pd.concat([extra, gone, single, frame]).fillna({"availability": 1.0})
    asked = AskedCoefficients(random={"x": "normal"})
    with pytest.warns(DataWarning, match="person q"):
        table = read_choices(
            everyone[everyone["person_ids"] != "a"].sample(frac=1.0, random_state=2),
            parse("0 + x + y"),
            demographics=parse("1 + income"),
            asked=asked,
        )
    np.testing.assert_array_equal(table.demographics, np.arange(6.0)[:, None])
    assert [c.name for c in table.demographic_columns] == ["income"]
    sizes = np.diff(table.situation_offsets[table.person_offsets])
    np.testing.assert_array_equal(
        table.of_rows(table.demographics)[:, 0], np.repeat(np.arange(6.0), sizes)
    )


def test_situations_in_two_places_are_told() -> None:
    """Rows of a person may stand apart, but not two situations under one id."""
    frame = ragged()
    halves = pd.concat([frame.iloc[1::2], frame.iloc[::2]])
    assert read_choices(halves, parse("0 + x + y")).chosen.size == 13
    again = frame[frame["person_ids"] == "p1"]
    twice = pd.concat([frame, again.assign(x=-again["x"])]).drop(
        columns="alternative_ids"
    )
    (fault,) = faults_of(twice)
    assert "several chosen alternatives in 2 situations (situation 0 of person" in fault
    assert "rows of 2 of them stand in several places of the table" in fault
    together = frame.drop(columns="alternative_ids").assign(
        chosen=np.where(frame["person_ids"] == "p0", 1, frame["chosen"])
    )
    (fault,) = faults_of(together)
    assert "several chosen" in fault and "places" not in fault
