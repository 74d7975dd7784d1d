"""SciPy's methods, users' functions and the choice among them, on convex problems."""

from __future__ import annotations

import pickle
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from scipy.optimize import lsq_linear

from blpdask.api.optimization import Optimization
from blpdask.errors import InputError
from blpdask.estimators.optimizers.choose import METHODS, OptimizerChoice
from blpdask.estimators.optimizers.protocol import Evaluation

GRADIENT_METHODS = (
    "l-bfgs-b",
    "tnc",
    "slsqp",
    "trust-constr",
    "cg",
    "bfgs",
    "newton-cg",
)
SIMPLE_METHODS = ("nelder-mead", "powell")
BOUNDED_METHODS = ("structured", "nl2sol", "l-bfgs-b", "tnc", "slsqp", "trust-constr")
TIGHT = {
    "l-bfgs-b": {"ftol": 0, "gtol": 1e-8},
    "tnc": {"ftol": 0, "gtol": 1e-8},
    "slsqp": {"ftol": 1e-14},
    "trust-constr": {"gtol": 1e-8, "xtol": 1e-12, "maxiter": 2000},
    "cg": {"gtol": 1e-7},
    "bfgs": {"gtol": 1e-7},
    "newton-cg": {"xtol": 1e-10},
    "nelder-mead": {"xatol": 1e-8, "fatol": 1e-12, "maxiter": 2000, "maxfev": 2000},
    "powell": {"xtol": 1e-8, "ftol": 1e-14},
}

RNG = np.random.default_rng(0)
A = RNG.standard_normal((8, 3))
B = RNG.standard_normal(8)
SOLUTION = np.linalg.lstsq(A, B, rcond=None)[0]
FREE = np.tile([-np.inf, np.inf], (3, 1))
BOX = SOLUTION[:, None] + np.array([[0.2, 1.0], [-1.0, 1.0], [-1.0, -0.1]])
BOXED = lsq_linear(A, B, BOX.T, method="bvls", tol=1e-14).x
START = BOX.mean(axis=1)


@dataclass
class LinearSquares:
    """(Aθ - b)'(Aθ - b), which remembers what it was asked and told."""

    evaluations: list[Evaluation] = field(default_factory=list)
    accepted: list[int] = field(default_factory=list)

    def __call__(self, theta, *, derivatives=True):
        r = A @ theta - B
        point = Evaluation(
            theta=theta,
            objective=float(r @ r),
            gradient=2 * A.T @ r if derivatives else None,
            residual=r,
            residual_jacobian=A if derivatives else None,
        )
        self.evaluations.append(point)
        return point

    def accept(self, evaluation):
        self.accepted.append(
            next(k for k, e in enumerate(self.evaluations) if e is evaluation)
        )


def run(optimization: Optimization, bounds=FREE):
    objective = LinearSquares()
    return optimization.choice(objective, START, bounds), objective


@pytest.mark.parametrize("compute_gradient", [True, False])
@pytest.mark.parametrize("method", [*GRADIENT_METHODS, *SIMPLE_METHODS])
def test_unbounded_minimum(method, compute_gradient):
    if compute_gradient == (method in SIMPLE_METHODS):
        pytest.skip("not offered")
    if method == "newton-cg" and not compute_gradient:
        pytest.skip("not offered")
    options = TIGHT[method]
    if not compute_gradient and "gtol" in options:
        options = options | {"gtol": 1e-6}
    outcome, objective = run(Optimization(method, options, compute_gradient))
    assert outcome.converged or not compute_gradient, outcome.message
    assert outcome.theta == pytest.approx(SOLUTION, abs=1e-5)
    assert outcome.evaluations == len(objective.evaluations)
    assert outcome.iterations > 0
    assert all(
        (e.gradient is not None) == compute_gradient for e in objective.evaluations
    )


