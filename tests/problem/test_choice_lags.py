"""Past choices: lags, stocks and loyalty beside a loop over a person's history.

What must hold:

1. Values, flags and burn-in are those of a plain walk through each person's periods.
2. Rows in any order, and ids of any kind, change nothing.
3. Groups, states before the first period, gaps and what forms no habit are respected.
4. Every fault of a table and of arguments is told, together.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import blpdask
from blpdask.errors import InputError


def panel(seed: int = 0, n_people: int = 12) -> pd.DataFrame:
    """Draw people seen in some of 12 periods, choosing among some of 4 alternatives."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(n_people):
        seen = np.sort(rng.choice(12, rng.integers(1, 9), replace=False))
        first = rng.choice(["none", "a", "b", None])
        for t in seen:
            there = ["none", *rng.choice(["a", "b", "c"], 2, replace=False)]
            choice = rng.choice(there)
            for j in there:
                kind = {"a": "tobacco", "b": "tobacco", "c": "vapour"}.get(j, "none")
                rows.append((f"p{i}", t, j, kind, j == choice, first))
    names = ("person_ids", "period_ids", "alternative_ids", "kind", "chosen", "first")
    return pd.DataFrame(rows, columns=list(names))


def walk(
    table: pd.DataFrame,
    *,
    same: str = "alternative_ids",
    kind: str = "lag",
    decay: float = 0.0,
    gap: float = 1,
    initial: str | None = None,
    outside: tuple[str, ...] = (),
    burn_in: float = 0,
) -> tuple[Any, Any, Any]:
    """Walk through each person's periods one by one."""
    values = pd.Series(0.0, table.index)
    known, kept = pd.Series(False, table.index), pd.Series(False, table.index)
    for _, person in table.groupby("person_ids"):
        stock: dict[str, float] = {}
        last, at, told = None, None, False
        if initial is not None and not pd.isna(person[initial].iloc[0]):
            last, told = person[initial].iloc[0], True
        for t, rows in person.groupby("period_ids"):
            if at is not None:
                elapsed = t - at
                told = elapsed <= gap
                if not told:
                    stock, last = {}, None
                stock = {g: a * decay**elapsed for g, a in stock.items()}
            else:
                elapsed = 1
                began = t
            if last is not None and last not in outside:
                stock[last] = stock.get(last, 0.0) + decay ** (elapsed - 1)
            for index, row in rows.iterrows():
                g = row[same]
                scale = 1 - decay if kind == "loyalty" else 1.0
                found = float(g == last) if kind == "lag" else scale * stock.get(g, 0)
                values[index] = 0.0 if g in outside else found
                known[index], kept[index] = told, t - began >= burn_in
            last, at = rows.loc[rows["chosen"], same].iloc[0], t
    return values * known, known, kept


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"gap": 3, "outside": ("none",)},
        {"initial": "first", "burn_in": 2},
        {"same": "kind", "outside": ("none",), "gap": 2},
        {"kind": "stock", "decay": 0.6, "gap": 20, "outside": ("none",)},
        {"kind": "stock", "decay": 0.0, "gap": 1},
        {"kind": "loyalty", "decay": 0.8, "gap": 2, "initial": "first", "burn_in": 3},
        {"kind": "stock", "decay": 0.5, "same": "kind", "gap": 4},
    ],
)
def test_values_are_those_of_a_walk(options: dict[str, Any]) -> None:
    table = panel()
    found = blpdask.build_lagged_choices(table, **options)
    for ours, theirs in zip(
        (found.values, found.known, found.kept), walk(table, **options), strict=True
    ):
        np.testing.assert_allclose(ours, theirs.to_numpy(float), atol=1e-14)
    assert found.values.max() > 0 and 0 < found.known.mean() < 1
    shuffled = table.sample(frac=1.0, random_state=1)
    again = blpdask.build_lagged_choices(shuffled, **options)
    np.testing.assert_array_equal(
        pd.Series(again.values, shuffled.index).loc[table.index], found.values
    )


