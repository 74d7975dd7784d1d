"""How shares respond, every backend against definitions written out.

What must hold, whatever the backend, on markets with all sorts of features:

1. ∂s_j/∂x_k is what a sum over agents, one by one, of slopes of log P says it is, and
   for δ the finite difference of shares, and so it is for prices.
2. Where j is gone, others gain what shares are of the block without it, less what they
   were; small gains have their digits.
3. What all gain, the outside option among them, is the share of what is gone.
4. Agents as good as certain of their choice go where utilities say.
5. X2 is that of the trial. Scratch memory, company and order do not matter.
6. What is not a number is not hidden.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import mpmath
import numpy as np
import pytest

from blpdask.kernels import (
    array_logit,
    array_removals,
    array_responses,
    loop_backend,
    loop_removals,
)
from blpdask.records import Floats, MarketBlock, Tastes, TrialPrices
from tests.kernels import problems, reference
from tests.kernels.strict_device import StrictDevice
from tests.kernels.test_nests import CASES as NESTED
from tests.kernels.test_nests import nested, probabilities, shares_of

SCRATCH = 2**26
Pair = tuple[Floats, Floats]


def array_kernels(xp: Any) -> SimpleNamespace:
    def give(kernel: Callable[..., Pair]) -> Callable[..., Pair]:
        def called(block: MarketBlock, *arguments: Any) -> Pair:
            prepared = array_logit.prepare(block, xp)
            return kernel(prepared, block.product_offsets, *arguments)

        return called

    return SimpleNamespace(
        jacobians=give(array_responses.jacobians),
        removals=give(array_removals.removals),
    )


BACKENDS = {
    "loop": lambda: loop_backend,
    "array": lambda: array_kernels(np),
    "strict-device": lambda: array_kernels(StrictDevice()),
    "cupy": lambda: array_kernels(pytest.importorskip("cupy")),
}


@pytest.fixture(
    params=[
        "loop",
        "array",
        "strict-device",
        pytest.param("cupy", marks=pytest.mark.gpu),
    ]
)
def kernels(request: pytest.FixtureRequest) -> Any:
    return BACKENDS[request.param]()


@dataclass(frozen=True, slots=True)
class Case:
    """A block, tastes, and where and to what it responds."""

    block: MarketBlock
    tastes: Tastes
    trial: TrialPrices

    @property
    def there(self) -> MarketBlock:
        """Give the block with X2 of the trial."""
        return replace(self.block, X2=self.trial.X2)


SMALL = {"sizes": (5, 9, 1, 7), "agents": (7, 6, 12, 90)}
PLAIN = {
    "unbalanced": None,
    "log-logit": None,
    "one-product": None,
    "one-agent": None,
    "five-coefficients": None,
    "large": None,
    "negative-weights": None,
    "extreme-utilities": None,
}
NAMES = [*PLAIN, *(f"nests, {name}" for name in NESTED), "availability"]


def case_of(name: str) -> Case:
    """Make a case; every second column of X2 moves with x, by any factor."""
    rng = np.random.default_rng(4)
    if name in PLAIN:
        (example,) = (e for e in problems.catalogue() if e.name == name)
        block, tastes = example.block, example.tastes
    else:
        features = NESTED[name.removeprefix("nests, ")]
        made = nested(**features, **SMALL)
        block, tastes = made.block, made.tastes
    if name == "availability":
        none = np.empty(0, np.int64)
        block = replace(block, nests=None)
        tastes = replace(tastes, rho=np.empty(0), rho_places=none)
    n = block.n_products
    priced = np.arange(0, block.X2.shape[0], 2)
    return Case(
        block,
        tastes,
        TrialPrices(
            prices=np.full(n, np.nan),
            delta=rng.normal(-1, 1, n),
            alpha=rng.uniform(-2, -1, n),
            X2=block.X2 + 0.1 * rng.normal(size=block.X2.shape),
            X2_by_prices=rng.uniform(0.5, 1.0, (priced.size, n)),
            X2_priced=priced,
        ),
    )


@pytest.fixture(params=NAMES)
def case(request: pytest.FixtureRequest) -> Case:
    return case_of(request.param)


def of_delta(trial: TrialPrices) -> TrialPrices:
    """Have δ itself move."""
    n = trial.delta.size
    nothing = np.empty(0, np.int64)
    return replace(
        trial, alpha=np.ones(n), X2_by_prices=np.empty((0, n)), X2_priced=nothing
    )


def squares(case: Case, values: Floats) -> list[Floats]:
    """Cut ``(F,)`` into a matrix a market."""
    sizes = np.diff(case.block.product_offsets)
    parts = np.split(values, np.cumsum(sizes**2)[:-1])
    return [part.reshape(n, n) for part, n in zip(parts, sizes, strict=True)]


def slopes_of(case: Case, t: int) -> Floats:
    """Compute α_ij ``(I, J)`` of market t, one by one."""
    block, tastes, trial = case.block, case.tastes, case.trial
    rows, people = list(reference.markets(block))[t]
    n_agents, n = people.stop - people.start, rows.stop - rows.start
    sizes = np.diff(block.product_offsets) * np.diff(block.agent_offsets)
    place = int(sizes[:t].sum())
    found = np.tile(trial.alpha[rows], (n_agents, 1))
    for i in range(n_agents):
        for j in range(n):
            draws = block.draws[people.start + i].copy()
            for s, column in enumerate(block.product_columns):
                draws[column] = block.product_draws[s, place + i * n + j]
            for k, by in zip(trial.X2_priced, trial.X2_by_prices, strict=True):
                index = tastes.loadings[k] @ draws
                c, _ = reference.coefficient(index, tastes.types[k])
                found[i, j] += c * by[rows.start + j]
    return found


def jacobian_written_out(case: Case, t: int) -> Floats:
    """Add up P_ij dlog P_ij, agent by agent and x_k by x_k."""
    block, tastes = case.there, case.tastes
    rows, people = list(reference.markets(block))[t]
    P, alpha = probabilities(block, tastes, case.trial.delta, t), slopes_of(case, t)
    nests, rho = np.zeros(P.shape[1], int), np.zeros(1)
    if block.nests is not None:
        nests, rho = block.nests[rows], tastes.rho
    found = np.zeros((P.shape[1],) * 2)
    for w, p, a in zip(block.weights[people], P, alpha, strict=True):
        for k in range(p.size):
            own = nests == nests[k]
            M, r = p[own].sum(), rho[nests[k]]
            mean = p[k] / M * a[k] / (1 - r) if M > 0 else 0.0
            logs = -(1 - r) * M * mean - r * mean * own
            logs[k] += a[k] / (1 - r)
            found[:, k] += w * p * logs
    return found


def close(found: Floats, expected: Floats, rtol: float) -> None:
    """Compare relative to the largest of a row; NaN is equal to nothing."""
    scale = np.abs(expected).max(axis=1, keepdims=True)
    assert (np.abs(found - expected) <= rtol * scale + 1e-300).all()


def test_jacobians_are_those_written_out(kernels, case):
    for trial in (case.trial, of_delta(case.trial)):
        moved = replace(case, trial=trial)
        values, shares = kernels.jacobians(case.block, case.tastes, trial, SCRATCH)
        expected = shares_of(case.there, case.tastes, trial.delta)
        np.testing.assert_allclose(shares, expected, rtol=1e-12, atol=1e-300)
        for t, found in enumerate(squares(case, values)):
            close(found, jacobian_written_out(moved, t), 1e-12)


@pytest.mark.parametrize("alike", [True, False])
def test_alike_slopes_are_no_other_matter(kernels, alike):
    """Sums that are symmetric where every product's utility falls alike."""
    case = case_of("unbalanced")
    n = case.block.n_products
    by = np.ones(n) if alike else np.linspace(0.5, 1, n)
    trial = replace(case.trial, alpha=-2 * np.ones(n), X2_by_prices=by[None])
    values, _ = kernels.jacobians(case.block, case.tastes, trial, SCRATCH)
    for t, found in enumerate(squares(case, values)):
        close(found, jacobian_written_out(replace(case, trial=trial), t), 1e-12)


