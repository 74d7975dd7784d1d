"""Jobs with nests, availability or scaled errors: planned, run, and run on a store.

Invariants: a job finds what the same problem finds in Python, and on a store of its
data too; a plan counts the bytes of a run, with slopes by ρ.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import blpdask
from blpdask.jobs.build import solve_arguments
from blpdask.progress import silent
from blpdask.simulation.markets import MarketDesign, simulate_markets
from tests.jobs.test_plan import Watcher, planned
from tests.jobs.test_store import assert_close, estimates, invoke, on_store

JOB = """
name: nests
data:
  products: {source: products.csv}
  agents: {source: agents.csv}
formulations:
  linear: "1 + prices + x1 + x2"
  random: "0 + prices + x1"
  supply: "1 + x1 + z1"
sigma: [[0.3, 0], [0, 0.5]]
beta: [null, -2.4, null, null]
RHO
solve:
  method: 1s
  check_optimality: gradient
  optimization: {method: return}
engine: {kind: serial}
"""
ONE, EACH = "rho: 0.4", "rho: [0.2, 0.4, 0.3]\nbounds: {rho: {lower: 0, upper: 0.9}}"
SCALE = "epsilon_scale: 1.6"
NAMES = ("gradient", "gamma", "omega", "delta")


def tables(nests: bool, available: bool) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Simulate products and agents, and add nests and availability."""
    design = MarketDesign(n_markets=30, n_products=(3, 6), n_agents=25, pi=())
    markets = simulate_markets(design, 2)
    products, agents = markets.product_data, markets.agent_data
    rng = np.random.default_rng(5)
    if nests:
        products["nesting_ids"] = rng.integers(0, 3, len(products))
    if available:
        drawn = rng.choice([0.5, 1.0], (len(agents), 6))
        sizes = products.groupby("market_ids").size()[agents["market_ids"]].to_numpy()
        drawn[np.arange(6) >= sizes[:, None]] = np.nan
        for j in range(6):
            agents[f"availability{j}"] = drawn[:, j]
    return products, agents


def write(folder: Path, more: str, *, available: bool = False) -> Path:
    """Write a job beside its tables, products in no order."""
    products, agents = tables("rho" in more, available)
    products = products.sample(frac=1, random_state=1)
    products.to_csv(folder / "products.csv", index=False)
    agents.to_csv(folder / "agents.csv", index=False)
    path = folder / "job.yaml"
    path.write_text(JOB.replace("RHO", more))
    return path


@pytest.mark.parametrize(
    ("more", "available"), [(ONE, False), (EACH, True), (SCALE, False)], ids=str
)
def test_a_job_finds_what_python_finds_and_a_store_too(
    tmp_path: Path, more: str, available: bool
) -> None:
    path = write(tmp_path, more, available=available)
    found = estimates(path, tmp_path / "found")
    products, agents = (
        pd.read_csv(tmp_path / f"{n}.csv") for n in ("products", "agents")
    )
    problem = blpdask.Problem(
        (
            blpdask.Formulation("1 + prices + x1 + x2"),
            blpdask.Formulation("0 + prices + x1"),
            blpdask.Formulation("1 + x1 + z1"),
        ),
        products,
        None,
        agents,
        epsilon_scale=1.6 if more == SCALE else 1.0,
    )
    rho = {ONE: 0.4, EACH: [0.2, 0.4, 0.3], SCALE: None}[more]
    expected = problem.solve(
        sigma=[[0.3, 0], [0, 0.5]],
        rho=rho,
        beta=[None, -2.4, None, None],
        method="1s",
        check_optimality="gradient",
        optimization=blpdask.Optimization("return"),
        engine="serial",
    )
    np.testing.assert_array_equal(found.rho, expected.rho)
    assert found.rho.size == {ONE: 1, EACH: 3, SCALE: 0}[more]
    assert_close(found, expected, *NAMES)
    result = invoke("store", path, "-o", tmp_path / "s", "--blocks", "4")
    assert result.exit_code == 0, result.output
    stored = estimates(on_store(path, tmp_path / "s"), tmp_path / "stored")
    order = np.argsort(products["market_ids"].to_numpy(), kind="stable")
    assert_close(stored, expected, "gradient", "gamma")
    for name in ("omega", "delta"):
        values = np.asarray(getattr(expected, name))[order]
        np.testing.assert_allclose(np.asarray(getattr(stored, name)), values, atol=1e-9)


@pytest.mark.parametrize("from_store", [False, True])
def test_planned_bytes_are_those_of_a_run(tmp_path: Path, from_store: bool) -> None:
    path = write(tmp_path, EACH, available=True)
    if from_store:
        assert invoke("store", path, "-o", tmp_path / "s", "--blocks", "5").stdout
        path = on_store(path, tmp_path / "s")
    prepared, plan = planned(path)
    watcher = Watcher()
    arguments = solve_arguments(prepared.job) | {"engine": watcher}
    results = prepared.problem.solve(**arguments, progress=silent)
    B = len(watcher.sizes)
    assert plan.P == results.theta.size == 6
    assert plan.memory.data == sum(watcher.sizes)
    assert plan.memory.records == sum(watcher.records[:B])
    assert plan.memory.memories == sum(watcher.memories[:B])
    # c̃, its derivatives by two parameters of Σ, three of ρ and β on prices, a flag.
    assert plan.memory.costs == (8 * 7 + 1) * plan.N
