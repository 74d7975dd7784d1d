"""Structured quasi-Newton steps against published minima, KKT points and SciPy."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import pytest
from scipy.optimize import OptimizeResult, least_squares, lsq_linear
from scipy.optimize import minimize as scipy_minimize

from blpdask.estimators.optimizers.endings import StructuredOptions
from blpdask.estimators.optimizers.protocol import Evaluation, projected_gradient
from blpdask.estimators.optimizers.second_order import structured_update
from blpdask.estimators.optimizers.structured_quasi_newton import minimize
from blpdask.estimators.optimizers.trust_region import (
    QuadraticModel,
    Spectrum,
    ball_step,
    box_step,
)
from tests.estimators.more_garbow_hillstrom import PROBLEMS, LeastSquaresProblem

CASES = [(problem, scale) for problem in PROBLEMS for scale in problem.scales]
NAMES = [f"{problem.name} x{scale:g}" for problem, scale in CASES]
LARGE_RESIDUAL = ("Freudenstein-Roth", "Jennrich-Sampson", "Brown-Dennis")


@dataclass
class SumOfSquares:
    """An objective that remembers what it was asked and told."""

    evaluate: object
    evaluations: list[Evaluation] = field(default_factory=list)
    accepted: list[Evaluation] = field(default_factory=list)

    def __call__(self, theta, *, derivatives=True):
        with np.errstate(all="ignore"):
            r, jacobian = self.evaluate(theta)
            point = Evaluation(theta, float(r @ r), 2 * jacobian.T @ r, r, jacobian)
        self.evaluations.append(point)
        return point

    def accept(self, evaluation):
        self.accepted.append(evaluation)


def unbounded(count: int):
    return np.tile([-np.inf, np.inf], (count, 1))


def reference(
    problem: LeastSquaresProblem, start, method="lm", **options
) -> OptimizeResult:
    """Run SciPy's least squares with the same Jacobian and tight tolerances."""
    with np.errstate(all="ignore"):
        return least_squares(
            lambda x: problem.evaluate(x)[0],
            start,
            jac=lambda x: problem.evaluate(x)[1],
            method=method,
            x_scale="jac",
            ftol=1e-14,
            xtol=1e-15,
            gtol=1e-15,
            max_nfev=1000,
            **options,
        )


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: problem.name)
def test_catalogue_jacobian_is_the_derivative(problem):
    start = np.array(problem.start, dtype=float)
    rng = np.random.default_rng(0)
    x = start + 0.01 * rng.standard_normal(start.size) * np.maximum(abs(start), 0.1)
    jacobian = problem.evaluate(x)[1]
    for k in range(x.size):
        step = np.zeros(x.size)
        step[k] = 1e-5 * max(abs(x[k]), 1e-2)
        change = problem.evaluate(x + step)[0] - problem.evaluate(x - step)[0]
        error = np.abs(change / (2 * step[k]) - jacobian[:, k]).max()
        assert error <= 1e-5 * np.abs(jacobian[:, k]).max()


@pytest.mark.parametrize(("problem", "scale"), CASES, ids=NAMES)
def test_published_minimum_is_reached(problem, scale):
    objective = SumOfSquares(problem.evaluate)
    start = scale * np.array(problem.start, dtype=float)
    outcome = minimize(objective, start, unbounded(start.size))
    found = objective(outcome.theta)
    assert outcome.converged, outcome.message
    assert any(
        abs(found.objective - minimum) <= 1e-6 * minimum + 1e-8
        for minimum in problem.minima
    )
    columns = np.linalg.norm(found.residual_jacobian, axis=0)
    cosines = np.abs(found.gradient) / (2 * columns * np.sqrt(found.objective) + 1e-300)
    assert ((np.abs(found.gradient) <= 1e-7) | (cosines <= 1e-6)).all()
    assert outcome.evaluations == len(objective.evaluations) - 1
    assert outcome.iterations == len(objective.accepted) - 1


@pytest.mark.parametrize("name", LARGE_RESIDUAL)
def test_large_residuals_take_half_the_evaluations_of_levenberg_marquardt(name):
    problem = next(problem for problem in PROBLEMS if problem.name == name)
    start = np.array(problem.start, dtype=float)
    outcome = minimize(SumOfSquares(problem.evaluate), start, unbounded(start.size))
    lm = reference(problem, start)
    r = problem.evaluate(outcome.theta)[0]
    assert r @ r <= 2 * lm.cost * (1 + 1e-12)
    assert outcome.evaluations <= lm.nfev / 2


