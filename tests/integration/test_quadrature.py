"""Quadrature rules are exact for the polynomials that they should be exact for.

E[ν_1^a ν_2^b ...] = Π (a - 1)!! over even powers, and zero where a power is odd.
"""

from __future__ import annotations

from itertools import pairwise, product
from math import prod

import numpy as np
import pytest

from blpdask.errors import InputError
from blpdask.integration.gauss_hermite import gauss_hermite
from blpdask.integration.nested_gauss_hermite import (
    NODES,
    nested_gauss_hermite,
    node_count,
)
from blpdask.integration.nodes import Nodes
from blpdask.integration.product import product_rule
from blpdask.integration.rules import Rule


def _moment(powers: tuple[int, ...]) -> float:
    """Compute a moment of independent standard normals."""
    if any(power % 2 for power in powers):
        return 0.0
    return float(prod(prod(range(1, power, 2)) for power in powers))


def _error(rule: Nodes, powers: tuple[int, ...]) -> float:
    """Compute a rule's error relative to its largest terms."""
    terms = rule.weights * np.prod(rule.nodes ** np.array(powers), axis=1)
    scale = max(1.0, np.abs(terms).sum())
    return float(abs(terms.sum() - _moment(powers)) / scale)


@pytest.mark.parametrize("level", [1, 2, 3, 10, 25, 40, 80, 300])
def test_gauss_hermite_is_exact(level: int) -> None:
    rule = product_rule(1, gauss_hermite(level))
    for power in range(min(2 * level, 60)):
        assert _error(rule, (power,)) < 1e-13
    if level <= 25:
        missing = float(prod(range(1, level + 1)))  # E[He_n²] = n!
        nodes, weights = gauss_hermite(level).mirrored()
        shortfall = _moment((2 * level,)) - weights @ nodes ** (2 * level)
        assert shortfall == pytest.approx(missing, rel=1e-6)


@pytest.mark.parametrize("level", range(1, 26))
def test_nested_gauss_hermite_is_exact(level: int) -> None:
    rule = product_rule(1, nested_gauss_hermite(level))
    for power in range(2 * level):
        assert _error(rule, (power,)) < 1e-13


@pytest.mark.parametrize(
    ("nodes", "degree"), [(1, 1), (3, 5), (9, 15), (19, 29), (35, 51)]
)
def test_genz_keister_rules_have_their_full_degree(nodes: int, degree: int) -> None:
    level = next(n for n in range(1, 26) if 2 * node_count(n) - 1 == nodes)
    rule = product_rule(1, nested_gauss_hermite(level))
    assert _error(rule, (degree - 1,)) < 1e-13
    assert _error(rule, (degree + 1,)) > 1e-8


def test_nested_nodes_are_nested() -> None:
    sets = [set(nested_gauss_hermite(level).nodes) for level in range(1, 26)]
    assert all(a <= b for a, b in pairwise(sets))
    assert sets[-1] == set(NODES)


@pytest.mark.parametrize("specification", ["grid", "nested_grid"])
@pytest.mark.parametrize(("level", "dimensions"), [(2, 4), (4, 3), (6, 3), (5, 2)])
def test_sparse_grid_is_exact_up_to_total_degree(
    specification: str, level: int, dimensions: int
) -> None:
    rule = Rule(specification, level).build(dimensions)
    for powers in product(range(2 * level), repeat=dimensions):
        if sum(powers) < 2 * level:
            assert _error(rule, powers) < 1e-13


@pytest.mark.parametrize("specification", ["product", "nested_product"])
def test_product_is_exact_in_every_dimension(specification: str) -> None:
    rule = Rule(specification, 4).build(3)
    for powers in product(range(8), repeat=3):
        assert _error(rule, powers) < 1e-13


def test_sparse_grid_in_many_dimensions_is_small() -> None:
    rule = Rule("grid", 3).build(40)
    assert rule.weights.size == 1 + 2 * 40 + 2 * 40 + 2 * 40 * 39
    assert rule.weights.sum() == pytest.approx(1, abs=1e-12)
    np.testing.assert_allclose(rule.weights @ rule.nodes**2, 1, rtol=1e-11)


def test_rows_are_unique_and_in_lexicographic_order() -> None:
    nodes = Rule("nested_grid", 5).build(3).nodes
    rows = [tuple(row) for row in nodes]
    assert rows == sorted(set(rows))


def test_quadrature_is_the_same_in_every_market() -> None:
    rule = Rule("grid", 3)
    one, many = rule.build(2), rule.build_markets(2, 4)
    np.testing.assert_array_equal(many.nodes.reshape(4, -1, 2)[3], one.nodes)
    np.testing.assert_array_equal(many.weights.reshape(4, -1)[3], one.weights)


def test_a_product_that_cannot_be_built_is_refused() -> None:
    with pytest.raises(InputError, match=r"20 nodes in each of 10 dimensions, 1e\+13"):
        Rule("product", 20).build(10)


@pytest.mark.parametrize("size", [40, 60, 101, 400, 401])
def test_trapezoids_are_exact_where_nodes_are_close(size: int) -> None:
    rule = Rule("trapezoid", size).build(1)
    assert rule.nodes.shape == (size, 1) and rule.nodes.max() == pytest.approx(8.5)
    np.testing.assert_allclose(np.diff(rule.nodes[:, 0]), 17 / (size - 1), rtol=1e-12)
    for power in range(10):
        assert _error(rule, (power,)) < 1e-11
    for slope in (0.5, 1.0, 2.0):
        found = rule.weights @ np.exp(slope * rule.nodes[:, 0])
        assert found == pytest.approx(np.exp(slope**2 / 2), rel=1e-9)


def test_trapezoids_of_few_nodes_balance_their_errors() -> None:
    errors = [_error(Rule("trapezoid", n).build(1), (2,)) for n in range(2, 24)]
    assert all(after < 0.4 * before for before, after in pairwise(errors[1:]))
    assert errors[10] < 3e-6 and errors[-1] < 1e-12
    alone = Rule("trapezoid", 1).build(2)
    assert alone.nodes.tolist() == [[0.0, 0.0]] and alone.weights.tolist() == [1.0]


def test_trapezoids_cross_as_products_do() -> None:
    rule = Rule("trapezoid", 30).build(3)
    assert rule.nodes.shape == (27000, 3)
    assert rule.weights.min() > 0 and rule.weights.sum() == pytest.approx(1, abs=1e-13)
    for powers in product(range(5), repeat=3):
        assert _error(rule, powers) < 1e-11


def test_trapezoids_beat_gauss_and_hermite_where_functions_turn_fast() -> None:
    def logit(rule: Nodes) -> float:
        return float(rule.weights @ (1 / (1 + np.exp(-1 - 10 * rule.nodes[:, 0]))))

    exact = logit(Rule("trapezoid", 2001).build(1))
    assert abs(logit(Rule("trapezoid", 101).build(1)) - exact) < 1e-5
    assert abs(logit(Rule("product", 101).build(1)) - exact) > 1e-4
    assert abs(logit(Rule("trapezoid", 401).build(1)) - exact) < 1e-13