@pytest.mark.parametrize("alike", [True, False])
def test_any_count_of_products_and_of_tiles(kernels, alike):
    """The loop's own: products by fours, agents by tiles, the last of any size."""
    rng = np.random.default_rng(11)
    tastes = problems.make_tastes([[0.5, 0.0], [0.2, 0.8]])
    block = problems.make_block(
        11, [(3, 9), (4, 8), (5, 17), (6, 1), (12, 16), (90, 251)], tastes
    )
    n = block.n_products
    trial = TrialPrices(
        prices=np.full(n, np.nan),
        delta=rng.normal(-2, 1, n),
        alpha=np.full(n, -2.0) if alike else rng.uniform(-2, -1, n),
        X2=block.X2,
        X2_by_prices=np.full((1, n), 0.7) if alike else rng.uniform(0.5, 1, (1, n)),
        X2_priced=np.array([1]),
    )
    case = Case(block, tastes, trial)
    values, shares = kernels.jacobians(block, tastes, trial, SCRATCH)
    for t, found in enumerate(squares(case, values)):
        close(found, jacobian_written_out(case, t), 1e-12)
    expected = shares_of(block, tastes, trial.delta)
    np.testing.assert_allclose(shares, expected, rtol=1e-13)


def moved_shares(case: Case, j: int, h: float) -> Floats:
    """Compute shares with x_j larger by h."""
    trial = case.trial
    delta, X2 = trial.delta.copy(), trial.X2.copy()
    delta[j] += h * trial.alpha[j]
    X2[trial.X2_priced, j] += h * trial.X2_by_prices[:, j]
    return shares_of(replace(case.block, X2=X2), case.tastes, delta)