@dataclass
class Lifted(LinearSquares):
    """The same less its minimum, ``height`` above zero, with gradients ``turn``ed."""

    height: float = 0.0
    turn: float = 1.0

    def __call__(self, theta, *, derivatives=True):
        point = super().__call__(theta, derivatives=derivatives)
        self.evaluations[-1] = replace(
            point,
            objective=self.height + point.objective - np.sum((A @ SOLUTION - B) ** 2),
            gradient=self.turn * point.gradient,
        )
        return self.evaluations[-1]


def test_bfgs_has_converged_where_the_objective_has_no_digits_left():
    """No gradient is below zero, so that it ends where no step lowers 1e4 any more."""
    bfgs = Optimization("bfgs", {"gtol": 0.0}).choice
    outcome = bfgs(Lifted(height=1e4), START, FREE)
    assert outcome.converged
    assert "below the rounding of the objective" in outcome.message
    assert outcome.theta == pytest.approx(SOLUTION, abs=1e-5)


def test_bfgs_with_wrong_gradients_has_not_converged():
    bfgs = Optimization("bfgs", {"gtol": 1e-14}).choice
    outcome = bfgs(Lifted(turn=-1.0), START, FREE)
    assert not outcome.converged
    assert "precision loss" in outcome.message


@pytest.mark.parametrize("method", BOUNDED_METHODS)
def test_bounded_minimum(method):
    outcome, _ = run(Optimization(method, TIGHT.get(method)), BOX)
    assert outcome.converged, outcome.message
    assert outcome.theta == pytest.approx(BOXED, abs=1e-5)


@pytest.mark.parametrize("method", ["cg", "bfgs", "newton-cg", *SIMPLE_METHODS])
def test_bounds_are_ignored_where_pyblp_ignores_them(method):
    simple = method in SIMPLE_METHODS
    optimization = Optimization(method, TIGHT[method], compute_gradient=not simple)
    outcome, _ = run(optimization, BOX)
    assert not optimization.choice.supports_bounds
    assert outcome.theta == pytest.approx(SOLUTION, abs=1e-5)


@pytest.mark.parametrize("method", [*GRADIENT_METHODS, *SIMPLE_METHODS])
def test_accepted_are_the_lowest_so_far_in_order(method):
    simple = method in SIMPLE_METHODS
    _, objective = run(Optimization(method, TIGHT[method], compute_gradient=not simple))
    values = [point.objective for point in objective.evaluations]
    assert objective.accepted[0] == 0
    assert len(objective.accepted) > 1
    assert objective.accepted == sorted(set(objective.accepted))
    assert all(values[k] == min(values[: k + 1]) for k in objective.accepted)


@pytest.mark.parametrize(
    "method", ["l-bfgs-b", "bfgs", "slsqp", "tnc", "cg", "newton-cg"]
)
def test_counts_and_answers_are_those_of_pyblp(method):
    pyblp = pytest.importorskip("pyblp")
    theirs = pyblp.Optimization(method, TIGHT[method])

    def objective_function(theta, iterations, evaluations):
        r = A @ theta.ravel() - B
        return np.array(r @ r), (2 * A.T @ r)[:, None], None

    final, stats = theirs._optimize(
        START[:, None], [tuple(b) for b in BOX], objective_function
    )
    ours, _ = run(Optimization(method, TIGHT[method]), BOX)
    assert ours.theta == pytest.approx(final.ravel(), rel=0, abs=1e-13)
    assert ours.iterations == stats.iterations
    assert ours.evaluations == stats.evaluations
    assert ours.converged == stats.converged


def test_keep_feasible_keeps_every_evaluation_within_bounds():
    options = TIGHT["trust-constr"] | {"keep_feasible": True}
    outcome, objective = run(Optimization("trust-constr", options), BOX)
    assert outcome.theta == pytest.approx(BOXED, abs=1e-5)
    for point in objective.evaluations:
        assert (point.theta >= BOX[:, 0]).all()
        assert (point.theta <= BOX[:, 1]).all()


def test_structured_solves_a_linear_problem_in_two_evaluations():
    outcome, objective = run(Optimization())
    assert (outcome.converged, outcome.evaluations) == (True, 2)
    assert outcome.theta == pytest.approx(SOLUTION, abs=1e-12)
    assert objective.accepted == [0, 1]


