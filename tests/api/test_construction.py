"""What is built from products is what PyBLP builds, and what it lacks follows loops.

Sums agree to 1e-12 and quadratic differentiation instruments to 1e-10 in norm, on
Nevo's and BLP's data and on random unbalanced panels; bad input is refused with every
fault.
"""

from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pyblp
import pytest

import blpdask
from blpdask import Formulation
from blpdask.errors import InputError

Table = pd.DataFrame

NEVO, BLP = "0 + prices + sugar + mushy", "1 + hpwt + air + mpd + space"


def nevo() -> Table:
    return pd.read_csv(pyblp.data.NEVO_PRODUCTS_LOCATION)


def blp() -> Table:
    return pd.read_csv(pyblp.data.BLP_PRODUCTS_LOCATION)


def random_panel(seed: int) -> Table:
    """Unbalanced markets in random order with named ids, some of one product."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 12, 15)
    n = int(sizes.sum())
    table = Table(
        {
            "market_ids": np.repeat([f"m{t}" for t in range(15)], sizes),
            "firm_ids": rng.choice(["a", "b", "c"], n),
            "x": rng.normal(50, 1, n),
            "y": rng.lognormal(size=n),
            "d": rng.integers(0, 2, n),
        }
    )
    return table.sample(frac=1, random_state=seed).reset_index(drop=True)


PANELS = [
    pytest.param(nevo, NEVO, id="nevo"),
    pytest.param(blp, BLP, id="blp"),
    *[
        pytest.param(lambda s=s: random_panel(s), "1 + x + y + d", id=f"random{s}")
        for s in range(4)
    ],
]


def assert_close_in_norm(found: np.ndarray, expected: np.ndarray, most: float) -> None:
    """Compare column by column, so that no large one hides a small one."""
    assert found.shape == expected.shape
    error = np.linalg.norm(found - expected, axis=0)
    assert (error <= most * np.linalg.norm(expected, axis=0)).all()


def quietly(build: Callable[..., np.ndarray], *args: Any) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return build(*args)


@pytest.mark.parametrize(("T", "J", "F"), [(1, 1, 1), (3, 7, 3), (2, 6, 6), (4, 5, 2)])
def test_id_data_is_pyblps(T: int, J: int, F: int) -> None:
    found, expected = blpdask.build_id_data(T, J, F), pyblp.build_id_data(T, J, F)
    assert found.dtype == expected.dtype
    assert np.array_equal(found.market_ids, expected.market_ids)
    assert np.array_equal(found.firm_ids, expected.firm_ids)


@pytest.mark.parametrize("kappa", [None, "monopoly", "single", "function"])
@pytest.mark.parametrize(("read", "formula"), PANELS)
def test_ownership_is_pyblps(
    read: Callable[[], Table], formula: str, kappa: Any
) -> None:
    del formula
    if kappa == "function":

        def kappa(f: Any, g: Any) -> float:
            return 1.0 if f == g else 0.01 * (len(str(f)) + (str(f) < str(g)))

    found = blpdask.build_ownership(read(), kappa)
    expected = pyblp.build_ownership(read(), kappa)
    assert np.array_equal(found, expected, equal_nan=True)


@pytest.mark.parametrize(("read", "formula"), PANELS)
def test_blp_instruments_are_pyblps(read: Callable[[], Table], formula: str) -> None:
    found = blpdask.build_blp_instruments(Formulation(formula), read())
    expected = pyblp.build_blp_instruments(pyblp.Formulation(formula), read())
    assert found.shape == expected.shape
    scale = np.abs(expected).max(axis=0)
    assert (np.abs(found - expected) <= 1e-12 * scale).all()


@pytest.mark.parametrize("interact", [False, True])
@pytest.mark.parametrize("version", ["local", "quadratic"])
@pytest.mark.parametrize(("read", "formula"), PANELS)
def test_differentiation_instruments_are_pyblps(
    read: Callable[[], Table], formula: str, version: str, interact: bool
) -> None:
    found = blpdask.build_differentiation_instruments(
        Formulation(formula), read(), version, interact
    )
    expected = quietly(
        pyblp.build_differentiation_instruments,
        pyblp.Formulation(formula),
        read(),
        version,
        interact,
    )
    assert_close_in_norm(found, expected, 1e-10)
    if version == "local" and not interact:
        assert np.array_equal(found, expected)


def test_absorbed_effects_are_absorbed_first() -> None:
    how = ("0 + prices", "C(product_ids)")
    found = blpdask.build_differentiation_instruments(
        Formulation(*how), nevo(), "quadratic"
    )
    expected = pyblp.build_differentiation_instruments(
        pyblp.Formulation(*how), nevo(), "quadratic"
    )
    assert_close_in_norm(found, expected, 1e-10)


@pytest.mark.parametrize("kind", ["dict", "records", "matrix", "categorical"])
def test_data_may_be_of_any_kind(kind: str) -> None:
    table = random_panel(7)
    data: Any = {name: table[name].to_numpy() for name in table}
    if kind == "records":
        data = table.to_records(index=False)
    elif kind == "matrix":
        data["firm_ids"] = data["firm_ids"][:, None]
    elif kind == "categorical":
        data = table.astype({"market_ids": "category", "firm_ids": "category"})
    formulation = Formulation("0 + x")
    found = blpdask.build_blp_instruments(formulation, data)
    assert np.array_equal(found, blpdask.build_blp_instruments(formulation, table))


def test_demographics_of_markets_and_of_products() -> None:
    table, formulation = random_panel(2), Formulation("0 + x + y")
    z = blpdask.build_differentiation_instruments(formulation, table)
    ids = sorted(set(table["market_ids"]))
    income = {market: float(place) ** 2 for place, market in enumerate(ids)}
    by_row = table["market_ids"].map(income).to_numpy()
    by_market = np.array([income[market] for market in ids])
    named = Table({"market_ids": ids, "income": by_market}).sample(
        frac=1, random_state=0
    )
    expected = np.hstack([z, z * by_row[:, None]])
    for given in (by_row, by_market, {"income": by_market}, named):
        found = blpdask.build_differentiation_instruments(
            formulation, table, demographics=given
        )
        assert np.array_equal(found, expected)
    two = blpdask.build_differentiation_instruments(
        formulation, table, demographics=np.column_stack([by_market, by_market + 1])
    )
    assert np.array_equal(two, np.hstack([expected, z * (by_row + 1)[:, None]]))


def test_demographics_indexed_in_another_order_are_refused() -> None:
    table = random_panel(2)
    wrong = table.groupby("market_ids")["x"].mean().iloc[::-1]
    with pytest.raises(InputError, match="whose index begins m9, m8, m7"):
        blpdask.build_differentiation_instruments(
            Formulation("0 + x"), table, demographics=wrong
        )


def slow_hausman(table: Table, same: list[str], different: list[str]) -> np.ndarray:
    """Average prices row by row."""
    found = []
    for _, row in table.iterrows():
        kept = np.ones(len(table), dtype=bool)
        for name in same:
            kept &= (table[name] == row[name]).to_numpy()
        for name in different:
            kept &= (table[name] != row[name]).to_numpy()
        found.append(table["prices"][kept].mean() if kept.any() else np.nan)
    return np.array(found)[:, None]


def test_hausman_instruments_on_nevo_are_those_of_loops() -> None:
    table = nevo().iloc[::3].reset_index(drop=True)
    cases = [
        ({}, ["product_ids"], ["market_ids"]),
        (
            {"across": "city_ids", "period": "quarter"},
            ["product_ids", "quarter"],
            ["city_ids"],
        ),
        (
            {"same": "firm_ids", "leave_out": "quarter"},
            ["firm_ids"],
            ["market_ids", "quarter"],
        ),
    ]
    for arguments, same, different in cases:
        found = blpdask.build_hausman_instruments(table, fallback="nan", **arguments)
        expected = slow_hausman(table, same, different)
        assert np.allclose(found, expected, rtol=1e-13, atol=0, equal_nan=True)


def test_hausman_instruments_by_pandas_groups() -> None:
    table = nevo()
    groups = table.groupby("product_ids")["prices"]
    mine = table.groupby(["product_ids", "market_ids"])["prices"]
    total = groups.transform("sum") - mine.transform("sum")
    expected = total / (groups.transform("size") - mine.transform("size"))
    found = blpdask.build_hausman_instruments(table)
    assert np.allclose(found[:, 0], expected, rtol=1e-12, atol=0)


def sold_once() -> Table:
    return Table(
        {
            "market_ids": [0, 1, 0, 1, 1],
            "product_ids": [1, 1, 2, 3, 4],
            "firm_ids": ["a", "a", "a", "a", "b"],
            "prices": [1.0, 2.0, 3.0, 4.0, 5.0],
        }
    )


def test_products_sold_in_one_market_are_listed_or_fall_back() -> None:
    table = sold_once()
    with pytest.raises(InputError, match=r"3 rows \(2, 3, 4\)"):
        blpdask.build_hausman_instruments(table)
    nan = blpdask.build_hausman_instruments(table, fallback="nan").ravel()
    assert np.array_equal(nan, [2, 1, np.nan, np.nan, np.nan], equal_nan=True)
    with pytest.raises(InputError, match=r"1 rows \(4\) .* firm_ids"):
        blpdask.build_hausman_instruments(table, fallback="firm_ids")
    kept = blpdask.build_hausman_instruments(table.iloc[:4], fallback="firm_ids")
    assert kept.ravel().tolist() == [2.0, 1.0, 3.0, 2.0]


def many_candidates() -> tuple[Table, np.ndarray]:
    rng = np.random.default_rng(23)
    n = 800
    z = rng.normal(size=(n, 25))
    table = Table({"city": rng.integers(0, 10, n), "w": rng.normal(size=n)})
    table["clustering_ids"] = rng.integers(0, 60, n)
    z[:, 3] += table["w"]
    noise = rng.normal(size=n)
    shifted = z[:, 3] - z[:, 8] + 2 * table["w"] + 0.3 * table["city"]
    table["prices"] = np.exp(0.2 * (shifted + noise))
    for place in range(25):
        table[f"demand_instruments{place}"] = z[:, place]
    return table, z


def test_selection_is_the_same_however_candidates_are_given() -> None:
    table, z = many_candidates()
    names = [f"demand_instruments{place}" for place in range(25)]
    ways = [z, None, table[names], Formulation("0 + " + " + ".join(names))]
    how: dict[str, Any] = {
        "endogenous": "log(prices)",
        "controls": Formulation("w", absorb="C(city)"),
        "clusters": "clustering_ids",
    }
    found = [blpdask.select_instruments(way, table, **how) for way in ways]
    for selection in found:
        assert selection.selected.tolist() == [3, 8]
        assert np.array_equal(selection.columns, z[:, [3, 8]])
        assert np.array_equal(selection.coefficients, found[0].coefficients)
    assert found[1].selected_names == ("demand_instruments3", "demand_instruments8")
    frame = found[1].to_frame()
    assert frame.index[frame["selected"]].tolist() == list(found[1].selected_names)
    assert "2 of 25 instruments selected" in str(found[1])


def test_post_lasso_is_least_squares_with_dummies() -> None:
    table, z = many_candidates()
    found = blpdask.select_instruments(
        z,
        table,
        endogenous="log(prices)",
        controls=Formulation("w", absorb="C(city)"),
    )
    dummies = pd.get_dummies(table["city"]).to_numpy(float)
    D = np.column_stack([z[:, found.selected], table["w"], dummies])
    y = np.log(table["prices"].to_numpy())
    b = np.linalg.lstsq(D, y)[0]
    assert np.allclose(found.post_coefficients[found.selected], b[:2], rtol=1e-9)
    errors = y - D @ b
    bread = np.linalg.inv(D.T @ D)
    V = bread @ (D.T * errors**2) @ D @ bread * len(y) / (len(y) - D.shape[1])
    F = b[:2] @ np.linalg.solve(V[:2, :2], b[:2]) / 2
    assert found.first_stage_F == pytest.approx(F, rel=1e-9)


def test_candidates_that_add_nothing_are_named_and_left_out() -> None:
    table, z = many_candidates()
    more = np.column_stack([z, table["w"], np.ones(len(z)), 5 - 2 * z[:, 8]])
    how: dict[str, Any] = {
        "endogenous": "log(prices)",
        "controls": Formulation("1 + w + city"),
    }
    found = blpdask.select_instruments(more, table, **how)
    alone = blpdask.select_instruments(z, table, **how)
    assert np.flatnonzero(found.collinear).tolist() == [25, 26, 27]
    assert found.penalty == alone.penalty
    assert np.allclose(found.coefficients[:25], alone.coefficients, rtol=1e-9)


def test_penalties_limit() -> None:
    table, z = many_candidates()
    nothing = blpdask.select_instruments(z, table, penalty=1e9)
    assert nothing.selected.size == 0 and nothing.columns.shape == (800, 0)
    everything = blpdask.select_instruments(z, table, penalty=0)
    D = np.column_stack([z, np.ones(800)])
    ols = np.linalg.lstsq(D, table["prices"].to_numpy())[0][:25]
    assert np.allclose(everything.coefficients, ols, rtol=1e-9)


GOOD = {"market_ids": [0, 0], "firm_ids": [0, 1], "x": [1.0, 2.0], "prices": [1.0, 2.0]}
X = Formulation("0 + x")
D = blpdask.build_differentiation_instruments
H = blpdask.build_hausman_instruments
S = blpdask.select_instruments
BAD: list[tuple[str, Callable[[], Any], int]] = [
    ("ids: not positive", lambda: blpdask.build_id_data(0, 1.5, True), 3),
    ("ids: too many firms", lambda: blpdask.build_id_data(1, 2, 3), 1),
    ("ids: words", lambda: blpdask.build_id_data("3", 2, 1), 1),
    ("ownership: no columns", lambda: blpdask.build_ownership({"x": [1]}, 3), 3),
    ("ownership: no table", lambda: blpdask.build_ownership(5, "none"), 2),
    (
        "ownership: missing ids",
        lambda: blpdask.build_ownership(
            {"market_ids": [0, None], "firm_ids": [np.nan, 1]}
        ),
        2,
    ),
    ("blp: no formulation", lambda: blpdask.build_blp_instruments("x", {"a": [1]}), 3),
    (
        "blp: not finite, no firms",
        lambda: blpdask.build_blp_instruments(X, {"market_ids": [0], "x": [np.inf]}),
        2,
    ),
    (
        "blp: lengths",
        lambda: blpdask.build_blp_instruments(X, GOOD | {"firm_ids": [0, 1, 2]}),
        1,
    ),
    ("differentiation: version", lambda: D(X, GOOD, "both", 2), 2),
    ("differentiation: data", lambda: D(Formulation("0 + z"), {"x": [1]}, None), 4),
    ("differentiation: demographics", lambda: D(X, GOOD, demographics=[1, 2, 3]), 1),
    ("differentiation: words", lambda: D(X, GOOD, "?", demographics=["a", "b"]), 2),
    ("hausman: no columns", lambda: H({"x": [1]}, period="quarter"), 4),
    ("hausman: no names", lambda: H(GOOD, same=(), across=3, prices=None), 3),
    (
        "hausman: not finite",
        lambda: H(GOOD | {"prices": [np.nan, 1], "product_ids": [None, 1]}),
        2,
    ),
    ("select: numbers", lambda: S(None, GOOD, c=0, gamma=2, penalty=-1), 4),
    (
        "select: columns",
        lambda: S(np.ones(3), GOOD, endogenous="q", controls="w", clusters="c"),
        3,
    ),
    ("select: lengths", lambda: S(np.ones(3), GOOD), 1),
    ("select: spanned", lambda: S(np.array([1.0, 2.0]), GOOD, controls=X), 1),
]


@pytest.mark.parametrize(("name", "call", "count"), BAD, ids=[case[0] for case in BAD])
def test_bad_input_is_refused_with_every_fault(
    name: str, call: Callable[[], Any], count: int
) -> None:
    del name
    with pytest.raises(InputError) as caught:
        call()
    assert len(caught.value.faults) == count, str(caught.value)


MEMORY = """
import resource, sys
import numpy as np
from blpdask import Formulation, build_differentiation_instruments
build = build_differentiation_instruments
rng = np.random.default_rng(0)
def data(n):
    return {"market_ids": np.arange(n) // 200, "firm_ids": np.arange(n) % 10,
            "x": rng.normal(size=n), "y": rng.normal(size=n), "z": rng.normal(size=n)}
formulation = Formulation("0 + x + y + z")
for version in ("local", "quadratic"):
    build(formulation, data(400), version, True)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for version in ("local", "quadratic"):
    build(formulation, data(200_000), version, True)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.slow
def test_differentiation_of_a_large_panel_takes_little_memory() -> None:
    done = subprocess.run(
        [sys.executable, "-c", MEMORY], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < 300
