"""Shares that no mean utility explains, for more buy than can, by limiting cases.

Who can buy such a product all do, as δ_j grows without bound; the others' products are
bought by those who cannot, and have the mean utilities, and slopes of these by θ, that
they have where there is nobody and nothing else. The contraction finds them, product by
product.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from blpdask.kernels import loop_backend
from blpdask.records import InversionControls, InversionStart
from blpdask.status import InversionStatus
from tests.kernels.test_nests import nested

#: Agents of twelve who can buy the first of four products.
ABLE = 7


@pytest.mark.parametrize("rho", [(), (0.4,)])
def test_other_products_are_inverted_without_those_who_can_buy_it(rho):
    made = nested(
        rho=rho, places=(0,) * len(rho), sizes=(4,), agents=(12,), availability=True
    )
    block = made.block
    held = np.ones((12, 4))
    held[ABLE:, 0] = 0.0
    w = block.weights
    S = np.array([w[:ABLE].sum() + 0.1, 0.05, 0.03, 0.08])
    logit = np.log(S) - np.log(1 - S.sum())
    whole = replace(
        block, log_shares=np.log(S), logit_delta=logit, availability=held.ravel()
    )
    alone = replace(
        block,
        product_offsets=np.array([0, 3]),
        agent_offsets=np.array([0, 12 - ABLE]),
        X2=block.X2[:, 1:],
        log_shares=np.log(S[1:]),
        logit_delta=logit[1:],
        draws=block.draws[ABLE:],
        weights=w[ABLE:],
        nests=None if block.nests is None else block.nests[1:],
        availability=None,
    )
    assert w[ABLE:].sum() > S[1:].sum()
    controls = InversionControls(method="simple", max_evaluations=20000)
    start = InversionStart(whole.logit_delta, np.empty(0))
    found = loop_backend.invert(whole, made.tastes, start, controls)
    start = InversionStart(alone.logit_delta, np.empty(0))
    few = loop_backend.invert(alone, made.tastes, start, controls)
    assert found.status[0] == InversionStatus.MAX_EVALUATIONS
    assert few.status[0] == InversionStatus.CONVERGED
    assert found.delta[0] > 100
    np.testing.assert_allclose(found.delta[1:], few.delta, atol=1e-11)
    np.testing.assert_allclose(
        found.delta_by_theta[1:], few.delta_by_theta, rtol=1e-10, atol=1e-11
    )
    np.testing.assert_array_equal(found.delta_by_theta[0], 0.0)