def test_return_evaluates_nothing():
    outcome, objective = run(Optimization("return"))
    assert outcome.theta.tolist() == START.tolist()
    assert (outcome.converged, outcome.iterations, outcome.evaluations) == (True, 0, 0)
    assert not objective.evaluations


def test_custom_method_has_pyblps_form():
    seen = {}

    def gauss_newton(initial, bounds, objective_function, iteration_callback, *, steps):
        seen["bounds"] = bounds
        theta = initial
        for _ in range(steps):
            objective, gradient, progress = objective_function(theta)
            r, jacobian = progress.residual, progress.residual_jacobian
            seen["gradient"] = gradient
            assert objective == pytest.approx(r @ r)
            theta = theta - np.linalg.lstsq(jacobian, r, rcond=None)[0]
            iteration_callback()
        return theta, True

    outcome, objective = run(Optimization(gauss_newton, {"steps": 3}), BOX)
    assert outcome.theta == pytest.approx(SOLUTION, abs=1e-12)
    assert (outcome.iterations, outcome.evaluations) == (3, 3)
    assert seen["bounds"] == [tuple(pair) for pair in BOX]
    assert np.abs(seen["gradient"]).max() < 1e-10
    assert objective.accepted[:2] == [0, 1]
    run(Optimization(gauss_newton, {"steps": 1}))


def test_custom_method_without_gradients_gets_none():
    def method(initial, bounds, objective_function, iteration_callback):
        objective, gradient, _ = objective_function(initial)
        assert gradient is None
        return initial[:, None] + 1, objective > 1e9

    outcome, _ = run(Optimization(method, compute_gradient=False))
    assert outcome.theta == pytest.approx(START + 1)
    assert not outcome.converged


@pytest.mark.parametrize("answer", [np.zeros(3), (np.zeros(2), True)])
def test_custom_method_that_returns_otherwise_is_told(answer):
    with pytest.raises(InputError, match="what to do"):
        run(Optimization(lambda *_: answer))


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("knitro",), "knitro"),
        (("bfg",), "one of structured"),
        ((3,), "a name or a function"),
        (("bfgs", [1]), "a dict"),
        (("nelder-mead",), "compute_gradient=False"),
        (("powell",), "compute_gradient=False"),
        (("newton-cg", None, False), "compute_gradient=True"),
        (("structured", None, False), "compute_gradient=True"),
        (("structured", {"maxiter": 5}), "max_iterations"),
        (("structured", {"gtol": -1}), "zero or above"),
        (("return", {"gtol": 1}), "none, as it does nothing"),
    ],
)
def test_faults_say_what_to_do(arguments, text):
    with pytest.raises(InputError, match=text):
        Optimization(*arguments)


def test_every_fault_is_in_one_message():
    with pytest.raises(InputError) as caught:
        Optimization("structured", {"one": 1, "two": 2}, compute_gradient=False)
    assert len(caught.value.faults) == 3


def test_which_methods_heed_bounds():
    heeding = {name for name in METHODS if OptimizerChoice(name).supports_bounds}
    assert heeding == {*BOUNDED_METHODS, "return"}
    assert OptimizerChoice(lambda *_: None).supports_bounds
    by_default = {name for name in METHODS if OptimizerChoice(name).bounds_by_default}
    assert by_default == heeding - {"structured", "nl2sol"}


def test_displays_are_scipys_own():
    shown = Optimization("slsqp", {"iprint": 0}, universal_display=False)
    assert dict(shown.choice.settings) == {"disp": True, "iprint": 0}
    assert not Optimization("l-bfgs-b", universal_display=False).choice.settings
    assert "BFGS" in str(Optimization("bfgs"))
    assert "a custom method" in repr(Optimization(lambda *_: None))


def test_configurations_travel_between_processes():
    copy = pickle.loads(pickle.dumps(Optimization("bfgs", {"gtol": 1e-4})))
    assert copy.choice == OptimizerChoice("bfgs", {"gtol": 1e-4})
