"""Every kernel backend, on every example, against the slow reference.

What must hold, whatever the backend:

1. Shares are the reference's, and at the solution they are the observed ones.
2. δ and ∂δ/∂θ are the reference's, and ∂δ/∂θ is the finite difference of δ.
3. How a solution was reached leaves no trace in it: cold or warm, from a prediction or
   with an earlier factor, by Newton, contraction or SQUAREM, with much scratch memory
   or almost none, the same δ.
4. What is no information is no matter: the order of agents, of products and of markets,
   and the company that a market keeps in a block.
5. Without heterogeneity δ is the plain logit's.
6. The factor that comes back is the Cholesky factor of A at the solution.
7. Failure is a status of the market that failed, and of no other market: draws that are
   not numbers, evaluations that run out, a Jacobian that is not definite.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pytest

from blpdask.kernels import array_logit, loop_logit
from blpdask.records import (
    Floats,
    Inversion,
    InversionControls,
    InversionStart,
    MarketBlock,
    Tastes,
)
from blpdask.status import InversionStatus
from tests.kernels import problems, reference
from tests.kernels.problems import Example
from tests.kernels.strict_device import StrictDevice

SHARE_TOLERANCE = 1e-13
DERIVATIVE_TOLERANCE = 1e-9
DIFFERENCE_TOLERANCE = 1e-6
#: Two routes to one solution; the examples' own tolerance is allowed where larger.
ROUTE_TOLERANCE = 1e-12

CONTROLS = InversionControls()
NO_FACTOR = np.empty(0)


@dataclass(frozen=True, slots=True)
class Backend:
    """The two functions of a backend."""

    invert: Callable[..., Inversion]
    shares: Callable[..., Floats]


def _cupy() -> Backend:
    """Compute on a GPU."""
    cupy = pytest.importorskip("cupy")
    return _arrays(cupy)


def _arrays(xp: object) -> Backend:
    """Compute in arrays of one namespace."""
    return Backend(
        partial(array_logit.invert, xp=xp), partial(array_logit.shares, xp=xp)
    )


BACKENDS = {
    "array": lambda: Backend(array_logit.invert, array_logit.shares),
    "strict-device": lambda: _arrays(StrictDevice()),
    "loop": lambda: Backend(loop_logit.invert, loop_logit.shares),
    "cupy": _cupy,
}
EXAMPLES = {example.name: example for example in problems.catalogue()}


@pytest.fixture(
    params=[
        "array",
        "strict-device",
        "loop",
        pytest.param("cupy", marks=pytest.mark.gpu),
    ]
)
def backend(request: pytest.FixtureRequest) -> Backend:
    return BACKENDS[request.param]()


@pytest.fixture(params=list(EXAMPLES))
def example(request: pytest.FixtureRequest) -> Example:
    return EXAMPLES[request.param]


@pytest.fixture(scope="module")
def known() -> Callable[[Example], tuple[Floats, Floats, Floats]]:
    """Solve an example by the reference, once."""
    solved: dict[str, tuple[Floats, Floats, Floats]] = {}

    def solve(example: Example) -> tuple[Floats, Floats, Floats]:
        if example.name not in solved:
            solved[example.name] = reference.invert(
                example.block, example.tastes, example.block.logit_delta
            )
        return solved[example.name]

    return solve


def cold(block: MarketBlock) -> InversionStart:
    return InversionStart(delta=block.logit_delta, factor=NO_FACTOR)


def route_tolerance(example: Example) -> float:
    """Allow rounding, amplified where the example amplifies it."""
    ordinary = example.delta_tolerance <= 1e-11 and example.name != "thin-outside"
    return ROUTE_TOLERANCE if ordinary else example.delta_tolerance


# 1, 2: the reference


def test_shares_equal_reference(backend: Backend, example: Example) -> None:
    delta = example.block.logit_delta
    found = backend.shares(example.block, example.tastes, delta)
    expected = reference.shares(example.block, example.tastes, delta)
    np.testing.assert_allclose(found, expected, rtol=SHARE_TOLERANCE, atol=1e-16)


@pytest.mark.parametrize("level", [-700.0, 700.0])
def test_shares_stand_extreme_mean_utilities(backend: Backend, level: float) -> None:
    example = EXAMPLES["unbalanced"]
    delta = example.block.logit_delta + level
    found = backend.shares(example.block, example.tastes, delta)
    expected = reference.shares(example.block, example.tastes, delta)
    # utilities of 700 are known to 1e-13, and so are the logs of shares
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_inversion_equals_reference(
    backend: Backend, example: Example, known: Callable
) -> None:
    delta, delta_by_theta, _ = known(example)
    found = backend.invert(example.block, example.tastes, cold(example.block), CONTROLS)
    assert (found.status == InversionStatus.CONVERGED).all()
    assert (found.evaluations <= 30).all()
    np.testing.assert_allclose(found.delta, delta, rtol=0, atol=example.delta_tolerance)
    scale = max(1.0, np.abs(delta_by_theta).max())
    np.testing.assert_allclose(
        found.delta_by_theta,
        delta_by_theta,
        rtol=0,
        atol=DERIVATIVE_TOLERANCE * scale,
    )


def test_solution_reproduces_observed_shares(
    backend: Backend, example: Example
) -> None:
    found = backend.invert(example.block, example.tastes, cold(example.block), CONTROLS)
    shares = backend.shares(example.block, example.tastes, found.delta)
    np.testing.assert_allclose(
        np.log(shares), example.block.log_shares, rtol=0, atol=SHARE_TOLERANCE
    )


@pytest.mark.parametrize("name", ["unbalanced", "full-sigma-pi", "log-logit"])
def test_derivatives_equal_finite_differences(backend: Backend, name: str) -> None:
    example = EXAMPLES[name]

    def solve(tastes: Tastes) -> Floats:
        start = cold(example.block)
        controls = replace(CONTROLS, derivatives=False)
        return backend.invert(example.block, tastes, start, controls).delta

    found = backend.invert(example.block, example.tastes, cold(example.block), CONTROLS)
    h = 1e-5
    for p, place in enumerate(
        zip(example.tastes.rows, example.tastes.columns, strict=True)
    ):
        step = np.zeros(example.tastes.loadings.shape)
        step[place] = h
        up = replace(example.tastes, loadings=example.tastes.loadings + step)
        down = replace(example.tastes, loadings=example.tastes.loadings - step)
        difference = (solve(up) - solve(down)) / (2 * h)
        np.testing.assert_allclose(
            found.delta_by_theta[:, p], difference, rtol=0, atol=DIFFERENCE_TOLERANCE
        )


def test_reference_derivatives_equal_their_own_finite_differences(
    known: Callable,
) -> None:
    example = EXAMPLES["log-logit"]
    delta, delta_by_theta, _ = known(example)
    difference = reference.finite_differences(example.block, example.tastes, delta)
    np.testing.assert_allclose(delta_by_theta, difference, rtol=0, atol=1e-8)


# 3: how a solution was reached


def test_warm_equals_cold(backend: Backend, example: Example) -> None:
    block, tastes = example.block, example.tastes
    far = backend.invert(block, tastes, cold(block), CONTROLS)
    moved = replace(tastes, loadings=0.98 * tastes.loadings)
    anchor = backend.invert(block, moved, cold(block), CONTROLS)
    change = (tastes.loadings - moved.loadings)[tastes.rows, tastes.columns]
    predicted = anchor.delta + anchor.delta_by_theta @ change
    for start in (
        InversionStart(anchor.delta, NO_FACTOR),
        InversionStart(anchor.delta, anchor.factor),
        InversionStart(predicted, anchor.factor),
    ):
        warm = backend.invert(block, tastes, start, CONTROLS)
        assert (warm.status == InversionStatus.CONVERGED).all()
        tolerance = route_tolerance(example)
        np.testing.assert_allclose(warm.delta, far.delta, rtol=0, atol=tolerance)
        scale = max(1.0, np.abs(far.delta_by_theta).max())
        np.testing.assert_allclose(
            warm.delta_by_theta,
            far.delta_by_theta,
            rtol=0,
            atol=DERIVATIVE_TOLERANCE * scale,
        )
    assert warm.evaluations.sum() <= far.evaluations.sum()


@pytest.mark.parametrize("name", ["equal", "unbalanced", "log-logit", "one-agent"])
@pytest.mark.parametrize(
    "options",
    [
        {"method": "simple"},
        {"method": "squarem", "scheme": 1},
        {"method": "squarem", "scheme": 2},
        {"method": "squarem", "scheme": 3},
        {"method": "squarem", "step_max": 4.0},
        {"method": "newton", "derivatives": False},
        {"method": "newton", "atol": 1e-9},
    ],
    ids=lambda options: "-".join(str(option) for option in options.values()),
)
def test_methods_agree(backend: Backend, name: str, options: dict) -> None:
    example = EXAMPLES[name]
    start = cold(example.block)
    newton = backend.invert(example.block, example.tastes, start, CONTROLS)
    # one unit in the last place of δ is 4e-16; the contraction stops a few above that
    atol = options.get("atol", 1e-14 if options["method"] == "newton" else 1e-13)
    controls = replace(CONTROLS, **{**options, "atol": atol})
    found = backend.invert(example.block, example.tastes, start, controls)
    assert (found.status == InversionStatus.CONVERGED).all()
    slow = options["method"] != "newton"
    tolerance = 1e-11 if slow else ROUTE_TOLERANCE
    np.testing.assert_allclose(found.delta, newton.delta, rtol=0, atol=tolerance)
    if controls.derivatives:
        np.testing.assert_allclose(
            found.delta_by_theta, newton.delta_by_theta, rtol=0, atol=1e-8
        )


def test_return_keeps_the_start(backend: Backend) -> None:
    example = EXAMPLES["unbalanced"]
    controls = replace(CONTROLS, method="return")
    start = InversionStart(example.block.logit_delta + 0.25, NO_FACTOR)
    found = backend.invert(example.block, example.tastes, start, controls)
    np.testing.assert_array_equal(found.delta, start.delta)
    assert (found.iterations == 0).all()


def test_return_differentiates_at_the_solution(
    backend: Backend, known: Callable
) -> None:
    example = EXAMPLES["full-sigma-pi"]
    delta, delta_by_theta, _ = known(example)
    controls = replace(CONTROLS, method="return")
    start = InversionStart(delta, NO_FACTOR)
    found = backend.invert(example.block, example.tastes, start, controls)
    np.testing.assert_allclose(
        found.delta_by_theta, delta_by_theta, rtol=0, atol=DERIVATIVE_TOLERANCE
    )


@pytest.mark.parametrize("name", ["unbalanced", "large", "full-sigma-pi"])
@pytest.mark.parametrize("scratch_bytes", [1, 5_000, 100_000])
def test_scratch_memory_does_not_matter(
    backend: Backend, name: str, scratch_bytes: int
) -> None:
    example = EXAMPLES[name]
    start = cold(example.block)
    plenty = backend.invert(example.block, example.tastes, start, CONTROLS)
    controls = replace(CONTROLS, scratch_bytes=scratch_bytes)
    scarce = backend.invert(example.block, example.tastes, start, controls)
    assert (scarce.status == InversionStatus.CONVERGED).all()
    np.testing.assert_allclose(scarce.delta, plenty.delta, rtol=0, atol=ROUTE_TOLERANCE)
    np.testing.assert_allclose(
        scarce.delta_by_theta, plenty.delta_by_theta, rtol=0, atol=DERIVATIVE_TOLERANCE
    )


# 4: what is no information


def test_order_within_markets_does_not_matter(
    backend: Backend, example: Example
) -> None:
    rng = np.random.default_rng(0)
    block = example.block
    products, agents = np.arange(block.n_products), np.arange(block.weights.size)
    for product_rows, agent_rows in reference.markets(block):
        rng.shuffle(products[product_rows])
        rng.shuffle(agents[agent_rows])
    shuffled = replace(
        block,
        X2=block.X2[:, products],
        log_shares=block.log_shares[products],
        logit_delta=block.logit_delta[products],
        draws=block.draws[agents],
        weights=block.weights[agents],
    )
    plain = backend.invert(block, example.tastes, cold(block), CONTROLS)
    found = backend.invert(shuffled, example.tastes, cold(shuffled), CONTROLS)
    tolerance = route_tolerance(example)
    np.testing.assert_allclose(
        found.delta, plain.delta[products], rtol=0, atol=tolerance
    )


@pytest.mark.parametrize("name", ["equal", "unbalanced", "full-sigma-pi"])
def test_markets_are_solved_alone_as_in_company(backend: Backend, name: str) -> None:
    example = EXAMPLES[name]
    together = backend.invert(
        example.block, example.tastes, cold(example.block), CONTROLS
    )
    for products, agents in reference.markets(example.block):
        alone = cut(example.block, products, agents)
        found = backend.invert(alone, example.tastes, cold(alone), CONTROLS)
        np.testing.assert_allclose(
            found.delta, together.delta[products], rtol=0, atol=1e-13
        )


def cut(block: MarketBlock, products: slice, agents: slice) -> MarketBlock:
    """Make a block of one market."""
    return replace(
        block,
        product_offsets=np.array([0, products.stop - products.start]),
        agent_offsets=np.array([0, agents.stop - agents.start]),
        X2=np.ascontiguousarray(block.X2[:, products]),
        log_shares=block.log_shares[products],
        logit_delta=block.logit_delta[products],
        draws=block.draws[agents],
        weights=block.weights[agents],
        ZD=block.ZD[products],
    )


# 5, 6: known answers


def test_without_heterogeneity_delta_is_the_logits(backend: Backend) -> None:
    example = EXAMPLES["unbalanced"]
    tastes = problems.diagonal_tastes([0.0, 0.0])
    start = InversionStart(np.zeros(example.block.n_products), NO_FACTOR)
    found = backend.invert(example.block, tastes, start, CONTROLS)
    np.testing.assert_allclose(
        found.delta, example.block.logit_delta, rtol=0, atol=ROUTE_TOLERANCE
    )


def test_no_free_parameters(backend: Backend, known: Callable) -> None:
    example = EXAMPLES["equal"]
    none = np.empty(0, dtype=np.int64)
    tastes = replace(example.tastes, rows=none, columns=none)
    found = backend.invert(example.block, tastes, cold(example.block), CONTROLS)
    assert found.delta_by_theta.shape == (example.block.n_products, 0)
    np.testing.assert_allclose(found.delta, known(example)[0], rtol=0, atol=1e-11)


def test_factor_is_that_of_the_share_jacobian(
    backend: Backend, example: Example
) -> None:
    block, tastes = example.block, example.tastes
    found = backend.invert(block, tastes, cold(block), CONTROLS)
    first = 0
    for products, agents in reference.markets(block):
        mu, slope = reference.deviations(
            block.X2[:, products], block.draws[agents], tastes
        )
        _, A, _ = reference.log_share_slopes(
            mu, slope, block.weights[agents], found.delta[products]
        )
        L = np.zeros_like(A)
        triangle = np.tril_indices(len(A))
        stop = first + triangle[0].size
        L[triangle] = found.factor[first:stop]
        np.testing.assert_allclose(L @ L.T, A, rtol=0, atol=1e-12)
        first = stop
    assert first == found.factor.size


def test_without_derivatives_nothing_is_formed(backend: Backend) -> None:
    example = EXAMPLES["equal"]
    controls = replace(CONTROLS, derivatives=False)
    found = backend.invert(example.block, example.tastes, cold(example.block), controls)
    assert found.factor.size == 0
    assert found.delta_by_theta.shape == (example.block.n_products, 0)


# 7: failure


@pytest.mark.parametrize("method", ["newton", "simple", "squarem", "return"])
def test_nonfinite_draws_fail_their_market_only(backend: Backend, method: str) -> None:
    example = EXAMPLES["equal"]
    controls = replace(CONTROLS, method=method, atol=1e-13)
    start = cold(example.block)
    plain = backend.invert(example.block, example.tastes, start, controls)
    draws = example.block.draws.copy()
    draws[example.block.agent_offsets[2]] = np.nan
    broken = replace(example.block, draws=draws)
    found = backend.invert(broken, example.tastes, start, controls)
    failed = np.arange(6) == 2
    assert (found.status[failed] == InversionStatus.NONFINITE).all()
    np.testing.assert_array_equal(found.status[~failed], plain.status[~failed])
    rows = np.repeat(~failed, np.diff(example.block.product_offsets))
    np.testing.assert_allclose(found.delta[rows], plain.delta[rows], rtol=0, atol=1e-13)
    np.testing.assert_allclose(
        found.delta_by_theta[rows], plain.delta_by_theta[rows], rtol=0, atol=1e-11
    )
    assert np.isnan(found.delta_by_theta[~rows]).all()


@pytest.mark.parametrize("method", ["simple", "squarem"])
def test_evaluations_run_out(backend: Backend, method: str) -> None:
    example = EXAMPLES["unbalanced"]
    controls = InversionControls(method=method, max_evaluations=4, derivatives=False)
    found = backend.invert(example.block, example.tastes, cold(example.block), controls)
    spent = found.status == InversionStatus.MAX_EVALUATIONS
    assert spent.any()
    assert (found.evaluations[spent] == 4).all()
    assert np.isfinite(found.delta).all()


def test_indefinite_jacobian_is_solved_and_reported(backend: Backend) -> None:
    block, tastes, delta = indefinite_market()
    products, agents = slice(0, block.n_products), slice(0, block.weights.size)
    mu, slope = reference.deviations(block.X2[:, products], block.draws[agents], tastes)
    _, A, by_theta = reference.log_share_slopes(mu, slope, block.weights, delta)
    assert np.linalg.eigvalsh(A)[0] < -1e-3
    controls = replace(CONTROLS, method="return")
    found = backend.invert(block, tastes, InversionStart(delta, NO_FACTOR), controls)
    assert found.status.tolist() == [InversionStatus.INDEFINITE_JACOBIAN]
    np.testing.assert_allclose(
        found.delta_by_theta, -np.linalg.solve(A, by_theta), rtol=1e-9
    )
    assert np.isnan(found.factor).all()


def indefinite_market() -> tuple[MarketBlock, Tastes, Floats]:
    """Make one market whose negative weights leave A indefinite though shares are > 0.

    Three agents are sure of one choice each, so that their weights add nothing to A; a
    fourth, of negative weight, is torn between all of them.
    """
    tastes = problems.diagonal_tastes([1.0, 3.0])
    block = problems.make_block(3, [(2, 4)], tastes)
    draws = np.array([[0.0, 1.5], [0.0, -1.5], [-9.0, 0.0], [0.0, 0.1]])
    weights = np.array([0.5, 0.5, 0.4, -0.4])
    X2 = np.array([[1.0, 1.0], [2.0, -2.0]])
    block = replace(block, X2=X2, draws=draws, weights=weights)
    delta = np.array([0.0, 0.1])
    shares = reference.shares(block, tastes, delta)
    return problems.with_shares(block, shares), tastes, delta