def test_jacobians_are_finite_differences_of_shares(kernels, case):
    h = 1e-4
    for trial in (case.trial, of_delta(case.trial)):
        moved = replace(case, trial=trial)
        values, _ = kernels.jacobians(case.block, case.tastes, trial, SCRATCH)
        for (rows, _), found in zip(
            reference.markets(case.block), squares(case, values), strict=True
        ):
            for k in range(rows.start, min(rows.stop, rows.start + 3)):
                near, far = (
                    moved_shares(moved, k, x) - moved_shares(moved, k, -x)
                    for x in (h, 2 * h)
                )
                expected = ((8 * near - far) / (12 * h))[rows]
                own = found[:, k - rows.start]
                np.testing.assert_allclose(own, expected, rtol=0, atol=3e-9)


def without(block: MarketBlock, j: int) -> MarketBlock:
    """Take product j out of the block, as if it had never been there."""
    kept = np.arange(block.n_products) != j
    t = int(np.searchsorted(block.product_offsets, j, side="right")) - 1
    offsets = block.product_offsets.copy()
    offsets[t + 1 :] -= 1
    cells = []
    for rows, people in reference.markets(block):
        own = np.arange(rows.start, rows.stop) != j
        cells.append(np.tile(own, people.stop - people.start))
    cell = np.concatenate(cells)
    there, draws = block.availability, block.product_draws
    return replace(
        block,
        product_offsets=offsets,
        X2=block.X2[:, kept],
        log_shares=block.log_shares[kept],
        logit_delta=block.logit_delta[kept],
        nests=None if block.nests is None else block.nests[kept],
        availability=None if there is None else there[cell],
        product_draws=None if draws is None else draws[:, cell],
    )


def test_removals_are_shares_without_the_product(kernels, case):
    block, tastes, delta = case.there, case.tastes, case.trial.delta
    values, _ = kernels.removals(block, tastes, delta, SCRATCH)
    for (rows, people), found in zip(
        reference.markets(block), squares(case, values), strict=True
    ):
        before, w = shares_of(block, tastes, delta)[rows], block.weights[people]
        for j in range(rows.start, min(rows.stop, rows.start + 9)):
            some = np.arange(block.n_products) != j
            if rows.stop - rows.start == 1:
                continue
            left = shares_of(without(block, j), tastes, delta[some])
            gains = left[rows.start : rows.stop - 1] - np.delete(before, j - rows.start)
            own = found[j - rows.start]
            np.testing.assert_allclose(
                np.delete(own, j - rows.start), gains, rtol=0, atol=1e-15 * w.size
            )
            outside = before[j - rows.start] - gains.sum()
            np.testing.assert_allclose(
                own[j - rows.start], outside, rtol=0, atol=1e-15 * w.size
            )


def test_all_gain_what_is_gone(kernels, case):
    block, tastes, delta = case.there, case.tastes, case.trial.delta
    values, shares = kernels.removals(block, tastes, delta, SCRATCH)
    s = shares_of(block, tastes, delta)
    np.testing.assert_allclose(shares, s, rtol=1e-12, atol=1e-300)
    for (rows, _), found in zip(
        reference.markets(block), squares(case, values), strict=True
    ):
        np.testing.assert_allclose(found.sum(axis=1), s[rows], rtol=1e-12, atol=1e-300)
        assert (found >= 0).all() or (block.weights < 0).any()


