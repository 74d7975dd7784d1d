"""Tables of choices in any order give the same blocks, and faults are named."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from blpdask.errors import DataWarning, InputError
from blpdask.integration.rules import Rule, RuleOptions
from blpdask.problem.choice_blocks import cut_people, make_blocks
from blpdask.problem.choice_draws import (
    check_rule,
    count_draws,
    draw_variates,
    weigh_draws,
)
from blpdask.problem.choice_table import ChoiceTable, read_choices
from blpdask.problem.formulas import parse

Change = Callable[[pd.DataFrame], pd.DataFrame]


def ragged(n_people: int = 7, seed: int = 0) -> pd.DataFrame:
    """People with 1 to 3 situations of 2 to 4 alternatives, ids within people."""
    rng = np.random.default_rng(seed)
    rows = []
    for person in range(n_people):
        for situation in range(1 + person % 3):
            J = 2 + (person + situation) % 3
            chosen = rng.integers(J)
            rows += [
                {
                    "person_ids": f"p{person}",
                    "situation_ids": situation,
                    "alternative_ids": j,
                    "chosen": int(j == chosen),
                    "x": rng.normal(),
                    "y": rng.normal(),
                    "income": float(person),
                    "weights": 1.0 + person,
                    "clustering_ids": person % 2,
                }
                for j in range(J)
            ]
    return pd.DataFrame(rows)


def read(data: Any, formula: str = "0 + x + y") -> ChoiceTable:
    return read_choices(data, parse(formula))


def faults_of(data: Any, formula: str = "0 + x + y") -> list[str]:
    with pytest.raises(InputError) as caught, warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        read(data, formula)
    return [fault.found for fault in caught.value.faults]


def test_offsets_and_rows_are_those_of_a_loop() -> None:
    frame = ragged()
    table = read(frame)
    people = sorted(frame["person_ids"].unique())
    assert table.person_ids.tolist() == people
    s = row = 0
    for i, person in enumerate(people):
        assert table.person_offsets[i] == s
        mine = frame[frame["person_ids"] == person]
        assert table.weights[i] == mine["weights"].iloc[0]
        assert table.clusters is not None
        assert table.clusters[i] == mine["clustering_ids"].iloc[0]
        for _, situation in mine.groupby("situation_ids"):
            assert table.situation_offsets[s] == row
            found = table.X[row : row + len(situation)]
            np.testing.assert_array_equal(found, situation[["x", "y"]])
            assert table.chosen[s] == row + int(np.argmax(situation["chosen"]))
            s, row = s + 1, row + len(situation)
    assert (table.person_offsets[-1], table.situation_offsets[-1]) == (s, row)
    np.testing.assert_array_equal(table.rows, np.arange(len(frame)))
    assert table.labels == ("x", "y")


@pytest.mark.parametrize("drop", [[], ["alternative_ids"]])
def test_rows_in_any_order_give_the_same_blocks(drop: list[str]) -> None:
    frame = ragged().drop(columns=drop)
    shuffled = frame.sample(frac=1.0, random_state=3)
    rule = Rule("mlhs", 8, RuleOptions(seed=5))
    one, other = (
        make_blocks(read(data), rule, ("normal", "fixed")).load(0)
        for data in (frame, shuffled)
    )
    for name in type(one).__slots__:
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), name)
    table = read(shuffled)
    np.testing.assert_array_equal(shuffled[["x", "y"]].to_numpy()[table.rows], table.X)


def test_kinds_of_tables_are_read_alike() -> None:
    frame = ragged()
    plain = read(frame)
    kinds = {"person_ids": "category", "chosen": bool, "x": "Float64"}
    arrays = {name: frame[name].to_numpy() for name in frame}
    for data in (arrays, frame.astype(kinds), frame.to_records(index=False)):
        np.testing.assert_array_equal(read(data).X, plain.X)


def test_without_people_each_situation_is_one() -> None:
    frame = ragged()
    situations = frame["person_ids"] + frame["situation_ids"].astype(str)
    frame = frame.assign(situation_ids=situations).drop(
        columns=["person_ids", "weights", "clustering_ids"]
    )
    table = read(frame)
    S = situations.nunique()
    np.testing.assert_array_equal(table.person_offsets, np.arange(S + 1))
    assert table.weights.tolist() == [1.0] * S and table.clusters is None
    records = frame.to_records(index=False)
    np.testing.assert_array_equal(read(records).X, table.X)


def test_unavailable_rows_and_single_alternatives_are_left_out() -> None:
    frame = ragged()
    extra = frame.iloc[[0, 3]].assign(
        alternative_ids=9, chosen=0, x=np.nan, availability=0
    )
    single = frame.iloc[[1]].assign(person_ids="q", chosen=1)
    both = pd.concat([extra, single, frame.assign(availability=1)]).fillna(
        {"availability": 1}
    )
    with pytest.warns(DataWarning, match="situation .* of person q"):
        table = read(both)
    plain = read(frame)
    np.testing.assert_array_equal(table.X, plain.X)
    np.testing.assert_array_equal(table.chosen, plain.chosen)
    assert table.person_ids.tolist() == plain.person_ids.tolist()
    np.testing.assert_array_equal(table.rows, plain.rows + 3)
    assert table.single_rows.tolist() == [2] and table.n_given == len(frame) + 3


def test_an_intercept_is_left_out_and_codes_dummies() -> None:
    frame = ragged()
    table = read(frame, "1 + C(alternative_ids) + x")
    assert table.labels[-1] == "x" and len(table.labels) == 4
    levels = frame["alternative_ids"].to_numpy()[table.rows]
    np.testing.assert_array_equal(table.X[:, :3], levels[:, None] == [1, 2, 3])
    (found,) = faults_of(frame, "0 + C(alternative_ids) + x")
    assert "combinations" in found and "alternative_ids" in found


def _first(frame: pd.DataFrame, **values: Any) -> pd.DataFrame:
    """Change the first row."""
    changed = frame.astype(dict.fromkeys(values, object))
    for name, value in values.items():
        changed.loc[0, name] = value
    return changed.infer_objects()


def _chosen(frame: pd.DataFrame, value: int) -> pd.DataFrame:
    """Set chosen in the first person's situation, whose two rows come first."""
    chosen = frame["chosen"].to_numpy(copy=True)
    chosen[:2] = value
    return frame.assign(chosen=chosen)


