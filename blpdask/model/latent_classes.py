"""Latent classes of people: where their parameters stand in θ, and their shares.

Tastes of person i are those of class q with probability

    π_iq = e^{D_i'γ_q} / Σ_r e^{D_i'γ_r},   γ of the last class zero,

and P_i = Σ_q π_iq P_iq(θ_q), with P_iq the probability of all choices of the person in
class q (Kamakura and Russell 1989; Train 2009, 14.3). θ are the parameters that all
classes share, then the others of each class in turn, then γ class by class.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from ..choice_records import ChoiceBlock, MixedCoefficients
from ..records import Floats, Integers


@dataclass(frozen=True, slots=True, eq=False)
class ClassedBlock(ChoiceBlock):
    """People with what tells their classes: ``membership`` ``(I, M)`` D."""

    membership: Floats = field(default_factory=lambda: np.empty((0, 0)))


@dataclass(frozen=True, slots=True, eq=False)
class ClassParameters:
    """θ by class: ``own`` ``(Q, C)`` and ``gamma`` ``(Q, M)``, zero of the last."""

    own: Floats
    gamma: Floats


@dataclass(frozen=True)
class LatentClasses:
    """How classes differ, and where parameters stand in θ.

    Attributes
    ----------
    coefficients
        Of each class: C parameters.
    n_classes
        Q.
    membership
        ``(M,)`` names of the columns of D.
    shared
        Places, among the C, of parameters that all classes have in common.
    zeros
        Pairs of a class, from zero on, and a place of a parameter that is zero in it.
    """

    coefficients: MixedCoefficients
    n_classes: int
    membership: tuple[str, ...] = ("1",)
    shared: tuple[int, ...] = ()
    zeros: tuple[tuple[int, int], ...] = ()

    @cached_property
    def places(self) -> Integers:
        """Place in θ of each parameter of each class, -1 where it is zero, (Q, C)."""
        Q, C = self.n_classes, self.coefficients.size
        found = np.full((Q, C), -1, np.int64)
        found[:, list(self.shared)] = np.arange(len(self.shared))
        taken = len(self.shared)
        for q in range(Q):
            for c in range(C):
                if c not in self.shared and (q, c) not in self.zeros:
                    found[q, c] = taken
                    taken += 1
        return found

    @cached_property
    def gamma_places(self) -> Integers:
        """Place in θ of γ of all classes but the last, ``(Q - 1, M)``."""
        first = int(self.places.max(initial=-1)) + 1
        shape = self.n_classes - 1, len(self.membership)
        return first + np.arange(shape[0] * shape[1], dtype=np.int64).reshape(shape)

    @property
    def size(self) -> int:
        """Count the parameters, P."""
        return int(self.places.max(initial=-1)) + 1 + self.gamma_places.size

    @cached_property
    def parameter_labels(self) -> tuple[str, ...]:
        """Name the parameters, ``(P,)``."""
        names = [""] * self.size
        for c, label in enumerate(self.coefficients.parameter_labels):
            for q, place in enumerate(self.places[:, c].tolist()):
                if place >= 0:
                    apart = c not in self.shared
                    names[place] = f"class{q + 1}.{label}" if apart else label
        for q, places in enumerate(self.gamma_places.tolist()):
            for label, place in zip(self.membership, places, strict=True):
                names[place] = f"share{q + 1}.{label}"
        return tuple(names)

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kinds of the coefficients of a class, ``(K,)``."""
        return self.coefficients.kinds

    @property
    def random(self) -> Integers:
        """Places of the coefficients that vary within classes, ``(D,)``."""
        return self.coefficients.random

    @property
    def correlated(self) -> bool:
        """Whether coefficients of all people have one covariance matrix: never."""
        return False

    @property
    def in_wtp(self) -> bool:
        """Whether coefficients are in willingness-to-pay space: never."""
        return False

    def split(self, theta: Floats) -> ClassParameters:
        """Read θ ``(P,)`` class by class."""
        own = np.where(self.places >= 0, theta[self.places], 0.0)
        gamma = np.zeros((self.n_classes, len(self.membership)))
        gamma[:-1] = theta[self.gamma_places]
        return ClassParameters(own=own, gamma=gamma)

    def join(self, parameters: ClassParameters) -> Floats:
        """Make θ ``(P,)``; what classes share is the average over them."""
        theta = np.zeros(self.size)
        free = self.places >= 0
        np.add.at(theta, self.places[free], parameters.own[free])
        counts = np.bincount(self.places[free], minlength=self.size)
        theta /= np.maximum(counts, 1)
        theta[self.gamma_places] = (parameters.gamma - parameters.gamma[-1])[:-1]
        return theta

    def signs(
        self, theta: Floats, of: Callable[[MixedCoefficients, Floats], Floats]
    ) -> Floats:
        """Give the signs ``(P,)`` with which parameters are shown, class by class.

        ``of`` says what those of a class are.
        """
        own = self.split(theta).own
        found = np.ones(self.size)
        free = self.places >= 0
        signs = np.array([of(self.coefficients, one) for one in own])
        found[self.places[free]] = signs[free]
        return found

    def reorder(self, order: Integers) -> Floats:
        """Give the matrix ``(P, P)`` that turns θ into that of reordered classes.

        Parameters
        ----------
        order
            ``(Q,)`` which class comes first, which next, and so on; in none may a
            parameter be zero.
        """
        columns = []
        for one in np.eye(self.size):
            at = self.split(one)
            columns.append(self.join(ClassParameters(at.own[order], at.gamma[order])))
        return np.array(columns).T


def log_class_shares(gamma: Floats, membership: Floats) -> Floats:
    """Compute log π ``(I, Q)`` of γ ``(Q, M)`` and D ``(I, M)``.

    Examples
    --------
    >>> shares = log_class_shares(np.array([[np.log(3.0)], [0.0]]), np.ones((1, 1)))
    >>> np.exp(shares).round(12).tolist()
    [[0.75, 0.25]]
    """
    V = membership @ gamma.T
    V = V - V.max(axis=1, keepdims=True)
    return np.asarray(V - np.log(np.exp(V).sum(axis=1, keepdims=True)))


def average_shares(gamma: Floats, membership: Floats, weights: Floats) -> Floats:
    """Average π over people of D ``(I, M)`` and w ``(I,)``: shares ``(Q,)``."""
    shares = np.exp(log_class_shares(gamma, membership))
    return np.asarray(weights @ shares / weights.sum())


def mix_classes(log_shares: Floats, logs: Floats) -> tuple[Floats, Floats]:
    """Compute log P_i ``(I,)`` and posterior shares h_iq = π_iq P_iq / P_i ``(I, Q)``.

    Parameters
    ----------
    log_shares, logs
        ``(I, Q)`` log π_iq and log P_iq.
    """
    joint = log_shares + logs
    top = joint.max(axis=1, keepdims=True)
    with np.errstate(invalid="ignore"):  # where all classes' probabilities are none
        total = top + np.log(np.exp(joint - top).sum(axis=1, keepdims=True))
        return total[:, 0], np.exp(joint - total)