def test_evaluations_over_the_catalogue_stay_few():
    totals = {"structured": 0, "lm": 0}
    for problem, scale in CASES:
        if problem.name == "Meyer":
            continue
        start = scale * np.array(problem.start, dtype=float)
        objective = SumOfSquares(problem.evaluate)
        outcome = minimize(objective, start, unbounded(start.size))
        lm = reference(problem, start)
        totals["structured"] += outcome.evaluations
        totals["lm"] += lm.nfev
        print(f"{problem.name:22s} x{scale:<4g}{outcome.evaluations:5d}{lm.nfev:6d}")
    print(totals)
    assert totals["structured"] <= 1250
    assert totals["structured"] <= 0.55 * totals["lm"]


@pytest.mark.parametrize("name", ["Jennrich-Sampson", "Osborne 2", "Kowalik-Osborne"])
def test_rounding_ends_a_search_without_tolerances_as_converged(name):
    problem = next(problem for problem in PROBLEMS if problem.name == name)
    start = np.array(problem.start, dtype=float)
    options = StructuredOptions(gtol=0, ftol=0)
    objective = SumOfSquares(problem.evaluate)
    outcome = minimize(objective, start, unbounded(start.size), options)
    assert outcome.converged
    assert "no fall of the objective is left" in outcome.message
    assert objective(outcome.theta).objective == pytest.approx(
        problem.minima[0], rel=1e-6
    )


def test_noise_in_the_objective_ends_cleanly():
    problem = next(
        problem for problem in PROBLEMS if problem.name == "Jennrich-Sampson"
    )
    rng = np.random.default_rng(1)

    def noisy(x):
        r, jacobian = problem.evaluate(x)
        return r * (1 + 3e-14 * rng.standard_normal(r.size)), jacobian

    options = StructuredOptions(gtol=0, ftol=0)
    start = np.array(problem.start)
    outcome = minimize(SumOfSquares(noisy), start, unbounded(2), options)
    assert outcome.converged
    assert outcome.evaluations <= 25


def test_iteration_limit_is_reported():
    problem = PROBLEMS[0]
    options = StructuredOptions(max_iterations=3)
    outcome = minimize(
        SumOfSquares(problem.evaluate), np.array([-1.2, 1.0]), unbounded(2), options
    )
    assert (outcome.converged, outcome.iterations) == (False, 3)
    assert "limit" in outcome.message


def test_accepted_objectives_fall_and_runs_repeat_bit_for_bit():
    for problem, scale in CASES[:12]:
        start = scale * np.array(problem.start, dtype=float)
        runs = []
        for _ in range(2):
            objective = SumOfSquares(problem.evaluate)
            outcome = minimize(objective, start, unbounded(start.size))
            runs.append(outcome.theta.tobytes())
            values = [point.objective for point in objective.accepted]
            assert all(b <= a * (1 + 1e-12) for a, b in pairwise(values))
        assert runs[0] == runs[1]


def test_nonfinite_evaluations_shorten_steps():
    def evaluate(x):
        r = np.array([np.log(x[0]) - 1, np.sqrt(x[1]) - 2, 0.1 * x[0]])
        jacobian = np.array([[1 / x[0], 0], [0, 0.5 / np.sqrt(x[1])], [0.1, 0]])
        return r, jacobian

    objective = SumOfSquares(evaluate)
    outcome = minimize(objective, np.array([20.0, 90.0]), unbounded(2))
    assert any(not point.finite for point in objective.evaluations)
    assert outcome.converged
    # x1 solves (log x - 1) / x + x / 100 = 0, found to 12 digits by bisection.
    low, high = 2.0, 3.0
    for _ in range(60):
        middle = (low + high) / 2
        rising = (np.log(middle) - 1) / middle + middle / 100 > 0
        low, high = (low, middle) if rising else (middle, high)
    assert outcome.theta == pytest.approx([low, 4.0], rel=1e-8)


def test_nonfinite_start_is_reported_at_once():
    def evaluate(x):
        return np.array([np.nan]), np.ones((1, 1))

    outcome = minimize(SumOfSquares(evaluate), np.array([1.0]), unbounded(1))
    assert (outcome.converged, outcome.evaluations) == (False, 1)
    assert "not finite at the start" in outcome.message


def test_overflow_of_squares_counts_as_nonfinite():
    def evaluate(x):
        return np.array([x[0] - 1, 1e200 * max(0, x[0] - 2) ** 2]), np.array(
            [[1.0], [2e200 * max(0, x[0] - 2)]]
        )

    def huge(x):
        return np.array([x[0] - 1.0]), np.array([[1e200]])

    assert minimize(SumOfSquares(evaluate), np.zeros(1), unbounded(1)).theta == 1
    assert not minimize(SumOfSquares(huge), np.zeros(1), unbounded(1)).converged