def exact_removals(case: Case, t: int) -> Floats:
    """Compute what is gained in sixty digits, from utilities."""
    mp = mpmath.mp.clone()
    mp.dps = 400
    block, tastes, delta = case.there, case.tastes, case.trial.delta
    rows, people = list(reference.markets(block))[t]
    n = rows.stop - rows.start
    nests = np.zeros(n, int) if block.nests is None else block.nests[rows]
    rho = [mp.mpf(0)] if block.nests is None else [mp.mpf(float(r)) for r in tastes.rho]
    sizes = np.diff(block.product_offsets) * np.diff(block.agent_offsets)
    place = int(sizes[:t].sum())
    found = mp.matrix(n, n)

    def choose(V: list[Any], gone: int) -> list[Any]:
        worth = {}
        for h in set(nests.tolist()):
            own = [k for k in range(n) if nests[k] == h and k != gone]
            worth[h] = mp.fsum(mp.exp(V[k] / (1 - rho[h])) for k in own)
        level = {h: G ** (1 - rho[h]) if G else mp.mpf(0) for h, G in worth.items()}
        total = 1 + mp.fsum(level.values())
        P = [
            mp.exp(V[k] / (1 - rho[nests[k]]))
            / worth[nests[k]]
            * level[nests[k]]
            / total
            if k != gone and worth[nests[k]]
            else mp.mpf(0)
            for k in range(n)
        ]
        return [*P, 1 / total]

    for i in range(people.stop - people.start):
        V = []
        for j in range(n):
            total = mp.mpf(float(delta[rows.start + j]))
            for k in range(block.X2.shape[0]):
                index = tastes.loadings[k] @ block.draws[people.start + i]
                c, _ = reference.coefficient(index, tastes.types[k])
                total += mp.mpf(float(c)) * mp.mpf(float(block.X2[k, rows.start + j]))
            if block.availability is not None:
                a = block.availability[place + i * n + j]
                by = 1 - rho[nests[j]]
                total += by * mp.log(mp.mpf(float(a))) if a > 0 else mp.mpf("-1e9")
            V.append(total)
        before, w = choose(V, -1), mp.mpf(float(block.weights[people.start + i]))
        for j in range(n):
            after = choose(V, j)
            for k in range(n + 1):
                if k != j:
                    column = j if k == n else k
                    found[j, column] += w * (after[k] - before[k])
    return np.array(found.tolist(), dtype=float)


DIGITS = {
    "small shares": {"level": -12.0},
    "large shares": {"level": 12.0},
    "dispersed": {"spread": 8.0},
    "one product has all": {"favourite": 30.0},
    "hundreds apart": {"favourite": 300.0},
    "a thousand apart": {"favourite": 1000.0},
    "thousands apart": {"spread": 1500.0},
}


@pytest.mark.parametrize("rho", [None, (0.0, 0.5, 0.2), (0.95, 0.3, 0.99)])
@pytest.mark.parametrize("name", list(DIGITS))
def test_every_digit_of_removals(kernels, name, rho):
    """Against four hundred digits, entry by entry."""
    how = {"level": -1.0, "spread": 1.0, "favourite": 0.0} | DIGITS[name]
    rng = np.random.default_rng(8)
    tastes = problems.make_tastes([[0.5, 0.0, 0.2], [0.2, 0.8, 0.1]])
    block = problems.make_block(8, [(6, 3), (1, 2), (4, 2)], tastes)
    delta = rng.normal(how["level"], how["spread"], block.n_products)
    delta[[2, 6, 8]] += how["favourite"]
    if rho is not None:
        tastes = replace(tastes, rho=np.array(rho), rho_places=np.arange(3))
        block = replace(block, nests=np.array([0, 0, 0, 1, 1, 2, 0, 2, 2, 2, 1]))
    n = delta.size
    trial = of_delta(
        TrialPrices(*np.zeros((3, n)), block.X2, np.empty((0, n)), np.arange(0))
    )
    case = Case(block, tastes, replace(trial, delta=delta))
    values, _ = kernels.removals(block, tastes, delta, SCRATCH)
    for t, found in enumerate(squares(case, values)):
        expected = exact_removals(case, t)
        # Utilities of a thousand have their 1e-13, which probabilities inherit.
        rtol = 1e-11 if "thousand" in name or "hundreds" in name else 2e-13
        stretch = 1.0 if rho is None else 1 / (1 - max(rho))
        seen = np.abs(expected) > 1e-280
        np.testing.assert_allclose(
            found[seen], expected[seen], rtol=rtol * max(1.0, stretch), err_msg=str(t)
        )
        assert (np.abs(found[~seen]) < 1e-270).all()


