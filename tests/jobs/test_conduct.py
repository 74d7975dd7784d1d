"""A job that compares models of conduct finds what the Python interface finds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import blpdask
from blpdask import ConductModel
from tests.analysis.conduct_markets import COSTS, TESTED, draw_markets, estimate
from tests.jobs.test_store import invoke

JOB = """
name: conduct
data:
  products: {source: products.csv}
formulations:
  linear: "1 + prices + x"
solve:
  method: 1s
engine: {kind: serial}
conduct:
  models:
    - bertrand
    - monopoly
    - {kind: collusion, firms: [a, b], kappa: 0.5}
  instruments: [rival_x, own_x, rivals]
  costs: "1 + x + w"
"""


@pytest.fixture(scope="module")
def data() -> pd.DataFrame:
    blpdask.options.verbose, kept = False, blpdask.options.verbose
    drawn = draw_markets(3, T=40, sigma=0.0)
    blpdask.options.verbose = kept
    return drawn.drop(columns="clustering_ids")


@pytest.fixture
def path(data: pd.DataFrame, tmp_path: Path) -> Path:
    data.to_csv(tmp_path / "products.csv", index=False)
    path = tmp_path / "job.yaml"
    path.write_text(JOB)
    return path


def test_models_are_compared_written_and_shown(
    path: Path, data: pd.DataFrame, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    done = invoke("run", path, "-o", output)
    assert done.exit_code == 0, done.output
    pairs = pd.read_csv(output / "conduct.csv")
    collusion = ConductModel("collusion", firms=("a", "b"), kappa=0.5)
    models: list[Any] = ["bertrand", "monopoly", collusion]
    expected = estimate(data, random=False).run_conduct_test(
        models, data[TESTED], COSTS, product_data=data
    )
    assert pairs["second"].tolist()[-1] == "collusion of a, b by 0.5"
    for name in ("statistic", "p_value", "F", "rho"):
        np.testing.assert_allclose(
            pairs[name], expected.to_frame()[name], rtol=1e-6, err_msg=name
        )
    summary = json.loads((output / "summary.json").read_text())["conduct"]
    assert summary["confidence_set"] == list(expected.confidence_set())
    np.testing.assert_allclose(
        list(summary["p_values"].values()), expected.confidence_p_values, atol=1e-8
    )
    printed = (output / "conduct.txt").read_text().strip()
    assert printed in done.output
    assert printed in invoke("show", output).output


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("conduct.models=[bertrand]", "at least 2 items"),
        ("conduct.models=[bertrand, bargaining]", "or perfect_competition"),
        ("conduct.models=[bertrand, {kind: collusion}]", "collusion of nobody"),
        ("conduct.models=[bertrand, {kind: collusion, firms: [a, z]}]", "firms z"),
        ("conduct.instruments=[rival_x, height]", "conduct.instruments height"),
        ("conduct.instruments=null", "no instruments"),
        ('conduct.costs="1 + prices"', "prices among the cost shifters"),
        ('conduct.costs="1 + height"', "height"),
    ],
)
def test_what_cannot_be_asked_stops_a_job_before_it_runs(
    path: Path, tmp_path: Path, change: str, words: str
) -> None:
    for command in ("check", "run"):
        done = invoke(command, path, "--set", change)
        assert done.exit_code == 2, done.output
        assert words in " ".join(done.output.split()), done.output
    assert not list(tmp_path.glob("results*"))
