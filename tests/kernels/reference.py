"""A slow, plain reference for the kernels: one market and one agent at a time.

Utilities go through log-sum-exp, δ is solved for by damped Newton on log shares until
it no longer moves, and ∂δ/∂θ comes twice: by the implicit function theorem, written as
elementwise sums, and by central finite differences of the solution.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from blpdask.records import Floats, MarketBlock, Tastes


def markets(block: MarketBlock) -> Iterator[tuple[slice, slice]]:
    """Yield the product rows and agent rows of each market."""
    for t in range(block.n_markets):
        products = slice(block.product_offsets[t], block.product_offsets[t + 1])
        agents = slice(block.agent_offsets[t], block.agent_offsets[t + 1])
        yield products, agents


def coefficient(index: float, kind: int) -> tuple[float, float]:
    """Compute g_k and its derivative at one point."""
    if kind == 1:
        return np.exp(index), np.exp(index)
    if kind == 2:
        g = 1 / (1 + np.exp(-index))
        return g, g * (1 - g)
    return index, 1.0


def deviations(X2: Floats, draws: Floats, tastes: Tastes) -> tuple[Floats, Floats]:
    """Compute μ ``(I, J)`` and ∂μ/∂θ ``(I, J, P)`` of one market."""
    mu = np.zeros((draws.shape[0], X2.shape[1]))
    by_theta = np.zeros((*mu.shape, tastes.rows.size))
    for i in range(draws.shape[0]):
        for k in range(X2.shape[0]):
            g, slope = coefficient(tastes.loadings[k] @ draws[i], tastes.types[k])
            mu[i] += g * X2[k]
            for p in np.flatnonzero(tastes.rows == k):
                by_theta[i, :, p] = slope * draws[i, tastes.columns[p]] * X2[k]
    return mu, by_theta


def log_probabilities(mu: Floats, delta: Floats) -> Floats:
    """Compute log P ``(I, J)`` by log-sum-exp with the outside good."""
    utilities = np.concatenate([np.zeros((mu.shape[0], 1)), mu + delta], axis=1)
    highest = utilities.max(axis=1, keepdims=True)
    total = np.log(np.exp(utilities - highest).sum(axis=1, keepdims=True))
    return (utilities - highest - total)[:, 1:]


def shares(block: MarketBlock, tastes: Tastes, delta: Floats) -> Floats:
    """Compute s(δ, θ) ``(N,)``."""
    answer = np.empty(block.n_products)
    for products, agents in markets(block):
        mu, _ = deviations(block.X2[:, products], block.draws[agents], tastes)
        P = np.exp(log_probabilities(mu, delta[products]))
        answer[products] = block.weights[agents] @ P
    return answer


def log_share_slopes(
    mu: Floats, by_theta: Floats, weights: Floats, delta: Floats
) -> tuple[Floats, Floats, Floats]:
    """Compute s, ∂s/∂δ' and ∂s/∂θ of one market, agent by agent."""
    P = np.exp(log_probabilities(mu, delta))
    A = np.zeros((delta.size, delta.size))
    s_by_theta = np.zeros((delta.size, by_theta.shape[2]))
    for w, p, d in zip(weights, P, by_theta, strict=True):
        A += w * (np.diag(p) - np.outer(p, p))
        s_by_theta += w * p[:, None] * (d - p @ d)
    return weights @ P, A, s_by_theta


def invert(
    block: MarketBlock, tastes: Tastes, start: Floats
) -> tuple[Floats, Floats, Floats]:
    """Solve for δ ``(N,)`` and compute ∂δ/∂θ ``(N, P)`` and s(δ) ``(N,)``."""
    delta = start.copy()
    delta_by_theta = np.zeros((delta.size, tastes.rows.size))
    for products, agents in markets(block):
        mu, by_theta = deviations(block.X2[:, products], block.draws[agents], tastes)
        weights, log_S = block.weights[agents], block.log_shares[products]
        solution = solve_market(mu, weights, log_S, start[products])
        _, A, s_by_theta = log_share_slopes(mu, by_theta, weights, solution)
        delta[products] = solution
        delta_by_theta[products] = -np.linalg.solve(A, s_by_theta)
    return delta, delta_by_theta, shares(block, tastes, delta)


def solve_market(mu: Floats, weights: Floats, log_S: Floats, delta: Floats) -> Floats:
    """Solve one market by Newton, a quarter of a step wherever a whole one is worse."""
    none = np.zeros((*mu.shape, 0))
    last = np.inf
    for _ in range(500):
        s, A, _ = log_share_slopes(mu, none, weights, delta)
        residual = log_S - np.log(s)
        step = np.linalg.solve(A / s[:, None], residual)
        scale = 1.0
        while scale > 1e-4:
            trial = delta + scale * step
            P = np.exp(log_probabilities(mu, trial))
            with np.errstate(invalid="ignore", divide="ignore"):
                worse = np.abs(log_S - np.log(weights @ P)).max()
            if worse < np.abs(residual).max():
                break
            scale /= 4
        size = np.abs(step).max()
        if size < 1e-9 and size >= last:
            return delta
        delta, last = delta + scale * step, size
    return delta


def finite_differences(
    block: MarketBlock, tastes: Tastes, start: Floats, h: float = 1e-5
) -> Floats:
    """Compute ∂δ/∂θ ``(N, P)`` by central differences of the solution."""
    columns = []
    for k, el in zip(tastes.rows, tastes.columns, strict=True):
        ends = []
        for sign in (1, -1):
            loadings = tastes.loadings.copy()
            loadings[k, el] += sign * h
            ends.append(invert(block, replace(tastes, loadings=loadings), start)[0])
        columns.append((ends[0] - ends[1]) / (2 * h))
    return np.array(columns).T.reshape(start.size, tastes.rows.size)