FAULTS: list[tuple[Change, str]] = [
    (lambda f: _chosen(f, 0), "no chosen alternatives in 1 situations (situation 0 of"),
    (lambda f: _chosen(f, 1), "several chosen alternatives in 1 situations (situation"),
    (
        lambda f: f.assign(availability=1 - f["chosen"] * (f["person_ids"] == "p2")),
        "chosen alternatives that are not available, in 3 rows",
    ),
    (lambda f: _first(f, alternative_ids=1), "1 alternatives with several rows in one"),
    (lambda f: _first(f, weights=7.0), "weights that differ within 1 people (p0)"),
    (lambda f: _first(f, clustering_ids=1), "clusters that differ within 1 people"),
    (lambda f: f.assign(weights=-1.0), "weights that are not positive"),
    (lambda f: _first(f, chosen=2), "'chosen' that are neither 0 nor 1, such as 2"),
    (lambda f: _first(f, person_ids=None), "1 missing values of 'person_ids'"),
    (lambda f: _first(f, situation_ids=np.nan), "1 missing values of 'situation_ids'"),
    (lambda f: f.drop(columns="situation_ids"), "no column 'situation_ids'"),
    (lambda f: f.drop(columns="chosen"), "no column 'chosen'"),
    (lambda f: f.drop(columns="x"), "no variable 'x'"),
    (
        lambda f: f.assign(x=f["income"]),
        "'x' is the same for all alternatives of every",
    ),
    (lambda f: f.assign(y=3 * f["x"] + f["income"]), "columns [y] that within situ"),
    (lambda f: _first(f, x=np.nan), "1 of"),
    (lambda f: f.iloc[:0], "no rows"),
    (
        lambda f: f[f["chosen"] == 1],
        "no situation with two alternatives",
    ),
]


@pytest.mark.parametrize(("change", "found"), FAULTS, ids=[f[1][:30] for f in FAULTS])
def test_each_fault_is_named(change: Change, found: str) -> None:
    assert any(found in fault for fault in faults_of(change(ragged())))


def test_faults_come_together() -> None:
    frame = _first(_chosen(ragged(), 1), weights=9.0, alternative_ids=1)
    assert len(faults_of(frame)) == 3
    frame = _first(ragged(), chosen=3, person_ids=None, x=np.nan)
    found = faults_of(frame.drop(columns="situation_ids"))
    assert len(found) == 4


def test_a_table_that_is_none_and_columns_of_other_lengths() -> None:
    assert faults_of([1, 2]) == ["choice_data of type list"]
    frame = ragged()
    data = {name: frame[name].to_numpy() for name in frame}
    data["weights"] = data["weights"][:-1]
    assert any("'weights' of" in found for found in faults_of(data))
    assert "a formula without variables" in faults_of(frame, "1")


def test_tolerances_do_not_depend_on_units() -> None:
    frame = ragged()
    tiny = frame.assign(x=frame["x"] * 1e-14, y=frame["y"] * 1e9)
    assert read(tiny).labels == ("x", "y")


# Blocks and draws