def test_no_parameters_is_an_empty_problem():
    def evaluate(x):
        return np.array([1.0, 2.0]), np.zeros((2, 0))

    outcome = minimize(SumOfSquares(evaluate), np.zeros(0), np.zeros((0, 2)))
    assert (outcome.converged, outcome.evaluations) == (True, 1)


def test_parameter_without_effect_stays():
    def evaluate(x):
        return np.array([x[0] - 3, 2 * x[0]]), np.array([[1.0, 0], [2, 0]])

    outcome = minimize(SumOfSquares(evaluate), np.array([1.0, 5.0]), unbounded(2))
    assert outcome.converged
    assert outcome.theta == pytest.approx([0.6, 5.0], abs=1e-12)


@pytest.mark.parametrize("seed", range(20))
def test_bounded_linear_problems_meet_scipy(seed):
    rng = np.random.default_rng(seed)
    P = 2 + seed % 9
    A, b = rng.standard_normal((P + 5, P)), rng.standard_normal(P + 5) * 3
    bounds = np.sort(rng.standard_normal((P, 2)) / 2, axis=1)
    bounds[rng.random((P, 2)) < 0.3] = np.nan
    bounds = np.where(np.isnan(bounds), [-np.inf, np.inf], bounds)
    start = rng.standard_normal(P)
    objective = SumOfSquares(lambda x: (A @ x - b, A))
    outcome = minimize(objective, start, bounds)
    exact = lsq_linear(A, b, bounds.T, method="bvls", tol=1e-14)
    assert outcome.converged
    assert outcome.theta == pytest.approx(exact.x, abs=1e-7)
    assert ((outcome.theta >= bounds[:, 0]) & (outcome.theta <= bounds[:, 1])).all()
    assert outcome.evaluations <= 8


BOUNDED = [
    # With x1 <= 0.8 Rosenbrock's minimum is (0.8, 0.64): q = 0.04.
    ("Rosenbrock", [(-np.inf, 0.8), (-np.inf, np.inf)], (0.8, 0.64), 0.04),
    # With x2 <= 0.3 the first residual cannot vanish: x1 = root of a cubic below.
    ("Rosenbrock", [(-2, 2), (-np.inf, 0.3)], None, None),
    ("Wood", [(-10, 10), (-10, 0.8), (-10, 10), (-10, 0.9)], None, None),
    ("Bard", [(0, 0.07), (-np.inf, np.inf), (2.5, 10)], None, None),
    ("Kowalik-Osborne", [(0, 0.18), (0, 1), (0, 0.1), (0, 1)], None, None),
    ("Brown-Dennis", [(-10, 100), (-15, 15), (-np.inf, 0), (0.1, 20)], None, None),
    ("Osborne 2", [(0, 1.2)] + [(0, 10)] * 8 + [(4.6, 10), (5.6, 10)], None, None),
    ("Biggs EXP6", [(0, 2), (0, 8), (0, 1), (1, 7), (0, 5), (0, 5)], None, None),
]


@pytest.mark.parametrize(("name", "bounds", "theta", "value"), BOUNDED)
def test_bounded_problems_end_at_a_kkt_point(name, bounds, theta, value):
    problem = next(problem for problem in PROBLEMS if problem.name == name)
    box = np.array(bounds, dtype=float)
    start = np.array(problem.start, dtype=float)
    objective = SumOfSquares(problem.evaluate)
    outcome = minimize(objective, start, box)
    found = objective(outcome.theta)
    columns = np.linalg.norm(found.residual_jacobian, axis=0)
    slope = projected_gradient(found.theta, found.gradient, box)
    size = 2 * columns * np.sqrt(found.objective)
    assert outcome.converged
    assert all(
        (box[:, 0] <= point.theta).all() and (point.theta <= box[:, 1]).all()
        for point in objective.evaluations
    )
    assert (np.abs(slope) <= np.maximum(1e-8, 1e-6 * size)).all()
    if theta is not None:
        assert found.theta == pytest.approx(theta, abs=1e-9)
        assert found.objective == pytest.approx(value, abs=1e-12)
    inside = np.clip(start, box[:, 0] + 1e-6, box[:, 1] - 1e-6)
    trf = reference(problem, inside, method="trf", bounds=box.T)
    assert found.objective <= 2 * trf.cost * (1 + 1e-6) + 1e-9


