"""Formulas against PyBLP: same matrix, same names, same derivatives, same order."""

from __future__ import annotations

import pickle
import re
from typing import Any

import numpy as np
import pandas as pd
import pyblp
import pytest

from blpdask.errors import DataWarning, InputError
from blpdask.problem.formula_calculus import differentiate
from blpdask.problem.formulas import parse, read_column

FORMULAS = [
    # Nevo
    "0 + prices",
    "1 + prices + sugar + mushy",
    "0 + income + income_squared + age + child",
    # BLP
    "1 + hpwt + air + mpd + space",
    "1 + log(hpwt) + air + log(mpg) + log(space) + trend",
    "0 + I(1 / income)",
    # Petrin
    "1 + I(-prices) + hpwt + space + air + mpd + fwd + mi + sw + su + pv",
    "1 + log(hpwt) + log(wt) + log(mpg) + air + fwd + trend * (jp + eu) + log(q)",
    "1 + I(low / income) + I(mid / income) + I(high / income) + I(log(fs) * fv) + age",
    # powers, functions and numbers
    "I(prices**2) + I(prices ** 3)",
    "log(prices) + exp(sugar)",
    "log(I(prices + space))",
    "I(exp(-prices) / (1 + exp(-prices)))",
    "I(prices ** 0.5) - 1",
    "I(space * (prices + 2) ** -2)",
    "I(2 * prices * space - prices / space)",
    "I(2)-1",
    "prices - 1",
    "prices ** 2",
    "",
    # interactions
    "prices:sugar",
    "prices * sugar * space",
    "prices / sugar",
    "(prices + sugar) / space",
    "(prices + sugar + space) ** 2",
    "(prices + sugar + space) ** 3 - prices:sugar",
    "prices:I(prices ** 2)",
    "space:log(prices)",
    "prices:I(1 / prices ** 2):sugar",
    "~ 0 + prices + space:prices + sugar + space",
    # categories
    "region",
    "0 + region",
    "C(year)",
    "0 + C(year)",
    "I(region) + C(region)",
    "C(share)",
    "electric",
    "0 + prices:region",
    "1 + prices:region",
    "0 + prices + prices:region",
    "prices * region",
    "region * size",
    "0 + region * size",
    "region:size",
    "0 + region:size",
    "1 + region + region:size",
    "1 + size + region:size",
    "region:size + region",
    "prices:region:size",
    "region / size",
    "C(year) * region * prices",
    "(region + size + C(year)) ** 2",
    "prices + C(year):region + region:sugar",
    "0 + sugar:region + size",
    "log(prices):region",
]


@pytest.fixture(scope="module")
def data() -> dict[str, Any]:
    rng = np.random.default_rng(1)
    n_rows = 60
    numbers = """prices sugar mushy hpwt air mpd space mpg trend income income_squared
    age child low mid high fs fv fwd mi sw su pv wt jp eu q"""
    found: dict[str, Any] = {
        name: rng.uniform(0.5, 2, n_rows) for name in re.findall(r"\w+", numbers)
    }
    found["trend"] = rng.integers(1, 9, n_rows)
    found["region"] = np.array(["north", "south", "b's"])[rng.integers(0, 3, n_rows)]
    found["size"] = np.array(["small", "large"], dtype=object)[
        rng.integers(0, 2, n_rows)
    ]
    found["year"] = rng.integers(9, 12, n_rows)
    found["share"] = rng.integers(0, 3, n_rows) / 4
    found["electric"] = rng.uniform(size=n_rows) > 0.5
    return found


def plain(name: str) -> str:
    """Write NumPy scalars in PyBLP's names as Python ones."""
    return re.sub(r"np\.\w+\(([^()]*|'[^']*'|\"[^\"]*\")\)", r"\1", name)


@pytest.mark.parametrize("absorb", [None, "C(firm)"])
@pytest.mark.parametrize("formula", FORMULAS)
def test_matrix_names_and_order_are_pyblps(
    formula: str, absorb: str | None, data: dict[str, Any]
) -> None:
    if absorb and formula in ("", "I(2)-1"):
        pytest.skip("nothing is left")
    peer, columns, _ = pyblp.Formulation(formula, absorb)._build_matrix(data)
    design = parse(formula, absorb).build(data)
    np.testing.assert_allclose(design.values, peer, rtol=1e-14, atol=0)
    assert len(design.columns) == len(columns)
    for column, theirs in zip(design.columns, columns, strict=True):
        # PyBLP names a column of a:b that holds only a's dummy after b, too.
        if not re.search(r"\b(region|size|year)\b(?!\[)", str(theirs)):
            assert column.name == plain(str(theirs))


@pytest.mark.parametrize("formula", FORMULAS)
@pytest.mark.parametrize("order", [1, 2])
def test_derivatives_are_pyblps(formula: str, order: int, data: dict[str, Any]) -> None:
    _, peers, underlying = pyblp.Formulation(formula)._build_matrix(data)
    design = parse(formula).build(data)
    override = {"prices": data["prices"] * 1.5}
    for column, peer in zip(design.columns, peers, strict=True):
        if column.name != plain(str(peer)):
            continue
        for name in ("prices", "space", "income"):
            ours = column.derivative(name, data, override, order)
            theirs = peer.evaluate_derivative(name, underlying, override, order)
            assert ours.shape == data["prices"].shape
            np.testing.assert_allclose(ours, theirs + 0 * ours, rtol=1e-12, atol=1e-14)
        values = peer.evaluate(underlying, override)
        np.testing.assert_allclose(
            column.evaluate(data, override), values + np.zeros(60), rtol=1e-13
        )


