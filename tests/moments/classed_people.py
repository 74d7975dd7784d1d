"""People of latent classes, and their likelihoods by plain formulas."""

from __future__ import annotations

import math
from dataclasses import fields, replace

import numpy as np

from blpdask.choice_records import ChoiceBlock, MixedCoefficients
from blpdask.model.latent_classes import ClassedBlock, LatentClasses
from blpdask.records import Floats
from tests.kernels.plain_choices import (
    draw_people,
    log_sum,
    plain_log_probabilities,
)

FIXED = MixedCoefficients(("a", "b", "c"), ("fixed",) * 3)
MIXED = MixedCoefficients(("a", "b", "c"), ("fixed", "normal", "lognormal"), True)
#: Of both kinds of coefficients: all free, some shared, and some zero in some classes.
KINDS = {
    "logits": LatentClasses(FIXED, 3),
    "membership": LatentClasses(FIXED, 3, ("1", "age")),
    "shared": LatentClasses(FIXED, 3, ("1", "age"), shared=(1,)),
    "zeros": LatentClasses(FIXED, 2, ("1", "age"), (2,), ((0, 0), (1, 1))),
    "mixed": LatentClasses(MIXED, 2, ("1", "age")),
    "mixed, shared, zeros": LatentClasses(MIXED, 3, ("1",), (0, 4), ((1, 1), (1, 3))),
    "one": LatentClasses(FIXED, 1, ("1", "age")),
}


def classed(block: ChoiceBlock, membership: Floats) -> ClassedBlock:
    """Give people their D."""
    parts = {item.name: getattr(block, item.name) for item in fields(ChoiceBlock)}
    return ClassedBlock(**parts, membership=membership)


def people_of(
    classes: LatentClasses, n_people: int = 12, seed: int = 0
) -> ClassedBlock:
    """Draw people, with a constant and further columns of D."""
    D = classes.coefficients.random.size
    block = draw_people(n_people, 3, D, 17 if D else 1, seed=seed)
    ages = np.random.default_rng(seed).normal(size=(n_people, 3))
    ages[:, 0] = 1.0
    return classed(block, ages[:, : len(classes.membership)])


def some_theta(classes: LatentClasses, seed: int = 5) -> Floats:
    return np.random.default_rng(seed).normal(size=classes.size) * 0.7


def plain_logs(block: ClassedBlock, classes: LatentClasses, theta: Floats) -> Floats:
    """Compute log P_i ``(I,)`` one person after another."""
    rest = list(theta)
    C, Q = classes.coefficients.size, classes.n_classes
    common = {c: rest.pop(0) for c in classes.shared}
    own = [
        [
            common[c]
            if c in common
            else 0.0
            if (q, c) in classes.zeros
            else rest.pop(0)
            for c in range(C)
        ]
        for q in range(Q)
    ]
    gamma = [[rest.pop(0) for _ in classes.membership] for _ in range(Q - 1)]
    assert not rest
    logs = [
        plain_log_probabilities(block, classes.coefficients, np.array(one))
        for one in own
    ]
    found = []
    for i, d in enumerate(block.membership):
        odds = [math.exp(np.dot(d, g)) for g in gamma] + [1.0]
        joint = [
            math.log(odd / sum(odds)) + log[i]
            for odd, log in zip(odds, logs, strict=True)
        ]
        found.append(log_sum(np.array(joint)))
    return np.array(found)


def unweighted(block: ClassedBlock) -> ClassedBlock:
    return replace(block, weights=np.ones(block.n_people))
