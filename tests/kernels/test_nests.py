"""Nests, availability and draws that differ over products, in every backend.

All is held against probabilities written out, one agent and one product at a time.

What must hold, whatever the backend:

1. Shares are those of nested logit with random coefficients, agent by agent.
2. δ solves s(δ) = S, from near and from far, by every method, and from a memory.
3. ∂δ/∂θ, of Γ and of ρ, scalar, by nest and partly fixed, is its finite difference.
4. η solves the first-order conditions, with ∂s/∂p from finite differences of shares,
   and ∂η/∂θ is its finite difference along δ(θ).
5. ρ = 0 is no nests; one nest a product with any ρ is logit with stretched utilities
   only where ρ is zero; products in another order give the same numbers.
6. For the plain nested logit δ is log S_j - log S_0 - ρ_h log(S_j / S_h).
7. Scratch memory does not matter.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from types import SimpleNamespace

import numpy as np
import pytest

from blpdask.kernels import array_logit, array_markups, loop_backend
from blpdask.records import (
    InversionControls,
    InversionStart,
    MarketBlock,
    PriceTastes,
    SupplyRows,
    Tastes,
)
from tests.kernels.strict_device import StrictDevice

CONTROLS = InversionControls()
TIGHT = InversionControls(atol=1e-14)


def array_kernels(xp):
    def markups(block, *arguments):
        prepared = array_logit.prepare(block, xp)
        offsets = block.product_offsets
        return array_markups.markups(prepared, block.supply, offsets, *arguments)

    return SimpleNamespace(
        invert=lambda *arguments: array_logit.invert(*arguments, xp=xp),
        shares=lambda *arguments: array_logit.shares(*arguments, xp=xp),
        markups=markups,
    )


@pytest.fixture(
    params=["loop", "array", "strict", pytest.param("cupy", marks=pytest.mark.gpu)]
)
def kernels(request):
    if request.param == "loop":
        return loop_backend
    if request.param == "cupy":
        return array_kernels(pytest.importorskip("cupy"))
    return array_kernels(np if request.param == "array" else StrictDevice())


@dataclass(frozen=True, slots=True)
class Nested:
    """Markets with nests, tastes, β, and the δ that their shares come from."""

    block: MarketBlock
    tastes: Tastes
    beta: PriceTastes
    delta: np.ndarray


def probabilities(block, tastes, delta, t, X2=None):
    """P ``(I, J)`` of market t, one agent and one nest at a time."""
    a, b = block.product_offsets[t : t + 2]
    c, d = block.agent_offsets[t : t + 2]
    X2 = (block.X2 if X2 is None else X2)[:, a:b]
    nests = np.zeros(b - a, int) if block.nests is None else block.nests[a:b]
    rho = np.zeros(1) if block.nests is None else tastes.rho
    shape = d - c, b - a
    sizes = np.diff(block.product_offsets) * np.diff(block.agent_offsets)
    held = slice(int(sizes[:t].sum()), int(sizes[: t + 1].sum()))
    available = np.ones(shape)
    if block.availability is not None:
        available = block.availability[held].reshape(shape)
    P = np.zeros(shape)
    for i in range(d - c):
        draws = np.repeat(block.draws[c + i][:, None], b - a, axis=1)
        for s, column in enumerate(block.product_columns):
            draws[column] = block.product_draws[s, held].reshape(shape)[i]
        index, types = tastes.loadings @ draws, tastes.types[:, None]
        g = np.where(types == 1, np.exp(index), index)
        g = np.where(types == 2, 1 / (1 + np.exp(-index)), g)
        V = delta[a:b] + (g * X2).sum(axis=0)
        stretched = V / (1 - rho[nests])
        inclusive, Q = {}, np.zeros(b - a)
        for nest in np.unique(nests):
            own = nests == nest
            top = stretched[own].max()
            e = available[i, own] * np.exp(stretched[own] - top)
            inclusive[nest] = -np.inf
            if e.sum() > 0:
                inclusive[nest] = (1 - rho[nest]) * (top + np.log(e.sum()))
                Q[own] = e / e.sum()
        highest = max(0.0, *inclusive.values())
        total = np.exp(-highest)
        total += sum(np.exp(value - highest) for value in inclusive.values())
        M = {nest: np.exp(v - highest) / total for nest, v in inclusive.items()}
        P[i] = Q * np.array([M[nest] for nest in nests])
    return P


def shares_of(block, tastes, delta, X2=None):
    answer = np.empty(delta.size)
    for t in range(block.n_markets):
        a, b = block.product_offsets[t : t + 2]
        c, d = block.agent_offsets[t : t + 2]
        P = probabilities(block, tastes, delta, t, X2)
        answer[a:b] = block.weights[c:d] @ P
    return answer


def nested(
    kinds=(0, 0, 0),
    rho=(0.3, 0.6, 0.45),
    places=(0, 1, 2),
    *,
    availability=False,
    distances=(),
    ownership="firms",
    sizes=(5, 9, 7, 20),
    agents=(7, 6, 300, 12),
    seed=5,
):
    """Make markets whose products lie in nests in no particular order."""
    rng = np.random.default_rng(seed)
    products, people = np.array(sizes), np.array(agents)
    N, A = products.sum(), people.sum()
    offsets = np.concatenate([[0], np.cumsum(products)])
    agent_offsets = np.concatenate([[0], np.cumsum(people)])
    prices = rng.uniform(1, 2, N)
    X2 = np.stack([prices, prices**2, rng.normal(size=N)])[: len(kinds)]
    loadings = [[0.5, 0.0, 0.0, 0.3], [0.2, 0.4, 0.0, -0.5], [0.1, 0.0, 0.3, 0.2]]
    weights = rng.uniform(0.5, 1.5, A)
    for c, d in itertools.pairwise(agent_offsets):
        weights[c:d] /= weights[c:d].sum()
    rows = np.array([0, 1, 1, 2, 2])
    keep = rows < len(kinds)
    tastes = Tastes(
        loadings=np.array(loadings)[: len(kinds)],
        types=np.array(kinds, np.int64),
        rows=rows[keep],
        columns=np.array([0, 1, 3, 2, 3])[keep],
        rho=np.array(rho, np.float64),
        rho_places=np.array(places, np.int64),
    )
    available = None
    if availability:
        size = int((products * people).sum())
        available = np.where(rng.uniform(size=size) < 0.2, 0.0, 1.0)
        available *= rng.choice([0.5, 1.0], size=size)
    H = np.empty(0)
    if ownership != "firms":
        H = np.concatenate([rng.uniform(0.2, 1, (n, n)).ravel() for n in products])
    block = MarketBlock(
        index=0,
        first_market=0,
        product_offsets=offsets,
        agent_offsets=agent_offsets,
        X2=X2,
        log_shares=np.zeros(N),
        logit_delta=np.zeros(N),
        draws=rng.normal(size=(A, 4)),
        weights=weights,
        ZD=np.zeros((N, 0)),
        supply=SupplyRows(
            prices=prices,
            owners=np.concatenate([np.arange(n) % 3 for n in products])
            if ownership == "firms"
            else np.zeros(N, np.int64),
            ownership=H,
            X1_by_prices=np.stack([np.ones(N), prices]),
            X2_by_prices=np.stack([np.ones(N), 2 * prices]),
            X2_priced=np.array([0, 1]),
            ZS=np.zeros((N, 0)),
        ),
        nests=rng.integers(0, len(rho), N) if rho else None,
        availability=available,
    )
    if distances:
        size = int((products * people).sum())
        block = replace(
            block,
            product_draws=rng.normal(size=(len(distances), size)),
            product_columns=distances,
        )
        block.draws[:, list(distances)] = 0.0
    if availability:  # the first agent of each market can buy everything
        first = 0
        for n, people_of in zip(products, people, strict=True):
            block.availability[first : first + n] = 1.0
            first += n * people_of
    delta = rng.normal(size=N) - 1.0
    made = replace(tastes, rho=0.8 * tastes.rho)
    S = shares_of(block, made, delta)
    S0 = 1 - np.add.reduceat(S, offsets[:-1])
    log_S0 = np.repeat(np.log(S0), products)
    block = replace(block, log_shares=np.log(S), logit_delta=np.log(S) - log_S0)
    beta = PriceTastes(beta=np.array([-8.0, 0.1]), free=np.array([0, 1]))
    return Nested(block, tastes, beta, delta)


@pytest.mark.parametrize("kind", [1, 2])
def test_far_coefficients_that_distances_bring_back(kernels, kind):
    """g_k(b) is all but one, or very large, where b + z is small."""
    made = nested((kind, 0, 0), distances=(3,))
    block, tastes = made.block, made.tastes
    far = np.arange(block.weights.size) % 2 == 0
    draws = block.draws.copy()
    draws[far, 0] += 80.0
    products = np.repeat(np.diff(block.product_offsets), np.diff(block.agent_offsets))
    moved = block.product_draws - np.repeat(np.where(far, 40.0 / 0.3, 0.0), products)
    loadings = tastes.loadings.copy()
    loadings[1:, 3] = 0.0  # of the far coefficient alone
    loadings[1, 0] = loadings[2, 0] = 0.0
    tastes = replace(tastes, loadings=loadings, rho=0.5 * tastes.rho)
    block = replace(block, draws=draws, product_draws=moved)
    expected = shares_of(block, tastes, made.delta)
    found = kernels.shares(block, tastes, made.delta)
    np.testing.assert_allclose(found, expected, rtol=1e-11)


CASES = {
    "by nest": {},
    "scalar": {"rho": (0.5, 0.5, 0.5), "places": (0, 0, 0)},
    "one nest": {"rho": (0.7,), "places": (0,)},
    "partly fixed": {"rho": (0.3, 0.0, 0.8), "places": (0, -1, 1)},
    "log and logit": {"kinds": (1, 2, 0)},
    "availability": {"availability": True},
    "high": {"rho": (0.95, 0.9, 0.97)},
    "distances": {"distances": (3,), "kinds": (1, 2, 0)},
    "distances alone": {"distances": (3, 1), "rho": (), "places": ()},
    "all": {"distances": (3,), "availability": True, "kinds": (2, 0, 1)},
}


@pytest.fixture(params=CASES)
def example(request):
    return nested(**CASES[request.param])


def moved(tastes, p, h):
    """Tastes with free parameter p larger by h."""
    if p < tastes.rows.size:
        loadings = tastes.loadings.copy()
        loadings[tastes.rows[p], tastes.columns[p]] += h
        return replace(tastes, loadings=loadings)
    own = tastes.rho_places == p - tastes.rows.size
    return replace(tastes, rho=np.where(own, tastes.rho + h, tastes.rho))


def differentiate(function, h=5e-5):
    """Differentiate a function of a shift at zero, to fourth order."""
    near = function(h) - function(-h)
    far = function(2 * h) - function(-2 * h)
    return (8 * near - far) / (12 * h)


def logit_start(block):
    return InversionStart(block.logit_delta, np.empty(0))


def test_shares_are_those_written_out(kernels, example):
    found = kernels.shares(example.block, example.tastes, example.delta)
    expected = shares_of(example.block, example.tastes, example.delta)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("start", [None, "far"])
def test_delta_solves_for_shares(kernels, example, start):
    block = example.block
    begin = logit_start(block)
    if start == "far":
        begin = InversionStart(example.delta + 5.0, np.empty(0))
    found = kernels.invert(block, example.tastes, begin, CONTROLS)
    assert (found.status == 0).all()
    S = shares_of(block, example.tastes, found.delta)
    np.testing.assert_allclose(np.log(S), block.log_shares, atol=2e-11)


@pytest.mark.parametrize("method", ["simple", "squarem"])
def test_every_method_finds_the_same(kernels, method):
    example = nested(rho=(0.3, 0.5, 0.4))
    newton = kernels.invert(
        example.block, example.tastes, logit_start(example.block), CONTROLS
    )
    controls = InversionControls(method=method, atol=1e-13)
    found = kernels.invert(
        example.block, example.tastes, logit_start(example.block), controls
    )
    assert (found.status == 0).all()
    np.testing.assert_allclose(found.delta, newton.delta, atol=1e-10)
    np.testing.assert_allclose(
        found.delta_by_theta, newton.delta_by_theta, rtol=1e-8, atol=1e-9
    )


def test_slopes_are_finite_differences(kernels, example):
    block, tastes = example.block, example.tastes
    found = kernels.invert(block, tastes, logit_start(block), TIGHT)
    assert found.delta_by_theta.shape[1] == tastes.size
    begin = InversionStart(found.delta, np.empty(0))
    for p in range(tastes.size):

        def delta(h, p=p):
            return kernels.invert(block, moved(tastes, p, h), begin, TIGHT).delta

        slopes = differentiate(delta)
        scale = 1 + np.abs(slopes).max()
        np.testing.assert_allclose(
            found.delta_by_theta[:, p], slopes, rtol=0, atol=2e-7 * scale
        )


def test_a_memory_leads_to_the_same(kernels, example):
    block, tastes = example.block, example.tastes
    before = kernels.invert(block, moved(tastes, 0, 0.01), logit_start(block), CONTROLS)
    begin = InversionStart(before.delta, before.factor)
    found = kernels.invert(block, tastes, begin, CONTROLS)
    cold = kernels.invert(block, tastes, logit_start(block), CONTROLS)
    assert (found.status == 0).all()
    np.testing.assert_allclose(found.delta, cold.delta, atol=2e-11)
    assert found.evaluations.sum() < cold.evaluations.sum()


def markups_at(kernels, example, tastes, beta, start, *, derivatives=True):
    block = example.block
    controls = replace(TIGHT, derivatives=derivatives)
    found = kernels.invert(block, tastes, start, controls)
    return kernels.markups(
        block, tastes, beta, found.delta, found.delta_by_theta, 2**26
    ), found


def prices_conditions(example, delta, eta):
    """Compute s_j + Σ_k H_jk η_k ∂s_k/∂p_j with ∂s/∂p from finite differences."""
    block, tastes, beta = example.block, example.tastes, example.beta.beta
    supply, h = block.supply, 1e-6
    left = np.exp(block.log_shares)
    squares = np.concatenate([[0], np.cumsum(np.diff(block.product_offsets) ** 2)])
    for t in range(block.n_markets):
        a, b = block.product_offsets[t : t + 2]
        n = b - a
        own = supply.owners[a:b]
        H = (own[:, None] == own).astype(float)
        if supply.ownership.size:
            H = supply.ownership[squares[t] : squares[t + 1]].reshape(n, n)
        for j in range(a, b):
            ends = []
            for sign in (1, -1):
                p = supply.prices.copy()
                p[j] += sign * h
                X2, d = block.X2.copy(), delta.copy()
                X2[0], X2[1] = p, p**2
                d += beta[0] * (p - supply.prices)
                d += beta[1] * (p**2 - supply.prices**2) / 2
                ends.append(shares_of(block, tastes, d, X2)[a:b])
            s_by_p = (ends[0] - ends[1]) / (2 * h)
            left[j] += H[j - a] @ (eta[a:b] * s_by_p)
    return left


@pytest.mark.parametrize("ownership", ["firms", "weights"])
@pytest.mark.parametrize(
    "case",
    ["by nest", "log and logit", "availability", "high", "distances", "all"],
)
def test_first_order_conditions_hold(kernels, case, ownership):
    sizes = {"sizes": (5, 8), "agents": (7, 6)}
    example = nested(**CASES[case], **sizes, ownership=ownership)
    found, inversion = markups_at(
        kernels, example, example.tastes, example.beta, logit_start(example.block)
    )
    left = prices_conditions(example, inversion.delta, found.eta)
    np.testing.assert_allclose(left, 0.0, atol=2e-8)


@pytest.mark.parametrize("ownership", ["firms", "weights"])
def test_slopes_of_markups_are_finite_differences(kernels, example, ownership):
    block, tastes, beta = example.block, example.tastes, example.beta
    if ownership == "weights":
        rng = np.random.default_rng(1)
        n = int((np.diff(block.product_offsets) ** 2).sum())
        supply = replace(
            block.supply,
            ownership=rng.uniform(0.2, 1, n),
            owners=np.zeros(block.n_products, np.int64),
        )
        block = replace(block, supply=supply)
        example = replace(example, block=block)
    found, inversion = markups_at(kernels, example, tastes, beta, logit_start(block))
    begin = InversionStart(inversion.delta, np.empty(0))
    assert found.eta_by_theta.shape[1] == tastes.size + 2
    for p in range(tastes.size + 2):

        def eta(h, p=p):
            at, b = tastes, beta
            if p < tastes.size:
                at = moved(tastes, p, h)
            else:
                shifted = beta.beta.copy()
                shifted[p - tastes.size] += h
                b = replace(beta, beta=shifted)
            return markups_at(kernels, example, at, b, begin)[0].eta

        slopes = differentiate(eta)
        scale = 1 + np.abs(slopes).max()
        np.testing.assert_allclose(
            found.eta_by_theta[:, p], slopes, rtol=0, atol=2e-7 * scale
        )


def test_no_correlation_within_nests_is_no_nests(kernels):
    example = nested(rho=(0.0, 0.0, 0.0))
    plain = replace(example.block, nests=None)
    tastes = replace(example.tastes, rho=np.empty(0), rho_places=np.empty(0, np.int64))
    start = logit_start(plain)
    with_nests = kernels.invert(example.block, example.tastes, start, CONTROLS)
    without = kernels.invert(plain, tastes, start, CONTROLS)
    np.testing.assert_allclose(with_nests.delta, without.delta, atol=1e-12)
    n = tastes.size
    np.testing.assert_allclose(
        with_nests.delta_by_theta[:, :n], without.delta_by_theta, atol=1e-10
    )


def test_plain_nested_logit_in_closed_form(kernels):
    example = nested(kinds=())
    block, rho = example.block, example.tastes.rho
    found = kernels.invert(
        block, example.tastes, InversionStart(np.zeros(41), np.empty(0)), CONTROLS
    )
    S, expected = np.exp(block.log_shares), np.empty(41)
    for t in range(block.n_markets):
        own = slice(*block.product_offsets[t : t + 2])
        for j in range(own.start, own.stop):
            same = block.nests[own] == block.nests[j]
            within = np.log(S[j] / S[own][same].sum())
            expected[j] = block.logit_delta[j] - rho[block.nests[j]] * within
    np.testing.assert_allclose(found.delta, expected, atol=1e-12)


def test_order_of_products_does_not_matter(kernels):
    example = nested()
    block = example.block
    order = np.concatenate(
        [
            np.random.default_rng(t).permutation(np.arange(a, b))
            for t, (a, b) in enumerate(
                zip(block.product_offsets[:-1], block.product_offsets[1:], strict=True)
            )
        ]
    )
    supply = block.supply
    other = replace(
        block,
        X2=np.ascontiguousarray(block.X2[:, order]),
        log_shares=block.log_shares[order],
        logit_delta=block.logit_delta[order],
        nests=block.nests[order],
        supply=replace(
            supply,
            prices=supply.prices[order],
            owners=supply.owners[order],
            X1_by_prices=np.ascontiguousarray(supply.X1_by_prices[:, order]),
            X2_by_prices=np.ascontiguousarray(supply.X2_by_prices[:, order]),
        ),
    )
    one, first = markups_at(
        kernels, example, example.tastes, example.beta, logit_start(block)
    )
    changed = replace(example, block=other)
    two, second = markups_at(
        kernels, changed, example.tastes, example.beta, logit_start(other)
    )
    np.testing.assert_allclose(second.delta, first.delta[order], atol=1e-11)
    np.testing.assert_allclose(two.eta, one.eta[order], atol=1e-11)
    np.testing.assert_allclose(
        two.eta_by_theta, one.eta_by_theta[order], rtol=1e-8, atol=1e-8
    )


def test_scratch_memory_does_not_matter(kernels):
    example = nested(availability=True)
    block = example.block
    little = replace(CONTROLS, scratch_bytes=2**12)
    start = logit_start(block)
    one = kernels.invert(block, example.tastes, start, CONTROLS)
    two = kernels.invert(block, example.tastes, start, little)
    np.testing.assert_allclose(one.delta, two.delta, atol=1e-11)
    arguments = example.tastes, example.beta, one.delta, one.delta_by_theta
    whole = kernels.markups(block, *arguments, 2**26)
    parts = kernels.markups(block, *arguments, 2**12)
    np.testing.assert_allclose(parts.eta_by_theta, whole.eta_by_theta, rtol=1e-9)
