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

from ..choice_records import ChoiceBlock, MixedTastes, PersonLikelihoods
from ..records import Floats, Integers
from .array_backend import array_namespace
from .array_batches import CACHE_BYTES, Array, group_sizes, to_host
from .drawn_coefficients import (
    parameter_slopes,
    scale_coefficients,
    shape_coefficients,
)

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
    draws, log_weights
        ``(B, R, D)`` and ``(B, R)``, of one row where people share them, the latter of
        none where draws weigh the same.
    """

    people: Integers
    differences: Array
    present: Array
    draws: Array
    log_weights: Array


class ArrayChoices:
    """Array kernels of choices; people stay on the device as long as their block."""

    def __init__(self, xp: ModuleType) -> None:
        """Compute with the arrays of ``xp``."""
        self._xp = xp
        self._padded: WeakKeyDictionary[ChoiceBlock, tuple[PaddedPeople, ...]] = (
            WeakKeyDictionary()
        )

    def choice_probabilities(
        self,
        block: ChoiceBlock,
        tastes: MixedTastes,
        *,
        derivatives: bool,
        squares: bool,
        by_draw: bool,
    ) -> PersonLikelihoods:
        """Compute log P_i and derivatives by b and Λ's entries ``(I, K + E)``."""
        xp, width = self._xp, tastes.b.size + tastes.rows.size
        groups = self._padded.get(block)
        if groups is None:
            groups = self._padded[block] = pad_people(block, xp)
        found = empty_likelihoods(
            block, width if derivatives else 0, squares=squares, by_draw=by_draw
        )
        means = person_means(block, tastes)
        limit = CACHE_BYTES if xp is np else DEVICE_BYTES
        with np.errstate(all="ignore"):  # what is not finite is counted, not hidden
            for group in groups:
                held = 8 * group.differences.shape[1] * WIDTH
                step = max(1, limit // held)
                for first in range(0, group.people.size, step):
                    some = slice(first, first + step)
                    people = group.people[some]
                    own = xp.asarray(means[people] if len(means) > 1 else means)
                    worked = _work(group, some, own, tastes, found, xp)
                    _keep(worked, people, found, xp)
        return found


@functools.cache
def array_choices(name: str) -> ArrayChoices:
    """Give the kernels of the backend ``"numpy"`` or ``"cupy"``."""
    return ArrayChoices(array_namespace(name))


def person_means(block: ChoiceBlock, tastes: MixedTastes) -> Floats:
    """Compute b + Π d: ``(I, K)``, or ``(1, K)`` where all people's are the same."""
    means = tastes.b[np.newaxis]
    if tastes.shifts.size:
        means = means + block.demographics @ tastes.shifts.T
    return means


def empty_likelihoods(
    block: ChoiceBlock, width: int, *, squares: bool, by_draw: bool
) -> PersonLikelihoods:
    """Make room for what is computed of a block's people, ``width`` derivatives."""
    n_people, R = block.n_people, block.draws.shape[1]
    return PersonLikelihoods(
        logs=np.empty(n_people),
        scores=np.empty((n_people, width)),
        concentrations=np.empty(n_people),
        squared_scores=np.empty((n_people, width if squares else 0)),
        draw_logs=np.empty((n_people, R if by_draw else 0)),
    )


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
    with np.errstate(invalid="ignore"):  # where the block's first row is not finite
        X = block.X[np.where(present, rows, chosen)] - block.X[chosen]
    X[~present] = 0.0
    return PaddedPeople(
        people=people,
        differences=xp.asarray(X.reshape(people.size, T * J, -1)),
        present=xp.asarray(present[..., None].astype(np.float64)),
        draws=xp.asarray(_own(block.draws, people)),
        log_weights=xp.asarray(_own(block.log_weights, people)),
    )


def _own(values: Floats, people: Integers) -> Floats:
    """Take the named people's rows, or the one that all share, or none."""
    return values[people] if values.shape[0] > 1 else values


@dataclass(slots=True)
class _Worked:
    """Sums over draws of B people, relative to the largest log(w_r p_ir) so far.

    ``n_draws`` R, ``best`` (B,) that, ``summed`` (B,) Σ_r w_r p_ir, ``squared`` (B,)
    Σ_r (w_r p_ir)², ``score`` and ``squared_score`` (B, width) those times ∂log p_ir,
    and ``draw_logs``.
    """

    n_draws: int
    best: Array
    summed: Array
    squared: Array
    score: Array
    squared_score: Array
    draw_logs: list[Array]


def _work(
    group: PaddedPeople,
    some: slice,
    means: Array,
    tastes: MixedTastes,
    found: PersonLikelihoods,
    xp: ModuleType,
) -> _Worked:
    """Sum over draws, for some of a group with ``means`` ``(B or 1, K)``."""
    X, present = group.differences[some], group.present[some]
    draws = group.draws[some] if group.draws.shape[0] > 1 else group.draws
    weights = group.log_weights
    weights = weights[some] if weights.shape[0] > 1 else weights
    B, R = X.shape[0], draws.shape[1]
    worked = _Worked(
        n_draws=R,
        best=xp.full(B, -np.inf),
        summed=xp.zeros(B),
        squared=xp.zeros(B),
        score=xp.zeros((B, found.scores.shape[1])),
        squared_score=xp.zeros((B, found.squared_scores.shape[1])),
        draw_logs=[],
    )
    for first in range(0, R, WIDTH):
        here = slice(first, first + WIDTH)
        z = draws[:, here]
        drawn = shape_coefficients(means[:, None, :], z, tastes, xp)
        beta = scale_coefficients(drawn.beta, tastes)
        logs, P = choice_logs(X, present, beta, xp)
        if weights.shape[0]:
            logs = logs + weights[:, here]
        top = xp.maximum(worked.best, logs.max(axis=1))
        omega, scale = xp.exp(logs - top[:, None]), xp.exp(worked.best - top)
        worked.best = top
        worked.summed = worked.summed * scale + omega.sum(axis=1)
        worked.squared = worked.squared * (scale * scale) + (omega * omega).sum(axis=1)
        if found.draw_logs.shape[1]:
            worked.draw_logs.append(logs)
        if not found.scores.shape[1]:
            continue
        slopes = -(P.transpose(0, 2, 1) @ X)
        by_mean, by_entry = parameter_slopes(slopes, drawn, z, tastes, xp)
        pairs = [(worked.score, omega, scale)]
        if found.squared_scores.shape[1]:
            pairs.append((worked.squared_score, omega * omega, scale * scale))
        for total, weight, shrunk in pairs:
            held = weight[:, None, :]
            added = [(held @ by_mean)[:, 0], (held @ by_entry)[:, 0]]
            total[...] = total * shrunk[:, None] + xp.concatenate(added, axis=1)
    return worked


def _keep(
    worked: _Worked, people: Integers, found: PersonLikelihoods, xp: ModuleType
) -> None:
    """Write what was summed of some people into ``found``."""
    if worked.draw_logs:
        found.draw_logs[people] = to_host(xp.concatenate(worked.draw_logs, axis=1), xp)
    summed, R = worked.summed, worked.n_draws
    found.logs[people] = to_host(worked.best + xp.log(summed / R), xp)
    found.concentrations[people] = to_host(worked.squared / (summed * summed), xp)
    if found.scores.shape[1]:
        found.scores[people] = to_host(worked.score / summed[:, None], xp)
    if found.squared_scores.shape[1]:
        squared = worked.squared_score / (summed * summed)[:, None]
        found.squared_scores[people] = to_host(squared, xp)


def choice_logs(
    X: Array, present: Array, beta: Array, xp: ModuleType
) -> tuple[Array, Array]:
    """Compute log p ``(B, r)`` and P of what was not chosen, ``(B, T J, r)``, at β."""
    B, T, J, _ = present.shape
    U = (X @ beta.transpose(0, 2, 1)).reshape(B, T, J, -1)
    highest = xp.maximum(U.max(axis=2), 0.0)
    E = xp.exp(U - highest[:, :, None]) * present
    total = xp.exp(-highest) + E.sum(axis=2)
    logs = -(highest + xp.log(total)).sum(axis=1)
    return logs, (E / total[:, :, None]).reshape(B, T * J, -1)
