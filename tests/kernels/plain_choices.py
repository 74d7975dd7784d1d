"""Simulated probabilities of choices by their formulas, and people who choose.

    P_i(θ) = (1/R) Σ_r Π_t exp(x_ct'β_ir) / Σ_j exp(x_jt'β_ir),

one person, draw and situation after another, in logarithms. No function of the package
computes anything here.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
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
    )


def loadings_of(mixed: MixedCoefficients, theta: Floats) -> Floats:
    """Read Λ ``(K, D)`` off θ, entry by entry."""
    K = len(mixed.labels)
    random = [k for k in range(K) if mixed.kinds[k] != "fixed"]
    found = np.zeros((K, len(random)))
    rest = list(theta[K:])
    for d, k in enumerate(random):
        for c in range(d + 1) if mixed.correlated else [d]:
            found[k, c] = rest.pop(0)
    assert not rest
    return found


def plain_log_probabilities(
    block: ChoiceBlock, mixed: MixedCoefficients, theta: Floats
) -> Floats:
    """Compute log P_i ``(I,)`` by the formulas above."""
    K, loadings = len(mixed.labels), loadings_of(mixed, theta)
    found = []
    for i in range(block.weights.size):
        logs = []
        for z in block.draws[i]:
            beta = theta[:K] + loadings @ z
            for k, kind in enumerate(mixed.kinds):
                beta[k] = SHAPES.get(kind, lambda eta: eta)(beta[k])
            total = 0.0
            for t in range(block.person_offsets[i], block.person_offsets[i + 1]):
                rows = slice(block.situation_offsets[t], block.situation_offsets[t + 1])
                total += block.X[block.chosen[t]] @ beta
                total -= log_sum(block.X[rows] @ beta)
            logs.append(total)
        found.append(log_sum(logs) - math.log(len(logs)))
    return np.array(found)


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