def test_wrong_bound_at_the_start_is_left():
    problem = PROBLEMS[0]
    box = np.array([[-1.2, 3], [-5, 1.0]])
    outcome = minimize(SumOfSquares(problem.evaluate), np.array([-1.2, 1.0]), box)
    assert outcome.theta == pytest.approx([1, 1], abs=1e-8)


def test_every_parameter_held_is_a_minimum():
    A = np.diag([1.0, 2.0])
    objective = SumOfSquares(lambda x: (A @ x - 5, A))
    outcome = minimize(objective, np.zeros(2), np.array([[-1.0, 1.0], [-1.0, 2.0]]))
    assert outcome.converged
    assert outcome.theta.tolist() == [1.0, 2.0]


@pytest.mark.parametrize("seed", range(30))
def test_ball_step_meets_the_conditions_of_a_global_minimum(seed):
    rng = np.random.default_rng(seed)
    n = 1 + seed % 6
    vectors = np.linalg.qr(rng.standard_normal((n, n)))[0]
    values = rng.standard_normal(n) * 10.0 ** rng.integers(-3, 3, n)
    slope = rng.standard_normal(n)
    if seed % 3 == 0:
        slope[np.argmin(values)] = 0.0
    radius = 10.0 ** rng.integers(-3, 3)
    step = vectors.T @ ball_step(Spectrum(np.array(values), vectors, slope), radius)
    assert np.linalg.norm(step) <= radius * (1 + 1e-7)
    shift = max(0.0, -values.min())
    if step.any():
        shift = max(shift, -(step @ (slope + values * step)) / (step @ step))
    left = slope + (values + shift) * step
    scale = np.abs(slope).max() + np.abs((values + shift) * step).max()
    assert np.abs(left).max() <= 1e-6 * scale
    if shift > 1e-10 * np.abs(values).max():
        assert np.linalg.norm(step) >= radius * (1 - 1e-7)


@pytest.mark.parametrize("seed", range(20))
def test_box_step_meets_scipy_on_convex_models(seed):
    rng = np.random.default_rng(seed)
    P = 2 + seed % 5
    model = QuadraticModel(
        residual=rng.standard_normal(P + 2),
        jacobian=rng.standard_normal((P + 2, P)),
        second=0.1 * np.eye(P) if seed % 2 else None,
        scale=1 + rng.random(P),
    )
    lower, upper = -0.5 * rng.random(P), 0.5 * rng.random(P)
    lower[0] = 0.0
    step = box_step(model, lower, upper, radius=100.0)
    exact = scipy_minimize(
        lambda p: -model.reduction(p),
        np.zeros(P),
        jac=model.gradient,
        bounds=list(zip(lower, upper, strict=True)),
        method="l-bfgs-b",
        options={"ftol": 1e-16, "gtol": 1e-12},
    )
    assert model.reduction(step) == pytest.approx(-exact.fun, rel=1e-9)


@pytest.mark.parametrize("seed", range(20))
def test_box_step_is_feasible_and_beats_steepest_descent(seed):
    rng = np.random.default_rng(seed)
    P = 2 + seed % 5
    second = rng.standard_normal((P, P)) * 3
    model = QuadraticModel(
        residual=rng.standard_normal(P),
        jacobian=rng.standard_normal((P, P)),
        second=second + second.T,
        scale=1 + rng.random(P),
    )
    lower, upper = -rng.random(P), rng.random(P)
    radius = 0.2 + rng.random()
    step = box_step(model, lower, upper, radius)
    assert ((lower <= step) & (step <= upper)).all()
    assert np.linalg.norm(model.scale * step) <= radius * (1 + 1e-7)
    direction = -model.gradient(np.zeros(P)) / model.scale**2
    for length in np.geomspace(1e-4, 1, 20):
        path = radius * length * direction / np.linalg.norm(model.scale * direction)
        descent = np.clip(path, lower, upper)
        assert model.reduction(step) >= 0.5 * model.reduction(descent)


def test_structured_update_meets_the_secant_equation_and_sizes():
    rng = np.random.default_rng(3)
    second = rng.standard_normal((4, 4))
    second = second + second.T
    step, structured = rng.standard_normal((2, 4))
    change = step + 0.1 * rng.standard_normal(4)
    updated = structured_update(second, step, structured, change, np.ones(4))
    assert updated == pytest.approx(updated.T)
    assert updated @ step == pytest.approx(structured)
    # A step along which nothing of S is left shrinks S to nothing.
    gone = structured_update(np.eye(4), step, np.zeros(4), step, np.ones(4))
    assert gone == pytest.approx(np.zeros((4, 4)), abs=1e-14)
