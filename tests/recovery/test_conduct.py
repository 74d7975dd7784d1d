"""Conduct tests in repeated samples: how often they find the truth, and how they err.

- Power: firms price as Bertrand has it; perfect competition and monopoly are rejected.
- Size: firms put half their weight on rivals' profits, and two models, one below and
  one above, are equally far from that in the population. A test at 5 % rejects about as
  often where it knows that demand was estimated, and too often where it does not.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import brentq

import blpdask
from blpdask import ConductModel

from ..analysis.conduct_markets import COSTS, TESTED, draw_markets, estimate

#: Demand is noisy, costs are not.
NOISY = {"sigma": 0.0, "xi_variance": 3.0, "omega_variance": 0.01}
LOW = 0.1


@pytest.fixture(autouse=True, scope="module")
def quiet():
    blpdask.options.verbose, verbose = False, blpdask.options.verbose
    yield
    blpdask.options.verbose = verbose


def half(f, g):
    return 1.0 if f == g else 0.5


def compare(results, data, models, **settings):
    return results.run_conduct_test(
        models, data[TESTED], COSTS, product_data=data, engine="serial", **settings
    )


@pytest.mark.slow
def test_wrong_models_are_rejected_in_favour_of_the_right_one():
    rejected = []
    for seed in range(50):
        data = draw_markets(2000 + seed, T=200, sigma=0.0)
        models = ["bertrand", "perfect_competition", "monopoly"]
        found = compare(estimate(data, random=False), data, models)
        rejected.append(found.statistics[0, 1:] < -1.96)
        assert found.confidence_p_values[0] > 0.01
    assert (np.mean(rejected, axis=0) > 0.9).all()


def equally_far():
    """Find the weight above a half whose model is as far from the truth as LOW's."""
    data = draw_markets(999, T=3000, kappa=half, **NOISY)
    known = {"beta": [None, -1.5, None], "optimization": blpdask.Optimization("return")}
    results = estimate(data, random=False, **known)
    w = np.column_stack([np.ones(len(data)), data["x"], data["w"]])
    z = data[TESTED].to_numpy(float)
    z = z - w @ np.linalg.lstsq(w, z)[0]

    def distance(weight):
        models = [ConductModel("collusion", kappa=float(weight)), "perfect_competition"]
        eta = compare(results, data, models).markups[:, 0]
        # Less the true costs, whose correlation with z in the sample is left out.
        g = z.T @ (data["prices"] - data["costs"] - eta).to_numpy()
        return g @ np.linalg.solve(z.T @ z, g)

    assert distance(0.5) < 1e-20
    low = distance(LOW)
    return brentq(lambda weight: distance(weight) - low, 0.5, 1.5, xtol=1e-4)


@pytest.mark.slow
def test_models_that_fit_alike_are_rejected_as_often_as_said():
    high = equally_far()
    models = [ConductModel("collusion", kappa=weight) for weight in (LOW, high)]
    T = []
    for seed in range(200):
        data = draw_markets(10_000 + seed, T=100, kappa=half, **NOISY)
        results = estimate(data, random=False)
        both = [
            compare(results, data, models, se_type="robust", demand_adjustment=adjusted)
            for adjusted in (True, False)
        ]
        T.append([found.statistics[0, 1] for found in both])
    adjusted, known = (np.abs(T) > 1.959964).mean(axis=0)
    # Within three standard deviations of a binomial's 5 %, and beyond them.
    assert 0.004 <= adjusted <= 0.096
    assert known > 0.096
    assert abs(np.std(T, axis=0)[0] - 1) < 0.15
