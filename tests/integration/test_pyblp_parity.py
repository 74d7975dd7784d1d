"""Nodes and weights are those of PyBLP, in one market and in many.

Nodes agree to 1e-14, weights to a tolerance relative to Σ|w|. It is wider for sparse
grids: their weights are sums that cancel, and rounding alone moves either package's
by that much from the exact ones.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyblp
import pytest

from blpdask.integration.nodes import MarketNodes, Nodes
from blpdask.integration.rules import Rule, RuleOptions
from blpdask.records import Floats

BITWISE = 0.0
CLOSE = 1e-14
CANCELLING = 1e-13


def _compare(
    specification: str,
    size: int,
    dimensions: int,
    options: dict[str, Any],
    tolerance: float,
) -> None:
    """Compare one market and three markets with PyBLP's."""
    rule = Rule(specification, size, RuleOptions(**options))
    peer = pyblp.Integration(specification, size, options or None)
    ids, nodes, weights = peer._build_many(dimensions, range(3))
    many = rule.build_markets(dimensions, 3)
    np.testing.assert_array_equal(many.market_index, ids)
    _assert_close(many, nodes, weights, tolerance)
    _assert_close(rule.build(dimensions), *peer._build(dimensions), tolerance)


def _assert_close(
    found: Nodes | MarketNodes, nodes: Floats, weights: Floats, tolerance: float
) -> None:
    """Compare nodes and weights; a tolerance of zero asks for the same bits."""
    scale = np.abs(weights).sum()
    np.testing.assert_allclose(found.nodes, nodes, rtol=0, atol=min(tolerance, CLOSE))
    np.testing.assert_allclose(found.weights, weights, rtol=0, atol=tolerance * scale)


@pytest.mark.parametrize("seed", [0, 7, 2**32 - 1])
@pytest.mark.parametrize("dimensions", [1, 2, 6])
@pytest.mark.parametrize("size", [1, 5, 50])
@pytest.mark.parametrize("specification", ["monte_carlo", "lhs", "mlhs", "halton"])
def test_draws_are_bitwise_those_of_pyblp(
    specification: str, size: int, dimensions: int, seed: int
) -> None:
    _compare(specification, size, dimensions, {"seed": seed}, BITWISE)


@pytest.mark.parametrize("discard", [0, 1, 123])
@pytest.mark.parametrize("scramble", [True, False])
@pytest.mark.parametrize("size", [3, 40])
def test_halton_options(discard: int, scramble: bool, size: int) -> None:
    options = {"discard": discard, "scramble": scramble, "seed": 1}
    _compare("halton", size, 4, options, BITWISE)


def test_halton_in_many_markets_and_dimensions() -> None:
    rule = Rule("halton", 11, RuleOptions(seed=3))
    peer = pyblp.Integration("halton", 11, {"seed": 3})
    _, nodes, _ = peer._build_many(3, range(150))
    np.testing.assert_array_equal(rule.build_markets(3, 150).nodes, nodes)
    nodes, _ = peer._build(168)
    np.testing.assert_array_equal(rule.build(168).nodes, nodes)


@pytest.mark.parametrize("specification", ["product", "nested_product"])
@pytest.mark.parametrize("level", range(1, 26))
def test_every_level_in_one_dimension(specification: str, level: int) -> None:
    _compare(specification, level, 1, {}, CLOSE)


@pytest.mark.parametrize("specification", ["product", "nested_product"])
@pytest.mark.parametrize(("level", "dimensions"), [(2, 2), (7, 2), (5, 3), (4, 4)])
def test_products(specification: str, level: int, dimensions: int) -> None:
    _compare(specification, level, dimensions, {}, CLOSE)


@pytest.mark.parametrize("specification", ["grid", "nested_grid"])
@pytest.mark.parametrize("dimensions", [1, 2, 3, 5])
@pytest.mark.parametrize("level", range(1, 8))
def test_sparse_grids(specification: str, level: int, dimensions: int) -> None:
    _compare(specification, level, dimensions, {}, CANCELLING)


@pytest.mark.parametrize("specification", ["grid", "nested_grid"])
@pytest.mark.parametrize(("level", "dimensions"), [(25, 1), (20, 2), (3, 12)])
def test_large_sparse_grids(specification: str, level: int, dimensions: int) -> None:
    _compare(specification, level, dimensions, {}, CANCELLING)
