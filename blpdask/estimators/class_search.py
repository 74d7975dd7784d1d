"""Expectation maximisation of latent classes from many starts at once.

A step is one of Newton's method on what expectation maximisation maximises, from θ on:

    θ⁺ = θ + I(θ)⁻¹ s(θ),

with s the score of the log-likelihood and I the information of weighted logits
(:mod:`blpdask.moments.class_steps`): near a maximum it does what a full maximisation
does (Lange 1995), for one pass over blocks. A step is halved until the log-likelihood
does not fall, so that it rises from step to step. Parameters that classes share, or
that are zero in some, are no special case.

Likelihoods of latent classes have many maxima. All starts are followed for some passes,
then the best of them until steps gain next to nothing.

References
----------
Lange, "A gradient algorithm locally equivalent to the EM algorithm", JRSS B 57 (1995).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..driver.engine import Placement
from ..model.latent_classes import LatentClasses
from ..moments.class_steps import ClassSteps, StepState, class_steps_pass
from ..progress import EvaluationEvent, Listener
from ..records import Floats

#: Passes for all starts, and for the best of them.
FIRST_PASSES = 25
LAST_PASSES = 500
#: The best of M starts are M over this, and at least so many.
KEPT_PART = 4
KEPT_LEAST = 4
#: A step that gains less, relative to the log-likelihood, is the last.
GAIN = 1e-9
#: Information of parameters of classes that nobody is in.
VANISHING = 1e-200
#: A step that is halved more often is the last.
HALVINGS = 20


@dataclass(frozen=True, slots=True, eq=False)
class Climber:
    """One start and where it has come.

    Attributes
    ----------
    theta
        ``(P,)`` highest so far; at first the start.
    step
        ``(P,)`` from there.
    scale
        Part of the step that is tried next.
    path
        Log-likelihoods where it has been, none lower than that before.
    done
        Whether it goes no further.
    """

    theta: Floats
    step: Floats
    scale: float = 1.0
    path: tuple[float, ...] = ()
    done: bool = False

    @property
    def log_likelihood(self) -> float:
        """Highest so far; -∞ where the start has none."""
        return self.path[-1] if self.path else -np.inf

    @property
    def tried(self) -> Floats:
        """Where it looks next."""
        return self.theta + self.scale * self.step


def search_classes(
    placement: Placement,
    classes: LatentClasses,
    starts: Floats,
    *,
    listener: Listener,
) -> list[Climber]:
    """Climb from many starts, and give them with the highest first.

    Parameters
    ----------
    placement
        Blocks of people, of :class:`blpdask.model.latent_classes.ClassedBlock`.
    classes
        Classes without random coefficients.
    starts
        ``(M, P)``.
    listener
        Told of every pass, of the highest start as yet.

    Returns
    -------
    list of Climber
        All starts; those that were not followed to their end are not ``done``.
    """
    climbers = [Climber(theta, np.zeros_like(theta)) for theta in starts]
    passes = _Passes(placement, classes, listener)
    climbers = passes.follow(climbers, FIRST_PASSES)
    kept = max(KEPT_LEAST, -(-len(climbers) // KEPT_PART))
    return _sorted([*passes.follow(climbers[:kept], LAST_PASSES), *climbers[kept:]])


def distinct(climbers: Sequence[Climber], most: int) -> list[Climber]:
    """Choose the highest ends that are not one maximum by their heights."""
    chosen: list[Climber] = []
    for one in climbers:
        apart = [abs(one.log_likelihood - other.log_likelihood) for other in chosen]
        if np.isfinite(one.log_likelihood) and min(apart, default=np.inf) > 1e-2:
            chosen.append(one)
    return chosen[:most]


class _Passes:
    """Passes over blocks, which move climbers and are told of."""

    def __init__(
        self, placement: Placement, classes: LatentClasses, listener: Listener
    ) -> None:
        self._placement = placement
        self._classes = classes
        self._listener = listener
        self._count = 0

    def follow(self, climbers: list[Climber], limit: int) -> list[Climber]:
        """Move climbers until all are done, ``limit`` times at most, and sort them."""
        for _ in range(limit):
            places = [m for m, one in enumerate(climbers) if not one.done]
            if not places:
                break
            began = time.perf_counter()
            state = StepState(
                self._classes, np.array([climbers[m].tried for m in places])
            )
            sums: ClassSteps = self._placement.reduce(class_steps_pass, state)
            self._count += 1
            for n, m in enumerate(places):
                climbers[m] = _judge(climbers[m], sums, n)
            self._tell(climbers, sums, time.perf_counter() - began)
        return _sorted(climbers)

    def _tell(self, climbers: list[Climber], sums: ClassSteps, seconds: float) -> None:
        best = max(climbers, key=lambda one: one.log_likelihood)
        failed = int((~np.isfinite(sums.log_likelihoods)).sum())
        self._listener(
            EvaluationEvent(
                step=0,
                start=0,
                number=self._count,
                iterations=self._count,
                objective=-best.log_likelihood,
                gradient_norm=np.nan,
                best=False,
                seconds=seconds,
                share_maps=0,
                markets_failed=failed,
                theta=tuple(best.theta.tolist()),
            )
        )


def _sorted(climbers: list[Climber]) -> list[Climber]:
    return sorted(climbers, key=lambda one: -one.log_likelihood)


def _judge(climber: Climber, sums: ClassSteps, place: int) -> Climber:
    """Take what was tried where it is no lower, and halve the step where it is."""
    value = float(sums.log_likelihoods[place])
    score, information = sums.scores[place], sums.informations[place]
    finite = np.isfinite(value) and np.isfinite(score).all()
    finite = finite and bool(np.isfinite(information).all())
    if not finite or value < climber.log_likelihood:
        hopeless = not climber.path or climber.scale < 0.5**HALVINGS
        return replace(climber, scale=climber.scale / 2.0, done=hopeless)
    gain = value - climber.log_likelihood
    return Climber(
        theta=climber.tried,
        step=_solve(information, score),
        path=(*climber.path, value),
        done=bool(gain <= GAIN * abs(value)),
    )


def _solve(information: Floats, score: Floats) -> Floats:
    """Compute I⁻¹ s, the shortest where I is singular; classes without people stay."""
    diagonal = np.diag(information)
    told = diagonal > VANISHING
    scale = np.where(told, 1.0 / np.sqrt(np.where(told, diagonal, 1.0)), 0.0)
    scaled = information * np.outer(scale, scale)
    step, *_ = np.linalg.lstsq(scaled, scale * score, rcond=1e-10)
    return np.asarray(scale * step)
