"""What expectation maximisation of latent classes needs of blocks of people.

At θ, with h_iq the share of class q given what person i chose, what is maximised is

    Σ_i w_i Σ_q h_iq (log π_iq(γ) + log P_iq(β_q)):

a logit of classes and Q logits of choices, each of weights w_i h_iq (Bhat 1997; Train
2009, 14.3). Its slope at θ is that of the log-likelihood; its curvature, information of
all weighted logits

    Σ_i w_i h_iq Σ_t Σ_j P_ijt (x_ijt - x̄_it)(x_ijt - x̄_it)',   x̄_it = Σ_j P_ijt x_ijt,
    Σ_i w_i (diag π_i - π_i π_i') ⊗ D_i D_i',

is positive semi-definite wherever θ is. Many starts θ are worked on in one pass.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..model.latent_classes import (
    ClassedBlock,
    ClassParameters,
    LatentClasses,
    log_class_shares,
    mix_classes,
)
from ..records import Floats, Integers


@dataclass(frozen=True, slots=True, eq=False)
class StepState:
    """Classes without random coefficients, and ``thetas`` ``(M, P)`` of M starts."""

    classes: LatentClasses
    thetas: Floats


@dataclass(frozen=True, slots=True, eq=False)
class ClassSteps:
    """What a block adds at M starts.

    Attributes
    ----------
    log_likelihoods
        ``(M,)`` Σ_i w_i log P_i.
    scores
        ``(M, P)`` its derivatives.
    informations
        ``(M, P, P)`` curvature, with its sign changed, of what is maximised.
    """

    log_likelihoods: Floats
    scores: Floats
    informations: Floats


@dataclass(frozen=True, slots=True, eq=False)
class _Logits:
    """Q logits: P ``(N, Q)``, and log P_iq ``(I, Q)`` of what people chose."""

    P: Floats
    logs: Floats


def class_steps_pass(
    block: ClassedBlock, state: StepState, memory: None
) -> tuple[ClassSteps, None]:
    """Sum log-likelihoods, slopes and curvatures: what an engine maps over blocks."""
    del memory
    with np.errstate(over="ignore", invalid="ignore"):  # counted by who steps
        found = [_sum_start(block, state.classes, theta) for theta in state.thetas]
    return ClassSteps(
        log_likelihoods=np.array([one[0] for one in found]),
        scores=np.array([one[1] for one in found]),
        informations=np.array([one[2] for one in found]),
    ), None


def _sum_start(
    block: ClassedBlock, classes: LatentClasses, theta: Floats
) -> tuple[float, Floats, Floats]:
    """Sum over people at one start."""
    parameters = classes.split(theta)
    rows = np.repeat(np.arange(block.chosen.size), np.diff(block.situation_offsets))
    logits = _compute_logits(block, rows, parameters)
    log_shares = log_class_shares(parameters.gamma, block.membership)
    logs, h = mix_classes(log_shares, logits.logs)
    weighted = block.weights[:, None] * h
    score, information = np.zeros(classes.size), np.zeros((classes.size,) * 2)
    _add_choices(block, rows, logits.P, weighted, classes, score, information)
    _add_shares(block, np.exp(log_shares), h, classes, score, information)
    return float(block.weights @ logs), score, information


def _compute_logits(
    block: ClassedBlock, rows: Integers, parameters: ClassParameters
) -> _Logits:
    """Compute probabilities in all classes, ``rows`` ``(N,)`` being situations."""
    firsts = block.situation_offsets[:-1]
    V = block.X @ parameters.own.T
    top = np.maximum.reduceat(V, firsts, axis=0)
    V -= top[rows]
    chosen = V[block.chosen]
    P = np.exp(V, out=V)
    totals = np.add.reduceat(P, firsts, axis=0)
    P /= totals[rows]
    logs = np.add.reduceat(chosen - np.log(totals), block.person_offsets[:-1], axis=0)
    return _Logits(P=P, logs=logs)


def _add_choices(
    block: ClassedBlock,
    rows: Integers,
    P: Floats,
    weights: Floats,
    classes: LatentClasses,
    score: Floats,
    information: Floats,
) -> None:
    """Add slopes and curvatures of Q logits of weights ``(I, Q)``."""
    of_situations = np.repeat(weights, np.diff(block.person_offsets), axis=0)
    X, free = block.X, classes.places >= 0
    for q, places in enumerate(classes.places):
        here, own = places[free[q]], X[:, free[q]]
        w, weighted = of_situations[:, q], P[:, q, None] * own
        means = np.add.reduceat(weighted, block.situation_offsets[:-1], axis=0)
        score[here] += w @ (own[block.chosen] - means)
        second = own.T @ (w[rows, None] * weighted) - means.T @ (w[:, None] * means)
        information[np.ix_(here, here)] += second


def _add_shares(
    block: ClassedBlock,
    shares: Floats,
    h: Floats,
    classes: LatentClasses,
    score: Floats,
    information: Floats,
) -> None:
    """Add slope and curvature of the logit of classes."""
    D = block.membership
    weighted = block.weights[:, None] * D
    for q, places in enumerate(classes.gamma_places):
        score[places] += (h - shares)[:, q] @ weighted
        for r, others in enumerate(classes.gamma_places):
            w = shares[:, q] * ((q == r) - shares[:, r])
            information[np.ix_(places, others)] += D.T @ (w[:, None] * weighted)
