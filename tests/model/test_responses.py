"""How a block's markets respond, by the pass that engines map over blocks.

What must hold:

1. Values are those of kernels at the trial, shares those of the trial, whichever the
   backend and however blocks are cut.
2. Types of agents count by their shares.
3. Where there is room for them, values are put there, and nowhere else.
4. Diversion ratios sum to one with the outside option, in the long run too, where alike
   agents go by shares.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from blpdask.driver.serial import SerialEngine
from blpdask.driver.threads import ThreadsEngine
from blpdask.kernels import loop_backend
from blpdask.model.agent_types import weigh_types
from blpdask.model.inversion import one_market
from blpdask.model.responses import (
    RespondingMarkets,
    ResponseState,
    responses_pass,
)
from blpdask.partitions.source import HeldBlocks
from blpdask.records import TrialPrices
from tests.kernels import reference
from tests.kernels.test_nests import shares_of
from tests.kernels.test_responses import Case, case_of, jacobian_written_out, squares

NAMES = ("unbalanced", "log-logit", "nests, all", "nests, high", "availability")


@pytest.fixture(params=NAMES)
def case(request: pytest.FixtureRequest) -> Case:
    return case_of(request.param)


def respond(case: Case, *, removed: bool = False, backend: str = "numba"):
    state = ResponseState(case.tastes, removed, backend)
    return responses_pass(RespondingMarkets(case.block, case.trial), state)[0]


@pytest.mark.parametrize("backend", ["numba", "numpy"])
def test_responses_are_those_at_the_trial(case, backend):
    found = respond(case, backend=backend)
    for t, square in enumerate(squares(case, found.values)):
        expected = jacobian_written_out(case, t)
        np.testing.assert_allclose(square, expected, rtol=0, atol=1e-14)
    expected = shares_of(case.there, case.tastes, case.trial.delta)
    np.testing.assert_allclose(found.shares, expected, rtol=1e-12)
    gone = respond(case, removed=True, backend=backend)
    values, _ = loop_backend.removals(case.there, case.tastes, case.trial.delta, 2**26)
    np.testing.assert_allclose(gone.values, values, rtol=1e-10, atol=1e-300)
    np.testing.assert_allclose(gone.shares, found.shares, rtol=1e-13)


def cut(case: Case) -> HeldBlocks:
    """Make a block of every market."""
    blocks = []
    for t, (rows, _) in enumerate(reference.markets(case.block)):
        trial = case.trial
        own = TrialPrices(
            prices=trial.prices[rows],
            delta=trial.delta[rows],
            alpha=trial.alpha[rows],
            X2=trial.X2[:, rows],
            X2_by_prices=trial.X2_by_prices[:, rows],
            X2_priced=trial.X2_priced,
        )
        blocks.append(RespondingMarkets(one_market(case.block, t), own))
    return HeldBlocks(blocks)


@pytest.mark.parametrize("engine", [SerialEngine(), ThreadsEngine(2)])
@pytest.mark.parametrize("removed", [False, True])
def test_blocks_added_by_an_engine_are_the_whole(case, engine, removed):
    placement = engine.place(cut(case))
    try:
        found = placement.reduce(responses_pass, ResponseState(case.tastes, removed))
    finally:
        placement.close()
    whole = respond(case, removed=removed)
    np.testing.assert_array_equal(found.values, whole.values)
    np.testing.assert_array_equal(found.shares, whole.shares)


@pytest.mark.parametrize("backend", ["numba", "numpy"])
@pytest.mark.parametrize("removed", [False, True])
def test_values_are_put_where_there_is_room(case, removed, backend):
    expected = respond(case, removed=removed, backend=backend)
    n = expected.values.size
    whole = np.full(n + 4, -7.0)
    block = RespondingMarkets(case.block, case.trial, whole[2:-2])
    found, _ = responses_pass(block, ResponseState(case.tastes, removed, backend))
    np.testing.assert_array_equal(whole[2:-2], expected.values)
    np.testing.assert_array_equal(whole[[0, 1, -2, -1]], -7.0)
    np.testing.assert_array_equal(found.shares, expected.shares)
    assert found.values.size == 0


@pytest.mark.parametrize("removed", [False, True])
def test_types_count_by_their_shares(case, removed):
    rng = np.random.default_rng(3)
    types = np.arange(case.block.weights.size) % 2
    block = replace(case.block, agent_types=types)
    tastes = replace(case.tastes, type_shares=np.array([0.3, 0.7]))
    if any(people.stop - people.start < 2 for _, people in reference.markets(block)):
        block = replace(block, agent_types=rng.permutation(types))
    typed = replace(case, block=block, tastes=tastes)
    weighted = replace(case, block=weigh_types(block, tastes))
    assert not np.array_equal(weighted.block.weights, case.block.weights)
    found, expected = (respond(c, removed=removed) for c in (typed, weighted))
    np.testing.assert_array_equal(found.values, expected.values)
    np.testing.assert_array_equal(found.shares, expected.shares)


def test_diversion_ratios_sum_to_one(case):
    n = case.block.n_products
    nothing = np.empty(0, np.int64)
    still = replace(
        case.trial, alpha=-np.ones(n), X2_by_prices=np.empty((0, n)), X2_priced=nothing
    )
    moved, gone = respond(replace(case, trial=still)), respond(case, removed=True)
    offsets = case.block.product_offsets
    for t, (slopes, gains) in enumerate(
        zip(squares(case, moved.values), squares(case, gone.values), strict=True)
    ):
        s = gone.shares[offsets[t] : offsets[t + 1]]
        long_run = gains / s[:, None]
        np.testing.assert_allclose(long_run.sum(axis=1), 1.0, rtol=1e-12)
        ratios = -slopes.T / np.diag(slopes)[:, None]
        np.fill_diagonal(ratios, slopes.sum(axis=0) / np.diag(slopes))
        np.testing.assert_allclose(ratios.sum(axis=1), 1.0, rtol=1e-12)
        assert (ratios >= 0).all() and (long_run >= 0).all()


def test_alike_agents_divert_by_shares():
    """Without tastes that differ, s_k / (1 - s_j) of j's buyers go to k."""
    case = case_of("unbalanced")
    tastes = replace(case.tastes, loadings=0.0 * case.tastes.loadings)
    found = respond(replace(case, tastes=tastes), removed=True)
    offsets = case.block.product_offsets
    for t, gains in enumerate(squares(case, found.values)):
        s = found.shares[offsets[t] : offsets[t + 1]]
        expected = np.outer(s / (1 - s), s)
        np.fill_diagonal(expected, s * (1 - s.sum()) / (1 - s))
        np.testing.assert_allclose(gains, expected, rtol=1e-12)
