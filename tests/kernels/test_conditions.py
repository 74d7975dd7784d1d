"""First-order conditions at trial prices, every backend against sums written out.

What must hold, whatever the backend:

1. s, Λ and ζ are what sums over agents, one by one, say they are, and
   H_jj Λ_j (m_j - ζ_j) is s_j + Σ_k H_jk m_k ∂s_k/∂p_j, with owners and with any H,
   symmetric or not, ones on its diagonal or not.
2. At markups that solve Δη = s, ζ gives them back.
3. X2 is that of the trial and not that of the block.
4. Only active markets are worked on, and company and scratch memory do not matter.
5. Utilities beyond the range of exp do no harm.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from blpdask.kernels import array_conditions, array_logit, loop_conditions, loop_markups
from blpdask.records import Floats, MarketBlock, PriceConditions, TrialPrices
from tests.kernels import reference
from tests.kernels.strict_device import StrictDevice
from tests.kernels.test_markups import (
    CASES,
    SCRATCH,
    Priced,
    _ownership,
    priced,
    share_slopes,
    solve,
)


def _arrays(xp: object) -> Callable[..., PriceConditions]:
    def conditions(block: MarketBlock, *arguments: object) -> PriceConditions:
        prepared = array_logit.prepare(block, xp)
        offsets = block.product_offsets
        return array_conditions.conditions(prepared, block.supply, offsets, *arguments)

    return conditions


BACKENDS = {
    "array": lambda: _arrays(np),
    "strict-device": lambda: _arrays(StrictDevice()),
    "loop": lambda: loop_conditions.conditions,
    "cupy": lambda: _arrays(pytest.importorskip("cupy")),
}


@pytest.fixture(
    params=[
        "array",
        "strict-device",
        "loop",
        pytest.param("cupy", marks=pytest.mark.gpu),
    ]
)
def conditions(request: pytest.FixtureRequest) -> Callable[..., PriceConditions]:
    return BACKENDS[request.param]()


@pytest.fixture(params=[*CASES, "any diagonal"])
def case(request: pytest.FixtureRequest) -> Priced:
    if request.param != "any diagonal":
        return priced(*CASES[request.param])
    case = priced(*CASES["any matrix"])
    supply = case.block.supply
    return replace(
        case,
        block=replace(
            case.block, supply=replace(supply, ownership=1.5 * supply.ownership)
        ),
    )


def trial_of(case: Priced, delta: Floats) -> TrialPrices:
    """Give the block's own prices as a trial."""
    supply = case.block.supply
    return TrialPrices(
        prices=supply.prices,
        delta=delta,
        alpha=supply.X1_by_prices.T @ case.beta.beta,
        X2=case.block.X2,
        X2_by_prices=supply.X2_by_prices,
        X2_priced=supply.X2_priced,
    )


def drawn(case: Priced, seed: int = 0) -> tuple[TrialPrices, Floats]:
    """Draw δ and margins, and move X2 away from the block's."""
    rng = np.random.default_rng(seed)
    n = case.block.n_products
    trial = trial_of(case, rng.normal(-1, 1, n))
    trial = replace(trial, X2=trial.X2 + 0.1 * rng.normal(size=trial.X2.shape))
    return trial, rng.uniform(-0.2, 0.9, n)


def written_out(case: Priced, trial: TrialPrices, margins: Floats) -> PriceConditions:
    """Compute s, Λ and ζ agent by agent; gradients from ∂s/∂p of the other tests."""
    moved = replace(case, block=replace(case.block, X2=trial.X2))
    n = margins.size
    shares, Lambda, zeta = np.empty(n), np.empty(n), np.empty(n)
    for t, (rows, agents) in enumerate(reference.markets(case.block)):
        mu, _ = reference.deviations(
            trial.X2[:, rows], case.block.draws[agents], case.tastes
        )
        P = np.exp(reference.log_probabilities(mu, trial.delta[rows]))
        H = _ownership(case.block, t)
        shares[rows] = case.block.weights[agents] @ P
        own = np.zeros(mu.shape[1])
        for w, p, draws in zip(
            case.block.weights[agents], P, case.block.draws[agents], strict=True
        ):
            alpha = trial.alpha[rows].copy()
            for k, x in zip(trial.X2_priced, trial.X2_by_prices, strict=True):
                index = case.tastes.loadings[k] @ draws
                c, _ = reference.coefficient(index, case.tastes.types[k])
                alpha += c * x[rows]
            own += w * alpha * p
        Lambda[rows] = np.diag(H) * own
        slopes = share_slopes(moved, trial.delta, t)
        gradient = shares[rows] + (H * slopes.T) @ margins[rows]
        zeta[rows] = margins[rows] - gradient / Lambda[rows]
    return PriceConditions(shares, Lambda, zeta)


def everywhere(block: MarketBlock) -> np.ndarray:
    return np.ones(block.n_markets, np.bool_)


