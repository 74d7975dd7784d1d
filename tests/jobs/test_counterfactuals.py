"""A job that asks what would be otherwise gets what the Python interface gives."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import blpdask
from tests.analysis.conduct_markets import draw_markets, estimate
from tests.jobs.test_store import invoke

JOB = """
name: otherwise
data:
  products: {source: products.csv}
formulations:
  linear: "1 + prices + x"
solve:
  method: 1s
engine: {kind: serial}
counterfactuals:
  tax: {unit_taxes: 0.1, ad_valorem_taxes: rate}
  held: {firms: {a: b}, fixed_prices: regulated}
  cheaper: {new_costs: later}
  reform: {unit_taxes_before: 0.2, unit_taxes: 0}
"""


@pytest.fixture(scope="module")
def data() -> pd.DataFrame:
    blpdask.options.verbose, kept = False, blpdask.options.verbose
    drawn = draw_markets(5, T=20, sigma=0.0).drop(columns="clustering_ids")
    blpdask.options.verbose = kept
    rng = np.random.default_rng(0)
    drawn["rate"] = rng.uniform(0, 0.3, len(drawn)).round(3)
    drawn["regulated"] = (drawn["firm_ids"] == "c").astype(int)
    drawn["later"] = 0.9 * drawn["costs"]
    return drawn


@pytest.fixture
def path(data: pd.DataFrame, tmp_path: Path) -> Path:
    data.to_csv(tmp_path / "products.csv", index=False)
    path = tmp_path / "job.yaml"
    path.write_text(JOB)
    return path


def test_each_is_computed_written_and_shown(
    path: Path, data: pd.DataFrame, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    done = invoke("run", path, "-o", output)
    assert done.exit_code == 0, done.output
    results = estimate(data, random=False)
    tax = blpdask.Taxes(unit=0.1, ad_valorem=data["rate"].to_numpy())
    before, none = blpdask.Taxes(unit=0.2), blpdask.Taxes()
    asked: dict[str, dict[str, Any]] = {
        "tax": {"taxes": tax},
        "held": {"mergers": {"a": "b"}, "fixed_prices": data["firm_ids"] == "c"},
        "cheaper": {"new_costs": data["later"]},
        "reform": {"taxes_before": before, "taxes": none},
    }
    summary = json.loads((output / "summary.json").read_text())["counterfactuals"]
    assert list(summary) == list(asked)
    shown = invoke("show", output).output
    for name, arguments in asked.items():
        expected = results.simulate_counterfactual(**arguments)
        found = pd.read_csv(output / "counterfactuals" / f"{name}.csv")
        for column in ("new_prices", "new_shares", "costs", "new_profits"):
            np.testing.assert_allclose(
                found[column], getattr(expected, column), rtol=1e-7, err_msg=column
            )
        markets = pd.read_csv(output / "counterfactuals" / f"{name}_markets.csv")
        np.testing.assert_allclose(
            markets["new_surpluses"], expected.new_surpluses, rtol=1e-7
        )
        for label, pair in expected.summary().items():
            np.testing.assert_allclose(summary[name][label], pair, rtol=1e-7)
        assert f"\n{name}\n" in shown
    held = pd.read_csv(output / "counterfactuals" / "held.csv")
    still = held["new_prices"] == held["prices"]
    assert still[data["firm_ids"] == "c"].all()
    assert not still.all()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("tax.unit_taxes=height", "column 'height' in counterfactuals.tax"),
        ("tax.unit_taxes=firm_ids", "a column of numbers"),
        ("tax.ad_valorem_taxes=-1.5", "rates above -1"),
        ("held.firms={z: b}", "mergers of firms that own nothing (z)"),
        ("held.fixed_prices=x", "a column of true and false, or ones and zeros"),
        ("held.fixed_price=x", "fixed_price"),
        ('"no name"={}', "no name"),
    ],
)
def test_what_cannot_be_asked_stops_a_job_before_it_runs(
    path: Path, tmp_path: Path, change: str, words: str
) -> None:
    for command in ("check", "run"):
        done = invoke(command, path, "--set", f"counterfactuals.{change}")
        assert done.exit_code == 2, done.output
        assert words in " ".join(done.output.split()), done.output
    assert not list(tmp_path.glob("results*"))


def test_all_faults_of_all_are_said_at_once(path: Path) -> None:
    done = invoke(
        *("check", path, "--set", "counterfactuals.tax.unit_taxes=height"),
        *("--set", "counterfactuals.held.firms={z: b}"),
    )
    assert "counterfactuals: 2 faults" in done.output
