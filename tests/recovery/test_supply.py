"""Demand and supply estimated jointly find the truth, and their intervals cover it.

Prices are in Bertrand-Nash equilibrium and shares exact for the agents that the
estimator is given, all from the engine: what separates an estimate from its truth is
the sampling of ξ and ω alone. Markets are clusters of size one, so robust standard
errors are those of Hansen (1982).
"""

from __future__ import annotations

import numpy as np
import pytest

import blpdask

N_REPLICATIONS = 200
SIGMA, BETA, GAMMA = np.diag([0.0, 4.0]), [1.0, -2.0, 1.0], [1.0, 0.5, 0.5]
NAMES = ("sigma x", "beta 1", "beta prices", "beta x", "gamma 1", "gamma x", "gamma w")
TRUTH = np.array([4.0, *BETA, *GAMMA])


def estimate(seed):
    """Simulate, solve for prices, and estimate by two steps from near the truth."""
    simulation = blpdask.Simulation(
        (
            blpdask.Formulation("1 + prices + x"),
            blpdask.Formulation("1 + x"),
            blpdask.Formulation("1 + x + w"),
        ),
        blpdask.build_id_data(T=60, J=12, F=4),
        beta=BETA,
        sigma=SIGMA,
        gamma=GAMMA,
        integration=blpdask.Integration("product", 7),
        xi_variance=0.04,
        omega_variance=0.04,
        correlation=0.5,
        seed=seed,
    )
    solved = simulation.replace_endogenous(
        compute_gradients=False, compute_hessians=False, engine="serial"
    )
    results = solved.to_problem().solve(
        sigma=0.75 * SIGMA,
        beta=[None, BETA[1] / 2, None],
        check_optimality="gradient",
        engine="serial",
    )
    assert results.converged
    values = [abs(results.sigma[1, 1]), *results.beta[:, 0], *results.gamma[:, 0]]
    errors = [
        results.sigma_se[1, 1],
        *results.beta_se[:, 0],
        *results.gamma_se[:, 0],
    ]
    return np.array(values), np.array(errors)


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    monkeypatch.setattr(blpdask.options, "verbose", False)


@pytest.mark.slow
def test_intervals_cover_the_truth_as_often_as_they_say(capsys):
    found = [estimate(seed) for seed in range(N_REPLICATIONS)]
    gaps = np.array([values for values, _ in found]) - TRUTH
    errors = np.array([errors for _, errors in found])
    coverage = np.mean(np.abs(gaps) < 1.959964 * errors, axis=0)
    bias = gaps.mean(axis=0) / gaps.std(axis=0, ddof=1)
    claimed = errors.mean(axis=0) / gaps.std(axis=0, ddof=1)
    report = "\n".join(
        f"{name}: coverage {c:.3f}, bias {b:+.2f} sd, mean se {s:.2f} sd"
        for name, c, b, s in zip(NAMES, coverage, bias, claimed, strict=True)
    )
    with capsys.disabled():
        print(f"\n95 % intervals in {N_REPLICATIONS} replications\n{report}")
    assert np.all((coverage >= 0.90) & (coverage <= 0.99)), report
    assert np.all(np.abs(bias) < 0.25), report
    assert np.all((claimed > 0.8) & (claimed < 1.25)), report
