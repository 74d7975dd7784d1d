"""Simulated probabilities of what people chose, in arrays of NumPy and CuPy.

Equations are those of :mod:`blpdask.kernels.loop_choices`. People with like numbers of
situations and alternatives are padded to one shape, so that utilities of B people at
some draws are one product of matrices,

    U (B, T J, r) = X̃ (B, T J, K) β (B, K, r);

what is padded has probability zero. Draws are worked on some at a time, relative to the
largest log p_ir so far (log-sum-exp): memory does not grow with R.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from types import ModuleType
from weakref import WeakKeyDictionary

import numpy as np

from ..choice_records import ChoiceBlock, MixedTastes
from ..records import Floats, Integers
from .array_backend import array_namespace
from .array_batches import CACHE_BYTES, Array, group_sizes, to_host

#: Draws worked on at a time.
WIDTH = 128
#: Bytes of U on a GPU.
DEVICE_BYTES = 2**26


@dataclass(frozen=True, slots=True)
class PaddedPeople:
    """B people padded to the same T and J; arrays lie on the device.

    Attributes
    ----------
    people
        ``(B,)`` their places in the block, on the host.
    differences
        ``(B, T J, K)`` x̃ of what was not chosen, zero where padded.
    present
        ``(B, T, J, 1)`` zero where padded, else one.
    draws
        ``(B, R, D)``.
    """

    people: Integers
    differences: Array
    present: Array
    draws: Array


class ArrayChoices:
    """Array kernels of choices; people stay on the device as long as their block."""

    def __init__(self, xp: ModuleType) -> None:
        """Compute with the arrays of ``xp``."""
        self._xp = xp
        self._padded: WeakKeyDictionary[ChoiceBlock, tuple[PaddedPeople, ...]] = (
            WeakKeyDictionary()
        )

    def choice_probabilities(
        self, block: ChoiceBlock, tastes: MixedTastes, *, derivatives: bool
    ) -> tuple[Floats, Floats]:
        """Compute log P_i ``(I,)`` and ∂log P_i/∂θ ``(I, P)``."""
        xp, width = self._xp, tastes.size if derivatives else 0
        groups = self._padded.get(block)
        if groups is None:
            groups = self._padded[block] = pad_people(block, xp)
        log_probabilities = np.empty(block.n_people)
        scores = np.empty((block.n_people, width))
        limit = CACHE_BYTES if xp is np else DEVICE_BYTES
        with np.errstate(all="ignore"):  # what is not finite is counted, not hidden
            for group in groups:
                held = 8 * group.differences.shape[1] * WIDTH
                step = max(1, limit // held)
                for first in range(0, group.people.size, step):
                    some = slice(first, first + step)
                    logs, slopes = _work(group, some, tastes, width, xp)
                    log_probabilities[group.people[some]] = logs
                    scores[group.people[some]] = slopes
        return log_probabilities, scores


@functools.cache
def array_choices(name: str) -> ArrayChoices:
    """Give the kernels of the backend ``"numpy"`` or ``"cupy"``."""
    return ArrayChoices(array_namespace(name))


def shape_coefficients(
    eta: Array, shapes: Integers, xp: ModuleType = np
) -> tuple[Array, Array]:
    """Compute h(η) and h'(η), coefficients along the last axis.

    Parameters
    ----------
    eta
        ``(..., K)``.
    shapes
        ``(K,)`` on the host, as in :class:`blpdask.choice_records.MixedTastes`.
    xp
        Namespace of ``eta``.
    """
    beta, slopes = eta + 0.0, xp.ones(eta.shape)
    for k, shape in enumerate(shapes.tolist()):
        own = eta[..., k]
        if shape == 1:
            beta[..., k] = slopes[..., k] = xp.exp(own)
        elif shape == 2:
            beta[..., k] = xp.where(own < 0.0, 0.0, own)
            slopes[..., k] = xp.where(own > 0.0, 1.0, 0.0)
        elif shape == 3:
            logistic = 1.0 / (1.0 + xp.exp(-own))
            beta[..., k] = logistic
            slopes[..., k] = logistic * (1.0 - logistic)
    return beta, slopes


def pad_people(block: ChoiceBlock, xp: ModuleType) -> tuple[PaddedPeople, ...]:
    """Pad people into groups of like sizes and move them to the device."""
    situations = np.diff(block.person_offsets)
    others = np.diff(block.situation_offsets) - 1
    widest = np.maximum.reduceat(others, block.person_offsets[:-1])
    groups = group_sizes(np.maximum(widest, 1), situations)
    return tuple(_pad(block, people, xp) for people in groups)


def _pad(block: ChoiceBlock, people: Integers, xp: ModuleType) -> PaddedPeople:
    """Stack the named people, padded to the largest of them."""
    places = block.person_offsets
    T = int(np.diff(places)[people].max())
    t = places[people][:, None] + np.arange(T)
    real = t < places[people + 1][:, None]
    t = np.where(real, t, 0)
    first = block.situation_offsets[:-1][t]
    sizes = np.where(real, block.situation_offsets[1:][t] - first, 1)
    J = max(int(sizes.max()) - 1, 1)
    chosen = np.where(real, block.chosen[t], first)[..., None]
    rows = first[..., None] + np.arange(J)
    rows += rows >= chosen
    present = np.arange(J) < (sizes - 1)[..., None]
    X = block.X[np.where(present, rows, chosen)] - block.X[chosen]
    return PaddedPeople(
        people=people,
        differences=xp.asarray(X.reshape(people.size, T * J, -1)),
        present=xp.asarray(present[..., None].astype(np.float64)),
        draws=xp.asarray(block.draws[people]),
    )


def _work(
    group: PaddedPeople,
    some: slice,
    tastes: MixedTastes,
    width: int,
    xp: ModuleType,
) -> tuple[Floats, Floats]:
    """Compute log P ``(B,)`` and derivatives ``(B, width)`` of some of a group."""
    X, present, draws = group.differences[some], group.present[some], group.draws[some]
    B, R = X.shape[0], draws.shape[1]
    b, loadings = xp.asarray(tastes.b), xp.asarray(tastes.loadings)
    rows, columns = xp.asarray(tastes.rows), xp.asarray(tastes.columns)
    best, summed = xp.full(B, -np.inf), xp.zeros(B)
    score = xp.zeros((B, width))
    for first in range(0, R, WIDTH):
        z = draws[:, first : first + WIDTH]
        beta, shaped = shape_coefficients(b + z @ loadings.T, tastes.shapes, xp)
        logs, P = _choose(X, present, beta, xp)
        top = xp.maximum(best, logs.max(axis=1))
        omega, scale = xp.exp(logs - top[:, None]), xp.exp(best - top)
        best, summed = top, summed * scale + omega.sum(axis=1)
        if width:
            slopes = (P.transpose(0, 2, 1) @ X) * shaped * -omega[:, :, None]
            by_entries = (slopes.transpose(0, 2, 1) @ z)[:, rows, columns]
            added = xp.concatenate([slopes.sum(axis=1), by_entries], axis=1)
            score = score * scale[:, None] + added
    found = best + xp.log(summed / R)
    return to_host(found, xp), to_host(score / summed[:, None], xp)


def _choose(
    X: Array, present: Array, beta: Array, xp: ModuleType
) -> tuple[Array, Array]:
    """Compute log p ``(B, r)`` and P of what was not chosen, ``(B, T J, r)``."""
    B, T, J, _ = present.shape
    U = (X @ beta.transpose(0, 2, 1)).reshape(B, T, J, -1)
    highest = xp.maximum(U.max(axis=2), 0.0)
    E = xp.exp(U - highest[:, :, None]) * present
    total = xp.exp(-highest) + E.sum(axis=2)
    logs = -(highest + xp.log(total)).sum(axis=1)
    return logs, (E / total[:, :, None]).reshape(B, T * J, -1)
