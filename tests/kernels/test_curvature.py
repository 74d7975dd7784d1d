"""Curvature by tiles of agents, beside sums that are written out and other routes.

What must hold:

1. s, s_0, A and ∂s/∂θ are the sums that define them, with coefficients of all kinds,
   with agents in one tile and in several.
2. It is left to the loops over agents where products are few, weights not positive or
   utilities large, and derivatives at given δ are those of a solution reached by Newton
   in any case.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from blpdask.kernels import loop_logit, loop_plain_curvature
from blpdask.kernels.loop_block import loop_block, loop_tastes
from blpdask.kernels.loop_tiles import TILE
from blpdask.records import InversionControls, InversionStart
from tests.kernels import problems, reference

KINDS = ([0, 0, 0], [0, 1, 2])
LOADINGS = [[0.5, 0.0, 0.0, 0.3], [0.2, 0.4, 0.0, -0.5], [0.1, 0.0, 0.3, 0.2]]
SHAPES = [(20, 30), (17, TILE // 17 + 40), (3, 9)]


def drawn(kinds, seed=1):
    tastes = problems.make_tastes(LOADINGS, kinds)
    block = problems.make_block(seed, SHAPES, tastes)
    delta = np.random.default_rng(seed).normal(-2, 1, block.n_products)
    S = reference.shares(block, tastes, delta)
    return problems.with_shares(block, S), tastes, delta


def curvature(block, tastes, delta, t):
    rows = slice(block.product_offsets[t], block.product_offsets[t + 1])
    J = rows.stop - rows.start
    shares, A, tangents = np.empty(J), np.empty((J, J)), np.empty((tastes.size, J))
    outside = loop_plain_curvature.plain_curvature(
        t,
        loop_block(block),
        loop_tastes(tastes, derivatives=True),
        delta[rows],
        shares,
        A,
        tangents,
    )
    return rows, outside, shares, A, tangents


@pytest.mark.parametrize("kinds", KINDS, ids=str)
@pytest.mark.parametrize("t", [0, 1])
def test_sums_are_those_that_define_them(kinds, t):
    block, tastes, delta = drawn(kinds)
    rows, outside, shares, A, tangents = curvature(block, tastes, delta, t)
    expected = reference.shares(block, tastes, delta)[rows]
    np.testing.assert_allclose(shares, expected, rtol=1e-13)
    w = block.weights[block.agent_offsets[t] : block.agent_offsets[t + 1]]
    np.testing.assert_allclose(outside, w.sum() - shares.sum(), rtol=1e-13)
    h = 1e-6
    for k in range(shares.size):
        move = np.zeros(delta.size)
        move[rows.start + k] = h
        up, down = (reference.shares(block, tastes, delta + m) for m in (move, -move))
        by_delta = ((up - down) / (2 * h))[rows]
        np.testing.assert_allclose(A[k:, k], by_delta[k:], atol=1e-9)
    for p, (k, el) in enumerate(zip(tastes.rows, tastes.columns, strict=True)):
        up, down = tastes.loadings.copy(), tastes.loadings.copy()
        up[k, el] += h
        down[k, el] -= h
        found = [
            reference.shares(block, replace(tastes, loadings=moved), delta)[rows]
            for moved in (up, down)
        ]
        np.testing.assert_allclose(
            tangents[p], (found[0] - found[1]) / (2 * h), atol=1e-9
        )


def test_derivatives_do_not_depend_on_how_delta_was_found():
    for kinds in KINDS:
        block, tastes, _ = drawn(kinds)
        start = InversionStart(block.logit_delta, np.empty(0))
        solved = loop_logit.invert(block, tastes, start, InversionControls())
        given = InversionStart(solved.delta, np.empty(0))
        found = loop_logit.invert(block, tastes, given, InversionControls("return"))
        scale = np.abs(solved.delta_by_theta).max()
        gap = np.abs(found.delta_by_theta - solved.delta_by_theta).max()
        assert gap < 1e-11 * scale
        np.testing.assert_allclose(found.factor, solved.factor, rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize("change", ["few", "weights", "large"])
def test_what_is_not_for_tiles_is_left(change):
    block, tastes, delta = drawn(KINDS[0])
    t = 2 if change == "few" else 0
    if change == "weights":
        weights = block.weights.copy()
        weights[3] *= -0.1
        block = replace(block, weights=weights)
    if change == "large":
        delta = delta.copy()
        delta[4] = 350.0
    assert curvature(block, tastes, delta, t)[1] == -1.0
    if change == "large":
        return
    start = InversionStart(delta, np.empty(0))
    solved = loop_logit.invert(block, tastes, start, InversionControls())
    given = InversionStart(solved.delta, np.empty(0))
    found = loop_logit.invert(block, tastes, given, InversionControls("return"))
    np.testing.assert_allclose(
        found.delta_by_theta, solved.delta_by_theta, rtol=1e-9, atol=1e-11
    )
