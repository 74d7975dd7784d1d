"""Moments of products of errors of a block against loops over its rows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from blpdask.moments.covariances import MomentState, moments_pass
from blpdask.moments.error_products import ProductState, products_pass
from blpdask.records import HeldRows
from tests.moments.test_errors import MEMORY, PLACES, STATE, make_block

ZC = np.array([[1.0, 2.0], [1.0, -1.0], [1.0, 0.5]])
#: ξ = δ - X1 β - effects, ω = c̃ - X3 γ - effect, of the state.
XI, OMEGA = np.array([-9.0, -10.5, 0.0]), np.array([1.0, 1.0, 0.5])
MEAN = 0.25


def block_with_instruments():
    block = make_block()
    return replace(block, linear=HeldRows(replace(block.linear(), ZC=ZC)))


def slopes():
    """∂(δ - X1 β)/∂θ and ∂(c̃ - X3 γ)/∂θ, written out."""
    of_demand = np.array([[7.0, -2.0, 0.0], [8.0, 0.0, 0.0], [9.0, 1.0, 0.0]])
    of_supply = np.array([[0.1, 0.4, -2.0], [0.2, 0.5, -1.0], [0.0, 0.0, 0.0]])
    return of_demand, of_supply


def test_sums_and_derivatives_are_those_of_rows():
    state = ProductState(STATE, MEAN, PLACES)
    sums, _ = products_pass(block_with_instruments(), state, MEMORY)
    values, by_psi = np.zeros(2), np.zeros((2, 3))
    of_demand, of_supply = slopes()
    for j in range(3):
        values += (XI[j] * OMEGA[j] - MEAN) * ZC[j]
        slope = of_demand[j] * OMEGA[j] + XI[j] * of_supply[j]
        by_psi += np.outer(ZC[j], slope)
    np.testing.assert_allclose(sums.values, values, rtol=1e-15)
    np.testing.assert_allclose(sums.by_psi, by_psi, rtol=1e-14)


def test_what_effects_are_taken_out_of_is_remembered():
    state = ProductState(STATE, MEAN, None, column=1)
    sums, memory = products_pass(block_with_instruments(), state, MEMORY)
    assert sums.by_psi.size == 0
    np.testing.assert_array_equal(memory.delta, ZC[:, 1] * OMEGA)
    np.testing.assert_array_equal(memory.costs, ZC[:, 1] * XI)
    np.testing.assert_array_equal(memory.delta_by_theta, MEMORY.delta_by_theta)
    np.testing.assert_array_equal(memory.costs_by_theta, MEMORY.costs_by_theta)


def test_covariances_have_a_third_equation():
    centre = np.arange(5.0)
    state = MomentState(STATE, centre, clustered=False, product_mean=MEAN)
    sums, _ = moments_pass(block_with_instruments(), state, MEMORY)
    linear = block_with_instruments().linear()
    g = np.zeros((3, 5))
    for j in range(3):
        z_D, z_S = (equation.Z[j] for equation in linear.equations)
        u = XI[j] * OMEGA[j] - MEAN
        g[j] = np.r_[XI[j] * z_D, OMEGA[j] * z_S, u * ZC[j]] - centre
    np.testing.assert_allclose(sums.g, g.sum(axis=0), rtol=1e-14)
    np.testing.assert_allclose(sums.gg, g.T @ g, rtol=1e-14)
    products = XI * OMEGA - MEAN
    np.testing.assert_allclose(sums.means[0], [XI.mean(), 2.5 / 3, products.mean()])
    expected = np.cov(np.array([XI, OMEGA, products]), bias=True) * 3
    np.testing.assert_allclose(sums.squares[0], expected, rtol=1e-14)
