"""Warming up loads the kernels and computes what it should while it is at it."""

from __future__ import annotations

import numpy as np
import pytest

from blpdask.moments import demand


@pytest.mark.parametrize("backend", ["numba", "numpy"])
def test_warming_up_inverts_one_share(backend, monkeypatch):
    found = []
    invert = demand.invert_block

    def spy(block, state, memory):
        found.append(invert(block, state, memory))
        return found[-1]

    monkeypatch.setattr(demand, "invert_block", spy)
    demand.warm_kernels(backend)
    (inversion,) = found
    # With one agent, δ + μ is the logit's log S - log S₀, and μ = 0.5.
    np.testing.assert_allclose(inversion.delta, np.log(0.3 / 0.7) - 0.5, rtol=1e-12)
    np.testing.assert_allclose(inversion.delta_by_theta, -1.0, rtol=1e-12)
