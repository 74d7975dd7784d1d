"""Levels found over blocks leave the residuals that absorption in memory leaves.

Invariants: residuals are those of least squares on all dummies; levels have the same
bits for every cut, every order of the rows and every engine; nothing as long as the
data is sent.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pytest

from blpdask.driver.engine import Placement
from blpdask.driver.serial import SerialEngine
from blpdask.driver.threads import ThreadsEngine
from blpdask.errors import InputError, NumericalWarning
from blpdask.model.inversion import InversionMemory
from blpdask.moments.grouped_sums import (
    SurveyState,
    columns_of,
    effects_of,
    subtract_levels,
)
from blpdask.partitions.source import count_bytes
from blpdask.problem import absorption_over_blocks as over_blocks
from blpdask.problem.absorption import absorb
from blpdask.problem.absorption_options import AbsorptionControls
from blpdask.problem.absorption_over_blocks import AbsorbedLevels, absorb_over_blocks
from blpdask.records import Floats, Integers, MarketBlock
from tests.api import nevo
from tests.moments.test_grouped_sums import make_block
from tests.problem.test_absorption import DESIGNS, Groups, chain, project_off_dummies

CONTROLS = AbsorptionControls()


def cut(
    values: Floats, groups: Groups, n_blocks: int, order: Integers | None = None
) -> list[MarketBlock]:
    """Cut rows, in an order, into blocks whose X1 are the first two columns."""
    rows = np.arange(len(values)) if order is None else order
    return [
        make_block(
            values[part, :2], values[part, 2:], tuple(g[part] for g in groups), index
        )
        for index, part in enumerate(np.array_split(rows, n_blocks))
    ]


def count_levels(groups: Groups) -> tuple[int, ...]:
    return tuple(int(codes.max()) + 1 for codes in groups)


def absorb_data(blocks: list[MarketBlock], groups: Groups) -> AbsorbedLevels:
    placement = SerialEngine().place(blocks)
    return absorb_over_blocks(
        placement, columns="data", level_counts=count_levels(groups), controls=CONTROLS
    )


def five_columns(rng: np.random.Generator, groups: Groups) -> Floats:
    values = rng.normal(size=(groups[0].size, 5))
    values[:, 1] += 1000
    values[:, 2] = np.cumsum(values[:, 0])
    values[:, 3] = groups[-1] ** 2
    values[:, 4] = 0
    return values


@pytest.mark.parametrize("design", DESIGNS)
def test_residuals_are_those_of_dummies_and_of_absorption_in_memory(
    design: Callable[[np.random.Generator], Groups],
) -> None:
    rng = np.random.default_rng(7)
    groups = design(rng)
    values = five_columns(rng, groups)
    found = absorb_data(cut(values, groups, 7), groups)
    residuals = subtract_levels(values, groups, found.levels)
    norms = np.linalg.norm(values - values.mean(axis=0), axis=0) + 1e-300
    for expected in (
        project_off_dummies(values, groups),
        absorb(values, groups).values,
    ):
        errors = np.linalg.norm(residuals - expected, axis=0) / norms
        # The levels of a column of a thousand are rounded to 1e-13.
        assert errors[[0, 2, 3, 4]].max() < 2e-12
        assert errors[1] < 2e-12 + 1000 * 2.0**-52
    assert found.converged
    assert found.correction.shape == (5,)
    assert found.iterations == 0 or len(groups) > 1
    assert [len(levels) for levels in found.levels] == list(count_levels(groups))


@pytest.mark.parametrize("design", DESIGNS)
def test_levels_have_the_same_bits_for_every_cut_order_and_engine(
    design: Callable[[np.random.Generator], Groups],
) -> None:
    rng = np.random.default_rng(8)
    groups = design(rng)
    values = five_columns(rng, groups)
    expected = absorb_data(cut(values, groups, 1), groups)
    n_rows = len(values)
    cuts = [cut(values, groups, n, rng.permutation(n_rows)) for n in (1, 5, 64)]
    placements = [SerialEngine().place(blocks) for blocks in cuts]
    placements.append(ThreadsEngine(3).place(cut(values, groups, 16)))
    for placement in placements:
        found = absorb_over_blocks(
            placement,
            columns="data",
            level_counts=count_levels(groups),
            controls=CONTROLS,
        )
        placement.close()
        assert found.iterations == expected.iterations
        for levels, others in zip(found.levels, expected.levels, strict=True):
            assert levels.tobytes() == others.tobytes()


def test_a_group_of_one_row_is_left_with_its_rounding() -> None:
    rng = np.random.default_rng(9)
    codes = np.r_[np.arange(50), np.repeat(np.arange(50, 60), 40)]
    values = rng.normal(size=(450, 4)) * 10.0 ** np.arange(-6, 6, 3)
    values[:, 1] += 1e5
    found = absorb_data(cut(values, [codes], 9), [codes])
    residuals = subtract_levels(values, [codes], found.levels)
    assert np.array_equal(residuals[:50], np.zeros((50, 4)))
    again = absorb_data(cut(residuals, [codes], 9), [codes])
    assert np.abs(again.levels[0]).max() < 1e-11


def test_a_long_chain_converges() -> None:
    rng = np.random.default_rng(10)
    n_workers = 600
    worker = np.repeat(np.arange(n_workers), 2)
    firm = worker + np.tile([0, 1], n_workers)
    worker, firm = np.append(worker, [5, 5]), np.append(firm, [6, 5])
    effect = rng.normal(size=n_workers).cumsum()[worker] + np.append(firm, 0)[firm]
    noise = rng.normal(size=worker.size)
    values = np.column_stack([noise, noise + effect, noise - effect])
    found = absorb_data(cut(values, [worker, firm], 16), [worker, firm])
    residuals = subtract_levels(values, [worker, firm], found.levels)
    in_memory = absorb(values, [worker, firm])
    assert found.converged and found.iterations > 300
    np.testing.assert_allclose(residuals, in_memory.values, atol=1e-9)
    # All rows but those of worker 5 are fitted exactly by their own effects.
    assert np.abs(residuals[worker != 5]).max() < 1e-9
    assert np.abs(residuals[worker == 5]).max() > 0.01


@pytest.mark.parametrize("mean", [0.0, 1e4, -1e8])
def test_a_large_mean_costs_its_rounding_and_no_more(mean: float) -> None:
    rng = np.random.default_rng(17)
    groups = [rng.integers(0, n, 900) for n in (60, 20, 7)]
    values = rng.normal(size=(900, 3))
    shifted = values + mean
    expected = absorb(shifted - mean, groups).values
    found = absorb_data(cut(shifted, groups, 8), groups)
    left = subtract_levels(shifted, groups, found.levels)
    assert found.converged
    assert found.correction.max() < 1e-12
    rounding = np.spacing(abs(mean))
    np.testing.assert_allclose(left, expected, rtol=0, atol=2e-12 + 2 * rounding)


@pytest.mark.parametrize("n_effects", [1, 2, 3])
def test_errors_are_absorbed_at_a_remembered_delta(n_effects: int) -> None:
    rng = np.random.default_rng(11)
    groups = [rng.integers(0, n, 900) for n in (60, 20, 7)][:n_effects]
    values, delta = rng.normal(size=(900, 3)), rng.normal(size=900)
    beta = np.array([[2.0], [-0.3]])
    placement = SerialEngine().place(cut(values, groups, 6))
    parts = np.array_split(delta, 6)
    none = np.empty((0, 0))
    memories = [InversionMemory(None, part, none, np.empty(0)) for part in parts]
    placement.remember("the last", memories)
    found = absorb_over_blocks(
        placement,
        columns="errors",
        level_counts=count_levels(groups),
        controls=CONTROLS,
        beta=beta,
        anchor="the last",
    )
    errors = delta - values[:, :2] @ beta[:, 0]
    left = subtract_levels(errors[:, None], groups, found.levels)[:, 0]
    np.testing.assert_allclose(left, absorb(errors, groups).values, atol=1e-12)


def test_columns_a_few_at_a_time_are_columns_all_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng = np.random.default_rng(12)
    groups = [rng.integers(0, 70, 800), rng.integers(0, 30, 800)]
    values = rng.normal(size=(800, 5))
    together = absorb_data(cut(values, groups, 4), groups)
    told: list[str] = []
    # The levels of two columns, those of the first effect twice.
    monkeypatch.setattr(over_blocks, "LARGEST_MESSAGE", 2 * (70 + 30 + 70) * 8)
    placement = SerialEngine().place(cut(values, groups, 4))
    apart = absorb_over_blocks(
        placement,
        columns="data",
        level_counts=count_levels(groups),
        controls=CONTROLS,
        listener=lambda event: told.append(event.message),
    )
    announced = [message.split(": ")[1] for message in told if "columns" in message]
    assert announced == [f"columns {i} of 5" for i in ("1 to 2", "3 to 4", "5 to 5")]
    assert any("pass 2" in message for message in told)
    assert apart.converged and apart.iterations > together.iterations
    left = [subtract_levels(values, groups, f.levels) for f in (together, apart)]
    np.testing.assert_allclose(left[0], left[1], atol=1e-13)


class _Watched:
    """A placement that notes how large what it sends and gives is."""

    def __init__(self, placement: Placement) -> None:
        self.placement = placement
        self.largest = 0
        self.reductions = 0

    def reduce(self, pass_, state, *, anchor=None, keep=None):
        def watched(block, state, memory):
            record, memory = pass_(block, state, memory)
            self.largest = max(self.largest, count_bytes(record))
            return record, memory

        self.reductions += 1
        self.largest = max(self.largest, count_bytes(state))
        return self.placement.reduce(watched, state, anchor=anchor, keep=keep)


def test_nothing_as_long_as_the_data_is_sent() -> None:
    rng = np.random.default_rng(13)
    n_rows = 20_000
    groups = [rng.integers(0, 60, n_rows), rng.integers(0, 40, n_rows)]
    values = rng.normal(size=(n_rows, 3))
    placement = _Watched(SerialEngine().place(cut(values, groups, 10)))
    found = absorb_over_blocks(
        placement, columns="data", level_counts=(60, 40), controls=CONTROLS
    )
    # All levels, the first effect's again, and two splitters, of three columns.
    assert placement.largest < 3 * 8 * (60 + 40 + 60 + 2) + 200
    # A survey, the first means, norms; a pass has three, a step two.
    n_passes = 2
    assert placement.reductions == 3 + 3 * n_passes + 2 * found.iterations
    alone = _Watched(SerialEngine().place(cut(values, groups[:1], 10)))
    absorb_over_blocks(alone, columns="data", level_counts=(60,), controls=CONTROLS)
    assert alone.reductions == 3


def test_stopping_early_is_said() -> None:
    rng = np.random.default_rng(14)
    groups = chain(rng)
    values = rng.normal(size=(1200, 3))
    placement = SerialEngine().place(cut(values, groups, 4))
    with pytest.warns(NumericalWarning, match="stopped after 5 steps") as caught:
        found = absorb_over_blocks(
            placement,
            columns="data",
            level_counts=count_levels(groups),
            controls=AbsorptionControls(max_iterations=5),
        )
    assert caught[0].filename == __file__
    assert not found.converged
    assert found.correction.max() > 1e-12


def test_faults_of_all_blocks_are_told_together() -> None:
    rng = np.random.default_rng(15)
    values = rng.normal(size=(90, 3))
    values[[4, 70], [0, 2]] = np.nan, np.inf
    groups = [rng.integers(0, 10, 90), rng.integers(0, 5, 90)]
    groups[0][[3, 50, 80]] = -1, 10, 99
    placement = SerialEngine().place(cut(values, groups, 3))
    with pytest.raises(InputError) as caught:
        absorb_over_blocks(
            placement, columns="data", level_counts=(10, 5), controls=CONTROLS
        )
    found = " | ".join(fault.found for fault in caught.value.faults)
    assert "3 rows with codes of effect 0 outside 0..9" in found
    assert "2 rows of data that are not finite" in found
    assert len(caught.value.faults) == 2
    huge = SerialEngine().place(cut(np.full((4, 3), 1e200), [np.arange(4) % 2], 2))
    with pytest.raises(InputError, match=r"as large as 1\.0e\+200"):
        absorb_over_blocks(huge, columns="data", level_counts=(2,), controls=CONTROLS)
    with pytest.raises(InputError) as caught:
        absorb_over_blocks(
            placement, columns="errors", level_counts=(10,), controls=CONTROLS
        )
    assert [fault.found for fault in caught.value.faults] == ["no beta", "no anchor"]


def test_no_effects_have_no_levels() -> None:
    placement = SerialEngine().place(cut(np.ones((4, 3)), [], 2))
    found = absorb_over_blocks(
        placement, columns="data", level_counts=(), controls=CONTROLS
    )
    assert found.levels == () and found.converged


@pytest.mark.parametrize("n_effects", [1, 2])
def test_no_columns_have_levels_of_no_columns(n_effects: int) -> None:
    groups = [np.arange(6) % 3, np.arange(6) // 3][:n_effects]
    found = absorb_data(cut(np.empty((6, 0)), groups, 2), groups)
    assert [levels.shape for levels in found.levels] == [(3, 0), (2, 0)][:n_effects]


def test_blocks_of_a_prepared_problem() -> None:
    """X1 as PyBLP's data have it; its instruments are absorbed already."""
    import blpdask

    demand = nevo.problem(blpdask, 20).demand
    prepared = demand.prepare(6)
    placement = ThreadsEngine(2).place(prepared.source)
    found = absorb_over_blocks(
        placement,
        columns="data",
        level_counts=prepared.level_counts[0],
        controls=prepared.absorption[0],
    )
    placement.close()
    blocks = [prepared.source.load(index) for index in range(len(prepared.source))]
    left = np.vstack(
        [
            subtract_levels(
                columns_of(block, SurveyState("data", None, ()), None),
                effects_of(block),
                found.levels,
            )
            for block in blocks
        ]
    )
    products = demand.products
    expected = np.hstack([products.X1_absorbed, products.ZD_absorbed])[demand.order]
    np.testing.assert_allclose(left, expected, atol=1e-13 * np.abs(expected).max())


