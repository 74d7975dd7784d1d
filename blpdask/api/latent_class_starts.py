"""Where searches for latent classes begin: at the logit, its coefficients scattered.

Coefficients of class q start at

    β_qk = β⁰_k U(0.3, 1.7),

β⁰ those of the logit, and classes at equal shares. Classes of mixed logits start at the
ends of the best searches for classes of logits, with moderate spreads
(:mod:`.choice_starts`): expectation maximisation looks for classes, and what varies
within them comes after.
"""

from __future__ import annotations

import warnings

import numpy as np

from ..choice_records import CENTRED, MixedCoefficients
from ..driver.cores import single_threaded_libraries
from ..driver.engine import Engine
from ..errors import DataWarning, NumericalError
from ..estimators.class_search import Climber, distinct, search_classes
from ..model.latent_classes import ClassParameters, LatentClasses, average_shares
from ..partitions.source import BlockSource
from ..problem.choice_table import ChoiceTable
from ..progress import Listener, StepEvent
from ..records import Floats, Integers
from .choice_starts import start_at

#: Bounds of the factors by which coefficients of classes start off the logit's.
SCATTER = (0.3, 1.7)


def plain_classes(classes: LatentClasses) -> LatentClasses:
    """Give the same classes with coefficients that do not vary within them."""
    mixed = classes.coefficients
    K, free = len(mixed.labels), mixed.free.tolist()
    column = dict(enumerate(free))
    centred = [k for k, kind in enumerate(mixed.kinds) if kind in CENTRED]
    every = range(classes.n_classes)
    zeros = [(q, column[c]) for q, c in classes.zeros if c in column]
    return LatentClasses(
        coefficients=MixedCoefficients(mixed.labels, ("fixed",) * K),
        n_classes=classes.n_classes,
        membership=classes.membership,
        shared=tuple(column[c] for c in classes.shared if c in column),
        zeros=tuple(sorted({*zeros, *((q, k) for q in every for k in centred)})),
    )


def climb_classes(
    source: BlockSource,
    classes: LatentClasses,
    *,
    starts: int,
    seed: int,
    engine: Engine,
    listener: Listener,
) -> list[Climber]:
    """Search for classes of logits from many starts; the highest ends come first.

    Parameters
    ----------
    source
        Blocks of people with D.
    classes
        Without random coefficients.
    starts, seed
        How many, and of which scatter.
    engine, listener
        Where blocks are worked on, and who is told.

    Raises
    ------
    NumericalError
        Where no start has a finite likelihood.
    """
    one = LatentClasses(
        classes.coefficients,
        1,
        classes.membership,
        zeros=_zero_everywhere(classes),
    )
    with single_threaded_libraries():
        placement = engine.place(source)
        placement.listen(listener)
        try:
            listener(StepEvent(0, "Estimating the logit"))
            (logit,) = search_classes(
                placement, one, np.zeros((1, one.size)), listener=listener
            )
            _check_finite(logit)
            beta = one.split(logit.theta).own[0]
            listener(StepEvent(0, f"Searching for classes from {starts} starts"))
            scattered = scatter(classes, beta, starts, seed)
            found = search_classes(placement, classes, scattered, listener=listener)
        finally:
            placement.close()
    _check_finite(found[0])
    return found


def scatter(classes: LatentClasses, beta: Floats, starts: int, seed: int) -> Floats:
    """Draw starts ``(M, P)`` around the logit's coefficients ``(K,)``."""
    rng = np.random.default_rng(np.random.SeedSequence(seed))
    Q, M = classes.n_classes, len(classes.membership)
    factors = rng.uniform(*SCATTER, (starts, Q, beta.size))
    return np.array(
        [classes.join(ClassParameters(beta * own, np.zeros((Q, M)))) for own in factors]
    )


def polished_starts(
    climbers: list[Climber],
    classes: LatentClasses,
    plain: LatentClasses,
    *,
    most: int,
    ordered: bool,
    table: ChoiceTable,
    membership: Floats,
) -> list[Floats]:
    """Make starts ``(P,)`` of a search for a maximum, of the best ends of climbs.

    Parameters
    ----------
    climbers
        Ends, highest first.
    classes, plain
        How classes differ, and without random coefficients.
    most
        How many starts at most.
    ordered
        Whether the largest class is to come first.
    table, membership
        The choices, and D ``(I, M)``.
    """
    chosen = []
    for climber in distinct(climbers, most):
        theta = climber.theta
        if ordered:
            order = order_classes(plain, theta, table, membership)
            theta = plain.reorder(order) @ theta
        parameters = plain.split(theta)
        factors = np.linspace(0.5, 1.5, classes.n_classes)
        pairs = zip(parameters.own, factors, strict=True)
        own = np.array([_spread(b, f, classes, table) for b, f in pairs])
        chosen.append(classes.join(ClassParameters(own, parameters.gamma)))
    return chosen


def order_classes(
    classes: LatentClasses, theta: Floats, table: ChoiceTable, membership: Floats
) -> Integers:
    """Sort classes by their shares, the largest first, ``(Q,)``."""
    gamma = classes.split(theta).gamma
    shares = average_shares(gamma, membership, table.weights)
    return np.argsort(-shares, kind="stable")


def _zero_everywhere(classes: LatentClasses) -> tuple[tuple[int, int], ...]:
    """Find what is zero in all classes."""
    places = np.flatnonzero((classes.places < 0).all(axis=0)).tolist()
    return tuple((0, c) for c in places)


def _spread(
    beta: Floats, factor: float, classes: LatentClasses, table: ChoiceTable
) -> Floats:
    """Make starting values ``(C,)`` of a class of its means ``(K,)``.

    Spreads are multiplied by a ``factor`` of the class, for classes that were alike
    would remain so.
    """
    if not classes.coefficients.random.size:
        return beta
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)  # of signs, in some class
        values = start_at(beta, classes.coefficients, table)
    first = classes.coefficients.size - len(classes.coefficients.entries)
    values[first:] *= factor
    return values


def _check_finite(climber: Climber) -> None:
    if not np.isfinite(climber.log_likelihood):
        raise NumericalError(
            "found: log-likelihoods that are not finite at every start\n"
            "  expected: finite ones\n"
            "  what to do: scale characteristics to the order of one"
        )
