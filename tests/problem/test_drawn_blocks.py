"""Draws made where a block is loaded are those that all people would get together."""

from __future__ import annotations

import gc
import pickle

import numpy as np
import pytest

from blpdask.driver import dask_engine
from blpdask.integration.rules import Rule, RuleOptions
from blpdask.partitions.residency import RESIDENT
from blpdask.problem.choice_blocks import cut_people, make_blocks
from blpdask.problem.choice_draws import draw_variates
from blpdask.problem.choice_table import ChoiceTable, read_choices
from blpdask.problem.formulas import parse
from tests.api.test_choice_problem import panel

KINDS = ("normal", "triangular", "exponential")
RULES = [
    Rule(name, 2_000, RuleOptions(seed=3))
    for name in ("sobol", "halton", "monte_carlo", "lhs", "mlhs")
] + [Rule("halton", 2_000, RuleOptions(seed=0, discard=100, scramble=False))]


@pytest.fixture(scope="module")
def table() -> ChoiceTable:
    frame = panel(120, 4).drop(columns=["clustering_ids"])
    return read_choices(frame, parse("0 + prices + quality"))


@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_draws_are_those_of_all_people_at_once(rule: Rule, table: ChoiceTable) -> None:
    source = make_blocks(table, rule, KINDS)
    whole = draw_variates(rule, KINDS, table.n_people)
    held = cut_people(table, whole)
    assert len(source) == len(held) > 1
    for block in reversed(range(len(held))):
        # What one worker is sent loads its own blocks, as they were.
        sent = pickle.loads(pickle.dumps(source.only([block])))
        expected = held.load(block)
        for found in (source.load(block), sent.load(block)):
            for name in ("X", "chosen", "situation_offsets", "person_offsets"):
                np.testing.assert_array_equal(
                    getattr(found, name), getattr(expected, name)
                )
            np.testing.assert_array_equal(found.draws, expected.draws)
        assert source.size(block) == held.size(block)
        assert source.describe(block) == held.describe(block)


def test_draws_do_not_travel(table: ChoiceTable) -> None:
    for rule in RULES:
        source = make_blocks(table, rule, KINDS)
        draws = 8 * table.n_people * rule.size * len(KINDS)
        carried = sum(source.carried_size(b) for b in range(len(source)))
        sent = len(pickle.dumps(source.only(range(len(source)))))
        assert carried + draws == sum(source.size(b) for b in range(len(source)))
        # States of streams are 2.5 kB a block.
        assert carried < sent < carried + 3_000 * (2 + len(source))
        assert draws > 100 * sent


def test_what_was_drawn_goes_with_its_source(table: ChoiceTable) -> None:
    source = make_blocks(table, RULES[0], KINDS)
    assert source.load(0) is source.load(0)
    name = source.name
    other = source.only([0])
    assert other.load(0) is source.load(0)
    del other
    gc.collect()
    assert RESIDENT.peek((name, 0)) is not None
    del source
    gc.collect()
    assert RESIDENT.peek((name, 0)) is None


def test_without_random_coefficients_there_is_one_draw_of_nothing(
    table: ChoiceTable,
) -> None:
    source = make_blocks(table, RULES[0], ())
    assert len(source) == 1
    assert source.load(0).draws.shape == (120, 1, 0)


def test_a_cluster_is_sent_people_without_draws(
    table: ChoiceTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = make_blocks(table, RULES[0], KINDS)
    carried = sum(source.carried_size(b) for b in range(len(source)))
    monkeypatch.setattr(dask_engine, "CARRIED_SOURCE_BYTES", carried)
    dask_engine._check_size(source)
    monkeypatch.setattr(dask_engine, "CARRIED_SOURCE_BYTES", carried - 1)
    with pytest.raises(dask_engine.ClusterError, match="of data in memory for a Dask"):
        dask_engine._check_size(source)
