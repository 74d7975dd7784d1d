"""Jobs with a supply side: planned, written to a store, and run on it.

Invariants: a plan counts the bytes of a run, costs and their derivatives too; a job
finds on a store of its data what it finds on the data themselves.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import blpdask
from blpdask.cli import app
from blpdask.jobs.build import solve_arguments
from blpdask.progress import silent
from tests.jobs.test_plan import Watcher, planned
from tests.jobs.test_store import assert_close, estimates, invoke, on_store

JOB = """
name: costs
data:
  simulated: {markets: 60, products: [3, 20], agents: 90}
formulations:
  linear: "0 + prices + x1 + x2"
  absorb: "C(product_ids)"
  random: "0 + prices + x1"
  demographics: "0 + demographic1"
  supply: "0 + x1 + z1 + z2"
  absorb_supply: "C(firm_ids) + C(product_ids)"
costs_type: log
sigma: [[0.4, 0], [0, 0.5]]
pi: [[0.1], [0]]
beta: [-2.4, null, null]
gamma: [null, 0.2, null]
solve:
  method: 1s
  check_optimality: gradient
  costs_bounds: [0.1, null]
  optimization: {method: return}
engine: {kind: serial}
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "job.yaml"
    path.write_text(JOB)
    return path


@pytest.mark.parametrize("from_store", [False, True])
def test_planned_bytes_are_those_of_a_run(
    path: Path, tmp_path: Path, from_store: bool
) -> None:
    if from_store:
        assert invoke("store", path, "-o", tmp_path / "s", "--blocks", "7").stdout
        path = on_simulated_store(path, tmp_path / "s")
    prepared, plan = planned(path)
    watcher = Watcher()
    arguments = solve_arguments(prepared.job) | {"engine": watcher}
    results = prepared.problem.solve(**arguments, progress=silent)
    B = len(watcher.sizes)
    assert plan.blocks == B > 1
    assert (plan.K3, plan.MS, plan.P) == (3, 3, results.theta.size) == (3, 3, 5)
    assert plan.memory.from_store == from_store
    assert plan.memory.data == sum(watcher.sizes)
    assert plan.memory.records == sum(watcher.records[:B])
    assert plan.memory.memories == sum(watcher.memories[:B])
    # c̃, its derivatives by three parameters of Σ and Π and β on prices, and a flag.
    assert plan.memory.costs == (8 * 5 + 1) * plan.N
    assert plan.time.cold > 0


def on_simulated_store(path: Path, store: Path) -> Path:
    """Write the same job with its data in a store."""
    lines = [line for line in path.read_text().splitlines() if "simulated" not in line]
    text = "\n".join(lines).replace("data:", f"data: {{store: {store}}}")
    other = path.with_name("stored.yaml")
    other.write_text(text)
    return other


def test_the_text_of_a_plan_names_the_supply_side(path: Path) -> None:
    result = invoke("plan", path)
    assert result.exit_code == 0, result.output
    assert "K3=3, MS=3" in result.stdout
    assert ", costs " in result.stdout
    found = json.loads(invoke("plan", path, "--format", "json").stdout)
    assert found["memory"]["costs"] > 0


def test_a_job_on_a_store_of_simulated_markets(path: Path, tmp_path: Path) -> None:
    result = invoke("store", path, "-o", tmp_path / "s", "--blocks", "5")
    assert result.exit_code == 0, result.output
    found = estimates(on_simulated_store(path, tmp_path / "s"), tmp_path / "found")
    expected = estimates(path, tmp_path / "expected")
    names = ("gradient", "gamma", "gamma_se", "omega", "tilde_costs")
    assert_close(found, expected, *names)
    assert (found.clipped_costs == expected.clipped_costs).all()


def test_ownership_in_a_table_goes_to_the_store(tmp_path: Path) -> None:
    """Rows shorter than the largest market have no weights beyond their own."""
    from blpdask.simulation.markets import MarketDesign, simulate_markets

    design = MarketDesign(n_markets=30, n_products=(3, 6), n_agents=20, pi=())
    products = simulate_markets(design, 1).product_data
    ownership = blpdask.build_ownership(products, lambda f, g: 1.0 if f == g else 0.3)
    for k, weights in enumerate(ownership.T):
        products[f"ownership{k}"] = weights
    assert np.isnan(ownership).any()
    products.drop(columns="firm_ids").to_csv(tmp_path / "products.csv", index=False)
    job = tmp_path / "job.yaml"
    job.write_text(
        """
name: owned
data:
  products: {source: products.csv}
formulations: {linear: "1 + prices + x1 + x2", random: "0 + x1", supply: "1 + z1 + z2"}
integration: {specification: product, size: 5}
sigma: [[0.5]]
beta: [null, -2.5, null, null]
solve: {method: 1s, check_optimality: gradient, optimization: {method: return}}
"""
    )
    result = invoke("store", job, "-o", tmp_path / "s", "--blocks", "3")
    assert result.exit_code == 0, result.output
    stored_job = on_store(job, tmp_path / "s")
    found = estimates(stored_job, tmp_path / "found")
    expected = estimates(job, tmp_path / "expected")
    assert_close(found, expected, "gradient", "gamma_se", "tilde_costs")


def test_a_store_without_owners_is_refused_with_what_to_add(tmp_path: Path) -> None:
    from blpdask.simulation.markets import MarketDesign, simulate_markets

    products = simulate_markets(MarketDesign(n_markets=5, pi=()), 1).product_data
    store = blpdask.build_store(tmp_path / "s", products.drop(columns="firm_ids"))
    job = tmp_path / "job.yaml"
    job.write_text(
        f"""
name: nobody
data: {{store: {store.path}}}
formulations: {{linear: "1 + prices", supply: "1 + z1 + prices + q"}}
beta: [null, -2.5]
"""
    )
    result = CliRunner().invoke(app, ["check", str(job)])
    assert result.exit_code != 0
    text = " ".join(result.output.split())
    assert "a supply side without 'firm_ids' or 'ownership'" in text
    assert "prices in the formula of X3" in text
    assert "no column 'q'" in text
