"""Simulated stores hold what the simulator draws, in any cut of blocks."""

from __future__ import annotations

import numpy as np
import pytest

from blpdask.errors import InputError
from blpdask.partitions.store_schema import DescribedNodes
from blpdask.problem.store_builder import build_block_store
from blpdask.simulation import store as simulation_store
from blpdask.simulation.markets import MarketDesign, simulate_markets
from blpdask.simulation.store import simulate_block_store

DESIGN = MarketDesign(n_markets=30, n_products=(2, 7), n_agents=20)


def silent(message):
    del message


@pytest.mark.parametrize("at_once", [20 * 4, 2**20])
def test_a_simulated_store_is_the_store_of_simulated_tables(
    tmp_path, monkeypatch, at_once
):
    monkeypatch.setattr(simulation_store, "AGENTS", at_once)
    simulated = simulate_markets(DESIGN, 5)
    store = simulate_block_store(tmp_path / "a", DESIGN, 5, n_blocks=3, tell=silent)
    tables = simulated.product_data, simulated.agent_data
    other = build_block_store(tmp_path / "b", *tables, n_blocks=3, tell=silent)
    assert store.description.products == other.description.products
    assert store.description.agents == other.description.agents
    assert store.description.n_firms == other.description.n_firms == 4
    store.verify()
    for table, frame in zip(("products", "agents"), tables, strict=True):
        for name in frame.columns.drop("market_ids"):
            found = [store.read(table, b, [name])[name] for b in range(3)]
            np.testing.assert_array_equal(np.concatenate(found), frame[name])
    rows = np.concatenate([store.rows(block) for block in range(3)])
    assert rows.tolist() == list(range(len(tables[0])))
    for one, two in zip(store.market_counts(), other.market_counts(), strict=True):
        assert one.tolist() == two.tolist()
    assert store.market_ids().tolist() == other.market_ids().tolist()


def test_described_nodes_leave_demographics_alone(tmp_path):
    nodes = DescribedNodes("monte_carlo", 10, 1, 1000, True)
    store = simulate_block_store(tmp_path / "a", DESIGN, 5, nodes=nodes, tell=silent)
    assert [column.name for column in store.description.agents] == ["demographic1"]
    plain = MarketDesign(n_markets=30, n_products=3, n_agents=20, pi=())
    store = simulate_block_store(tmp_path / "b", plain, 5, nodes=nodes, tell=silent)
    assert store.description.agents == ()
    assert sum(store.description.block_agents) == 0
    store.verify()


def test_a_design_without_outside_share_leaves_no_store(tmp_path):
    dear = MarketDesign(n_markets=5, beta=(800.0, -2.5, 1.0, 0.5))
    with pytest.raises(InputError, match="without an outside share"):
        simulate_block_store(tmp_path / "a", dear, 0, tell=silent)
    assert list(tmp_path.iterdir()) == []