def test_conditions_are_those_written_out(conditions, case):
    trial, margins = drawn(case)
    found = conditions(
        case.block, case.tastes, trial, margins, everywhere(case.block), SCRATCH
    )
    expected = written_out(case, trial, margins)
    for name in ("shares", "Lambda", "zeta"):
        np.testing.assert_allclose(
            getattr(found, name), getattr(expected, name), rtol=1e-11, err_msg=name
        )


def test_markups_are_a_fixed_point(conditions, case):
    delta, _ = solve(case)
    none = np.empty((delta.size, 0))
    eta = loop_markups.markups(
        case.block, case.tastes, case.beta, delta, none, SCRATCH
    ).eta
    found = conditions(
        case.block,
        case.tastes,
        trial_of(case, delta),
        eta,
        everywhere(case.block),
        SCRATCH,
    )
    np.testing.assert_allclose(found.shares, np.exp(case.block.log_shares), rtol=1e-12)
    assert np.abs(found.Lambda * (eta - found.zeta)).max() < 1e-14


def test_only_active_markets_are_worked_on(conditions, case):
    trial, margins = drawn(case)
    block, some = case.block, np.array([False, True, True, False, True])
    whole = conditions(block, case.tastes, trial, margins, everywhere(block), SCRATCH)
    part = conditions(block, case.tastes, trial, margins, some, SCRATCH)
    rows = np.repeat(some, np.diff(block.product_offsets))
    for name in ("shares", "Lambda", "zeta"):
        assert np.isnan(getattr(part, name)[~rows]).all()
        np.testing.assert_allclose(
            getattr(part, name)[rows], getattr(whole, name)[rows], rtol=1e-13
        )
    none = conditions(block, case.tastes, trial, margins, some & False, SCRATCH)
    assert np.isnan(none.zeta).all()


def test_scratch_memory_does_not_matter(conditions, case):
    trial, margins = drawn(case)
    every = everywhere(case.block)
    much = conditions(case.block, case.tastes, trial, margins, every, SCRATCH)
    little = conditions(case.block, case.tastes, trial, margins, every, 1)
    np.testing.assert_allclose(little.zeta, much.zeta, rtol=1e-12)


def test_tiles_of_agents_add_up(monkeypatch):
    """The loop's own, as plain Python: 70 agents in tiles of 7."""
    case = priced(*CASES["log and logit"])
    trial, margins = drawn(case)
    expected = written_out(case, trial, margins)
    found = np.empty((3, 4))
    monkeypatch.setattr(loop_conditions, "TILE", 28)
    monkeypatch.setattr(loop_conditions, "FEWEST_AGENTS", 1)
    rows, agents = list(reference.markets(case.block))[2]
    coefficients = np.array(
        [
            [
                reference.coefficient(case.tastes.loadings[k] @ draws, kind)[0]
                for k, kind in enumerate(case.tastes.types)
            ]
            + [1.0]
            for draws in case.block.draws[agents]
        ]
    )
    compiled = loop_conditions.sum_over_agents
    getattr(compiled, "py_func", compiled)(
        np.column_stack([*trial.X2[:, rows], trial.delta[rows]]),
        np.vstack([trial.alpha[rows], trial.X2_by_prices[:, rows]]),
        trial.X2_priced,
        margins[rows],
        case.block.supply.owners[rows],
        np.empty((0, 0)),
        coefficients,
        case.block.weights[agents],
        found,
    )
    np.testing.assert_allclose(found[0], expected.shares[rows], rtol=1e-12)
    np.testing.assert_allclose(found[1], expected.Lambda[rows], rtol=1e-12)
    zeta = (found[2] - found[0]) / found[1]
    np.testing.assert_allclose(zeta, expected.zeta[rows], rtol=1e-11)


@pytest.mark.parametrize("level", [-650.0, 650.0, 5000.0])
def test_large_utilities_do_no_harm(conditions, level):
    """Where all utilities are high by as much, the outside good vanishes, no more."""
    case = priced(*CASES["linear"])
    trial, margins = drawn(case)
    trial = replace(trial, delta=trial.delta + level)
    found = conditions(
        case.block, case.tastes, trial, margins, everywhere(case.block), SCRATCH
    )
    expected = written_out(case, trial, margins)
    np.testing.assert_allclose(found.shares, expected.shares, rtol=1e-10)
    np.testing.assert_allclose(found.Lambda, expected.Lambda, rtol=1e-10)


def test_a_price_that_nobody_minds_has_no_markup(conditions):
    case = priced(*CASES["linear"])
    trial, margins = drawn(case)
    trial = replace(
        trial,
        alpha=0 * trial.alpha,
        X2_by_prices=trial.X2_by_prices[:0],
        X2_priced=trial.X2_priced[:0],
    )
    found = conditions(
        case.block, case.tastes, trial, margins, everywhere(case.block), SCRATCH
    )
    assert np.isnan(found.zeta).all() and np.isfinite(found.shares).all()