def test_any_number_of_periods_may_lie_between() -> None:
    table = panel(1)
    never = blpdask.build_lagged_choices(table, gap=None)
    long = walk(table, gap=100)
    np.testing.assert_array_equal(never.values, long[0])
    np.testing.assert_array_equal(never.known, long[1])
    marked = blpdask.build_lagged_choices(table, missing=float("nan"))
    np.testing.assert_array_equal(np.isnan(marked.values), ~marked.known)


def test_ids_may_be_numbers_and_tables_mappings() -> None:
    table = panel(2)
    codes = {"none": 0, "a": 1, "b": 2, "c": 3}
    numbers = table.assign(
        alternative_ids=table["alternative_ids"].map(codes),
        first=table["first"].map(codes),
    )
    one = blpdask.build_lagged_choices(table, initial="first", outside=["none"])
    other = blpdask.build_lagged_choices(
        {name: numbers[name].to_numpy() for name in numbers},
        initial="first",
        outside=[0],
    )
    np.testing.assert_array_equal(one.values, other.values)
    np.testing.assert_array_equal(one.known, other.known)


def test_what_is_not_there_can_have_been_chosen() -> None:
    """Alternative c is chosen first, and cannot be had in the second period."""
    data = {
        "person_ids": [1] * 6,
        "period_ids": [1, 1, 2, 2, 3, 3],
        "alternative_ids": ["a", "c"] * 3,
        "availability": [1, 1, 1, 0, 1, 1],
        "chosen": [0, 1, 1, 0, 1, 0],
    }
    found = blpdask.build_lagged_choices(data)
    assert found.values.tolist() == [0, 0, 0, 1, 1, 0]


def test_initial_conditions_are_first_states_and_averages() -> None:
    table = panel(3)
    table["prices"] = np.random.default_rng(0).uniform(size=len(table))
    lags = blpdask.build_lagged_choices(table, burn_in=1, gap=None)
    kept = table.assign(lag=lags.values)[lags.kept].sample(frac=1.0, random_state=0)
    found = blpdask.build_initial_conditions(kept, averages=["prices"])
    first: dict[str, str] = {}
    for who, person in table.groupby("person_ids"):
        began = person[person["period_ids"] == person["period_ids"].min()]
        first[who] = began.loc[began["chosen"], "alternative_ids"].iloc[0]
        later = kept[kept["person_ids"] == who]
        now = later[later["period_ids"] == later["period_ids"].min()]
        if first[who] not in set(now["alternative_ids"]):
            first[who] = ""  # no row of the first period shows that state
    states = kept["person_ids"].map(first)
    means = kept.groupby("person_ids")["prices"].mean()
    np.testing.assert_allclose(
        found["average_prices"],
        kept["person_ids"].map(means - means.mean()),
        rtol=1e-12,
        atol=1e-14,
    )
    shown = sorted(set(states) - {""})
    shown = shown if (states == "").any() else shown[1:]
    assert sorted(found) == sorted(["average_prices", *[f"initial_{g}" for g in shown]])
    for g in shown:
        np.testing.assert_array_equal(found[f"initial_{g}"], states == g)


def test_faults_of_tables_come_together() -> None:
    table = panel()
    with pytest.raises(InputError) as caught:
        blpdask.build_lagged_choices(
            table.drop(columns=["period_ids", "alternative_ids"]).assign(chosen=2)
        )
    text = str(caught.value)
    assert "no column 'period_ids'" in text
    assert "no column 'alternative_ids'" in text
    with pytest.raises(InputError, match="no column 'person_ids'"):
        blpdask.build_lagged_choices(table.drop(columns="person_ids"))
    missing = table.assign(
        alternative_ids=table["alternative_ids"].mask(
            [True] * 1 + [False] * (len(table) - 1)
        )
    )
    with pytest.raises(InputError, match="1 missing values of 'alternative_ids'"):
        blpdask.build_lagged_choices(missing)
    with pytest.raises(InputError, match="no chosen alternatives"):
        blpdask.build_lagged_choices(table.assign(chosen=0))
    with pytest.raises(InputError, match="NaN or infinite values of 'period_ids'"):
        blpdask.build_lagged_choices(table.assign(period_ids=np.nan))