def test_who_is_certain_of_a_product_that_is_not_there(kernels):
    """Unavailable favourites do not matter, nor do those of one agent to another."""
    example = nested(availability=True, rho=(0.9, 0.5, 0.99), sizes=(7,), agents=(3,))
    block, tastes = example.block, example.tastes
    delta = example.delta.copy()
    delta[[1, 4]] += 600.0
    there = np.ones((3, 7))
    there[0, 1] = there[1, 4] = there[2, [0, 1, 2]] = 0.0
    block = replace(block, availability=there.ravel())
    n = delta.size
    trial = TrialPrices(*np.zeros((3, n)), block.X2, np.empty((0, n)), np.arange(0))
    case = Case(block, tastes, replace(trial, delta=delta))
    (found,) = squares(case, kernels.removals(block, tastes, delta, SCRATCH)[0])
    expected = exact_removals(case, 0)
    seen = np.abs(expected) > 1e-200
    np.testing.assert_allclose(found[seen], expected[seen], rtol=1e-9)


def test_who_is_certain_is_computed_as_everybody(case):
    """The loop's own: the long way round gives what the short one does."""
    block, tastes, delta = case.there, case.tastes, case.trial.delta
    values, _ = loop_backend.removals(block, tastes, delta, SCRATCH)
    add = loop_removals.add_certain_agent
    add = getattr(add, "py_func", add)
    for t, found in enumerate(squares(case, values)):
        rows, people = list(reference.markets(block))[t]
        n = rows.stop - rows.start
        if n > 20 or case.block.product_columns:
            continue
        nests = np.zeros(n, np.int64) if block.nests is None else block.nests[rows]
        rho = np.zeros(1) if block.nests is None else tastes.rho
        order = np.argsort(nests, kind="stable")
        codes, counts = np.unique(nests, return_counts=True)
        offsets = np.concatenate([[0], np.cumsum(counts)])
        gained = np.zeros((n, n + 1))
        mu, _ = reference.deviations(block.X2[:, rows], block.draws[people], tastes)
        sizes = np.diff(block.product_offsets) * np.diff(block.agent_offsets)
        place = int(sizes[:t].sum())
        for i, w in enumerate(block.weights[people]):
            v = (mu[i] + delta[rows]) / (1 - rho[nests])
            if block.availability is not None:
                with np.errstate(divide="ignore"):
                    a = block.availability[place + i * n : place + (i + 1) * n]
                    v = v + np.log(a)
            add(v[order], offsets, rho[codes], w, gained)
        square = np.empty((n, n))
        square[np.ix_(order, order)] = gained[:, :n]
        square[order, order] = gained[:, n]
        close(found, square, 1e-11)


def test_scratch_memory_does_not_matter(kernels, case):
    block, tastes, trial = case.there, case.tastes, case.trial
    much, _ = kernels.jacobians(block, tastes, trial, SCRATCH)
    little, _ = kernels.jacobians(block, tastes, trial, 1)
    np.testing.assert_allclose(little, much, rtol=1e-11, atol=1e-15)
    much, _ = kernels.removals(block, tastes, trial.delta, SCRATCH)
    little, _ = kernels.removals(block, tastes, trial.delta, 1)
    np.testing.assert_allclose(little, much, rtol=1e-11, atol=1e-300)


def test_what_is_not_a_number_is_not_hidden(kernels, case):
    block, tastes, trial = case.there, case.tastes, case.trial
    delta = trial.delta.copy()
    last = int(block.product_offsets[-2])
    delta[last] = np.nan
    for values, shares in (
        kernels.jacobians(block, tastes, replace(trial, delta=delta), SCRATCH),
        kernels.removals(block, tastes, delta, SCRATCH),
    ):
        np.testing.assert_array_equal(np.isnan(shares), np.arange(shares.size) >= last)
        *others, own = squares(case, values)
        assert np.isnan(own).all()
        assert all(np.isfinite(other).all() for other in others)
