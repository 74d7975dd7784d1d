"""What a simulation draws: one stream, in sorted order, only what is missing.

That whole simulations have PyBLP's draws is in :mod:`tests.references`.
"""

from __future__ import annotations

import numpy as np
import pytest

from blpdask.errors import Faults, InputError
from blpdask.problem.formulas import parse
from blpdask.simulation.draws import complete_agents, complete_products, draw_errors

IDS = {"market_ids": ["a", "b", "b"], "firm_ids": [0, 0, 1]}
FORMULAS = (parse("1 + prices + z + b"), parse("a + b"), parse("1 + c"))


def complete(data, seed=3):
    stream = np.random.RandomState(seed)
    found = complete_products(data, FORMULAS, stream, Faults("product_data"))
    return found, stream


def test_everything_that_is_missing_is_drawn_in_order():
    found, _ = complete(IDS)
    stream = np.random.RandomState(3)
    shares = stream.uniform(size=3) / [1, 2, 2]
    assert found["shares"][:, 0].tolist() == shares.tolist()
    for name in ("prices", "b", "z", "a", "c"):
        assert found[name][:, 0].tolist() == stream.uniform(size=3).tolist(), name
    assert found["market_ids"].dtype == object


def test_what_is_given_is_not_drawn():
    found, _ = complete({**IDS, "prices": [1, 2, 3], "b": ["u", "v", "u"]})
    stream = np.random.RandomState(3)
    stream.uniform(size=3)
    assert found["z"][:, 0].tolist() == stream.uniform(size=3).tolist()
    assert found["prices"].dtype == float and found["b"].dtype == object


def test_demographics_follow_products():
    _, stream = complete(IDS)
    agents = {"market_ids": np.array([["a"], ["b"]], object)}
    found = complete_agents(
        agents, {"age": [30, 40]}, parse("0 + age + age:wealth"), stream, Faults("a")
    )
    _, again = complete(IDS)
    assert found["wealth"][:, 0].tolist() == again.uniform(size=2).tolist()
    assert found["age"][:, 0].tolist() == [30, 40]


def test_errors_have_the_variances_asked_for():
    stream = np.random.RandomState(0)
    found = draw_errors(
        10**5, stream, xi_variance=4, omega_variance=0.25, correlation=-0.5
    )
    np.testing.assert_allclose(
        np.cov(np.hstack(found).T), [[4, -0.5], [-0.5, 0.25]], atol=0.05
    )


def test_matrices_are_no_variables():
    with pytest.raises(InputError, match="variable 'z' with 2 columns"):
        complete({**IDS, "z": np.ones((3, 2))})