def test_two_situations_in_one_period_are_refused() -> None:
    data = {
        "person_ids": [7] * 6,
        "situation_ids": [1, 1, 2, 2, 3, 3],
        "period_ids": [1, 1, 1, 1, 2, 2],
        "alternative_ids": ["a", "b", "c", "d", "a", "b"],
        "chosen": [1, 0, 1, 0, 1, 0],
    }
    with pytest.raises(InputError, match="several situations of a person") as caught:
        blpdask.build_lagged_choices(data)
    assert "situation 1 of person 7" in str(caught.value)
    data["period_ids"] = [1, 5, 2, 2, 3, 3]
    with pytest.raises(InputError, match="several 'period_ids' within one situation"):
        blpdask.build_lagged_choices(data)
    del data["situation_ids"]
    data["period_ids"], data["alternative_ids"] = [1, 1, 1, 1, 2, 2], ["a", "b"] * 3
    with pytest.raises(InputError, match="several rows in one situation"):
        blpdask.build_lagged_choices(data)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "habit"}, "kind='habit'"),
        ({"kind": "stock"}, "decay=None"),
        ({"decay": 0.5}, "decay=0.5"),
        ({"kind": "stock", "decay": 1.0}, "decay=1.0"),
        ({"gap": 0}, "gap=0"),
        ({"burn_in": -1}, "burn_in=-1"),
        ({"missing": "nan"}, "missing='nan'"),
        ({"outside": ["d"]}, "outside d, which"),
        ({"initial": "before"}, "initial='before'"),
        ({"initial": "period_ids"}, "period_ids that differ within"),
        ({"initial": "kind"}, "'kind' of tobacco"),
        ({"same": "brand_ids"}, "no column 'brand_ids'"),
    ],
)
def test_faults_of_arguments(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        blpdask.build_lagged_choices(panel(), **options)


def test_faults_of_initial_conditions() -> None:
    table = panel()
    lags = blpdask.build_lagged_choices(table, kind="stock", decay=0.5, gap=None)
    with pytest.raises(InputError, match="neither 0 nor 1"):
        blpdask.build_initial_conditions(table.assign(lag=lags.values))
    with pytest.raises(InputError, match="several groups with 'lag' of one"):
        blpdask.build_initial_conditions(table.assign(lag=1))
    with pytest.raises(InputError, match="no column 'lag'"):
        blpdask.build_initial_conditions(table)


def test_dates_and_columns_of_other_lengths_are_refused() -> None:
    table = panel()
    dates = pd.to_datetime("2013-01-05") + pd.to_timedelta(7 * table["period_ids"], "D")
    with pytest.raises(InputError, match="'period_ids' of dates"):
        blpdask.build_lagged_choices(table.assign(period_ids=dates))
    weeks = (dates - dates.min()).dt.days // 7
    one, other = (
        blpdask.build_lagged_choices(table.assign(period_ids=periods))
        for periods in (table["period_ids"], weeks)
    )
    np.testing.assert_array_equal(one.values, other.values)
    columns = {name: table[name].to_numpy() for name in table} | {"lag": np.zeros(3)}
    columns["first"] = columns["first"][:5]
    for call in (
        lambda: blpdask.build_lagged_choices(columns, initial="first"),
        lambda: blpdask.build_initial_conditions(columns),
        lambda: blpdask.build_lagged_choices(columns | {"period_ids": np.zeros(2)}),
    ):
        with pytest.raises(InputError, match=f"rows in a table of {len(table)}"):
            call()
