"""The benchmarks run and print their table; nothing is asserted about times."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from tests.benchmarks import ta_feng
from tests.benchmarks.cases import CASES
from tests.benchmarks.measure import ROOT, Span
from tests.benchmarks.problems import Size, simulate
from tests.benchmarks.table import Row, Table, render, time_rows


def run(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "tests.benchmarks", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_quick_run_prints_one_table_and_the_packages_agree(tmp_path):
    path = tmp_path / "samples.json"
    done = run("--quick", "--json", str(path), "evaluation-nevo", "overhead")
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith("|")]
    assert len({len(line) for line in lines}) == 1
    kept = json.loads(path.read_text())
    assert len(lines) == 2 + len(kept["rows"])
    assert "pyblp 1." in kept["facts"]["versions"]
    rows = {(row["case"], row["measure"]): row for row in kept["rows"]}
    objective = rows["evaluation-nevo", "objective at the first θ"]
    # PyBLP 1.3.0's objective at the starting values of Nevo's problem.
    np.testing.assert_allclose(objective["blpdask"], 29.3533431262, rtol=1e-11)
    assert objective["compared"] < 1e-11
    gradients = rows["evaluation-nevo", "gradients, largest difference in norm"]
    assert gradients["blpdask"][0] < 1e-10
    assert "overhead: what an engine costs" in done.stderr


@pytest.mark.slow
def test_every_case_runs_quickly(tmp_path):
    path = tmp_path / "samples.json"
    done = run("--quick", "--json", str(path))
    assert done.returncode == 0, done.stderr
    rows = json.loads(path.read_text())["rows"]
    assert {row["case"] for row in rows} == {case.name for case in CASES}
    for row in rows:
        if row["comparison"] == "apart":
            assert row["compared"] < 1e-9, row


def test_an_unknown_case_is_refused_with_the_names_of_all():
    done = run("nevo")
    assert done.returncode == 2
    assert "no case nevo; cases are nevo-solve, evaluation-nevo," in done.stderr


def test_simulated_shares_are_the_integral_over_the_nodes():
    data = simulate(Size(T=3, J=4, I=7, K2=2), seed=1)
    again = simulate(Size(T=3, J=4, I=7, K2=2), seed=1)
    for name, column in data.products.items():
        np.testing.assert_array_equal(column, again.products[name])
    shares = data.products["shares"].reshape(3, 4)
    assert (shares > 0).all()
    assert (shares.sum(axis=1) < 1).all()
    # With δ from the shares by a plain contraction, the shares come back.
    x = np.stack([data.products[f"x{k}"] for k in (1, 2)], axis=1).reshape(3, 4, 2)
    nodes = np.stack([data.agents[f"nodes{k}"] for k in (0, 1)], axis=1)
    mu = np.einsum("tjk,k,tik->tji", x, [1.0, 0.8], nodes.reshape(3, 7, 2))
    delta = np.log(shares / (1 - shares.sum(axis=1, keepdims=True)))
    for _ in range(2000):
        e = np.exp(delta[:, :, None] + mu)
        delta += np.log(shares / (e / (1 + e.sum(axis=1)[:, None])).mean(axis=2))
    design = np.column_stack([data.products["prices"], x.reshape(12, 2), np.ones(12)])
    residual = delta.ravel() - design @ [-1.5, 0.7, 0.7, -1.0]
    rng = np.random.default_rng(1)
    rng.normal(size=(3, 4, 2)), rng.uniform(size=(3, 4)), rng.uniform(size=(3, 4))
    np.testing.assert_allclose(residual, 0.5 * rng.normal(size=12), atol=1e-11)


def test_differentiation_instruments_are_sums_over_pairs():
    data = simulate(Size(T=2, J=5, I=3, K2=1))
    x = data.products["x1"].reshape(2, 5)
    pairs = ((x[:, :, None] - x[:, None, :]) ** 2).sum(axis=2)
    np.testing.assert_allclose(
        data.products["demand_instruments2"], pairs.ravel(), rtol=1e-12
    )


def test_medians_are_shown_and_compared():
    rows = time_rows("c", "m", [Span(4.0, 3.0), Span(2.0, 3.0)], [Span(1.5, 1.0)])
    assert [row.compared for row in rows] == [2.0, 3.0]
    apart = Row("c", "q", "", (2.0,), (2.0 + 2e-9,), comparison="apart")
    assert apart.compared == pytest.approx(1e-9)
    assert Row("c", "q", "", (), (1.0,)).compared is None
    lines = render(Table({"date": "today"}, (*rows, apart))).splitlines()
    assert lines[0] == "- date: today"
    assert lines[4].split("|")[2:7] == [
        " m, wall ",
        " s    ",
        " 3    ",
        " 1.5     ",
        " 2 x            ",
    ]


def test_situations_know_what_was_bought_before(monkeypatch):
    monkeypatch.setattr(ta_feng, "ALTERNATIVES", 3)
    table = pd.DataFrame(
        {
            "TRANSACTION_DT": ["11/2/2000", "11/1/2000", "11/4/2000"] * 20,
            "CUSTOMER_ID": np.arange(60) % 7,
            "PRODUCT_SUBCLASS": np.random.default_rng(0).integers(50, 54, 60),
            "AMOUNT": 2,
            "SALES_PRICE": np.arange(1.0, 61.0),
        }
    )
    bought = ta_feng.purchases(table)
    prices = ta_feng.daily_prices(bought)
    # Nothing was bought on the third day.
    np.testing.assert_array_equal(prices[2], prices[1])
    monday = table[table["TRANSACTION_DT"] == "11/1/2000"]
    leading = sorted(table["PRODUCT_SUBCLASS"].value_counts().index[:3])
    own = [monday[monday["PRODUCT_SUBCLASS"] == kind] for kind in leading]
    means = [float((o["SALES_PRICE"] / 2).mean()) for o in own]
    np.testing.assert_allclose(prices[0], np.log(means), rtol=1e-14)
    whole = pd.concat(list(ta_feng.situations(bought, prices)), ignore_index=True)
    cut = list(ta_feng.situations(bought, prices, purchases_at_once=5))
    pd.testing.assert_frame_equal(whole, pd.concat(cut, ignore_index=True))
    assert len(cut) > 3
    met = {}
    for _, rows in whole.groupby("situation_ids"):
        before = met.setdefault(rows["person_ids"].iloc[0], [])
        last = before[-1] if before else None
        counts = [before.count(j) for j in range(3)]
        np.testing.assert_allclose(rows["before"], np.log1p(counts))
        assert rows["last"].tolist() == [int(j == last) for j in range(3)]
        before.append(rows["alternative_ids"][rows["chosen"]].item())
    assert sum(map(len, met.values())) == len(bought)
