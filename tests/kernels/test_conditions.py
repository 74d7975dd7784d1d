"""First-order conditions at trial prices, every backend against sums written out.

What must hold, whatever the backend:

1. s, Λ and ζ are what sums over agents, one by one, say they are, and
   H_jj Λ_j (m_j - ζ_j) is s_j + Σ_k H_jk m_k ∂s_k/∂p_j, with owners and with any H,
   symmetric or not, ones on its diagonal or not; with nests and products that are not
   there for all, too.
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

from blpdask.kernels import (
    array_conditions,
    array_logit,
    loop_backend,
    loop_conditions,
    loop_markups,
)
from blpdask.records import (
    Floats,
    InversionControls,
    InversionStart,
    MarketBlock,
    PriceConditions,
    TrialPrices,
)
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
from tests.kernels.test_nests import nested, probabilities


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


#: Five markets whose products lie in three nests.
NESTED = {
    "nests": {},
    "one nest": {"rho": (0.7,), "places": (0,)},
    "nests and weights": {"ownership": "weights"},
    "nests, log and logit": {"kinds": (1, 2, 0), "rho": (0.3, 0.0, 0.9)},
    "nests and availability": {"availability": True},
    "availability": {"availability": True, "ownership": "weights"},
}


def nested_case(name: str) -> Priced:
    """Make markets with nests, or of availability alone, and shares that have a δ."""
    sizes = {"sizes": (5, 9, 7, 1, 20), "agents": (7, 6, 300, 12, 4)}
    made = nested(**NESTED[name], **sizes)
    block, tastes = made.block, made.tastes
    if name == "availability":
        block = replace(block, nests=None)
        none = np.empty(0, np.int64)
        tastes = replace(tastes, rho=np.empty(0), rho_places=none)
    shares = loop_backend.shares(block, tastes, made.delta)
    return Priced(replace(block, log_shares=np.log(shares)), tastes, made.beta)


@pytest.fixture(params=[*CASES, "any diagonal", *NESTED])
def case(request: pytest.FixtureRequest) -> Priced:
    if request.param in NESTED:
        return nested_case(request.param)
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


def delta_of(case: Priced) -> Floats:
    """Solve s(δ) = S."""
    if case.block.nests is None and case.block.availability is None:
        return solve(case)[0]
    start = InversionStart(case.block.logit_delta, np.empty(0))
    found = loop_backend.invert(case.block, case.tastes, start, InversionControls())
    assert not found.status.any()
    return found.delta


def drawn(case: Priced, seed: int = 0) -> tuple[TrialPrices, Floats]:
    """Draw δ and margins, and move X2 away from the block's."""
    rng = np.random.default_rng(seed)
    n = case.block.n_products
    trial = trial_of(case, rng.normal(-1, 1, n))
    trial = replace(trial, X2=trial.X2 + 0.1 * rng.normal(size=trial.X2.shape))
    return trial, rng.uniform(-0.2, 0.9, n)


def choices(case: Priced, trial: TrialPrices, t: int) -> tuple[Floats, Floats, Floats]:
    """Give P and Q ``(I, J)`` of market t and, ``(J, J)``, t_h - 1 within nests.

    Without nests Q and the latter are zero.
    """
    block = replace(case.block, X2=trial.X2)
    rows, _ = list(reference.markets(block))[t]
    tastes, alone = case.tastes, block.nests is None
    if alone:  # one nest of all, whose products are not alike
        block = replace(block, nests=np.zeros(block.n_products, np.int64))
        tastes = replace(tastes, rho=np.zeros(1))
    P = probabilities(block, tastes, trial.delta, t)
    if alone:
        return P, 0 * P, np.zeros((P.shape[1],) * 2)
    nests = block.nests[rows]
    same = nests[:, None] == nests
    M = P @ same
    Q = np.divide(P, M, out=np.zeros_like(P), where=M > 0)
    return P, Q, same * (1 / (1 - tastes.rho[nests]) - 1)


