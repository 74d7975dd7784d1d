"""The covariance of simulation error, against data and draws simulated many times.

Invariants: over data sets with draws of their own, Var(√N ḡ(θ₀, β₀)) is the sampling
part under exact integrals plus N Cov_r(ḡ_r); PyBLP's scaling is N times too small and
empty where β̂ absorbs it; S of simulated ξ̂ holds a part of it; a redraw is the keyed
stream and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

from blpdask.errors import InputError
from blpdask.integration.keyed import draw_market
from blpdask.integration.rules import Rule
from blpdask.kernels import loop_logit
from blpdask.moments.demand import DemandState, demand_pass
from blpdask.moments.objective import prepare_linear_gmm
from blpdask.moments.simulation_error import (
    GivenAgents,
    KeyedDraws,
    ResampleState,
    give,
    given_moments_pass,
    redraw,
    resampled_moments,
    simulation_covariance,
)
from blpdask.records import InversionControls, MarketBlock, Tastes

T, J, I = 60, 5, 40  # noqa: E741
N = T * J
BETA = np.array([-2.0, 1.0])
ONE = np.zeros(1, np.int64)
DEMAND = DemandState(
    theta=np.array([1.5]),
    tastes=Tastes(np.array([[1.5]]), ONE, ONE, ONE),
    controls=InversionControls(derivatives=False),
    backend="numba",
)
RULE = Rule("monte_carlo", I)


@dataclass(frozen=True)
class Data:
    """One data set: its block with I agents a market, X1, Z and ξ."""

    block: MarketBlock
    X: np.ndarray
    Z: np.ndarray
    xi: np.ndarray


class Source:
    """One block, as a task sees it."""

    def __init__(self, *blocks):
        self.blocks = blocks

    def __len__(self):
        return len(self.blocks)

    def load(self, index):
        return self.blocks[index]


def simulate(seed):
    """Draw data whose shares are integrals to twelve digits."""
    rng = np.random.default_rng(seed)
    x, xi = rng.uniform(0, 2, N), 0.6 * rng.normal(size=N)
    X = np.column_stack([np.ones(N), x])
    Z = np.column_stack([X, x**2, np.repeat(x.reshape(T, J).mean(1), J)])
    exact = Rule("product", 15).build_markets(1, T)
    offsets = np.arange(T + 1)
    block = MarketBlock(
        index=0,
        first_market=0,
        product_offsets=offsets * J,
        agent_offsets=offsets * 15,
        X2=x[None].copy(),
        log_shares=np.zeros(N),
        logit_delta=np.zeros(N),
        draws=exact.nodes,
        weights=exact.weights,
        ZD=Z,
    )
    shares = loop_logit.shares(block, DEMAND.tastes, X @ BETA + xi)
    outside = np.repeat(1 - shares.reshape(T, J).sum(1), J)
    block = replace(
        block,
        log_shares=np.log(shares),
        logit_delta=np.log(shares / outside),
        agent_offsets=offsets * I,
        draws=np.zeros((T * I, 1)),
        weights=np.full(T * I, 1 / I),
    )
    return Data(block, X, Z, xi)


def state_of(data, seed):
    ZtXb = (data.Z.T @ data.X @ BETA).astype(np.longdouble)
    return ResampleState(DEMAND, KeyedDraws(RULE, seed, 1), ZtXb, N)


def linear_of(data):
    return prepare_linear_gmm(
        ZtX=(data.Z.T @ data.X).astype(np.longdouble),
        concentrated=np.ones(2, np.bool_),
        W=np.linalg.inv(data.Z.T @ data.Z / N),
        n_observations=N,
        scale_objective=True,
    )


@dataclass(frozen=True)
class Brute:
    """Moments of many data sets, and covariances over redraws, averaged.

    ``exact`` is ``(S, MD)``, ``simulated`` ``(S, R, MD)``.
    """

    exact: np.ndarray
    simulated: np.ndarray
    corrected: np.ndarray
    pyblp: np.ndarray
    robust: np.ndarray
    clustered: np.ndarray

    @property
    def total(self):
        return over_data_sets(self.simulated)


def over_data_sets(moments):
    """Give N times the covariance over data sets, averaged over redraws."""
    redraws = np.moveaxis(moments, 1, 0)
    return N * np.mean([np.cov(found, rowvar=False) for found in redraws], axis=0)


@pytest.fixture(scope="module")
def brute():
    exact, simulated, corrected, pyblp, robust, clustered = ([] for _ in range(6))
    for seed in range(400):
        data = simulate(seed)
        state = state_of(data, 1000 + seed)
        runs = [resampled_moments(Source(data.block), state, r) for r in range(9)]
        assert not any(run.n_failed for run in runs)
        moments = np.array([run.moments for run in runs])
        linear = linear_of(data)
        _, memory = demand_pass(redraw(data.block, state.agents, 0), DEMAND, None)
        g = (memory.delta - data.X @ BETA)[:, None] * data.Z
        by_market = g.reshape(T, J, -1).sum(1)
        robust.append(g.T @ g / N)
        clustered.append(by_market.T @ by_market / N)
        exact.append(data.Z.T @ data.xi / N)
        simulated.append(moments)
        corrected.append(simulation_covariance(moments[1:], linear, "moments"))
        pyblp.append(simulation_covariance(moments[1:], linear, "pyblp"))
    means = [np.mean(c, 0) for c in (corrected, pyblp, robust, clustered)]
    return Brute(np.array(exact), np.array(simulated), *means)


@pytest.mark.slow
def test_the_variance_of_moments_is_sampling_plus_simulation(brute):
    total = brute.total
    sampling = N * np.cov(brute.exact, rowvar=False)
    simulation = over_data_sets(brute.simulated - brute.exact[:, None])
    # 400 data sets: a variance is known to √(2 / 400) = 7 %, but sums and parts are of
    # the same data; what one redraw adds to their difference, 2 Cov(exact, error), 5 %,
    # is averaged over nine of them.
    found = np.diag(sampling + brute.corrected) / np.diag(total)
    np.testing.assert_allclose(found, 1, atol=0.05)
    np.testing.assert_allclose(
        np.diag(brute.corrected) / np.diag(simulation), 1, atol=0.15
    )
    scale = np.sqrt(np.outer(np.diag(simulation), np.diag(simulation)))
    np.testing.assert_allclose(brute.corrected / scale, simulation / scale, atol=0.15)
    assert (np.diag(brute.corrected) > 0.4 * np.diag(total)).all()


@pytest.mark.slow
def test_without_n_it_would_be_nothing(brute):
    total = np.diag(brute.total)
    sampling = N * np.diag(np.cov(brute.exact, rowvar=False))
    assert (np.diag(brute.corrected) / N < 0.005 * total).all()
    # Concentrating β out again leaves nothing where X1 is its own instrument.
    assert (np.diag(brute.pyblp)[:2] < 1e-25).all()
    assert (sampling + np.diag(brute.pyblp) < 0.65 * total).all()


@pytest.mark.slow
def test_simulated_errors_hold_a_part_of_it_already(brute):
    total = np.diag(brute.total)
    sampling = N * np.diag(np.cov(brute.exact, rowvar=False))
    held = (np.diag(brute.robust) - sampling) / np.diag(brute.corrected)
    assert (held > 0.2).all() and (held < 0.5).all()
    # Clusters that are whole markets, with draws of their own, hold all of it.
    np.testing.assert_allclose(np.diag(brute.clustered) / total, 1, atol=0.1)


def test_a_redraw_is_the_keyed_stream():
    block = replace(simulate(1).block, first_market=7)
    drawn = redraw(block, KeyedDraws(RULE, 3, 1), replicate=4)
    expected = [draw_market(RULE, 1, 3, 7 + t, 5).nodes for t in range(T)]
    assert drawn.draws.tobytes() == np.vstack(expected).tobytes()
    assert (drawn.weights == 1 / I).all()
    demographics = np.arange(2.0 * T * I).reshape(-1, 2)
    both = replace(block, draws=np.hstack([block.draws, demographics]))
    kept = redraw(both, KeyedDraws(RULE, 3, 1), replicate=4).draws
    assert (kept[:, 1:] == demographics).all()
    assert kept[:, :1].tobytes() == drawn.draws.tobytes()


def test_moments_are_those_of_the_rows():
    data = simulate(2)
    state = state_of(data, 9)
    found = resampled_moments(Source(data.block), state, 3)
    drawn = redraw(data.block, state.agents, 3)
    _, memory = demand_pass(drawn, DEMAND, None)
    np.testing.assert_allclose(
        found.moments, data.Z.T @ (memory.delta - data.X @ BETA) / N, rtol=0, atol=1e-13
    )


def test_given_agents_go_to_their_markets():
    data = simulate(3)
    keyed = redraw(data.block, KeyedDraws(RULE, 9, 1), 0)
    agents = GivenAgents(keyed.agent_offsets, keyed.draws, keyed.weights)
    whole = give(data.block, agents)
    assert whole.draws.tobytes() == keyed.draws.tobytes()
    state = replace(state_of(data, 9), agents=agents)
    sums, memory = given_moments_pass(data.block, state, None)
    assert memory is None
    expected = resampled_moments(Source(data.block), state_of(data, 9), 0).moments
    found = ((sums.ZtDelta - state.ZtXb) / N).astype(np.float64)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-14)


@pytest.mark.parametrize("size", [I + 1, 2 * I])
def test_another_rule_than_that_of_the_agents_is_refused(size):
    block = simulate(1).block
    with pytest.raises(InputError, match=f"size {size}, but markets with 40 to 40"):
        redraw(block, KeyedDraws(Rule("monte_carlo", size), 0, 1), 0)


def test_one_moment_has_a_covariance_of_one_by_one():
    linear = replace(linear_of(simulate(1)), n_observations=10)
    found = simulation_covariance(np.array([[1.0], [2.0], [4.0]]), linear, "moments")
    assert found.shape == (1, 1)
    assert found[0, 0] == pytest.approx(10 * 7 / 3, rel=1e-14)
