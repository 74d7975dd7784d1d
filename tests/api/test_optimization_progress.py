"""Custom routines see what PyBLP shows them of each evaluation, with its numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import blpdask
from tests.api import nevo
from tests.references.specifications import quietly

SHOWN = (
    *("theta", "sigma", "sigma_squared", "pi", "rho", "phi", "beta", "gamma"),
    *("sigma_bounds", "pi_bounds", "rho_bounds", "beta_bounds", "gamma_bounds"),
    *("sigma_labels", "pi_labels", "rho_labels", "beta_labels", "gamma_labels"),
    *("theta_labels", "delta", "clipped_shares", "tilde_costs", "clipped_costs"),
    *("xi", "omega", "micro", "micro_values", "objective", "gradient"),
    *("projected_gradient", "projected_gradient_norm", "W", "fp_converged"),
    *("xi_by_theta_jacobian", "omega_by_theta_jacobian", "micro_by_theta_jacobian"),
)


class Look:
    """Evaluates where it starts and a little further, and keeps what it saw."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def __call__(self, initial: Any, bounds: Any, evaluate: Any, callback: Any) -> Any:
        for factor in (1.0, 1.02):
            objective, gradient, progress = evaluate(factor * initial)
            if gradient is not None:
                np.testing.assert_array_equal(progress.gradient[:, 0], gradient)
            assert float(progress.objective) == float(objective)
            self.seen.append(progress)
            self.kept = getattr(self, "kept", {})
            self.kept[factor] = {name: ask(progress, name) for name in SHOWN}
        return initial, True


def ask(progress: Any, name: str) -> Any:
    return getattr(progress, name)


def look(package: Any, **settings: Any) -> Look:
    routine = Look()
    with quietly():
        nevo.problem(package, 6).solve(
            nevo.SIGMA,
            nevo.PI,
            optimization=package.Optimization(routine),
            check_optimality="gradient",
            **{"method": "1s", **settings},
        )
    return routine


def test_attributes_are_those_of_pyblp() -> None:
    pyblp = pytest.importorskip("pyblp")
    pyblp.options.verbose = False
    tight = pyblp.Iteration("squarem", {"atol": 1e-14})
    theirs, ours = look(pyblp, iteration=tight), look(blpdask)
    for factor, shown in theirs.kept.items():
        for name, expected in shown.items():
            found = ours.kept[factor][name]
            if "labels" in name:
                assert found == expected, name
                continue
            assert np.shape(found) == np.shape(expected), name
            finite = np.abs(np.asarray(expected, float)[np.isfinite(expected)])
            scale = max(finite.max(initial=0), 1e-300)
            np.testing.assert_allclose(
                np.asarray(found, float) / scale,
                np.asarray(expected, float) / scale,
                rtol=0,
                atol=1e-8,
                err_msg=name,
            )


def test_the_last_look_is_what_results_say() -> None:
    routine = Look()
    problem = nevo.problem(blpdask, 6)
    with quietly():
        results = problem.solve(
            nevo.SIGMA,
            nevo.PI,
            method="1s",
            optimization=blpdask.Optimization(routine),
            check_optimality="gradient",
        )
    progress = routine.seen[0]
    assert progress.problem is problem
    np.testing.assert_array_equal(progress.theta, results.theta.ravel())
    for name in ("xi", "beta", "W", "objective", "xi_by_theta_jacobian"):
        np.testing.assert_array_equal(ask(progress, name), getattr(results, name))
    assert (results.optimization_iterations, results.objective_evaluations) == (0, 3)
    with pytest.raises(AttributeError, match="nothing_of_the_kind"):
        ask(progress, "nothing_of_the_kind")


def test_continuously_updated_weights_show_less() -> None:
    seen = []

    def routine(initial: Any, bounds: Any, evaluate: Any, callback: Any) -> Any:
        seen.append(evaluate(initial)[2])
        return initial, True

    table = nevo.tables(20)[0]
    with quietly():
        problem = blpdask.Problem(
            (
                blpdask.Formulation("1 + prices"),
                blpdask.Formulation("0 + prices"),
            ),
            table,
            integration=blpdask.Integration("product", 3),
        )
        choice = blpdask.Optimization(routine)
        problem.solve(1.0, method="cue", optimization=choice, W_type="robust")
    assert seen[0].xi.shape == (len(table), 1)
    with pytest.raises(AttributeError, match="continuously updated"):
        ask(seen[-1], "xi")
