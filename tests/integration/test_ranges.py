"""Some markets' nodes are, to the last bit, those of all markets drawn at once."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from blpdask.integration.ranges import build_range, find_starts, runs_on
from blpdask.integration.rules import SIMULATIONS, Rule, RuleOptions

RULES = [
    *(Rule(name, 6, RuleOptions(seed=3)) for name in SIMULATIONS),
    Rule("monte_carlo", 5, RuleOptions(seed=3)),
    Rule("halton", 6, RuleOptions(seed=3, discard=0, scramble=False)),
    Rule("halton", 7, RuleOptions(seed=3, discard=100, scramble=False)),
    Rule("product", 3),
    Rule("grid", 3),
]
EDGES = [0, 1, 2, 37, 300, 301, 700]


@pytest.mark.parametrize("rule", RULES, ids=repr)
@pytest.mark.parametrize("dimensions", [1, 3])
def test_ranges_are_rows_of_the_whole(rule: Rule, dimensions: int) -> None:
    whole = rule.build_markets(dimensions, EDGES[-1])
    size = len(whole.nodes) // EDGES[-1]
    starts = find_starts(rule, dimensions, EDGES[:-1])
    starts = pickle.loads(pickle.dumps(starts))
    # In any order: a range does not depend on which one was drawn before.
    for place in np.random.default_rng(0).permutation(len(EDGES) - 1).tolist():
        first, stop = EDGES[place], EDGES[place + 1]
        found = build_range(rule, dimensions, first, stop, starts[place])
        rows = slice(first * size, stop * size)
        np.testing.assert_array_equal(found.nodes, whole.nodes[rows])
        np.testing.assert_array_equal(found.weights, whole.weights[rows])
        np.testing.assert_array_equal(
            found.market_index, whole.market_index[rows] - first
        )


@pytest.mark.parametrize("rule", RULES[:6], ids=repr)
def test_a_start_is_found_where_none_is_given(rule: Rule) -> None:
    whole = rule.build_markets(2, 40).nodes
    found = build_range(rule, 2, 31, 40).nodes
    np.testing.assert_array_equal(found, whole[31 * rule.size :])


def test_only_streams_that_run_on_have_starts() -> None:
    known = {rule: find_starts(rule, 2, [0, 5])[1] is not None for rule in RULES}
    assert known == {rule: runs_on(rule) for rule in RULES}
    assert sum(known.values()) == 5