def written_out(case: Priced, trial: TrialPrices, margins: Floats) -> PriceConditions:
    """Compute s, Λ, ∂s/∂p and so ζ agent by agent."""
    n = margins.size
    shares, Lambda, zeta = np.empty(n), np.empty(n), np.empty(n)
    for t, (rows, agents) in enumerate(reference.markets(case.block)):
        P, Q, within = choices(case, trial, t)
        H = _ownership(case.block, t)
        shares[rows] = case.block.weights[agents] @ P
        own, cross = np.zeros(P.shape[1]), np.zeros((P.shape[1],) * 2)
        for w, p, q, draws in zip(
            case.block.weights[agents], P, Q, case.block.draws[agents], strict=True
        ):
            alpha = trial.alpha[rows].copy()
            for k, x in zip(trial.X2_priced, trial.X2_by_prices, strict=True):
                index = case.tastes.loadings[k] @ draws
                c, _ = reference.coefficient(index, case.tastes.types[k])
                alpha += c * x[rows]
            own += w * alpha * p * (1 + np.diag(within))
            cross += w * (np.outer(p, alpha * p) + within * np.outer(q, alpha * p))
        Lambda[rows] = np.diag(H) * own
        slopes = np.diag(own) - cross
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


@pytest.mark.parametrize("name", list(CASES))
def test_slopes_written_out_are_those_of_markups(name):
    """The reference's own: gradients from ∂s/∂p of the tests of markups."""
    case = priced(*CASES[name])
    trial, margins = drawn(case)
    found = written_out(case, trial, margins)
    moved = replace(case, block=replace(case.block, X2=trial.X2))
    for t, (rows, _) in enumerate(reference.markets(case.block)):
        slopes = share_slopes(moved, trial.delta, t)
        gradient = (_ownership(case.block, t) * slopes.T) @ margins[rows]
        gradient += found.shares[rows]
        zeta = margins[rows] - gradient / found.Lambda[rows]
        np.testing.assert_allclose(found.zeta[rows], zeta, rtol=1e-11)


@pytest.mark.parametrize("name", list(NESTED))
def test_slopes_written_out_are_differences_of_shares(name):
    """The reference's own: gradients from shares at prices a little apart."""
    case = nested_case(name)
    trial, margins = drawn(case)
    found, h = written_out(case, trial, margins), 1e-5
    for t, (rows, agents) in enumerate(reference.markets(case.block)):
        gradient, H = found.shares[rows].copy(), _ownership(case.block, t)
        for j in range(rows.start, rows.stop):
            ends = []
            for move in (-h, h):
                delta, X2 = trial.delta.copy(), trial.X2.copy()
                delta[j] += move * trial.alpha[j]
                X2[trial.X2_priced, j] += move * trial.X2_by_prices[:, j]
                P, _, _ = choices(case, replace(trial, delta=delta, X2=X2), t)
                ends.append(case.block.weights[agents] @ P)
            by_price = (ends[1] - ends[0]) / (2 * h)
            gradient[j - rows.start] += H[j - rows.start] @ (margins[rows] * by_price)
        expected = found.Lambda[rows] * (margins[rows] - found.zeta[rows])
        np.testing.assert_allclose(gradient, expected, rtol=0, atol=1e-8)


def test_markups_are_a_fixed_point(conditions, case):
    delta = delta_of(case)
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


def test_tiles_of_agents_add_up():
    """The loop's own, as plain Python: 70 agents in tiles of 7."""
    case = priced(*CASES["log and logit"])
    trial, margins = drawn(case)
    expected = written_out(case, trial, margins)
    found = np.empty((3, 4))
    rows, agents = list(reference.markets(case.block))[2]
    coefficients = np.array(
        [
            [
                reference.coefficient(case.tastes.loadings[k] @ draws, kind)[0]
                for draws in case.block.draws[agents]
            ]
            for k, kind in enumerate(case.tastes.types)
        ]
    )
    compiled = loop_conditions.sum_over_agents
    getattr(compiled, "py_func", compiled)(
        np.column_stack([*trial.X2[:, rows], trial.delta[rows]]) / np.log(2),
        np.vstack([trial.alpha[rows], trial.X2_by_prices[:, rows]]),
        trial.X2_priced,
        margins[rows],
        case.block.supply.owners[rows],
        np.empty((0, 0)),
        coefficients,
        case.block.weights[agents],
        True,
        7,
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
