"""Simulated probabilities of choices by their formulas, and people who choose.

    P_i(θ) = (1/R) Σ_r Π_t exp(x_ct'β_ir) / Σ_j exp(x_jt'β_ir),

one person, draw and situation after another, in logarithms. No function of the package
computes anything here.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from scipy import stats
from scipy.special import expit

from blpdask.choice_records import ChoiceBlock, MixedCoefficients
from blpdask.records import Floats

SHAPES = {
    "lognormal": np.exp,
    "censored": lambda eta: np.maximum(eta, 0.0),
    "johnson": expit,
}


def draw_people(
    n_people: int,
    K: int,
    D: int,
    R: int,
    *,
    seed: int = 0,
    scale: float = 1.0,
    situations: tuple[int, int] = (1, 6),
    alternatives: tuple[int, int] = (1, 6),
    M: int = 0,
) -> ChoiceBlock:
    """Draw people with few or many situations of few or many alternatives."""
    rng = np.random.default_rng(seed)
    T = rng.integers(*situations, n_people, endpoint=True)
    J = rng.integers(*alternatives, T.sum(), endpoint=True)
    offsets = np.concatenate([[0], np.cumsum(J)])
    return ChoiceBlock(
        X=scale * rng.normal(size=(J.sum(), K)),
        chosen=offsets[:-1] + rng.integers(0, J),
        situation_offsets=offsets,
        person_offsets=np.concatenate([[0], np.cumsum(T)]),
        weights=rng.uniform(0.5, 2.0, n_people),
        draws=rng.normal(size=(n_people, R, D)),
        demographics=rng.normal(size=(n_people if M else 0, M)),
    )


def plain_coefficients(
    mixed: MixedCoefficients, theta: Floats, z: Floats, d: Floats
) -> Floats:
    """Compute β ``(K,)`` of one draw z of a person with demographics d."""
    rest = list(theta)
    means = [
        0.0 if kind in ("exponential", "component") else rest.pop(0)
        for kind in mixed.kinds
    ]
    for k, m in mixed.shifted:
        means[k] += rest.pop(0) * d[m]
    random = [k for k, kind in enumerate(mixed.kinds) if kind != "fixed"]
    together = mixed.correlated
    groups = [random] if together is True else list(together or [])
    beta = np.array(means)
    for own, k in enumerate(random):
        for of, other in enumerate(random[: own + 1]):
            apart = "truncated" in (mixed.kinds[k], mixed.kinds[other])
            joint = any(k in group and other in group for group in groups)
            if own == of or (joint and not apart):
                spread = rest.pop(0)
                beta[k] += spread * z[of]
        if mixed.kinds[k] == "truncated":
            inside = stats.truncnorm(-means[k] / abs(spread), np.inf)
            beta[k] = means[k] + abs(spread) * inside.isf(stats.norm.sf(z[own]))
    for k, kind in enumerate(mixed.kinds):
        beta[k] = SHAPES.get(kind, lambda eta: eta)(beta[k])
    if mixed.scale == "scale":
        tau = rest.pop(0)
        beta = beta * math.exp(tau * z[-1] - tau**2 / 2)
    elif mixed.scale:
        s = mixed.labels.index(mixed.scale)
        beta = np.where(np.arange(beta.size) == s, beta, beta * beta[s])
    assert not rest
    return beta


def plain_draw_logs(
    block: ChoiceBlock, mixed: MixedCoefficients, theta: Floats
) -> list[list[float]]:
    """Compute log(w_ir p_ir) of every person and draw."""
    found = []
    for i in range(block.weights.size):
        logs = []
        draws = block.draws[i if len(block.draws) > 1 else 0]
        d = block.demographics[i] if len(block.demographics) else np.empty(0)
        for r, z in enumerate(draws):
            beta = plain_coefficients(mixed, theta, z, d)
            total = 0.0
            if len(block.log_weights):
                total += block.log_weights[i if len(block.log_weights) > 1 else 0][r]
            for t in range(block.person_offsets[i], block.person_offsets[i + 1]):
                rows = slice(block.situation_offsets[t], block.situation_offsets[t + 1])
                total += block.X[block.chosen[t]] @ beta
                total -= log_sum(block.X[rows] @ beta)
            logs.append(total)
        found.append(logs)
    return found


def plain_log_probabilities(
    block: ChoiceBlock, mixed: MixedCoefficients, theta: Floats
) -> Floats:
    """Compute log P_i ``(I,)`` by the formulas above."""
    logs = plain_draw_logs(block, mixed, theta)
    return np.array([log_sum(own) - math.log(len(own)) for own in logs])


def log_sum(values: Floats) -> float:
    """Compute log Σ e^v."""
    top = float(np.max(values))
    return top + math.log(np.exp(np.asarray(values) - top).sum())


def choose(block: ChoiceBlock, beta: Floats, seed: int) -> ChoiceBlock:
    """Let people of coefficients ``(I, K)`` choose what they like best."""
    rng = np.random.default_rng(seed)
    T = np.diff(block.person_offsets)
    J = np.diff(block.situation_offsets)
    utilities = (block.X * np.repeat(np.repeat(beta, T, axis=0), J, axis=0)).sum(axis=1)
    utilities += rng.gumbel(size=utilities.size)
    parts = np.split(utilities, block.situation_offsets[1:-1])
    best = np.array([part.argmax() for part in parts])
    return replace(block, chosen=block.situation_offsets[:-1] + best)
