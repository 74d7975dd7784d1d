"""A job that asks about a merger gets it, in tables, in print and in the summary."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.jobs.test_store import invoke

JOB = """
name: together
data:
  simulated: {markets: 12, products: [4, 8], agents: 30}
formulations:
  linear: "1 + prices + x1"
  random: "0 + prices"
  supply: "1 + x1 + z1"
sigma: 0.5
beta: [null, -2.4, null]
merger: {firms: {0: 1}}
solve:
  method: 1s
  optimization: {method: return}
engine: {kind: serial}
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "job.yaml"
    path.write_text(JOB)
    return path


def test_a_merger_is_computed_written_and_shown(path: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    done = invoke("run", path, "-o", output)
    assert done.exit_code == 0, done.output
    products = pd.read_csv(output / "merger.csv")
    markets = pd.read_csv(output / "merger_markets.csv")
    assert len(markets) == 12
    merging = products["firm_ids"].isin([0, 1])
    np.testing.assert_array_equal(
        products["new_firm_ids"], products["firm_ids"].replace(0, 1)
    )
    margins = products["new_prices"] - products["costs"]
    np.testing.assert_allclose(
        products["new_profits"], margins * products["new_shares"], rtol=1e-12
    )
    summary = json.loads((output / "summary.json").read_text())["merger"]
    weights = products["shares"][merging] / products["shares"][merging].sum()
    before, after = summary["Prices of merging firms"]
    assert before == pytest.approx(weights @ products["prices"][merging], rel=1e-12)
    assert after == pytest.approx(weights @ products["new_prices"][merging], rel=1e-12)
    assert after > before
    assert summary["HHI"][1] == pytest.approx(markets["new_hhi"].mean(), rel=1e-12)
    printed = (output / "merger.txt").read_text().strip()
    assert printed in done.output
    assert printed in invoke("show", output).output


def test_a_firm_that_is_not_there_stops_a_job_before_it_runs(
    path: Path, tmp_path: Path
) -> None:
    for command in ("check", "run"):
        done = invoke(command, path, "--set", "merger.firms={99: 1}")
        assert done.exit_code == 2
        assert "mergers of firms that own nothing (99)" in done.output
    assert not list(tmp_path.glob("results*"))


def test_a_merger_of_data_in_a_store_is_that_of_memory(
    path: Path, tmp_path: Path
) -> None:
    store = tmp_path / "kept"
    built = invoke("store", path, "-o", store, "--blocks", "3")
    assert built.exit_code == 0, built.output
    memory, stored = tmp_path / "memory", tmp_path / "stored"
    assert invoke("run", path, "-o", memory).exit_code == 0
    done = invoke("run", path, "--set", f"data={{store: {store}}}", "-o", stored)
    assert done.exit_code == 0, done.output
    tables = [
        pd.read_csv(folder / "merger.csv").sort_values(["market_ids", "costs"])
        for folder in (memory, stored)
    ]
    for name in ("costs", "new_prices", "new_shares"):
        np.testing.assert_allclose(*(t[name] for t in tables), rtol=1e-8, err_msg=name)
    assert not (invoke("check", path, "--set", f"data={{store: {store}}}").exit_code)