@pytest.mark.slow
@pytest.mark.parametrize("connected", ["at random", "by neighbours"])
def test_a_million_rows_and_two_effects_of_a_hundred_thousand_levels(
    connected: str,
) -> None:
    rng = np.random.default_rng(16)
    n_rows, n_levels = 1_000_000, 100_000
    first = rng.integers(0, n_levels, n_rows)
    second = rng.integers(0, n_levels, n_rows)
    if connected == "by neighbours":
        # Rows of a group share groups of the other effect near it, or rarely, anywhere.
        near = (first + rng.integers(-30, 31, n_rows)) % n_levels
        second = np.where(rng.random(n_rows) < 0.01, second, near)
    values = rng.normal(size=(n_rows, 4)) + np.array([0, 0, 5, 0])
    values[:, 3] += np.cos(first / 1e4) + np.sin(second / 1e4)
    groups = [first, second]
    began = time.perf_counter()
    in_memory = absorb(values, groups)
    between = time.perf_counter()
    placement = _Watched(ThreadsEngine(2).place(cut(values, groups, 16)))
    found = absorb_over_blocks(
        placement, columns="data", level_counts=(n_levels,) * 2, controls=CONTROLS
    )
    ended = time.perf_counter()
    placement.placement.close()
    print(
        f"{connected}: {between - began:.1f} s in memory, {ended - between:.1f} s and "
        f"{placement.reductions} reductions over blocks, {found.iterations} steps"
    )
    left = subtract_levels(values, groups, found.levels)
    assert found.converged and in_memory.converged
    assert np.abs(left - in_memory.values).max() < 1e-10