def test_blocks_are_whole_people_and_add_up() -> None:
    rng = np.random.default_rng(0)
    frame = ragged(60)
    table = read(frame)
    draws = rng.normal(size=(60, 20000, 1))
    source = cut_people(table, draws)
    blocks = [source.load(index) for index in range(len(source))]
    assert len(blocks) > 1 and "people 0 to" in source.describe(0)
    np.testing.assert_array_equal(np.concatenate([b.X for b in blocks]), table.X)
    np.testing.assert_array_equal(np.concatenate([b.draws for b in blocks]), draws)
    weights = np.concatenate([b.weights for b in blocks])
    np.testing.assert_array_equal(weights, table.weights)
    picked = np.concatenate([b.X[b.chosen] for b in blocks])
    np.testing.assert_array_equal(picked, table.X[table.chosen])
    for block in blocks:
        assert block.situation_offsets[0] == block.person_offsets[0] == 0
        assert block.person_offsets[-1] == block.chosen.size
        assert block.situation_offsets[-1] == len(block.X)


def test_halton_draws_are_one_sequence_a_prime_in_turns() -> None:
    """Draws of mlogit and xlogit, by the radical inverse written out."""
    from scipy.special import ndtri

    def inverse(n: int, base: int) -> float:
        value, place = 0.0, 1.0 / base
        while n:
            n, digit = divmod(n, base)
            value, place = value + digit * place, place / base
        return value

    rule = Rule("halton", 5, RuleOptions(seed=0, discard=100, scramble=False))
    kinds = ("normal", "uniform", "triangular")
    draws = draw_variates(rule, kinds, 4)
    for d, base in enumerate((2, 3, 5)):
        u = np.array([inverse(100 + n, base) for n in range(20)]).reshape(4, 5)
        expected = [
            ndtri(u),
            2 * u - 1,
            np.where(u <= 0.5, np.sqrt(2 * u) - 1, 1 - np.sqrt(2 * (1 - u))),
        ][d]
        np.testing.assert_allclose(draws[:, :, d], expected, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("name", ["sobol", "mlhs", "lhs", "monte_carlo", "halton"])
def test_variates_have_the_moments_of_their_kinds(name: str) -> None:
    rule = Rule(name, 64, RuleOptions(seed=1))
    draws = draw_variates(rule, ("normal", "uniform", "triangular"), 256)
    assert draws.shape == (256, 64, 3)
    flat = draws.reshape(-1, 3)
    np.testing.assert_allclose(flat.mean(axis=0), 0.0, atol=0.02)
    np.testing.assert_allclose(flat.var(axis=0), [1, 1 / 3, 1 / 6], rtol=0.03)
    np.testing.assert_allclose(np.corrcoef(flat.T), np.eye(3), atol=0.03)
    assert not (draws[0] == draws[1]).any()


def test_quadratures_are_shared_and_weighed() -> None:
    kinds = ("normal", "uniform", "triangular", "exponential")
    rule = Rule("trapezoid", 31)
    draws, logs = draw_variates(rule, kinds, 5), weigh_draws(rule, kinds)
    assert draws.shape == (1, 31**4, 4) and logs.shape == (1, 31**4)
    assert count_draws(rule, kinds) == 31**4
    weights = np.exp(logs[0]) / 31**4
    assert weights.sum() == pytest.approx(1.0, rel=1e-12)
    np.testing.assert_allclose(weights @ draws[0], [0, 0, 0, 1], atol=1e-3)
    second = weights @ draws[0] ** 2
    np.testing.assert_allclose(second, [1, 1 / 3, 1 / 6, 2], rtol=1e-3)
    table = read(ragged(60))
    source = make_blocks(table, Rule("product", 5), ("normal",))
    for index in range(len(source)):
        block = source.load(index)
        assert block.draws.shape == (1, 5, 1) and block.log_weights.shape == (1, 5)
    assert draw_variates(Rule("product", 3), (), 2).shape == (2, 1, 0)
    assert weigh_draws(Rule("sobol", 4), kinds).shape == (0, 0)
    assert count_draws(rule, ()) == 0 and count_draws(Rule("sobol", 4), kinds) == 4


def test_quadratures_with_negative_weights_are_refused() -> None:
    with pytest.raises(InputError, match="1 negative weights of 5, of the quadrature"):
        draw_variates(Rule("grid", 2), ("normal", "uniform"), 2)
    check_rule(Rule("grid", 5), 1)
    # A weight of an extreme product of nodes is too small for a number.
    rule = Rule("product", 290)
    kept = weigh_draws(rule, ("normal", "normal"))
    assert np.isfinite(kept).all() and 80000 < kept.size < 290**2


def test_base_points_of_draws_around_modes_are_sobols() -> None:
    options, kinds = RuleOptions(seed=3), ("normal", "uniform")
    found = draw_variates(Rule("laplace", 16, options), kinds, 3)
    np.testing.assert_array_equal(
        found, draw_variates(Rule("sobol", 16, options), kinds, 3)
    )