@pytest.mark.parametrize("formula", FORMULAS)
def test_derivatives_are_finite_differences(formula: str, data: dict[str, Any]) -> None:
    step = 1e-5
    for column in parse(formula).build(data).columns:
        up, down = (
            column.evaluate(data, {"prices": data["prices"] + sign * step})
            for sign in (1, -1)
        )
        difference = (up - down) / (2 * step)
        derivative = column.derivative("prices", data)
        np.testing.assert_allclose(derivative, difference, rtol=1e-7, atol=1e-8)


def test_formulas_are_many() -> None:
    assert len(FORMULAS) >= 50


@pytest.mark.parametrize("formula", ["1 + log(prices):region + C(year) + electric"])
def test_tables_of_any_kind_give_the_same(formula: str, data: dict[str, Any]) -> None:
    expected = parse(formula).build(data).values
    frame = pd.DataFrame(data)
    for table in (
        frame,
        frame.to_records(index=False),
        frame.astype({"region": "category", "year": "Int64", "prices": "Float64"}),
        {name: values[:, None] for name, values in data.items()},
    ):
        np.testing.assert_array_equal(parse(formula).build(table).values, expected)
        column = parse(formula).build(table).columns[4]
        assert np.array_equal(column.evaluate(table), expected[:, 4])


def test_columns_survive_pickling(data: dict[str, Any]) -> None:
    column = parse("I(prices ** 2):region").build(data).columns[3]
    expected = column.derivative("prices", data)
    copy = pickle.loads(pickle.dumps(column))
    assert copy == column
    np.testing.assert_array_equal(copy.derivative("prices", data), expected)
    assert copy.names == {"prices", "region"}
    assert copy.name == "prices**2*region['south']"
    assert copy.label == "I(prices ** 2):region['south']"


def test_an_indicator_is_no_function_of_its_variable(data: dict[str, Any]) -> None:
    design = parse("0 + year:C(year)").build(data)
    for level, column in zip((9, 10, 11), design.columns, strict=True):
        is_level = data["year"] == level
        np.testing.assert_array_equal(column.evaluate(data), is_level * data["year"])
        np.testing.assert_array_equal(column.derivative("year", data), is_level)


def test_linear_columns_need_no_sympy() -> None:
    import subprocess
    import sys

    code = (
        "import sys, numpy as np; from blpdask.api.formulation import Formulation;"
        "d = dict(p=np.ones(3), s=np.array(list('aba')));"
        "c = Formulation('p*s').parsed.build(d).columns;"
        "c[-1].derivative('p', d); assert 'sympy' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_derivative_is_derived_once(
    data: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def counted(*arguments: Any) -> Any:
        calls.append(arguments)
        return differentiate(*arguments)

    monkeypatch.setattr("blpdask.problem.formula_columns.differentiate", counted)
    column = parse("I(prices ** 2)").build(data).columns[1]
    for _ in range(3):
        column.derivative("prices", data)
    assert len(calls) == 1


def test_missing_variables_are_reported_together(data: dict[str, Any]) -> None:
    with pytest.raises(InputError) as caught:
        parse("1 + prizes + log(suger):region").build(data)
    assert len(caught.value.faults) == 2
    assert "is it 'prices'?" in str(caught.value)
    with pytest.raises(InputError, match="one value per row"):
        read_column({"x": np.ones((3, 2))}, "x")
    with pytest.raises(InputError, match="different lengths"):
        parse("x + y").build({"x": np.ones(3), "y": np.ones(2)})


def test_values_not_finite_are_counted(data: dict[str, Any]) -> None:
    bad = {**data, "prices": np.where(np.arange(60) < 7, -1.0, data["prices"])}
    bad["space"] = np.where(np.arange(60) < 2, 0.0, 1.0)
    with pytest.raises(InputError) as caught:
        parse("1 + log(prices) + I(1 / space) + sugar").build(bad)
    found = [fault.found for fault in caught.value.faults]
    assert found == [
        "7 of 60 rows of 'log(prices)' not finite (rows 0, 1, 2, 3, 4, 5, 6)",
        "2 of 60 rows of 'I(1 / space)' not finite (rows 0, 1)",
    ]
    for region in (None, np.nan, pd.NA):
        regions = np.array(["a", region, "b"], dtype=object)
        with pytest.raises(InputError, match="1 missing values in 'region'"):
            parse("region").build({"region": regions})


def test_words_are_not_numbers(data: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="arithmetic on region, not numeric"):
        parse("log(region)").build(data)
    with pytest.raises(InputError, match="'I\\(prices \\* size\\)'"):
        parse("I(prices * size)").build(data)
    objects = {"x": np.array([1.5, 2.5, 3.5], dtype=object)}
    with pytest.warns(DataWarning, match="3 categories"):
        assert parse("x").build(objects).values.shape == (3, 3)
    assert parse("C(x)").build(objects).values.shape == (3, 3)


def test_names_are_all_that_is_used() -> None:
    parsed = parse("a*log(b) + C(c)", "C(d) + e:C(f) + C(d):e")
    assert parsed.names == set("abcdef")
    assert parsed.absorbed_terms == (("d",), ("e", "f"), ("d", "e"))
