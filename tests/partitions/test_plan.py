"""Blocks are runs of whole markets of about equal cost, fixed by the data alone."""

from __future__ import annotations

import numpy as np
import pytest

from blpdask.partitions.cut import SortedTables, cut_at
from blpdask.partitions.plan import market_costs, plan_blocks


@pytest.mark.parametrize("n_blocks", [None, 1, 2, 7, 1000])
def test_blocks_cover_every_market_once(n_blocks):
    rng = np.random.default_rng(0)
    products, agents = rng.integers(1, 60, 200), rng.integers(1, 400, 200)
    edges = plan_blocks(products, agents, n_blocks)
    assert edges[0] == 0 and edges[-1] == 200
    assert (np.diff(edges) > 0).all()
    if n_blocks is not None:
        assert edges.size - 1 <= min(n_blocks, 200)


def test_blocks_are_balanced():
    rng = np.random.default_rng(1)
    products, agents = rng.integers(5, 60, 2000), np.full(2000, 500)
    edges = plan_blocks(products, agents, 16)
    costs = np.add.reduceat(market_costs(products, agents), edges[:-1])
    assert costs.max() / costs.mean() < 1.05


def test_one_huge_market_has_a_block_of_its_own():
    products = np.array([10, 10, 2000, 10, 10])
    edges = plan_blocks(products, np.full(5, 100), 3)
    huge = np.searchsorted(edges, 2, side="right") - 1
    assert edges[huge] == 2 or edges[huge + 1] == 3


def test_without_agents_products_are_the_cost():
    edges = plan_blocks(np.full(10, 4), np.zeros(10, int), 2)
    assert edges.tolist() == [0, 5, 10]


def test_cutting_and_joining_gives_the_tables_back():
    rng = np.random.default_rng(2)
    J, n_agents = rng.integers(1, 6, 9), rng.integers(1, 5, 9)
    N, A = J.sum(), n_agents.sum()
    tables = SortedTables(
        product_offsets=np.concatenate([[0], np.cumsum(J)]),
        agent_offsets=np.concatenate([[0], np.cumsum(n_agents)]),
        X2=rng.normal(size=(N, 2)),
        ZD=rng.normal(size=(N, 3)),
        log_shares=rng.normal(size=N),
        logit_delta=rng.normal(size=N),
        draws=rng.normal(size=(A, 4)),
        weights=rng.uniform(size=A),
    )
    blocks = cut_at(tables, tables.plan(4))
    np.testing.assert_array_equal(np.hstack([b.X2 for b in blocks]).T, tables.X2)
    np.testing.assert_array_equal(np.vstack([b.ZD for b in blocks]), tables.ZD)
    np.testing.assert_array_equal(np.vstack([b.draws for b in blocks]), tables.draws)
    assert [b.first_market for b in blocks] == list(
        np.cumsum([0, *[b.n_markets for b in blocks[:-1]]])
    )
    assert all(b.product_offsets[0] == 0 == b.agent_offsets[0] for b in blocks)
    assert all(b.X2.flags.c_contiguous and b.ZD.flags.c_contiguous for b in blocks)
