"""Two-step GMM finds the truth of simulated markets, and its intervals cover it.

Shares are exact for the agents that the estimator is given, so what separates an
estimate from its truth is the sampling of ξ alone: by Hansen (1982) it is normal around
the truth with the variance that the standard errors claim.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

import blpdask
from blpdask.simulation.markets import (
    MarketDesign,
    SimulatedMarkets,
    simulate_markets,
)

TASTES = MarketDesign()
RANDOM_CONSTANT = MarketDesign(
    n_products=(4, 20),
    random_coefficients=("1", "prices", "x1"),
    sigma=((2.0, 0.0, 0.0), (0.0, 0.8, 0.0), (0.0, 0.0, 1.0)),
    pi=((0.8,), (0.0,), (0.5,)),
)
NO_DEMOGRAPHICS = replace(TASTES, pi=())
N_REPLICATIONS = 400


@dataclass(frozen=True, slots=True)
class Estimates:
    """Free parameters side by side: names, truth, estimates, standard errors."""

    names: tuple[str, ...]
    truth: np.ndarray
    values: np.ndarray
    errors: np.ndarray


def estimate(simulated: SimulatedMarkets) -> Estimates:
    """Estimate by two-step GMM from starting values of half the truth.

    Tastes are symmetric, so a column of Σ means the same with either sign; the one
    with a positive diagonal is reported.
    """
    formulas, truth = simulated.formulations(), simulated.truth
    problem = blpdask.Problem(
        tuple(blpdask.Formulation(f) for f in formulas[:2]),
        simulated.product_data,
        None if formulas.agent is None else blpdask.Formulation(formulas.agent),
        simulated.agent_data,
    )
    results = problem.solve(
        sigma=truth.sigma / 2,
        pi=truth.pi / 2 if truth.pi.size else None,
        method="2s",
    )
    free, rows = np.nonzero(truth.sigma), simulated.design.random_coefficients
    loads = np.nonzero(truth.pi)
    beta = truth.beta, results.beta[:, 0], results.beta_se[:, 0]
    signed = results.sigma * np.where(np.diag(results.sigma) < 0, -1.0, 1.0)
    sigma = truth.sigma[free], signed[free], results.sigma_se[free]
    pi = (np.empty(0),) * 3
    if truth.pi.size:
        pi = truth.pi[loads], results.pi[loads], results.pi_se[loads]
    joined = [np.concatenate(parts) for parts in zip(beta, sigma, pi, strict=True)]
    names = (
        *(f"beta {name}" for name in simulated.design.linear),
        *(f"sigma {rows[k]}" for k in free[0]),
        *(f"pi {rows[k]}" for k in loads[0]),
    )
    return Estimates(names, *joined)


@pytest.mark.parametrize(
    "design",
    [TASTES, RANDOM_CONSTANT, NO_DEMOGRAPHICS],
    ids=["tastes", "random constant", "no demographics"],
)
def test_one_data_set_recovers_its_truth(design):
    found = estimate(simulate_markets(design, 1))
    gaps = found.values - found.truth
    report = "\n".join(
        f"{name}: truth {truth:+.2f}, gap {gap:+.3f}, standard error {error:.3f}"
        for name, truth, gap, error in zip(
            found.names, found.truth, gaps, found.errors, strict=True
        )
    )
    assert np.all(found.errors > 0), report
    assert np.all(np.abs(gaps) < 4 * found.errors), report
    assert np.all(np.abs(gaps) < 0.1 + 0.15 * np.abs(found.truth)), report


@pytest.mark.slow
def test_intervals_cover_the_truth_as_often_as_they_say(capsys):
    design = MarketDesign(n_markets=50, n_products=8, n_agents=100)
    found = [estimate(simulate_markets(design, seed)) for seed in range(N_REPLICATIONS)]
    gaps = np.array([each.values - each.truth for each in found])
    errors = np.array([each.errors for each in found])
    coverage = np.mean(np.abs(gaps) < 1.959964 * errors, axis=0)
    bias = gaps.mean(axis=0) / gaps.std(axis=0, ddof=1)
    claimed = errors.mean(axis=0) / gaps.std(axis=0, ddof=1)
    report = "\n".join(
        f"{name}: coverage {c:.3f}, bias {b:+.2f} sd, mean se {s:.2f} sd"
        for name, c, b, s in zip(found[0].names, coverage, bias, claimed, strict=True)
    )
    with capsys.disabled():
        print(f"\n95 % intervals in {N_REPLICATIONS} replications\n{report}")
    assert np.all((coverage >= 0.91) & (coverage <= 0.985)), report
    assert np.all(np.abs(bias) < 0.25), report
    assert np.all((claimed > 0.75) & (claimed < 1.35)), report
